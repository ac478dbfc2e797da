//! The shim, from outside: its README replayed, lines that are not requests, and several processes on one
//! store.

#[path = "shim/tests/changes.rs"]
mod changes;
#[path = "shim/tests/cluster.rs"]
mod cluster;
#[path = "shim/tests/process.rs"]
mod process;
#[path = "shim/tests/protocol.rs"]
mod protocol;
#[path = "shim/tests/readme.rs"]
mod readme;
