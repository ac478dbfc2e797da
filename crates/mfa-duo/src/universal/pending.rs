//! What is kept between the steps of a login.

use core::fmt;

use mfa_core::{ChallengeId, HttpReply, SecretText, Timestamp};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::{AuthorizationCode, Callback, Claims, OAuthError, Universal};
use crate::Error;

/// A login whose browser is at Duo. It is spent by the callback: what comes of it is an [`Arrival`].
///
/// It serialises so that it can be a challenge's state. Forget it durably **before** the code is exchanged: then a
/// callback counts once, whatever crashes.
#[derive(Clone, Serialize, Deserialize)]
pub struct PendingLogin {
    username: String,
    #[serde(with = "crate::kept")]
    state: SecretText,
    #[serde(with = "crate::kept")]
    nonce: SecretText,
    client_id: String,
    redirect_uri: String,
    challenge: ChallengeId,
    expires_at: Timestamp,
}

/// What a callback means for a login.
#[derive(Debug)]
#[non_exhaustive]
pub enum Arrival {
    /// It is this login's: exchange the code.
    Code(AuthorizationCode, Exchange),
    /// It is this login's, and Duo or the user refused. The login is over.
    Refused(OAuthError),
    /// It is this login's and comes too late. The login is over.
    Expired,
    /// It is this login's, but client id or redirect URI have changed meanwhile. The login is over.
    Reconfigured,
    /// It is not this login's: its state or the challenge is another. The login goes on.
    Foreign(PendingLogin),
}

impl PendingLogin {
    pub(super) fn new(
        universal: &Universal,
        username: &str,
        state: SecretText,
        nonce: SecretText,
        challenge: ChallengeId,
        expires_at: Timestamp,
    ) -> Self {
        let (client_id, redirect_uri) =
            (universal.client_id.as_str().to_owned(), universal.redirect_uri.clone());
        Self { username: username.to_owned(), state, nonce, client_id, redirect_uri, challenge, expires_at }
    }

    /// Returns the state, by which a host without sessions finds the login of a callback.
    #[must_use]
    pub fn expose_state(&self) -> &str {
        self.state.expose_secret()
    }

    /// Judges a callback that arrived for `challenge`. The state is compared in constant time and before everything
    /// else, so that a foreign callback, one with an error too, ends nothing. Expiry is exclusive.
    #[must_use]
    pub fn accept(
        self,
        universal: &Universal,
        callback: Callback,
        challenge: ChallengeId,
        now: Timestamp,
    ) -> Arrival {
        let (ours, theirs) = (self.state.expose_secret(), callback.state.expose_secret());
        let same_state: bool = ours.as_bytes().ct_eq(theirs.as_bytes()).into();
        if !same_state || self.challenge != challenge {
            return Arrival::Foreign(self);
        }
        if now >= self.expires_at {
            return Arrival::Expired;
        }
        if self.client_id != universal.client_id.as_str() || self.redirect_uri != universal.redirect_uri {
            return Arrival::Reconfigured;
        }
        match callback.answer {
            Ok(code) => Arrival::Code(code, Exchange { username: self.username, nonce: self.nonce }),
            Err(error) => Arrival::Refused(error),
        }
    }
}

impl fmt::Debug for PendingLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingLogin")
            .field("challenge", &self.challenge)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// A login whose code is being exchanged: what the id token must say. The code is not in it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Exchange {
    username: String,
    #[serde(with = "crate::kept")]
    nonce: SecretText,
}

impl Exchange {
    /// Reads the reply to [`Universal::token_request`] and verifies the id token in it.
    ///
    /// # Errors
    /// As [`Universal::token_response`] and [`Universal::verify_id_token`].
    pub fn finish(self, universal: &Universal, reply: &HttpReply, now: Timestamp) -> Result<Claims, Error> {
        let token = Universal::token_response(reply)?;
        let nonce = Some(self.nonce.expose_secret());
        Ok(universal.verify_id_token(token.expose_secret(), &self.username, nonce, now)?)
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}
