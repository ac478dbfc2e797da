//! What is secret is compared in constant time or not at all.

fn equal(a: &mfa::totp::TotpSecret, b: &mfa::totp::TotpSecret) -> bool {
    a == b
}

fn main() {}
