//! Names of root keys.

use core::borrow::Borrow;
use core::fmt;

use arrayvec::ArrayString;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::KeyRingError;

/// Names a root key: 1 to 16 ASCII letters, digits, dashes or underscores. Not secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(ArrayString<16>);

impl KeyId {
    /// Takes a name.
    ///
    /// # Errors
    /// [`KeyRingError::KeyId`] if it breaks the form.
    pub fn parse(text: &str) -> Result<Self, KeyRingError> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let id = ArrayString::from(text).map(Self).ok();
        id.filter(|id| !id.0.is_empty() && id.0.bytes().all(fits)).ok_or(KeyRingError::KeyId)
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for KeyId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&ArrayString::<16>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
