//! What a text may hold: each a type of its own that refuses everything else.

use core::fmt;

use mfa_core::{FieldError, SecretText};
use zeroize::Zeroizing;

use super::Form;
use crate::HttpsUrl;

const MAX_SITE_CHARS: usize = 40;
/// Six digits are the least that 64-bit budgets are made for (SP 800-63B-4 §3.1.3.3).
const CODE_DIGITS: core::ops::RangeInclusive<usize> = 6..=12;
/// 128 bits in base64url are 22 characters.
const TOKEN_BYTES: core::ops::RangeInclusive<usize> = 22..=1_024;

/// The name of the site as its users know it, from the host's configuration: 1 to 40 characters in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteName(String);

impl SiteName {
    /// Takes a name.
    ///
    /// # Errors
    /// [`FieldError`] of the field `site`: `length`, or `invalid` with control characters or spaces at an end.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let chars = text.chars().count();
        if !(1..=MAX_SITE_CHARS).contains(&chars) {
            let problem = format!("has {chars} characters, not 1 to {MAX_SITE_CHARS}");
            return Err(FieldError::new("site", "length", problem));
        }
        if text.chars().any(breaks_line) || text.trim() != text {
            let problem = "must be one line without control characters and without spaces around it";
            return Err(FieldError::new("site", "invalid", problem));
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A one-time code: 6 to 12 decimal digits.
///
/// ```
/// use mfa_otp_delivery::text::Code;
/// assert_eq!(Code::parse("012345")?.expose_secret(), "012345");
/// assert_eq!(Code::parse("12345").unwrap_err().code, "invalid");
/// assert_eq!(format!("{:?}", Code::parse("012345")?), "[redacted]");
/// # Ok::<(), mfa_core::FieldError>(())
/// ```
#[derive(Clone)]
pub struct Code(SecretText);

impl Code {
    /// Takes the digits.
    ///
    /// # Errors
    /// [`FieldError`] of the field `code`, `invalid`.
    pub fn parse(digits: &str) -> Result<Self, FieldError> {
        if CODE_DIGITS.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(SecretText::new(digits)))
        } else {
            Err(FieldError::new("code", "invalid", "must be 6 to 12 decimal digits"))
        }
    }

    /// Returns the digits.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A link: a page of the host's configuration, with a token in the fragment, which browsers keep out of requests,
/// `Referer` and logs (security rule S28).
///
/// ```
/// use mfa_otp_delivery::{HttpsUrl, text::Link};
/// let page = HttpsUrl::parse("https://acme.example/confirm")?;
/// let link = Link::new(&page, "AAECAwQFBgcICQoLDA0ODw")?;
/// assert_eq!(link.expose_secret(), "https://acme.example/confirm#AAECAwQFBgcICQoLDA0ODw");
/// assert_eq!(Link::new(&page, "AAECAwQFBgcICQoLDA0O\nw").unwrap_err().code, "invalid");
/// # Ok::<(), mfa_core::FieldError>(())
/// ```
#[derive(Clone)]
pub struct Link(SecretText);

impl Link {
    /// Puts `token` behind `page`.
    ///
    /// # Errors
    /// [`FieldError`] of the field `token`, `invalid`, unless it is 22 to 1,024 of `A`–`Z`, `a`–`z`, `0`–`9`, `-`, `_`
    /// and `.`.
    pub fn new(page: &HttpsUrl, token: &str) -> Result<Self, FieldError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if !TOKEN_BYTES.contains(&token.len()) || !token.bytes().all(plain) {
            return Err(FieldError::new("token", "invalid", "must be 22 to 1024 of A-Z a-z 0-9 - _ ."));
        }
        let bytes = page.as_str().len().saturating_add(1).saturating_add(token.len());
        let mut text = Zeroizing::new(String::with_capacity(bytes));
        text.push_str(page.as_str());
        text.push('#');
        text.push_str(token);
        Ok(Self(text.into()))
    }

    /// Returns the link.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The one secret of a message.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Secret<'a> {
    /// To type.
    Code(&'a Code),
    /// To open.
    Link(&'a Link),
}

impl Secret<'_> {
    pub(super) const fn form(&self) -> Form {
        match self {
            Self::Code(_) => Form::Code,
            Self::Link(_) => Form::Link,
        }
    }

    pub(super) fn expose_secret(&self) -> &str {
        match self {
            Self::Code(code) => code.expose_secret(),
            Self::Link(link) => link.expose_secret(),
        }
    }
}

/// A control character, or one of the two of Unicode that separate lines.
pub(super) fn breaks_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}
