//! The event: what happened, a hash over it, and the personal values beside that hash.
//!
//! The hash covers everything an event says. Personal values enter it only as a commitment: SHA-256 over
//! `audit/commitment/1`, a salt of 128 random bits that is kept with the values, and of each value a byte that
//! names it (0 user, 1 address, 2 name and 3 value of a header, 4 request id), its length in 8 bytes, and its
//! bytes. When values and salt are erased, the event still verifies and says nothing about the person any more.

mod builder;

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{AuditError, EventId, Kind, Outcome, Scope, Timestamp, UserId};

pub use builder::EventBuilder;

/// Text that is usually a constant of the program.
type Text = Cow<'static, str>;

pub(crate) const FORMAT: u8 = 1;
/// As [`FORMAT`], with one byte of flags at the end: only events that need a flag are written so.
pub(crate) const FORMAT_WITH_FLAGS: u8 = 2;
const HIDDEN: u8 = 1;
/// Room for most events, so that they are encoded without growing.
const USUAL_BYTES: usize = 384;

/// One thing that happened. Read-only: made by [`EventBuilder`] or read back with [`Event::from_stored`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    // Boxed: an event is moved more often than it is read.
    pub(crate) core: Box<Core>,
    pub(crate) personal: Option<Box<Personal>>,
    hash: [u8; 32],
}

/// The part of an event that is never erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Core {
    pub(crate) format: u8,
    #[serde(with = "serde_bytes")]
    pub(crate) id: [u8; 20],
    pub(crate) at: Timestamp,
    pub(crate) scope: Scope,
    pub(crate) kind: u16,
    pub(crate) outcome: u8,
    pub(crate) module: Option<Text>,
    pub(crate) reason: Option<Text>,
    #[serde(with = "serde_bytes")]
    pub(crate) subject: Option<[u8; 16]>,
    pub(crate) actor: Option<Text>,
    pub(crate) fields: Vec<(Text, Text)>,
    pub(crate) stream: Option<Stream>,
    pub(crate) attempt: Option<Attempt>,
    #[serde(with = "serde_bytes")]
    pub(crate) commitment: Option<[u8; 32]>,
    /// Kept out of the attempts view. invariant: there is an attempt, and the format is the one with flags.
    #[serde(skip)]
    pub(crate) hidden: bool,
}

impl Core {
    /// Writes what is kept and hashed.
    fn encode(&self) -> Result<Vec<u8>, AuditError> {
        let mut bytes = encode(self)?;
        if self.format == FORMAT_WITH_FLAGS {
            bytes.push(if self.hidden { HIDDEN } else { 0 });
        }
        Ok(bytes)
    }

    fn decode(bytes: &[u8]) -> Result<Box<Self>, AuditError> {
        let (mut core, flags): (Box<Self>, _) = postcard::take_from_bytes(bytes).map_err(|_| NOT_ENCODED)?;
        core.hidden = match (core.format, flags) {
            (FORMAT, []) => false,
            (FORMAT_WITH_FLAGS, [HIDDEN]) => true,
            (FORMAT | FORMAT_WITH_FLAGS, _) => return Err(NOT_ENCODED),
            _ => return Err(UNKNOWN),
        };
        if core.hidden && core.attempt.is_none() { Err(NOT_ENCODED) } else { Ok(core) }
    }
}

const NOT_ENCODED: AuditError = AuditError::Corrupt("not an encoded event");
const UNKNOWN: AuditError = AuditError::Corrupt("unknown format, id, kind or outcome");

/// The position of an event in the stream of the record that its commit put: a gap in `seq` is a lost event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stream {
    /// The stream's id: 16 random bytes that the record keeps. For serde it is 32 lower-case hexadecimal digits in
    /// formats that people read, as in an export.
    #[serde(with = "digits")]
    pub id: [u8; 16],
    /// The position, counted from 1.
    pub seq: u64,
}

impl Stream {
    /// Names position `seq` of stream `id`.
    #[must_use]
    pub const fn new(id: [u8; 16], seq: u64) -> Self {
        Self { id, seq }
    }
}

/// Random bytes of stored events: digits in formats that people read, and bytes in others.
mod digits {
    use core::fmt;

    use data_encoding::HEXLOWER;
    use serde::de::{self, Deserializer};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 16], serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&HEXLOWER.encode_display(bytes))
        } else {
            serde_bytes::serialize(bytes, serializer)
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 16], D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Digits)
        } else {
            serde_bytes::deserialize(deserializer)
        }
    }

    struct Digits;

    impl de::Visitor<'_> for Digits {
        type Value = [u8; 16];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("32 lower-case hexadecimal digits")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<[u8; 16], E> {
            let decoded = HEXLOWER.decode(text.as_bytes()).ok();
            let bytes = decoded.and_then(|bytes| bytes.try_into().ok());
            bytes.ok_or_else(|| E::custom("is not 32 lower-case hexadecimal digits"))
        }
    }
}

