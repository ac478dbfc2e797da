//! What is secret is compared in constant time or not at all.

fn compared<T: PartialEq>() {}

fn main() {
    compared::<mfa::DeviceToken>();
}
