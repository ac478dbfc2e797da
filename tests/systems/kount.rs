//! A login by Kount's flow: the gates, a link, polls, and one claim. Each test is named for its row.

use std::time::Duration;

use mfa::delivery::Delivered;
use mfa::delivery::address::Medium;
use mfa::delivery::kount::{
    Client, CorrelationId, Dialect, LoginRequest, LoginResponse, MfaStatus, POLL_EVERY, Profile, StatusBody,
};
use mfa::delivery::select::{ChannelPolicy, Decision, NoMethod, Unusable, select};
use mfa::{
    Begin, Challenge, ChallengeId, Changed, LinkConfirm, LinkOpen, LinkProof, LinkToken, Reason,
    RequestFacts, SecretText, Subject, Verify,
};
use mfa_testkit::inbox::Inbox;
use mfa_tests::acting::refused;
use mfa_tests::mailed::{Mailed, TARGET_URL, german_mobiles, links, offering, texts};
use mfa_tests::{World, login, on_stores};
use serde_json::{Value, json};

pub(crate) const CORRELATION: &str = "fd4c7ace-f409-42cc-bd94-e716a1a53a09";
const ON: Client = Client { vendor: true, email: true, sms: true };
const ASKS: Profile = Profile { challenge_mfa: true };
const WORDS: Dialect<'static> = Dialect::SecureMfa { waiting: "WAITING", over: "OVER" };

/// A host that speaks Kount's forms: both media send links.
async fn host(world: &World) -> Mailed {
    let inbox = Inbox::new();
    let email = Delivered::email(texts()).unwrap();
    let sms = Delivered::sms(texts(), german_mobiles()).unwrap();
    let node = world.node().provider_with(email, links()).provider_with(sms, links());
    let node = node.transport(std::sync::Arc::new(inbox.clone())).policy(offering(&["email", "sms"]));
    Mailed { engine: node.build().await.unwrap(), inbox }
}

/// Bob, who has set up mailbox and telephone.
async fn bob(world: &World, host: &Mailed) -> Subject {
    let bob = host.add(world, "bob").await;
    host.enrol(world, &bob, "sms").await;
    host.enrol(world, &bob, "email").await;
    let _ = host.inbox.take_tried();
    bob
}

