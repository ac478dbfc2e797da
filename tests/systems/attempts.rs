//! The attempts view over a whole site: what a tenant's administrator asks and is shown.

use std::collections::BTreeSet;

use audit_model::{
    AttemptsQuery, AuditError, Cursor, CursorKey, ErrorReply, Event, EventId, Kind, Outcome, Profile,
    parse_address,
};
use mfa::{AccountId, RequestFacts, Response, UserId, Verify};
use mfa_tests::told::wrong_code;
use mfa_tests::{World, acme, on_stores};
use serde_json::{Value, json};

use crate::rows::{SAMPLE, account, at, attempt, gregorian, write};

/// The most rows of an answer without pages.
const CEILING: usize = 200;

/// What an administrator of an account is answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) events: Vec<Event>,
    pub(crate) next: Option<String>,
}

/// Asks as a host does that passes the parameters of a query string on.
pub(crate) async fn ask(world: &World, parameters: &[(&str, &str)]) -> Result<Answer, AuditError> {
    ask_in(world, "acme", parameters).await
}

pub(crate) async fn ask_in(
    world: &World,
    account: &str,
    parameters: &[(&str, &str)],
) -> Result<Answer, AuditError> {
    let key = cursor_key(world);
    let asked = AttemptsQuery::new(AccountId::parse(account).unwrap());
    let asked = parameters.iter().try_fold(asked, |asked, (name, value)| asked.parameter(name, value))?;
    let page = asked.read(&*world.store, at(SAMPLE), &key, CEILING).await?;
    Ok(Answer { events: page.events, next: page.next.as_ref().map(Cursor::to_string) })
}

pub(crate) fn cursor_key(world: &World) -> CursorKey {
    world.engine.cursor_key().unwrap()
}

/// Reads page after page, and calls `between` behind each.
pub(crate) async fn pages(
    world: &World,
    parameters: &[(&str, &str)],
    mut between: impl AsyncFnMut(usize),
) -> Vec<Vec<Event>> {
    let (mut pages, mut next) = (Vec::new(), None::<String>);
    loop {
        let mut parameters = parameters.to_vec();
        parameters.extend(next.as_deref().map(|next| ("start_key", next)));
        let answer = ask(world, &parameters).await.unwrap();
        pages.push(answer.events);
        between(pages.len()).await;
        next = answer.next;
        if next.is_none() {
            return pages;
        }
    }
}

pub(crate) fn ids(events: &[Event]) -> Vec<EventId> {
    events.iter().map(Event::id).collect()
}

