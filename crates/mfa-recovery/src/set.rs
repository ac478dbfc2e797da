//! The codes of one set, as they are made and shown once.

use core::fmt;

use mfa_core::{Draw, EntropyError, SecretText, Timestamp};
use zeroize::{Zeroize, Zeroizing};

use crate::{Count, Form, RecoveryCode};

/// The codes of one new set, or one new key. They are shown once and kept as hashes only.
///
/// ```
/// use std::sync::Arc;
/// use mfa_core::{Draw, OsEntropy};
/// use mfa_recovery::{Count, RecoveryCode, RecoveryCodes};
///
/// let mut draw = Draw::from_source(Arc::new(OsEntropy::new()))?;
/// let set = RecoveryCodes::generate(Count::default(), &mut draw)?;
/// assert_eq!(set.iter().count(), 10);
/// for line in set.to_text().expose_secret().lines() {
///     assert!(RecoveryCode::parse(line).is_ok());
/// }
/// // One draw holds the random bits of two sets of ten, and not of a third.
/// assert!(RecoveryCodes::generate(Count::default(), &mut draw).is_ok());
/// assert!(RecoveryCodes::generate(Count::default(), &mut draw).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RecoveryCodes {
    form: Form,
    codes: Vec<RecoveryCode>,
}

impl RecoveryCodes {
    /// Makes so many codes, each of 80 bits of the draw that are its own. Takes 4 bytes and 10 a code.
    ///
    /// # Errors
    /// [`EntropyError::Exhausted`] if the draw has too few bytes left.
    pub fn generate(count: Count, entropy: &mut Draw) -> Result<Self, EntropyError> {
        // Selectors are not secret, only distinct: an odd step visits all 1,024 before it comes back.
        let start = u16::from_be_bytes(entropy.take()?);
        let step = u16::from_be_bytes(entropy.take()?) | 1;
        let mut codes = Vec::with_capacity(usize::from(count.get()));
        for at in 0..u16::from(count.get()) {
            let selector = start.wrapping_add(step.wrapping_mul(at));
            codes.push(random::<10>(Form::Codes, selector, entropy)?);
        }
        Ok(Self { form: Form::Codes, codes })
    }

    /// Makes one key of 160 bits of the draw. Takes 22 bytes.
    ///
    /// # Errors
    /// [`EntropyError::Exhausted`] if the draw has too few bytes left.
    pub fn generate_key(entropy: &mut Draw) -> Result<Self, EntropyError> {
        let selector = u16::from_be_bytes(entropy.take()?);
        let key = random::<20>(Form::Key, selector, entropy)?;
        Ok(Self { form: Form::Key, codes: vec![key] })
    }

    pub(crate) const fn of(form: Form, codes: Vec<RecoveryCode>) -> Self {
        Self { form, codes }
    }

    /// Returns whether these are several codes or a key.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// Returns the codes, in the order in which they are shown.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &RecoveryCode> {
        self.codes.iter()
    }

    /// Returns the codes as they are shown, one a line, without a line break at the end.
    #[must_use]
    pub fn to_text(&self) -> SecretText {
        let mut text = Zeroizing::new(String::with_capacity(self.text_bytes()));
        self.write_to(&mut text);
        SecretText::from(text)
    }

    /// Returns the text of a file to save or print: whose codes they are, the day (UTC), the codes, and what to
    /// do with them. It holds nothing that a user has typed; `issuer` is the service's own name.
    #[must_use]
    pub fn to_download(&self, issuer: &str, made: Timestamp) -> SecretText {
        let (title, advice) = match self.form {
            Form::Codes => ("recovery codes", CODES_ADVICE),
            Form::Key => ("recovery key", KEY_ADVICE),
        };
        let made = made.to_string();
        let day = made.split('T').next().unwrap_or_default();
        let fixed = issuer.len().saturating_add(title.len()).saturating_add(day.len()).saturating_add(32);
        let capacity = fixed.saturating_add(advice.len()).saturating_add(self.text_bytes());
        let mut text = Zeroizing::new(String::with_capacity(capacity));
        for part in [issuer, " ", title, "\nMade on ", day, " (UTC)\n\n"] {
            text.push_str(part);
        }
        self.write_to(&mut text);
        text.push_str("\n\n");
        text.push_str(advice);
        SecretText::from(text)
    }

    fn write_to(&self, text: &mut String) {
        for (at, code) in self.codes.iter().enumerate() {
            if at > 0 {
                text.push('\n');
            }
            code.write_to(text);
        }
    }

    /// Room for all codes with their dashes, so that the text never grows and leaves a copy behind.
    fn text_bytes(&self) -> usize {
        self.codes.len().saturating_mul(self.form.chars()).saturating_mul(2)
    }
}

impl fmt::Debug for RecoveryCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoveryCodes")
            .field("form", &self.form)
            .field("codes", &format_args!("[redacted]"))
            .finish()
    }
}

fn random<const N: usize>(
    form: Form,
    selector: u16,
    entropy: &mut Draw,
) -> Result<RecoveryCode, EntropyError> {
    let mut bytes: [u8; N] = entropy.take()?;
    let code = RecoveryCode::of_random(form, selector, &bytes);
    bytes.zeroize();
    Ok(code)
}

const CODES_ADVICE: &str = "\
Each code works once, in place of your second step when you cannot use it.
Cross out the ones you have used. New codes put an end to all of these.
Keep them where only you can reach them, and not with your password.
Nobody who helps you will ever ask for one.
";

const KEY_ADVICE: &str = "\
The key works once, in place of your second step when you cannot use it.
A new key puts an end to this one.
Keep it where only you can reach it, and not with your password.
Nobody who helps you will ever ask for it.
";
