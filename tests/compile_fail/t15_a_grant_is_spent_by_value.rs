//! A grant that was redeemed, or refused, is gone.

fn twice(grant: mfa::Grant, account: &mfa::AccountId, user: &mfa::UserId, now: mfa::Timestamp) {
    let _ = grant.redeem(account, user, Some("mine"), now);
    let _ = grant.redeem(account, user, Some("mine too"), now);
}

fn main() {}
