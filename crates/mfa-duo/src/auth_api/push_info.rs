//! Further lines of a push.

use core::fmt;

use crate::{Error, percent};

/// Names and values that Duo Mobile shows with a push, under 20,000 bytes when encoded.
///
/// ```
/// use mfa_duo::auth_api::PushInfo;
///
/// let info = PushInfo::new().with("from", "login portal")?.with("amount", "10 €")?;
/// assert_eq!(info.as_str(), "from=login%20portal&amount=10%20%E2%82%AC");
///
/// let error = info.with("note", &"x".repeat(20_000)).unwrap_err();
/// assert_eq!(error.to_string(), "pushinfo must be shorter than 20000 bytes when encoded");
/// # Ok::<(), mfa_duo::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PushInfo(String);

impl PushInfo {
    /// Encoded, it is shorter than this many bytes.
    pub const LIMIT_BYTES: usize = 20_000;

    /// No lines.
    #[must_use]
    pub const fn new() -> Self {
        Self(String::new())
    }

    /// Adds a line.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the name is empty, or the whole gets too long.
    pub fn with(mut self, name: &str, value: &str) -> Result<Self, Error> {
        if name.is_empty() {
            return Err(Error::Parameter { name: "pushinfo", reason: "must not have an empty name" });
        }
        if !self.0.is_empty() {
            self.0.push('&');
        }
        percent::encode_into(&mut self.0, name);
        self.0.push('=');
        percent::encode_into(&mut self.0, value);
        if self.0.len() >= Self::LIMIT_BYTES {
            return Err(Error::Parameter {
                name: "pushinfo",
                reason: "must be shorter than 20000 bytes when encoded",
            });
        }
        Ok(self)
    }

    /// Returns the encoded text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PushInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushInfo").field("bytes", &self.0.len()).finish_non_exhaustive()
    }
}
