//! What is secret is compared in constant time or not at all.

fn equal(a: &mfa::SecretBytes, b: &mfa::SecretBytes) -> bool {
    a == b
}

fn main() {}
