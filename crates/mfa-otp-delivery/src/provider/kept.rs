//! What the engine keeps: the address, and the hash of what was sent to it.

use core::fmt;

use mfa_core::{KeyedHash, SecretText, Timestamp, Versioned};
use serde::{Deserialize, Serialize};

/// What was sent last.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(unnameable_types, reason = "an associated type of the provider")]
pub struct Sent {
    /// How often something was sent before, in this challenge.
    pub(super) generation: u32,
    pub(super) expires_at: Timestamp,
    pub(super) secret: Secret,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Secret {
    Code(KeyedHash),
    Link {
        hash: KeyedHash,
        /// What the waiting page shows and the confirming page asks for.
        #[serde(with = "text")]
        digits: SecretText,
    },
}

/// The canonical address of an enrolment.
#[derive(Clone, Serialize, Deserialize)]
#[expect(unnameable_types, reason = "an associated type of the provider")]
pub struct Address(#[serde(with = "text")] SecretText);

impl Address {
    pub(super) const fn new(canonical: SecretText) -> Self {
        Self(canonical)
    }

    pub(super) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address([redacted])")
    }
}

macro_rules! versioned {
    ($($kept:ty: $most:literal),*) => {$(
        impl Versioned for $kept {
            const VERSION: u8 = 1;
            const MAX_BYTES: usize = $most;
        }
    )*};
}

versioned! { Sent: 512, Address: 300 }

/// Secret text in what the engine seals or keeps.
mod text {
    use mfa_core::SecretText;
    use serde::{Deserialize, Deserializer, Serializer};
    use zeroize::Zeroizing;

    pub(super) fn serialize<S: Serializer>(text: &SecretText, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text.expose_secret())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretText, D::Error> {
        Zeroizing::<String>::deserialize(deserializer).map(SecretText::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_the_bytes_of_stored_records() {
        // By hand, after postcard 1, behind the version: numbers as varints, a variant by its number, text behind its
        // length, a mac as it is.
        let mailbox = [&[1, 16][..], b"bob@acme.example"].concat();
        let address = Address::decode(&mailbox).unwrap();
        assert_eq!(address.expose(), "bob@acme.example");
        assert_eq!(address.encode().unwrap(), mailbox);

        let link = [&[1, 2, 0xe8, 0x07, 1, 1][..], b"k", &[7; 32], &[2], b"42"].concat();
        let sent = Sent::decode(&link).unwrap();
        assert_eq!((sent.generation, sent.expires_at.unix_millis()), (2, 1000));
        assert!(matches!(&sent.secret, Secret::Link { digits, .. } if digits.expose_secret() == "42"));
        assert_eq!(sent.encode().unwrap(), link);
    }
}
