//! What is an address and what is not.

#![expect(clippy::unwrap_used, reason = "a test fails so")]

use mfa_core::Contact;
use mfa_otp_delivery::address::{Destination, Domain, Email, LineType, Phone, Region};
use proptest::prelude::*;

fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

#[test]
fn an_address_has_one_canonical_form() {
    let table = [
        ("bob@example.com", "bob@example.com"),
        ("Bob.O'Neil+x@EXAMPLE.Com", "Bob.O'Neil+x@example.com"),
        ("a!#$%&'*+-/=?^_`{|}~b@example.com", "a!#$%&'*+-/=?^_`{|}~b@example.com"),
        // A-labels: RFC 3492 §7.1 and UTS #46 for the form, `bücher` after the Unicode FAQ on IDN.
        ("bob@Bücher.example", "bob@xn--bcher-kva.example"),
        ("bob@xn--BCHER-kva.Example", "bob@xn--bcher-kva.example"),
        ("bob@ｅｘａｍｐｌｅ.com", "bob@example.com"),
        ("bob@mail。example.com", "bob@mail.example.com"),
    ];
    for (given, canonical) in table {
        assert_eq!(email(given).as_str(), canonical);
        assert_eq!(email(canonical), email(given));
    }
}

#[test]
fn what_is_no_address_is_refused() {
    let long_local = format!("{}@example.com", "a".repeat(65));
    let long_label = format!("bob@{}.com", "a".repeat(64));
    let long_domain = format!("bob@{}com", "a.".repeat(126));
    let table = [
        ("", "invalid"),
        ("bob", "invalid"),
        ("@example.com", "invalid"),
        ("bob@", "invalid"),
        ("bob@@example.com", "invalid"),
        ("bob@evil.example@example.com", "invalid"),
        ("bob@localhost", "invalid"),
        ("bob@example.com.", "invalid"),
        ("bob@.example.com", "invalid"),
        ("bob@example..com", "invalid"),
        ("bob@-example.com", "invalid"),
        ("bob@exam_ple.com", "invalid"),
        ("bob@192.0.2.1", "invalid"),
        ("bob@[192.0.2.1]", "invalid"),
        (".bob@example.com", "invalid"),
        ("bob.@example.com", "invalid"),
        ("b..ob@example.com", "invalid"),
        ("\"bob\"@example.com", "invalid"),
        ("bob smith@example.com", "invalid"),
        (" bob@example.com", "invalid"),
        ("bob@example.com ", "invalid"),
        ("bob,eve@example.com", "invalid"),
        ("Bob <bob@example.com>", "invalid"),
        ("bób@example.com", "invalid"),
        ("bob@xn--a.example", "invalid"),
        // Header and command injection (edge case 47).
        ("bob@example.com\r\nBcc: eve@evil.example", "invalid"),
        ("bob\r\nBcc: eve@evil.example", "invalid"),
        ("bob\n@example.com", "invalid"),
        ("bob\0@example.com", "invalid"),
        ("bob@example.com\0", "invalid"),
        ("bob@exam\u{ad}ple\u{2028}.com", "invalid"),
        ("bob>@example.com", "invalid"),
        (long_local.as_str(), "length"),
        (long_label.as_str(), "invalid"),
        (long_domain.as_str(), "invalid"),
    ];
    for (given, code) in table {
        let error = Email::parse(given).unwrap_err();
        assert_eq!((error.field.as_str(), error.code), ("contact.email", code), "{given:?}");
        assert!(!error.to_string().contains("evil"), "an error repeats the value: {error}");
    }
}

/// RFC 5321 §4.5.3.1: 64 before the `@`, 254 in all.
#[test]
fn lengths_end_where_the_standard_says() {
    let local = "a".repeat(64);
    // 64 + 1 + 189 = 254.
    let domain = format!("{}.{}.{}.ab", "a".repeat(62), "b".repeat(62), "c".repeat(60));
    assert_eq!(domain.len(), 189);
    assert_eq!(email(&format!("{local}@{domain}")).as_str().len(), 254);
    let error = Email::parse(&format!("{local}@{domain}c")).unwrap_err();
    assert_eq!(error.to_string(), "contact.email has 255 bytes, not 3 to 254");
}

