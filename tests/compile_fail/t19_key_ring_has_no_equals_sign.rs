//! What is secret is compared in constant time or not at all.

fn equal(a: &mfa::KeyRing, b: &mfa::KeyRing) -> bool {
    a == b
}

fn main() {}
