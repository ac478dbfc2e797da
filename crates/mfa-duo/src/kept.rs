//! The form of secret text in what an engine or a host keeps, for `serde(with)`.

use mfa_core::SecretText;
use serde::{Deserialize, Deserializer, Serializer};
use zeroize::Zeroizing;

pub(crate) fn serialize<S: Serializer>(text: &SecretText, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text.expose_secret())
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretText, D::Error> {
    Zeroizing::<String>::deserialize(deserializer).map(SecretText::from)
}
