//! The provider contract, for `email` and `sms`, and the codes themselves.
#![cfg(test)]
#![expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails")]

use core::time::Duration;
use std::sync::Arc;

use mfa_core::{
    AccountId, Answer, ChallengeId, Change, Choice, Cx, Draw, Effect, Held, HttpFault, HttpReply, KeyId,
    KeyRing, Operation, Provider, Purpose, Reason, StepEvent, Then, Timestamp, UserId,
};
use mfa_core::{Contact, OsEntropy};
use mfa_otp_delivery::Delivered;
use mfa_otp_delivery::address::{Domain, Region};
use mfa_otp_delivery::select::SmsRules;
use mfa_otp_delivery::text::{SiteName, Texts};
use mfa_testkit::provider_suite::{ProviderCase, Shown};
use serde_json::{Value, json};

fn texts() -> Arc<Texts> {
    let (site, domain) = (SiteName::parse("Acme").unwrap(), Domain::parse("login.acme.example").unwrap());
    Arc::new(Texts::builder(site, domain).build().unwrap())
}

fn code_in(body: &str) -> String {
    let words = body.split(|c: char| !c.is_ascii_digit());
    words.into_iter().find(|word| word.len() == 6).unwrap().to_owned()
}

#[derive(Debug)]
struct Case(Delivered);

impl ProviderCase for Case {
    type Provider = Delivered;

    fn provider(&self) -> &Delivered {
        &self.0
    }

    fn settings(&self) -> Value {
        Value::Null
    }

    fn choice(&self) -> Choice {
        Choice::none()
    }

    fn right_answer(&self, shown: &Shown, _: Timestamp) -> Answer {
        Answer::code(&code_in(shown.messages.last().unwrap()))
    }

    fn wrong_answer(&self, shown: &Shown, _: Timestamp) -> Answer {
        let right: u32 = code_in(shown.messages.last().unwrap()).parse().unwrap();
        Answer::code(&format!("{:06}", (right + 1) % 1_000_000))
    }

    fn malformed_answers(&self) -> Vec<Answer> {
        ["", "12345", "1234567", "12345a", "１２３"].map(Answer::code).into()
    }

    fn next_answer_after(&self) -> Duration {
        Duration::ZERO
    }

    fn http(&self, _: &http::Request<Vec<u8>>) -> Result<HttpReply, HttpFault> {
        Err(HttpFault::NotSent)
    }
}

mod email {
    use super::*;
    mfa_testkit::provider_suite!(Case(Delivered::email(texts()).unwrap()));
}

mod sms {
    use super::*;
    mfa_testkit::provider_suite!(Case(
        Delivered::sms(texts(), SmsRules::allowing([Region::parse("DE").unwrap()])).unwrap()
    ));
}

/// Chi-square over the digits of each place: 9 degrees of freedom, of which 40 is passed once in 10^5 times.
#[test]
fn a_hundred_thousand_codes_are_uniform_in_every_place() {
    let provider = Delivered::email(texts()).unwrap();
    let ring = KeyRing::new(KeyId::parse("k").unwrap(), [7; 32]).unwrap();
    let (account, user) = (AccountId::parse("acme").unwrap(), UserId::parse("bob").unwrap());
    let contacts = [Contact::email("bob@acme.example").unwrap().verified()];
    let mut counts = [[0_u32; 10]; 6];
    for _ in 0..100_000 {
        let mut draw = Draw::from_source(Arc::new(OsEntropy::new())).unwrap();
        let now = Timestamp::from_unix_seconds(1_800_000_000).unwrap();
        let mut cx = Cx::new(now, &account, &user, Purpose::Enrol, &Value::Null, &mut draw)
            .with_ring(&ring, "k")
            .with_contacts(&contacts);
        let choice = Choice::none();
        let step = provider.handle(&mut cx, Held::new(None, None, None), StepEvent::Begin(&choice)).unwrap();
        let Then::Run(Effect::Deliver(message), _) = step.then else { panic!() };
        for (place, digit) in code_in(message.body.expose_secret()).bytes().enumerate() {
            counts[place][usize::from(digit - b'0')] += 1;
        }
    }
    for place in counts {
        let chi: f64 = place.iter().map(|count| (f64::from(*count) - 10_000.0).powi(2) / 10_000.0).sum();
        assert!(chi < 40.0, "{chi}: {place:?}");
    }
}

/// A step of this account, user, challenge and purpose.
struct Place<'a>(&'a str, &'a str, u8, Purpose);

