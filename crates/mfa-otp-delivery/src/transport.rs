//! What carries messages: implementations of [`mfa_core::Transport`].
//!
//! | transport | carries | for |
//! |---|---|---|
#![cfg_attr(
    feature = "smtp",
    doc = "| [`Smtp`](smtp::Smtp) | e-mail | a submission server (RFC 6409), over TLS |"
)]
#![cfg_attr(
    not(feature = "smtp"),
    doc = "| `Smtp`, with the feature `smtp` | e-mail | a submission server (RFC 6409), over TLS |"
)]
//! | [`Webhook`] | text messages | an endpoint of the host's that knows its SMS provider |
//! | [`Folder`] | both | development: files to read |
//! | [`Routed`] | both | one transport for each |
//!
//! None tries again by itself: the engine charges each send, and knows when another one is due. A message for another
//! medium than the transport's is refused as [`Permanent`](mfa_core::NotDelivered::Permanent), since nothing left.

mod folder;
mod routed;
#[cfg(feature = "smtp")]
pub mod smtp;
mod webhook;

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use data_encoding::HEXLOWER;
use mfa_core::Runtime;
use sha2::{Digest, Sha256};

pub use self::folder::Folder;
pub use self::routed::Routed;
pub use self::webhook::Webhook;

/// The longest id of a message that is used as it is.
const MAX_ID_BYTES: usize = 64;

/// Waits for `future`, but no longer than `deadline` by the host's clock; then drops it.
async fn within<F: Future>(runtime: &dyn Runtime, deadline: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut deadline = runtime.sleep(deadline);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        deadline.as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// Returns `id` where it fits into headers and file names, else a digest of it.
fn plain_id(id: &str) -> String {
    let is_plain = (1..=MAX_ID_BYTES).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if is_plain {
        return id.to_owned();
    }
    let mut digest = HEXLOWER.encode(&Sha256::digest(id.as_bytes()));
    digest.truncate(32);
    digest
}
