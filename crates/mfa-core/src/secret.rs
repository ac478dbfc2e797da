//! Values that must not be seen: redacted in `Debug`, wiped when dropped, compared in constant time.

use core::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Secret bytes. They have no form for serde: what keeps them says so itself, and in which bytes.
///
/// ```compile_fail,E0277
/// serde_json::from_str::<mfa_core::SecretBytes>("[1, 2, 3]"); // not Deserialize
/// ```
#[derive(Clone, Default)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes the bytes; the caller's copy, if there is one, is the caller's to wipe.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Returns the bytes.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8] {
        &self.0
    }

    /// Compares in constant time; lengths may be told apart.
    #[must_use]
    pub fn ct_eq(&self, other: &[u8]) -> bool {
        self.0.as_slice().ct_eq(other).into()
    }
}

impl From<Zeroizing<Vec<u8>>> for SecretBytes {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Secret text. It has no form for serde: what keeps it says so itself, and in which bytes.
///
/// ```compile_fail,E0277
/// let secret = mfa_core::SecretText::new("hunter2");
/// serde_json::to_string(&secret); // not Serialize
/// ```
#[derive(Clone)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes the text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Returns the text.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.0
    }

    /// Compares in constant time; lengths may be told apart.
    #[must_use]
    pub fn ct_eq(&self, other: &str) -> bool {
        self.0.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl From<Zeroizing<String>> for SecretText {
    fn from(text: Zeroizing<String>) -> Self {
        Self(text)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Their form in what is sealed, for `serde(with)`.
pub(crate) mod kept {
    macro_rules! kept {
        ($name:ident, $secret:ident) => {
            pub(crate) mod $name {
                use serde::{Deserialize, Deserializer, Serialize, Serializer};

                use super::super::$secret;

                pub(crate) fn serialize<S: Serializer>(
                    secret: &$secret,
                    serializer: S,
                ) -> Result<S::Ok, S::Error> {
                    secret.0.serialize(serializer)
                }

                pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
                    deserializer: D,
                ) -> Result<$secret, D::Error> {
                    Deserialize::deserialize(deserializer).map($secret)
                }
            }
        };
    }

    kept!(bytes, SecretBytes);
    kept!(text, SecretText);
}