#[test]
fn masked_forms_and_debug_hide_the_address() {
    let (bob, b) = (email("bob@example.com"), email("b@example.com"));
    assert_eq!((bob.masked(), b.masked()), ("b…@example.com".to_owned(), "…@example.com".to_owned()));
    let phone = Phone::parse("+12025550100", None).unwrap();
    assert_eq!(phone.masked(), "…0100");
    assert_eq!(Destination::Sms(&phone).masked(), "…0100");
    for debug in [format!("{bob:?}"), format!("{phone:?}"), format!("{:?}", Destination::Email(&bob))] {
        assert!(!debug.contains("bob") && !debug.contains("202555"), "{debug}");
    }
}

#[test]
fn a_canonical_address_is_a_contact() {
    assert_eq!(
        email("bob@Bücher.example").contact().unwrap(),
        Contact::email("bob@xn--bcher-kva.example").unwrap()
    );
    let phone = Phone::parse("+1 (202) 555-0100", None).unwrap();
    assert_eq!(phone.contact().unwrap(), Contact::phone("+12025550100").unwrap());
}

#[test]
fn domains_are_names_and_never_addresses() {
    assert_eq!(Domain::parse("LOGIN.Acme.example").unwrap().as_str(), "login.acme.example");
    for bad in [
        "",
        "localhost",
        "127.0.0.1",
        "[::1]",
        "acme.example:443",
        "acme.example/",
        "acme example.com",
        "a\n.b",
    ] {
        assert_eq!(Domain::parse(bad).unwrap_err().code, "invalid", "{bad:?}");
    }
}

/// The example numbers of libphonenumber's `PhoneNumberMetadata.xml`. Regions and kinds are those that its Python port,
/// the package `phonenumbers` 9, gives them.
#[test]
fn numbers_have_the_region_and_line_that_their_plan_gives_them() {
    let table = [
        ("+12015550123", "US", LineType::FixedOrMobile),
        ("+15062345678", "CA", LineType::FixedOrMobile),
        ("+18762101234", "JM", LineType::Mobile),
        ("+18765230123", "JM", LineType::FixedOrMobile),
        ("+19002345678", "US", LineType::Premium),
        ("+15002345678", "US", LineType::Premium),
        ("+18002345678", "US", LineType::Unknown),
        ("+4915123456789", "DE", LineType::Mobile),
        ("+4930123456", "DE", LineType::FixedLine),
        ("+499001234567", "DE", LineType::Premium),
        ("+4918012345", "DE", LineType::Premium),
        ("+498001234567890", "DE", LineType::Unknown),
        ("+447400123456", "GB", LineType::Mobile),
        ("+441212345678", "GB", LineType::FixedLine),
        ("+445612345678", "GB", LineType::Voip),
        ("+447012345678", "GB", LineType::Premium),
        ("+447640123456", "GB", LineType::Unknown),
        ("+390212345678", "IT", LineType::FixedLine),
        ("+393123456789", "IT", LineType::Mobile),
        ("+2250123456789", "CI", LineType::Mobile),
        ("+33612345678", "FR", LineType::Mobile),
        ("+79123456789", "RU", LineType::Mobile),
        ("+77710009998", "KZ", LineType::Mobile),
    ];
    for (text, region, line) in table {
        let phone = Phone::parse(text, None).unwrap();
        assert_eq!(phone.as_str(), text);
        assert_eq!((phone.region(), phone.line()), (Some(Region::parse(region).unwrap()), line), "{text}");
    }
    // A satellite phone belongs to no region.
    assert_eq!(Phone::parse("+870301234567", None).unwrap().region(), None);
}

#[test]
fn a_number_is_read_as_people_write_it() {
    let region = |code| Some(Region::parse(code).unwrap());
    let table = [
        ("+49 151 2345 6789", None, "+4915123456789"),
        ("+49 (151) 2345-6789", None, "+4915123456789"),
        ("0151/23456789", region("DE"), "+4915123456789"),
        ("(202) 555-0100", region("US"), "+12025550100"),
        ("07400 123456", region("GB"), "+447400123456"),
        ("+447400123456", region("DE"), "+447400123456"),
        ("02 1234 5678", region("IT"), "+390212345678"),
    ];
    for (text, home, number) in table {
        assert_eq!(Phone::parse(text, home).unwrap().as_str(), number, "{text}");
    }
}

