//! What the workspace's examples share: how a run ends, a service and its files, Duo, and mail.

mod console;
pub mod duo;
mod failure;
mod files;
mod key;
pub mod mail;
mod service;

pub use console::{ask, say};
pub use failure::Failure;
pub use files::{Files, beside};
pub use key::{checkpoint_key, read_checkpoint_key};
pub use service::{SESSION, Service, refusal, shown};
