//! S1: no public call does anything for a handle that is made up, of another kind or of another holder. The calls
//! are read from the engine's own text, so that a new one is asked too.
#![cfg(test)]

use std::path::Path;

use audit_model::{Kind, Profile};
use mfa::settings::{Change, Modules, Owner};
use mfa::{
    Account, Authority, Choice, DeviceId, Engine, EnrolmentId, Error, Intent, Invitation, MethodSelector,
    Operation, Policy, Proof, Reference, RequestFacts, Response, Subject, Ticket,
};
use mfa_testkit::inbox::Inbox;
use mfa_tests::api_keys::{account, readable};
use mfa_tests::attack::{dump, records};
use mfa_tests::handles::{of_another_holder, untouched};
use mfa_tests::rights::{
    Wanted, enrol_ranked, enrolments, keep_device, may, no_configuration, prove_on, provider_of_none,
};
use mfa_tests::{World, host, login, on_stores, session, totp};
use serde_json::json;

/// The calls that take no handle: they speak for the host, which says who asks.
const WITHOUT_A_HANDLE: [&str; 28] = [
    "api_key_verify",
    "begin",
    "begin_decoy",
    "build",
    "configurations",
    "device_remember",
    "device_trust",
    "devices",
    "drain_outbox",
    "exemptions",
    "explain",
    "identity_holder",
    "key_activate",
    "key_references",
    "key_retire",
    "link_confirm",
    "link_not_me",
    "link_open",
    "methods",
    "policy_document",
    "policy_resolve",
    "reseal",
    "restore_barrier",
    "settings",
    "settings_resolve",
    "status",
    "step_up_begin",
    "unlock_with_codes",
];

/// The names of the engine's public calls, and whether each takes a reference or an authority.
fn entry_points() -> Vec<(String, bool, bool)> {
    let engine = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/mfa-core/src/engine");
    let mut found = Vec::new();
    for file in std::fs::read_dir(engine).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for call in text.split("pub async fn ").skip(1) {
            let (signature, _) = call.split_once(" {\n").unwrap();
            let (name, parameters) = signature.split_once('(').unwrap();
            // What shows who confirms a link is no authority; made-up tokens are asked in `delivery_links`.
            let parameters = parameters.replace("LinkProof", "");
            let takes = |words: &[&str]| words.iter().any(|word| parameters.contains(word));
            let by_reference = takes(&["Reference", "Target"]);
            let by_authority = takes(&["Authority", "Proof", "Ticket", "Invitation"]);
            found.push((name.to_owned(), by_reference, by_authority));
        }
    }
    found.sort();
    found
}

/// Asks a call that takes a reference, and returns all it says.
async fn by_reference(engine: &Engine, name: &str, reference: &Reference, code: &str) -> String {
    let response = Response::code(code);
    match name {
        "verify" => format!("{:?}", engine.verify(reference, response).await),
        "claim" => format!("{:?}", engine.claim(reference).await),
        "switch" => format!("{:?}", engine.switch(reference, &MethodSelector::Provider(totp())).await),
        "cancel" => format!("{:?}", engine.cancel(reference).await),
        "resend" => format!("{:?}", engine.resend(reference).await),
        "enrol_resend" => format!("{:?}", engine.enrol_resend(reference, &RequestFacts::new()).await),
        "enrol_confirm" => format!("{:?}", engine.enrol_confirm(reference, &response).await),
        "enrol_acknowledge" => {
            format!("{:?}", engine.enrol_acknowledge(reference, &RequestFacts::new()).await)
        }
        other => panic!("{other} takes a reference and is new: say how it is asked"),
    }
}

/// The change that a call makes by an authority; none for one that needs no proof of it.
fn operation_of(name: &str) -> Option<Operation> {
    Some(match name {
        "enrol_begin" | "user_invite" => Operation::AddMethod,
        "method_remove" => Operation::RemoveMethod,
        "method_prefer" => Operation::PreferMethod,
        "recovery_issue" => Operation::IssueRecovery,
        "disable" => Operation::Disable,
        "user_unlock" => Operation::Unlock,
        "user_reset" => Operation::Reset,
        "bypass_issue" => Operation::Bypass,
        "forget_user" => Operation::Forget,
        "device_revoke" | "device_revoke_all" => Operation::RevokeDevice,
        "device_ban" => Operation::BanDevice,
        "exemption_grant" => Operation::GrantExemption,
        "exemption_end" => Operation::EndExemption,
        "api_key_create" | "api_key_reset" => Operation::IssueApiKey,
        "api_key_show" => Operation::ShowApiKey,
        "api_key_remove" => Operation::RemoveApiKey,
        "settings_put" | "settings_patch" | "settings_delete" => Operation::ChangeSettings,
        "policy_put" | "policy_patch" | "policy_delete" => Operation::ChangePolicy,
        "configuration_create"
        | "configuration_replace"
        | "configuration_patch"
        | "configuration_delete"
        | "configurations_clear" => Operation::ChangeConfiguration,
        "configuration_show" => Operation::ShowConfiguration,
        // The host's alone, whatever anybody proves.
        "forget_account" | "revoke" => return None,
        other => panic!("{other} takes an authority and is new: say what it changes"),
    })
}

