//! What the two examples with e-mail share: where mail goes, and the service that sends it.

mod open;
mod post;
mod sink;
mod smtp_url;

pub use open::{bob, code_in, link_in, links, open, set_up};
pub use post::Post;
pub use sink::MailSink;
