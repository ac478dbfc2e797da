//! Codes and their verification (RFC 4226 §5.3, RFC 6238 §4), as functions of their arguments alone.

use core::fmt::{self, Write as _};

use totp_rs::{Builder, Secret, Totp};
use zeroize::Zeroizing;

use crate::{Algorithm, Digits, Error, Parameters, TotpSecret, Window};

/// The last second of the year 9999. A later time is a broken clock; no code matches at it.
pub(crate) const LAST_SECOND: u64 = 253_402_300_799;

/// Returns the code that the app shows at the given second after 1970-01-01 00:00:00 UTC.
///
/// ```
/// use mfa_totp::{Parameters, TotpSecret, code_at};
///
/// // RFC 4226 appendix D, counter 1.
/// let secret = TotpSecret::from_bytes(b"12345678901234567890")?;
/// let code = code_at(&secret, Parameters::default(), 30);
/// assert_eq!(code.expose_secret(), "287082");
/// # Ok::<(), mfa_totp::Error>(())
/// ```
#[must_use]
pub fn code_at(secret: &TotpSecret, parameters: Parameters, unix_seconds: u64) -> Code {
    let token = engine(secret, parameters).generate(unix_seconds);
    let mut text = Zeroizing::new(String::with_capacity(usize::from(Digits::MAX)));
    // Writing to a string cannot fail; if it did, the code would be short and match nothing.
    let _ = write!(text, "{token}");
    Code(text)
}

/// Finds the step of the window that a code is right for, and whether that step is still unused.
///
/// `code` is already normalised: spaces and dashes dropped, full-width digits mapped. Text that is
/// not exactly the expected number of ASCII digits is [`Match::NoMatch`]; ask [`parse_code`] where
/// malformed and wrong are different things.
///
/// `after_step` is the step of the last accepted code, `None` before the first. Every step up to and
/// including it is used (RFC 6238 §5.2). The caller stores the step of [`Match::Accepted`] in the
/// same atomic write that makes the answer count, or a code can be accepted twice.
///
/// Should two steps of the window have the same code, it stands for the later one, which uses up both.
///
/// # Security
///
/// The steps are tried from the newest on, up to the one the code is right for; each comparison takes
/// constant time. So the time of a right code tells which step it is of, which is no secret. A wrong
/// code is compared with every step of the window.
///
/// ```
/// use mfa_totp::{Match, Parameters, TotpSecret, Window, matching_step};
///
/// let secret = TotpSecret::from_bytes(b"12345678901234567890")?;
/// let check = |now, after_step, code| {
///     matching_step(&secret, Parameters::default(), Window::default(), now, after_step, code)
/// };
///
/// // The code of step 1, typed while step 2 is the current one.
/// assert_eq!(check(60, None, "287082"), Match::Accepted(1));
/// // The same code again.
/// assert_eq!(check(60, Some(1), "287082"), Match::Replayed);
/// // Two steps late.
/// assert_eq!(check(90, None, "287082"), Match::NoMatch);
/// # Ok::<(), mfa_totp::Error>(())
/// ```
pub fn matching_step(
    secret: &TotpSecret,
    parameters: Parameters,
    window: Window,
    unix_seconds: u64,
    after_step: Option<u64>,
    code: &str,
) -> Match {
    if !is_well_formed(parameters.digits, code) || unix_seconds > LAST_SECOND {
        return Match::NoMatch;
    }
    let engine = engine(secret, parameters);
    let period = u64::from(parameters.period.seconds());
    let current = parameters.period.step_at(unix_seconds);
    let first = current.saturating_sub(u64::from(window.back()));
    let last = current.saturating_add(u64::from(window.ahead()));

    // Newest first: a code that is right for two steps stands for the later one, which uses up both.
    let hit = (first..=last).rev().find(|step| engine.check(code, step.saturating_mul(period)).is_some());
    match hit {
        None => Match::NoMatch,
        Some(step) if after_step.is_none_or(|used| used < step) => Match::Accepted(step),
        Some(_) => Match::Replayed,
    }
}

/// What [`matching_step`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub enum Match {
    /// The code is right for this step, which is unused; the step is to be stored as used.
    Accepted(u64),
    /// The code is right for a step of the window, but this step or a later one was used before.
    Replayed,
    /// The code is right for no step of the window, or is no code at all.
    NoMatch,
}

/// Reads a code that is already normalised.
///
/// ```
/// use mfa_totp::{Digits, parse_code};
///
/// assert!(parse_code(Digits::default(), "012345").is_ok());
/// assert_eq!(parse_code(Digits::default(), "+12345").unwrap_err().code(), "malformed_code");
/// ```
///
/// # Errors
///
/// [`Error::MalformedCode`] unless `text` is exactly so many ASCII digits.
pub fn parse_code(digits: Digits, text: &str) -> Result<Code, Error> {
    if !is_well_formed(digits, text) {
        return Err(Error::MalformedCode { digits: digits.get() });
    }
    Ok(Code(Zeroizing::new(text.to_owned())))
}

/// A code of 6 to 8 ASCII digits, leading zeros kept.
///
/// Its memory is wiped when it is dropped, and its `Debug` is redacted. It has no `PartialEq`: codes
/// are compared by [`matching_step`], which knows which of them are used.
pub struct Code(Zeroizing<String>);

impl Code {
    /// Returns the digits.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code([redacted])")
    }
}

pub(crate) fn is_well_formed(digits: Digits, text: &str) -> bool {
    text.len() == usize::from(digits.get()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Builds the engine for single steps: the window is walked here, not there, because the engine
/// does not know which steps are used.
pub(crate) fn engine(secret: &TotpSecret, parameters: Parameters) -> Totp {
    // By the slice, which is copied to the heap: an array would leave copies on the stack, where
    // nothing wipes them.
    let secret = Secret::from(secret.expose_secret());
    let algorithm = match parameters.algorithm {
        Algorithm::Sha1 => totp_rs::Algorithm::SHA1,
        Algorithm::Sha256 => totp_rs::Algorithm::SHA256,
        Algorithm::Sha512 => totp_rs::Algorithm::SHA512,
    };
    // invariant: `Digits`, `Period` and `TotpSecret` hold what `build` would check, so the unchecked
    // form never panics and this function cannot fail.
    Builder::new()
        .with_algorithm(algorithm)
        .with_digits(parameters.digits.get())
        .with_step_duration(u64::from(parameters.period.seconds()))
        .with_skew(0)
        .with_secret(secret)
        .build_noncompliant()
}