/// What makes an event a row of the tenant's attempts view, in Kazoo's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Attempt {
    /// Kazoo's `auth_type`; `multi_factor` for every second step.
    pub auth_type: Text,
    /// The sentence shown to the administrator.
    pub message: Text,
    /// Where the module's settings were found: an account id or `system`.
    pub auth_config_origin: Option<Text>,
    /// Where the provider's configuration was found: an account id or `system`.
    pub mfa_config_origin: Option<Text>,
}

impl Attempt {
    /// Makes a row of type `auth_type` with the sentence `message` and no origins.
    #[must_use]
    pub fn new(auth_type: impl Into<Text>, message: impl Into<Text>) -> Self {
        Self {
            auth_type: auth_type.into(),
            message: message.into(),
            auth_config_origin: None,
            mfa_config_origin: None,
        }
    }

    /// Adds where the module's settings and the provider's configuration were found.
    #[must_use]
    pub fn with_origins(mut self, auth: impl Into<Text>, mfa: impl Into<Text>) -> Self {
        self.auth_config_origin = Some(auth.into());
        self.mfa_config_origin = Some(mfa.into());
        self
    }
}

/// The values of an event that speak of a person, with the salt of the commitment to them. Erased together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Personal {
    #[serde(with = "digits")]
    pub(crate) salt: [u8; 16],
    /// The user the event is about.
    pub user: Option<UserId>,
    /// The address the request came from.
    pub ip: Option<IpAddr>,
    /// Request headers on the allow-list: `user-agent`, `host`, `accept-language`.
    pub headers: Vec<(Text, String)>,
    /// The host's id of the request.
    pub request_id: Option<String>,
}

impl Personal {
    /// Returns the commitment to the values; `None` where there are none.
    fn commitment(&self) -> Option<[u8; 32]> {
        let mut hash = Sha256::new().chain_update(b"audit/commitment/1").chain_update(self.salt);
        let mut says_something = false;
        let mut say = |name: u8, value: &[u8]| {
            says_something = true;
            hash.update([name]);
            hash.update(length(value));
            hash.update(value);
        };
        if let Some(user) = &self.user {
            say(0, user.as_str().as_bytes());
        }
        match self.ip {
            Some(IpAddr::V4(ip)) => say(1, &ip.octets()),
            Some(IpAddr::V6(ip)) => say(1, &ip.octets()),
            None => {}
        }
        for (name, value) in &self.headers {
            say(2, name.as_bytes());
            say(3, value.as_bytes());
        }
        if let Some(id) = &self.request_id {
            say(4, id.as_bytes());
        }
        says_something.then(|| hash.finalize().into())
    }
}

/// The three values a store keeps of an event besides the columns it searches by.
///
/// `core` and `hash` never change. Erasing a user sets `personal` to nothing, and the columns of the user
/// and the address with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredEvent {
    /// What is never erased, encoded.
    pub core: Vec<u8>,
    /// The personal values and their salt, encoded; `None` once erased, or where there never were any.
    pub personal: Option<Vec<u8>>,
    /// SHA-256 over `core` under a label.
    pub hash: [u8; 32],
}

impl StoredEvent {
    /// Puts the three values together again, as they were read.
    #[must_use]
    pub const fn new(core: Vec<u8>, personal: Option<Vec<u8>>, hash: [u8; 32]) -> Self {
        Self { core, personal, hash }
    }
}

impl Event {
    /// Puts an event together from what was read. The hash is taken as it is.
    pub(crate) fn from_parts(core: Core, personal: Option<Personal>, hash: [u8; 32]) -> Self {
        Self { core: Box::new(core), personal: personal.map(Box::new), hash }
    }

    /// Returns the event's id.
    #[must_use]
    pub fn id(&self) -> EventId {
        // invariant: `core.id` was made by `EventId::to_bytes` or checked by `from_stored`.
        EventId::from_bytes(&self.core.id).unwrap_or_else(|_| EventId::new(self.core.at, [0; 16]))
    }

