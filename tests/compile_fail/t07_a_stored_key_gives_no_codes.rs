//! What a provider keeps of an app's secret can be kept and nothing else.

fn secret(key: &mfa::totp::TotpKey) -> &[u8] {
    &key.secret
}

fn main() {}
