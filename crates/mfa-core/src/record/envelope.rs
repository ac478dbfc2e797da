//! The envelope of every record body: a format byte, the id of the key, the payload and a mac over the key,
//! the version and the payload. A body that was changed, or moved to another key or version, does not open.
//!
//! Whoever can write to the store can put a whole older row back, version and body: that opens. It
//! contradicts the events that the newer row's commits wrote, by their places in its stream.

use crate::keyring::Label;
use crate::{Key, KeyRing, KeyRingError, Version};

/// The problem of a body under a key that this process does not have; others may.
pub(crate) const UNKNOWN_KEY: &str = "unknown_key";

const FORMAT: u8 = 1;
const MAC_BYTES: usize = 32;

/// Wraps `payload` for the record `key` that a commit of `version` puts.
pub(crate) fn wrap(
    ring: &KeyRing,
    key: &Key,
    version: Version,
    payload: &[u8],
) -> Result<Vec<u8>, KeyRingError> {
    let (id, mac) = ring.active_mac(Label::MacRecord, &parts(key, &version.to_bytes(), payload))?;
    let id = id.as_str();
    let mut body = Vec::with_capacity(payload.len().saturating_add(MAC_BYTES).saturating_add(18));
    body.push(FORMAT);
    body.push(u8::try_from(id.len()).map_err(|_| KeyRingError::KeyId)?);
    body.extend_from_slice(id.as_bytes());
    body.extend_from_slice(payload);
    body.extend_from_slice(&mac);
    Ok(body)
}

/// Returns the payload of a stored body, once it is authentic; the problem is a stable word for the log.
pub(crate) fn unwrap<'a>(
    ring: &KeyRing,
    key: &Key,
    version: Version,
    body: &'a [u8],
) -> Result<&'a [u8], &'static str> {
    let (format, rest) = body.split_first().ok_or("empty")?;
    if *format != FORMAT {
        return Err("unknown_format");
    }
    let (length, rest) = rest.split_first().ok_or("truncated")?;
    let (id, rest) = rest.split_at_checked(usize::from(*length)).ok_or("truncated")?;
    let at = rest.len().checked_sub(MAC_BYTES).ok_or("truncated")?;
    let (payload, claimed) = rest.split_at_checked(at).ok_or("truncated")?;
    let id = core::str::from_utf8(id).map_err(|_| "malformed_key_id")?;
    let version = version.to_bytes();
    match ring.mac_holds(id, Label::MacRecord, &parts(key, &version, payload), claimed) {
        Ok(true) => Ok(payload),
        Ok(false) => Err("not_authentic"),
        Err(_) => Err(UNKNOWN_KEY),
    }
}

/// Returns the id of the key that authenticates a body.
pub(crate) fn key_of(body: &[u8]) -> Option<&str> {
    let (length, rest) = body.get(1..)?.split_first()?;
    core::str::from_utf8(rest.get(..usize::from(*length))?).ok()
}

fn parts<'a>(key: &'a Key, version: &'a [u8; 16], payload: &'a [u8]) -> [&'a [u8]; 5] {
    [key.scope.as_str().as_bytes(), key.kind.as_str().as_bytes(), &key.id, version, payload]
}
