//! `otpauth` URIs, out and in.

use std::collections::HashMap;

use mfa_totp::{Algorithm, Digits, Error, OtpauthUri, Parameters, Period, TotpSecret};
use proptest::prelude::*;
use url::Url;

const B32: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn secret() -> TotpSecret {
    TotpSecret::from_entropy(*b"12345678901234567890")
}

fn uri(issuer: &str, account: &str) -> Result<OtpauthUri, Error> {
    OtpauthUri::new(issuer, account, secret(), Parameters::default())
}

fn code_of(result: Result<OtpauthUri, Error>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "ok")
}

fn parsed(uri: &str) -> &'static str {
    code_of(OtpauthUri::parse(uri))
}

fn any_label(max_bytes: usize) -> impl Strategy<Value = String> {
    // Text with everything that has a meaning in URIs in it, and plain Unicode.
    let text = prop_oneof!["[a-z%&?#/=+@. é漢🔑~\"<>\\\\|-]{1,40}", "\\PC{1,40}"];
    text.prop_filter("not a label", move |text| {
        text.len() <= max_bytes
            && !text.contains(':')
            && !text.contains(char::is_control)
            && text.trim() == text
    })
}

fn any_parameters() -> impl Strategy<Value = Parameters> {
    let algorithm = prop::sample::select(vec![Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512]);
    (algorithm, 6..=8_u8, 15..=120_u16).prop_map(|(algorithm, digits, seconds)| {
        Parameters::new(
            algorithm,
            Digits::new(digits).unwrap_or_default(),
            Period::from_seconds(seconds).unwrap_or_default(),
        )
    })
}

#[test]
fn everything_but_unreserved_characters_is_encoded() {
    let uri = uri("A/B & C?", "a%b#c+d=e@f 🔑").unwrap();
    assert_eq!(
        uri.to_uri().expose_secret(),
        format!(
            "otpauth://totp/A%2FB%20%26%20C%3F:a%25b%23c%2Bd%3De%40f%20%F0%9F%94%91\
             ?secret={B32}&issuer=A%2FB%20%26%20C%3F&algorithm=SHA1&digits=6&period=30"
        )
    );
}

#[test]
fn issuer_and_label_have_limits_and_no_colon() {
    for (text, reason) in [
        ("", "is empty"),
        ("a:b", "has a colon"),
        (" a", "begins or ends with white space"),
        ("a\u{a0}", "begins or ends with white space"),
        ("a\nb", "has a control character"),
        ("a\0b", "has a control character"),
        ("a\u{85}b", "has a control character"),
    ] {
        let issuer = uri(text, "ann").unwrap_err();
        assert_eq!(issuer.to_string(), format!("issuer {reason} (limit 128 bytes)"));
        assert_eq!(issuer.code(), "invalid_issuer");
        let label = uri("Example", text).unwrap_err();
        assert_eq!(label.to_string(), format!("account label {reason} (limit 256 bytes)"));
        assert_eq!(label.code(), "invalid_label");
    }
    assert_eq!(code_of(uri(&"é".repeat(64), "ann")), "ok");
    assert_eq!(code_of(uri(&"é".repeat(65), "ann")), "invalid_issuer");
    assert_eq!(code_of(uri("Example", &"é".repeat(128))), "ok");
    assert_eq!(code_of(uri("Example", &"é".repeat(129))), "invalid_label");
}

#[test]
fn the_longest_uri_is_read_again() {
    let secret = TotpSecret::from_bytes(&[255; 128]).unwrap();
    let (issuer, account) = ("é".repeat(64), "é".repeat(128));
    let parameters =
        Parameters::new(Algorithm::Sha512, Digits::default(), Period::from_seconds(120).unwrap());
    let uri = OtpauthUri::new(&issuer, &account, secret, parameters).unwrap().to_uri();
    assert!(uri.expose_secret().len() <= OtpauthUri::MAX_URI_BYTES);
    assert_eq!(OtpauthUri::parse(uri.expose_secret()).unwrap().account(), account);
}

