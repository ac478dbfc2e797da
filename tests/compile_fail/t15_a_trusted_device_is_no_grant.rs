//! A login from a trusted device has proven no second factor.

fn grant(begun: mfa::TrustedDevice) -> mfa::Grant {
    begun
}

fn main() {}
