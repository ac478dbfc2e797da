//! Duo as a second factor: the provider [`Duo`] for the engine, and what it is made of, for hosts that speak to Duo
//! themselves.
//!
//! | module | speaks | for |
//! |---|---|---|
//! | [`universal`] | Universal Prompt, OIDC | most hosts: the browser goes to Duo and comes back |
//! | [`auth_api`] | Auth API v2, `/auth/v2/…` | a host that draws its own prompt: push, phone call, SMS, passcode |
//! | [`web`] | Web SDK v2, the signed iframe | interoperation and tests: Duo has not served it since 2024 |
//!
//! What they share is here: [`IntegrationKey`], [`SecretKey`], [`ApplicationKey`], [`ApiHost`] and [`Error`].
//!
//! Nothing in this crate opens a connection, reads a clock or, but for the jitter of the clients' waits, draws
//! randomness. Requests are values of the
//! `http` crate, replies are parsed from such values, and time and random bytes are arguments. The clients,
//! [`auth_api::Client`] and [`universal::Client`], send and wait through the host's own HTTP client and clock.

pub mod auth_api;
mod error;
mod host;
mod kept;
mod keys;
mod percent;
mod provider;
pub mod universal;
pub mod web;

pub use error::{ApiError, ApiErrorClass, Error, HeaderProblem};
pub use host::{ApiHost, ApiHosts};
pub use keys::{ApplicationKey, IntegrationKey, SecretKey};
pub use provider::{Duo, UserNames};
