//! What is secret is compared in constant time or not at all.

fn equal(a: &mfa::Answer, b: &mfa::Answer) -> bool {
    a == b
}

fn main() {}
