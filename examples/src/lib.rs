//! What the workspace's examples share.

pub mod duo;
