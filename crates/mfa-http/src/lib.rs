//! The HTTPS client of an engine's providers: one adapter of [`mfa_core::HttpClient`] on `reqwest` and `rustls`.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use std::time::Duration;
//!
//! use mfa_core::{HttpClient as _, HttpFault};
//! use mfa_http::Client;
//!
//! # let key = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
//! # let pem = key.cert.pem();
//! // Only these roots; without the call, those of the operating system.
//! let client = Client::builder().only_roots(pem).build().unwrap();
//!
//! // An address of this machine is refused before anything is sent.
//! let request = http::Request::post("https://127.0.0.1/auth/v2/check").body(Vec::new()).unwrap();
//! let fault = client.send(request, Duration::from_secs(5)).await.unwrap_err();
//! assert_eq!(fault, HttpFault::Refused);
//!
//! // What is not a certificate is no root.
//! let error = Client::builder().only_roots("no pem").build().unwrap_err();
//! assert_eq!(error.code(), "http_roots_invalid");
//! # }
//! ```
//!
//! # What it promises
//!
//! * **https only.** Certificates are always verified, against the roots of the operating system, these and
//!   more ([`ClientBuilder::extra_roots`]), or others alone ([`ClientBuilder::only_roots`]). Nothing turns that
//!   off. The cryptography is `ring`'s.
//! * **Public destinations only.** A name is resolved first, and what leads to this machine, a private network or
//!   another special address is refused ([`is_public`]). Exceptions are made for single authorities, for tests
//!   and development: [`ClientBuilder::allow_private`].
//! * **No redirects, no retries, no cookies, no decompression.** One request, one answer.
//! * **Limits.** The connection takes 5 seconds at most and the whole exchange the caller's deadline. An answer
//!   has at most 100 headers of 32 KiB together and a body of at most 1 MiB
//!   ([`ClientBuilder::max_body_bytes`] lowers it); one that is larger is cut off and counts as no answer.
//! * **Proxies are set, not found.** Environment variables are ignored unless
//!   [`ClientBuilder::proxy_from_environment`] says so.
//! * **An honest fault.** [`NotSent`](mfa_core::HttpFault::NotSent), [`Refused`](mfa_core::HttpFault::Refused) and
//!   [`Tls`](mfa_core::HttpFault::Tls) mean that not a byte of the request left; everything else is
//!   [`Unanswered`](mfa_core::HttpFault::Unanswered). `Refused` is the word for a destination that is not public, a
//!   name that leads to none included: it says nothing about whether a service is there. The cause is a `tracing` event
//!   without URL and address.
//!
//! It needs a tokio runtime with I/O and time.

mod builder;
mod client;
mod destination;
mod error;
mod resolve;

pub use builder::ClientBuilder;
pub use client::Client;
pub use destination::is_public;
pub use error::Error;
pub use resolve::Resolver;
