//! S8: whoever has no more than the password does not enrol the first method where the policy asks for one.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use audit_model::Kind;
use mfa::{
    Aal, Authority, Begin, Choice, Engine, EnrolmentId, EnrolmentRequired, EnrolmentStarted, Error,
    Invitation, Operation, Policy, ProviderName, Record, RecordKind, Response, Subject, Ticket, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::race::{GateStore, race};
use mfa_tests::attack::records;
use mfa_tests::doubles::scripted;
use mfa_tests::handles::of_another_holder;
use mfa_tests::rights::{TO_A_USER, Wanted, enrol_by, first_factor};
use mfa_tests::{STEP, World, begin, host, login, on_stores, session, totp};
use serde_json::json;

const INSTANT: Duration = Duration::from_millis(1);
const TICKET_LIFE: Duration = Duration::from_secs(600);
const INVITATION_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A node whose policy asks for a method.
async fn strict(world: &World) -> Engine {
    let policy = Policy::recommended().with_document(&json!({"enforced": true})).unwrap();
    world.node().policy(policy).provider(scripted(Vec::new())).build().await.unwrap()
}

/// One that lets a password enrol it.
async fn lenient(world: &World) -> Engine {
    let document = json!({"enforced": true, "first_enrolment_needs_invitation": false});
    let policy = Policy::recommended().with_document(&document).unwrap();
    world.node().policy(policy).provider(scripted(Vec::new())).build().await.unwrap()
}

async fn required(engine: &Engine, whom: &Subject) -> EnrolmentRequired {
    match engine.begin(login(whom)).await.unwrap() {
        Begin::EnrolmentRequired(required) => required,
        other => panic!("an enrolment was to be required: {other:?}"),
    }
}

async fn ticket(engine: &Engine, whom: &Subject) -> Ticket {
    required(engine, whom).await.ticket
}

async fn invitation(engine: &Engine, whom: &Subject) -> Invitation {
    engine.user_invite(whom.account(), whom.user(), &totp(), &host()).await.unwrap().invitation
}

async fn begun(engine: &Engine, whom: &Subject, authority: &Authority) -> Result<EnrolmentStarted, Error> {
    engine.enrol_begin(whom.account(), whom.user(), &totp(), &Choice::none(), authority).await
}

/// As [`begun`], in a word.
async fn told(engine: &Engine, whom: &Subject, authority: &Authority) -> &'static str {
    begun(engine, whom, authority).await.map_or_else(|error| error.code(), |_| "done")
}

fn by_ticket(whom: &Subject, ticket: &Ticket) -> Authority {
    Authority::ticket(ticket.clone(), Some(&session(whom)))
}

fn invited(whom: &Subject, ticket: &Ticket, invitation: &Invitation) -> Authority {
    Authority::invited(ticket.clone(), Some(&session(whom)), invitation.clone())
}

/// The level of a login now, which moves the clock by a step.
async fn level(engine: &Engine, world: &World, whom: &Subject, app: &SoftAuthenticator) -> Aal {
    let challenge = begin(engine, whom).await;
    let code = Response::code(&app.code_at(world.now()));
    let Verify::Verified(grant) = engine.verify(&challenge.reference, code).await.unwrap() else {
        panic!("no grant")
    };
    world.clock.advance(STEP);
    grant.evidence().aal()
}

