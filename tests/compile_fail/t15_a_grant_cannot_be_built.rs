//! A grant is made by the engine alone.

fn build(evidence: mfa::Evidence) -> mfa::Grant {
    mfa::Grant { evidence }
}

fn main() {}
