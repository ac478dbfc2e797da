//! The transports, against servers that we did not write.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_in_result,
    clippy::unwrap_used,
    reason = "a test fails so"
)]

mod folder;
#[cfg(feature = "smtp")]
mod smtp;
mod support;
mod webhook;
#[cfg(feature = "smtp")]
mod wire;
