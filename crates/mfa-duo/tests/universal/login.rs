//! A login from its beginning to the exchange: bound to user, challenge and configuration, and good once.

use std::collections::HashMap;

use mfa_core::SecretText;
use mfa_duo::Error;
use mfa_duo::universal::{Arrival, Callback, Exchange, OAuthErrorKind, PendingLogin, Universal};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{ID, NOW, REDIRECT, USER, at, challenge, claims, duo, duo_with, now, sign};

const EXPIRES: u64 = NOW + 300;

fn begin(random: u8) -> (SecretText, PendingLogin) {
    duo().begin(USER, challenge(1), at(EXPIRES), &[random; 64], now()).unwrap()
}

fn callback(pending: &PendingLogin) -> Callback {
    Callback::with_code(pending.expose_state(), "code").unwrap()
}

fn query(url: &SecretText) -> HashMap<String, String> {
    url::Url::parse(url.expose_secret()).unwrap().query_pairs().into_owned().collect()
}

fn request_claims(url: &SecretText) -> Value {
    let request = query(url).remove("request").unwrap();
    let claims = request.split('.').nth(1).unwrap().to_owned();
    serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(claims.as_bytes()).unwrap()).unwrap()
}

fn finish(exchange: Exchange, duo: &Universal, token: &str) -> Result<String, Error> {
    let body = json!({"id_token": token, "access_token": "a", "expires_in": 1, "token_type": "bearer"});
    let reply = http::Response::new(body.to_string().into_bytes());
    exchange.finish(duo, &reply, now()).map(|claims| claims.username)
}

#[test]
fn state_and_nonce_are_the_random_bytes_and_the_nonce_is_signed_and_repeated() {
    let mut random = [0x5a; 64];
    random[32..].fill(0xc3);
    let (url, pending) = duo().begin(USER, challenge(1), at(EXPIRES), &random, now()).unwrap();
    assert_eq!(pending.expose_state(), "5a".repeat(32));
    let (claims, query) = (request_claims(&url), query(&url));
    assert_eq!(claims["state"], "5a".repeat(32));
    assert_eq!(claims["nonce"], "c3".repeat(32));
    assert_eq!(query["nonce"], "c3".repeat(32));
    assert_eq!((&claims["duo_uname"], &claims["exp"]), (&json!(USER), &json!(NOW + 300)));
    assert!(!query.contains_key("state"));
}

#[test]
fn a_callback_in_time_leads_to_the_exchange_for_the_user_who_began() {
    let (url, pending) = begin(1);
    let nonce = query(&url)["nonce"].clone();
    let back = callback(&pending);
    let Arrival::Code(code, exchange) = pending.accept(&duo(), back, challenge(1), at(EXPIRES - 1)) else {
        panic!("refused")
    };
    assert_eq!(code.expose_secret(), "code");
    let token = |nonce: &str, user: &str| {
        let mut claims = claims();
        claims["nonce"] = json!(nonce);
        claims["preferred_username"] = json!(user);
        sign(&claims)
    };
    assert_eq!(finish(exchange.clone(), &duo(), &token(&nonce, USER)).unwrap(), USER);
    let code = |token: &str| finish(exchange.clone(), &duo(), token).unwrap_err().code();
    assert_eq!(code(&token(&nonce, "bob")), "id_token_username");
    assert_eq!(code(&token("0".repeat(64).as_str(), USER)), "id_token_nonce");
}

#[test]
fn s19_a_foreign_callback_ends_nothing() {
    let ((_, pending), (_, other)) = (begin(1), begin(2));
    let state = pending.expose_state().to_owned();
    // The state of another login; an error with it; ours for another challenge; ours cut and continued.
    let foreign = [
        (callback(&other), challenge(1)),
        (Callback::with_error(other.expose_state(), "access_denied", None).unwrap(), challenge(1)),
        (Callback::with_code(&state[..63], "code").unwrap(), challenge(1)),
        (Callback::with_code(&format!("{state}0"), "code").unwrap(), challenge(1)),
        (callback(&pending), challenge(2)),
    ];
    let mut pending = pending;
    for (callback, challenge) in foreign {
        // Too late, and after a change of the configuration: that is not told to strangers either.
        for (duo, now) in [(duo(), now()), (duo(), at(EXPIRES)), (duo_with(ID, "https://example.org"), now())]
        {
            let Arrival::Foreign(kept) = pending.accept(&duo, callback.clone(), challenge, now) else {
                panic!("{callback:?}")
            };
            pending = kept;
        }
    }
    let ours = callback(&pending);
    assert!(matches!(pending.accept(&duo(), ours, challenge(1), now()), Arrival::Code(..)));
}

#[test]
fn a_login_is_over_at_its_expiry() {
    let (_, pending) = begin(1);
    let late = callback(&pending);
    assert!(matches!(pending.accept(&duo(), late, challenge(1), at(EXPIRES)), Arrival::Expired));
}

