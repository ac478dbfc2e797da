//! What can be wrong with a key.

use thiserror::Error;

/// What is wrong with a key, or with what was done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyRingError {
    /// The key's name breaks its form.
    #[error("key id is not 1 to 16 ASCII letters, digits, dashes or underscores")]
    KeyId,
    /// The root key is all zeros.
    #[error("root key is all zeros; give 32 random bytes")]
    Weak,
    /// The ring has a key of this id already.
    #[error("key id is in the ring already")]
    Duplicate,
    /// The ring has these bytes under another id already.
    #[error("root key is in the ring under another id; give each id bytes of its own")]
    Repeated,
    /// The root key has another length.
    #[error("root key is not 32 bytes, in text 64 hexadecimal digits")]
    Length,
    /// The root key's text has another character than a digit or a small letter from `a` to `f`.
    #[error("root key has a character that is no lower-case hexadecimal digit")]
    Digits,
    /// The text of a key breaks its form.
    #[error("key is not written as its id, `:` and 64 lower-case hexadecimal digits")]
    Form,
    /// Something needs the key.
    #[error("{references} records need the key; reseal them first")]
    InUse {
        /// How many records.
        references: u64,
    },
    /// The key is the one that writes.
    #[error("the active key cannot be removed; activate another one first")]
    Active,
    /// The ring has no key of the id that the data names.
    #[error("the ring has no such key")]
    Unknown,
    /// The sealed bytes were not made by this key for this place.
    #[error("sealed bytes do not open")]
    Unseal,
}

impl KeyRingError {
    /// Returns a stable code: `invalid_key_id`, `weak_key`, `duplicate_key`, `repeated_key`, `wrong_key_length`,
    /// `invalid_hex`, `malformed_key`, `key_in_use`, `active_key`, `unknown_key` or `does_not_open`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::KeyId => "invalid_key_id",
            Self::Weak => "weak_key",
            Self::Duplicate => "duplicate_key",
            Self::Repeated => "repeated_key",
            Self::Length => "wrong_key_length",
            Self::Digits => "invalid_hex",
            Self::Form => "malformed_key",
            Self::InUse { .. } => "key_in_use",
            Self::Active => "active_key",
            Self::Unknown => "unknown_key",
            Self::Unseal => "does_not_open",
        }
    }
}