/// Asks a call that takes an authority, and returns the code of what it says.
async fn by_authority(
    engine: &Engine,
    name: &str,
    bob: &Subject,
    (method, device): (EnrolmentId, DeviceId),
    by: &Authority,
) -> String {
    let (account, user) = (bob.account(), bob.user());
    let told = match (name, operation_of(name)) {
        ("user_invite", _) => engine.user_invite(account, user, &totp(), by).await.map(drop),
        ("revoke", _) => engine.revoke(account, user, by).await,
        ("forget_account", _) => engine.forget_account(account, by).await.map(drop),
        ("device_revoke", _) => engine.device_revoke(account, user, device, by).await,
        ("api_key_create", _) => {
            let account = Wanted::new(Operation::IssueApiKey, bob, method).account();
            engine.api_key_create(&account, by).await.map(drop)
        }
        ("settings_patch", _) => engine.settings_patch(&owner(bob), &json!({}), None, by).await.map(drop),
        ("settings_delete", _) => engine.settings_delete(&owner(bob), None, by).await,
        ("policy_patch", _) => engine.policy_patch(&owner(bob), &json!({}), None, by).await.map(drop),
        ("policy_delete", _) => engine.policy_delete(&owner(bob), None, by).await,
        ("configuration_replace", _) => {
            let (owner, id, document) = (owner(bob), no_configuration(), provider_of_none());
            let made = engine.configuration_replace(&owner, id, Profile::Seed2017, &document, None, by).await;
            if_there(made.map(drop))
        }
        ("configuration_patch", _) => {
            let (owner, id) = (owner(bob), no_configuration());
            let made = engine.configuration_patch(&owner, id, Profile::Seed2017, &json!({}), None, by).await;
            if_there(made.map(drop))
        }
        ("configuration_delete", _) => {
            if_there(engine.configuration_delete(&owner(bob), no_configuration(), None, by).await)
        }
        ("configurations_clear", _) => if_there(engine.configurations_clear(&owner(bob), by).await),
        (_, Some(operation)) => Wanted::new(operation, bob, method).of_device(device).ask(engine, by).await,
        _ => panic!("{name} is new: say how it is asked"),
    };
    told.map_or_else(|error| error.code(), |()| "done").to_owned()
}

/// Whoever is told that there is no such thing may do it.
fn if_there(told: Result<(), Error>) -> Result<(), Error> {
    if matches!(told, Err(Error::NoDocument)) { Ok(()) } else { told }
}

fn owner(of: &Subject) -> Owner {
    Owner::Account(Account::from(of))
}

/// The change that a call makes, in the form in which [`by_authority`] asks for it.
fn intent_of(name: &str, bob: &Subject, (method, device): (EnrolmentId, DeviceId)) -> Intent {
    let (account, nothing) = (Account::from(bob), json!({}));
    match name {
        "settings_patch" => Intent::change_settings(&account, Change::Patch(&nothing)),
        "settings_delete" => Intent::change_settings(&account, Change::Delete),
        "policy_patch" => Intent::change_policy(&account, Change::Patch(&nothing)),
        "policy_delete" => Intent::change_policy(&account, Change::Delete),
        "configuration_replace" => {
            Intent::change_configuration(&account, Some(no_configuration()), Change::Put(&provider_of_none()))
        }
        "configuration_patch" => {
            Intent::change_configuration(&account, Some(no_configuration()), Change::Patch(&nothing))
        }
        "configuration_delete" => {
            Intent::change_configuration(&account, Some(no_configuration()), Change::Delete)
        }
        "configurations_clear" => Intent::change_configuration(&account, None, Change::Delete),
        "device_revoke" => Intent::revoke_device(bob, Some(device)),
        _ => {
            let operation = operation_of(name).unwrap_or(Operation::Reset);
            Wanted::new(operation, bob, method).of_device(device).intent()
        }
    }
}

