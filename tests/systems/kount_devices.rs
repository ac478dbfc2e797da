//! Kount's trusted devices: what the engine has of them, and what it has not. Each test is named for its row.

use std::sync::Arc;
use std::time::Duration;

use audit_model::Kind;
use mfa::delivery::Delivered;
use mfa::{
    Begin, Challenge, Device, DeviceState, DeviceToken, Error, Forbidden, Grant, KeptDevice, LinkConfirm,
    LinkOpen, LinkProof, Login, Policy, RequestFacts, SecretText, Subject, Verify,
};
use mfa_testkit::inbox::Inbox;
use mfa_tests::devices::{devices, from, let_in, session_of, turned};
use mfa_tests::mailed::{Mailed, german_mobiles, links, texts};
use mfa_tests::{World, on_stores};
use serde_json::json;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A client of Kount's whose switch "Auto Trust Device" is the knob `trust`, off unless it is set.
struct Client(Mailed);

impl Client {
    async fn new(world: &World, auto_trust: Option<bool>) -> Self {
        let inbox = Inbox::new();
        let mut policy = Policy::kount();
        if let Some(trust) = auto_trust {
            policy = policy.with_document(&json!({ "trust": trust })).unwrap();
        }
        let email = Delivered::email(texts()).unwrap();
        let sms = Delivered::sms(texts(), german_mobiles()).unwrap();
        let node = world.node().provider_with(email, links()).provider_with(sms, links());
        let node = node.transport(Arc::new(inbox.clone())).policy(policy);
        Self(Mailed { engine: node.build().await.unwrap(), inbox })
    }

    /// A user who has set up both.
    async fn user(&self, world: &World, name: &str) -> Subject {
        let user = self.0.add(world, name).await;
        self.0.enrol(world, &user, "sms").await;
        self.0.enrol(world, &user, "email").await;
        user
    }

    async fn challenged(&self, login: Login, medium: &str) -> Challenge {
        match self.0.engine.begin(login.with_method(medium.parse().unwrap())).await.unwrap() {
            Begin::Challenge(challenge) => challenge,
            other => panic!("{other:?}"),
        }
    }

    /// Follows the link of a challenge and claims the login.
    async fn succeed(&self, challenge: &Challenge) -> Grant {
        let (token, facts) = (self.0.link(), RequestFacts::new());
        let LinkOpen::Valid(page) = self.0.engine.link_open(&token, &facts).await.unwrap() else { panic!() };
        let digits = LinkProof::Digits(SecretText::new(challenge.prompt["match"].as_str().unwrap()));
        let confirmed = self.0.engine.link_confirm(&token, &page.nonce, &digits, &facts).await.unwrap();
        assert!(matches!(confirmed, LinkConfirm::Confirmed(_)), "{confirmed:?}");
        match self.0.engine.claim(&challenge.reference).await.unwrap() {
            Verify::Verified(grant) => grant,
            other => panic!("{other:?}"),
        }
    }

    /// What a host with the switch on does after each success.
    async fn auto_trust(&self, grant: &Grant) -> Result<KeptDevice, Error> {
        self.0.engine.device_trust(grant, Some(&session_of(grant)), "a laptop").await
    }

    /// Logs in by a text message and has the device trusted.
    async fn trusted(&self, user: &Subject, token: Option<&DeviceToken>) -> Result<KeptDevice, Error> {
        let challenge = self.challenged(from(user, token), "sms").await;
        self.auto_trust(&self.succeed(&challenge).await).await
    }

    async fn device(&self, user: &Subject) -> Device {
        let mut devices = devices(&self.0.engine, user).await;
        assert_eq!(devices.len(), 1);
        devices.remove(0)
    }
}

fn forbidden(told: Result<KeptDevice, Error>) -> Forbidden {
    match told.unwrap_err() {
        Error::Forbidden(why) => why,
        other => panic!("{other:?}"),
    }
}

