//! A message of a challenge that waits in the outbox. A challenge has one at most: its key is the challenge's, and
//! another message takes its place.

use audit_model::{AccountId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{MESSAGE, users_key};
use crate::keyring::{Label, Sealed};
use crate::{Channel, CodecError, Draw, Error, Key, KeyRing, Message, SecretText, Versioned, secret};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QueuedMessage {
    /// The effect of the challenge that it is: sent is only the one that the challenge waits for.
    #[serde(with = "serde_bytes")]
    pub(crate) effect: [u8; 16],
    /// The message, which has the code or the link in it, sealed.
    pub(crate) letter: Sealed,
    /// How often sending was begun.
    pub(crate) attempts: u16,
    /// From when on it may be sent; later than now while somebody is sending it.
    pub(crate) due_at: Timestamp,
}

impl Versioned for QueuedMessage {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 48 * 1024;
}

pub(crate) fn message_key(account: &AccountId, user: &UserId, challenge: &[u8; 16]) -> Key {
    users_key(account, MESSAGE, user, challenge)
}

/// What is sealed: the message, and how the user is called, for a provider that goes on where it is refused.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Letter {
    channel: Channel,
    #[serde(with = "secret::kept::text")]
    to: SecretText,
    subject: Option<String>,
    #[serde(with = "secret::kept::text")]
    body: SecretText,
    pub(crate) label: String,
}

impl Letter {
    pub(crate) fn new(message: &Message, label: &str) -> Self {
        let Message { id: _, channel, to, subject, body } = message.clone();
        Self { channel, to, subject, body, label: label.to_owned() }
    }

    /// Returns the message, under an id that is the effect's: the same each time it is sent.
    pub(crate) fn message(&self, effect: &[u8; 16]) -> Message {
        let Self { channel, to, subject, body, label: _ } = self.clone();
        Message { id: Some(data_encoding::HEXLOWER.encode(effect)), channel, to, subject, body }
    }

    fn most_bytes(&self) -> usize {
        let secrets = [&self.to, &self.body].into_iter().map(|text| text.expose_secret().len());
        let plain = [self.subject.as_ref(), Some(&self.label)].into_iter().flatten().map(String::len);
        secrets.chain(plain).fold(64, usize::saturating_add)
    }
}

/// Whose message it is: what it is sealed for.
#[derive(Clone, Copy)]
pub(crate) struct MessagePlace<'a> {
    pub(crate) account: &'a AccountId,
    pub(crate) user: &'a UserId,
    pub(crate) challenge: &'a [u8; 16],
    pub(crate) effect: &'a [u8; 16],
}

impl MessagePlace<'_> {
    pub(crate) fn seal(self, ring: &KeyRing, letter: &Letter, draw: &mut Draw) -> Result<Sealed, Error> {
        // The bytes are secret, and a buffer that grows leaves copies behind.
        let plain = Vec::with_capacity(letter.most_bytes());
        let plain = postcard::to_extend(letter, plain).map_err(|_| CodecError::Malformed)?;
        let plain = Zeroizing::new(plain);
        Ok(ring.seal(Label::SealMessage, &self.context(), draw.take()?, &plain)?)
    }

    pub(crate) fn open(self, ring: &KeyRing, sealed: &Sealed) -> Result<Letter, Error> {
        let plain = ring.open(Label::SealMessage, &self.context(), sealed)?;
        postcard::from_bytes(plain.expose_secret()).map_err(|_| CodecError::Malformed.into())
    }

    fn context(&self) -> [&[u8]; 6] {
        let (account, user) = (self.account.as_str().as_bytes(), self.user.as_str().as_bytes());
        [b"seal/message", account, user, self.challenge, self.effect, b"1"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_kept_in_the_bytes_of_stored_records() {
        // By hand, after postcard 1: a variant by its number, text behind its length, an option behind 0 or 1.
        let bytes = [&[3, 12][..], b"+49151234567", &[1, 2], b"Hi", &[6], b"012345", &[3], b"bob"].concat();
        let letter: Letter = postcard::from_bytes(&bytes).unwrap();
        let message = letter.message(&[0; 16]);
        assert_eq!((message.channel, letter.label.as_str()), (Channel::Phone, "bob"));
        assert_eq!(message.to.expose_secret(), "+49151234567");
        assert_eq!((message.subject.as_deref(), message.body.expose_secret()), (Some("Hi"), "012345"));
        assert_eq!(postcard::to_allocvec(&letter).unwrap(), bytes);
    }
}
