//! Which codes are accepted, when, and how often.

#![expect(clippy::arithmetic_side_effects, reason = "an overflow should fail the test")]

use std::collections::HashSet;

use mfa_totp::{Algorithm, Digits, Match, Parameters, Period, TotpSecret, Window, code_at, matching_step};
use proptest::prelude::*;

/// 9999-12-31 23:59:59 UTC.
const END_OF_YEAR_9999: u64 = 253_402_300_799;

fn windows() -> Vec<Window> {
    let mut windows = Vec::new();
    for ahead in [0, 1] {
        windows.extend([Window::new(0, ahead), Window::new(1, ahead), Window::danger_two_back(ahead)]);
    }
    windows.into_iter().flatten().collect()
}

fn any_window() -> impl Strategy<Value = Window> {
    prop::sample::select(windows())
}

fn any_parameters() -> impl Strategy<Value = Parameters> {
    let algorithm = prop::sample::select(vec![Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512]);
    (algorithm, 6..=8_u8, 15..=120_u16).prop_map(|(algorithm, digits, seconds)| {
        Parameters::new(
            algorithm,
            Digits::new(digits).unwrap_or_default(),
            Period::from_seconds(seconds).unwrap_or_default(),
        )
    })
}

fn any_secret() -> impl Strategy<Value = TotpSecret> {
    prop::collection::vec(any::<u8>(), 16..=128)
        .prop_filter_map("length", |bytes| TotpSecret::from_bytes(&bytes).ok())
}

fn rfc_secret() -> TotpSecret {
    TotpSecret::from_entropy(*b"12345678901234567890")
}

/// Says, step by step and without the function under test, which step a code stands for.
fn expected(
    secret: &TotpSecret,
    parameters: Parameters,
    window: Window,
    now: u64,
    used: Option<u64>,
    code: &str,
) -> Match {
    let period = u64::from(parameters.period.seconds());
    let current = i128::from(now / period);
    let first = current - i128::from(window.back());
    let last = current + i128::from(window.ahead());
    let step = (first.max(0)..=last)
        .filter_map(|step| u64::try_from(step).ok())
        .rfind(|step| code_at(secret, parameters, step * period).expose_secret() == code);
    match step {
        None => Match::NoMatch,
        Some(step) if used.is_some_and(|used| step <= used) => Match::Replayed,
        Some(step) => Match::Accepted(step),
    }
}

proptest! {
    #[test]
    fn only_steps_of_the_window_match(
        secret in any_secret(),
        parameters in any_parameters(),
        window in any_window(),
        now in 600..END_OF_YEAR_9999,
        offset in -4..=4_i64,
    ) {
        let period = u64::from(parameters.period.seconds());
        let step = (now / period).checked_add_signed(offset).unwrap();
        let code = code_at(&secret, parameters, step * period);
        let found =
            matching_step(&secret, parameters, window, now, None, code.expose_secret());

        let inside = -i64::from(window.back()) <= offset && offset <= i64::from(window.ahead());
        // Codes of different steps are equal once in a million; the model tells such a case apart.
        prop_assert_eq!(
            found,
            expected(&secret, parameters, window, now, None, code.expose_secret())
        );
        prop_assert!(!inside || found != Match::NoMatch);
    }

    #[test]
    fn a_code_is_replayed_after_its_step_or_a_later_one_was_used(
        secret in any_secret(),
        parameters in any_parameters(),
        window in any_window(),
        now in 600..END_OF_YEAR_9999,
        later in 0..1_000_000_u64,
    ) {
        let code = code_at(&secret, parameters, now);
        let code = code.expose_secret();
        let Match::Accepted(step) = matching_step(&secret, parameters, window, now, None, code)
        else { panic!("the current code is right") };
        for used in [step, step.saturating_add(later), u64::MAX] {
            let again = matching_step(&secret, parameters, window, now, Some(used), code);
            prop_assert_eq!(again, Match::Replayed);
        }
        let fresh = matching_step(&secret, parameters, window, now, Some(step - 1), code);
        prop_assert_eq!(fresh, Match::Accepted(step));
    }

    #[test]
    fn no_step_is_accepted_twice_over_any_sequence_of_times(
        secret in any_secret(),
        parameters in any_parameters(),
        window in any_window(),
        // Clocks that jump in both directions, and codes taken from anywhere near.
        tries in prop::collection::vec((0..900_u64, -3..=3_i64), 1..60),
    ) {
        let period = u64::from(parameters.period.seconds());
        let mut used = None;
        let mut accepted = HashSet::new();
        for (now, offset) in tries {
            let Some(step) = (now / period).checked_add_signed(offset) else { continue };
            let code = code_at(&secret, parameters, step * period);
            let code = code.expose_secret();
            let found = matching_step(&secret, parameters, window, now, used, code);
            prop_assert_eq!(found, expected(&secret, parameters, window, now, used, code));
            if let Match::Accepted(step) = found {
                prop_assert!(used.is_none_or(|used| step > used));
                prop_assert!(accepted.insert(step), "step {} twice", step);
                used = Some(step);
            }
        }
    }

    #[test]
    fn arbitrary_text_and_times_never_panic_and_never_match(
        now in any::<u64>(),
        used in any::<Option<u64>>(),
        // Anything but six digits.
        code in any::<String>().prop_filter("well formed", |code| {
            code.len() != 6 || code.bytes().any(|byte| !byte.is_ascii_digit())
        }),
    ) {
        let found = matching_step(
            &rfc_secret(), Parameters::default(), Window::default(), now, used, &code,
        );
        prop_assert_eq!(found, Match::NoMatch);
        let _ = code_at(&rfc_secret(), Parameters::default(), now);
    }
}

