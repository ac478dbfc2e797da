//! T14: who has no more than a first factor, or somebody else's proof, changes nothing of what protects a user.
//! S29: an administrator changes whom they outrank, below them, openly, and only what the table says.
#![cfg(test)]

use audit_model::{AuditLog as _, Event, Kind, Query};
use mfa::{
    AccountId, Ancestor, Authority, Engine, EnrolmentId, Error, Intent, MethodSelector, Operation, Policy,
    Proof, Scope, Subject, Ticket,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::inbox::Inbox;
use mfa_tests::attack::{dump, records};
use mfa_tests::rights::{
    TO_A_USER, Wanted, enrolments, exempting, first_factor, in_session_of, keep_device, may, never, prove_on,
    subject_of,
};
use mfa_tests::{STEP, World, host, login, on_stores, session, totp};

/// The target's rank.
const RANK: u8 = 3;

/// A user of an account below the others, the nearest first.
fn below(account: &str, above: &[&str], user: &str) -> Subject {
    let id = |id: &str| Ancestor::new(AccountId::parse(id).unwrap());
    let lineage = [account].iter().chain(above).copied().map(id).collect();
    subject_of(account, user).with_lineage(lineage).unwrap()
}

/// The latest events of an account, the last one first.
async fn latest(world: &World, account: &AccountId) -> Vec<Event> {
    let mut query = Query::new(Scope::Account(account.clone()));
    query.limit = 16;
    world.store.query(&query, None).await.unwrap()
}

/// The administrators: of the target's account, of one above, of one beside and of one below.
async fn administrators(world: &World) -> Vec<(Subject, SoftAuthenticator)> {
    let mut all = Vec::new();
    for (account, above) in
        [("acme", &["hq"][..]), ("hq", &[]), ("beta", &["hq"]), ("branch", &["acme", "hq"])]
    {
        let ann = below(account, above, &format!("ann-of-{account}"));
        world.directory.put(&ann).await.unwrap();
        let app = world.enrol_again(&ann).await;
        all.push((ann, app));
    }
    all
}

/// How an administrator is called in the log of account `acme`.
fn actor(ann: &Subject) -> String {
    match ann.account().as_str() {
        "acme" => ann.user().to_string(),
        other => format!("{other}/{}", ann.user()),
    }
}

/// A target with an app.
async fn target(world: &World, name: &str) -> (Subject, EnrolmentId) {
    let bob = below("acme", &["hq"], name).with_rank(RANK);
    world.directory.put(&bob).await.unwrap();
    world.enrol_again(&bob).await;
    let method = enrolments(world, &bob).await[0];
    (bob, method)
}

/// Whether a change gives up what a policy may ask for.
fn gives_up(operation: Operation) -> bool {
    matches!(operation, Operation::Disable | Operation::Forget)
}

/// Whether a change leaves nothing to make it to again.
fn takes_all(operation: Operation) -> bool {
    matches!(operation, Operation::RemoveMethod | Operation::Reset | Operation::Forget | Operation::BanDevice)
}

/// What a change is called in the log.
fn kind_of(operation: Operation) -> Kind {
    match operation {
        Operation::AddMethod => Kind::EnrolmentBegun,
        Operation::RemoveMethod => Kind::EnrolmentRemoved,
        Operation::PreferMethod => Kind::MethodPreferred,
        Operation::IssueRecovery => Kind::RecoveryIssued,
        Operation::Disable => Kind::MfaDisabled,
        Operation::Unlock => Kind::UserUnlocked,
        Operation::Reset => Kind::UserReset,
        Operation::Bypass => Kind::BypassIssued,
        Operation::Forget => Kind::UserForgotten,
        Operation::RevokeDevice => Kind::DeviceRevoked,
        Operation::BanDevice => Kind::DeviceBanned,
        Operation::GrantExemption => Kind::ExemptionGranted,
        other => panic!("{other} is new: say how it is logged"),
    }
}

/// A call that changes what protects a user, besides those of [`Wanted`].
async fn others(engine: &Engine, bob: &Subject, authority: &Authority) -> Vec<&'static str> {
    let (account, user) = (bob.account(), bob.user());
    let invited = engine.user_invite(account, user, &totp(), authority).await.map(drop);
    let revoked = engine.revoke(account, user, authority).await;
    [invited, revoked]
        .map(|told: Result<(), Error>| told.map_or_else(|error| error.code(), |()| "done"))
        .into()
}

