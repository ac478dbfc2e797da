//! No secret, code, label or refused value in any `Debug` or error.

use mfa_totp::{Background, Digits, Error, OtpauthUri, Parameters, TotpSecret, code_at, parse_code};

const SECRET: [u8; 20] = *b"12345678901234567890";
const B32: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

#[test]
fn debug_of_every_secret_type_is_redacted() {
    let uri = OtpauthUri::new(
        "Example",
        "ann@example.com",
        TotpSecret::from_entropy(SECRET),
        Parameters::default(),
    )
    .unwrap();
    let code = code_at(uri.secret(), Parameters::default(), 30);
    let texts = [
        format!("{:?}", uri.secret()),
        format!("{:?}", uri.secret().to_base32()),
        format!("{uri:?}"),
        format!("{uri:#?}"),
        format!("{:?}", uri.to_uri()),
        format!("{:?}", uri.to_qr_svg().unwrap()),
        format!("{:?}", uri.to_qr_text(Background::Dark).unwrap()),
        format!("{code:?}"),
        format!("{:?}", parse_code(Digits::default(), "287082")),
    ];
    for text in texts {
        assert!(text.contains("[redacted]"), "{text}");
        for leak in [B32, "GEZDG", "12345", "49, 50", "287082", "ann@example.com", "█", "<svg"] {
            assert!(!text.contains(leak), "{leak} in {text}");
        }
    }
}

#[test]
fn errors_do_not_repeat_the_value() {
    const MARK: &str = "QXMARKXQ";
    let bad_uris = [
        format!("{MARK}://totp/ann?secret={B32}"),
        format!("otpauth://{MARK}/ann?secret={B32}"),
        format!("otpauth://totp/ann?secret={MARK}"),
        format!("otpauth://totp/ann?secret={MARK}0{B32}"),
        format!("otpauth://totp/{MARK}:a:b?secret={B32}"),
        format!("otpauth://totp/{MARK}%zz?secret={B32}"),
        format!("otpauth://totp/{MARK}:ann?secret={B32}&issuer=other"),
        format!("otpauth://totp/ann?secret={B32}&issuer={MARK}%3A"),
        format!("otpauth://totp/ann?secret={B32}&algorithm={MARK}"),
        format!("otpauth://totp/ann?secret={B32}&digits={MARK}"),
        format!("otpauth://totp/ann?secret={B32}&period={MARK}"),
        format!("otpauth://totp/ann?secret={B32}&secret={MARK}"),
    ];
    let mut errors: Vec<Error> = bad_uris.iter().filter_map(|uri| OtpauthUri::parse(uri).err()).collect();
    assert_eq!(errors.len(), bad_uris.len(), "every one is refused");
    errors.extend(parse_code(Digits::default(), MARK).err());
    errors.extend(TotpSecret::from_base32(MARK).err());
    for error in errors {
        let text = format!("{error} {error:?} {}", error.code());
        assert!(!text.contains(MARK) && !text.contains("GEZDG"), "{text}");
    }
}
