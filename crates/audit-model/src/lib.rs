//! Audit events that commit with the state they describe.
//!
//! An [`Event`] is built with [`EventBuilder`], carries a hash over everything it says, and holds its
//! personal values beside that hash, so that they can be erased later while the log still verifies.
//! A store writes events in the same transaction as the records they speak of, and serves them through
//! [`AuditLog`]. This crate knows nothing of multi-factor authentication.
//!
//! ```
//! use audit_model::{AccountId, EventBuilder, EventId, Kind, Outcome, Scope, Timestamp};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let at = Timestamp::from_unix_seconds(1_487_814_038)?;
//! let scope = Scope::Account(AccountId::parse("acme")?);
//! let event = EventBuilder::new(scope, Kind::AnswerRejected, Outcome::Failure, at)
//!     .reason("wrong_code")
//!     .ip("10.1.0.2".parse()?)
//!     .build(EventId::new(at, [7; 16]), [9; 16])?;
//! assert!(event.hash_holds());
//!
//! // An id that breaks the form is refused, and the error names what is wrong with it.
//! assert_eq!(AccountId::parse(" acme").unwrap_err().code(), "invalid_account_id");
//! # Ok(()) }
//! ```
//!
//! # Tamper evidence
//!
//! Hashes alone prove nothing to whoever fears that the store itself was written to: they can be made anew.
//! [`Checkpoints`] fixes the log under a [`CheckpointKey`] that the store does not have, every minute or every
//! thousand events, and the host keeps the newest [`Checkpoint`] where the store's writers cannot reach it. A
//! [`Verifier`] then finds what was changed, taken out or put in, in the store or in a log that was
//! [exported](mod@export). What no checkpoint covered yet when it was changed is not found, but for what its
//! stream tells.
//!
//! Who has the key may drop months that were kept long enough ([`Retain`]): of each event stays what proves the others.

mod address;
mod attempts;
mod checkpoint;
mod checkpoints;
mod cursor;
mod error;
mod event;
pub mod export;
mod ids;
mod kind;
mod log;
mod page;
mod reply;
mod retention;
mod time;
mod verifier;
mod wire;

#[cfg(test)]
mod tests;

pub use address::parse_address;
pub use attempts::AttemptsQuery;
pub use checkpoint::{Checkpoint, CheckpointKey};
pub use checkpoints::{Checkpoints, Leaf};
pub use cursor::{Cursor, CursorKey};
pub use error::{AuditError, IdError, TimeError};
pub use event::{Attempt, Event, EventBuilder, Personal, StoredEvent, Stream};
pub use ids::{AccountId, EventId, Scope, UserId};
pub use kind::{Kind, KindInfo, Outcome};
pub use log::{AuditLog, Order, Position, Query, View};
pub use page::{Page, all, page};
pub use reply::ErrorReply;
pub use retention::{Dropped, Retain, Retention};
pub use time::{GREGORIAN_OFFSET_SECONDS, Timestamp};
pub use verifier::{Flaw, Problem, Report, Spot, Verifier};
pub use wire::{AttemptRow, MULTI_FACTOR, Profile};
