//! References: opaque text that carries every key a step needs for its one read, and the secret binder.

use core::fmt;
use std::sync::Arc;

use audit_model::{AccountId, UserId};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::keyring::{Label, is_same};
use crate::link::Linked;
use crate::{Ancestor, Error, KeyId, KeyRing, KeyRingError, Module, SecretText, Subject};

/// The longest reference, in characters. Longer text is refused before it is decoded.
const MAX_CHARS: usize = 16 * 1024;
const MAC_BYTES: usize = 32;

/// A secret handle of one challenge or one pending enrolment. The host keeps it in the session that passed
/// the first factor, and nowhere else: whoever holds it can answer.
///
/// Its text is format, key id, the ids of account and user with their lineage, module, id and a 256-bit
/// binder, and a mac over all of it, which is checked before any store is read.
#[derive(Clone)]
pub struct Reference(Arc<SecretText>);

impl Reference {
    /// Takes the text that [`Reference::expose_secret`] gave. Nothing is checked here: a text that is not a
    /// reference is answered like an unknown one.
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(Arc::new(SecretText::new(text)))
    }

    /// Returns the text to keep in the session.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reference([redacted])")
    }
}

/// What a reference is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Handle {
    Challenge,
    Enrolment,
    Proof,
    Ticket,
    Invitation,
    Device,
}

/// What a reference says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) format: u8,
    pub(crate) key: KeyId,
    pub(crate) handle: Handle,
    pub(crate) user: UserId,
    pub(crate) lineage: Vec<Ancestor>,
    /// None for what no login comes through.
    pub(crate) module: Option<Module>,
    pub(crate) label: String,
    #[serde(with = "serde_bytes")]
    pub(crate) id: [u8; 16],
    #[serde(with = "serde_bytes")]
    pub(crate) binder: [u8; 32],
    #[serde(skip)]
    pub(crate) holder: Holder,
}

/// What shows that the one who asks holds the challenge.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) enum Holder {
    /// Nothing: it was made here, and is not written down yet.
    #[default]
    Nobody,
    /// The mac of a reference, and with it the binder.
    Reference([u8; 32]),
    /// The host has verified the first factor of this user again, in the session of this hash if it has
    /// sessions.
    Session { session: Option<[u8; 32]>, generation: String },
    /// The outbox, which has a message of the challenge to send.
    Outbox,
    /// A link that was sent: its secret is judged by the provider. It opens and confirms, and nothing else.
    Link,
}

impl Drop for Claims {
    fn drop(&mut self) {
        self.binder.zeroize();
    }
}

impl Claims {
    pub(crate) const FORMAT: u8 = 1;

    /// Makes the claims of a new handle of `subject`.
    pub(crate) fn new(
        ring: &KeyRing,
        handle: Handle,
        subject: &Subject,
        module: Option<&Module>,
        (id, binder): ([u8; 16], [u8; 32]),
    ) -> Self {
        Self {
            format: Self::FORMAT,
            key: ring.active(),
            handle,
            user: subject.user().clone(),
            lineage: subject.lineage().to_vec(),
            module: module.cloned(),
            label: subject.label().to_owned(),
            id,
            binder,
            holder: Holder::Nobody,
        }
    }

    /// Makes the claims of another handle of the same user, under the same key: what stands behind it names one
    /// key only.
    pub(crate) fn another(&self, handle: Handle, (id, binder): ([u8; 16], [u8; 32])) -> Self {
        Self {
            format: Self::FORMAT,
            key: self.key.clone(),
            handle,
            user: self.user.clone(),
            lineage: self.lineage.clone(),
            module: None,
            label: String::new(),
            id,
            binder,
            holder: Holder::Nobody,
        }
    }

    /// Makes the claims of a device's token, which says no more than whose it is: it lies in a browser for weeks.
    pub(crate) fn of_device(
        ring: &KeyRing,
        account: &AccountId,
        user: &UserId,
        (id, binder): ([u8; 16], [u8; 32]),
    ) -> Self {
        Self {
            format: Self::FORMAT,
            key: ring.active(),
            handle: Handle::Device,
            user: user.clone(),
            lineage: vec![Ancestor::new(account.clone())],
            module: None,
            label: String::new(),
            id,
            binder,
            holder: Holder::Nobody,
        }
    }

    /// Speaks for whoever opened a link.
    pub(crate) fn of_link(linked: &Linked) -> Result<Self, KeyRingError> {
        Ok(Self {
            format: Self::FORMAT,
            key: KeyId::parse(&linked.key)?,
            handle: Handle::Challenge,
            user: linked.user.clone(),
            lineage: vec![Ancestor::new(linked.account.clone())],
            module: None,
            label: String::new(),
            id: *linked.challenge.as_bytes(),
            binder: [0; 32],
            holder: Holder::Link,
        })
    }

