//! Limits of the parameters and of the window.

use mfa_totp::{Algorithm, Digits, Parameters, Period, Window, parse_code};

#[test]
fn default_is_what_every_app_supports() {
    let parameters = Parameters::default();
    assert_eq!(parameters.algorithm, Algorithm::Sha1);
    assert_eq!(parameters.digits.get(), 6);
    assert_eq!(parameters.period.seconds(), 30);
}

#[test]
fn algorithm_names_are_read_in_any_case() {
    for (text, algorithm) in [
        ("SHA1", Algorithm::Sha1),
        ("sha1", Algorithm::Sha1),
        ("Sha256", Algorithm::Sha256),
        ("SHA512", Algorithm::Sha512),
    ] {
        assert_eq!(text.parse(), Ok(algorithm));
        assert_eq!(algorithm.to_string(), text.to_ascii_uppercase());
    }
    for text in ["", "SHA", "SHA-1", "SHA224", "SHA3", "MD5", "SHA1 ", "ＳＨＡ1"] {
        assert_eq!(text.parse::<Algorithm>().unwrap_err().code(), "invalid_algorithm", "{text:?}");
    }
}

#[test]
fn digits_are_six_to_eight() {
    for digits in 0..=u8::MAX {
        let found = Digits::new(digits);
        assert_eq!(found.is_ok(), [6, 7, 8].contains(&digits), "{digits}");
        assert!(found.is_ok_and(|d| d.get() == digits) || Digits::new(digits).is_err());
    }
    assert_eq!(Digits::new(9).unwrap_err().to_string(), "digits must be 6 to 8");
}

#[test]
fn period_is_15_to_120_seconds() {
    for (seconds, ok) in [(0, false), (14, false), (15, true), (120, true), (121, false)] {
        assert_eq!(Period::from_seconds(seconds).is_ok(), ok, "{seconds}");
    }
    let error = Period::from_seconds(u16::MAX).unwrap_err();
    assert_eq!(error.to_string(), "period must be 15 to 120 seconds");
}

#[test]
fn window_is_one_step_each_way_and_two_back_only_by_name() {
    for back in 0..=u8::MAX {
        for ahead in 0..=u8::MAX {
            let found = Window::new(back, ahead);
            assert_eq!(found.is_ok(), back <= 1 && ahead <= 1, "{back} back, {ahead} ahead");
        }
        assert_eq!(Window::danger_two_back(back).is_ok(), back <= 1, "{back} ahead");
    }
    assert_eq!(Window::default(), Window::new(1, 1).unwrap());
    assert_eq!(Window::danger_two_back(1).unwrap().back(), 2);
    assert_eq!(Window::new(2, 0).unwrap_err().to_string(), "window must be at most 1 step back and 1 ahead");
}

#[test]
fn code_is_exactly_so_many_ascii_digits() {
    for (digits, text) in [(6, "000000"), (7, "0123456"), (8, "99999999")] {
        let code = parse_code(Digits::new(digits).unwrap(), text).unwrap();
        assert_eq!(code.expose_secret(), text);
    }
    for text in [
        "",
        "12345",
        "1234567",
        "12345a",
        "+12345",
        "-12345",
        " 12345",
        "12 345",
        "12345\n",
        "１２３４５６",
        "12345\0",
        "٠١٢",
        "0x1234",
    ] {
        let error = parse_code(Digits::default(), text).unwrap_err();
        assert_eq!(error.code(), "malformed_code", "{text:?}");
        assert_eq!(error.to_string(), "code must be exactly 6 ascii digits");
    }
}
