//! One code or key: reading what a user typed, and writing what he saves.

use core::fmt;

use mfa_core::SecretText;
use zeroize::Zeroizing;

use crate::alphabet::{self, CHECK_SYMBOLS, SELECTOR_SYMBOLS, Typed};
use crate::{Error, Form};

/// The characters between two dashes.
const GROUP: usize = 4;

/// A recovery code or key: a public selector of 10 bits that names it within its set, 80 (key: 160) random
/// bits, and a checksum of 10 bits that finds typing errors.
///
/// Its memory is wiped when it is dropped, and its `Debug` is redacted. It has no `PartialEq`: codes are
/// compared by their hashes.
///
/// ```
/// use mfa_recovery::{Form, RecoveryCode};
///
/// // As a person types it: small letters, spaces, letters for the digits that they look like.
/// let code = RecoveryCode::parse("ol23 4567 89ab cdef ghnb")?;
/// assert_eq!(code.form(), Form::Codes);
/// assert_eq!(code.to_text().expose_secret(), "0123-4567-89AB-CDEF-GHNB");
///
/// // One character is another one: the checksum finds it.
/// let error = RecoveryCode::parse("0123-4567-89AB-CDEF-GHNC").unwrap_err();
/// assert_eq!(error.code(), "malformed_code");
/// # Ok::<(), mfa_recovery::Error>(())
/// ```
pub struct RecoveryCode {
    form: Form,
    selector: u16,
    /// Upper case, without dashes, checksum included.
    canonical: Zeroizing<String>,
}

impl RecoveryCode {
    /// Reads a code or key as a user typed it. The length says which it is.
    ///
    /// Accepted: either case, spaces and dashes of any kind and anywhere, full-width forms, and `O` for `0`,
    /// `I` and `L` for `1`, `U` for `V`.
    ///
    /// # Errors
    /// [`Error::MalformedCode`] for another length, a character that no code has, or a checksum that does not
    /// fit. A code with any one character wrong or any two swapped is refused here.
    pub fn parse(typed: &str) -> Result<Self, Error> {
        let malformed = |reason| Error::MalformedCode { reason };
        // invariant: as large as the longest form, so that it never grows and leaves a copy behind.
        let mut canonical = Zeroizing::new(String::with_capacity(Form::Key.chars()));
        for c in typed.chars() {
            match alphabet::read(c) {
                Typed::Symbol(_) if canonical.len() == Form::Key.chars() => {
                    return Err(malformed("is too long"));
                }
                Typed::Symbol(symbol) => canonical.push(symbol),
                Typed::Nothing => {}
                Typed::Foreign => return Err(malformed("has a character that no code has")),
            }
        }
        let form =
            Form::of_chars(canonical.len()).ok_or_else(|| malformed("must have 20 or 36 characters"))?;
        let (payload, check) = split_check(&canonical);
        if alphabet::ten_bits(check) != Some(alphabet::checksum(payload)) {
            return Err(malformed("has a typing error: its checksum does not fit"));
        }
        let selector = payload.get(..SELECTOR_SYMBOLS).and_then(alphabet::ten_bits).unwrap_or_default();
        Ok(Self { form, selector, canonical })
    }

    /// Makes a code of random bytes, five of them for eight characters.
    pub(crate) fn of_random(form: Form, selector: u16, random: &[u8]) -> Self {
        let mut canonical = Zeroizing::new(String::with_capacity(Form::Key.chars()));
        canonical.extend(alphabet::pair(selector));
        for chunk in random.chunks(5) {
            let bits = chunk.iter().fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
            for place in [35, 30, 25, 20, 15, 10, 5, 0] {
                let [.., five] = (bits >> place).to_be_bytes();
                canonical.push(alphabet::symbol(five));
            }
        }
        let check = alphabet::checksum(&canonical);
        canonical.extend(alphabet::pair(check));
        Self { form, selector: selector & 1023, canonical }
    }

    /// Returns whether it is one of several codes or a key.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// Returns the code as it is shown: upper case, in groups of four with dashes.
    #[must_use]
    pub fn to_text(&self) -> SecretText {
        let mut text = Zeroizing::new(String::with_capacity(self.canonical.len().saturating_mul(2)));
        self.write_to(&mut text);
        SecretText::from(text)
    }

    /// Appends what [`to_text`](Self::to_text) returns.
    pub(crate) fn write_to(&self, text: &mut String) {
        for (at, c) in self.canonical.chars().enumerate() {
            if at > 0 && at % GROUP == 0 {
                text.push('-');
            }
            text.push(c);
        }
    }

    /// Returns the selector: 10 bits.
    pub(crate) const fn selector(&self) -> u16 {
        self.selector
    }

    /// Returns what is hashed: upper case, without dashes, checksum included.
    pub(crate) fn canonical(&self) -> &str {
        &self.canonical
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode([redacted])")
    }
}

fn split_check(canonical: &str) -> (&str, &str) {
    canonical.split_at_checked(canonical.len().saturating_sub(CHECK_SYMBOLS)).unwrap_or_default()
}
