//! What is secret is shown only by a call that says so.

fn shown(token: &mfa::DeviceToken) -> String {
    format!("{token}")
}

fn main() {}
