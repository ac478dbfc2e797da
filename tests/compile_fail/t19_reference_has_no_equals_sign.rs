//! What is secret is compared in constant time or not at all.

fn equal(a: &mfa::Reference, b: &mfa::Reference) -> bool {
    a == b
}

fn main() {}
