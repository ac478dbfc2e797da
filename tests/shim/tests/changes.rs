//! Changes, some over several processes: recovery codes, proofs, administrators, provider configurations, and the log
//! on its file.

use std::thread;

use serde_json::{Value, json};

use super::cluster::{CODE_NEXT, NOW, SECRET, begin, enrol_bob, file};
use super::process::{Shim, open_request};

fn open(store: &str, now: u64) -> Shim {
    let mut shim = Shim::start();
    let mut request = open_request(store, now);
    request["checkpoint_key"] = json!("2a".repeat(32));
    shim.ok(request);
    shim
}

fn step_up(shim: &mut Shim, account: &str, user: &str, purpose: &str, subject: Value) -> Value {
    let begun = shim.ok(json!({ "op": "step_up.begin", "account": account, "user": user,
        "purpose": purpose, "subject": subject, "session": "s1" }));
    assert_eq!(begun["outcome"], "challenge", "{begun}");
    begun["challenge"]["ref"].clone()
}

/// Answers with the code of `at`, and returns the proof.
fn proof(shim: &mut Shim, reference: &Value, at: u64) -> Value {
    let code = shim.ok(json!({ "op": "totp.code", "secret": SECRET, "time": at }))["code"].clone();
    let proven =
        shim.ok(json!({ "op": "login.verify", "challenge": reference, "response": { "code": code } }));
    assert_eq!(proven["outcome"], "proof", "{proven}");
    proven["proof"].clone()
}

#[test]
fn of_four_processes_that_race_with_one_recovery_code_one_is_let_in() {
    let file = file();
    let mut owner = Shim::open(&file.store, NOW);
    let codes = enrol_bob(&mut owner);
    let mut racers: Vec<_> = (0..4).map(|_| Shim::open(&file.store, NOW)).collect();
    let request = |reference: Value| json!({ "op": "login.verify", "challenge": reference, "response": { "recovery": codes[0] } });
    let requests: Vec<_> = racers.iter_mut().map(|racer| request(begin(racer, None))).collect();
    let races = racers.into_iter().zip(requests);
    let races: Vec<_> = races.map(|(mut racer, request)| thread::spawn(move || racer.ok(request))).collect();
    let outcomes: Vec<_> = races.into_iter().map(|race| race.join().unwrap()).collect();
    let verified = outcomes.iter().filter(|outcome| outcome["outcome"] == "verified").count();
    assert_eq!(verified, 1, "{outcomes:?}");

    let late = begin(&mut owner, None);
    assert_eq!(owner.ok(request(late))["reason"], "already_used");
    let listed = owner.ok(json!({ "op": "method.list", "account": "acme", "user": "bob" }));
    assert_eq!(listed["methods"][1]["uses_left"], 9, "{listed}");
}

#[test]
fn a_proof_is_good_once_on_another_process_that_is_told_the_session() {
    let file = file();
    let (mut a, mut b) = (Shim::open(&file.store, NOW + 30), Shim::open(&file.store, NOW + 30));
    a.ok(json!({ "op": "clock.set", "now": NOW }));
    enrol_bob(&mut a);
    a.ok(json!({ "op": "clock.advance", "seconds": 30 }));
    let reference = step_up(&mut a, "acme", "bob", "prefer_method", json!("totp"));
    let proof = proof(&mut a, &reference, NOW + 30);

    let mut prefer =
        json!({ "op": "method.prefer", "account": "acme", "user": "bob", "method": "totp", "proof": proof });
    let refused = ("step_up_required".to_owned(), String::new());
    assert_eq!(b.error(prefer.clone()), refused);
    prefer["session"] = json!("s2");
    assert_eq!(b.error(prefer.clone()), refused);
    prefer["session"] = json!("s1");
    assert!(b.ok(prefer.clone())["method_id"].is_string());
    // It is spent for the process that it came from too.
    assert_eq!(a.error(prefer), refused);
}

/// Enrols bob of acme and alice, an administrator of the account above; their codes of `NOW` are used by it.
fn enrol_bob_and_alice(shim: &mut Shim) {
    shim.ok(json!({ "op": "account.put", "account": "msp" }));
    enrol_bob(shim);
    shim.ok(json!({ "op": "account.put", "account": "acme", "parent": "msp" }));
    shim.ok(json!({ "op": "user.put", "account": "msp", "user": "alice", "rank": 1 }));
    let begun = shim.ok(json!({ "op": "enrol.begin", "account": "msp", "user": "alice", "method": "totp",
        "choice": { "secret": SECRET } }));
    for (op, response) in [("enrol.confirm", json!({ "code": "732303" })), ("enrol.acknowledge", Value::Null)]
    {
        shim.ok(json!({ "op": op, "account": "msp", "user": "alice", "enrolment": begun["enrolment"],
            "response": response }));
    }
    shim.ok(json!({ "op": "clock.advance", "seconds": 30 }));
}

