//! The Universal Prompt (OIDC authorization code flow, "Web SDK v4"): the browser goes to Duo, the user answers
//! there, and the browser comes back with a code that is worth one signed result.
//!
//! ```
//! use std::time::Duration;
//!
//! use mfa_core::{ChallengeId, Timestamp};
//! use mfa_duo::universal::{Arrival, Callback, Universal};
//! use mfa_duo::{ApiHost, IntegrationKey, SecretKey};
//!
//! let duo = Universal::new(
//!     IntegrationKey::parse("DIXXXXXXXXXXXXXXXXXX")?,
//!     SecretKey::parse("deadbeefdeadbeefdeadbeefdeadbeefdeadbeef")?,
//!     ApiHost::parse("api-xxxxxxxx.duosecurity.com")?,
//!     "https://www.example.com/duo",
//! )?;
//!
//! // Begin: send the browser to the URL and keep `pending`.
//! # let (random, jti, challenge) = ([7; 64], [8; 18], ChallengeId::from_random([9; 16]));
//! let now = Timestamp::from_unix_seconds(1_700_000_000)?;
//! let (url, pending) = duo.begin("ann", challenge, now.plus(Duration::from_secs(300)), &random, now)?;
//! assert!(url.expose_secret().starts_with("https://api-xxxxxxxx.duosecurity.com/oauth/v1/authorize?"));
//!
//! // A callback of another login is refused and takes nothing away.
//! let foreign = Callback::parse("state=deadbeefdeadbeefdead&duo_code=1234")?;
//! let Arrival::Foreign(pending) = pending.accept(&duo, foreign, challenge, now) else { panic!("accepted") };
//!
//! // Ours carries the state. Forget `pending` durably, then ask Duo what the code is worth.
//! # let state = pending.expose_state().to_owned();
//! let callback = Callback::parse(&format!("state={state}&duo_code=1234"))?;
//! let Arrival::Code(code, exchange) = pending.accept(&duo, callback, challenge, now) else {
//!     panic!("refused");
//! };
//! let request = duo.token_request(&code, &jti, now);
//! assert_eq!(request.uri().path(), "/oauth/v1/token");
//! # let reply = http::Response::builder().status(400).body(br#"{"error":"invalid_grant"}"#.to_vec())?;
//! // The reply to the request: claims that were checked, or an error.
//! let error = exchange.finish(&duo, &reply, now).unwrap_err();
//! assert_eq!(error.code(), "duo_invalid_grant");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is checked
//!
//! * The callback: its state in constant time, that it belongs to this challenge and configuration, and its expiry.
//!   A [`PendingLogin`] is spent by value.
//! * The id token: HS512 and nothing else, signature, issuer, audience, times with a leeway of 60 seconds, the user
//!   name exactly, the nonce, and that the result is `allow`, which Duo's own SDKs leave to their callers.
//!
//! The nonce stands in the signed request and, because Duo lets it win there, in the query too. Who changes it in the
//! browser gets an id token that does not fit.
//!
//! [`Client`] sends the two requests. Everything else is pure: time and random bytes are arguments.

mod authorize;
mod callback;
mod client;
mod config;
mod error;
mod form;
mod id_token;
mod jwt;
mod pending;
mod token;

pub use callback::{AuthorizationCode, Callback};
pub use client::Client;
pub use config::Universal;
pub use error::{OAuthError, OAuthErrorKind};
pub use id_token::{Claims, IdTokenError};
pub use pending::{Arrival, Exchange, PendingLogin};