#[test]
fn other_systems_uris_are_read() {
    for (uri, issuer, account) in [
        // The example of Google Authenticator's "Key URI Format".
        (
            "otpauth://totp/ACME%20Co:john.doe@email.com?secret=HXDMVJECJJWSRB3HWIZR4IFUGFTMXBOZ\
             &issuer=ACME%20Co&algorithm=SHA1&digits=6&period=30",
            Some("ACME Co"),
            "john.doe@email.com",
        ),
        (&format!("otpauth://totp/ann?secret={B32}"), None, "ann"),
        (&format!("  otpauth://totp/ann?secret={B32}\n"), None, "ann"),
        (&format!("OTPAUTH://TOTP/ann?secret={B32}"), None, "ann"),
        (&format!("otpauth://totp/ann?issuer=Example&secret={B32}"), Some("Example"), "ann"),
        (&format!("otpauth://totp/Example:ann?secret={B32}"), Some("Example"), "ann"),
        (&format!("otpauth://totp/Example:ann?secret={B32}&issuer="), Some("Example"), "ann"),
        (&format!("otpauth://totp/Example%3Aann?secret={B32}"), Some("Example"), "ann"),
        (&format!("otpauth://totp/Example:%20%20ann?secret={B32}"), Some("Example"), "ann"),
        (&format!("otpauth://totp/A%20B:ann?secret={B32}&issuer=A+B"), Some("A B"), "ann"),
        (&format!("otpauth://totp/a+b?secret={B32}"), None, "a+b"),
        (&format!("otpauth://totp/a/b?secret={B32}"), None, "a/b"),
        (&format!("otpauth://totp/Zoë?secret={B32}"), None, "Zoë"),
        (&format!("otpauth://totp/ann?&&SECRET={B32}&image=x&image=%zz&foo"), None, "ann"),
    ] {
        let read = OtpauthUri::parse(uri).unwrap_or_else(|error| panic!("{uri}: {error}"));
        assert_eq!((read.issuer(), read.account()), (issuer, account), "{uri}");
        assert_eq!(read.parameters(), Parameters::default(), "{uri}");
    }
}

#[test]
fn parameters_are_read() {
    let read =
        OtpauthUri::parse(&format!("otpauth://totp/ann?secret={B32}&algorithm=sha512&digits=8&period=60"))
            .unwrap();
    let expected =
        Parameters::new(Algorithm::Sha512, Digits::new(8).unwrap(), Period::from_seconds(60).unwrap());
    assert_eq!(read.parameters(), expected);
    assert_eq!(read.secret().expose_secret(), b"12345678901234567890");
}

#[test]
fn what_is_wrong_is_named() {
    let with = |rest: &str| parsed(&format!("otpauth://totp/Example:ann?secret={B32}{rest}"));
    assert_eq!(with(""), "ok");
    assert_eq!(with("&issuer=Other"), "issuer_mismatch");
    assert_eq!(with("&issuer=example"), "issuer_mismatch");
    assert_eq!(with(&format!("&secret={B32}")), "duplicate_parameter");
    assert_eq!(with("&issuer=Example&issuer=Example"), "duplicate_parameter");
    assert_eq!(with("&issuer=&issuer=Example"), "duplicate_parameter");
    assert_eq!(with("&digits=6&Digits=6"), "duplicate_parameter");
    assert_eq!(with("&period=30&%70eriod=30"), "duplicate_parameter");
    assert_eq!(with("&algorithm=MD5"), "invalid_algorithm");
    assert_eq!(with("&algorithm="), "invalid_algorithm");
    for digits in ["", "5", "9", "+6", "6.0", "0x6", "262", "99999999999", "%EF%BC%96"] {
        assert_eq!(with(&format!("&digits={digits}")), "invalid_digits", "{digits:?}");
    }
    for period in ["", "0", "14", "121", "-30", "+30", "%2B30", "65566", "30s"] {
        assert_eq!(with(&format!("&period={period}")), "invalid_period", "{period:?}");
    }

    for (uri, code) in [
        (String::new(), "invalid_uri"),
        ("otpauth".to_owned(), "invalid_uri"),
        (format!("https://totp/ann?secret={B32}"), "invalid_uri"),
        ("otpauth-migration://offline?data=AA".to_owned(), "invalid_uri"),
        (format!("otpauth://hotp/ann?secret={B32}&counter=1"), "unsupported_type"),
        (format!("otpauth://HOTP/ann?secret={B32}&counter=1"), "unsupported_type"),
        (format!("otpauth://steam/ann?secret={B32}"), "invalid_uri"),
        (format!("otpauth://user@totp/ann?secret={B32}"), "invalid_uri"),
        (format!("otpauth://totp:80/ann?secret={B32}"), "invalid_uri"),
        (format!("otpauth://totp/ann?secret={B32}#x"), "invalid_uri"),
        (format!("otpauth://totp/a%?secret={B32}"), "invalid_uri"),
        (format!("otpauth://totp/a%4?secret={B32}"), "invalid_uri"),
        (format!("otpauth://totp/a%+4?secret={B32}"), "invalid_uri"),
        (format!("otpauth://totp/a%ff?secret={B32}"), "invalid_uri"),
        (format!("otpauth://totp/ann?secret={B32}&issuer=%C3"), "invalid_uri"),
        (format!("otpauth://totp?secret={B32}"), "invalid_label"),
        (format!("otpauth://totp/?secret={B32}"), "invalid_label"),
        (format!("otpauth://totp/Example:?secret={B32}"), "invalid_label"),
        (format!("otpauth://totp/Example:a:b?secret={B32}"), "invalid_label"),
        (format!("otpauth://totp/a%0Ab?secret={B32}"), "invalid_label"),
        (format!("otpauth://totp/a\tb?secret={B32}"), "invalid_label"),
        (format!("otpauth://totp/{}?secret={B32}", "a".repeat(257)), "invalid_label"),
        (format!("otpauth://totp/:ann?secret={B32}"), "invalid_issuer"),
        (format!("otpauth://totp/ann?issuer=a%3Ab&secret={B32}"), "invalid_issuer"),
        ("otpauth://totp/ann".to_owned(), "missing_secret"),
        ("otpauth://totp/ann?issuer=Example".to_owned(), "missing_secret"),
        ("otpauth://totp/ann?secret=".to_owned(), "weak_secret"),
        ("otpauth://totp/ann?secret=GEZDGNBVGY3TQOJQ".to_owned(), "weak_secret"),
        (format!("otpauth://totp/ann?secret={B32}0"), "invalid_base32"),
        (format!("otpauth://totp/ann?secret={B32}&x={}", "a".repeat(2048)), "invalid_uri"),
    ] {
        assert_eq!(parsed(&uri), code, "{uri}");
    }
}

