//! URLs of the host's configuration.

use core::fmt;

use mfa_core::FieldError;
use url::Url;

const MAX_BYTES: usize = 2_048;

/// An absolute `https` URL from the host's configuration: a page that links lead to, where a browser goes afterwards, a
/// webhook. With a host, without user and fragment, at most 2,048 bytes.
///
/// ```
/// use mfa_otp_delivery::HttpsUrl;
/// assert_eq!(HttpsUrl::parse("https://acme.example/mfa")?.as_str(), "https://acme.example/mfa");
/// for bad in ["http://acme.example", "javascript:alert(1)", "/mfa", "https://bob@acme.example", "https://acme.example/#x"] {
///     assert_eq!(HttpsUrl::parse(bad).unwrap_err().code, "invalid");
/// }
/// # Ok::<(), mfa_core::FieldError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct HttpsUrl(String);

impl HttpsUrl {
    /// Takes a URL.
    ///
    /// # Errors
    /// [`FieldError`] of the field `url`: `length` past the limit, else `invalid`.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let invalid = |problem| Err(FieldError::new("url", "invalid", problem));
        if text.len() > MAX_BYTES {
            let problem = format!("has {} bytes, not at most {MAX_BYTES}", text.len());
            return Err(FieldError::new("url", "length", problem));
        }
        // What parsers of URLs drop or read as something else.
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return invalid("holds a space, a backslash or a control character");
        }
        let Ok(url) = Url::parse(text) else { return invalid("must be an absolute https url") };
        // A missing host, an empty user and an empty fragment leave no trace in the parsed URL.
        let authority = text.split(['/', '?']).nth(2).unwrap_or_default();
        if url.scheme() != "https" || !text.get(..8).is_some_and(|s| s.eq_ignore_ascii_case("https://")) {
            return invalid("must be an absolute https url");
        }
        if authority.is_empty() || url.host_str().is_none_or(str::is_empty) {
            return invalid("must name a host");
        }
        if authority.contains('@') || !url.username().is_empty() || url.password().is_some() {
            return invalid("must not hold a user or password");
        }
        if text.contains('#') {
            return invalid("must not have a fragment");
        }
        Ok(Self(url.into()))
    }

    /// Returns the URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for HttpsUrl {
    /// Shows the host: paths and queries of webhooks may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = Url::parse(&self.0).ok();
        f.debug_tuple("HttpsUrl").field(&url.as_ref().and_then(Url::host_str)).finish()
    }
}
