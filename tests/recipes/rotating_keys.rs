//! The code of `docs/recipes/rotating-keys.md`.

use mfa::{Engine, Error, KeyId, KeyRing, KeyRingError, Resealed};

/// 1. On every node: the new key reads from now on, and the old one writes as before.
pub(crate) fn hand_out(ring: &KeyRing, new: &KeyId, root: [u8; 32]) -> Result<(), KeyRingError> {
    ring.add(new.clone(), root)
}

/// 2. On every node, once all of them have done 1: the new key writes.
pub(crate) async fn write_with(engine: &Engine, new: &KeyId) -> Result<(), Error> {
    engine.key_activate(new, "ops", "yearly rotation").await
}

/// 3. On one node, once all of them have done 2: every record moves to the new key, while logins go on.
pub(crate) async fn move_records(engine: &Engine) -> Result<Resealed, Error> {
    engine.reseal().await
}

/// 4. On every node, when nothing needs the old key any more: it leaves the ring. Says `false` while
///    something does.
pub(crate) async fn retire(engine: &Engine, old: &KeyId) -> Result<bool, Error> {
    match engine.key_retire(old, "ops", "yearly rotation").await {
        Ok(()) => Ok(true),
        Err(error) if error.code() == "key_in_use" => Ok(false),
        Err(error) => Err(error),
    }
}
