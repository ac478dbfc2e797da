//! What messages say, and what they cannot be made to say.

#![expect(clippy::unwrap_used, reason = "a test fails so")]

use std::time::Duration;

use mfa_core::{Channel, Message, Purpose};
use mfa_otp_delivery::HttpsUrl;
use mfa_otp_delivery::address::{Destination, Domain, Email, Medium, Phone};
use mfa_otp_delivery::text::{Code, Form, Link, Occasion, Secret, SiteName, TextKey, Texts, TextsBuilder};
use proptest::prelude::*;

const LIFE: Duration = Duration::from_secs(120);
const CODE: &str = "012345";
const TOKEN: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn builder() -> TextsBuilder {
    Texts::builder(SiteName::parse("Acme").unwrap(), Domain::parse("acme.example").unwrap())
}

fn key(medium: Medium, form: Form) -> TextKey {
    TextKey::new(medium, form, Occasion::SignIn)
}

fn write(texts: &Texts, key: TextKey, life: Duration, language: Option<&str>) -> Message {
    let (email, phone) =
        (Email::parse("bob@example.com").unwrap(), Phone::parse("+12025550100", None).unwrap());
    let to = if key.medium == Medium::Email { Destination::Email(&email) } else { Destination::Sms(&phone) };
    let code = Code::parse(CODE).unwrap();
    let link = Link::new(&HttpsUrl::parse("https://acme.example/confirm").unwrap(), TOKEN).unwrap();
    let secret = if key.form == Form::Code { Secret::Code(&code) } else { Secret::Link(&link) };
    texts.message(to, key.occasion, secret, life, language)
}

#[test]
fn every_default_text_holds_its_secret_and_its_life() {
    let texts = builder().build().unwrap();
    assert_eq!(TextKey::all().count(), 12);
    for key in TextKey::all() {
        let message = write(&texts, key, LIFE, None);
        let body = message.body.expose_secret();
        let secret = if key.form == Form::Code { CODE } else { TOKEN };
        assert!(body.contains(secret) && body.contains("2 min") && body.contains("Acme"), "{key}: {body}");
        assert!(!body.contains(['{', '}', '\r']), "{key}: {body}");
        assert_eq!(message.subject.is_some(), key.medium == Medium::Email, "{key}");
        assert!(
            message.subject.is_none_or(|subject| !subject.contains(secret) && subject.contains("Acme")),
            "{key}"
        );
        let (channel, to) = match key.medium {
            Medium::Email => (Channel::Email, "bob@example.com"),
            _ => (Channel::Phone, "+12025550100"),
        };
        assert_eq!((message.channel, message.to.expose_secret()), (channel, to));
    }
}

/// "Origin-bound one-time codes delivered via SMS" (WICG): the last line is `@host #code`.
#[test]
fn a_code_by_sms_ends_in_the_origin_bound_line() {
    let german = "Ihr Code für {site}: {code}";
    let sms = key(Medium::Sms, Form::Code);
    let texts = builder().text("de", sms, None, german).build().unwrap();
    for language in [None, Some("de")] {
        let message = write(&texts, sms, LIFE, language);
        assert_eq!(message.body.expose_secret().lines().next_back(), Some("@acme.example #012345"));
    }
    // Of the others none: a link says its own origin.
    for other in TextKey::all().filter(|key| key.medium == Medium::Email || key.form == Form::Link) {
        assert!(!write(&texts, other, LIFE, None).body.expose_secret().contains("@acme.example"), "{other}");
    }
}

/// 3GPP TS 23.038 §6.2.1: 160 characters of the default alphabet fit into one message.
#[test]
fn a_code_by_sms_fits_into_one_message() {
    let (site, domain) = ("Twenty letters a name", "login.twenty-letters.example");
    let texts =
        Texts::builder(SiteName::parse(site).unwrap(), Domain::parse(domain).unwrap()).build().unwrap();
    for occasion in Occasion::ALL {
        let message = write(&texts, TextKey::new(Medium::Sms, Form::Code, occasion), LIFE, None);
        let body = message.body.expose_secret();
        assert!(body.len() <= 160, "{} bytes: {body}", body.len());
        // All of these are in that alphabet and take one place each.
        assert!(body.chars().all(|c| c.is_ascii_alphanumeric() || "\n @#.,-?".contains(c)), "{body}");
    }
}

