//! What is secret is compared in constant time or not at all.

fn equal(a: &mfa::totp::TotpKey, b: &mfa::totp::TotpKey) -> bool {
    a == b
}

fn main() {}
