//! Timing in turns: whatever disturbs the machine disturbs all lanes alike.

use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::Mode;

/// Returns the time that `work` took, and what it returned.
#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
pub fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}

/// One of the things that are timed against each other.
pub struct Lane<'a> {
    name: String,
    calls: usize,
    run: Box<dyn FnMut(usize) -> Duration + 'a>,
}

impl<'a> Lane<'a> {
    /// A lane whose turn is `calls` calls of `work`.
    pub fn new<T>(name: impl Into<String>, calls: usize, mut work: impl FnMut() -> T + 'a) -> Self {
        let turn = move |calls| {
            let (time, ()) = timed(|| (0..calls).for_each(|_| drop(black_box(work()))));
            time
        };
        Self::custom(name, calls, turn)
    }

    /// A lane that does `calls` calls in a turn and says itself how long they took.
    pub fn custom(name: impl Into<String>, calls: usize, run: impl FnMut(usize) -> Duration + 'a) -> Self {
        Self { name: name.into(), calls, run: Box::new(run) }
    }
}

impl fmt::Debug for Lane<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("name", &self.name).field("calls", &self.calls).finish_non_exhaustive()
    }
}

/// The nanoseconds of one call, over all turns of a lane.
#[derive(Clone, Debug)]
pub struct Figures {
    name: String,
    sorted: Vec<f64>,
}

impl Figures {
    /// Takes the times of a lane that was not timed here.
    #[must_use]
    pub fn new(name: impl Into<String>, mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self { name: name.into(), sorted: times }
    }

    /// Returns the median turn's time of one call, in nanoseconds.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    fn quantile(&self, part: f64) -> f64 {
        let last = self.sorted.len() - 1;
        self.sorted[(last as f64 * part).round() as usize]
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [low, median, high] = [0.1, 0.5, 0.9].map(|part| Time(self.quantile(part)));
        write!(f, "{:<44} {median:>10}   (tenth {low}, nine tenths {high})", self.name)
    }
}

/// Gives each lane its turn, `rounds` times, beginning with another one each round; prints and returns the
/// figures in the order of the lanes. The first round only warms up. A smoke run has one round of one call.
pub fn take_turns(mode: Mode, rounds: usize, lanes: &mut [Lane<'_>]) -> Vec<Figures> {
    let (warm_up, rounds) = mode.pick((1, rounds), (0, 1));
    let mut times = vec![Vec::new(); lanes.len()];
    for round in 0..warm_up + rounds {
        for turn in 0..lanes.len() {
            let at = (round + turn) % lanes.len();
            let lane = &mut lanes[at];
            let calls = mode.pick(lane.calls, 1);
            let time = (lane.run)(calls);
            if round >= warm_up {
                times[at].push(time.as_nanos() as f64 / calls as f64);
            }
        }
    }
    let named = lanes.iter().zip(times).map(|(lane, times)| Figures::new(&lane.name, times));
    let figures: Vec<_> = named.collect();
    show(mode, &figures);
    figures
}

/// Times two lanes against each other: each round is a turn of the first, two of the second, and one of the first, so
/// that what grows or shrinks over a round is on both sides alike. Returns what one call of the first takes of one of
/// the second, in each round, in ascending order. One round only warms up.
pub fn take_pairs(mode: Mode, rounds: usize, first: &mut Lane<'_>, second: &mut Lane<'_>) -> Vec<f64> {
    let (warm_up, rounds) = mode.pick((1, rounds), (0, 1));
    let turn = |lane: &mut Lane<'_>| {
        let calls = mode.pick(lane.calls, 1);
        (lane.run)(calls).as_nanos() as f64 / calls as f64
    };
    let mut round = || {
        let [a, b, c, d] = [turn(first), turn(second), turn(second), turn(first)];
        (a + d) / (b + c)
    };
    for _ in 0..warm_up {
        black_box(round());
    }
    let mut ratios: Vec<_> = (0..rounds).map(|_| round()).collect();
    ratios.sort_by(f64::total_cmp);
    ratios
}

/// Prints figures; a smoke run measures nothing and prints nothing.
pub fn show(mode: Mode, figures: &[Figures]) {
    if mode == Mode::Measure {
        figures.iter().for_each(|figures| println!("  {figures}"));
    }
}

/// Nanoseconds, for people.
struct Time(f64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            ns if ns < 1e3 => format!("{ns:.0} ns"),
            ns if ns < 1e6 => format!("{:.2} µs", ns / 1e3),
            ns if ns < 1e9 => format!("{:.2} ms", ns / 1e6),
            ns => format!("{:.2} s", ns / 1e9),
        };
        f.pad(&text)
    }
}

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// No larger.
    AtMost(f64),
    /// No smaller.
    AtLeast(f64),
    /// Shown for its own sake.
    None,
}

/// Prints a figure beside its target; a smoke run measures nothing and prints nothing.
pub fn report(mode: Mode, name: &str, value: f64, unit: &str, target: Target) {
    if mode == Mode::Smoke {
        return;
    }
    let (met, target) = match target {
        Target::AtMost(most) => (value <= most, format!("target ≤ {most}")),
        Target::AtLeast(least) => (value >= least, format!("target ≥ {least}")),
        Target::None => return println!("  {name:<60} {value:>8.2}{unit}"),
    };
    let verdict = if met { "met" } else { "MISSED" };
    println!("  {name:<60} {value:>8.2}{unit}   {target:<14} {verdict}");
}
