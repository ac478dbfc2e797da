//! What is secret gets into no document by itself.

fn written<T: serde::Serialize>() {}

fn main() {
    written::<mfa::DeviceToken>();
    written::<mfa::KeptDevice>();
    written::<mfa::TrustedDevice>();
}