pub(crate) fn request(more: Value) -> LoginRequest {
    let mut body = json!({
        "clientId": "acme1", "sessionId": "s-1", "userId": "bob",
        "mfaEmail": "bob@acme.example", "mfaPhone": "+4915123456789",
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    LoginRequest::parse(&body.to_string()).unwrap()
}

/// What the host does with a login that passed its password.
async fn answer(
    host: &Mailed,
    bob: &Subject,
    request: &LoginRequest,
    (client, profile, decision): (Client, Profile, Decision),
) -> (LoginResponse, Option<Challenge>) {
    let response = LoginResponse::new(decision, request.session_id.clone());
    let reachable = request.reachable(None);
    let policy = ChannelPolicy::kount(german_mobiles());
    let medium = match select(&reachable, &policy, &client.flags(profile, decision)) {
        Ok(selected) => selected.destination.medium(),
        Err(why) => return (response.without(&why), None),
    };
    let asked = login(bob).with_method(medium.code().parse().unwrap());
    match host.engine.begin(asked).await.unwrap() {
        Begin::Challenge(challenge) => (response.with_challenge(challenge.id, medium), Some(challenge)),
        other => panic!("{other:?}"),
    }
}

async fn challenged(host: &Mailed, bob: &Subject) -> Challenge {
    answer(host, bob, &request(json!({})), (ON, ASKS, Decision::Challenge)).await.1.unwrap()
}

async fn poll(host: &Mailed, id: ChallengeId) -> Option<StatusBody> {
    let status = host.engine.status(&mfa_tests::acme(), id).await.unwrap()?;
    let correlation = CorrelationId::parse(Some(CORRELATION)).unwrap();
    Some(StatusBody::of(&status, id, WORDS, correlation, ("s-1", "bob")).unwrap())
}

/// The same in the words of Kount 360.
async fn in_360(host: &Mailed, id: ChallengeId) -> String {
    let status = host.engine.status(&mfa_tests::acme(), id).await.unwrap().unwrap();
    MfaStatus::of(&status, Dialect::Kount360).as_str().to_owned()
}

async fn confirm(host: &Mailed, challenge: &Challenge, token: &LinkToken) -> LinkConfirm {
    let facts = RequestFacts::new();
    let LinkOpen::Valid(page) = host.engine.link_open(token, &facts).await.unwrap() else {
        panic!("not open")
    };
    let digits = LinkProof::Digits(SecretText::new(challenge.prompt["match"].as_str().unwrap()));
    host.engine.link_confirm(token, &page.nonce, &digits, &facts).await.unwrap()
}

fn sent(host: &Mailed) -> usize {
    host.inbox.take_tried().len()
}

on_stores! {
    async fn c01_a_challenge_without_an_address_has_no_id_and_sends_nothing(world) {
        let host = host(&world).await;
        let bob = bob(&world, &host).await;
        let bare = request(json!({"mfaEmail": null, "mfaPhone": ""}));
        let (response, challenge) = answer(&host, &bob, &bare, (ON, ASKS, Decision::Challenge)).await;
        let body = response.to_json();
        assert_eq!((&body["decision"], body.get("mfaId")), (&json!("Challenge"), None));
        assert!(challenge.is_none() && sent(&host) == 0);
        // It is not a gate that is closed: the login stays unfinished.
        assert_eq!(body["mfaEnabled"], true);
    }

    async fn c04_only_a_challenge_sends(world) {
        let host = host(&world).await;
        let bob = bob(&world, &host).await;
        let mut sends = Vec::new();
        for decision in [Decision::Allow, Decision::Block, Decision::Challenge] {
            let (response, _) = answer(&host, &bob, &request(json!({})), (ON, ASKS, decision)).await;
            assert_eq!(response.decision, decision);
            sends.push(sent(&host));
        }
        assert_eq!(sends, [0, 0, 1]);
    }

    async fn c05_what_was_sent_has_an_id_and_a_type(world) {
        let host = host(&world).await;
        let bob = bob(&world, &host).await;
        let (response, challenge) = answer(&host, &bob, &request(json!({})), (ON, ASKS, Decision::Challenge)).await;
        let body = response.to_json();
        assert_eq!(body["mfaId"], challenge.unwrap().id.to_string());
        assert_eq!(body["mfaId"].as_str().unwrap().as_bytes()[14], b'4', "a UUID of version 4");
        assert_eq!(body["mfaType"], "email");
        assert_eq!(LoginResponse::parse(&body).unwrap(), response);
    }

    async fn c08_a_link_is_good_for_five_minutes(world) {
        let host = host(&world).await;
        let bob = bob(&world, &host).await;
        let (early, early_token) = (challenged(&host, &bob).await, host.link());
        let (late, late_token) = (challenged(&host, &bob).await, host.link());
        world.clock.advance(Duration::from_secs(299));
        assert!(matches!(confirm(&host, &early, &early_token).await, LinkConfirm::Confirmed(_)));
        world.clock.advance(Duration::from_secs(1));
        let over = host.engine.link_open(&late_token, &RequestFacts::new()).await.unwrap();
        assert!(matches!(over, LinkOpen::Rejected(r) if r.reason == Reason::Expired), "{over:?}");
        assert_eq!(poll(&host, late.id).await.unwrap().mfa_status, MfaStatus::Other("OVER".to_owned()));
    }

    async fn c09_a_page_polls_every_five_seconds_and_61_times_at_most(world) {
        let host = host(&world).await;
        let bob = bob(&world, &host).await;
        let challenge = challenged(&host, &bob).await;
        let events = world.events().await.len();
        let first = poll(&host, challenge.id).await.unwrap();
        // Asked more often, it says the same.
        assert_eq!(poll(&host, challenge.id).await.unwrap(), first);
        let mut polls = 1;
        while poll(&host, challenge.id).await.unwrap().mfa_status == MfaStatus::Other("WAITING".to_owned()) {
            assert!(polls < 100, "it never ends");
            world.clock.advance(POLL_EVERY);
            polls += 1;
        }
        assert_eq!(polls, 61);
        assert_eq!(world.events().await.len(), events, "polls change nothing");
    }

    async fn c10_an_id_that_nobody_issued_or_of_another_client_is_not_found(world) {
        let host = host(&world).await;
        let bob = bob(&world, &host).await;
        let challenge = challenged(&host, &bob).await;
        assert!(poll(&host, ChallengeId::from_bytes([7; 16])).await.is_none());
        let elsewhere = mfa::AccountId::parse("other").unwrap();
        assert_eq!(host.engine.status(&elsewhere, challenge.id).await.unwrap(), None);
    }

    async fn c12_a_page_that_polls_sees_the_link_sent_confirmed_and_claimed_once(world) {
        let host = host(&world).await;
        let bob = bob(&world, &host).await;
        let challenge = challenged(&host, &bob).await;
        let token = host.link();
        let now = async || poll(&host, challenge.id).await.unwrap().mfa_status;
        assert_eq!(now().await, MfaStatus::Other("WAITING".to_owned()));
        assert!(matches!(host.engine.claim(&challenge.reference).await.unwrap(), Verify::Pending(_)));
        assert!(matches!(confirm(&host, &challenge, &token).await, LinkConfirm::Confirmed(_)));
        assert_eq!(now().await, MfaStatus::Success);
        assert!(matches!(host.engine.claim(&challenge.reference).await.unwrap(), Verify::Verified(_)));
        assert_eq!(in_360(&host, challenge.id).await, "VERIFIED");
        let again = refused(host.engine.claim(&challenge.reference).await.unwrap());
        assert_eq!(again.reason, Reason::AlreadyUsed);
        assert_eq!(now().await, MfaStatus::Success);
    }

    async fn c12_kount_360_has_words_for_every_place(world) {
        let host = host(&world).await;
        let bob = bob(&world, &host).await;
        let (sent, answered, cancelled) =
            (challenged(&host, &bob).await, challenged(&host, &bob).await, challenged(&host, &bob).await);
        assert_eq!(in_360(&host, sent.id).await, "MESSAGE_SENT");
        let typed = mfa::Response::code("000000");
        let _wrong = host.engine.verify(&answered.reference, typed).await.unwrap();
        assert_eq!(in_360(&host, answered.id).await, "VERIFICATION_ATTEMPT_FAILED");
        let _done = host.engine.cancel(&cancelled.reference).await.unwrap();
        assert_eq!(in_360(&host, cancelled.id).await, "TERMINATED");
        world.clock.advance(Duration::from_secs(300));
        assert_eq!(in_360(&host, sent.id).await, "TERMINATED");
    }

    async fn c12_what_cannot_be_sent_is_told_so(world) {
        let host = host(&world).await;
        let bob = bob(&world, &host).await;
        host.inbox.refuse("bob@acme.example", mfa::NotDelivered::Permanent);
        host.inbox.refuse("+4915123456789", mfa::NotDelivered::Permanent);
        let asked = login(&bob).with_method("email".parse().unwrap());
        let denied = host.engine.begin(asked).await.unwrap();
        assert!(matches!(denied, Begin::Denied(_)), "{denied:?}");
        let ended = world.events_of(audit_model::Kind::ChallengeEnded).await.pop().unwrap();
        let id = ChallengeId::from_bytes(ended.subject().unwrap());
        assert_eq!(poll(&host, id).await.unwrap().mfa_status.as_str(), "FAILED_TO_SEND");
        assert_eq!(in_360(&host, id).await, "INVALID");
    }

    async fn c13_nothing_is_sent_or_administered_while_the_vendor_has_it_off(world) {
        let host = host(&world).await;
        let bob = bob(&world, &host).await;
        let off = Client { vendor: false, ..ON };
        let (response, challenge) = answer(&host, &bob, &request(json!({})), (off, ASKS, Decision::Challenge)).await;
        assert!(challenge.is_none() && !response.mfa_enabled && sent(&host) == 0);
        assert_eq!(off.administer(), Err(NoMethod::VendorOff));
        assert_eq!(ON.administer(), Ok(()));
    }

    async fn c14_a_type_that_is_off_for_the_client_is_off_whatever_a_profile_says(world) {
        let host = host(&world).await;
        let bob = bob(&world, &host).await;
        for (email, sms, profile, expected) in [
            (true, true, true, Some(Medium::Email)), (true, false, true, Some(Medium::Email)),
            (false, true, true, Some(Medium::Sms)), (false, false, true, None),
            (true, true, false, None), (true, false, false, None),
            (false, true, false, None), (false, false, false, None),
        ] {
            let (client, profile) = (Client { vendor: true, email, sms }, Profile { challenge_mfa: profile });
            let asked = request(json!({}));
            let (response, _) = answer(&host, &bob, &asked, (client, profile, Decision::Challenge)).await;
            assert_eq!(response.mfa.map(|(_, medium)| medium), expected);
            assert_eq!(sent(&host), usize::from(expected.is_some()));
            world.clock.advance(Duration::from_secs(3600));
        }
    }

    async fn c15_an_email_unless_it_is_invalid_or_not_there(world) {
        let host = host(&world).await;
        let bob = bob(&world, &host).await;
        for (email, medium) in [("bob@acme.example", Medium::Email), ("bob@", Medium::Sms), ("", Medium::Sms)] {
            let asked = request(json!({"mfaEmail": email}));
            let (response, _) = answer(&host, &bob, &asked, (ON, ASKS, Decision::Challenge)).await;
            assert_eq!(response.mfa.map(|(_, medium)| medium), Some(medium), "{email:?}");
        }
        let _ = host.inbox.take_tried();
        // SMS alone, and no number.
        let (sms_alone, none) = (Client { email: false, ..ON }, request(json!({"mfaPhone": ""})));
        let flags = sms_alone.flags(ASKS, Decision::Challenge);
        let reachable = none.reachable(None);
        let failed = select(&reachable, &ChannelPolicy::kount(german_mobiles()), &flags).unwrap_err();
        let (email, sms) = (Some(Unusable::TypeOff), Some(Unusable::Missing));
        assert_eq!(failed, NoMethod::Unreachable { email, sms });
        let (response, _) = answer(&host, &bob, &none, (sms_alone, ASKS, Decision::Challenge)).await;
        assert!(response.mfa.is_none() && sent(&host) == 0);
    }

    async fn c17_the_page_goes_on_to_where_configuration_says(world) {
        let host = host(&world).await;
        let bob = bob(&world, &host).await;
        let asked = request(json!({"loginURL": "https://evil.example", "verificationTargetUrl": "https://evil.example"}));
        let (_, challenge) = answer(&host, &bob, &asked, (ON, ASKS, Decision::Challenge)).await;
        let LinkConfirm::Confirmed(shown) = confirm(&host, &challenge.unwrap(), &host.link()).await else { panic!() };
        assert_eq!(shown["target_url"], TARGET_URL);
    }

    async fn c20_with_the_profile_off_the_decision_stands_without_an_id(world) {
        let host = host(&world).await;
        let bob = bob(&world, &host).await;
        let off = (ON, Profile::default(), Decision::Challenge);
        let (response, challenge) = answer(&host, &bob, &request(json!({})), off).await;
        let body = response.to_json();
        assert_eq!((&body["decision"], &body["mfaEnabled"]), (&json!("Challenge"), &json!(false)));
        assert!(body.get("mfaId").is_none() && body.get("mfaType").is_none());
        assert!(challenge.is_none() && sent(&host) == 0);
    }

    async fn c23_a_resend_keeps_the_id_and_kills_the_link_before(world) {
        let host = host(&world).await;
        let bob = bob(&world, &host).await;
        let challenge = challenged(&host, &bob).await;
        let old = host.link();
        world.clock.advance(Duration::from_secs(30));
        let resent = host.engine.resend(&challenge.reference).await.unwrap();
        assert!(matches!(resent, Changed::Done(_)), "{resent:?}");
        let status = host.engine.status(bob.account(), challenge.id).await.unwrap().unwrap();
        assert_eq!(status.send_attempts, 2);
        let dead = host.engine.link_open(&old, &RequestFacts::new()).await.unwrap();
        assert!(matches!(dead, LinkOpen::Rejected(_)), "{dead:?}");
        let opened = host.engine.link_open(&host.link(), &RequestFacts::new()).await.unwrap();
        assert!(matches!(opened, LinkOpen::Valid(_)), "{opened:?}");
    }

    async fn s10_an_address_of_a_request_chooses_the_medium_and_is_never_written_to(world) {
        let host = host(&world).await;
        let bob = bob(&world, &host).await;
        let asked = request(json!({"mfaEmail": "eve@evil.example", "mfaPhone": "+4915199999999"}));
        let (response, _) = answer(&host, &bob, &asked, (ON, ASKS, Decision::Challenge)).await;
        assert_eq!(response.mfa.map(|(_, medium)| medium), Some(Medium::Email));
        assert_eq!(host.inbox.take_tried(), ["bob@acme.example"]);
    }
}
