//! Recovery codes and recovery keys keep the provider contract.

use std::time::Duration;

use audit_model::Timestamp;
use mfa_core::{Answer, Choice, HttpFault, HttpReply};
use mfa_recovery::Recovery;
use mfa_testkit::provider_suite::{ProviderCase, Shown};
use serde_json::{Value, json};

use crate::support;

/// A user who saved what was revealed under `name` and uses the codes in turn, another one each second.
#[derive(Debug)]
struct Case {
    provider: Recovery,
    choice: Value,
    name: &'static str,
    wrong: fn(&str) -> String,
}

impl Case {
    /// Wrong codes have a selector of the set.
    fn codes() -> Self {
        let (provider, choice) = (support::provider(), json!({"form": "codes", "count": 5}));
        Self { provider, choice, name: "codes", wrong: support::same_selector }
    }

    /// Wrong keys have another selector.
    fn key() -> Self {
        let (provider, choice) = (support::provider(), json!({"form": "key"}));
        Self { provider, choice, name: "key", wrong: support::other_selector }
    }

    fn saved(&self, shown: &Shown, now: Timestamp) -> String {
        let saved: Vec<_> = shown.revealed(self.name).expect("saved codes").lines().collect();
        saved[usize::try_from(now.unix_seconds()).unwrap() % saved.len()].to_owned()
    }
}

impl ProviderCase for Case {
    type Provider = Recovery;

    fn provider(&self) -> &Recovery {
        &self.provider
    }

    fn settings(&self) -> Value {
        Value::Null
    }

    fn choice(&self) -> Choice {
        Choice::new(self.choice.clone())
    }

    fn right_answer(&self, shown: &Shown, now: Timestamp) -> Answer {
        Answer::recovery(&self.saved(shown, now))
    }

    fn wrong_answer(&self, shown: &Shown, now: Timestamp) -> Answer {
        Answer::recovery(&(self.wrong)(&self.saved(shown, now)))
    }

    fn malformed_answers(&self) -> Vec<Answer> {
        // A well-formed one of the other form: so many characters before its checksum.
        let other = if self.name == "key" { 18 } else { 34 };
        let other_form = support::with_checksum(&"7".repeat(other));
        let texts = ["", "123456", "0000-0000-0000-0000-0000", "not-a-code", "\u{202e}", &other_form];
        texts.map(Answer::recovery).into()
    }

    fn next_answer_after(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn http(&self, _: &http::Request<Vec<u8>>) -> Result<HttpReply, HttpFault> {
        Err(HttpFault::NotSent)
    }
}

mod codes {
    use super::*;
    mfa_testkit::provider_suite!(Case::codes());
}

mod a_key {
    use super::*;
    mfa_testkit::provider_suite!(Case::key());
}
