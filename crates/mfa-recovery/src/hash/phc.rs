//! The text form of a hash: the PHC string format's subset that Argon2 programs write.

use data_encoding::BASE64_NOPAD;
use zeroize::Zeroizing;

use super::{HASH_BYTES, Hash};
use crate::{Cost, Error};

/// Longer text is no hash of this form.
const MAX_BYTES: usize = 160;
/// The lengths of salts that Argon2 programs write, in bytes.
const SALT_BYTES: core::ops::RangeInclusive<usize> = 8..=48;

/// A hash that was read.
pub(super) struct Kept {
    pub(super) cost: Cost,
    pub(super) salt: Vec<u8>,
    pub(super) hash: Hash,
}

/// Writes a hash.
pub(super) fn write(cost: Cost, salt: &[u8], hash: &Hash) -> String {
    let (memory, passes) = (cost.memory_kib(), cost.passes());
    let (salt, hash) = (BASE64_NOPAD.encode(salt), BASE64_NOPAD.encode(hash.as_slice()));
    format!("$argon2id$v=19$m={memory},t={passes},p=1${salt}${hash}")
}

/// Reads a hash.
pub(super) fn parse(text: &str) -> Result<Kept, Error> {
    let invalid = |reason| Error::InvalidHash { reason };
    if text.len() > MAX_BYTES {
        return Err(invalid("is too long"));
    }
    let rest =
        text.strip_prefix("$argon2id$v=19$").ok_or_else(|| invalid("is not of argon2id, version 19"))?;
    let mut parts = rest.split('$');
    let (Some(cost), Some(salt), Some(hash), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(invalid("must have parameters, a salt and a hash"));
    };
    let cost = parameters(cost).ok_or_else(|| invalid("must have parameters of the form m=,t=,p=1"))??;
    let salt = BASE64_NOPAD.decode(salt.as_bytes()).map_err(|_| invalid("has a salt that is not base64"))?;
    if !SALT_BYTES.contains(&salt.len()) {
        return Err(invalid("has a salt of another length"));
    }
    let bytes = BASE64_NOPAD.decode(hash.as_bytes()).map_err(|_| invalid("is not base64"))?;
    let bytes = Zeroizing::new(bytes);
    let hash = bytes.first_chunk().filter(|_| bytes.len() == HASH_BYTES);
    let hash = Zeroizing::new(*hash.ok_or_else(|| invalid("must have 32 bytes"))?);
    Ok(Kept { cost, salt, hash })
}

fn parameters(text: &str) -> Option<Result<Cost, Error>> {
    let mut parts = text.split(',');
    let memory = number(parts.next()?.strip_prefix("m=")?)?;
    let passes = number(parts.next()?.strip_prefix("t=")?)?;
    let one_lane = parts.next()? == "p=1" && parts.next().is_none();
    one_lane.then(|| Cost::of_kept(memory, passes).ok_or(Error::CostTooHigh))
}

/// Decimal digits without a sign or a leading zero.
fn number(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    plain.then(|| text.parse().ok()).flatten()
}