    /// Returns when it happened.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.core.at
    }

    /// Returns the account it belongs to, or the engine's own scope.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.core.scope
    }

    /// Returns what happened.
    #[must_use]
    pub fn kind(&self) -> Kind {
        // invariant: `core.kind` was taken from a `Kind` or checked by `from_stored`.
        Kind::from_number(self.core.kind).unwrap_or(Kind::RecordRefused)
    }

    /// Returns how it ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        // invariant: `core.outcome` was taken from an `Outcome` or checked by `from_stored`.
        Outcome::from_number(self.core.outcome).unwrap_or(Outcome::Failure)
    }

    /// Returns the module that was logged in through.
    #[must_use]
    pub fn module(&self) -> Option<&str> {
        self.core.module.as_deref()
    }

    /// Returns the stable reason, as in `wrong_code`.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.core.reason.as_deref()
    }

    /// Returns the 16 bytes of the id of the challenge (or other thing) it is about.
    #[must_use]
    pub fn subject(&self) -> Option<[u8; 16]> {
        self.core.subject
    }

    /// Returns who did it, where it was not the user: the host's own name for that person or program.
    #[must_use]
    pub fn actor(&self) -> Option<&str> {
        self.core.actor.as_deref()
    }

    /// Returns the further fields, in the order they were added.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.core.fields.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// Returns one further field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// Returns its position in the stream of the record its commit put.
    #[must_use]
    pub fn stream(&self) -> Option<Stream> {
        self.core.stream
    }

    /// Returns what it says as a row of the attempts view, if it is one; also where it is kept out of the view.
    #[must_use]
    pub fn attempt(&self) -> Option<&Attempt> {
        self.core.attempt.as_ref()
    }

    /// Returns whether the attempts view shows it: it is an attempt, and logging was on for such attempts when
    /// it happened. What is switched later changes nothing about it.
    #[must_use]
    pub fn is_in_attempts_view(&self) -> bool {
        self.core.attempt.is_some() && !self.core.hidden
    }

    /// Returns the personal values, unless they were erased or never there.
    #[must_use]
    pub fn personal(&self) -> Option<&Personal> {
        self.personal.as_deref()
    }

    /// Returns the user it is about, unless erased.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        self.personal.as_ref().and_then(|p| p.user.as_ref())
    }

    /// Returns the address the request came from, unless erased. Mapped IPv4 addresses are given as IPv4.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.personal.as_ref().and_then(|p| p.ip)
    }

    /// Returns whether personal values were there once and have been erased.
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.personal.is_none() && self.core.commitment.is_some()
    }

    /// Returns the hash over everything the event says.
    #[must_use]
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Returns the commitment to the personal values, where there are or were any.
    #[must_use]
    pub const fn commitment(&self) -> Option<&[u8; 32]> {
        self.core.commitment.as_ref()
    }

    /// Returns whether the hash fits what the event says, and the personal values, while they are there,
    /// fit the commitment.
    #[must_use]
    pub fn hash_holds(&self) -> bool {
        let values_hold = self.personal.as_ref().is_none_or(|p| p.commitment() == self.core.commitment);
        values_hold && self.core.encode().is_ok_and(|core| hash_core(&core) == self.hash)
    }

    /// Encodes the event for a store.
    ///
    /// # Errors
    /// [`AuditError::Invalid`] if it cannot be encoded, which no event built here does.
    pub fn to_stored(&self) -> Result<StoredEvent, AuditError> {
        let personal = self.personal.as_ref().map(encode).transpose()?;
        Ok(StoredEvent { core: self.core.encode()?, personal, hash: self.hash })
    }

    /// Reads what a store kept. The hash is taken as it is: ask [`Event::hash_holds`].
    ///
    /// # Errors
    /// [`AuditError::Corrupt`] if it cannot be decoded.
    pub fn from_stored(stored: &StoredEvent) -> Result<Self, AuditError> {
        let core = Core::decode(&stored.core)?;
        let known = EventId::from_bytes(&core.id).is_ok()
            && Kind::from_number(core.kind).is_some()
            && Outcome::from_number(core.outcome).is_some();
        if !known {
            return Err(UNKNOWN);
        }
        let personal = stored.personal.as_deref().map(decode).transpose()?;
        Ok(Self { core, personal, hash: stored.hash })
    }
}

fn hash_core(core: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(b"audit/event/1").chain_update(core).finalize().into()
}

pub(crate) fn push_part(out: &mut Vec<u8>, part: &[u8]) {
    out.extend_from_slice(&length(part));
    out.extend_from_slice(part);
}

fn length(part: &[u8]) -> [u8; 8] {
    u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes()
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, AuditError> {
    postcard::to_extend(value, Vec::with_capacity(USUAL_BYTES))
        .map_err(|_| AuditError::Invalid { field: "event", problem: "cannot be encoded".to_owned() })
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, AuditError> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        _ => Err(NOT_ENCODED),
    }
}
