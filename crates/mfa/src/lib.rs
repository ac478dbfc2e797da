#![cfg_attr(docsrs, feature(doc_cfg))]
//! The second step of a login for Rust services.
//!
//! This crate re-exports the parts, so that a host needs one dependency: [`engine`] (the engine and
//! its contracts; also at the top level), [`audit`] (the events), and behind features `totp`, `recovery`,
//! `duo`, `delivery`, `smtp`, `sqlite`, `http` and `tokio` what each names.
//!
//! ```toml
//! mfa = { path = "../mfa/crates/mfa", features = ["sqlite", "tokio", "totp"] }
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
//! ```
//!
//! # A login
//!
//! The host has checked the password. [`Engine::begin`] says what is to come, [`Engine::verify`] judges what the user
//! does, and a [`Grant`] becomes the host's session:
//!
//! ```
//! # #[cfg(all(feature = "tokio", feature = "totp"))]
//! # mod example {
//! use std::sync::Arc;
//!
//! use mfa::totp::{OtpauthUri, Totp, code_at};
//! use mfa::*;
//!
//! type Outcome<T> = Result<T, Box<dyn std::error::Error>>;
//!
//! async fn sign_in(engine: &Engine, clock: &dyn Runtime, user: &Subject, code: &str) -> Outcome<String> {
//!     let session = Some("session-1");
//!     let password = FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, session);
//!     let login = Login::new(user.clone(), password, Module::parse("web")?);
//!     let challenge = match engine.begin(login).await? {
//!         Begin::Challenge(challenge) => challenge,
//!         Begin::NotRequired(why) => return Ok(format!("the password is enough: {}", why.code())),
//!         Begin::Denied(denied) => return Ok(format!("denied: {}", denied.reason.code())),
//!         _ => return Ok("denied: a method must be set up first".to_owned()),
//!     };
//!     Ok(match engine.verify(&challenge.reference, Response::code(code)).await? {
//!         Verify::Verified(grant) => {
//!             let session = grant.redeem(user.account(), user.user(), session, clock.now())?;
//!             format!("{} is signed in", session.user)
//!         }
//!         Verify::Rejected(rejected) => rejected.public().to_owned(),
//!         _ => "not decided yet".to_owned(),
//!     })
//! }
//!
//! # pub(crate) async fn run() -> Outcome<()> {
//! // A service has a store on a disk (feature `sqlite`), and its key elsewhere.
//! let (store, clock, mut key) = (Arc::new(MemoryStore::new()), Arc::new(TokioRuntime::new()), [0; 32]);
//! OsEntropy::new().fill(&mut key)?;
//! let ring = KeyRing::new(KeyId::parse("2026-11")?, key)?;
//! let users = Arc::new(StoredDirectory::new(store.clone(), ring.clone(), clock.clone()));
//! let bob = Subject::new(AccountId::parse("acme")?, UserId::parse("bob")?).with_label("bob@acme.test")?;
//! users.put(&bob).await?;
//! let engine = Engine::builder(store, users, ring, clock.clone()).provider(Totp::new("Acme")?).build().await?;
//! assert_eq!(sign_in(&engine, &*clock, &bob, "").await?, "the password is enough: no_method");
//!
//! // Bob sets up his app, for which his password is enough. The app, here: a program that reads the QR code's text.
//! let password = FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, Some("session-1"));
//! let (totp, right) = (ProviderName::parse("totp")?, Authority::FirstFactor(password));
//! let started = engine.enrol_begin(bob.account(), bob.user(), &totp, &Choice::none(), &right).await?;
//! let app = OtpauthUri::parse(started.revealed.get("uri").ok_or("no uri")?.expose_secret())?;
//! let now = clock.now().unix_seconds();
//! let code = |at| code_at(app.secret(), app.parameters(), at).expose_secret().to_owned();
//! let confirmed = engine.enrol_confirm(&started.reference, &Response::code(&code(now))).await?;
//! assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)));
//!
//! // The code that confirmed is used up. The next one signs him in, once.
//! assert_eq!(sign_in(&engine, &*clock, &bob, &code(now + 30)).await?, "bob is signed in");
//! assert!(sign_in(&engine, &*clock, &bob, &code(now + 30)).await?.starts_with("That did not work."));
//! # Ok(()) }
//! # }
//! # #[cfg(all(feature = "tokio", feature = "totp"))]
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(example::run()).unwrap();
//! ```
//!
//! Users change their methods themselves by [`Authority::FirstFactor`], [`Ticket`](Authority::Ticket) and
//! [`Proof`](Authority::Proof); [`Authority::host_vouched`] is for what the host's own code decides.
//!
//! # Features
//!
//! * `totp` — authenticator apps, `mfa::totp`.
//! * `recovery` — saved recovery codes and keys, `mfa::recovery`.
//! * `duo` — Duo's Universal Prompt, Auth API and Web SDK v2, `mfa::duo`.
//! * `delivery` — what carries codes and links by e-mail and SMS, `mfa::delivery`.
//! * `smtp` — `delivery` with e-mail over SMTP.
//! * `sqlite` — the embedded store, `mfa::sqlite`.
//! * `http` — the HTTPS client of providers that need one, `mfa::http`.
//! * `tokio` — `TokioRuntime`, the clock, timers and slow-work pool of a tokio service.
//!
//! None is on by default, and none changes what the others do.
//!
//! # Reading on
//!
//! [`_design`] says how the parts fit together and what each promises, [`_security`] which attacks each rule
//! stops and which tests hold it.

#[cfg(doc)]
#[doc = include_str!("../docs/design.md")]
pub mod _design {}
#[cfg(doc)]
#[doc = include_str!("../docs/security.md")]
pub mod _security {}
#[cfg(feature = "tokio")]
mod tokio_runtime;

pub use audit_model as audit;
pub use mfa_core as engine;
pub use mfa_core::*;
#[cfg(feature = "duo")]
pub use mfa_duo as duo;
#[cfg(feature = "http")]
pub use mfa_http as http;
#[cfg(feature = "delivery")]
pub use mfa_otp_delivery as delivery;
#[cfg(feature = "recovery")]
pub use mfa_recovery as recovery;
#[cfg(feature = "sqlite")]
pub use mfa_store_sqlite as sqlite;
#[cfg(feature = "totp")]
pub use mfa_totp as totp;
#[cfg(feature = "tokio")]
pub use tokio_runtime::TokioRuntime;
