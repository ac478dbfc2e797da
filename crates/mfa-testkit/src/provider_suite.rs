//! The clauses of the provider contract, one function each.
//!
//! A provider is described to the suite by a [`ProviderCase`]: how a user finds the right answer, what a
//! wrong and a malformed one look like, and how the outside answers its effects. The suite then plays the
//! engine: it keeps the provider's values as bytes, runs its effects and feeds their results back.
//!
//! [`provider_suite!`](crate::provider_suite!) makes a test of each clause. A clause that is broken panics
//! and says what was expected.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::missing_panics_doc,
    reason = "a clause is the body of a test: it panics where the contract is broken"
)]

pub mod answers;
pub mod effects;
pub mod kept;
pub mod secrecy;
mod session;
pub mod shape;

use core::fmt;
use core::time::Duration;

use audit_model::Timestamp;
use mfa_core::{Answer, Choice, HttpFault, HttpReply, Provider};
use serde_json::Value;

pub use session::Shown;

/// What the suite must know of one provider.
///
/// The suite enrols users, logs them in and lets time pass; the case plays the user and the outside.
pub trait ProviderCase: fmt::Debug {
    /// The provider.
    type Provider: Provider;

    /// Returns the provider; always the same one.
    fn provider(&self) -> &Self::Provider;

    /// Returns settings that the provider takes.
    fn settings(&self) -> Value;

    /// Returns the choice that an enrolment begins with.
    fn choice(&self) -> Choice;

    /// Returns the answer that a user who was shown `shown` gives at `now`, and that is right. Where uses are counted it
    /// is another one after each [`next_answer_after`](Self::next_answer_after), until they run out.
    fn right_answer(&self, shown: &Shown, now: Timestamp) -> Answer;

    /// Returns an answer of the right form that is wrong at `now`.
    fn wrong_answer(&self, shown: &Shown, now: Timestamp) -> Answer;

    /// Returns answers of the kinds the provider takes that are not of its form.
    fn malformed_answers(&self) -> Vec<Answer>;

    /// Returns how long it takes until the user has a new right answer, where the old one was used.
    fn next_answer_after(&self) -> Duration;

    /// Answers an HTTP request of the provider.
    ///
    /// # Errors
    /// [`HttpFault`] if the case wants the request to fail.
    fn http(&self, request: &http::Request<Vec<u8>>) -> Result<HttpReply, HttpFault>;
}

/// One clause of the contract, for the case `C`.
#[non_exhaustive]
pub struct Clause<C> {
    /// The name of its function.
    pub name: &'static str,
    /// Its function, as a value.
    pub run: fn(&C),
}

impl<C> fmt::Debug for Clause<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! clauses {
    ($($topic:ident { $($name:ident)* })*) => {
        /// Returns every clause.
        #[must_use]
        pub fn clauses<C: ProviderCase>() -> Vec<Clause<C>> {
            vec![$($(Clause { name: stringify!($name), run: $topic::$name::<C> },)*)*]
        }

        /// Makes one `#[test]` of every clause of the provider contract.
        ///
        /// The argument is an expression that gives a
        /// [`ProviderCase`](crate::provider_suite::ProviderCase); it is evaluated once in each test.
        #[macro_export]
        macro_rules! provider_suite {
            ($case:expr) => {$($(
                #[test]
                fn $name() {
                    $crate::provider_suite::$topic::$name(&$case);
                }
            )*)*};
        }
    };
}

clauses! {
    shape {
        the_description_does_not_change
        settings_are_checked_without_repeating_their_values
        the_same_inputs_give_the_same_step
        events_in_any_order_are_steps_or_errors
        evidence_is_no_stronger_than_described
    }
    answers {
        the_right_answer_is_accepted
        an_enrolment_ends_as_its_role_says
        a_wrong_answer_is_rejected
        a_malformed_answer_is_rejected_as_such
        a_hostile_answer_is_rejected
        an_answer_of_another_kind_is_not_accepted
        an_accepted_answer_is_not_accepted_again
        the_answer_of_another_enrolment_is_not_accepted
        uses_are_counted_down
    }
    kept {
        kept_values_come_back_from_their_bytes
        kept_values_are_bounded
        unknown_versions_are_refused
        damaged_bytes_are_refused
    }
    secrecy {
        no_secret_is_in_a_public_part
        secrets_are_revealed_in_an_enrolment_alone
    }
    effects {
        effects_are_described
        checks_sends_and_pushes_are_charged
        recovery_answers_cost_the_same
        an_interrupted_effect_accepts_nothing
    }
}