    /// Speaks for the outbox, about a challenge that it has a message of.
    pub(crate) fn of_outbox(ring: &KeyRing, account: &AccountId, user: &UserId, challenge: [u8; 16]) -> Self {
        Self {
            format: Self::FORMAT,
            key: ring.active(),
            handle: Handle::Challenge,
            user: user.clone(),
            lineage: vec![Ancestor::new(account.clone())],
            module: None,
            label: String::new(),
            id: challenge,
            binder: [0; 32],
            holder: Holder::Outbox,
        }
    }

    pub(crate) fn account(&self) -> Result<&AccountId, Error> {
        let first = self.lineage.first().ok_or(Error::Unavailable("a reference without an account"))?;
        Ok(&first.account)
    }

    /// Writes the reference down.
    pub(crate) fn issue(&mut self, ring: &KeyRing) -> Result<Reference, Error> {
        Ok(Reference(Arc::new(self.issue_text(ring)?)))
    }

    /// Writes the handle down, under the key that it names: the active one when its making began.
    pub(crate) fn issue_text(&mut self, ring: &KeyRing) -> Result<SecretText, Error> {
        // The bytes are secret, and a buffer that grows leaves copies behind.
        let bytes = Vec::with_capacity(self.most_bytes());
        let mut bytes = postcard::to_extend(&*self, bytes).map_err(|_| crate::CodecError::Malformed)?;
        let mac = ring.mac(self.key.as_str(), Label::MacReference, &[&bytes])?;
        bytes.extend_from_slice(&mac);
        let text = BASE64URL_NOPAD.encode(&bytes);
        bytes.as_mut_slice().zeroize();
        self.holder = Holder::Reference(mac);
        Ok(SecretText::new(text))
    }

    /// Returns how many bytes the handle takes at most: its texts, each behind its length, and what is as long in all.
    fn most_bytes(&self) -> usize {
        const FIXED: usize = 1 + 17 + 1 + 34 + 17 + 33 + MAC_BYTES;
        let text = |text: &str| text.len().saturating_add(5);
        let lineage = self.lineage.iter().map(|ancestor| text(ancestor.account.as_str()));
        let texts = [text(self.user.as_str()), text(&self.label), 5];
        texts.into_iter().chain(lineage).fold(FIXED, usize::saturating_add)
    }

    /// Reads a reference. `None` for anything that this ring did not issue; no store is read for it.
    pub(crate) fn read(ring: &KeyRing, reference: &Reference, handle: Handle) -> Option<Self> {
        let text = reference.expose_secret();
        if text.len() > MAX_CHARS {
            return None;
        }
        let bytes = zeroize::Zeroizing::new(BASE64URL_NOPAD.decode(text.as_bytes()).ok()?);
        let (payload, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC_BYTES)?)?;
        let (mut claims, rest) = postcard::take_from_bytes::<Self>(payload).ok()?;
        let holds =
            ring.mac_holds(claims.key.as_str(), Label::MacReference, &[payload], mac).unwrap_or(false);
        claims.holder = Holder::Reference(mac.try_into().ok()?);
        (holds && rest.is_empty() && claims.format == Self::FORMAT && claims.handle == handle)
            .then_some(claims)
    }

    /// Returns whether the one who asks holds what was begun with `binder`, in `session`, by `generation`.
    pub(crate) fn hold(&self, binder: &[u8; 32], session: Option<&[u8; 32]>, generation: &str) -> bool {
        match (&self.holder, session) {
            (Holder::Nobody, _) => false,
            (Holder::Reference(mac), _) => is_same(mac, binder),
            (Holder::Outbox | Holder::Link, _) => true,
            (Holder::Session { generation: given, .. }, _) if given != generation => false,
            (Holder::Session { session: Some(given), .. }, Some(bound)) => is_same(given, bound),
            (Holder::Session { session: None, .. }, None) => true,
            (Holder::Session { .. }, _) => false,
        }
    }

    /// Returns the keyed hash of the binder, which is all that a store keeps of it: the mac of the handle, once it is
    /// written down or read.
    pub(crate) fn binder_hash(&self) -> Result<[u8; 32], Error> {
        match self.holder {
            Holder::Reference(mac) => Ok(mac),
            _ => Err(Error::Unavailable("a handle that is not written down")),
        }
    }
}

/// Returns the keyed hash of a host's session id.
pub(crate) fn session_hash(
    ring: &KeyRing,
    key: &KeyId,
    account: &AccountId,
    user: &UserId,
    session: &SecretText,
) -> Result<[u8; 32], Error> {
    let session = session.expose_secret().as_bytes();
    Ok(ring.mac(
        key.as_str(),
        Label::MacSession,
        &[account.as_str().as_bytes(), user.as_str().as_bytes(), session],
    )?)
}