#[test]
fn an_administrator_of_the_account_above_resets_with_a_proof_for_it() {
    let mut shim = Shim::open("memory", NOW);
    enrol_bob_and_alice(&mut shim);
    let about = json!({ "account": "acme", "user": "bob" });
    let reference = step_up(&mut shim, "msp", "alice", "reset", about);
    let proof = proof(&mut shim, &reference, NOW + 30);
    let change = |op: &str| json!({ "op": op, "account": "acme", "user": "bob", "proof": proof, "reason": "ticket 17" });
    assert_eq!(shim.error(change("user.bypass")).0, "step_up_required");
    shim.ok(change("user.reset"));
    let listed = shim.ok(json!({ "op": "method.list", "account": "acme", "user": "bob" }));
    assert_eq!(listed["methods"], json!([]));
    assert_eq!(shim.error(change("user.reset")).0, "step_up_required");
}

#[test]
fn an_administrator_grants_an_exemption_with_a_proof_for_these_very_terms_and_ends_it_with_another() {
    let mut shim = Shim::start();
    let mut open = open_request("memory", NOW);
    open["policy"] = json!({ "exemptions": true, "enforced": true });
    shim.ok(open);
    enrol_bob_and_alice(&mut shim);
    shim.ok(json!({ "op": "user.put", "account": "acme", "user": "export" }));
    let terms = json!({ "account": "acme", "user": "export", "module": "api_auth", "until": NOW + 86_400,
        "networks": ["192.0.2.7/32"], "reason": "the nightly export" });
    let by_proof = |op: &str, terms: &Value, proof: &Value| {
        let mut request = terms.clone();
        request["op"] = json!(op);
        request["proof"] = proof.clone();
        request
    };
    let refused = ("step_up_required".to_owned(), String::new());

    let reference = step_up(&mut shim, "msp", "alice", "grant_exemption", terms.clone());
    let for_grant = proof(&mut shim, &reference, NOW + 30);
    let mut wider = terms.clone();
    wider["networks"] = json!([]);
    assert_eq!(shim.error(by_proof("exemption.grant", &wider, &for_grant)), refused);
    let granted = shim.ok(by_proof("exemption.grant", &terms, &for_grant));
    assert_eq!((&granted["user"], &granted["state"]), (&json!("export"), &json!("live")), "{granted}");
    assert_eq!(shim.error(by_proof("exemption.grant", &terms, &for_grant)), refused);

    let login = json!({ "op": "login.begin", "account": "acme", "user": "export", "module": "api_auth",
        "first_factor": { "kind": "api_key" }, "ip": "192.0.2.7" });
    assert_eq!(shim.ok(login.clone()), json!({ "outcome": "not_required", "reason": "exempted" }));

    shim.ok(json!({ "op": "clock.advance", "seconds": 30 }));
    let exemption = json!({ "account": "acme", "user": "export", "exemption": granted["exemption"], "reason": "no more" });
    let reference = step_up(&mut shim, "msp", "alice", "end_exemption", exemption.clone());
    let for_end = proof(&mut shim, &reference, NOW + 60);
    shim.ok(by_proof("exemption.end", &exemption, &for_end));
    assert_eq!(shim.ok(login)["outcome"], "enrolment_required");

    let begin = |purpose: &str, subject: Value| json!({ "op": "step_up.begin", "account": "msp", "user": "alice", "purpose": purpose, "subject": subject });
    for (changed, value, field) in [
        ("until", Value::Null, "subject.until"),
        ("networks", json!(["192.0.2"]), "subject.networks"),
        ("first_factor", json!("password"), "subject.first_factor"),
        ("reason", json!(" "), "subject.reason"),
    ] {
        let mut terms = terms.clone();
        terms[changed] = value;
        assert_eq!(shim.error(begin("grant_exemption", terms)).1, field);
    }
    for (purpose, subject) in
        [("grant_exemption", Value::Null), ("grant_exemption", json!("alice")), ("end_exemption", json!({}))]
    {
        let request = begin(purpose, subject);
        assert_eq!(
            shim.error(request.clone()),
            ("bad_request".to_owned(), "subject".to_owned()),
            "{request}"
        );
    }
}

/// Opens a shim with acme, which has a configuration of Duo, and returns it with how its ops are called.
fn with_configuration() -> (Shim, impl Fn(&str) -> Value, Value) {
    let mut shim = Shim::open("memory", NOW);
    shim.ok(json!({ "op": "account.put", "account": "acme" }));
    let duo = json!({ "provider_name": "duo", "settings": { "secret_key": "s" } });
    let made = shim.ok(json!({ "op": "provider.create", "account": "acme", "profile": "seed2017",
        "document": duo }));
    let id = made["data"]["id"].clone();
    let about =
        move |op: &str| json!({ "op": op, "account": "acme", "config_id": id, "profile": "seed2017" });
    (shim, about, made["revision"].clone())
}

