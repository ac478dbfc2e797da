//! A second step that was asked for has not been taken.

fn grant(challenge: mfa::Challenge) -> mfa::Grant {
    challenge.into()
}

fn main() {}