fn json_of(row: Option<audit_model::AttemptRow<'_>>) -> Value {
    serde_json::from_str(&row.unwrap().to_json().unwrap()).unwrap()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

on_stores! {
    async fn a02_failures_that_are_not_shown_are_in_the_log_all_the_same(world) {
        write(&*world.store, (0..3).map(|n| attempt("acme", SAMPLE - n).hidden_from_attempts())).await;
        assert!(ask(&world, &[]).await.unwrap().events.is_empty());
        assert!(ask(&world, &[("paginate", "false")]).await.unwrap().events.is_empty());
        let logged = world.events().await;
        assert_eq!(logged.len(), 3);
        assert!(logged.iter().all(Event::hash_holds));
        // Nor are they to be had one by one.
        for event in &logged {
            assert!(Profile::Kazoo4.detail(event).is_none() && Profile::Seed2017.detail(event).is_none());
        }
        write(&*world.store, (0..3).map(|n| attempt("acme", SAMPLE - n))).await;
        let shown = ask(&world, &[("filter_status", "failed")]).await.unwrap().events;
        assert_eq!(shown.len(), 3);
        assert!(shown.iter().all(|event| event.outcome() == Outcome::Failure));
    }

    async fn a11_attempts_of_each_module_are_told_apart(world) {
        let api = || audit_model::Attempt::new("account_api_token", "unauthorized");
        let rows = (0..5).map(|n| match n {
            0..2 => attempt("acme", SAMPLE - n).module("cb_api_auth").attempt(api()),
            _ => attempt("acme", SAMPLE - n),
        });
        write(&*world.store, rows).await;
        for (name, value, count) in [
            ("filter_auth_module", "cb_api_auth", 2),
            ("filter_auth_module", "cb_user_auth", 3),
            ("auth_module", "cb_auth", 0),
            ("filter_auth_type", "account_api_token", 2),
            ("auth_type", "multi_factor", 3),
        ] {
            assert_eq!(ask(&world, &[(name, value)]).await.unwrap().events.len(), count, "{name}={value}");
        }
    }

    async fn a17_a_row_has_its_five_columns_and_what_names_it(world) {
        write(&*world.store, [attempt("acme", SAMPLE).ip("10.1.0.2".parse().unwrap())]).await;
        let answer = ask(&world, &[]).await.unwrap();
        let row = json_of(Profile::Kazoo4.summary(&answer.events[0]));
        let columns = ["auth_module", "client_ip", "id", "message", "auth_type", "status", "timestamp"];
        assert_eq!(keys(&row), columns.into());
        assert_eq!(row["timestamp"], 63_655_033_238_u64);
        assert_eq!((&row["status"], &row["client_ip"]), (&json!("failed"), &json!("10.1.0.2")));
    }

    async fn a18_both_ends_of_the_range_are_included_and_the_newest_comes_first(world) {
        write(&*world.store, (0..5).map(|n| attempt("acme", SAMPLE - n))).await;
        let row = gregorian(SAMPLE - 2);
        let exact = ask(&world, &[("created_from", &row), ("created_to", &row)]).await.unwrap();
        assert_eq!(exact.events.iter().map(Event::at).collect::<Vec<_>>(), [at(SAMPLE - 2)]);

        // The last second is in it to its end.
        let late = at(SAMPLE + 7).plus(std::time::Duration::from_millis(999));
        let row = audit_model::EventBuilder::new(account("acme"), Kind::AnswerRejected, Outcome::Failure, late);
        write(&*world.store, [row.attempt(audit_model::Attempt::new("multi_factor", "unauthorized"))]).await;
        let second = gregorian(SAMPLE + 7);
        let exact = ask(&world, &[("created_from", &second), ("created_to", &second)]).await.unwrap();
        assert_eq!(exact.events.iter().map(Event::at).collect::<Vec<_>>(), [late]);

        let (from, to) = (gregorian(SAMPLE - 3), gregorian(SAMPLE - 1));
        let times = |seconds: [u64; 3]| seconds.map(at).to_vec();
        let range = [("created_from", &*from), ("created_to", &*to)];
        let newest = ask(&world, &range).await.unwrap().events;
        let wanted = times([SAMPLE - 1, SAMPLE - 2, SAMPLE - 3]);
        assert_eq!(newest.iter().map(Event::at).collect::<Vec<_>>(), wanted);
        let oldest = ask(&world, &[range[0], range[1], ("ascending", "true")]).await.unwrap().events;
        assert_eq!(ids(&oldest), newest.iter().rev().map(Event::id).collect::<Vec<_>>());
    }

    async fn a18_without_a_range_it_is_the_last_31_days_and_one_hour(world) {
        let seconds = [0, 2_682_000, 2_682_001].map(|back| SAMPLE - back);
        write(&*world.store, seconds.map(|second| attempt("acme", second))).await;
        assert_eq!(ask(&world, &[]).await.unwrap().events.len(), 2);
        // A range of its own reaches further back.
        let to = gregorian(SAMPLE - 2_682_001);
        assert_eq!(ask(&world, &[("created_to", &to)]).await.unwrap().events.len(), 1);
    }

    async fn a18_the_longest_range_is_taken_and_one_second_more_is_not(world) {
        let to = gregorian(SAMPLE);
        for (span, fits) in [(2_682_000, true), (2_682_001, false)] {
            let from = gregorian(SAMPLE - span);
            let asked = ask(&world, &[("created_from", &from), ("created_to", &to)]).await;
            assert_eq!(asked.as_ref().map_err(AuditError::code).map(drop), if fits { Ok(()) } else { Err("date_range") });
        }
        let reversed = ask(&world, &[("created_from", &to), ("created_to", &gregorian(SAMPLE - 1))]).await;
        assert_eq!(reversed.unwrap_err().code(), "date_range");
    }

    async fn a19_a_search_finds_an_address_in_every_spelling_and_no_other(world) {
        let rows = ["10.1.0.2", "10.1.0.2:8000", "10.1.0.20", "2001:db8::1", "[2001:0db8:0:0::1]:443"];
        let rows = rows.map(|ip| attempt("acme", SAMPLE).ip(parse_address(ip).unwrap()));
        let written = write(&*world.store, rows).await;
        for (ip, found) in [
            ("10.1.0.2", &written[..2]),
            ("10.1.0.2:9999", &written[..2]),
            ("::ffff:10.1.0.2", &written[..2]),
            ("[::ffff:a01:2]:443", &written[..2]),
            ("10.1.0.20", &written[2..3]),
            ("10.1.0.200", &[]),
            ("2001:DB8::1", &written[3..]),
            ("2001:0db8:0000:0000:0000:0000:0000:0001", &written[3..]),
            ("[2001:db8::1]", &written[3..]),
            ("2001:db8::2", &[]),
        ] {
            let answer = ask(&world, &[("filter_client_ip", ip)]).await.unwrap().events;
            let (answer, found) = (ids(&answer), ids(found));
            assert_eq!(BTreeSet::from_iter(answer), BTreeSet::from_iter(found), "{ip}");
        }
    }

    async fn a20_120_rows_are_pages_of_50_50_and_20_whatever_comes_between(world) {
        // Three in each second, so that borders fall between equal times.
        let written = write(&*world.store, (0..120).map(|n| attempt("acme", SAMPLE - 100 - n / 3))).await;
        let read = pages(&world, &[], async |number| {
            write(&*world.store, [attempt("acme", SAMPLE - 50 + number as u64)]).await;
            write(&*world.store, [attempt("umbrella", SAMPLE - 120)]).await;
        });
        let read = read.await;
        assert_eq!(read.iter().map(Vec::len).collect::<Vec<_>>(), [50, 50, 20]);
        let read = ids(&read.concat());
        assert_eq!(read.len(), 120);
        assert_eq!(BTreeSet::from_iter(read), BTreeSet::from_iter(ids(&written)));
    }

    async fn a20_rows_written_inside_the_range_behind_the_page_are_read_and_those_before_it_are_not(world) {
        write(&*world.store, (0..60).map(|n| attempt("acme", SAMPLE - 10 * n))).await;
        let first = ask(&world, &[]).await.unwrap();
        let late = write(&*world.store, [attempt("acme", SAMPLE - 595), attempt("acme", SAMPLE - 5)]).await;
        let second = ask(&world, &[("start_key", first.next.as_deref().unwrap())]).await.unwrap();
        assert_eq!(second.events.len(), 11);
        let second = ids(&second.events);
        assert!(second.contains(&late[0].id()) && !second.contains(&late[1].id()));
    }

    async fn a21_everything_at_once_is_the_pages_one_after_the_other_also_across_months(world) {
        // 2017-02-23 back to January.
        let rows = (0..CEILING as u64).map(|n| attempt("acme", SAMPLE - n * 13_000));
        write(&*world.store, rows).await;
        for direction in [&[][..], &[("ascending", "true")]] {
            let whole = [direction, &[("paginate", "false")]].concat();
            let whole = ask(&world, &whole).await.unwrap();
            assert!(whole.next.is_none());
            assert_eq!(whole.events.len(), CEILING);
            let months: BTreeSet<_> = whole.events.iter().map(|event| event.id().year_month()).collect();
            assert_eq!(months, [201_701, 201_702].into());
            let paged = pages(&world, direction, async |_| {}).await.concat();
            assert_eq!(ids(&whole.events), ids(&paged));
        }
        write(&*world.store, [attempt("acme", SAMPLE)]).await;
        let refused = ask(&world, &[("paginate", "false")]).await.unwrap_err();
        assert!(matches!(refused, AuditError::RangeTooLarge { limit: CEILING }), "{refused}");
        assert_eq!(ErrorReply::from(&refused).status(), 416);
    }

    async fn a22_a_detail_holds_the_summary_and_the_request_without_its_secrets(world) {
        let secrets = ["Authorization", "Proxy-Authorization", "Cookie", "X-Auth-Token", "X-Api-Key", "x-own-token"];
        let (bob, app) = world.enrol("bob").await;
        let mut request = RequestFacts::new().with_ip("10.1.0.2".parse().unwrap()).with_id("a6edc00018ebd9c7");
        for name in secrets {
            request = request.with_header(name, "hush-4711");
        }
        let agent = "curl/7\r\nX-Evil: 1";
        let request = request.with_header("User-Agent", agent).with_header("Host", "10.1.0.2:8000");
        let challenge = world.begin(&bob).await;
        let wrong = Response::code(&wrong_code(&app, world.now())).with_request(request);
        assert!(matches!(world.engine.verify(&challenge.reference, wrong).await, Ok(Verify::Rejected(_))));

        let event = world.events().await.into_iter().rfind(Event::is_in_attempts_view).unwrap();
        let event = world.store.event(&acme().into(), event.id()).await.unwrap().unwrap();
        for profile in [Profile::Seed2017, Profile::Kazoo4] {
            let (summary, detail) = (json_of(profile.summary(&event)), json_of(profile.detail(&event)));
            for (name, value) in summary.as_object().unwrap() {
                assert_eq!(&detail[name], value, "{profile} {name}");
            }
            assert!(!detail.to_string().contains("hush-4711"), "{detail}");
        }
        let detail = json_of(Profile::Kazoo4.detail(&event));
        let headers = json!({"user-agent": "curl/7\\u{d}\\u{a}X-Evil: 1", "host": "10.1.0.2:8000"});
        assert_eq!(detail["client_headers"], headers);
        assert_eq!(detail["crossbar_request_id"], "a6edc00018ebd9c7");
        assert_eq!(detail["metadata"], json!({"owner_id": "bob", "account_id": "acme"}));
    }

    async fn a23_older_rows_stay_when_attempts_are_not_shown_any_more(world) {
        let shown = write(&*world.store, (1..=2).map(|n| attempt("acme", SAMPLE - n))).await;
        let third = write(&*world.store, [attempt("acme", SAMPLE).hidden_from_attempts()]).await;
        let read = ask(&world, &[]).await.unwrap().events;
        assert_eq!(ids(&read), ids(&shown));
        // And those that were not shown do not come back when attempts are shown again.
        let fourth = write(&*world.store, [attempt("acme", SAMPLE)]).await;
        let read = ids(&ask(&world, &[]).await.unwrap().events);
        assert_eq!(read, [ids(&fourth), ids(&shown)].concat());
        assert!(world.store.event(&account("acme"), third[0].id()).await.unwrap().is_some());
    }

    async fn b7_a_failure_is_the_documented_row_but_for_its_id_and_time(world) {
        let (bob, app) = world.enrol("bob").await;
        let challenge = world.begin(&bob).await;
        assert!(matches!(world.answer(&challenge, &wrong_code(&app, world.now())).await, Verify::Rejected(_)));
        let row = world.events().await.into_iter().rfind(Event::is_in_attempts_view).unwrap();
        let seed = r#"{"id":"201702-09a979346eff06746e445a8cc1e574c4","auth_type":"multi_factor","debug_type":"failed","message":"unauthorized","timestamp":63655033238}"#;
        let wanted = seed
            .replace("201702-09a979346eff06746e445a8cc1e574c4", &row.id().to_string())
            .replace("63655033238", &row.at().gregorian_seconds().to_string());
        assert_eq!(Profile::Seed2017.summary(&row).unwrap().to_json().unwrap(), wanted);
    }

    async fn b8_a_detail_says_where_the_configurations_were_found(world) {
        for (auth, mfa) in [("root", "root"), ("system", "system"), ("root", "system")] {
            let message = "no multi factor authentication provider is configured";
            let row = audit_model::Attempt::new(audit_model::MULTI_FACTOR, message).with_origins(auth, mfa);
            let written = write(&*world.store, [attempt("leaf", SAMPLE).attempt(row)]).await;
            let event = world.store.event(&account("leaf"), written[0].id()).await.unwrap().unwrap();
            let wanted = format!(
                r#"{{"auth_type":"multi_factor","debug_type":"failed","message":"{message}","auth_config_origin":"{auth}","mfa_config_origin":"{mfa}","timestamp":63655033238,"id":"{}"}}"#,
                event.id()
            );
            assert_eq!(Profile::Seed2017.detail(&event).unwrap().to_json().unwrap(), wanted);
            let kazoo = json_of(Profile::Kazoo4.detail(&event));
            assert!(keys(&kazoo).iter().all(|key| !key.contains("origin")), "{kazoo}");
        }
    }

    async fn b9_errors_come_in_the_documented_envelope(world) {
        let id = "201702-00000000000000000000000000000000";
        assert!(world.store.event(&acme().into(), id.parse().unwrap()).await.unwrap().is_none());
        let reply: Value = serde_json::from_str(&ErrorReply::bad_identifier(id).to_json()).unwrap();
        let wanted = json!({"status": "error", "error": "404", "message": "bad_identifier",
            "data": {"message": "bad identifier", "cause": id}});
        assert_eq!(reply, wanted);

        let refused = ask(&world, &[("created_from", "9"), ("created_to", "5")]).await.unwrap_err();
        let reply = ErrorReply::from(&refused).to_json();
        let wanted = r#"{"data":{"created_from":{"date_range":{"message":"created_to 5 is prior to created_from 9","cause":9}}},"error":"400","message":"validation error","status":"error"}"#;
        assert_eq!(reply, wanted);
    }

    async fn c22_a_challenge_can_be_told_from_the_exported_events(world) {
        let (bob, app) = world.enrol("bob").await;
        let began = world.now();
        let challenge = world.begin(&bob).await;
        let _ = world.answer(&challenge, &wrong_code(&app, world.now())).await;
        world.clock.advance(std::time::Duration::from_secs(60));
        assert!(matches!(world.answer(&challenge, &app.code_at(world.now())).await, Verify::Verified(_)));
        let completed = world.now();
        let lines = world.events().await.into_iter().filter(|event| event.user() == Some(&bob_id()));
        let lines: Vec<Value> = lines
            .map(|event| serde_json::from_str(&audit_model::export::to_line(&event).unwrap()).unwrap())
            .filter(|line: &Value| line["subject"].is_string())
            .collect();
        let of = |kind: &str| lines.iter().rfind(|line| line["kind"] == kind).unwrap();
        let (sent, failed, done) = (of("challenge_begun"), of("answer_rejected"), of("answer_accepted"));
        // One challenge: its kind, when it was begun and completed, how it ended, and why an answer failed.
        assert!([failed, done].iter().all(|line| line["subject"] == sent["subject"]));
        assert!(done["fields"].as_array().unwrap().contains(&json!(["method", "totp"])));
        assert_eq!((&sent["at"], &done["at"]), (&json!(began.unix_millis()), &json!(completed.unix_millis())));
        assert_eq!((&done["outcome"], &failed["outcome"]), (&json!("success"), &json!("failed")));
        assert_eq!(failed["reason"], "wrong_code");
    }
}

fn bob_id() -> UserId {
    UserId::parse("bob").unwrap()
}
