//! The provider contract, for `email` and `sms`, and the codes themselves.
#![cfg(test)]
#![expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails")]

use core::time::Duration;
use std::sync::Arc;

use mfa_core::{
    AccountId, Answer, Choice, Cx, Draw, Effect, Held, HttpFault, HttpReply, KeyId, KeyRing, Provider,
    Purpose, StepEvent, Then, Timestamp, UserId,
};
use mfa_core::{Contact, OsEntropy};
use mfa_otp_delivery::Delivered;
use mfa_otp_delivery::address::{Domain, Region};
use mfa_otp_delivery::text::{SiteName, Texts};
use mfa_testkit::provider_suite::{ProviderCase, Shown};
use serde_json::Value;

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
    mfa_testkit::provider_suite!(Case(Delivered::sms(texts(), [Region::parse("DE").unwrap()]).unwrap()));
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
