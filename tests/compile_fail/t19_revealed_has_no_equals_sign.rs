//! What is secret is compared in constant time or not at all.

fn equal(a: &mfa::Revealed, b: &mfa::Revealed) -> bool {
    a == b
}

fn main() {}