#[test]
fn minutes_are_whole_and_never_more_than_the_life() {
    let texts = builder().text("", key(Medium::Sms, Form::Code), None, "{code} {minutes}").build().unwrap();
    for (seconds, minutes) in [(0, 1), (59, 1), (60, 1), (119, 1), (120, 2), (300, 5), (599, 9)] {
        let message = write(&texts, key(Medium::Sms, Form::Code), Duration::from_secs(seconds), None);
        assert!(message.body.expose_secret().starts_with(&format!("{CODE} {minutes}\n")), "{seconds} s");
    }
}

#[test]
fn a_language_is_looked_up_under_shorter_and_shorter_tags() {
    let sms = key(Medium::Sms, Form::Code);
    let texts = builder().text("de", sms, None, "de {code}").text("pt-BR", sms, None, "br {code}");
    let texts = texts.text("", sms, None, "own {code}").build().unwrap();
    let first = |language| write(&texts, sms, LIFE, language).body.expose_secret()[..3].trim().to_owned();
    assert_eq!(first(Some("de")), "de");
    assert_eq!(first(Some("DE-at")), "de");
    assert_eq!(first(Some("de-Latn-AT-x-y")), "de");
    assert_eq!(first(Some("pt-br")), "br");
    for other in [None, Some(""), Some("pt"), Some("fr"), Some("d"), Some("-"), Some("de\r\n"), Some("é-é")]
    {
        assert_eq!(first(other), "own", "{other:?}");
    }
    // A key without a German text is there in English.
    let email = write(&texts, key(Medium::Email, Form::Code), LIFE, Some("de"));
    assert_eq!(email.subject.as_deref(), Some("Your code to sign in to Acme"));
}

#[test]
fn a_text_that_could_break_a_message_is_refused_when_the_table_is_built() {
    let (email, sms, link) =
        (key(Medium::Email, Form::Code), key(Medium::Sms, Form::Code), key(Medium::Email, Form::Link));
    let long = format!("{{code}}{}", "x".repeat(1_995));
    let table = [
        (
            email,
            Some("Hello\r\nBcc: eve@evil.example"),
            "{code}",
            "texts.email.code.sign_in.subject",
            "invalid",
        ),
        (email, Some("Hello\u{2028}x"), "{code}", "texts.email.code.sign_in.subject", "invalid"),
        (email, Some("{code} is your code"), "{code}", "texts.email.code.sign_in.subject", "invalid"),
        (email, Some(""), "{code}", "texts.email.code.sign_in.subject", "length"),
        (email, None, "{code}", "texts.email.code.sign_in.subject", "required"),
        (sms, Some("Hello"), "{code}", "texts.sms.code.sign_in.subject", "invalid"),
        (sms, None, "", "texts.sms.code.sign_in.body", "length"),
        (sms, None, "no code", "texts.sms.code.sign_in.body", "invalid"),
        (sms, None, "{code} {code}", "texts.sms.code.sign_in.body", "invalid"),
        (sms, None, "{code} {user}", "texts.sms.code.sign_in.body", "invalid"),
        (sms, None, "{code} {link}", "texts.sms.code.sign_in.body", "invalid"),
        (sms, None, "{code} {", "texts.sms.code.sign_in.body", "invalid"),
        (sms, None, "{code} }", "texts.sms.code.sign_in.body", "invalid"),
        (sms, None, "{code}\r\n", "texts.sms.code.sign_in.body", "invalid"),
        (sms, None, "{code}\0", "texts.sms.code.sign_in.body", "invalid"),
        (sms, None, long.as_str(), "texts.sms.code.sign_in.body", "length"),
        (link, Some("Hello"), "{code}", "texts.email.link.sign_in.body", "invalid"),
    ];
    for (key, subject, body, field, code) in table {
        let error = builder().text("de", key, subject, body).build().unwrap_err();
        assert_eq!((error.field.as_str(), error.code), (field, code), "{subject:?} {body:?}");
    }
    let error = builder().text("de_DE", sms, None, "{code}").build().unwrap_err();
    assert_eq!(error.field, "texts.language");
}

