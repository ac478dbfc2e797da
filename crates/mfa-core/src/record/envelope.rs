//! The envelope of every record body: a format byte, the id of the key, the payload and a mac over the key,
//! the version and the payload. A body that was changed, or moved to another key or version, does not open.
//!
//! Whoever can write to the store can put a whole older row back, version and body: that opens. It
//! contradicts the events that the newer row's commits wrote, by their places in its stream.

use crate::keyring::Label;
use crate::{Key, KeyId, KeyRing, KeyRingError, Version};

const FORMAT: u8 = 1;
const MAC_BYTES: usize = 32;

/// Wraps `payload` for the record `key` that a commit of `version` puts.
pub(crate) fn wrap(
    ring: &KeyRing,
    key: &Key,
    version: Version,
    payload: &[u8],
) -> Result<Vec<u8>, KeyRingError> {
    let id = ring.active();
    let mac = mac(ring, id, key, version, payload)?;
    let mut body = Vec::with_capacity(payload.len().saturating_add(MAC_BYTES).saturating_add(18));
    body.push(FORMAT);
    body.push(u8::try_from(id.as_str().len()).map_err(|_| KeyRingError::KeyId)?);
    body.extend_from_slice(id.as_str().as_bytes());
    body.extend_from_slice(payload);
    body.extend_from_slice(&mac);
    Ok(body)
}

/// Unwraps a stored body; the problem is a stable word for the log.
pub(crate) fn unwrap(
    ring: &KeyRing,
    key: &Key,
    version: Version,
    body: &[u8],
) -> Result<Vec<u8>, &'static str> {
    let (format, rest) = body.split_first().ok_or("empty")?;
    if *format != FORMAT {
        return Err("unknown_format");
    }
    let (length, rest) = rest.split_first().ok_or("truncated")?;
    let (id, rest) = rest.split_at_checked(usize::from(*length)).ok_or("truncated")?;
    let at = rest.len().checked_sub(MAC_BYTES).ok_or("truncated")?;
    let (payload, claimed) = rest.split_at_checked(at).ok_or("truncated")?;
    let id = core::str::from_utf8(id).ok().and_then(|id| KeyId::parse(id).ok()).ok_or("malformed_key_id")?;
    let parts = parts(key, version);
    let parts = [parts.0.as_slice(), &parts.1, payload];
    match ring.mac_holds(&id, Label::MacRecord, &parts, claimed) {
        Ok(true) => Ok(payload.to_vec()),
        Ok(false) => Err("not_authentic"),
        Err(_) => Err("unknown_key"),
    }
}

fn mac(
    ring: &KeyRing,
    id: &KeyId,
    key: &Key,
    version: Version,
    payload: &[u8],
) -> Result<[u8; 32], KeyRingError> {
    let parts = parts(key, version);
    ring.mac(id, Label::MacRecord, &[&parts.0, &parts.1, payload])
}

fn parts(key: &Key, version: Version) -> (Vec<u8>, [u8; 16]) {
    (key.encode(), version.to_bytes())
}
