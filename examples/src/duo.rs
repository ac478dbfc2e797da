//! What the two examples with Duo share: the Duo that is asked, and the service that asks it.

mod open;
mod peer;

pub use open::open;
pub use peer::Peer;
