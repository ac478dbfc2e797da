#![cfg_attr(docsrs, feature(doc_cfg))]
//! The second step of a login for Rust services.
//!
//! This crate re-exports the parts, so that a host needs one dependency: [`engine`] (the engine and
//! its contracts; also at the top level), [`audit`] (the events), and behind features `totp`, `recovery`,
//! `duo`, `delivery`, `smtp`, `sqlite`, `http` and `tokio` what each names.
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
