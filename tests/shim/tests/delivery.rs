//! Codes and links: what a press of a button proves, messages whose fate is unknown, and a link that is confirmed by
//! another process than the one that waits.

use serde_json::{Value, json};

use super::process::Shim;

const NOW: u64 = 1_700_000_010;

fn open(store: &str, danger: &[&str], settings: Value) -> Shim {
    let mut shim = Shim::start();
    shim.ok(
        json!({ "op": "open", "store": store, "now": NOW, "danger": danger, "email": { "settings": settings },
        "sealing_keys": [{ "id": "k1", "key": "07".repeat(32) }],
        "policy": policy() }),
    );
    shim
}

fn policy() -> Value {
    json!({ "offered": ["email"], "recovery": "none" })
}

fn links() -> Value {
    json!({ "form": "link", "link_url": "https://login.acme.example/confirm",
        "target_url": "https://acme.example/welcome" })
}

/// Opens the store of `shim` again, by a policy that has codes wait.
fn reopen_queueing(shim: &mut Shim, store: &str) {
    let mut policy = policy();
    policy["messages_by_outbox"] = json!(true);
    shim.ok(json!({ "op": "open", "store": store, "now": NOW, "email": {}, "policy": policy,
        "sealing_keys": [{ "id": "k1", "key": "07".repeat(32) }] }));
}

/// Sets bob's mailbox up.
fn set_up(shim: &mut Shim) {
    shim.ok(json!({ "op": "account.put", "account": "acme" }));
    shim.ok(json!({ "op": "user.put", "account": "acme", "user": "bob", "email": "bob@acme.example",
        "email_verified": true }));
    let begun = shim.ok(json!({ "op": "enrol.begin", "account": "acme", "user": "bob", "method": "email" }));
    let code = newest(shim)["code"].clone();
    let confirmed = shim.ok(json!({ "op": "enrol.confirm", "account": "acme", "user": "bob",
        "enrolment": begun["enrolment"], "response": { "code": code } }));
    assert_eq!(confirmed["outcome"], "confirmed");
}

fn begin(shim: &mut Shim) -> Value {
    let begin = json!({ "op": "login.begin", "account": "acme", "user": "bob", "module": "user_auth" });
    shim.ok(begin)["challenge"].take()
}

fn newest(shim: &mut Shim) -> Value {
    let taken = shim.ok(json!({ "op": "inbox.take", "drain": false }));
    taken["messages"].as_array().unwrap().last().unwrap().clone()
}

#[test]
fn a_link_is_confirmed_on_one_node_and_claimed_on_another() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("mfa.db").display());
    let (mut first, mut second) = (open(&store, &[], links()), open(&store, &[], links()));
    set_up(&mut first);
    let challenge = begin(&mut first);
    let link = newest(&mut first)["link"].clone();
    // The browser that began needs no digits, whichever node it asks.
    let confirmed = second.ok(json!({ "op": "link.confirm", "token": link, "ref": challenge["ref"] }));
    assert_eq!(confirmed["target_url"], "https://acme.example/welcome");
    let claim = json!({ "op": "login.claim", "challenge": challenge["ref"] });
    assert_eq!(first.ok(claim.clone())["outcome"], "verified");
    assert_eq!(second.ok(claim)["reason"], "already_used");
}

#[test]
fn a_press_of_the_button_confirms_under_its_danger_alone() {
    for (danger, outcome) in [(&[][..], "rejected"), (&["danger_approve_only"][..], "confirmed")] {
        let mut shim = open("memory", danger, links());
        set_up(&mut shim);
        let challenge = begin(&mut shim);
        let link = newest(&mut shim)["link"].clone();
        assert_eq!(shim.ok(json!({ "op": "link.confirm", "token": link }))["outcome"], outcome);
        let claimed = shim.ok(json!({ "op": "login.claim", "challenge": challenge["ref"] }));
        match outcome {
            "confirmed" => assert_eq!(claimed["grant"]["aal"], 1),
            _ => assert_eq!(claimed["outcome"], "pending"),
        }
    }
}

#[test]
fn a_message_that_may_have_left_is_waited_for() {
    let mut shim = open("memory", &[], Value::Null);
    set_up(&mut shim);
    for kind in ["hang", "temporary"] {
        shim.ok(json!({ "op": "inbox.fail", "channel": "email", "kind": kind }));
        assert_eq!(begin(&mut shim)["request"]["sent"], "perhaps", "{kind}");
    }
    shim.ok(json!({ "op": "inbox.fail", "channel": "email", "kind": "permanent" }));
    let begin = json!({ "op": "login.begin", "account": "acme", "user": "bob", "module": "user_auth" });
    assert_eq!(shim.ok(begin), json!({ "outcome": "denied", "reason": "unavailable", "retry_after": null }));
}

#[test]
fn a_code_waits_for_a_drain_where_the_policy_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("mfa.db").display());
    let mut shim = open(&store, &[], Value::Null);
    set_up(&mut shim);
    shim.ok(json!({ "op": "notices.drain" }));
    reopen_queueing(&mut shim, &store);
    let challenge = begin(&mut shim);
    assert_eq!((&challenge["status"], &challenge["request"]["sent"]), (&json!("created"), &json!("not_yet")));
    let none = shim.ok(json!({ "op": "inbox.take", "drain": false }));
    assert_eq!(none["messages"], json!([]));
    assert_eq!(shim.ok(json!({ "op": "notices.drain" })), json!({ "sent": 1, "waiting": 0, "given_up": 0 }));
    let status = json!({ "op": "login.status", "account": "acme", "challenge_id": challenge["id"] });
    assert_eq!(shim.ok(status)["status"], "sent");
    let code = newest(&mut shim)["code"].clone();
    let answer = json!({ "op": "login.verify", "challenge": challenge["ref"], "response": { "code": code } });
    assert_eq!(shim.ok(answer)["outcome"], "verified");
}
