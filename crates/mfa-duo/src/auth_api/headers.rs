//! Additional headers that a signature covers.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha512};

use crate::{Error, HeaderProblem};

/// `X-Duo-…` headers, which signatures of version 5 cover. The calls of this crate have none.
///
/// ```
/// use mfa_duo::HeaderProblem;
/// use mfa_duo::auth_api::DuoHeaders;
///
/// let headers = DuoHeaders::new([("X-Duo-B", "2"), ("x-duo-a", "1")])?;
/// assert_eq!(headers.iter().collect::<Vec<_>>(), [("x-duo-a", "1"), ("x-duo-b", "2")]);
///
/// let error = DuoHeaders::new([("X-Not-Duo", "1")]).unwrap_err();
/// assert_eq!(error.code(), HeaderProblem::BadPrefix.code());
/// # Ok::<(), mfa_duo::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct DuoHeaders {
    /// invariant: sorted by name; names are lower case, begin with `x-duo-` and are unique.
    sorted: Vec<(String, String)>,
}

const PREFIX: &str = "x-duo-";

impl DuoHeaders {
    /// No headers.
    pub const NONE: Self = Self { sorted: Vec::new() };

    /// Takes headers in any order; upper case in names becomes lower case.
    ///
    /// # Errors
    /// [`Error::Header`] with the rule that one of them breaks.
    pub fn new<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Error> {
        let mut sorted = Vec::new();
        for (name, value) in headers {
            let name = name.to_ascii_lowercase();
            check(&name, value).map_err(|problem| Error::Header { problem })?;
            sorted.push((name, value.to_owned()));
        }
        sorted.sort();
        if sorted.windows(2).any(|pair| matches!(pair, [(first, _), (second, _)] if first == second)) {
            return Err(Error::Header { problem: HeaderProblem::Duplicate });
        }
        Ok(Self { sorted })
    }

    /// Returns the headers as they are sent, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sorted.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns what is signed: SHA-512 of names and values, each followed by NUL but the last, in lower-case
    /// hexadecimal digits. Without headers it is SHA-512 of nothing.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hash = Sha512::new();
        for (at, (name, value)) in self.iter().enumerate() {
            if at > 0 {
                hash.update([0]);
            }
            hash.update(name);
            hash.update([0]);
            hash.update(value);
        }
        HEXLOWER.encode(&hash.finalize())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }
}

fn check(name: &str, value: &str) -> Result<(), HeaderProblem> {
    if name.is_empty() {
        Err(HeaderProblem::EmptyName)
    } else if name.contains('\0') {
        Err(HeaderProblem::NulInName)
    } else if value.contains('\0') {
        Err(HeaderProblem::NulInValue)
    } else if !name.starts_with(PREFIX) {
        Err(HeaderProblem::BadPrefix)
    } else {
        Ok(())
    }
}
