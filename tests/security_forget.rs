//! S21: an id that is given to another person brings them nothing of the former one. S27: who is forgotten is
//! forgotten everywhere.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use audit_model::{Event, Kind};
use mfa::{
    Answer, Authority, Begin, Challenge, Choice, Contact, DeniedReason, DeviceToken, Engine, EnrolConfirm,
    Intent, Invitation, Key, NotRequired, NoticeKind, Policy, Proof, RecordKind, RecoveryForm, Reference,
    RequestFacts, Response, Scope, Subject, Ticket, Unlocked, UserId, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::inbox::Inbox;
use mfa_tests::devices::session_of;
use mfa_tests::notified::{Elsewhere, arrived, mail, reachable};
use mfa_tests::told::{streams_are_whole, words, wrong_code};
use mfa_tests::watched::{self, Watched};
use mfa_tests::{STEP, World, acme, host, login, on_stores, session, subject, totp};
use serde_json::json;

const LIFE: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Whatever a user may hold, and somebody may have kept.
struct Held {
    app: SoftAuthenticator,
    codes: Vec<String>,
    bypass: String,
    challenge: Challenge,
    proofs: Vec<(Intent, Proof)>,
    tickets: Vec<Ticket>,
    invitation: Invitation,
    pending: (Reference, SoftAuthenticator),
    confirmed: (Reference, SoftAuthenticator),
    device: DeviceToken,
}

/// A world whose store tells which records were ever put, with a node that asks every user for a method.
async fn watched(base: &World) -> (World, Arc<Watched>, Inbox, Engine) {
    let watched = Arc::new(watched::watched(&base.store));
    let (world, inbox) = World::on(watched.clone(), None).await.with_recovery().await;
    let policy = Policy::recommended().with_document(&json!({ "enforced": true })).expect("a policy");
    let strict = world.recovery_node(&inbox).policy(policy).build().await.expect("an engine");
    (world, watched, inbox, strict)
}

/// Gives bob one of everything.
async fn one_of_everything(world: &World, strict: &Engine, bob: &Subject) -> Held {
    let (account, user, engine) = (bob.account(), bob.user(), &world.engine);
    let mut tickets = Vec::new();
    for _ in 0..2 {
        let begun = strict.begin(login(bob)).await.expect("a begin");
        let Begin::EnrolmentRequired(required) = begun else { panic!("{begun:?}") };
        tickets.push(required.ticket);
    }
    let confirmed = shown(world, engine, bob).await;
    let (app, codes) = world.enrol_with_recovery(bob).await;
    let pending = shown(world, engine, bob).await;
    let begun = engine.enrol_begin(account, user, &totp(), &Choice::none(), &host()).await.expect("a begin");
    let unanswered = SoftAuthenticator::scan(begun.revealed.get("uri").expect("a uri").expose_secret());
    drop(pending);
    let id = engine.methods(account, user).await.expect("methods")[0].id;
    let mut proofs = Vec::new();
    for intent in intents(bob, id) {
        proofs.push((intent.clone(), world.prove(bob, &app, &intent).await));
    }
    // The bypass code comes last, and a login before it.
    let verified = world.answer(&world.begin(bob).await, &app.code_at(world.now())).await;
    let Verify::Verified(grant) = verified else { panic!("{verified:?}") };
    let device =
        engine.device_remember(&grant, Some(&session_of(&grant)), "a device").await.expect("a device").token;
    world.clock.advance(STEP);
    let challenge = world.begin(bob).await;
    let invited = engine.user_invite(account, user, &totp(), &host()).await.expect("an invitation");
    let bypass = engine.bypass_issue(account, user, LIFE, &host()).await.expect("a code");
    Held {
        app,
        codes,
        bypass: bypass.code.expose_secret().to_owned(),
        challenge,
        proofs,
        tickets,
        invitation: invited.invitation,
        pending: (begun.reference, unanswered.expect("a uri")),
        confirmed,
        device,
    }
}

fn intents(bob: &Subject, id: mfa::EnrolmentId) -> Vec<Intent> {
    vec![
        Intent::add_method(bob, &totp()),
        Intent::prefer_method(bob, id),
        Intent::issue_recovery(bob),
        Intent::disable(bob),
        Intent::forget(bob),
    ]
}

/// Begins an enrolment and answers it, so that recovery codes are shown and wait to be acknowledged.
async fn shown(world: &World, engine: &Engine, bob: &Subject) -> (Reference, SoftAuthenticator) {
    let begun = engine.enrol_begin(bob.account(), bob.user(), &totp(), &Choice::none(), &host()).await;
    let begun = begun.expect("a begin");
    let app = SoftAuthenticator::scan(begun.revealed.get("uri").expect("a uri").expose_secret());
    let app = app.expect("a uri");
    let _ = engine.enrol_confirm(&begun.reference, &Response::code(&app.code_at(world.now()))).await;
    (begun.reference, app)
}

/// Tries everything that somebody kept. Nothing may change or let in.
async fn nothing_works(world: &World, held: &Held, bob: &Subject) {
    let (account, user, engine, now) = (bob.account(), bob.user(), &world.engine, world.now());
    for (intent, proof) in &held.proofs {
        let by = Authority::proof(proof.clone(), Some(&session(bob)));
        let refused = match intent.operation().code() {
            "add_method" => engine.enrol_begin(account, user, &totp(), &Choice::none(), &by).await.map(drop),
            "prefer_method" => {
                engine.method_prefer(account, user, &"totp".parse().unwrap(), &by).await.map(drop)
            }
            "issue_recovery" => {
                engine.recovery_issue(account, user, RecoveryForm::Codes, &by).await.map(drop)
            }
            "disable" => engine.disable(account, user, &by).await,
            _ => engine.forget_user(account, user, &by).await,
        };
        let code = refused.expect_err("a proof of the former person").code();
        let nothing_there =
            intent.operation().code() == "prefer_method" || intent.operation().code() == "issue_recovery";
        assert!(code == "step_up_required" || (nothing_there && code != "unavailable"), "{intent:?}: {code}");
    }
    let [first, second] = [&held.tickets[0], &held.tickets[1]];
    for by in [
        Authority::ticket(first.clone(), Some(&session(bob))),
        Authority::invited(second.clone(), Some(&session(bob)), held.invitation.clone()),
    ] {
        let refused = engine.enrol_begin(account, user, &totp(), &Choice::none(), &by).await;
        assert_eq!(refused.expect_err("a ticket of the former person").code(), "step_up_required");
    }
    let explained = engine.explain(&login(bob).with_device(held.device.clone())).await.expect("reasons");
    let device = explained.rules.iter().find(|rule| rule.name == "device").expect("a rule");
    assert_eq!(device.value, "unknown");
    for (reference, app) in [&held.pending, &held.confirmed] {
        let code = Response::code(&app.code_at(now));
        for outcome in [
            engine.enrol_confirm(reference, &code).await,
            engine.enrol_acknowledge(reference, &RequestFacts::new()).await,
        ] {
            assert!(matches!(outcome, Ok(EnrolConfirm::Rejected(_))), "{outcome:?}");
        }
    }
    let reference = &held.challenge.reference;
    for response in [
        Response::code(&held.app.code_at(now)),
        Response::answer(Answer::recovery(&held.codes[0])),
        Response::answer(Answer::bypass(&held.bypass)),
        Response::poll(),
    ] {
        assert!(matches!(engine.verify(reference, response).await, Ok(Verify::Rejected(_))));
    }
    assert!(matches!(engine.claim(reference).await, Ok(Verify::Rejected(_))));
    let steps = [0, 1, 2].map(|n| held.app.code_at(now.plus(STEP * n)));
    let unlocked = engine.unlock_with_codes(&login(bob), [&steps[0], &steps[1], &steps[2]]).await;
    assert!(matches!(unlocked, Ok(Unlocked::Rejected(_))), "{unlocked:?}");
}

/// Whether anything of what the former person kept answers a challenge of the next one.
async fn nothing_answers(world: &World, held: &Held, next: &Subject) {
    let challenge = world.begin(next).await;
    for response in [
        Response::code(&held.app.code_at(world.now())),
        Response::answer(Answer::recovery(&held.codes[1])),
        Response::answer(Answer::bypass(&held.bypass)),
    ] {
        let answered = world.engine.verify(&challenge.reference, response).await;
        assert!(matches!(answered, Ok(Verify::Rejected(_))), "{}", words(&answered));
    }
}

fn generation(n: &str, address: &str) -> Subject {
    reachable("bob", vec![mail(address)]).with_generation(n).expect("a generation")
}

on_stores! {
    async fn s21_a_recreated_user_gets_nothing_of_the_former_one_before_forget(base) {
        let (world, _, inbox, strict) = watched(&base).await;
        let old = generation("1", "old@acme.example");
        world.directory.put(&old).await.unwrap();
        let held = one_of_everything(&world, &strict, &old).await;
        // The former one's app is delayed, so that three of its codes would lift that.
        for _ in 0..5 {
            let _ = world.answer(&world.begin(&old).await, &wrong_code(&held.app, world.now())).await;
        }
        let _ = arrived(&world.engine, &inbox).await;
        let new = generation("2", "new@acme.example");
        world.directory.put(&new).await.unwrap();
        let before = world.engine.methods(new.account(), new.user()).await.unwrap();
        let denied = world.engine.begin(login(&new)).await.unwrap();
        assert!(matches!(denied, Begin::Denied(d) if d.reason == DeniedReason::Generation));
        let enrolling =
            world.engine.enrol_begin(new.account(), new.user(), &totp(), &Choice::none(), &host()).await;
        assert_eq!(enrolling.unwrap_err().code(), "generation");
        for (intent, proof) in &held.proofs {
            let by = Authority::proof(proof.clone(), Some(&session(&new)));
            let (account, user) = (new.account(), new.user());
            let changed = match intent.operation().code() {
                "prefer_method" => world.engine.method_prefer(account, user, &"totp".parse().unwrap(), &by).await.map(drop),
                "issue_recovery" => world.engine.recovery_issue(account, user, RecoveryForm::Codes, &by).await.map(drop),
                "disable" => world.engine.disable(account, user, &by).await,
                _ => continue,
            };
            // What there is of the former one's methods is told to nobody without a right, either.
            assert_eq!(changed.unwrap_err().code(), "step_up_required");
        }
        world.clock.advance(STEP * 3);
        let steps = [2, 1, 0].map(|n| held.app.code_at(world.now().minus(STEP * n)));
        let unlocked = world.engine.unlock_with_codes(&login(&new), [&steps[0], &steps[1], &steps[2]]).await;
        assert!(matches!(unlocked, Ok(Unlocked::Rejected(_))));
        let bypass = world.engine.bypass_issue(new.account(), new.user(), LIFE, &host()).await;
        assert_eq!(bypass.unwrap_err().code(), "no_method");
        assert_eq!(world.engine.methods(new.account(), new.user()).await.unwrap(), before);
        assert_eq!(arrived(&world.engine, &inbox).await, [], "the new one is told nothing of the former one's");
        let unlocked = world.engine.unlock_with_codes(&login(&old), [&steps[0], &steps[1], &steps[2]]).await;
        assert!(matches!(unlocked, Ok(Unlocked::Done)), "they are good codes: {unlocked:?}");
    }

    async fn s21_after_forget_nothing_of_the_former_one_works_and_the_next_one_starts_clean(base) {
        let (world, _, inbox, strict) = watched(&base).await;
        let old = generation("1", "old@acme.example");
        world.directory.put(&old).await.unwrap();
        let held = one_of_everything(&world, &strict, &old).await;
        world.engine.forget_user(old.account(), old.user(), &host()).await.unwrap();
        // Of the same generation, or of another, with no time in between.
        for next in [old.clone(), generation("2", "new@acme.example")] {
            world.directory.put(&next).await.unwrap();
            nothing_works(&world, &held, &next).await;
            let begun = world.engine.begin(login(&next)).await.unwrap();
            assert!(matches!(begun, Begin::NotRequired(NotRequired::NoMethod)), "{begun:?}");
            assert_eq!(arrived(&world.engine, &inbox).await, []);
            let (app, codes) = world.enrol_with_recovery(&next).await;
            let address = next.contacts()[0].address().expose_secret().to_owned();
            let added = NoticeKind::MethodAdded.subject().to_owned();
            assert_eq!(arrived(&world.engine, &inbox).await, [(address, added)]);
            nothing_works(&world, &held, &next).await;
            nothing_answers(&world, &held, &next).await;
            let verified = world.answer(&world.begin(&next).await, &app.code_at(world.now())).await;
            assert!(matches!(verified, Verify::Verified(_)), "{verified:?}");
            let recovered = world.recover(&world.begin(&next).await, &codes[0]).await;
            assert!(matches!(recovered, Verify::Verified(_)), "{recovered:?}");
            world.engine.forget_user(next.account(), next.user(), &host()).await.unwrap();
        }
    }

    async fn s21_a_notice_to_the_next_one_is_no_repetition_of_the_former_ones(base) {
        let (world, _, inbox, _) = watched(&base).await;
        let mut ids = Vec::new();
        for (generation_of_it, forget) in [("1", true), ("1", true), ("2", false), ("3", false)] {
            let bob = generation(generation_of_it, "bob@acme.example");
            world.directory.put(&bob).await.unwrap();
            let _ = world.enrol_with_recovery(&bob).await;
            world.engine.drain_outbox(10).await.unwrap();
            let messages = inbox.take();
            assert_eq!(messages.len(), 1, "generation {generation_of_it}");
            ids.extend(messages.into_iter().map(|message| message.id));
            if forget {
                world.engine.forget_user(bob.account(), bob.user(), &host()).await.unwrap();
            } else {
                world.engine.disable(bob.account(), bob.user(), &host()).await.unwrap();
                world.engine.drain_outbox(10).await.unwrap();
                let _ = inbox.take();
            }
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 4);
    }

    async fn s21_a_ticket_of_the_former_one_is_none_for_the_next(base) {
        let (world, _, _, strict) = watched(&base).await;
        let old = generation("1", "old@acme.example");
        world.directory.put(&old).await.unwrap();
        // The former one has a record, and no method any more.
        let _ = world.enrol_with_recovery(&old).await;
        world.engine.disable(old.account(), old.user(), &host()).await.unwrap();
        let Begin::EnrolmentRequired(required) = strict.begin(login(&old)).await.unwrap() else { panic!() };
        let new = generation("2", "new@acme.example");
        world.directory.put(&new).await.unwrap();
        let by = Authority::ticket(required.ticket, Some(&session(&new)));
        let refused = strict.enrol_begin(new.account(), new.user(), &totp(), &Choice::none(), &by).await;
        assert_eq!(refused.unwrap_err().code(), "step_up_required");
    }

    async fn s21_forget_removes_every_kind_of_record_and_no_notice_is_sent(base) {
        let (world, watched, inbox, strict) = watched(&base).await;
        let bob = generation("1", "bob@acme.example");
        let carol = world.add_reachable("carol").await;
        let bystander = world.enrol_with_recovery(&carol).await;
        let of_carol = watched.ever_put();
        world.directory.put(&bob).await.unwrap();
        let _held = one_of_everything(&world, &strict, &bob).await;
        let of_bob: Vec<Key> = watched.ever_put().into_iter().filter(|key| !of_carol.contains(key)).collect();
        let mut kinds: Vec<_> = there(&world, &of_bob).await.iter().map(|key| key.kind.as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let all = [
            "challenge", "device", "directory_user", "invitation", "login", "notice", "open", "pending", "proof",
            "ticket", "vault",
        ];
        assert_eq!(kinds, all, "one of each kind is there");
        world.engine.forget_user(bob.account(), bob.user(), &host()).await.unwrap();
        // The directory is the host's.
        let left = there(&world, &of_bob).await;
        assert_eq!(left.iter().map(|key| key.kind.as_str()).collect::<Vec<_>>(), ["directory_user"]);
        let told = arrived(&world.engine, &inbox).await;
        assert!(told.iter().all(|(to, _)| to == "carol@acme.example"), "{told:?}");
        let carol_left: Vec<Key> = of_carol.iter().filter(|key| key.kind.as_str() != "notice").cloned().collect();
        assert_eq!(there(&world, &carol_left).await.len(), carol_left.len());
        let verified = world.answer(&world.begin(&carol).await, &bystander.0.code_at(world.now())).await;
        assert!(matches!(verified, Verify::Verified(_)));
        one_event(&world, "host_vouched", Some("test-host")).await;
    }

    async fn s21_challenges_that_ended_long_ago_are_dead_and_gone_within_a_day(base) {
        let (world, watched, _, strict) = watched(&base).await;
        let bob = generation("1", "bob@acme.example");
        world.directory.put(&bob).await.unwrap();
        let held = one_of_everything(&world, &strict, &bob).await;
        // It expires, and the next begin does not list it any more.
        world.clock.advance(Duration::from_secs(301));
        let _ = world.begin(&bob).await;
        world.engine.forget_user(bob.account(), bob.user(), &host()).await.unwrap();
        let left = there(&world, &watched.ever_put()).await;
        assert!(left.iter().all(|key| ["challenge", "directory_user"].contains(&key.kind.as_str())), "{left:?}");
        let _ = world.enrol_with_recovery(&bob).await;
        nothing_works(&world, &held, &bob).await;
        world.clock.advance(DAY + LIFE);
        world.engine.forget_user(bob.account(), bob.user(), &host()).await.unwrap();
        assert_eq!(there(&world, &watched.ever_put()).await.len(), 1);
    }

    async fn s21_a_user_forgets_themselves_by_their_own_proof_once(base) {
        let (world, watched, inbox, strict) = watched(&base).await;
        let bob = generation("1", "bob@acme.example");
        world.directory.put(&bob).await.unwrap();
        let held = one_of_everything(&world, &strict, &bob).await;
        let (intent, proof) = held.proofs.last().unwrap();
        assert_eq!(intent.operation().code(), "forget");
        let wrong = &held.proofs[3].1;
        let (account, user) = (bob.account(), bob.user());
        for by in [
            Authority::proof(wrong.clone(), Some(&session(&bob))),
            Authority::proof(proof.clone(), Some("another session")),
            Authority::ticket(held.tickets[0].clone(), Some(&session(&bob))),
        ] {
            let refused = world.engine.forget_user(account, user, &by).await;
            assert_eq!(refused.unwrap_err().code(), "step_up_required");
        }
        let by = Authority::proof(proof.clone(), Some(&session(&bob)));
        world.engine.forget_user(account, user, &by).await.unwrap();
        only_this_is_told(&world, &inbox).await;
        assert_eq!(there(&world, &watched.ever_put()).await.len(), 1);
        one_event(&world, "proof", None).await;
        // Everybody who is there now is safe from it.
        let (app, _) = world.enrol_with_recovery(&bob).await;
        let again = world.engine.forget_user(account, user, &by).await;
        assert_eq!(again.unwrap_err().code(), "step_up_required");
        let verified = world.answer(&world.begin(&bob).await, &app.code_at(world.now())).await;
        assert!(matches!(verified, Verify::Verified(_)));
    }

    async fn s21_an_administrator_forgets_a_user_by_a_proof_of_their_own(base) {
        let (world, watched, inbox, strict) = watched(&base).await;
        let root = subject("root").with_rank(9);
        world.directory.put(&root).await.unwrap();
        let (app, _) = world.enrol_with_recovery(&root).await;
        let of_root = watched.ever_put();
        let bob = generation("1", "bob@acme.example");
        world.directory.put(&bob).await.unwrap();
        let _held = one_of_everything(&world, &strict, &bob).await;
        let of_bob: Vec<Key> = watched.ever_put().into_iter().filter(|key| !of_root.contains(key)).collect();
        let proof = world.prove(&root, &app, &Intent::forget(&bob)).await;
        let by = Authority::proof_because(proof, Some(&session(&root)), "left the company");
        let other = UserId::parse("carol").unwrap();
        let refused = world.engine.forget_user(bob.account(), &other, &by).await;
        assert_eq!(refused.unwrap_err().code(), "step_up_required");
        world.engine.forget_user(bob.account(), bob.user(), &by).await.unwrap();
        only_this_is_told(&world, &inbox).await;
        assert_eq!(there(&world, &of_bob).await.len(), 1);
        one_event(&world, "administrator", Some("root")).await;
        let again = world.engine.forget_user(bob.account(), bob.user(), &by).await;
        assert_eq!(again.unwrap_err().code(), "step_up_required");
    }

    async fn s27_of_a_forgotten_user_no_personal_value_is_left_in_log_or_file(base) {
        let (users, inbox) = (Elsewhere::default(), Inbox::new());
        let engine = users.node(&base, &inbox).build().await.unwrap();
        let phone = Contact::phone("+4917098765432").unwrap().verified();
        let bob = reachable("personal-bob", vec![mail("secret-place@acme.example"), phone]);
        let bob = bob.with_label("label-of-bob").unwrap();
        users.put(&bob);
        let (account, user) = (bob.account(), bob.user());
        let facts = RequestFacts::new()
            .with_ip("203.0.113.77".parse().unwrap())
            .with_header("User-Agent", "browser-of-bob")
            .with_id("request-of-bob");
        let begun = engine.enrol_begin(account, user, &totp(), &Choice::none(), &host()).await.unwrap();
        let app = SoftAuthenticator::scan(begun.revealed.get("uri").unwrap().expose_secret()).unwrap();
        let code = Response::code(&app.code_at(base.now())).with_request(facts.clone());
        let _ = engine.enrol_confirm(&begun.reference, &code).await.unwrap();
        let _ = engine.enrol_acknowledge(&begun.reference, &facts).await.unwrap();
        base.clock.advance(STEP);
        for _ in 0..3 {
            let Begin::Challenge(challenge) = engine.begin(login(&bob).with_request(facts.clone())).await.unwrap() else {
                panic!("a challenge was expected")
            };
            for code in [app.wrong_code_at(base.now(), 3), app.code_at(base.now())] {
                let response = Response::code(&code).with_request(facts.clone());
                let _ = engine.verify(&challenge.reference, response).await.unwrap();
            }
        }
        engine.user_unlock(account, user, &host()).await.unwrap();
        // Some notices are sent, some wait.
        assert!(engine.drain_outbox(1).await.unwrap().sent == 1);
        let needles =
            ["personal-bob", "secret-place", "98765432", "label-of-bob", "203.0.113.77", "browser-of-bob"];
        let found = |world: &World| {
            let file = world.file()?;
            let mut found = Vec::new();
            for name in ["mfa.db", "mfa.db-wal"] {
                let bytes = std::fs::read(file.with_file_name(name)).unwrap();
                let holds = |text: &&&str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
                found.extend(needles.iter().filter(holds).map(|needle| (name, *needle)));
            }
            Some(found)
        };
        assert!(found(&base).is_none_or(|found| found.iter().any(|(_, needle)| *needle == "personal-bob")));
        let before = base.events().await.len();
        engine.forget_user(account, user, &host()).await.unwrap();
        assert_eq!(engine.drain_outbox(10).await.unwrap().sent, 0);
        assert!(found(&base).unwrap_or_default().is_empty(), "{:?}", found(&base));
        let events = base.events().await;
        assert_eq!(events.len(), before + 1);
        assert!(events.iter().all(|event| event.user().is_none() && event.ip().is_none() && event.hash_holds()));
        let shown = format!("{events:?}");
        assert!(needles.iter().all(|needle| !shown.contains(needle)));
        streams_are_whole(&events);
    }
}

/// Returns which of these records are there.
async fn there(world: &World, keys: &[Key]) -> Vec<Key> {
    let mut found = Vec::new();
    for keys in keys.chunks(50) {
        let records = world.store.get(keys, world.now()).await.expect("a read");
        found.extend(records.into_iter().flatten().map(|record| record.key));
    }
    assert!(found.iter().all(|key| key.scope == Scope::Account(acme())));
    found
}

/// Checks that bob is told of being forgotten, and of nothing else, by a record that does not name him.
async fn only_this_is_told(world: &World, inbox: &Inbox) {
    let waiting = world.store.scan(RecordKind::new("notice"), None, 10, world.now()).await.expect("a scan");
    let names_bob = |bytes: &[u8]| bytes.windows(3).any(|part| part == b"bob");
    assert!(waiting.iter().all(|record| !names_bob(&record.key.id) && !names_bob(&record.body)));
    let forgotten = NoticeKind::Forgotten.subject().to_owned();
    assert_eq!(arrived(&world.engine, inbox).await, [("bob@acme.example".to_owned(), forgotten)]);
}

/// Checks that a user was forgotten once, by whose right and by whom, in an event that names no user.
async fn one_event(world: &World, authority: &str, actor: Option<&str>) {
    let events = world.events_of(Kind::UserForgotten).await;
    let [event]: &[Event] = &events[..] else { panic!("{events:?}") };
    assert_eq!((event.field("authority"), event.actor()), (Some(authority), actor));
    assert!(event.user().is_none() && event.hash_holds());
    let all = world.events().await;
    assert!(
        all.iter().all(|event| event.hash_holds() && event.user().is_none_or(|user| user.as_str() != "bob"))
    );
    assert!(!format!("{all:?}").contains("\"bob\""));
}
