//! E-mail addresses.

use core::fmt;

use mfa_core::{Contact, FieldError};

use super::domain;

/// RFC 5321 §4.5.3.1.1.
const MAX_LOCAL_BYTES: usize = 64;
/// RFC 5321 §4.5.3.1.3 allows a path of 256, its angle brackets included.
const MAX_BYTES: usize = 254;
const FIELD: &str = "contact.email";

/// An e-mail address in its canonical form: the local part as it was given, the domain in lower case and in ASCII
/// (see [`Domain`](super::Domain)). `Debug` shows the masked form.
///
/// The local part is a dot-string (RFC 5321 §4.1.2) of at most 64 bytes; quoted strings, address literals and local
/// parts beyond ASCII (RFC 6531) are refused. Nothing that passes can end a header or an SMTP command.
///
/// ```
/// use mfa_otp_delivery::address::Email;
/// let bob = Email::parse("Bob@Example.COM")?;
/// assert_eq!(bob.as_str(), "Bob@example.com");
/// assert_eq!(bob.masked(), "B…@example.com");
/// assert_eq!(Email::parse("bob@example.com\r\nBcc: eve@evil.example").unwrap_err().code, "invalid");
/// # Ok::<(), mfa_core::FieldError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Email {
    local: String,
    text: String,
}

impl Email {
    /// Takes an address.
    ///
    /// # Errors
    /// [`FieldError`] of the field `contact.email`: `length` past 254 bytes or past 64 before the `@`, else `invalid`.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let invalid = |problem| FieldError::new(FIELD, "invalid", problem);
        let Some((local, domain)) = text.rsplit_once('@') else {
            return Err(invalid("must have one @ inside"));
        };
        if local.len() > MAX_LOCAL_BYTES {
            let problem = format!("has {} bytes before the @, not 1 to {MAX_LOCAL_BYTES}", local.len());
            return Err(FieldError::new(FIELD, "length", problem));
        }
        if !local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext)) {
            return Err(invalid(
                "must have letters, digits and single dots before the @, not quotes or spaces",
            ));
        }
        let domain = domain::canonical(domain).map_err(invalid)?;
        let text = format!("{local}@{domain}");
        if text.len() > MAX_BYTES {
            let problem = format!("has {} bytes, not 3 to {MAX_BYTES}", text.len());
            return Err(FieldError::new(FIELD, "length", problem));
        }
        Ok(Self { local: local.to_owned(), text })
    }

    /// Returns the canonical address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the domain.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.text.get(self.local.len().saturating_add(1)..).unwrap_or_default()
    }

    /// Returns the form for people: the first character, and the domain. Of a local part of one character nothing.
    #[must_use]
    pub fn masked(&self) -> String {
        let shown = if self.local.len() > 1 { self.local.get(..1).unwrap_or_default() } else { "" };
        format!("{shown}…@{}", self.domain())
    }

    /// Returns it as a contact, not verified yet.
    ///
    /// # Errors
    /// [`FieldError`] never for a canonical address; the contact's own rules have the last word.
    pub fn contact(&self) -> Result<Contact, FieldError> {
        Contact::email(self.as_str())
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Email").field(&self.masked()).finish()
    }
}

/// RFC 5322 §3.2.3.
const fn is_atext(byte: u8) -> bool {
    matches!(
        byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9'
            | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'/' | b'=' | b'?'
            | b'^' | b'_' | b'`' | b'{' | b'|' | b'}' | b'~'
    )
}
