//! Secure links: a mail scanner consumes none, the press of a button alone proves nothing, and one caller gets the grant.
#![cfg(test)]

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Waker};
use std::time::Duration;

use audit_model::Kind;
use mfa::delivery::Delivered;
use mfa::{
    Begin, Challenge, Engine, EnrolConfirm, Intent, LinkConfirm, LinkOpen, LinkProof, LinkToken, LinkView,
    Message, NotDelivered, Reason, Receipt, RequestFacts, Response, SecretText, Status, Transport, Verify,
};
use mfa_testkit::faults::CountingStore;
use mfa_testkit::inbox::Inbox;
use mfa_testkit::race::race;
use mfa_tests::acting::refused;
use mfa_tests::mailed::{Mailed, TARGET_URL, german_mobiles, links, offering, texts};
use mfa_tests::{World, login, on_stores};
use serde_json::Value;

fn facts() -> RequestFacts {
    RequestFacts::new()
}

async fn view(mailed: &Mailed, token: &LinkToken) -> LinkView {
    match mailed.engine.link_open(token, &facts()).await.unwrap() {
        LinkOpen::Valid(view) => view,
        other => panic!("not valid: {other:?}"),
    }
}

/// Opens a fresh link and confirms it.
async fn confirm(mailed: &Mailed, token: &LinkToken, proof: LinkProof) -> LinkConfirm {
    let nonce = view(mailed, token).await.nonce;
    confirm_by(mailed, token, &nonce, proof).await
}

/// Confirms a link by the form of a page that was opened before.
async fn confirm_by(mailed: &Mailed, token: &LinkToken, nonce: &SecretText, proof: LinkProof) -> LinkConfirm {
    mailed.engine.link_confirm(token, nonce, &proof, &facts()).await.unwrap()
}

fn reason(confirmed: &LinkConfirm) -> Reason {
    match confirmed {
        LinkConfirm::Rejected(rejected) => rejected.reason,
        other => panic!("not refused: {other:?}"),
    }
}

fn digits(challenge: &Challenge) -> LinkProof {
    LinkProof::Digits(SecretText::new(challenge.prompt["match"].as_str().unwrap()))
}

async fn status(mailed: &Mailed, challenge: &Challenge) -> Status {
    mailed.engine.status(&mfa_tests::acme(), challenge.id).await.unwrap().unwrap().status
}

/// Bob, whose mailbox gets links, and a challenge with its link.
async fn linked(world: &World) -> (Mailed, mfa::Subject, Challenge, LinkToken) {
    let mailed = Mailed::new(world, links()).await;
    let bob = mailed.add(world, "bob").await;
    mailed.enrol(world, &bob, "email").await;
    let challenge = mailed.begin(&bob).await;
    let token = mailed.link();
    (mailed, bob, challenge, token)
}

/// A mail gateway that opens each link and submits its form before it takes the message.
#[derive(Debug, Default)]
struct Gateway {
    inbox: Inbox,
    engine: OnceLock<Engine>,
}

#[async_trait::async_trait]
impl Transport for Gateway {
    async fn send(&self, message: &Message, deadline: Duration) -> Result<Receipt, NotDelivered> {
        if let Some(engine) = self.engine.get() {
            let body = message.body.expose_secret();
            let token = body.split_whitespace().find_map(|word| word.split_once('#')).unwrap().1;
            let token = LinkToken::from_text(token);
            let LinkOpen::Valid(view) = engine.link_open(&token, &facts()).await.unwrap() else { panic!() };
            let submitted =
                engine.link_confirm(&token, &view.nonce, &LinkProof::None, &facts()).await.unwrap();
            assert!(matches!(submitted, LinkConfirm::Rejected(_)), "{submitted:?}");
        }
        self.inbox.send(message, deadline).await
    }
}

/// A transport that takes messages and never answers.
#[derive(Debug)]
struct Silent(Inbox);

