//! Ids of challenges, enrolments, devices and exemptions, names of modules and providers.

use core::borrow::Borrow;
use core::fmt;
use core::str::FromStr;
use std::borrow::Cow;

use arrayvec::ArrayString;
use data_encoding::HEXLOWER;
use serde::de::{self, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $article:literal $what:literal) => {
        $(#[$doc])*
        ///
        /// For serde it is the text of its UUID in formats that people read, such as JSON or the path of a URL, and
        /// 16 bytes in others.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Takes 16 random bytes and marks them as a UUID of version 4.
            #[must_use]
            pub fn from_random(bytes: [u8; 16]) -> Self {
                Self(*uuid::Builder::from_random_bytes(bytes).as_uuid().as_bytes())
            }

            /// Takes the 16 bytes of an id as they are.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// Returns the 16 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Uuid::from_bytes(self.0).as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        /// Reads the 36 characters of RFC 9562 §4, in either case of its letters. Braces, a `urn:uuid:` before it and
        /// digits without dashes are other forms, and refused.
        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let hyphenated = Some(text).filter(|text| text.len() == Hyphenated::LENGTH);
                let uuid = hyphenated.and_then(|text| Uuid::try_parse(text).ok());
                uuid.map(|uuid| Self(*uuid.as_bytes())).ok_or(NameError::NotUuid { what: $what })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serialize_id(&self.0, self, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                const FORM: &str = concat!("the UUID of ", $article, " ", $what);
                deserialize_id(FORM, |text| Some(text.parse::<Self>().ok()?.0), deserializer).map(Self)
            }
        }
    };
}

random_id!(
    /// Names one second step in progress. Public: good for `status` and nothing else.
    ///
    /// ```
    /// use mfa_core::ChallengeId;
    /// let id: ChallengeId = "6f1c0f6e-6a3d-4c8e-9f57-0d6a3d2b1c00".parse().unwrap();
    /// assert_eq!(id.to_string(), "6f1c0f6e-6a3d-4c8e-9f57-0d6a3d2b1c00");
    /// assert!("6f1c".parse::<ChallengeId>().is_err());
    /// ```
    ChallengeId, "a" "challenge"
);

random_id!(
    /// Names a user's confirmed authenticator: what is switched to, preferred or removed.
    EnrolmentId, "an" "enrolment"
);

random_id!(
    /// Names an exemption of a user's programs, for reports and logs. A label: whoever knows it can do nothing with it.
    ExemptionId, "an" "exemption"
);

random_id!(
    /// Names one of a user's devices, for lists and logs. A label: whoever knows it can do nothing with it.
    DeviceId, "a" "device"
);

/// Names a provider configuration of an account: 32 lower-case hexadecimal digits, as in Kazoo.
///
/// ```
/// use mfa_core::ConfigurationId;
/// let id = ConfigurationId::parse("c757665dca55edba2395df3ca6423f4f").unwrap();
/// assert_eq!(id.to_string(), "c757665dca55edba2395df3ca6423f4f");
/// assert!(ConfigurationId::parse("../c757665d").is_none());
/// ```
///
/// For serde it is these digits in formats that people read, and 16 bytes in others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigurationId([u8; 16]);

impl ConfigurationId {
    /// Takes 16 random bytes.
    #[must_use]
    pub const fn from_random(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads the 32 digits; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        let fits = text.len() == 32;
        let decoded = fits.then(|| HEXLOWER.decode_mut(text.as_bytes(), &mut bytes))?;
        decoded.is_ok().then_some(Self(bytes))
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for ConfigurationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HEXLOWER.encode_display(&self.0).fmt(f)
    }
}

impl fmt::Debug for ConfigurationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ConfigurationId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_id(&self.0, self, serializer)
    }
}

impl<'de> Deserialize<'de> for ConfigurationId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const FORM: &str = "the 32 digits of a configuration";
        deserialize_id(FORM, |text| Some(Self::parse(text)?.0), deserializer).map(Self)
    }
}

/// Writes the text of an id where people read it. The bytes are those of stored records.
fn serialize_id<S: Serializer>(
    bytes: &[u8; 16],
    text: &impl fmt::Display,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.collect_str(text)
    } else {
        serde_bytes::serialize(bytes, serializer)
    }
}

fn deserialize_id<'de, D: Deserializer<'de>>(
    form: &'static str,
    parse: fn(&str) -> Option<[u8; 16]>,
    deserializer: D,
) -> Result<[u8; 16], D::Error> {
    if deserializer.is_human_readable() {
        deserializer.deserialize_str(IdText { form, parse })
    } else {
        serde_bytes::deserialize(deserializer)
    }
}

struct IdText {
    form: &'static str,
    parse: fn(&str) -> Option<[u8; 16]>,
}

impl de::Visitor<'_> for IdText {
    type Value = [u8; 16];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.form)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<[u8; 16], E> {
        (self.parse)(text).ok_or_else(|| E::custom(format_args!("is not {}", self.form)))
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(ArrayString<32>);

        impl $name {
            /// Takes 1 to 32 lower-case ASCII letters, digits or underscores.
            ///
            /// # Errors
            /// [`NameError::Form`] for anything else.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
                let short = ArrayString::from(text).map(Self);
                let name = short.ok().filter(|name| !name.0.is_empty() && name.0.bytes().all(fits));
                name.ok_or(NameError::Form { what: $what })
            }

            /// Returns the name's text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, text: &&str) -> bool {
                self.0 == **text
            }
        }

        impl From<$name> for Cow<'static, str> {
            fn from(name: $name) -> Self {
                Self::Owned(name.as_str().to_owned())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&ArrayString::<32>::deserialize(deserializer)?).map_err(D::Error::custom)
            }
        }
    };
}

name!(
    /// Names a way to log in, such as `user_auth`. Fixed by host code per route, never read from a request.
    ///
    /// ```
    /// use mfa_core::Module;
    /// assert_eq!(Module::parse("user_auth").unwrap().as_str(), "user_auth");
    /// assert!(Module::parse("User Auth").is_err());
    /// ```
    Module, "module"
);

name!(
    /// Names a provider, such as `totp`.
    ProviderName, "provider"
);

/// A name or an id that breaks its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// Not 1 to 32 lower-case ASCII letters, digits or underscores.
    #[error("{what} name is not 1 to 32 lower-case ASCII letters, digits or underscores")]
    Form {
        /// `module` or `provider`.
        what: &'static str,
    },
    /// Not a UUID.
    #[error("{what} id is not a UUID")]
    NotUuid {
        /// `challenge`, `enrolment`, `device` or `exemption`.
        what: &'static str,
    },
}

impl NameError {
    /// Returns a stable code: `invalid_name` or `invalid_id`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Form { .. } => "invalid_name",
            Self::NotUuid { .. } => "invalid_id",
        }
    }
}