on_stores! {
    /// The host calls `device_trust` after each success; nothing is trusted by itself, since only the host has the
    /// browser to keep the token in. And a link by e-mail trusts nothing, whatever the switch says: it proves no second
    /// factor of level AAL2 (NIST SP 800-63B-4 §3.1.3.1), and what lets logins in for days must not rest on it.
    async fn c16_a_success_by_text_message_trusts_the_device_for_its_user_alone(world) {
        let client = Client::new(&world, Some(true)).await;
        let bob = client.user(&world, "bob").await;
        let kept = client.trusted(&bob, None).await.unwrap();
        assert_eq!(client.device(&bob).await.state, DeviceState::Trusted);
        let next = turned(&client.0.engine, &bob, &kept.token).await;
        // Another user on the same device is asked, and the owner is still let in after that.
        world.clock.advance(DAY);
        let eve = client.user(&world, "eve").await;
        let _challenge = client.challenged(from(&eve, Some(&next)), "sms").await;
        assert!(devices(&client.0.engine, &eve).await.is_empty());
        assert!(let_in(&client.0.engine, &bob, &next).await.is_some());
        // By e-mail: a login, and no trust.
        world.clock.advance(DAY);
        let _ = client.0.inbox.take();
        let by_mail = client.challenged(from(&eve, None), "email").await;
        let told = client.auto_trust(&client.succeed(&by_mail).await).await;
        assert_eq!(forbidden(told), Forbidden::NotPermitted);
        assert!(devices(&client.0.engine, &eve).await.is_empty());
    }

    async fn c16_what_fails_or_runs_out_trusts_nothing(world) {
        let client = Client::new(&world, Some(true)).await;
        let bob = client.user(&world, "bob").await;
        // Wrong digits end the link, and there is no grant to trust a device with.
        let failed = client.challenged(from(&bob, None), "sms").await;
        let (token, facts) = (client.0.link(), RequestFacts::new());
        let LinkOpen::Valid(page) = client.0.engine.link_open(&token, &facts).await.unwrap() else { panic!() };
        let shown = failed.prompt["match"].as_str().unwrap();
        let wrong = LinkProof::Digits(SecretText::new(mfa_tests::mailed::another(shown)));
        let refused = client.0.engine.link_confirm(&token, &page.nonce, &wrong, &facts).await.unwrap();
        assert!(matches!(refused, LinkConfirm::Rejected(_)), "{refused:?}");
        let claimed = client.0.engine.claim(&failed.reference).await.unwrap();
        assert!(!matches!(claimed, Verify::Verified(_)), "{claimed:?}");
        // Nor is there one of a link that nobody followed in its five minutes.
        let expired = client.challenged(from(&bob, None), "sms").await;
        let _ = client.0.inbox.take();
        world.clock.advance(Duration::from_secs(300));
        let claimed = client.0.engine.claim(&expired.reference).await.unwrap();
        assert!(!matches!(claimed, Verify::Verified(_)), "{claimed:?}");
        // And a success is good for it for a minute.
        let challenge = client.challenged(from(&bob, None), "sms").await;
        let grant = client.succeed(&challenge).await;
        world.clock.advance(Duration::from_secs(60));
        assert_eq!(forbidden(client.auto_trust(&grant).await), Forbidden::StepUpRequired);
        assert!(devices(&client.0.engine, &bob).await.is_empty());
    }

    async fn c16_nothing_is_trusted_unless_the_switch_is_on(world) {
        let on = Client::new(&world, Some(true)).await;
        let bob = on.user(&world, "bob").await;
        for off in [Client::new(&world, None).await, Client::new(&world, Some(false)).await] {
            assert_eq!(forbidden(off.trusted(&bob, None).await), Forbidden::PolicyForbids);
            assert!(devices(&off.0.engine, &bob).await.is_empty());
        }
        // What was trusted is asked again as soon as it is off.
        let kept = on.trusted(&bob, None).await.unwrap();
        world.clock.advance(DAY);
        let off = Client::new(&world, None).await;
        let _challenge = off.challenged(from(&bob, Some(&kept.token)), "sms").await;
        assert!(let_in(&on.0.engine, &bob, &kept.token).await.is_some());
    }

    /// Of the row's calls these are not there. A device is created by a success and by nothing else, so that none is
    /// created as trusted or banned by an administrator; it is of one user, so that there is nothing to read by a device
    /// alone; the session it was kept in is not written down. One is deleted with its user (`forget_user`), by time, or when
    /// its token was copied; an administrator revokes or bans it instead, so that the log and the ban outlive it.
    async fn c21_a_device_is_kept_read_changed_and_goes_with_its_user(world) {
        let client = Client::new(&world, Some(true)).await;
        let engine = &client.0.engine;
        let (bob, at) = (client.user(&world, "bob").await, world.now());
        // Create.
        let kept = client.trusted(&bob, None).await.unwrap();
        // Read by user, and by the pair of user and device.
        let device = client.device(&bob).await;
        assert_eq!((device.id, &*device.name, device.state.code()), (kept.id, "a laptop", "trusted"));
        assert_eq!((device.created_at, device.last_used_at), (at, at));
        let eve = client.0.add(&world, "eve").await;
        let by_eve = engine.device_revoke(eve.account(), eve.user(), kept.id, &mfa_tests::host()).await;
        assert_eq!(by_eve.unwrap_err().code(), "unknown_device");
        // Update: its use, its name and standing by another success, and the other way round.
        world.clock.advance(DAY);
        let token = turned(engine, &bob, &kept.token).await;
        assert_eq!(client.device(&bob).await.last_used_at, world.now());
        engine.device_revoke(bob.account(), bob.user(), kept.id, &mfa_tests::host()).await.unwrap();
        assert_eq!(client.device(&bob).await.state.code(), "not_trusted");
        let challenge = client.challenged(from(&bob, Some(&token)), "sms").await;
        let grant = client.succeed(&challenge).await;
        let again = engine.device_trust(&grant, Some(&session_of(&grant)), "the old one").await.unwrap();
        let device = client.device(&bob).await;
        assert_eq!((device.id, &*device.name, device.state.code()), (kept.id, "the old one", "trusted"));
        assert_eq!((device.created_at, device.last_used_at), (at, world.now()));
        assert_eq!(again.id, kept.id);
        // Delete.
        engine.forget_user(bob.account(), bob.user(), &mfa_tests::host()).await.unwrap();
        let bob = client.user(&world, "bob").await;
        assert!(devices(engine, &bob).await.is_empty());
        assert!(let_in(engine, &bob, &again.token).await.is_none());
    }

    /// It is known by its token: without that it is a device like any other, as it is to Kount without its id.
    async fn c21_a_banned_device_is_asked_and_never_trusted_by_a_success(world) {
        let client = Client::new(&world, Some(true)).await;
        let engine = &client.0.engine;
        let bob = client.user(&world, "bob").await;
        let kept = client.trusted(&bob, None).await.unwrap();
        engine.device_ban(bob.account(), bob.user(), kept.id, &mfa_tests::host()).await.unwrap();
        for day in [0, 1, 363] {
            world.clock.advance(day * DAY);
            assert!(let_in(engine, &bob, &kept.token).await.is_none(), "day {day}");
            let _ = client.0.inbox.take();
            assert_eq!(forbidden(client.trusted(&bob, Some(&kept.token)).await), Forbidden::NotPermitted);
            assert_eq!(client.device(&bob).await.state.code(), "banned");
        }
        assert_eq!(world.events_of(Kind::DeviceTrusted).await.len(), 1);
    }
}
