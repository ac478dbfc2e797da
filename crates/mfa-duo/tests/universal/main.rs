//! The Universal Prompt: what is accepted, what is refused, and what never shows.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the helpers of tests are outside of the functions that clippy knows as tests"
)]

mod callback;
mod client;
mod id_token;
mod login;
mod redaction;
mod replies;
mod support;
