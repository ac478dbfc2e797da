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
        digits: SecretText,
    },
}

/// The canonical address of an enrolment.
#[derive(Clone, Serialize, Deserialize)]
#[expect(unnameable_types, reason = "an associated type of the provider")]
pub struct Address(SecretText);

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