#[test]
fn a_written_configuration_is_answered_without_its_settings_once_they_are_not_shown_any_more() {
    let (mut shim, about, created) = with_configuration();
    // The answer to its creation was the first of the day.
    for _ in 1..10 {
        assert_eq!(shim.ok(about("provider.get"))["data"]["settings"], json!({ "secret_key": "s" }));
    }
    assert_eq!(shim.error(about("provider.get")).0, "too_often");
    let public = |enabled: bool| {
        json!({ "provider_name": "duo", "provider_type": "multi_factor", "enabled": enabled,
            "id": about("")["config_id"] })
    };

    let mut patch = about("provider.patch");
    patch["patch"] = json!({ "enabled": false });
    let patched = shim.ok(patch);
    assert_eq!(patched["data"], public(false));
    assert_ne!(patched["revision"], created);

    let mut replace = about("provider.replace");
    replace["document"] = json!({ "provider_name": "duo", "settings": { "secret_key": "t" } });
    replace["revision"] = patched["revision"].clone();
    let replaced = shim.ok(replace.clone());
    assert_eq!(replaced["data"], public(true));
    assert_ne!(replaced["revision"], patched["revision"]);
    assert_eq!(shim.error(replace).0, "conflict");

    shim.ok(json!({ "op": "clock.advance", "seconds": 86_400 }));
    let shown = shim.ok(about("provider.get"));
    assert_eq!(shown["data"]["settings"], json!({ "secret_key": "t" }));
    assert_eq!(shown["revision"], replaced["revision"]);
}

#[test]
fn a_malformed_request_for_a_configuration_uses_up_none_of_the_days_answers() {
    let (mut shim, about, _) = with_configuration();
    let known = about("")["config_id"].clone();
    for id in [known, json!("0".repeat(32)), json!("../x")] {
        for (profile, code) in [(Value::Null, "bad_request"), (json!("kazoo5"), "invalid")] {
            let mut get = about("provider.get");
            (get["config_id"], get["profile"]) = (id.clone(), profile);
            for _ in 0..10 {
                assert_eq!(shim.error(get.clone()), (code.to_owned(), "profile".to_owned()), "{get}");
            }
        }
        for (op, field) in [("provider.replace", "document"), ("provider.patch", "patch")] {
            let mut request = about(op);
            request["config_id"] = id.clone();
            assert_eq!(shim.error(request).1, field);
        }
    }
    assert_eq!(shim.ok(about("provider.get"))["data"]["settings"], json!({ "secret_key": "s" }));
}

/// Opens a shim in which modules decide, with acme below root.
fn with_modules(preset: &str) -> Shim {
    let mut shim = Shim::start();
    let mut open = open_request("memory", NOW);
    open["preset"] = json!(preset);
    shim.ok(open);
    for (account, parent) in [("root", Value::Null), ("acme", json!("root"))] {
        shim.ok(json!({ "op": "account.put", "account": account, "parent": parent }));
    }
    shim.ok(json!({ "op": "user.put", "account": "acme", "user": "bob" }));
    shim
}

fn provider_of_module(shim: &mut Shim) -> Value {
    shim.ok(json!({ "op": "settings.resolve", "account": "acme", "module": "user_auth" }))["provider"].take()
}

fn begun(shim: &mut Shim) -> Value {
    shim.ok(json!({ "op": "login.begin", "account": "acme", "user": "bob", "module": "user_auth" }))
}

/// Makes a configuration of `totp`, and has the module of everybody below `owner` ask for it.
fn ask_for_totp(shim: &mut Shim, owner: &str, account_id: Value) -> Value {
    let id = shim.ok(json!({ "op": "provider.create", "account": owner, "profile": "seed2017",
        "document": { "provider_name": "totp" } }))["data"]["id"]
        .take();
    let mut named = json!({ "enabled": true, "include_subaccounts": true, "configuration_id": id });
    if !account_id.is_null() {
        named["account_id"] = account_id;
    }
    shim.ok(json!({ "op": "settings.put", "account": owner,
        "document": { "auth_modules": { "user_auth": { "multi_factor": named } } } }));
    id
}