on_stores! {
    async fn t14_no_first_factor_made_up_or_borrowed_proof_changes_a_method(world) {
        let engine = world.recovery_node(&Inbox::new()).build().await.unwrap();
        let (bob, _) = world.enrol("bob").await;
        let (eve, eve_app) = world.enrol("eve").await;
        let method = enrolments(&world, &bob).await[0];
        let of_eve = enrolments(&world, &eve).await[0];
        for operation in TO_A_USER {
            let wanted = Wanted::new(operation, &bob, method);
            let for_bob = prove_on(&engine, &world, login(&eve), &eve_app, &wanted.intent()).await;
            // Eve's one method cannot prove its own removal.
            let hers = Wanted::new(operation, &eve, of_eve).intent();
            let hers = if operation == Operation::RemoveMethod { Intent::disable(&eve) } else { hers };
            let for_herself = prove_on(&engine, &world, login(&eve), &eve_app, &hers).await;
            let unfit = if may(operation).1 { "step_up_required" } else { never(operation) };
            let unranked = if may(operation).1 { "not_permitted" } else { never(operation) };
            // The minute is another one for each operation, so that no refusal is merged with one of before.
            world.clock.advance(STEP + STEP);
            for (authority, expected, by) in [
                (first_factor(&bob), "step_up_required", None),
                (first_factor(&eve), "step_up_required", None),
                (in_session_of(&eve, &for_bob), unranked, Some("eve")),
                (in_session_of(&bob, &for_bob), unfit, Some("eve")),
                (in_session_of(&eve, &for_herself), unfit, Some("eve")),
            ] {
                // A first factor is enough to be asked for more.
                if operation == Operation::RevokeDevice && matches!(authority, Authority::FirstFactor(_)) {
                    assert_eq!(wanted.told(&engine, &authority).await, "done", "{operation} by {authority:?}");
                    continue;
                }
                let before = records(&world).await;
                assert_eq!(wanted.told(&engine, &authority).await, expected, "{operation} by {authority:?}");
                assert_eq!(records(&world).await, before, "{operation} by {authority:?}");
                let events = world.events_of(Kind::ChangeRefused).await;
                let of_operation = events.iter().filter(|event| event.field("operation") == Some(operation.code()));
                let said = of_operation.filter(|event| {
                    let whose = event.user() == Some(bob.user()) && event.actor() == by;
                    whose && event.reason() == Some(expected)
                });
                // Once for all that are alike within a minute.
                assert_eq!(said.count(), 1, "{operation} by {authority:?}");
            }
            // What nobody gave out is refused before anything is read or written.
            let made_up = Ticket::from_text("made-up");
            for authority in [
                in_session_of(&bob, &Proof::from_text("made-up")),
                Authority::ticket(made_up, Some(&session(&bob))),
            ] {
                let before = dump(&world).await;
                assert_eq!(wanted.told(&engine, &authority).await, "step_up_required", "{operation}");
                assert_eq!(dump(&world).await, before, "{operation}");
            }
        }
        let (before, events) = (records(&world).await, world.events().await.len());
        for (authority, invite) in [(first_factor(&bob), "step_up_required"), (in_session_of(&bob, &Proof::from_text("made-up")), "step_up_required")] {
            assert_eq!(others(&engine, &bob, &authority).await, [invite, "not_permitted"]);
        }
        assert_eq!(records(&world).await, before);
        assert!(world.events().await.len() - events <= 1);
    }

    async fn s29_an_administrator_changes_whom_they_outrank_in_their_tree(world) {
        let engine = world.recovery_node(&Inbox::new()).policy(exempting()).build().await.unwrap();
        let administrators = administrators(&world).await;
        let (bob, method) = target(&world, "bob").await;
        for operation in TO_A_USER {
            for (ann, app) in &administrators {
                let actor = actor(ann);
                let in_tree = ["acme", "hq"].contains(&ann.account().as_str());
                // Out of the tree no rank is high enough.
                let ranks = if in_tree { &[0, RANK - 1, RANK, RANK + 6][..] } else { &[u8::MAX] };
                for &rank in ranks {
                    let permitted = may(operation).1 && in_tree && rank >= RANK;
                    let fresh = if permitted && takes_all(operation) {
                        Some(target(&world, &format!("bob-{operation}-{rank}-{}", ann.account())).await)
                    } else {
                        None
                    };
                    let (bob, method) = fresh.as_ref().map_or((&bob, method), |(bob, method)| (bob, *method));
                    let mut wanted = Wanted::new(operation, bob, method);
                    if permitted && operation == Operation::BanDevice {
                        wanted.device = keep_device(&engine, bob).await;
                    }
                    let as_ranked = login(&ann.clone().with_rank(rank));
                    let proof = prove_on(&engine, &world, as_ranked, app, &wanted.intent()).await;
                    let authority = Authority::proof_because(proof, Some(&session(ann)), "a lost phone");
                    let why = format!("{operation} by rank {rank} of {}", ann.account());
                    let before = if permitted { Vec::new() } else { records(&world).await };
                    let told = wanted.told(&engine, &authority).await;
                    let refused = if may(operation).1 { "not_permitted" } else { never(operation) };
                    assert_eq!(told, if permitted { "done" } else { refused }, "{why}");
                    if !permitted {
                        assert_eq!(records(&world).await, before, "{why}");
                        continue;
                    }
                    let events = latest(&world, bob.account()).await;
                    let event = events.iter().find(|event| event.kind() == kind_of(operation)).expect("an event");
                    let elsewhere = ann.account() != bob.account();
                    assert_eq!(event.actor(), Some(actor.as_str()), "{why}");
                    assert_eq!(event.field("authority"), Some("administrator"), "{why}");
                    assert_eq!(event.reason(), Some("a lost phone"), "{why}");
                    let of_ann = latest(&world, ann.account()).await;
                    let spent = of_ann.first().filter(|event| event.kind() == Kind::ProofSpent);
                    assert_eq!(spent.is_some(), elsewhere, "{why}");
                    assert_eq!(spent.and_then(|event| event.field("account")), elsewhere.then_some("acme"));
                    assert_ne!(wanted.told(&engine, &authority).await, "done", "{why}, twice");
                }
            }
        }
        // A refusal is in the log of the one who was to be changed, whoever asked.
        let refused = world.events_of(Kind::ChangeRefused).await;
        for (ann, _) in &administrators {
            let by_ann = refused.iter().filter(|event| event.actor() == Some(&actor(ann)));
            assert!(by_ann.count() > 0, "{}", ann.user());
        }
    }

    async fn s29_the_host_and_the_user_themselves_may_what_the_table_says(world) {
        let inbox = Inbox::new();
        let engine = world.recovery_node(&inbox).policy(exempting()).build().await.unwrap();
        let strict = Policy::recommended().with_document(&serde_json::json!({"enforced": true})).unwrap();
        let strict = world.recovery_node(&inbox).policy(strict).build().await.unwrap();
        for operation in TO_A_USER {
            for (n, engine) in [&engine, &strict].into_iter().enumerate() {
                if n == 1 && !gives_up(operation) {
                    continue;
                }
                let by_host = target(&world, &format!("host-{operation}-{n}")).await;
                let device = keep_device(engine, &by_host.0).await;
                let wanted = Wanted::new(operation, &by_host.0, by_host.1).of_device(device);
                assert_eq!(wanted.told(engine, &host()).await, "done", "{operation} by the host");
                let events = latest(&world, by_host.0.account()).await;
                let by = events.iter().find(|event| event.kind() == kind_of(operation)).expect("an event");
                assert_eq!((by.field("authority"), by.actor()), (Some("host_vouched"), Some("test-host")));
                let (bob, _) = world.enrol(&format!("own-{operation}-{n}")).await;
                let app = world.enrol_again(&bob).await;
                let methods = enrolments(&world, &bob).await;
                let device = keep_device(engine, &bob).await;
                let wanted = Wanted::new(operation, &bob, methods[0]).of_device(device);
                let by_app = login(&bob).with_method(MethodSelector::Enrolment(methods[1]));
                let proof = prove_on(engine, &world, by_app, &app, &wanted.intent()).await;
                let expected = match (may(operation).0, operation, n) {
                    (true, _, 1) => "policy_forbids",
                    (true, ..) => "done",
                    (false, ..) => "not_permitted",
                };
                assert_eq!(wanted.told(engine, &in_session_of(&bob, &proof)).await, expected, "{operation}");
                let events = latest(&world, bob.account()).await;
                let own = events.iter().find(|event| event.kind() == kind_of(operation));
                let own = own.filter(|event| event.field("authority") == Some("proof"));
                assert_eq!(own.is_some(), expected == "done", "{operation}");
                // The user is in a field of their own, which can be erased.
                assert!(own.is_none_or(|event| event.actor().is_none()), "{operation}");
            }
        }
    }
}