#[test]
fn arguments_refuse_everything_that_they_are_not() {
    for bad in ["", "12345", "1234567890123", "12345a", "１２３４５６", "123 456", "123456\n", "-12345"]
    {
        assert_eq!(Code::parse(bad).unwrap_err().code, "invalid", "{bad:?}");
    }
    let page = HttpsUrl::parse("https://acme.example/confirm").unwrap();
    let long = "a".repeat(1_025);
    for bad in [
        "",
        "AAECAwQFBgcICQoLDA0O",
        "AAECAwQFBgcICQoLDA0O\r\n",
        "AAECAwQFBgcICQoLDA0ODw#x",
        "AAECAwQFBgcICQoLDA0ODw==",
        &long,
    ] {
        assert_eq!(Link::new(&page, bad).unwrap_err().code, "invalid", "{bad:?}");
    }
    for bad in ["", " Acme", "Acme\r\nBcc: x", "Acme\u{2029}", "Acme\0", &"x".repeat(41)] {
        assert!(SiteName::parse(bad).is_err(), "{bad:?}");
    }
    assert!(SiteName::parse(&"ü".repeat(40)).is_ok());
}

/// Edge case 55 and C17.
#[test]
fn urls_are_absolute_https_from_configuration() {
    for bad in [
        "",
        "javascript:alert(1)",
        "http://acme.example/",
        "/confirm",
        "//acme.example/",
        "https:acme.example",
        "https:///acme.example",
        "https://",
        "https://user@acme.example/",
        "https://user:pw@acme.example/",
        "https://@acme.example/",
        "https://acme.example\\@evil.example/",
        "https://acme.example/#fragment",
        "https://acme.example/#",
        "https://acme.example/\r\nSet-Cookie: x",
        "https://acme\t.example/",
        " https://acme.example/",
        "https://acme.example:99999/",
    ] {
        assert!(HttpsUrl::parse(bad).is_err(), "{bad:?}");
    }
    for good in [
        "https://acme.example/",
        "https://acme.example:8443/a?b=c",
        "HTTPS://Acme.example/a@b",
        "https://acme.example?x=@",
    ] {
        assert!(HttpsUrl::parse(good).is_ok(), "{good:?}");
    }
    let debug = format!("{:?}", HttpsUrl::parse("https://acme.example/secret?key=secret").unwrap());
    assert!(debug.contains("acme.example") && !debug.contains("secret"), "{debug}");
}

#[test]
fn nothing_secret_is_in_a_debug_text() {
    let code = Code::parse(CODE).unwrap();
    let link = Link::new(&HttpsUrl::parse("https://acme.example/").unwrap(), TOKEN).unwrap();
    let message = write(&builder().build().unwrap(), key(Medium::Sms, Form::Code), LIFE, None);
    let shown = format!("{code:?} {link:?} {:?} {message:?}", Secret::Code(&code));
    assert!(!shown.contains(CODE) && !shown.contains(TOKEN) && !shown.contains("2025550100"), "{shown}");
}

#[test]
fn an_occasion_follows_from_the_purpose() {
    assert_eq!(Occasion::of(Purpose::Login), Occasion::SignIn);
    assert_eq!(Occasion::of(Purpose::Enrol), Occasion::Confirm);
    assert_eq!(Occasion::of(Purpose::StepUp(mfa_core::Operation::Disable)), Occasion::Change);
}

proptest! {
    #[test]
    fn any_template_is_refused_or_written_without_a_loose_end(
        body in "[a-z \n\r\0{}]{0,8}(\\{(code|link|site|minutes|x)\\}[a-z {}]{0,3}){0,4}",
        subject in proptest::option::of("[a-zü \r\n]{0,5}(\\{(code|site)\\})?"),
    ) {
        for key in [key(Medium::Email, Form::Code), key(Medium::Sms, Form::Link)] {
            let Ok(texts) = builder().text("xx", key, subject.as_deref(), &body).build() else { continue };
            let message = write(&texts, key, LIFE, Some("xx"));
            let written = message.body.expose_secret();
            let secret = if key.form == Form::Code { CODE } else { TOKEN };
            prop_assert_eq!(written.matches(secret).count(), 1);
            let loose = written.contains(['{', '}', '\r', '\0']);
            prop_assert!(!loose, "a loose end");
            let subject = message.subject.unwrap_or_default();
            let loose = subject.contains(['\r', '\n', '{', '}']) || subject.contains(CODE);
            prop_assert!(!loose, "a loose end in the subject");
        }
    }
}
