//! The URL that the browser is sent to.

use data_encoding::HEXLOWER;
use mfa_core::{ChallengeId, SecretText, Timestamp};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{PendingLogin, Universal, jwt};
use crate::{Error, percent};

/// How long a request or an assertion is good, in seconds: the most that Duo takes.
pub(super) const LIFETIME_SECONDS: u64 = 300;
const MAX_USERNAME_BYTES: usize = 1024;

#[derive(Serialize)]
struct Request<'a> {
    scope: &'static str,
    redirect_uri: &'a str,
    client_id: &'a str,
    iss: &'a str,
    aud: &'a str,
    exp: u64,
    state: &'a str,
    response_type: &'static str,
    duo_uname: &'a str,
    use_duo_code_attribute: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

impl Universal {
    /// Begins a login: returns the URL for the browser and what to keep until it comes back.
    ///
    /// `username` is the user's name at Duo. `expires_at` is when a callback comes too late; the URL itself is good
    /// for five minutes. Of `random`, one half becomes the state, the other the nonce, in hexadecimal digits; they
    /// must be fresh and unpredictable.
    ///
    /// # Errors
    /// [`Error::Parameter`] named `username` if that is empty, longer than 1,024 bytes or has control characters.
    pub fn begin(
        &self,
        username: &str,
        challenge: ChallengeId,
        expires_at: Timestamp,
        random: &[u8; 64],
        now: Timestamp,
    ) -> Result<(SecretText, PendingLogin), Error> {
        let (state, nonce) = random.split_at(32);
        let state = Zeroizing::new(HEXLOWER.encode(state));
        let nonce = Zeroizing::new(HEXLOWER.encode(nonce));
        let url = self.create_auth_url(username, &state, Some(&nonce), now)?;
        Ok((url, PendingLogin::new(self, username, state.into(), nonce.into(), challenge, expires_at)))
    }

    /// Makes the URL for a state and a nonce of the caller's; [`begin`](Self::begin) draws them and keeps track.
    ///
    /// The URL holds the state and belongs in the browser's `Location` alone, not in logs.
    ///
    /// # Errors
    /// [`Error::Parameter`] named `state` or `nonce` if that is not 16 to 1,024 printable ASCII characters, and as
    /// for [`begin`](Self::begin).
    pub fn create_auth_url(
        &self,
        username: &str,
        state: &str,
        nonce: Option<&str>,
        now: Timestamp,
    ) -> Result<SecretText, Error> {
        check_username(username)?;
        check_random("state", state)?;
        nonce.map_or(Ok(()), |nonce| check_random("nonce", nonce))?;

        let client_id = self.client_id.as_str();
        let mut url = Zeroizing::new(String::with_capacity(1024));
        url.push_str(&self.audience);
        url.push_str("/oauth/v1/authorize?response_type=code&client_id=");
        percent::encode_into(&mut url, client_id);
        url.push_str("&request=");
        // Base64url and dots need no encoding.
        let request = Request {
            scope: "openid",
            redirect_uri: &self.redirect_uri,
            client_id,
            iss: client_id,
            aud: &self.audience,
            exp: now.unix_seconds().saturating_add(LIFETIME_SECONDS),
            state,
            response_type: "code",
            duo_uname: username,
            use_duo_code_attribute: true,
            nonce,
        };
        jwt::sign_into(&mut url, &self.client_secret, &request);
        if let Some(nonce) = nonce {
            url.push_str("&nonce=");
            percent::encode_into(&mut url, nonce);
        }
        Ok(url.into())
    }
}

pub(super) fn check_random(name: &'static str, text: &str) -> Result<(), Error> {
    if (16..=1024).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(Error::Parameter { name, reason: "must have 16 to 1024 printable ascii characters" })
    }
}

fn check_username(username: &str) -> Result<(), Error> {
    if username.is_empty() || username.len() > MAX_USERNAME_BYTES || username.chars().any(char::is_control) {
        let reason = "must have 1 to 1024 bytes without control characters";
        return Err(Error::Parameter { name: "username", reason });
    }
    Ok(())
}
