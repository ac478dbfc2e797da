//! What a host sees of the steps: spans, and counters through the `metrics` facade where the feature asks for them.
//! Never a secret, never an address.

use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::time::Duration;

use tracing::Span;

/// Makes the span of a step, with the fields that are filled in as it goes on.
macro_rules! span {
    ($name:literal) => {
        tracing::info_span!(
            target: "mfa",
            $name,
            outcome = tracing::field::Empty,
            method = tracing::field::Empty,
            conflicts = tracing::field::Empty,
            retries = tracing::field::Empty,
            store_us = tracing::field::Empty
        )
    };
}
pub(crate) use span;

/// Runs a step within its span, where the step lies: its future is large, and a wrapper would move it.
pub(crate) async fn within<F: Future>(span: &Span, mut step: Pin<&mut F>) -> F::Output {
    poll_fn(|cx| {
        let _entered = span.enter();
        step.as_mut().poll(cx)
    })
    .await
}

/// Counts a commit that lost a race.
pub(crate) fn conflict() {
    #[cfg(feature = "metrics")]
    metrics::counter!("mfa_conflicts_total").increment(1);
}

/// Counts a step by its name and how it ended.
pub(crate) fn step(name: &'static str, outcome: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!("mfa_steps_total", "step" => name, "outcome" => outcome).increment(1);
    tracing::debug!(target: "mfa", step = name, outcome);
}

/// The rounds of one step, for its span: how many, how many lost a race, how long the store took.
pub(crate) struct Rounds {
    span: Option<Span>,
    rounds: u64,
    conflicts: u64,
    store: Duration,
}

impl Rounds {
    /// Begins to count, if somebody looks at the current span.
    pub(crate) fn of_current_span() -> Self {
        let span = Span::current();
        let span = (!span.is_disabled()).then_some(span);
        Self { span, rounds: 0, conflicts: 0, store: Duration::ZERO }
    }

    pub(crate) const fn begin(&mut self) {
        self.rounds = self.rounds.saturating_add(1);
    }

    pub(crate) fn lost(&mut self) {
        self.conflicts = self.conflicts.saturating_add(1);
        conflict();
    }

    /// Runs a call of the store and takes its time.
    #[expect(
        clippy::disallowed_methods,
        reason = "the time of a call is shown, and nothing is decided by it"
    )]
    pub(crate) async fn store<T>(&mut self, call: impl Future<Output = T>) -> T {
        if self.span.is_none() {
            return call.await;
        }
        let begun = std::time::Instant::now();
        let result = call.await;
        self.store = self.store.saturating_add(begun.elapsed());
        result
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        let Some(span) = &self.span else { return };
        span.record("conflicts", self.conflicts);
        span.record("retries", self.rounds.saturating_sub(1));
        span.record("store_us", u64::try_from(self.store.as_micros()).unwrap_or(u64::MAX));
    }
}
