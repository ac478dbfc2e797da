//! The legacy iframe: Duo's Web SDK v2 ("Traditional Prompt").
//!
//! **Duo has not served this prompt since 2024.** Support ended on 30 March 2024, the last extensions on 30
//! September 2024, and applications made after April 2024 get a set-up error in its place. Use the Universal
//! Prompt, which replaces it. What remains: systems that keep the wire format, such as Kazoo ([`kazoo`]), servers
//! that speak Duo's protocol, and tests.
//!
//! ```text
//! sign_request(user) ─► "TX|…|mac:APP|…|mac" ─► page ─► frame at Duo, as iframe_src says
//! verify_response_for("AUTH|…|mac:APP|…|mac", user) ◄─ form field sig_response ◄┘
//! ```
//!
//! A cookie is `PREFIX|base64(user|ikey|expiry)|hex(HMAC-SHA1(key, PREFIX|base64))`. Duo checks `TX` and signs
//! `AUTH` with the secret key, which it shares; `APP` is signed with the application key, which it does not
//! know, so that Duo alone cannot make a reply.
//!
//! ```
//! use mfa_core::Timestamp;
//! use mfa_duo::web::{Refusal, WebSdk};
//! use mfa_duo::{ApplicationKey, IntegrationKey, SecretKey};
//!
//! let sdk = WebSdk::new(
//!     IntegrationKey::parse("DIXXXXXXXXXXXXXXXXXX")?,
//!     SecretKey::parse("deadbeefdeadbeefdeadbeefdeadbeefdeadbeef")?,
//!     ApplicationKey::parse("useacustomerprovidedapplicationsecretkey")?,
//! )?;
//! let now = Timestamp::from_unix_seconds(1_486_769_808)?;
//! let request = sdk.sign_request("testuser", now)?;
//! assert!(request.expose_secret().starts_with("TX|dGVzdHVzZXJ8"));
//!
//! // What the browser posts: Duo's half and ours.
//! let posted = "AUTH|dGVzdHVzZXJ8RElYWFhYWFhYWFhYWFhYWFhYWFh8MTYxNTcyNzI0Mw==|d20ad0d1e62d84b00a3e74ec201a5917e77b6aef\
//!               :APP|dGVzdHVzZXJ8RElYWFhYWFhYWFhYWFhYWFhYWFh8MTQ4Njc2OTgwOQ==|1f02e643de667f188f409a13b7770dce0a1be777";
//! assert_eq!(sdk.verify_response_for(posted, "testuser", now)?.user(), "testuser");
//! // The same reply, handed in by somebody else, and a second later.
//! assert_eq!(sdk.verify_response_for(posted, "mallory", now).unwrap_err(), Refusal::WrongUser);
//! let later = Timestamp::from_unix_seconds(1_486_769_809)?;
//! assert_eq!(sdk.verify_response_for(posted, "testuser", later).unwrap_err(), Refusal::Expired);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Security
//!
//! * The format is not single-use and names no login. A caller compares the user
//!   ([`verify_response_for`](WebSdk::verify_response_for)), accepts only the `APP` half that it issued
//!   ([`verify_issued`](WebSdk::verify_issued)), and remembers [`Verified::auth_mac`] until
//!   [`Verified::expires_at`].
//! * Cookies are redacted in `Debug`. The address of the frame holds one by its nature; do not log it.

mod cookie;
mod frame;
pub mod kazoo;
mod request;
mod response;

use core::time::Duration;

pub use frame::iframe_src;
pub use request::{SigRequest, official_error};
pub use response::{Refusal, Verified, parse_post};

use crate::{ApplicationKey, Error, IntegrationKey, SecretKey};

/// Signs requests and verifies replies of one integration.
#[derive(Clone, Debug)]
pub struct WebSdk {
    ikey: IntegrationKey,
    skey: SecretKey,
    akey: ApplicationKey,
    duo_expire: Duration,
    app_expire: Duration,
    expiry: Expiry,
}

impl WebSdk {
    /// How long Duo's half is good: 300 s.
    pub const DUO_EXPIRE: Duration = Duration::from_secs(300);
    /// How long our half is good: 3600 s.
    pub const APP_EXPIRE: Duration = Duration::from_secs(3600);

    /// Takes the keys, with the lifetimes and the expiry rule of Duo's SDKs.
    ///
    /// # Errors
    /// [`Error::SameKeys`] if the application key is the secret key: then Duo could make replies alone.
    pub fn new(ikey: IntegrationKey, skey: SecretKey, akey: ApplicationKey) -> Result<Self, Error> {
        if akey.is(&skey) {
            return Err(Error::SameKeys);
        }
        let (duo_expire, app_expire) = (Self::DUO_EXPIRE, Self::APP_EXPIRE);
        Ok(Self { ikey, skey, akey, duo_expire, app_expire, expiry: Expiry::Exclusive })
    }

    /// Sets how long the `TX` or `ENROLL_REQUEST` half is good, in whole seconds.
    #[must_use]
    pub const fn with_duo_expire(mut self, lifetime: Duration) -> Self {
        self.duo_expire = lifetime;
        self
    }

    /// Sets how long the `APP` half is good, in whole seconds.
    #[must_use]
    pub const fn with_app_expire(mut self, lifetime: Duration) -> Self {
        self.app_expire = lifetime;
        self
    }

    /// Sets what the second of expiry counts as.
    #[must_use]
    pub const fn with_expiry(mut self, expiry: Expiry) -> Self {
        self.expiry = expiry;
        self
    }
}

/// What the second that a cookie names as its expiry counts as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expiry {
    /// Expired, as in Duo's SDKs: a cookie is good through the second before.
    #[default]
    Exclusive,
    /// Still good, as in Kazoo's `kz_mfa_duo`: one second longer.
    InclusiveKazoo,
}

impl Expiry {
    /// Returns whether a cookie with `expiry` is over at `now`, both in Unix seconds.
    const fn is_over(self, now: u64, expiry: u64) -> bool {
        match self {
            Self::Exclusive => now >= expiry,
            Self::InclusiveKazoo => now > expiry,
        }
    }
}