proptest! {
    #[test]
    fn uri_round_trips(
        issuer in any_label(128),
        account in any_label(256),
        bytes in prop::collection::vec(any::<u8>(), 16..=128),
        parameters in any_parameters(),
    ) {
        let secret = TotpSecret::from_bytes(&bytes).unwrap();
        let uri = OtpauthUri::new(&issuer, &account, secret, parameters).unwrap().to_uri();
        let read = OtpauthUri::parse(uri.expose_secret()).unwrap();
        prop_assert_eq!(read.issuer(), Some(issuer.as_str()));
        prop_assert_eq!(read.account(), account);
        prop_assert_eq!(read.secret().expose_secret(), bytes);
        prop_assert_eq!(read.parameters(), parameters);
    }

    #[test]
    fn a_url_library_reads_the_same(
        issuer in any_label(128),
        account in any_label(256),
        parameters in any_parameters(),
    ) {
        let uri = OtpauthUri::new(&issuer, &account, secret(), parameters).unwrap().to_uri();
        let uri = uri.expose_secret();
        prop_assert!(uri.is_ascii());
        let url = Url::parse(uri).unwrap();
        prop_assert_eq!(url.as_str(), uri, "nothing was left to normalise");
        prop_assert_eq!((url.scheme(), url.host_str()), ("otpauth", Some("totp")));
        prop_assert_eq!(url.fragment(), None);

        let query: HashMap<_, _> = url.query_pairs().into_owned().collect();
        let expected = [
            ("secret", B32.to_owned()),
            ("issuer", issuer),
            ("algorithm", parameters.algorithm.to_string()),
            ("digits", parameters.digits.to_string()),
            ("period", parameters.period.to_string()),
        ];
        prop_assert_eq!(
            query,
            expected.map(|(key, value)| (key.to_owned(), value)).into_iter().collect()
        );
    }

    #[test]
    fn an_import_without_issuer_round_trips(account in any_label(256)) {
        let with = OtpauthUri::new("Example", &account, secret(), Parameters::default()).unwrap();
        let without = with
            .to_uri()
            .expose_secret()
            .replace("Example:", "")
            .replace("&issuer=Example", "");
        let read = OtpauthUri::parse(&without).unwrap();
        prop_assert_eq!(read.issuer(), None);
        let written = read.to_uri();
        prop_assert_eq!(written.expose_secret(), without);
    }

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        let _ = OtpauthUri::parse(&text);
    }

    #[test]
    fn nearly_right_text_never_panics_and_what_is_read_can_be_written(
        label in "[a-zA-Z0-9%:@ +/\u{e9}\t-]{0,30}",
        query in "((secret|issuer|digits|period|algorithm|x)=[A-Z2-7%+=&6-8-]{0,40}&?){0,5}",
    ) {
        let text = format!("otpauth://totp/{label}?{query}");
        if let Ok(read) = OtpauthUri::parse(&text) {
            let again = OtpauthUri::parse(read.to_uri().expose_secret()).unwrap();
            prop_assert_eq!(again.account(), read.account());
            prop_assert_eq!(again.issuer(), read.issuer());
            prop_assert_eq!(again.parameters(), read.parameters());
            prop_assert_eq!(again.secret().expose_secret(), read.secret().expose_secret());
        }
    }
}
