//! The decision that judges a code is not to be had without the commit that uses it.

use mfa::engine::decide::judge::judge;

fn main() {}