#[test]
fn s01_every_public_call_is_known_here() {
    let found = entry_points();
    let without: Vec<_> = found
        .iter()
        .filter(|(_, reference, authority)| !reference && !authority)
        .map(|(name, ..)| name)
        .collect();
    assert_eq!(without, WITHOUT_A_HANDLE);
    assert!(found.iter().filter(|(_, _, authority)| *authority).all(|(name, ..)| {
        ["forget_account", "revoke"].contains(&&**name) || operation_of(name).is_some()
    }));
    assert!(found.len() > WITHOUT_A_HANDLE.len() + Operation::ALL.len());
}

on_stores! {
    async fn s01_every_call_by_reference_answers_strangers_as_if_nothing_were_there(world) {
        let elsewhere = World::memory().await;
        let (bob, app) = world.enrol("bob").await;
        let (twin, _) = elsewhere.enrol("bob").await;
        let code = app.code_at(world.now());
        let intent = Intent::disable(&bob);
        let begin = async |world: &World, bob: &Subject| {
            let (account, user) = (bob.account(), bob.user());
            let enrols = world.engine.enrol_begin(account, user, &totp(), &Choice::none(), &host()).await.unwrap();
            let mfa::Begin::Challenge(proves) = world.engine.step_up_begin(login(bob), &intent).await.unwrap() else {
                panic!("no challenge")
            };
            [world.begin(bob).await.reference, proves.reference, enrols.reference]
        };
        let (here, unknown) = (begin(&world, &bob).await, begin(&elsewhere, &twin).await);
        let invited = world.engine.user_invite(bob.account(), bob.user(), &totp(), &host()).await.unwrap();
        let before = dump(&world).await;
        for (name, ..) in entry_points().into_iter().filter(|(_, reference, _)| *reference) {
            let of_enrolments = name.starts_with("enrol_");
            let answer = by_reference(&world.engine, &name, &unknown[if of_enrolments { 2 } else { 0 }], &code).await;
            assert!(answer.contains("NotFound"), "{name}: {answer}");
            let mut strange = vec!["made-up".to_owned(), invited.invitation.expose_secret().to_owned()];
            for (n, reference) in here.iter().enumerate() {
                let text = reference.expose_secret();
                assert_eq!(untouched(text), text);
                strange.push(of_another_holder(text));
                if of_enrolments != (n == 2) {
                    strange.push(text.to_owned());
                }
            }
            strange.extend(unknown.iter().map(|reference| reference.expose_secret().to_owned()));
            for text in strange {
                let reference = Reference::from_text(&text);
                assert_eq!(by_reference(&world.engine, &name, &reference, &code).await, answer, "{name}: {text:.40}");
            }
        }
        assert_eq!(dump(&world).await, before);
    }

    async fn s01_every_call_by_proof_answers_strangers_as_if_nothing_were_there(world) {
        let inbox = Inbox::new();
        let policy = readable().with_document(&json!({"exemptions": true})).unwrap();
        let engine = world.recovery_node(&inbox).policy(policy).modules(Modules::kazoo()).build().await.unwrap();
        let elsewhere = World::memory().await;
        let (ann, ann_app) = enrol_ranked(&world, "ann", 5).await;
        let (ann_there, app_there) = enrol_ranked(&elsewhere, "ann", 5).await;
        let calls = entry_points().into_iter().filter(|(_, _, authority)| *authority);
        for (name, ..) in calls {
            let (bob, _) = world.enrol(&format!("bob-{name}")).await;
            let app = world.enrol_again(&bob).await;
            let there = elsewhere.enrol(&format!("bob-{name}")).await;
            let methods = enrolments(&world, &bob).await;
            let operation = operation_of(&name).unwrap_or(Operation::Reset);
            let device = keep_device(&engine, &bob).await;
            let intent = intent_of(&name, &bob, (methods[0], device));
            let by_ann = may(operation).1;
            let by_app = login(&bob).with_method(MethodSelector::Enrolment(methods[1]));
            let (asks, who, with) = if by_ann { (login(&ann), &ann, &ann_app) } else { (by_app, &bob, &app) };
            let real = prove_on(&engine, &world, asks, with, &intent).await;
            elsewhere.clock.set(world.now());
            let (who_there, app_there) = if by_ann { (&ann_there, &app_there) } else { (&there.0, &there.1) };
            let unknown = prove_on(&elsewhere.engine, &elsewhere, login(who_there), app_there, &intent).await;
            let proof = |text: &str| Authority::proof(Proof::from_text(text), Some(&session(who)));
            let answer = by_authority(&engine, &name, &bob, (methods[0], device), &proof(unknown.expose_secret())).await;
            let expected = if operation_of(&name).is_some() { "step_up_required" } else { "not_permitted" };
            assert_eq!(answer, expected, "{name}");
            if ["api_key_show", "api_key_remove"].contains(&&*name) {
                engine.api_key_reset(&account(), &host()).await.unwrap();
            }
            if name.ends_with("_delete") {
                engine.settings_put(&owner(&bob), &json!({}), None, &host()).await.unwrap();
                engine.policy_put(&owner(&bob), &json!({}), None, &host()).await.unwrap();
            }
            let challenge = world.begin(&bob).await;
            let invited = engine.user_invite(bob.account(), bob.user(), &totp(), &host()).await.unwrap();
            let (before, events) = (records(&world).await, world.events().await.len());
            for text in [
                "made-up",
                challenge.reference.expose_secret(),
                invited.invitation.expose_secret(),
                &of_another_holder(real.expose_secret()),
                unknown.expose_secret(),
            ] {
                let told = by_authority(&engine, &name, &bob, (methods[0], device), &proof(text)).await;
                assert_eq!(told, answer, "{name}: {text:.40}");
                let as_ticket = Authority::invited(Ticket::from_text(text), Some(&session(&bob)), Invitation::from_text(text));
                assert_eq!(by_authority(&engine, &name, &bob, (methods[0], device), &as_ticket).await, answer, "{name}: {text:.40}");
            }
            assert_eq!(records(&world).await, before, "{name}");
            let since = world.events().await.split_off(events);
            assert!(since.len() <= 1 && since.iter().all(|event| event.kind() == Kind::ChangeRefused), "{since:?}");
            // The one that all those were like is good.
            let told = by_authority(&engine, &name, &bob, (methods[0], device), &proof(real.expose_secret())).await;
            assert_eq!(told == "done", operation_of(&name).is_some(), "{name}: {told}");
        }
    }

    async fn s01_every_call_by_ticket_answers_strangers_as_if_nothing_were_there(world) {
        let elsewhere = World::memory().await;
        let policy = Policy::recommended().with_document(&json!({"enforced": true})).unwrap();
        let engine = world.node().policy(policy.clone()).build().await.unwrap();
        let there = elsewhere.node().policy(policy).build().await.unwrap();
        let bob = world.add("bob").await;
        let twin = elsewhere.add("bob").await;
        let given = async |engine: &Engine, bob: &Subject| {
            let mfa::Begin::EnrolmentRequired(required) = engine.begin(login(bob)).await.unwrap() else { panic!() };
            let invited = engine.user_invite(bob.account(), bob.user(), &totp(), &host()).await.unwrap();
            (required.ticket.expose_secret().to_owned(), invited.invitation.expose_secret().to_owned())
        };
        let (real, unknown) = (given(&engine, &bob).await, given(&there, &twin).await);
        let as_ticket = |ticket: &str, invitation: &str| {
            Authority::invited(Ticket::from_text(ticket), Some(&session(&bob)), Invitation::from_text(invitation))
        };
        let before = records(&world).await;
        let none = EnrolmentId::from_bytes([7; 16]);
        for (name, ..) in entry_points().into_iter().filter(|(_, _, authority)| *authority) {
            let answer = by_authority(&engine, &name, &bob, (none, DeviceId::from_bytes([9; 16])), &as_ticket(&unknown.0, &unknown.1)).await;
            assert_ne!(answer, "done", "{name}");
            for ticket in ["made-up", &of_another_holder(&real.0), &real.1] {
                let told = by_authority(&engine, &name, &bob, (none, DeviceId::from_bytes([9; 16])), &as_ticket(ticket, &real.1)).await;
                assert!(told == answer || told == "step_up_required", "{name}: {told}, not {answer}");
            }
            for invitation in ["made-up", &of_another_holder(&real.1), &real.0, &unknown.1] {
                let told = by_authority(&engine, &name, &bob, (none, DeviceId::from_bytes([9; 16])), &as_ticket(&real.0, invitation)).await;
                assert_ne!(told, "done", "{name}");
            }
            if name != "enrol_begin" {
                let told = by_authority(&engine, &name, &bob, (none, DeviceId::from_bytes([9; 16])), &as_ticket(&real.0, &real.1)).await;
                assert_ne!(told, "done", "{name}");
            }
        }
        assert_eq!(records(&world).await, before);
        let told = by_authority(&engine, "enrol_begin", &bob, (none, DeviceId::from_bytes([9; 16])), &as_ticket(&real.0, &real.1)).await;
        assert_eq!(told, "done");
    }
}
