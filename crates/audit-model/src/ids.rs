//! Ids of accounts, users and events, and what an event belongs to.

use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicode_normalization::is_nfc;

use crate::{IdError, Timestamp};

/// The longest id of an account or a user, in bytes of UTF-8.
pub(crate) const MAX_ID_BYTES: usize = 256;

macro_rules! host_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $tilde:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes an id as it is: nothing is trimmed, folded or normalised.
            ///
            /// # Errors
            /// [`IdError`] names the rule that the text breaks; it never repeats the text.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                check_id($what, text, $tilde)?;
                Ok(Self(Arc::from(text)))
            }

            /// Returns the id's text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Returns the bytes of the id's text, shared with this id.
            #[must_use]
            pub fn to_shared_bytes(&self) -> Arc<[u8]> {
                Arc::clone(&self.0).into()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                d.deserialize_str(ParseVisitor($what, Self::parse))
            }
        }
    };
}

host_id!(
    /// A tenant's id: 1–256 bytes of NFC text, no control characters, no white space at the edges,
    /// compared byte by byte. Ids that begin with `~` are reserved and refused.
    ///
    /// ```
    /// use audit_model::AccountId;
    /// assert_eq!(AccountId::parse("acme").unwrap().as_str(), "acme");
    /// assert!(AccountId::parse("~system").is_err());
    /// assert!(AccountId::parse("").is_err());
    /// ```
    AccountId, "account", true
);

host_id!(
    /// A user's id inside one account: 1–256 bytes of NFC text, no control characters, no white space at
    /// the edges, compared byte by byte.
    ///
    /// ```
    /// use audit_model::UserId;
    /// assert_eq!(UserId::parse("bob").unwrap().as_str(), "bob");
    /// assert!(UserId::parse("bob ").is_err());
    /// ```
    UserId, "user", false
);

fn check_id(what: &'static str, text: &str, tilde_reserved: bool) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { what });
    }
    if text.len() > MAX_ID_BYTES {
        return Err(IdError::TooLong { what, bytes: text.len(), limit: MAX_ID_BYTES });
    }
    if tilde_reserved && text.starts_with('~') {
        return Err(IdError::Reserved { what });
    }
    if text.chars().any(char::is_control) {
        return Err(IdError::Control { what });
    }
    if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
        return Err(IdError::EdgeSpace { what });
    }
    if !text.is_ascii() && !is_nfc(text) {
        return Err(IdError::NotNfc { what });
    }
    Ok(())
}

/// Hands a borrowed string to a parser, without a copy where the format allows it.
struct ParseVisitor<T>(&'static str, fn(&str) -> Result<T, IdError>);

impl<T> serde::de::Visitor<'_> for ParseVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the id of a {}", self.0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.1)(text).map_err(E::custom)
    }
}

/// What a record or an event belongs to: an account, or one of the engine's own scopes.
///
/// The engine's scopes have reserved names that no [`AccountId`] can take.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// One tenant.
    Account(AccountId),
    /// The installation itself; `~system` in a store.
    System,
    /// Look-up hints, which never accept anything on their own; `~index` in a store.
    Index,
    /// Counts per destination of messages, over all accounts; `~destinations` in a store.
    Destinations,
}

impl Scope {
    /// Returns the name a store keeps: the account's id, or a reserved name that begins with `~`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Account(id) => id.as_str(),
            Self::System => "~system",
            Self::Index => "~index",
            Self::Destinations => "~destinations",
        }
    }

    /// Reads a name back that [`Scope::as_str`] gave.
    ///
    /// # Errors
    /// [`IdError`] if it is neither a reserved name nor a valid account id.
    pub fn parse_stored(text: &str) -> Result<Self, IdError> {
        Ok(match text {
            "~system" => Self::System,
            "~index" => Self::Index,
            "~destinations" => Self::Destinations,
            _ => Self::Account(AccountId::parse(text)?),
        })
    }

    /// Returns the account, if this is one.
    #[must_use]
    pub const fn account(&self) -> Option<&AccountId> {
        match self {
            Self::Account(id) => Some(id),
            Self::System | Self::Index | Self::Destinations => None,
        }
    }
}

impl From<AccountId> for Scope {
    fn from(id: AccountId) -> Self {
        Self::Account(id)
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(ParseVisitor("scope", Self::parse_stored))
    }
}

/// An event's id: `YYYYMM-` of the UTC month it was made in, then 32 lower-case hexadecimal digits.
///
/// The form is Kazoo's attempt id, in which the month names the storage shard.
///
/// ```
/// use audit_model::{EventId, Timestamp};
/// let at = Timestamp::from_unix_seconds(1_487_814_038).unwrap();
/// let id = EventId::new(at, [0x0a; 16]);
/// assert_eq!(id.to_string(), "201702-0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a");
/// assert_eq!("201702-0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a".parse::<EventId>().unwrap(), id);
/// assert!("201713-0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a".parse::<EventId>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    year_month: u32,
    random: [u8; 16],
}

impl EventId {
    /// Makes an id for an event at `at` from 16 random bytes.
    #[must_use]
    pub fn new(at: Timestamp, random: [u8; 16]) -> Self {
        Self { year_month: at.year_month(), random }
    }

    /// Returns `YYYYMM` of the month the event was made in.
    #[must_use]
    pub const fn year_month(self) -> u32 {
        self.year_month
    }

    /// Returns the 20 bytes a store may keep: the month as four big-endian bytes, then the 16 random ones.
    /// Their byte order is the order of the ids.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        let (month, random) = bytes.split_at_mut(4);
        month.copy_from_slice(&self.year_month.to_be_bytes());
        random.copy_from_slice(&self.random);
        bytes
    }

    /// Reads the bytes that [`EventId::to_bytes`] gave.
    ///
    /// # Errors
    /// [`IdError::EventId`] if the length or the month is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdError> {
        let (month, random) = bytes.split_first_chunk::<4>().ok_or(IdError::EventId)?;
        let random = <[u8; 16]>::try_from(random).map_err(|_| IdError::EventId)?;
        Self::checked(u32::from_be_bytes(*month), random)
    }

    fn checked(year_month: u32, random: [u8; 16]) -> Result<Self, IdError> {
        let month_holds = (1..=12).contains(&(year_month % 100));
        let year_holds = (1970..=9999).contains(&(year_month / 100));
        if month_holds && year_holds { Ok(Self { year_month, random }) } else { Err(IdError::EventId) }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}-", self.year_month)?;
        self.random.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EventId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (month, hex) = text.split_once('-').ok_or(IdError::EventId)?;
        if month.len() != 6 || !month.bytes().all(|b| b.is_ascii_digit()) || hex.len() != 32 {
            return Err(IdError::EventId);
        }
        let random = data_encoding::HEXLOWER.decode(hex.as_bytes()).map_err(|_| IdError::EventId)?;
        let random = <[u8; 16]>::try_from(random).map_err(|_| IdError::EventId)?;
        Self::checked(month.parse().map_err(|_| IdError::EventId)?, random)
    }
}
