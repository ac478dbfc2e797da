//! What waits for an answer opens nothing.

fn redeem(pending: mfa::Pending, account: &mfa::AccountId, user: &mfa::UserId, now: mfa::Timestamp) {
    let _ = pending.redeem(account, user, None, now);
}

fn main() {}
