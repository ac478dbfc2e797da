//! What the engine keeps in a store: one file a kind of record.

pub(crate) mod account;
pub(crate) mod api_key;
pub(crate) mod challenge;
pub(crate) mod configurations;
pub(crate) mod destination;
pub(crate) mod device;
pub(crate) mod directory;
pub(crate) mod document;
pub(crate) mod envelope;
pub(crate) mod exemptions;
pub(crate) mod identity;
pub(crate) mod login;
pub(crate) mod message;
pub(crate) mod notice;
pub(crate) mod open;
pub(crate) mod pending;
pub(crate) mod prefix;
pub(crate) mod proof;
pub(crate) mod stream;
pub(crate) mod vault;

use audit_model::{AccountId, Scope, UserId};

use crate::{ChallengeId, Key, RecordKind};

pub(crate) const LOGIN: RecordKind = RecordKind::new("login");
pub(crate) const VAULT: RecordKind = RecordKind::new("vault");
pub(crate) const OPEN: RecordKind = RecordKind::new("open");
pub(crate) const CHALLENGE: RecordKind = RecordKind::new("challenge");
pub(crate) const PENDING: RecordKind = RecordKind::new("pending");
pub(crate) const PROOF: RecordKind = RecordKind::new("proof");
pub(crate) const TICKET: RecordKind = RecordKind::new("ticket");
pub(crate) const INVITATION: RecordKind = RecordKind::new("invitation");
pub(crate) const NOTICE: RecordKind = RecordKind::new("notice");
pub(crate) const MESSAGE: RecordKind = RecordKind::new("message");

pub(crate) const DESTINATION: RecordKind = RecordKind::new("destination");
pub(crate) const DESTINATION_NOTICES: RecordKind = RecordKind::new("destination_notices");
pub(crate) const ACCOUNT_MESSAGES: RecordKind = RecordKind::new("account_messages");
pub(crate) const ACCOUNT_NOTICES: RecordKind = RecordKind::new("account_notices");
pub(crate) const PREFIX_MESSAGES: RecordKind = RecordKind::new("prefix_messages");
pub(crate) const DEVICE: RecordKind = RecordKind::new("device");
pub(crate) const DIRECTORY_USER: RecordKind = RecordKind::new("directory_user");

pub(crate) const API_KEY: RecordKind = RecordKind::new("api_key");
pub(crate) const API_KEY_HINT: RecordKind = RecordKind::new("api_key_hint");
pub(crate) const IDENTITY: RecordKind = RecordKind::new("identity");

/// Every kind of record that this crate writes.
pub(crate) const KINDS: [RecordKind; 24] = [
    LOGIN,
    VAULT,
    OPEN,
    CHALLENGE,
    PENDING,
    PROOF,
    TICKET,
    INVITATION,
    NOTICE,
    MESSAGE,
    DEVICE,
    exemptions::EXEMPTIONS,
    DESTINATION,
    DESTINATION_NOTICES,
    DIRECTORY_USER,
    ACCOUNT_MESSAGES,
    ACCOUNT_NOTICES,
    PREFIX_MESSAGES,
    document::SETTINGS,
    document::POLICY,
    configurations::CONFIGURATIONS,
    API_KEY,
    API_KEY_HINT,
    IDENTITY,
];

/// Addresses the one record of `kind` that a user has.
pub(crate) fn user_key(account: &AccountId, kind: RecordKind, user: &UserId) -> Key {
    Key::new(Scope::Account(account.clone()), kind, user.to_shared_bytes())
}

pub(crate) fn challenge_key(account: &AccountId, id: ChallengeId) -> Key {
    Key::new(Scope::Account(account.clone()), CHALLENGE, *id.as_bytes())
}

/// Addresses a record of which a user may have several: behind the user's length-prefixed id, so that all of a
/// user's are listed by prefix and no user's id is another's prefix.
pub(crate) fn users_key(account: &AccountId, kind: RecordKind, user: &UserId, id: &[u8; 16]) -> Key {
    let mut bytes = users_prefix(user);
    bytes.extend_from_slice(id);
    Key::new(Scope::Account(account.clone()), kind, bytes)
}

pub(crate) fn users_prefix(user: &UserId) -> Vec<u8> {
    crate::codec::tuple(&[user.as_str().as_bytes()])
}

/// Returns the user whose record this is, of a kind of which a user may have several.
pub(crate) fn user_of(key: &Key) -> Option<UserId> {
    let (length, rest) = key.id.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    UserId::parse(core::str::from_utf8(rest.get(..length)?).ok()?).ok()
}
