//! A grant is made by the engine alone.

fn build(ring: mfa::KeyRing) -> mfa::Grant {
    mfa::Grant { ring }
}

fn main() {}
