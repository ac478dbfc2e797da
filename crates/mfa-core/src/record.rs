//! What the engine keeps in a store: one file a kind of record.

pub(crate) mod challenge;
pub(crate) mod directory;
pub(crate) mod envelope;
pub(crate) mod login;
pub(crate) mod open;
pub(crate) mod pending;
pub(crate) mod vault;

use audit_model::{AccountId, Scope, UserId};

use crate::{ChallengeId, EnrolmentId, Key, RecordKind};

pub(crate) const LOGIN: RecordKind = RecordKind::new("login");
pub(crate) const VAULT: RecordKind = RecordKind::new("vault");
pub(crate) const OPEN: RecordKind = RecordKind::new("open");
pub(crate) const CHALLENGE: RecordKind = RecordKind::new("challenge");
pub(crate) const PENDING: RecordKind = RecordKind::new("pending");
pub(crate) const DIRECTORY_USER: RecordKind = RecordKind::new("directory_user");

/// Addresses the one record of `kind` that a user has.
pub(crate) fn user_key(account: &AccountId, kind: RecordKind, user: &UserId) -> Key {
    Key::new(Scope::Account(account.clone()), kind, user.to_shared_bytes())
}

pub(crate) fn challenge_key(account: &AccountId, id: ChallengeId) -> Key {
    Key::new(Scope::Account(account.clone()), CHALLENGE, *id.as_bytes())
}

/// Addresses a pending enrolment: behind the user's length-prefixed id, so that all of a user's are listed
/// by prefix and no user's id is another's prefix.
pub(crate) fn pending_key(account: &AccountId, user: &UserId, id: EnrolmentId) -> Key {
    let mut bytes = pending_prefix(user);
    bytes.extend_from_slice(id.as_bytes());
    Key::new(Scope::Account(account.clone()), PENDING, bytes)
}

pub(crate) fn pending_prefix(user: &UserId) -> Vec<u8> {
    crate::codec::tuple(&[user.as_str().as_bytes()])
}
