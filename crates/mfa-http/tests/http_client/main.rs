//! The client against real servers on loopback.

#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "the helpers of tests are outside of the functions that clippy knows as tests"
)]

mod certificates;
mod destinations;
mod faults;
mod limits;
mod proxy;
mod support;
