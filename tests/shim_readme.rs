//! The shim, from outside: its README replayed, lines that are not requests, several processes on one store,
//! codes and links, and Duo.

#[path = "shim/tests/changes.rs"]
mod changes;
#[path = "shim/tests/cluster.rs"]
mod cluster;
#[path = "shim/tests/delivery.rs"]
mod delivery;
#[path = "shim/tests/devices.rs"]
mod devices;
#[path = "shim/tests/duo.rs"]
mod duo;
#[path = "shim/tests/duo_vectors.rs"]
mod duo_vectors;
#[path = "shim/tests/process.rs"]
mod process;
#[path = "shim/tests/protocol.rs"]
mod protocol;
#[path = "shim/tests/readme.rs"]
mod readme;