#[async_trait::async_trait]
impl Transport for Silent {
    async fn send(&self, message: &Message, within: Duration) -> Result<Receipt, NotDelivered> {
        let _ = self.0.send(message, within).await;
        std::future::pending().await
    }
}

on_stores! {
    async fn a_link_that_is_confirmed_elsewhere_is_claimed_by_the_page_that_waits(world) {
        let (mailed, _bob, challenge, token) = linked(&world).await;
        let LinkView { prompt: shown, nonce, .. } = view(&mailed, &token).await;
        assert_eq!(shown["target_url"], TARGET_URL);
        assert_eq!(shown["began_at"], world.now().unix_seconds());
        assert_eq!(status(&mailed, &challenge).await, Status::Sent);
        assert!(matches!(mailed.engine.claim(&challenge.reference).await.unwrap(), Verify::Pending(_)));
        let confirmed = confirm(&mailed, &token, digits(&challenge)).await;
        assert!(matches!(&confirmed, LinkConfirm::Confirmed(shown) if shown["target_url"] == TARGET_URL), "{confirmed:?}");
        assert_eq!(status(&mailed, &challenge).await, Status::Verified);
        let Verify::Verified(grant) = mailed.engine.claim(&challenge.reference).await.unwrap() else { panic!() };
        assert_eq!(grant.evidence().aal().number(), 1);
        assert_eq!(status(&mailed, &challenge).await, Status::Redeemed);
        let again = confirm_by(&mailed, &token, &nonce, digits(&challenge)).await;
        assert_eq!(reason(&again), Reason::AlreadyUsed);
    }

    async fn an_address_is_set_up_by_a_code_where_logins_are_confirmed_by_a_link(world) {
        let mailed = Mailed::new(&world, links()).await;
        let bob = mailed.add(&world, "bob").await;
        let started = mailed.started(&bob, "email").await.unwrap();
        assert_eq!(started.prompt["form"], "code");
        let code = Response::code(&mailed.code());
        let confirmed = mailed.engine.enrol_confirm(&started.reference, &code).await.unwrap();
        assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "{confirmed:?}");
        let _ = mailed.engine.drain_outbox(100).await;
        let _ = mailed.inbox.take();
        let challenge = mailed.begin(&bob).await;
        assert_eq!(challenge.prompt["form"], "link");
        let token = mailed.link();
        assert!(matches!(confirm(&mailed, &token, digits(&challenge)).await, LinkConfirm::Confirmed(_)));
    }

    async fn s03_the_browser_that_began_confirms_without_digits_and_no_other(world) {
        let (mailed, bob, challenge, token) = linked(&world).await;
        let other = mailed.begin(&bob).await;
        let _ = mailed.link();
        // Another challenge's reference, and nothing at all: not verified, and nothing is lost by it.
        for proof in [LinkProof::SameBrowser(other.reference.clone()), LinkProof::None] {
            assert_eq!(reason(&confirm(&mailed, &token, proof).await), Reason::NotOffered);
            assert_eq!(status(&mailed, &challenge).await, Status::Sent);
        }
        let same = LinkProof::SameBrowser(challenge.reference.clone());
        assert!(matches!(confirm(&mailed, &token, same).await, LinkConfirm::Confirmed(_)));
        assert!(matches!(mailed.engine.claim(&challenge.reference).await.unwrap(), Verify::Verified(_)));
    }

    async fn s03_a_wrong_entry_of_digits_ends_the_challenge_and_counts_as_not_me(world) {
        let (mailed, bob, challenge, token) = linked(&world).await;
        let other = mailed.begin(&bob).await;
        let other_token = mailed.link();
        let nonces = [view(&mailed, &token).await.nonce, view(&mailed, &other_token).await.nonce];
        let shown: u32 = challenge.prompt["match"].as_str().unwrap().parse().unwrap();
        let wrong = LinkProof::Digits(SecretText::new(format!("{:02}", (shown + 1) % 100)));
        assert_eq!(reason(&confirm(&mailed, &token, wrong).await), Reason::Fraud);
        assert_eq!(status(&mailed, &challenge).await, Status::Failed);
        let late = [(&token, &challenge, Reason::Exhausted), (&other_token, &other, Reason::Superseded)];
        for ((token, challenge, why), nonce) in late.into_iter().zip(&nonces) {
            assert_eq!(reason(&confirm_by(&mailed, token, nonce, digits(challenge)).await), why);
            assert!(matches!(mailed.engine.claim(&challenge.reference).await.unwrap(), Verify::Rejected(_)));
        }
        assert!(matches!(mailed.engine.begin(login(&bob)).await.unwrap(), Begin::Denied(_)), "every method is delayed");
    }

    async fn s03_not_me_ends_the_challenge_and_tells_the_user(world) {
        let (mailed, _bob, challenge, token) = linked(&world).await;
        let told = mailed.engine.link_not_me(&token, &facts()).await.unwrap();
        assert_eq!(told.reason, Reason::Fraud);
        assert_eq!(status(&mailed, &challenge).await, Status::Failed);
        let subjects: Vec<_> = mfa_tests::notified::arrived(&mailed.engine, &mailed.inbox).await;
        assert!(subjects.iter().any(|(_, subject)| subject == mfa::NoticeKind::FraudReported.subject()));
    }

    async fn s03_a_scanner_that_opens_every_link_and_submits_every_form_consumes_nothing(world) {
        let (mailed, _bob, challenge, token) = linked(&world).await;
        let events = world.events().await.len();
        for _ in 0..10 {
            let opened = view(&mailed, &token).await;
            for nonce in [&opened.nonce, &SecretText::new(""), &SecretText::new("guess")] {
                let submitted = mailed.engine.link_confirm(&token, nonce, &LinkProof::None, &facts()).await.unwrap();
                assert!(matches!(submitted, LinkConfirm::Rejected(_)), "{submitted:?}");
            }
        }
        assert_eq!(status(&mailed, &challenge).await, Status::Sent);
        assert_eq!(world.events().await.len(), events);
        assert!(matches!(confirm(&mailed, &token, digits(&challenge)).await, LinkConfirm::Confirmed(_)));
    }

    async fn s28_a_form_that_was_not_opened_confirms_nothing(world) {
        let (mailed, _bob, challenge, token) = linked(&world).await;
        for nonce in ["", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            let nonce = SecretText::new(nonce);
            let refused = mailed.engine.link_confirm(&token, &nonce, &digits(&challenge), &facts()).await.unwrap();
            assert_eq!(reason(&refused), Reason::NotFound);
        }
        assert_eq!(status(&mailed, &challenge).await, Status::Sent);
    }

    async fn s28_a_token_says_nothing_of_whose_it_is(world) {
        let (_mailed, bob, challenge, token) = linked(&world).await;
        let text = token.expose_secret();
        let bytes = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
        for hidden in [bob.account().as_str(), bob.user().as_str(), "user_auth"] {
            assert!(!bytes.windows(hidden.len()).any(|part| part == hidden.as_bytes()), "{hidden}");
            assert!(!text.contains(hidden));
        }
        let id = challenge.id.as_bytes();
        assert!(!bytes.windows(id.len()).any(|part| part == id));
        assert!(!format!("{token:?}").contains(text));
    }

    async fn t21_a_link_is_good_once_and_an_older_one_of_its_challenge_not_at_all(world) {
        let (mailed, _bob, challenge, old) = linked(&world).await;
        let old_nonce = view(&mailed, &old).await.nonce;
        world.clock.advance(Duration::from_secs(30));
        let resent = mailed.engine.resend(&challenge.reference).await.unwrap();
        let mfa::Changed::Done(prompt) = resent else { panic!("{resent:?}") };
        let new = mailed.link();
        let digits = LinkProof::Digits(SecretText::new(prompt["match"].as_str().unwrap()));
        let by_old = confirm_by(&mailed, &old, &old_nonce, digits.clone()).await;
        assert_eq!(reason(&by_old), Reason::NotFound);
        let nonce = view(&mailed, &new).await.nonce;
        let first = confirm_by(&mailed, &new, &nonce, digits.clone()).await;
        assert!(matches!(first, LinkConfirm::Confirmed(_)), "{first:?}");
        assert_eq!(reason(&confirm_by(&mailed, &new, &nonce, digits).await), Reason::AlreadyUsed);
        assert_eq!(world.events_of(Kind::ChallengeVerified).await.len(), 1);
    }

    async fn t22_a_link_is_over_at_the_second_its_life_ends(world) {
        let (mailed, _bob, challenge, token) = linked(&world).await;
        let nonce = view(&mailed, &token).await.nonce;
        world.clock.advance(Duration::from_secs(300));
        let late = confirm_by(&mailed, &token, &nonce, digits(&challenge)).await;
        assert_eq!(reason(&late), Reason::Expired);
        assert_eq!(refused(mailed.engine.claim(&challenge.reference).await.unwrap()).reason, Reason::Expired);
    }

    async fn s02_of_64_pollers_and_64_claimers_of_a_verified_link_one_gets_the_grant(world) {
        let (mailed, bob, challenge, token) = linked(&world).await;
        assert!(matches!(confirm(&mailed, &token, digits(&challenge)).await, LinkConfirm::Confirmed(_)));
        let outcomes = race(128, async |n| match n % 2 {
            0 => matches!(mailed.engine.claim(&challenge.reference).await, Ok(Verify::Verified(_))),
            // A status has no place for a grant: its type says so.
            _ => {
                let _: Option<mfa::ChallengeStatus> = mailed.engine.status(bob.account(), challenge.id).await.unwrap();
                false
            }
        });
        assert_eq!(outcomes.into_iter().filter(|granted| *granted).count(), 1);
    }

    async fn s03_approving_alone_is_of_the_first_level_a_stated_danger_and_no_proof(world) {
        let inbox = Inbox::new();
        let email = Delivered::email(texts()).unwrap().danger_approve_only();
        let engine = Mailed::node(&world, &inbox, email, links()).build().await.unwrap();
        assert!(engine.dangers().contains(&"danger_approve_only"));
        let mailed = Mailed { engine, inbox };
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "sms").await;
        mailed.enrol(&world, &bob, "email").await;
        let by_email = login(&bob).with_method("email".parse().unwrap());
        let Begin::Challenge(challenge) = mailed.engine.begin(by_email).await.unwrap() else { panic!() };
        let token = mailed.link();
        assert!(matches!(confirm(&mailed, &token, LinkProof::None).await, LinkConfirm::Confirmed(_)));
        let Verify::Verified(grant) = mailed.engine.claim(&challenge.reference).await.unwrap() else { panic!() };
        assert_eq!(grant.evidence().aal().number(), 1);
        // With something stronger enrolled, a step-up does not offer it.
        let begun = mailed.engine.step_up_begin(login(&bob), &Intent::disable(&bob)).await.unwrap();
        let Begin::Challenge(step_up) = begun else { panic!("{begun:?}") };
        assert!(step_up.methods.iter().all(|method| method.provider.as_str() == "sms"));
    }

    async fn s03_approving_alone_proves_no_change_where_nothing_is_stronger_either(world) {
        let inbox = Inbox::new();
        let email = Delivered::email(texts()).unwrap().danger_approve_only();
        let engine = Mailed::node(&world, &inbox, email, links()).build().await.unwrap();
        let mailed = Mailed { engine, inbox };
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let begun = mailed.engine.step_up_begin(login(&bob), &Intent::disable(&bob)).await.unwrap();
        let Begin::Challenge(step_up) = begun else { panic!("{begun:?}") };
        let token = mailed.link();
        assert_eq!(view(&mailed, &token).await.prompt["needs"], "same_browser_or_digits");
        assert_eq!(reason(&confirm(&mailed, &token, LinkProof::None).await), Reason::NotOffered);
        assert!(matches!(mailed.engine.claim(&step_up.reference).await.unwrap(), Verify::Pending(_)));
        // Who sits before the page that waits proves it as ever.
        assert!(matches!(confirm(&mailed, &token, digits(&step_up)).await, LinkConfirm::Confirmed(_)));
        assert!(matches!(mailed.engine.claim(&step_up.reference).await.unwrap(), Verify::Proven(_)));
    }

    async fn s03_what_a_scanner_fills_into_the_form_is_no_entry_of_digits(world) {
        let (mailed, _bob, challenge, token) = linked(&world).await;
        for filled in ["", " ", "test", "1", "123", "scanner@mail.example"] {
            let filled = LinkProof::Digits(SecretText::new(filled));
            assert_ne!(reason(&confirm(&mailed, &token, filled).await), Reason::Fraud);
            assert_eq!(status(&mailed, &challenge).await, Status::Sent);
        }
        assert!(matches!(confirm(&mailed, &token, digits(&challenge)).await, LinkConfirm::Confirmed(_)));
    }

    async fn s03_a_gateway_that_submits_the_form_before_it_takes_the_message_ends_nothing(world) {
        let gateway = Arc::new(Gateway::default());
        let email = Delivered::email(texts()).unwrap();
        let node = Mailed::node(&world, &Inbox::new(), email, links()).transport(gateway.clone());
        let engine = node.build().await.unwrap();
        let mailed = Mailed { engine, inbox: gateway.inbox.clone() };
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        gateway.engine.set(mailed.engine.clone()).unwrap();
        let challenge = mailed.begin(&bob).await;
        assert_eq!(challenge.prompt["sent"], "yes");
        assert!(matches!(confirm(&mailed, &mailed.link(), digits(&challenge)).await, LinkConfirm::Confirmed(_)));
        assert!(matches!(mailed.engine.claim(&challenge.reference).await.unwrap(), Verify::Verified(_)));
    }

    async fn s13_a_link_is_not_confirmed_while_its_method_is_delayed(world) {
        let (mailed, bob, challenge, token) = linked(&world).await;
        let other = mailed.begin(&bob).await;
        let _ = mailed.link();
        for _ in 0..5 {
            let wrong = mailed.engine.verify(&other.reference, Response::code("000000")).await.unwrap();
            assert_eq!(refused(wrong).reason, Reason::WrongCode);
        }
        assert_eq!(reason(&confirm(&mailed, &token, digits(&challenge)).await), Reason::Locked);
        world.clock.advance(Duration::from_secs(1));
        assert!(matches!(confirm(&mailed, &token, digits(&challenge)).await, LinkConfirm::Confirmed(_)));
    }

    async fn s03_the_page_tells_of_the_beginning_however_often_a_link_is_sent(world) {
        let mailed = Mailed::new(&world, links()).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let began = world.now().unix_seconds();
        let from = login(&bob).with_request(facts().with_ip([192, 0, 2, 7].into()));
        let Begin::Challenge(challenge) = mailed.engine.begin(from).await.unwrap() else { panic!() };
        let _ = mailed.link();
        world.clock.advance(Duration::from_secs(60));
        assert!(matches!(mailed.engine.resend(&challenge.reference).await.unwrap(), mfa::Changed::Done(_)));
        let shown = view(&mailed, &mailed.link()).await.prompt;
        assert_eq!((&shown["ip"], &shown["began_at"]), (&"192.0.2.7".into(), &began.into()));
    }

    async fn s03_not_me_cannot_be_silenced_by_another_message_or_method(world) {
        let (mailed, bob, challenge, old) = linked(&world).await;
        mailed.enrol(&world, &bob, "sms").await;
        // Whoever has the password sends another link.
        world.clock.advance(Duration::from_secs(30));
        assert!(matches!(mailed.engine.resend(&challenge.reference).await.unwrap(), mfa::Changed::Done(_)));
        let same = LinkProof::SameBrowser(challenge.reference.clone());
        assert!(matches!(confirm(&mailed, &mailed.link(), same).await, LinkConfirm::Confirmed(_)));
        assert_eq!(mailed.engine.link_not_me(&old, &facts()).await.unwrap().reason, Reason::Fraud);
        assert!(matches!(mailed.engine.claim(&challenge.reference).await.unwrap(), Verify::Rejected(_)));
        // Or goes on with another method.
        world.clock.advance(Duration::from_secs(3600));
        let by_email = login(&bob).with_method("email".parse().unwrap());
        let Begin::Challenge(challenge) = mailed.engine.begin(by_email).await.unwrap() else { panic!() };
        let token = mailed.link();
        let nonce = view(&mailed, &token).await.nonce;
        world.clock.advance(Duration::from_secs(30));
        let switched = mailed.engine.switch(&challenge.reference, &"sms".parse().unwrap()).await.unwrap();
        assert!(matches!(switched, mfa::Changed::Done(_)), "{switched:?}");
        let dead = confirm_by(&mailed, &token, &nonce, digits(&challenge)).await;
        assert_eq!(reason(&dead), Reason::NotFound);
        assert_eq!(mailed.engine.link_not_me(&token, &facts()).await.unwrap().reason, Reason::Fraud);
        assert_eq!(status(&mailed, &challenge).await, Status::Failed);
    }

    async fn t25_a_made_up_token_costs_no_read(world) {
        let counting = Arc::new(CountingStore::new(Arc::clone(&world.store)));
        let inbox = Inbox::new();
        let node = mfa_tests::notified::sending_node_on(&world, counting.clone(), &inbox);
        let engine = node.build().await.unwrap();
        let _ = counting.take();
        let mailed = Mailed { engine, inbox };
        for text in ["", "x", "AAAA", &"A".repeat(5_000), "made-up", "é"] {
            let token = LinkToken::from_text(text);
            let opened = mailed.engine.link_open(&token, &facts()).await.unwrap();
            assert!(matches!(opened, LinkOpen::Rejected(r) if r.reason == Reason::NotFound));
            let confirmed = confirm_by(&mailed, &token, &SecretText::new("none"), LinkProof::None).await;
            assert_eq!(reason(&confirmed), Reason::NotFound);
            assert_eq!(mailed.engine.link_not_me(&token, &facts()).await.unwrap().reason, Reason::NotFound);
        }
        assert_eq!(counting.take().gets, 0);
    }

    async fn t22_a_link_with_a_shorter_life_than_its_challenge_is_over_when_its_own_ends(world) {
        let mut settings = links();
        settings["ttl_s"] = 60.into();
        let mailed = Mailed::new(&world, settings).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let (early, early_token) = (mailed.begin(&bob).await, mailed.link());
        let (late, late_token) = (mailed.begin(&bob).await, mailed.link());
        world.clock.advance(Duration::from_secs(60) - Duration::from_millis(1));
        assert!(matches!(confirm(&mailed, &early_token, digits(&early)).await, LinkConfirm::Confirmed(_)));
        let nonce = view(&mailed, &late_token).await.nonce;
        world.clock.advance(Duration::from_millis(1));
        // Opening it is no event and changes nothing, however often.
        let events = world.events().await.len();
        for _ in 0..3 {
            assert!(matches!(mailed.engine.link_open(&late_token, &facts()).await.unwrap(), LinkOpen::Rejected(_)));
        }
        assert_eq!(world.events().await.len(), events);
        let over = mailed.engine.link_confirm(&late_token, &nonce, &digits(&late), &facts()).await.unwrap();
        assert_eq!(reason(&over), Reason::Expired);
        assert_eq!(status(&mailed, &late).await, Status::Sent);
    }

    async fn s03_a_link_s_page_shows_where_the_login_began_and_not_the_digits(world) {
        let (mailed, bob, _challenge, _token) = linked(&world).await;
        let from = RequestFacts::new().with_ip("192.0.2.7".parse().unwrap());
        let begun = mailed.engine.begin(login(&bob).with_request(from)).await.unwrap();
        assert!(matches!(begun, Begin::Challenge(_)), "{begun:?}");
        let shown = view(&mailed, &mailed.link()).await.prompt;
        assert_eq!(shown["ip"], "192.0.2.7");
        let fields: Vec<_> = shown.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, ["began_at", "expires_at", "ip", "needs", "target_url"]);
    }

    async fn s03_the_digits_that_a_page_waits_for_differ_from_login_to_login(world) {
        let mailed = Mailed::new(&world, links()).await;
        let mut shown = std::collections::BTreeSet::new();
        for n in 0..8 {
            let user = mailed.add(&world, &format!("user{n}")).await;
            mailed.enrol(&world, &user, "email").await;
            let challenge = mailed.begin(&user).await;
            let _ = mailed.inbox.take();
            shown.insert(challenge.prompt["match"].as_str().unwrap().to_owned());
        }
        // Eight alike are drawn once in 10^14 times.
        assert!(shown.len() > 1, "{shown:?}");
    }

    async fn s03_not_me_counts_before_the_transport_has_answered(world) {
        let inbox = Inbox::new();
        let email = Delivered::email(texts()).unwrap();
        let node = Mailed::node(&world, &inbox, email, links());
        let engine = node.transport(Arc::new(Silent(inbox.clone()))).build().await.unwrap();
        let mailed = Mailed { engine, inbox };
        let bob = mailed.add(&world, "bob").await;
        Mailed::new(&world, Value::Null).await.enrol(&world, &bob, "email").await;
        let mut beginning = pin!(mailed.engine.begin(login(&bob)));
        let mut context = Context::from_waker(Waker::noop());
        let token = loop {
            assert!(beginning.as_mut().poll(&mut context).is_pending());
            if let Some(message) = mailed.inbox.take().pop() {
                let body = message.body;
                let token = body.split_whitespace().find_map(|word| Some(word.split_once('#')?.1.to_owned()));
                break LinkToken::from_text(token.unwrap());
            }
            std::thread::yield_now();
        };
        assert_eq!(mailed.engine.link_not_me(&token, &facts()).await.unwrap().reason, Reason::Fraud);
        world.clock.advance(Duration::from_secs(31));
        let begun = beginning.await.unwrap();
        assert!(matches!(begun, Begin::Denied(_)), "{begun:?}");
    }

    async fn s28_an_older_link_s_page_confirms_nothing_after_a_resend(world) {
        let (mailed, _bob, challenge, old) = linked(&world).await;
        let seen = view(&mailed, &old).await.nonce;
        world.clock.advance(Duration::from_secs(30));
        let resent = mailed.engine.resend(&challenge.reference).await.unwrap();
        let mfa::Changed::Done(prompt) = resent else { panic!("{resent:?}") };
        let new = mailed.link();
        let digits = LinkProof::Digits(SecretText::new(prompt["match"].as_str().unwrap()));
        let by_old = mailed.engine.link_confirm(&old, &seen, &digits, &facts()).await.unwrap();
        assert_eq!(reason(&by_old), Reason::NotFound);
        assert_eq!(status(&mailed, &challenge).await, Status::Sent);
        // The page of the old link does not confirm the new one.
        let other = mailed.engine.link_confirm(&new, &seen, &digits, &facts()).await.unwrap();
        assert_eq!(reason(&other), Reason::NotFound);
        assert!(matches!(confirm(&mailed, &new, digits).await, LinkConfirm::Confirmed(_)));
    }

    async fn s28_a_token_with_more_behind_it_is_no_token(world) {
        let (mailed, _bob, _challenge, token) = linked(&world).await;
        let encoding = data_encoding::BASE64URL_NOPAD;
        let bytes = encoding.decode(token.expose_secret().as_bytes()).unwrap();
        let longer = LinkToken::from_text(encoding.encode(&[&bytes[..], &[0]].concat()));
        assert!(matches!(mailed.engine.link_open(&longer, &facts()).await.unwrap(), LinkOpen::Rejected(_)));
    }

    async fn s03_opening_a_link_writes_nothing(world) {
        let (mailed, _bob, _challenge, token) = linked(&world).await;
        let counting = Arc::new(CountingStore::new(Arc::clone(&world.store)));
        let email = Delivered::email(texts()).unwrap();
        let node = mfa_tests::notified::sending_node_on(&world, counting.clone(), &mailed.inbox);
        let node = node.provider_with(email, links()).policy(offering(&["email"]));
        let opening = Mailed { engine: node.build().await.unwrap(), inbox: mailed.inbox.clone() };
        let _ = counting.take();
        for _ in 0..3 {
            let _view = view(&opening, &token).await;
        }
        let counts = counting.take();
        assert_eq!((counts.gets, counts.commits), (3, 0));
    }

    async fn s03_approving_alone_is_of_the_first_level_by_sms_too(world) {
        let inbox = Inbox::new();
        let sms = Delivered::sms(texts(), german_mobiles()).unwrap().danger_approve_only();
        let node = world.node().provider_with(sms, links()).transport(Arc::new(inbox.clone()));
        let engine = node.policy(offering(&["sms"])).build().await.unwrap();
        let mailed = Mailed { engine, inbox };
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "sms").await;
        let challenge = mailed.begin(&bob).await;
        let token = mailed.link();
        assert!(matches!(confirm(&mailed, &token, LinkProof::None).await, LinkConfirm::Confirmed(_)));
        let Verify::Verified(grant) = mailed.engine.claim(&challenge.reference).await.unwrap() else { panic!() };
        assert_eq!(grant.evidence().aal().number(), 1);
    }

    async fn a_link_is_dead_and_no_error_after_a_switch_to_a_recovery_code(world) {
        let inbox = Inbox::new();
        let email = Delivered::email(texts()).unwrap();
        let node = Mailed::node(&world, &inbox, email, links()).provider(mfa_testkit::host::recovery());
        let mailed = Mailed { engine: node.build().await.unwrap(), inbox };
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let (account, user) = (bob.account(), bob.user());
        let form = mfa::RecoveryForm::Codes;
        let _issued = mailed.engine.recovery_issue(account, user, form, &mfa_tests::host()).await.unwrap();
        let _ = mailed.engine.drain_outbox(100).await;
        let _ = mailed.inbox.take();
        let challenge = mailed.begin(&bob).await;
        let token = mailed.link();
        let nonce = view(&mailed, &token).await.nonce;
        // An answer of the other kind is a switch.
        let typed = Response::answer(mfa::Answer::recovery("not a code"));
        let _refused = mailed.engine.verify(&challenge.reference, typed).await.unwrap();
        assert_eq!(world.events_of(Kind::ChallengeSwitched).await.len(), 1);
        let opened = mailed.engine.link_open(&token, &facts()).await;
        assert!(matches!(opened, Ok(LinkOpen::Rejected(_))), "{opened:?}");
        let confirmed = mailed.engine.link_confirm(&token, &nonce, &digits(&challenge), &facts()).await;
        assert!(matches!(confirmed, Ok(LinkConfirm::Rejected(_))), "{confirmed:?}");
        assert_eq!(mailed.engine.link_not_me(&token, &facts()).await.unwrap().reason, Reason::Fraud);
    }
}

#[test]
fn s28_a_link_s_page_is_kept_from_caches_referrers_and_search_engines() {
    let kept = [
        ("Referrer-Policy", "no-referrer"),
        ("Cache-Control", "no-store"),
        ("X-Robots-Tag", "noindex, nofollow"),
    ];
    assert_eq!(LinkView::HEADERS, kept);
}
