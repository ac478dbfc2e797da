//! What the two examples with Duo share: the Duo that is asked, the service that asks it, and how a run ends.

mod failure;
mod peer;
mod service;

pub use failure::{Failure, say};
pub use peer::Peer;
pub use service::{MODULE, SESSION, Service, refusal};
