//! Recovery codes and keys: how they are read, issued, judged, kept and shown.
#![cfg(test)]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_in_result,
    reason = "a test's own numbers and constants are in range"
)]

mod codes;
mod hash;
mod issue;
mod login;
mod provider_suite;
mod redaction;
mod support;
