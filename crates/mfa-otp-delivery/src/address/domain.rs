//! Domain names as they go over the wire.

use core::fmt;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use mfa_core::FieldError;

/// The most bytes that are looked at; longer ones are no domain in any script (RFC 1035 §2.3.4 allows 253 in ASCII).
const MAX_GIVEN_BYTES: usize = 1_024;

/// A domain name: lower case, at least two labels of letters, digits and hyphens; other scripts as A-labels (UTS #46,
/// RFC 5890). At most 253 bytes, without a final dot, never an IP address.
///
/// ```
/// use mfa_otp_delivery::address::Domain;
/// assert_eq!(Domain::parse("Bücher.Example")?.as_str(), "xn--bcher-kva.example");
/// assert_eq!(Domain::parse("192.0.2.7").unwrap_err().code, "invalid");
/// # Ok::<(), mfa_core::FieldError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Domain(String);

impl Domain {
    /// Takes a domain in any case and script.
    ///
    /// # Errors
    /// [`FieldError`] of the field `domain` unless it has the form above.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        canonical(text).map(Self).map_err(|problem| FieldError::new("domain", "invalid", problem))
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the canonical form, or what is wrong.
pub(super) fn canonical(text: &str) -> Result<String, &'static str> {
    const FORM: &str = "must be a domain name of two labels or more, of at most 253 bytes";
    if text.is_empty() || text.len() > MAX_GIVEN_BYTES {
        return Err(FORM);
    }
    let ascii = Uts46::new()
        .to_ascii(text.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
        .map_err(|_| FORM)?;
    let Some((_, top)) = ascii.rsplit_once('.') else { return Err(FORM) };
    // RFC 3696 §2: no top-level domain is all digits, so that an IP address is never taken for a name.
    if top.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("must be a domain name, not an IP address");
    }
    Ok(ascii.into_owned())
}
