//! The script of faults.

use core::time::Duration;
use std::thread;

use mfa_testkit::duo::{Credentials, Device, FakeDuo, Fault, Integration, On, User};
use serde_json::{Value, json};

use crate::https::{Answer, Call};
use crate::{DATE, push, start};

fn send(duo: &FakeDuo, keys: &Integration, user: &str) -> Option<Answer> {
    Call::json("/auth/v2/auth", &push(user)).signed(keys, DATE).send(duo)
}

fn set(pointer: &str, value: Value) -> Fault {
    Fault::Set { pointer: pointer.to_owned(), value }
}

#[test]
fn a_rate_limit_is_for_its_user_and_so_often() {
    let (duo, keys) = start();
    duo.add_user(User::new("bob").device(Device::phone("+15555550101")));
    let limit =
        |retry_after: Option<&str>| Fault::RateLimited { retry_after: retry_after.map(str::to_owned) };
    duo.fault(On::any().user("ann").times(1), limit(None));
    duo.fault(On::any().user("ann").times(2), limit(Some("7")));
    for retry_after in [None, Some("7"), Some("7")] {
        let answer = send(&duo, &keys, "ann").unwrap();
        assert_eq!((answer.status, answer.code()), (429, json!(42901)));
        assert_eq!(answer.header("retry-after"), retry_after);
        assert_eq!(send(&duo, &keys, "bob").unwrap().status, 200);
    }
    assert_eq!(send(&duo, &keys, "ann").unwrap().status, 200);
    assert_eq!((duo.rings("ann").pushes, duo.rings("bob").pushes), (1, 3));
    let limited = duo.requests().into_iter().filter(|seen| seen.faulted);
    assert!(limited.clone().all(|seen| seen.credentials == Credentials::Unchecked));
    assert_eq!(limited.count(), 3);
}

#[test]
fn a_request_that_is_not_carried_out_rings_nothing() {
    let (duo, keys) = start();
    let own = Fault::Answer { status: 502, content_type: "text/html".to_owned(), body: b"<html>".to_vec() };
    let cases = [
        (Fault::Failure(50000), Some(500)),
        (Fault::Failure(40002), Some(400)),
        (own, Some(502)),
        (Fault::Redirect("https://elsewhere.example/".to_owned()), Some(302)),
        (Fault::CloseBefore, None),
    ];
    for (fault, status) in cases {
        duo.fault(On::any().path("/auth/v2/auth").times(1), fault.clone());
        let answer = send(&duo, &keys, "ann");
        assert_eq!(answer.as_ref().map(|answer| answer.status), status, "{fault:?}");
        if let Fault::Redirect(location) = fault {
            assert_eq!(answer.unwrap().header("location"), Some(location.as_str()));
        }
    }
    assert_eq!(duo.rings("ann").pushes, 0);
}

#[test]
fn a_lost_answer_leaves_what_was_done() {
    let (duo, keys) = start();
    duo.fault(On::any().times(1), Fault::CloseAfter);
    assert!(send(&duo, &keys, "ann").is_none());
    assert_eq!(duo.rings("ann").pushes, 1);
    assert_eq!((duo.requests()[0].status, duo.requests()[0].credentials), (None, Credentials::V5));
}

#[test]
fn a_hanging_request_is_never_answered() {
    let (duo, keys) = start();
    for (fault, pushes) in [(Fault::HangBefore, 0), (Fault::HangAfter, 1)] {
        duo.fault(On::any().times(1), fault);
        let call = Call::json("/auth/v2/auth", &push("ann")).signed(&keys, DATE);
        let count = duo.requests().len();
        let stream = call.open(&duo);
        assert_eq!(duo.wait_for_requests(count + 1)[count].status, None);
        assert_eq!(duo.rings("ann").pushes, pushes);
        // Others are served meanwhile.
        assert_eq!(Call::get("/auth/v2/ping").answer(&duo).status, 200);
        drop(stream);
    }
}

#[test]
fn an_answer_can_be_spoilt_in_every_place() {
    let (duo, keys) = start();
    let ask = |fault: Fault| {
        duo.fault(On::any().times(1), fault);
        send(&duo, &keys, "ann").unwrap()
    };
    assert_eq!(ask(set("/stat", json!("MAYBE"))).json()["stat"], "MAYBE");
    let answer = ask(set("/response/result", json!("perhaps"))).json();
    assert_eq!(
        (&answer["response"]["result"], &answer["response"]["status"]),
        (&json!("perhaps"), &json!("allow"))
    );
    assert_eq!(ask(set("/code", json!(""))).code(), "");
    let answer = ask(Fault::UnknownFields).json();
    assert!(
        answer["future_object"].is_object() && answer["response"]["future_object"].is_object(),
        "{answer}"
    );
    assert_eq!(answer["response"]["result"], "allow");
    let answer = ask(Fault::ContentType("text/html".to_owned()));
    assert_eq!((answer.header("content-type"), &answer.json()["stat"]), (Some("text/html"), &json!("OK")));
    let garbage = b"{\"stat\": \"OK\", \"resp".to_vec();
    let answer =
        ask(Fault::Answer { status: 200, content_type: "application/json".to_owned(), body: garbage });
    assert_eq!(answer.body, "{\"stat\": \"OK\", \"resp");
}

#[test]
fn bodies_come_slowly_or_without_end() {
    let (duo, keys) = start();
    duo.fault(On::any().times(1), Fault::SlowBody(Duration::from_micros(10)));
    assert_eq!(send(&duo, &keys, "ann").unwrap().json()["stat"], "OK");
    duo.fault(On::any().times(1), Fault::EndlessBody);
    // The client stops at a mebibyte.
    let answer = send(&duo, &keys, "ann").unwrap();
    assert!(
        answer.body.contains("\"stat\":\"OK\"") && answer.body.len() > 1_000_000,
        "{}",
        answer.body.len()
    );
    assert_eq!(Call::get("/auth/v2/ping").answer(&duo).status, 200);
}

#[test]
fn connections_are_dropped_before_they_say_anything() {
    let (duo, _) = start();
    duo.drop_connections(2);
    let ping = Call::get("/auth/v2/ping");
    assert!(ping.send(&duo).is_none());
    assert!(ping.send(&duo).is_none());
    assert_eq!(ping.answer(&duo).status, 200);
    assert_eq!(duo.requests().len(), 1);
}

#[test]
fn a_faultless_fake_answers_many_at_once() {
    let (duo, keys) = start();
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..16).map(|_| scope.spawn(|| send(&duo, &keys, "ann").unwrap().status)).collect();
        assert!(clients.into_iter().all(|client| client.join().unwrap() == 200));
    });
    assert_eq!(duo.rings("ann").pushes, 16);
}
