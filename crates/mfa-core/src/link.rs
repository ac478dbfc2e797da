//! Secure links: their tokens, and what a host shows and answers when one is opened.

use core::fmt;

use audit_model::{AccountId, UserId};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::keyring::{Label, Sealed};
use crate::{
    ChallengeId, Cx, EnrolmentId, KeyRing, KeyedHash, ProviderError, Reference, Rejected, SecretBytes,
    SecretText, secret,
};

/// The longest token, in characters. Longer text is refused before it is decoded.
const MAX_CHARS: usize = 2048;
const SECRET_BYTES: usize = 32;

/// The token of a secure link, as it came with a request. Its text is sealed: nobody reads from it whose link it is,
/// and text that this ring did not seal costs no read of the store.
#[derive(Clone)]
pub struct LinkToken(SecretText);

impl LinkToken {
    /// Takes the text of a link's fragment. Nothing is checked here.
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(SecretText::new(text))
    }

    /// Returns the text.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for LinkToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkToken([redacted])")
    }
}

/// What a link's page shows: the challenge is as it was.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LinkView {
    /// What to show, as the provider defines it: when and where the login began, whether digits are asked for, and
    /// where to go afterwards.
    pub prompt: Value,
    /// Goes into the page's form, and comes back with [`link_confirm`](crate::Engine::link_confirm): a page that was
    /// not opened confirms nothing.
    pub nonce: SecretText,
}

impl LinkView {
    /// The headers that the page is sent with, so that the token does not leak (it is in the fragment, which no
    /// request carries; these keep what is on the page from caches, referrers and search engines).
    pub const HEADERS: [(&'static str, &'static str); 3] = [
        ("Referrer-Policy", "no-referrer"),
        ("Cache-Control", "no-store"),
        ("X-Robots-Tag", "noindex, nofollow"),
    ];
}

/// What came of opening a link.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use]
pub enum LinkOpen {
    /// It can be confirmed.
    Valid(LinkView),
    /// It leads nowhere: unknown, used, replaced or over. One answer for all.
    Rejected(Rejected),
}

/// What shows that whoever confirms a link sits before the page that waits for it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum LinkProof {
    /// Nothing does.
    #[default]
    None,
    /// The browser is the one that passed the first factor: it has the challenge's reference.
    SameBrowser(Reference),
    /// The digits that the waiting page shows were typed.
    Digits(SecretText),
}

/// What came of confirming a link.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use]
pub enum LinkConfirm {
    /// The challenge is verified; whoever holds its reference can [`claim`](crate::Engine::claim) it. What to show
    /// now, as the provider defines it. Never a grant.
    Confirmed(Value),
    /// It is refused.
    Rejected(Rejected),
}

/// What is done with a link, as a provider sees it. Its `Debug` shows nothing of it.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct LinkEvent<'a> {
    /// The secret of the token that was opened; compare it by [`Cx::is_link`](crate::Cx::is_link).
    pub secret: &'a SecretBytes,
    /// What is done.
    pub act: LinkAct<'a>,
}

/// What is done with a link.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum LinkAct<'a> {
    /// Its page is shown: say what it shows by [`Then::Prompt`](crate::Then::Prompt), and keep nothing.
    Open,
    /// It is confirmed.
    Confirm {
        /// By the browser that passed the first factor.
        same_browser: bool,
        /// With these digits.
        digits: Option<&'a SecretText>,
    },
}

impl fmt::Debug for LinkAct<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "Open",
            Self::Confirm { .. } => "Confirm([redacted])",
        })
    }
}

impl fmt::Debug for LinkEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkEvent")
    }
}

/// Where a link leads: what its token says.
#[derive(Serialize, Deserialize)]
pub(crate) struct Linked {
    pub(crate) account: AccountId,
    pub(crate) user: UserId,
    pub(crate) challenge: ChallengeId,
    /// The method that it was sent for.
    pub(crate) method: EnrolmentId,
    #[serde(with = "secret::kept::bytes")]
    pub(crate) secret: SecretBytes,
    /// The key that sealed it.
    #[serde(skip)]
    pub(crate) key: String,
}

impl Linked {
    /// Reads a token. `None` for anything that this ring did not seal.
    pub(crate) fn read(ring: &KeyRing, token: &LinkToken) -> Option<Self> {
        let text = token.expose_secret();
        if text.len() > MAX_CHARS {
            return None;
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (sealed, rest) = postcard::take_from_bytes::<Sealed>(&bytes).ok()?;
        let plain = ring.open(Label::SealLink, &CONTEXT, &sealed).ok()?;
        let linked: Self = postcard::from_bytes(plain.expose_secret()).ok()?;
        rest.is_empty().then(|| Self { key: sealed.key.as_str().to_owned(), ..linked })
    }
}

const CONTEXT: [&[u8]; 2] = [b"seal/link", b"1"];

impl Cx<'_> {
    /// Makes the token of a link to this step, and the hash by which its secret is known again.
    ///
    /// # Errors
    /// [`ProviderError`] if there are no random bytes or the key is gone.
    pub fn link(&mut self) -> Result<(LinkToken, KeyedHash), ProviderError> {
        let secret = Zeroizing::new(self.entropy.take::<SECRET_BYTES>()?);
        let hash = self.keyed_hash(&[b"link", &*secret])?;
        let ring = self.keyed.ok_or(ProviderError::Keys)?.ring;
        let linked = Linked {
            account: self.account.clone(),
            user: self.user.clone(),
            challenge: self.challenge,
            method: self.enrolment,
            secret: SecretBytes::new(secret.to_vec()),
            key: String::new(),
        };
        let plain = Zeroizing::new(postcard::to_allocvec(&linked).map_err(|_| crate::CodecError::Malformed)?);
        let nonce = self.entropy.take()?;
        let sealed = ring.seal(Label::SealLink, &CONTEXT, nonce, &plain).map_err(|_| ProviderError::Keys)?;
        let bytes = postcard::to_allocvec(&sealed).map_err(|_| crate::CodecError::Malformed)?;
        Ok((LinkToken::from_text(BASE64URL_NOPAD.encode(&bytes)), hash))
    }

    /// Returns whether `hash` is that of the secret of a link of this step.
    ///
    /// # Errors
    /// [`ProviderError::Keys`] if the key is gone.
    pub fn is_link(&self, hash: &KeyedHash, secret: &SecretBytes) -> Result<bool, ProviderError> {
        self.is_keyed_hash(hash, &[b"link", secret.expose_secret()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_token_says_has_the_bytes_of_tokens_that_were_sent() {
        // By hand, after postcard 1: text, ids and the secret behind their lengths.
        let ids = [&[16][..], &[1; 16], &[16], &[2; 16]].concat();
        let bytes = [&[4][..], b"acme", &[3], b"bob", &ids, &[32], &[9; 32]].concat();
        let linked: Linked = postcard::from_bytes(&bytes).unwrap();
        assert_eq!((linked.account.as_str(), linked.user.as_str()), ("acme", "bob"));
        assert_eq!(
            (linked.challenge, linked.method),
            (ChallengeId::from_bytes([1; 16]), EnrolmentId::from_bytes([2; 16]))
        );
        assert_eq!(linked.secret.expose_secret(), [9; 32]);
        assert_eq!(postcard::to_allocvec(&linked).unwrap(), bytes);
    }
}