#[test]
fn an_older_step_after_a_newer_one_is_replayed() {
    let (secret, parameters) = (rfc_secret(), Parameters::default());
    // RFC 4226 appendix D: counters 2 and 3, both inside the window at second 90.
    let check = |used, code| matching_step(&secret, parameters, Window::default(), 90, used, code);
    assert_eq!(check(None, "969429"), Match::Accepted(3));
    assert_eq!(check(Some(3), "359152"), Match::Replayed);
    assert_eq!(check(Some(1), "359152"), Match::Accepted(2));
}

#[test]
fn two_back_takes_one_step_more_and_no_further() {
    let (secret, parameters) = (rfc_secret(), Parameters::default());
    let window = Window::danger_two_back(0).unwrap();
    // RFC 4226 appendix D, counter 4.
    let check = |step: u64| matching_step(&secret, parameters, window, step * 30, None, "338314");
    assert_eq!(check(3), Match::NoMatch);
    assert_eq!(check(4), Match::Accepted(4));
    assert_eq!(check(6), Match::Accepted(4));
    assert_eq!(check(7), Match::NoMatch);
}

/// Step 0 can be used up like any other: `None` and `Some(0)` differ.
#[test]
fn the_first_30_seconds_have_one_step_behind_them_less() {
    let (secret, parameters) = (rfc_secret(), Parameters::default());
    for window in windows() {
        for now in 0..30 {
            let check = |used, code| matching_step(&secret, parameters, window, now, used, code);
            assert_eq!(check(None, "755224"), Match::Accepted(0), "{window:?} at {now}");
            assert_eq!(check(Some(0), "755224"), Match::Replayed, "{window:?} at {now}");
            let next = if window.ahead() == 1 { Match::Accepted(1) } else { Match::NoMatch };
            assert_eq!(check(None, "287082"), next, "{window:?} at {now}");
        }
    }
}

#[test]
fn times_after_the_year_9999_never_match() {
    let (secret, parameters) = (rfc_secret(), Parameters::default());
    for now in [END_OF_YEAR_9999 + 1, 1 << 40, u64::MAX - 30, u64::MAX] {
        let code = code_at(&secret, parameters, now);
        for window in windows() {
            let found = matching_step(&secret, parameters, window, now, None, code.expose_secret());
            assert_eq!(found, Match::NoMatch, "{window:?} at {now}");
        }
    }
    let code = code_at(&secret, parameters, END_OF_YEAR_9999);
    let found =
        matching_step(&secret, parameters, Window::default(), END_OF_YEAR_9999, None, code.expose_secret());
    assert_eq!(found, Match::Accepted(END_OF_YEAR_9999 / 30));
}

/// Were the earlier step chosen, the code would be accepted for it and then again for the later one.
#[test]
fn one_code_for_two_steps_stands_for_the_later_and_uses_up_both() {
    // The first pair of neighbours with one code, found with pyotp 2.12.
    const STEP: u64 = 910_738;
    const CODE: &str = "911617";
    let (secret, parameters) = (rfc_secret(), Parameters::default());
    for step in [STEP - 1, STEP] {
        assert_eq!(code_at(&secret, parameters, step * 30).expose_secret(), CODE);
    }

    for now in [(STEP - 1) * 30, STEP * 30] {
        let check = |used| matching_step(&secret, parameters, Window::default(), now, used, CODE);
        assert_eq!(check(None), Match::Accepted(STEP));
        assert_eq!(check(Some(STEP - 1)), Match::Accepted(STEP));
        assert_eq!(check(Some(STEP)), Match::Replayed);
    }
}