#[test]
fn a_module_names_the_provider_that_its_logins_use() {
    let mut shim = with_modules("kazoo");
    assert_eq!(provider_of_module(&mut shim), json!({ "value": "duo", "origin": "system" }));
    let id = ask_for_totp(&mut shim, "root", json!("root"));
    assert_eq!(provider_of_module(&mut shim), json!({ "value": "totp", "origin": "root" }));
    assert_eq!(begun(&mut shim)["offered"], json!(["totp"]));
    shim.ok(json!({ "op": "provider.delete", "account": "root", "config_id": id }));
    assert_eq!(provider_of_module(&mut shim), json!({ "value": null, "origin": "root" }));
    assert_eq!(begun(&mut shim)["outcome"], "denied");

    // Documents that hold whole need not say whose the configuration is.
    for (owner, origin) in [("system", "system"), ("root", "root")] {
        let mut shim = with_modules("kazoo_2017");
        ask_for_totp(&mut shim, owner, Value::Null);
        assert_eq!(provider_of_module(&mut shim), json!({ "value": "totp", "origin": origin }));
        assert_eq!(begun(&mut shim)["offered"], json!(["totp"]));
    }
}

#[test]
fn an_older_copy_of_the_file_and_a_changed_event_are_found() {
    let file = file();
    let older = file.path.with_extension("older");
    let mut shim = open(&file.store, NOW);
    enrol_bob(&mut shim);
    shim.ok(json!({ "op": "audit.checkpoint" }));
    shim.end();
    std::fs::copy(&file.path, &older).unwrap();

    let mut shim = open(&file.store, NOW + 30);
    let reference = begin(&mut shim, None);
    shim.ok(json!({ "op": "login.verify", "challenge": reference, "response": { "code": CODE_NEXT } }));
    let kept = shim.ok(json!({ "op": "audit.checkpoint" }));
    let verify = |trusted: Value| json!({ "op": "audit.verify", "trusted": trusted });
    let short = json!({ "total": kept["total"], "mac": kept["mac"] });
    assert_eq!(shim.ok(verify(short.clone()))["holds"], true);
    shim.end();

    let mut restored = open(&format!("sqlite:{}", older.display()), NOW + 30);
    for trusted in [short, json!({ "checkpoint": kept["checkpoint"] })] {
        let found = restored.ok(verify(trusted));
        assert_eq!((&found["holds"], &found["flaw"]), (&json!(false), &json!("cut_tail")), "{found}");
    }
    restored.end();

    let database = rusqlite::Connection::open(&file.path).unwrap();
    let changed = database.execute(
        "UPDATE events SET at = at + 1 WHERE seq = (SELECT seq FROM events ORDER BY seq LIMIT 1 OFFSET 3)",
        [],
    );
    assert_eq!(changed.unwrap(), 1);
    drop(database);
    let mut shim = open(&file.store, NOW + 30);
    let found = shim.ok(json!({ "op": "audit.verify" }));
    assert_eq!((&found["holds"], &found["flaw"]), (&json!(false), &json!("event_changed")), "{found}");
    assert!(found["first_bad"].is_string());
}

#[test]
fn a_first_factor_alone_sets_up_a_first_method_and_no_second() {
    let mut shim = Shim::open("memory", NOW);
    let first = json!({ "session": "s1" });
    shim.ok(json!({ "op": "account.put", "account": "acme" }));
    shim.ok(json!({ "op": "user.put", "account": "acme", "user": "bob" }));
    let begin = json!({ "op": "enrol.begin", "account": "acme", "user": "bob", "method": "totp",
        "first_factor": first });
    assert!(shim.ok(begin.clone())["secret"].is_string());
    enrol_bob(&mut shim);
    assert_eq!(shim.error(begin.clone()).0, "step_up_required");
    let mut two_ways = begin;
    two_ways["proof"] = json!("made-up");
    assert_eq!(shim.error(two_ways).0, "bad_request");
}

#[test]
fn a_notice_that_is_refused_for_good_is_given_up_and_only_verified_contacts_are_told() {
    let mut shim = Shim::open("memory", NOW);
    enrol_bob(&mut shim);
    let put = |verified: bool| {
        json!({ "op": "user.put", "account": "acme", "user": "bob",
        "email": "bob@acme.example", "email_verified": true, "mobile": "+15551234567", "mobile_verified": verified })
    };
    let unlock =
        json!({ "op": "user.unlock", "account": "acme", "user": "bob", "actor": "alice", "reason": "r" });
    shim.ok(put(false));
    shim.ok(unlock);
    let told = shim.ok(json!({ "op": "inbox.take" }))["messages"].take();
    assert_eq!((told.as_array().unwrap().len(), &told[0]["channel"]), (1, &json!("email")), "{told}");

    shim.ok(put(true));
    shim.ok(json!({ "op": "inbox.fail", "channel": "phone", "kind": "permanent" }));
    shim.ok(json!({ "op": "recovery.issue", "account": "acme", "user": "bob", "form": "key" }));
    let drained = shim.ok(json!({ "op": "notices.drain" }));
    assert_eq!(drained, json!({ "sent": 0, "waiting": 0, "given_up": 1 }));
    let told = shim.ok(json!({ "op": "inbox.take" }))["messages"].take();
    assert_eq!((told.as_array().unwrap().len(), &told[0]["channel"]), (1, &json!("email")), "{told}");
}
