//! Where the next page begins, as text that only this installation can have made.

use core::fmt;

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Serialize, Serializer};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::event::push_part;
use crate::{AuditError, EventId, Order, Position, Query, Timestamp, View};

const FORMAT: u8 = 1;
/// Format, time, id, then the two ends of the range.
const BODY_BYTES: usize = 1 + 8 + 20 + 8 + 8;
const MAC_BYTES: usize = 16;
/// The length of every cursor, in characters of base64url without padding.
const TEXT_BYTES: usize = ((BODY_BYTES + MAC_BYTES) * 4).div_ceil(3);
/// Stands for an end of the range that is open; no [`Timestamp`] has this value.
const OPEN_END: u64 = u64::MAX;

/// The key that cursors are authenticated with: 32 bytes, the same on every node, used for nothing else.
///
/// Its bytes are wiped when it is dropped. A host gets it from its own key ring under a label of its own.
#[derive(Clone)]
pub struct CursorKey(Zeroizing<[u8; 32]>);

impl CursorKey {
    /// Takes 32 secret random bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CursorKey(..)")
    }
}

/// The opaque text after which the next page begins: 82 characters of base64url (RFC 4648 §5) without padding.
///
/// It holds a [`Position`] and the query's range, under HMAC-SHA256 (RFC 2104) cut to 16 bytes. The MAC
/// also covers every other condition of the query and its order, but not its limit; so a cursor continues
/// only the query it was made for, and the size of the page may change. It is not a secret.
///
/// ```
/// use audit_model::{AccountId, Cursor, CursorKey, EventId, Position, Query, Scope, Timestamp};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let key = CursorKey::from_bytes([7; 32]);
/// let query = Query::new(Scope::Account(AccountId::parse("acme")?));
/// let at = Timestamp::from_unix_seconds(1_487_814_038)?;
/// let position = Position::new(at, EventId::new(at, [1; 16]));
///
/// let cursor = Cursor::new(position, &query, &key);
/// assert_eq!(Cursor::open(cursor.as_str(), &query, &key)?, position);
///
/// // Another account's query does not take it.
/// let other = Query::new(Scope::Account(AccountId::parse("umbrella")?));
/// assert_eq!(Cursor::open(cursor.as_str(), &other, &key).unwrap_err().code(), "invalid_cursor");
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor(String);

impl Cursor {
    /// Makes the cursor that continues `query` behind `position`.
    #[must_use]
    pub fn new(position: Position, query: &Query, key: &CursorKey) -> Self {
        let end = |time: Option<Timestamp>| time.map_or(OPEN_END, Timestamp::unix_millis).to_be_bytes();
        let mut bytes = Vec::with_capacity(BODY_BYTES.saturating_add(MAC_BYTES));
        bytes.push(FORMAT);
        bytes.extend_from_slice(&position.at.unix_millis().to_be_bytes());
        bytes.extend_from_slice(&position.id.to_bytes());
        bytes.extend_from_slice(&end(query.from));
        bytes.extend_from_slice(&end(query.to));
        let mac = mac(&bytes, query, key).finalize().into_bytes();
        bytes.extend(mac.iter().take(MAC_BYTES));
        Self(BASE64URL_NOPAD.encode(&bytes))
    }

    /// Reads a cursor back that was made for this query with this key.
    ///
    /// # Errors
    /// [`AuditError::InvalidCursor`] for a cursor of another account, query, direction, range or key, and
    /// for every other text.
    pub fn open(text: &str, query: &Query, key: &CursorKey) -> Result<Position, AuditError> {
        let opened = Opened::open(text, query, key)?;
        let same_range = opened.from == query.from && opened.to == query.to;
        if same_range { Ok(opened.position) } else { Err(AuditError::InvalidCursor) }
    }

    /// Returns the text to hand to the client.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({})", self.0)
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

/// What an authentic cursor holds.
pub(crate) struct Opened {
    position: Position,
    pub(crate) from: Option<Timestamp>,
    pub(crate) to: Option<Timestamp>,
}

impl Opened {
    /// Checks the MAC over everything but the query's range, which the cursor itself carries: a client that
    /// gave no range continues with the one its first page had, however late it asks.
    pub(crate) fn open(text: &str, query: &Query, key: &CursorKey) -> Result<Self, AuditError> {
        Self::checked(text, query, key).ok_or(AuditError::InvalidCursor)
    }

    fn checked(text: &str, query: &Query, key: &CursorKey) -> Option<Self> {
        if text.len() != TEXT_BYTES {
            return None;
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (body, tag) = bytes.split_at_checked(BODY_BYTES)?;
        // A shorter tag would be compared only as far as it goes.
        let tag: &[u8; MAC_BYTES] = tag.try_into().ok()?;
        mac(body, query, key).verify_truncated_left(tag).ok()?;

        let (format, rest) = body.split_first()?;
        let (at, rest) = rest.split_first_chunk()?;
        let (id, rest) = rest.split_first_chunk::<20>()?;
        let (from, rest) = rest.split_first_chunk()?;
        let (to, _) = rest.split_first_chunk()?;
        let time = |bytes: &[u8; 8]| Timestamp::from_unix_millis(u64::from_be_bytes(*bytes)).ok();
        (*format == FORMAT).then_some(())?;
        let position = Position::new(time(at)?, EventId::from_bytes(id).ok()?);
        Some(Self { position, from: time(from), to: time(to) })
    }
}

fn mac(body: &[u8], query: &Query, key: &CursorKey) -> Hmac<Sha256> {
    // HMAC pads a short key with zeros to the hash's block (RFC 2104 §2); done here, it cannot fail.
    let mut block = Zeroizing::new([0; 64]);
    block.iter_mut().zip(key.0.iter()).for_each(|(to, from)| *to = *from);
    let block: &[u8; 64] = &block;
    let mut mac = Hmac::<Sha256>::new(block.into());
    mac.update(b"audit/cursor/1");
    mac.update(body);
    mac.update(&conditions(query));
    mac
}

/// Writes down every condition of the query but its range (which is in the cursor's body) and its limit, so
/// that two different queries never give the same bytes.
fn conditions(query: &Query) -> Vec<u8> {
    // Names every field, so that a new condition cannot be forgotten here.
    let Query { scope, view, order, user, module, kind, outcome, auth_type, ip, from: _, to: _, limit: _ } =
        query;
    let mut out = Vec::new();
    push_part(&mut out, scope.as_str().as_bytes());
    out.push(match view {
        View::Events => 1,
        View::Attempts => 2,
    });
    out.push(match order {
        Order::Descending => 1,
        Order::Ascending => 2,
    });
    let ip = ip.map(|ip| ip.to_canonical().to_string());
    let texts = [
        user.as_ref().map(|user| user.as_str()),
        module.as_deref(),
        kind.map(|kind| kind.code()),
        outcome.map(|outcome| outcome.code()),
        auth_type.as_deref(),
        ip.as_deref(),
    ];
    for text in texts {
        out.push(u8::from(text.is_some()));
        push_part(&mut out, text.unwrap_or_default().as_bytes());
    }
    out
}
