//! Issuing takes a receipt of the commit, which only the driver makes.

fn main() {
    let _ = mfa::Grant::issue;
}
