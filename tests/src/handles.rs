//! Handles as only the holder of the root key could make them: authentic, and of somebody else.

use data_encoding::BASE64URL_NOPAD;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::attack::ROOT;

const MAC_BYTES: usize = 32;
const BINDER_BYTES: usize = 32;

/// Returns the text with another secret binder in it, under a mac that holds.
#[must_use]
pub fn of_another_holder(text: &str) -> String {
    remade(text, |payload| {
        let from = payload.len() - BINDER_BYTES;
        payload[from..].iter_mut().for_each(|byte| *byte ^= 0x5a);
    })
}

/// Returns the text written down again as it is: shows that the form is understood here.
#[must_use]
pub fn untouched(text: &str) -> String {
    remade(text, |_| ())
}

/// The form is written here again, from the engine's description of it: the fields, of which the id and the binder
/// are the last, and a mac over all of it.
fn remade(text: &str, change: impl FnOnce(&mut [u8])) -> String {
    let mut bytes = BASE64URL_NOPAD.decode(text.as_bytes()).expect("a handle");
    bytes.truncate(bytes.len() - MAC_BYTES);
    change(&mut bytes);
    let hkdf = Hkdf::<Sha256>::new(Some(b"mfa/ring/1"), &ROOT);
    let mut key = [0; 32];
    hkdf.expand(b"mac/reference", &mut key).expect("a key");
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&key).expect("a mac");
    mac.update(&u32::try_from(bytes.len()).expect("a length").to_be_bytes());
    mac.update(&bytes);
    bytes.extend_from_slice(&mac.finalize().into_bytes());
    BASE64URL_NOPAD.encode(&bytes)
}
