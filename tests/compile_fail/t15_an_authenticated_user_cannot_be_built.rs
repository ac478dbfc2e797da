//! Only a redeemed grant says who is logged in.

fn build(account: mfa::AccountId, user: mfa::UserId, evidence: mfa::Evidence) -> mfa::Authenticated {
    mfa::Authenticated { account, user, evidence }
}

fn main() {}
