//! Pushes and polls that wait, on a clock that only the test moves.

use std::thread;

use mfa_testkit::duo::{Device, FakeDuo, Integration, Reaction, User};
use serde_json::Value;

use crate::https::{Call, read};
use crate::{DATE, NOW, at, post, push, start};

fn start_push(duo: &FakeDuo, keys: &Integration, user: &str) -> String {
    let mut body = push(user);
    body["async"] = "1".into();
    post(duo, keys, "auth", &body).json()["response"]["txid"].as_str().unwrap().to_owned()
}

fn poll(duo: &FakeDuo, keys: &Integration, txid: &str) -> Value {
    let call = Call::get(format!("/auth/v2/auth_status?txid={txid}")).signed(keys, DATE);
    call.answer(duo).json()["response"].take()
}

fn wes(reaction: Reaction) -> User {
    User::new("wes").device(Device::phone("+15555550100")).reaction(reaction)
}

#[test]
fn a_poll_is_held_and_then_says_the_same_again() {
    let (duo, keys) = start();
    duo.add_user(wes(Reaction::Wait));
    let txid = start_push(&duo, &keys, "wes");
    assert_eq!(poll(&duo, &keys, &txid)["status"], "pushed");
    for (now, result, status) in [(NOW + 30, "waiting", "pushed"), (NOW + 60, "deny", "timeout")] {
        let answer = thread::scope(|scope| {
            let count = duo.requests().len();
            let held = scope.spawn(|| poll(&duo, &keys, &txid));
            assert_eq!(duo.wait_for_requests(count + 1)[count].status, None);
            // One second less changes nothing: it is still held when a later request has been answered.
            duo.set_now(at(now - 1));
            assert_eq!(Call::get("/auth/v2/ping").answer(&duo).status, 200);
            assert_eq!(duo.requests()[count].status, None);
            duo.set_now(at(now));
            held.join().unwrap()
        });
        assert_eq!((answer["result"].as_str(), answer["status"].as_str()), (Some(result), Some(status)));
    }
    // Decided is decided.
    assert_eq!(duo.react("wes", Reaction::Approve), 0);
    assert_eq!(poll(&duo, &keys, &txid)["status"], "timeout");
    assert_eq!(duo.rings("wes").pushes, 1);
}

#[test]
fn a_synchronous_push_waits_for_its_user() {
    let (duo, keys) = start();
    duo.add_user(wes(Reaction::Wait));
    let answer = thread::scope(|scope| {
        let held = scope.spawn(|| post(&duo, &keys, "auth", &push("wes")));
        assert_eq!(duo.wait_for_requests(1)[0].status, None);
        assert_eq!(duo.rings("wes").pushes, 1);
        assert_eq!(duo.react("wes", Reaction::ReportFraud), 1);
        held.join().unwrap().json()
    });
    assert_eq!(answer["response"]["status"], "fraud");
}

#[test]
fn a_push_that_does_not_arrive_runs_out() {
    let (duo, keys) = start();
    duo.add_user(wes(Reaction::Unreachable));
    let txid = start_push(&duo, &keys, "wes");
    let first = poll(&duo, &keys, &txid);
    assert_eq!((first["result"].as_str(), first["status"].as_str()), (Some("waiting"), Some("push_failed")));
    duo.set_now(at(NOW + 60));
    assert_eq!(poll(&duo, &keys, &txid)["result"], "deny");
}

#[test]
fn a_fake_that_ends_closes_what_waits() {
    let (duo, keys) = start();
    duo.add_user(wes(Reaction::Wait));
    let call = Call::json("/auth/v2/auth", &push("wes")).signed(&keys, DATE);
    let held = call.open(&duo).unwrap();
    assert_eq!(duo.wait_for_requests(1)[0].status, None);
    drop(duo);
    assert!(read(held).is_none());
}