fn at<'a>(place: &'a (AccountId, UserId), of: &Place<'_>, draw: &'a mut Draw, ring: &'a KeyRing) -> Cx<'a> {
    let now = Timestamp::from_unix_seconds(1_800_000_000).unwrap();
    let mut cx = Cx::new(now, &place.0, &place.1, of.3, &Value::Null, draw).with_ring(ring, "k");
    cx.challenge = ChallengeId::from_bytes([of.2; 16]);
    cx
}

/// Returns what the provider makes of a code of `begun` in another step, with what it kept changed.
fn answered(of: &Place<'_>, mailbox: &str, change: impl FnOnce(&mut Value)) -> Then {
    let provider = Delivered::email(texts()).unwrap();
    let ring = KeyRing::new(KeyId::parse("k").unwrap(), [7; 32]).unwrap();
    let names = |of: &Place<'_>| (AccountId::parse(of.0).unwrap(), UserId::parse(of.1).unwrap());
    let secret = |mailbox: &str| serde_json::from_value(json!(mailbox)).unwrap();
    let mut draw = Draw::from_source(Arc::new(OsEntropy::new())).unwrap();
    let (begun, choice) = (Place("acme", "bob", 1, Purpose::Login), Choice::none());
    let place = names(&begun);
    let held = Held::new(None, None, Some(secret("bob@acme.example")));
    let step =
        provider.handle(&mut at(&place, &begun, &mut draw, &ring), held, StepEvent::Begin(&choice)).unwrap();
    let Then::Run(Effect::Deliver(message), _) = step.then else { panic!() };
    let answer = Answer::code(&code_in(message.body.expose_secret()));
    let Change::Set(state) = step.state else { panic!() };
    let mut kept = serde_json::to_value(state).unwrap();
    change(&mut kept);
    let held = Held::new(Some(serde_json::from_value(kept).unwrap()), None, Some(secret(mailbox)));
    let place = names(of);
    provider.handle(&mut at(&place, of, &mut draw, &ring), held, StepEvent::Answer(&answer)).unwrap().then
}

#[test]
fn s33_a_code_is_good_for_its_account_user_challenge_purpose_mailbox_and_generation_only() {
    const BOB: &str = "bob@acme.example";
    let same = || Place("acme", "bob", 1, Purpose::Login);
    assert!(matches!(answered(&same(), BOB, |_| ()), Then::Accept(_)));
    let elsewhere = [
        Place("other", "bob", 1, Purpose::Login),
        Place("acme", "eve", 1, Purpose::Login),
        Place("acme", "bob", 2, Purpose::Login),
        Place("acme", "bob", 1, Purpose::StepUp(Operation::Disable)),
        Place("acme", "bob", 1, Purpose::Enrol),
    ];
    let wrong = |then| matches!(then, Then::Reject(Reason::WrongCode));
    assert!(elsewhere.iter().all(|place| wrong(answered(place, BOB, |_| ()))));
    assert!(wrong(answered(&same(), "eve@acme.example", |_| ())));
    assert!(wrong(answered(&same(), BOB, |kept| kept["generation"] = json!(1))));
}

#[test]
fn settings_outside_their_limits_are_refused_by_name() {
    let provider = Delivered::email(texts()).unwrap();
    let fields = |settings: Value| match provider.validate(&settings) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.iter().map(|error| error.field.to_string()).collect::<Vec<_>>(),
    };
    let link = |link: &str, target: &str| json!({"form": "link", "link_url": link, "target_url": target});
    let good = "https://acme.example/";
    for settings in
        [Value::Null, json!({"digits": 6, "ttl_s": 30}), json!({"digits": 8, "ttl_s": 600}), link(good, good)]
    {
        assert_eq!(fields(settings.clone()), Vec::<String>::new(), "{settings}");
    }
    for (settings, field) in [
        (json!({"digits": 5}), "digits"),
        (json!({"digits": 9}), "digits"),
        (json!({"ttl_s": 29}), "ttl_s"),
        (json!({"ttl_s": 601}), "ttl_s"),
        (json!({"ttl_s": "60"}), "ttl_s"),
        (json!({"form": "carrier pigeon"}), "form"),
        (json!({"form": 1}), "form"),
        (link("http://acme.example/", good), "link_url"),
        (link(good, "http://acme.example/"), "target_url"),
        (link(good, ""), "target_url"),
        (json!([]), "settings"),
        (json!({"ttl": 60}), "ttl"),
        (json!({"form": "link", "link_url": good, "target_url": good, "from": "link"}), "from"),
    ] {
        assert_eq!(fields(settings.clone()), [field], "{settings}");
    }
    // Each of them is told, and of what is no name only so much as may be shown.
    let long = "z\n".repeat(100);
    let told = fields(json!({"from": "link", "tll_s": 9, "digits": 5, long: 1}));
    assert_eq!(told, ["digits", "from", "tll_s", &"z".repeat(64)]);
}