#[test]
fn what_is_no_number_is_refused() {
    let home = Some(Region::parse("DE").unwrap());
    for bad in [
        "",
        "+",
        "+49",
        "110",
        "+4915",
        // A short number of Iran's plan: too short for E.164's form.
        "+989601",
        "+491512345678901234567",
        "+999123456789",
        "+0123456789",
        "0049 151 2345 6789 ext. 5",
        "+49 151 2345 6789;ext=5",
        "tel:+4915123456789",
        "+49151CALLME",
        "+4915123456789\r\n",
        "+4915123456789\0",
        "+49\t15123456789",
        "++4915123456789",
        "+٤٩١٥١٢٣٤٥٦٧٨٩",
        "+1 202 555",
        " +4915123456789",
    ] {
        let error = Phone::parse(bad, home).unwrap_err();
        assert_eq!((error.field.as_str(), error.code), ("contact.phone", "invalid"), "{bad:?}");
    }
    assert_eq!(
        Phone::parse("4915123456789", None).unwrap_err().problem,
        "must begin with + and the country code"
    );
    for bad in ["", "D", "DEU", "de", "XX", "D\n"] {
        assert_eq!(Region::parse(bad).unwrap_err().code, "invalid", "{bad:?}");
    }
}

/// A straightforward reading of the form that the documentation promises.
fn is_plain_address(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let labels: Vec<_> = domain.split('.').collect();
    text.len() <= 254
        && (1..=64).contains(&local.len())
        && local.chars().all(|c| c.is_ascii_graphic() && !"\"(),:;<>@[\\]".contains(c))
        && labels.len() >= 2
        && labels.iter().all(|label| {
            (1..=63).contains(&label.len())
                && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        })
}

proptest! {
    #[test]
    fn any_text_is_an_error_or_has_the_promised_form(text in any::<String>()) {
        if let Ok(email) = Email::parse(&text) {
            prop_assert!(is_plain_address(email.as_str()));
        }
        if let Ok(phone) = Phone::parse(&text, None) {
            prop_assert!(phone.as_str().starts_with('+'));
        }
        let _ = Domain::parse(&text);
        let _ = Region::parse(&text);
    }

    #[test]
    fn near_addresses_are_an_error_or_have_the_promised_form(
        text in "[a-zA-Z0-9.+\"' \r\n\0é<>-]{0,12}@{0,2}[a-zA-Z0-9.ßüé。\u{ad}\u{200d} \r\n_@-]{0,16}"
    ) {
        if let Ok(email) = Email::parse(&text) {
            prop_assert!(is_plain_address(email.as_str()), "{:?}", email.as_str());
            // The canonical form stays as it is, and the engine takes it.
            prop_assert_eq!(&Email::parse(email.as_str()).unwrap(), &email);
            prop_assert!(email.contact().is_ok());
            prop_assert!(email.masked().chars().all(|c| c == '…' || c.is_ascii_graphic()));
        }
    }

    #[test]
    fn near_numbers_are_an_error_or_have_the_form_of_e164(text in "\\+?[0-9 ().;/x-]{0,24}", home in 0..4_usize) {
        let homes = [None, Some("US"), Some("DE"), Some("IT")];
        let home = homes[home].map(|code| Region::parse(code).unwrap());
        if let Ok(phone) = Phone::parse(&text, home) {
            let digits = phone.as_str().strip_prefix('+').unwrap();
            prop_assert!((7..=15).contains(&digits.len()) && !digits.starts_with('0'));
            prop_assert!(digits.bytes().all(|byte| byte.is_ascii_digit()));
            // The canonical form is read as itself, whatever the home region.
            prop_assert_eq!(&Phone::parse(phone.as_str(), home).unwrap(), &phone);
            prop_assert_eq!(&Phone::parse(phone.as_str(), None).unwrap(), &phone);
            prop_assert!(phone.contact().is_ok());
        }
    }
}