#[test]
fn s34_a_login_ends_where_redirect_uri_or_client_changed_by_a_byte() {
    for (id, redirect) in [
        (ID, "https://www.example.com/duo/"),
        (ID, "https://www.example.com/Duo"),
        (ID, "https://WWW.example.com/duo"),
        (ID, "https://www.example.com:443/duo"),
        ("DIYYYYYYYYYYYYYYYYYY", REDIRECT),
    ] {
        let (_, pending) = begin(1);
        let back = callback(&pending);
        let arrival = pending.accept(&duo_with(id, redirect), back, challenge(1), now());
        assert!(matches!(arrival, Arrival::Reconfigured), "{id} {redirect}");
    }
}

#[test]
fn an_error_of_our_own_callback_ends_the_login() {
    let (_, pending) = begin(1);
    let back = Callback::with_error(pending.expose_state(), "access_denied", Some("No\ndevice")).unwrap();
    let Arrival::Refused(error) = pending.accept(&duo(), back, challenge(1), now()) else { panic!() };
    assert_eq!((error.kind(), error.http_status()), (OAuthErrorKind::AccessDenied, None));
    assert_eq!((error.error(), error.description()), ("access_denied", Some("Nodevice")));
}

#[test]
fn what_is_kept_survives_being_written_and_read() {
    let (_, pending) = begin(1);
    let written = serde_json::to_vec(&pending).unwrap();
    let read: PendingLogin = serde_json::from_slice(&written).unwrap();
    let back = callback(&pending);
    let Arrival::Code(_, exchange) = read.accept(&duo(), back, challenge(1), now()) else { panic!() };
    let written = serde_json::to_string(&exchange).unwrap();
    assert!(!written.contains("code"), "the code is not kept: {written}");
    let read: Exchange = serde_json::from_str(&written).unwrap();
    assert_eq!(finish(read, &duo(), "no.token").unwrap_err().code(), "id_token_malformed");
}

#[test]
fn a_user_name_is_text_of_1_to_1024_bytes() {
    let named = |user: &str| duo().create_auth_url(user, &"s".repeat(16), None, now());
    for user in ["a", "user|name", "Zoë \"quoted\" \\ 漢字", "acme/ann@example.com", &"x".repeat(1024)] {
        assert_eq!(request_claims(&named(user).unwrap())["duo_uname"], user);
    }
    for user in ["", "a\nb", "\u{0}", &"x".repeat(1025)] {
        assert!(matches!(named(user), Err(Error::Parameter { name: "username", .. })), "{user:?}");
    }
}

#[test]
fn state_and_nonce_have_16_to_1024_characters() {
    let made = |state: usize, nonce: usize| {
        let result = duo().create_auth_url(USER, &"s".repeat(state), Some(&"n".repeat(nonce)), now());
        result.err().map(|error| match error {
            Error::Parameter { name, .. } => name,
            other => panic!("{other:?}"),
        })
    };
    assert_eq!((made(16, 16), made(1024, 1024)), (None, None));
    assert_eq!((made(15, 16), made(1025, 16)), (Some("state"), Some("state")));
    assert_eq!((made(16, 15), made(16, 1025)), (Some("nonce"), Some("nonce")));
}

#[test]
fn s34_a_redirect_uri_is_absolute_https_or_this_machine() {
    let made = |redirect_uri: &str| {
        let (id, secret) =
            (mfa_duo::IntegrationKey::parse(ID), mfa_duo::SecretKey::parse(crate::support::SECRET));
        let host = mfa_duo::ApiHost::parse("api-xxxxxxxx.duosecurity.com").unwrap();
        Universal::new(id.unwrap(), secret.unwrap(), host, redirect_uri)
    };
    for uri in [
        "https://example.com",
        "https://example.com:8443/a?b=c",
        "http://localhost/",
        "http://127.0.0.1:1/x",
        "http://[::1]/",
    ] {
        assert_eq!(made(uri).unwrap().redirect_uri(), uri);
    }
    for uri in [
        "",
        "/duo",
        "example.com/duo",
        "http://example.com/",
        "http://localhost.example.com/",
        "ftp://localhost/",
        "javascript:alert(1)",
        "https://",
        "https://user@example.com/",
        "https://example.com/#x",
        "https://exa mple.com/",
        &format!("https://example.com/{}", "x".repeat(1024)),
    ] {
        assert!(matches!(made(uri), Err(Error::Parameter { name: "redirect_uri", .. })), "{uri}");
    }
}

proptest! {
    #[test]
    fn a_url_is_read_back_by_another_parser(user in "[^\\p{Cc}]{1,40}", state in "[!-~]{16,40}", nonce in "[!-~]{16,40}") {
        let url = duo().create_auth_url(&user, &state, Some(&nonce), now()).unwrap();
        let claims = request_claims(&url);
        prop_assert_eq!(&claims["duo_uname"], &json!(user));
        prop_assert_eq!(&claims["state"], &json!(state));
        prop_assert_eq!(&claims["nonce"], &json!(nonce));
        prop_assert_eq!(&query(&url)["nonce"], &nonce);
    }
}
