//! What is secret is compared in constant time or not at all.

fn equal(a: &mfa::Choice, b: &mfa::Choice) -> bool {
    a == b
}

fn main() {}
