//! Counters through the `metrics` facade, where the feature asks for them. Never a secret, never an address.

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
