//! What is secret is compared in constant time or not at all.

fn equal(a: &mfa::SecretText, b: &mfa::SecretText) -> bool {
    a == b
}

fn main() {}