on_stores! {
    async fn s08_a_password_alone_enrols_nothing_where_a_method_is_asked_for(world) {
        let engine = strict(&world).await;
        let bob = world.add("bob").await;
        let asked = required(&engine, &bob).await;
        assert!(asked.needs_invitation);
        let before = records(&world).await;
        assert_eq!(told(&engine, &bob, &by_ticket(&bob, &asked.ticket)).await, "invitation_required");
        let first = first_factor(&bob);
        assert_eq!(told(&engine, &bob, &first).await, "policy_forbids");
        assert_eq!(records(&world).await, before);
        let refused = world.events_of(Kind::ChangeRefused).await;
        let mut reasons: Vec<_> = refused.iter().filter_map(|event| event.reason()).collect();
        reasons.sort_unstable();
        assert_eq!(reasons, ["invitation_required", "policy_forbids"]);
        // Nor does it invite itself, here or where no method is asked for yet.
        for (engine, authority) in [(&engine, by_ticket(&bob, &asked.ticket)), (&engine, first.clone()), (&world.engine, first)] {
            let invited = engine.user_invite(bob.account(), bob.user(), &totp(), &authority).await;
            let code = invited.map_or_else(|error| error.code(), |_| "done");
            assert!(["not_permitted", "invitation_required", "policy_forbids"].contains(&code), "{code}");
        }
        let lenient = lenient(&world).await;
        let free = ticket(&lenient, &bob).await;
        let invited_by = lenient.user_invite(bob.account(), bob.user(), &totp(), &by_ticket(&bob, &free)).await;
        assert_eq!(invited_by.unwrap_err().code(), "not_permitted");
        // What was refused was not spent.
        let invitation = invitation(&engine, &bob).await;
        let app = enrol_by(&engine, &world, &bob, &invited(&bob, &asked.ticket, &invitation)).await;
        assert_eq!(level(&engine, &world, &bob, &app).await, Aal::Two);
    }

    async fn s08_where_a_password_is_enough_the_first_login_is_of_the_lowest_level(world) {
        let engine = lenient(&world).await;
        let bob = world.add("bob").await;
        let asked = required(&engine, &bob).await;
        assert!(!asked.needs_invitation);
        let app = enrol_by(&engine, &world, &bob, &by_ticket(&bob, &asked.ticket)).await;
        assert_eq!(level(&engine, &world, &bob, &app).await, Aal::One);
        assert_eq!(level(&engine, &world, &bob, &app).await, Aal::Two);
        // The same where no method is asked for.
        let eve = world.add("eve").await;
        let app = enrol_by(&world.engine, &world, &eve, &first_factor(&eve)).await;
        assert_eq!(level(&world.engine, &world, &eve, &app).await, Aal::One);
        assert_eq!(level(&world.engine, &world, &eve, &app).await, Aal::Two);
    }

    async fn s08_a_ticket_begins_one_enrolment_of_its_user_in_its_session_and_nothing_else(world) {
        let engine = lenient(&world).await;
        let (bob, eve) = (world.add("bob").await, world.add("eve").await);
        let given = ticket(&engine, &bob).await;
        let of_eve = ticket(&engine, &eve).await;
        let before = records(&world).await;
        let none = EnrolmentId::from_bytes([7; 16]);
        for operation in TO_A_USER.into_iter().filter(|o| *o != Operation::AddMethod) {
            let wanted = Wanted::new(operation, &bob, none);
            let told = wanted.told(&engine, &by_ticket(&bob, &given)).await;
            // Of a user without a method, some of them name what is not there.
            assert!(["step_up_required", "unknown_method", "no_method"].contains(&told), "{operation}: {told}");
        }
        for (whom, ticket, session) in [
            (&bob, &given, None),
            (&bob, &given, Some("")),
            (&bob, &given, Some("session-of-eve")),
            (&eve, &given, Some("session-of-bob")),
            (&eve, &given, Some("session-of-eve")),
            (&bob, &of_eve, Some("session-of-bob")),
            (&bob, &Ticket::from_text(of_another_holder(given.expose_secret())), Some("session-of-bob")),
            (&bob, &Ticket::from_text("made-up"), Some("session-of-bob")),
            (&bob, &Ticket::from_text(invitation(&engine, &bob).await.expose_secret()), Some("session-of-bob")),
        ] {
            let authority = Authority::ticket(ticket.clone(), session);
            assert_eq!(told(&engine, whom, &authority).await, "step_up_required", "{session:?}");
        }
        let left = |records: Vec<Record>| records.into_iter().filter(|r| r.key.kind.as_str() != "invitation");
        assert!(left(records(&world).await).eq(left(before)));
        assert_eq!(told(&engine, &bob, &by_ticket(&bob, &given)).await, "done");
        assert_eq!(told(&engine, &bob, &by_ticket(&bob, &given)).await, "step_up_required");
        // So it is for a user who has a record by now.
        let next = ticket(&engine, &bob).await;
        assert_eq!(told(&engine, &bob, &by_ticket(&bob, &next)).await, "done");
        assert_eq!(told(&engine, &bob, &by_ticket(&bob, &next)).await, "step_up_required");
    }

    async fn s08_a_ticket_ends_with_its_life_a_revocation_another_person_and_a_first_method(world) {
        let engine = lenient(&world).await;
        let bob = world.add("bob").await;
        let carl = world.add("carl").await;
        let (late, in_time) = (ticket(&engine, &carl).await, ticket(&engine, &bob).await);
        world.clock.advance(TICKET_LIFE - INSTANT);
        assert_eq!(told(&engine, &bob, &by_ticket(&bob, &in_time)).await, "done");
        world.clock.advance(INSTANT);
        assert_eq!(told(&engine, &carl, &by_ticket(&carl, &late)).await, "step_up_required");
        // Bob has a record now, eve has none.
        for whom in [bob.clone(), world.add("eve").await] {
            let revoked = ticket(&engine, &whom).await;
            engine.revoke(whom.account(), whom.user(), &host()).await.unwrap();
            assert_eq!(told(&engine, &whom, &by_ticket(&whom, &revoked)).await, "step_up_required");
            let former = ticket(&engine, &whom).await;
            world.directory.put(&whom.clone().with_generation("2").unwrap()).await.unwrap();
            assert_eq!(told(&engine, &whom, &by_ticket(&whom, &former)).await, "step_up_required");
            world.directory.put(&whom).await.unwrap();
        }
        let second = ticket(&engine, &bob).await;
        let first = ticket(&engine, &bob).await;
        enrol_by(&engine, &world, &bob, &by_ticket(&bob, &first)).await;
        assert_eq!(told(&engine, &bob, &by_ticket(&bob, &second)).await, "step_up_required");
    }

    async fn s08_an_invitation_is_for_one_person_one_provider_and_one_use(world) {
        let engine = strict(&world).await;
        let (bob, eve) = (world.add("bob").await, world.add("eve").await);
        let (of_bob, of_eve) = (invitation(&engine, &bob).await, invitation(&engine, &eve).await);
        let given = ticket(&engine, &bob).await;
        let before = records(&world).await;
        for wrong in [
            of_eve.expose_secret().to_owned(),
            of_another_holder(of_bob.expose_secret()),
            "made-up".to_owned(),
            given.expose_secret().to_owned(),
        ] {
            let authority = invited(&bob, &given, &Invitation::from_text(wrong));
            assert_eq!(told(&engine, &bob, &authority).await, "invitation_required");
        }
        let other: ProviderName = "scripted".parse().unwrap();
        let wanted = Wanted { provider: other, ..Wanted::new(Operation::AddMethod, &bob, EnrolmentId::from_bytes([7; 16])) };
        assert_eq!(wanted.told(&engine, &invited(&bob, &given, &of_bob)).await, "invitation_required");
        // An invitation alone is no ticket: without the first factor it opens nothing.
        let alone = Authority::invited(Ticket::from_text(of_bob.expose_secret()), Some(&session(&bob)), of_bob.clone());
        assert_eq!(told(&engine, &bob, &alone).await, "step_up_required");
        assert_eq!(records(&world).await, before);
        // The id belongs to another person: the invitation was not theirs.
        let next = bob.clone().with_generation("2").unwrap();
        world.directory.put(&next).await.unwrap();
        let of_next = ticket(&engine, &next).await;
        assert_eq!(told(&engine, &next, &invited(&next, &of_next, &of_bob)).await, "invitation_required");
        world.directory.put(&bob).await.unwrap();
        world.clock.advance(INVITATION_LIFE - INSTANT);
        let given = ticket(&engine, &bob).await;
        assert_eq!(told(&engine, &bob, &invited(&bob, &given, &of_bob)).await, "done");
        let again = ticket(&engine, &bob).await;
        assert_eq!(told(&engine, &bob, &invited(&bob, &again, &of_bob)).await, "invitation_required");
        world.clock.advance(INSTANT);
        let late = ticket(&engine, &eve).await;
        assert_eq!(told(&engine, &eve, &invited(&eve, &late, &of_eve)).await, "invitation_required");
    }

    async fn s08_of_many_that_spend_one_ticket_or_one_invitation_one_begins(world) {
        const EACH: usize = 16;
        let gate = Arc::new(GateStore::new(world.store.clone()));
        let gated = World::on(gate.clone(), None).await;
        let mut engines = Vec::new();
        for _ in 0..EACH {
            engines.push((strict(&gated).await, lenient(&gated).await));
        }
        let (bob, eve) = (gated.add("bob").await, gated.add("eve").await);
        // Both have a record, which no begin changes: what is spent is all that the many meet at.
        for whom in [&bob, &eve] {
            begun(&engines[0].0, whom, &host()).await.unwrap();
        }
        let one = ticket(&engines[0].1, &bob).await;
        let of_eve = invitation(&engines[0].0, &eve).await;
        let mut tickets = Vec::new();
        for _ in 0..EACH {
            // Of two that take the same place the newer one is good.
            tickets.push(ticket(&engines[0].0, &eve).await);
        }
        gate.arm_for(RecordKind::new("ticket"), EACH);
        let by_one = race(EACH, |i| {
            let (engine, bob, one) = (&engines[i].1, &bob, &one);
            async move { told(engine, bob, &by_ticket(bob, one)).await }
        });
        gate.arm_for(RecordKind::new("invitation"), EACH);
        let by_invitation = race(EACH, |i| {
            let (engine, eve, ticket, invitation) = (&engines[i].0, &eve, &tickets[i], &of_eve);
            async move { told(engine, eve, &invited(eve, ticket, invitation)).await }
        });
        for told in [by_one, by_invitation] {
            assert_eq!(told.iter().filter(|told| **told == "done").count(), 1, "{told:?}");
        }
    }
}
