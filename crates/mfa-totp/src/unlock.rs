//! Unlocking: codes of consecutive steps, judged as one answer.

use crate::algorithm::{LAST_SECOND, engine, is_well_formed};
use crate::{Match, Parameters, TotpSecret, Window};

/// Finds the step whose code is the last of `codes`, where each is the code of the step behind the one before it, the
/// last lies in the window, and all of them lie behind `after_step`.
///
/// The answer is right or wrong as a whole: nothing tells which code was wrong.
///
/// ```
/// use mfa_totp::{Match, Parameters, TotpSecret, Window, matching_run};
///
/// // RFC 4226 Appendix D: the codes of the counters 1, 2 and 3.
/// let secret = TotpSecret::from_bytes(b"12345678901234567890")?;
/// let judge = |codes: [&str; 3]| {
///     matching_run(&secret, Parameters::default(), Window::default(), 90, None, &codes)
/// };
/// assert_eq!(judge(["287082", "359152", "969429"]), Match::Accepted(3));
/// // One of them wrong, or in another order.
/// assert_eq!(judge(["287082", "359152", "969420"]), Match::NoMatch);
/// assert_eq!(judge(["359152", "287082", "969429"]), Match::NoMatch);
/// # Ok::<(), mfa_totp::Error>(())
/// ```
pub fn matching_run(
    secret: &TotpSecret,
    parameters: Parameters,
    window: Window,
    unix_seconds: u64,
    after_step: Option<u64>,
    codes: &[&str],
) -> Match {
    let well_formed = codes.iter().all(|code| is_well_formed(parameters.digits, code));
    let Some(before_last) = u64::try_from(codes.len()).ok().and_then(|count| count.checked_sub(1)) else {
        return Match::NoMatch;
    };
    if !well_formed || unix_seconds > LAST_SECOND {
        return Match::NoMatch;
    }
    let engine = engine(secret, parameters);
    let period = u64::from(parameters.period.seconds());
    let current = parameters.period.step_at(unix_seconds);
    let window =
        current.saturating_sub(u64::from(window.back()))..=current.saturating_add(u64::from(window.ahead()));
    let mut found = Match::NoMatch;
    // Newest first, as for a single code.
    for last in window.rev() {
        let Some(first) = last.checked_sub(before_last) else { continue };
        // Every code is compared, so that the time tells nothing of which one is wrong.
        let right = (first..=last)
            .zip(codes)
            .filter(|(step, code)| engine.check(code, step.saturating_mul(period)).is_some());
        if right.count() != codes.len() {
            continue;
        }
        if after_step.is_none_or(|used| used < first) {
            return Match::Accepted(last);
        }
        found = Match::Replayed;
    }
    found
}
