//! Nothing that was written down becomes a grant.

fn read<T: serde::de::DeserializeOwned>() {}

fn main() {
    read::<mfa::Grant>();
}
