//! What the workspace's benches share: how they are run, how two things are timed against each other, users of
//! an engine, and a bare SQLite file with the store's schema.
//!
//! Absolute times differ between machines. Each bench therefore times ours and the bare one in turns, within
//! one run, and ends with the ratios. `cargo bench -p mfa-benches` measures all; `cargo bench -p mfa-benches
//! --bench totp -- ratios` prints the ratios of one bench alone. `cargo test --benches` and
//! `cargo bench -- --test` run everything once, in small sizes.

pub mod bare;
pub mod events;
pub mod recorder;
pub mod rig;
pub mod turns;

use std::time::Duration;

use criterion::Criterion;

/// How this process was asked to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Measure: `cargo bench`.
    Measure,
    /// Run everything once and measure nothing: `cargo test --benches`, `cargo bench -- --test`.
    Smoke,
}

impl Mode {
    /// Reads the arguments the way criterion does; `None` where only the names of the benches are asked for, or a
    /// profile of one of criterion's.
    #[must_use]
    pub fn of_process() -> Option<Self> {
        let given = |name: &str| std::env::args().any(|argument| argument == name);
        match (given("--list") || given("--profile-time"), given("--bench"), given("--test")) {
            (true, ..) => None,
            (false, true, false) => Some(Self::Measure),
            _ => Some(Self::Smoke),
        }
    }

    /// Picks a size.
    #[must_use]
    pub fn pick<T>(self, measure: T, smoke: T) -> T {
        match self {
            Self::Measure => measure,
            Self::Smoke => smoke,
        }
    }
}

/// Runs criterion's part of a bench, then its own: `main` in every bench file.
pub fn run(criterion: impl FnOnce(&mut Criterion), own: impl FnOnce(Mode)) {
    let harness = Criterion::default();
    let harness = harness.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    let mut harness = harness.sample_size(50).configure_from_args();
    criterion(&mut harness);
    harness.final_summary();
    if let Some(mode) = Mode::of_process() {
        own(mode);
    }
}
