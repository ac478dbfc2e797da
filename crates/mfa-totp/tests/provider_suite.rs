//! TOTP keeps the provider contract.
#![cfg(test)]

use std::time::Duration;

use audit_model::Timestamp;
use mfa_core::{Answer, Choice, HttpFault, HttpReply};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::provider_suite::{ProviderCase, Shown};
use mfa_totp::Totp;
use serde_json::{Value, json};

#[derive(Debug)]
struct Case {
    provider: Totp,
    choice: Value,
}

impl Case {
    fn of(choice: Value) -> Self {
        Self { provider: Totp::new("Example").unwrap(), choice }
    }

    fn app(shown: &Shown) -> SoftAuthenticator {
        SoftAuthenticator::scan(shown.revealed("uri").expect("a uri")).expect("it scans")
    }
}

impl ProviderCase for Case {
    type Provider = Totp;

    fn provider(&self) -> &Totp {
        &self.provider
    }

    fn settings(&self) -> Value {
        Value::Null
    }

    fn choice(&self) -> Choice {
        Choice::new(self.choice.clone())
    }

    fn right_answer(&self, shown: &Shown, now: Timestamp) -> Answer {
        Answer::code(&Self::app(shown).code_at(now))
    }

    fn wrong_answer(&self, shown: &Shown, now: Timestamp) -> Answer {
        Answer::code(&Self::app(shown).wrong_code_at(now, 3))
    }

    fn malformed_answers(&self) -> Vec<Answer> {
        ["", "12345", "123456789", "12a456", "12.456", "١٢٣٤٥٦"].map(Answer::code).to_vec()
    }

    fn next_answer_after(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn http(&self, _: &http::Request<Vec<u8>>) -> Result<HttpReply, HttpFault> {
        Err(HttpFault::NotSent)
    }
}

mod sha1_of_six_digits {
    use super::*;
    mfa_testkit::provider_suite!(Case::of(Value::Null));
}

mod sha512_of_eight_digits {
    use super::*;
    mfa_testkit::provider_suite!(Case::of(json!({"algorithm": "SHA512", "digits": 8})));
}
