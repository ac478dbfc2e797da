//! What is sent.

use std::net::IpAddr;

use data_encoding::BASE64;
use http::Method;
use mfa_core::SecretText;
use mfa_duo::auth_api::{
    Auth, AuthApi, AuthStatus, Check, ClockOffset, DeviceChoice, DeviceId, DuoHeaders, Enroll, EnrollStatus,
    Factor, Logo, Params, Passcode, Ping, Preauth, Push, PushInfo, SignatureVersion, Txid, Unsigned, User,
    authorization,
};
use mfa_duo::{ApiHosts, Error, IntegrationKey, SecretKey};
use proptest::prelude::*;
use serde_json::json;

use crate::{IKEY, NOW, SKEY, ann, api, at, body, header, request};

const DATE: &str = "Tue, 21 Aug 2012 17:29:18 -0000";
const VERSIONS: [SignatureVersion; 4] =
    [SignatureVersion::V2Sha1, SignatureVersion::V2Sha512, SignatureVersion::V4, SignatureVersion::V5];

fn phone() -> DeviceChoice {
    DeviceChoice::Device(DeviceId::parse("DP1").unwrap())
}

#[test]
fn each_call_has_its_method_its_path_and_its_body() {
    let status = EnrollStatus::from_parts("DU1", SecretText::new("duo://code"));
    let passcode = Factor::Passcode(Passcode::parse("123456").unwrap());
    let requests = [
        (request(&Ping::new()), Method::GET, "/auth/v2/ping"),
        (request(&Check::new()), Method::GET, "/auth/v2/check"),
        (request(&Logo::new()), Method::GET, "/auth/v2/logo"),
        (request(&Enroll::new()), Method::POST, "/auth/v2/enroll"),
        (request(&status), Method::POST, "/auth/v2/enroll_status"),
        (request(&Preauth::new(ann())), Method::POST, "/auth/v2/preauth"),
        (request(&Auth::new(ann(), passcode)), Method::POST, "/auth/v2/auth"),
        (request(&AuthStatus::new(Txid::parse("tx").unwrap())), Method::GET, "/auth/v2/auth_status?txid=tx"),
    ];
    for (request, method, path) in requests {
        assert_eq!(request.method(), method, "{path}");
        assert_eq!(request.uri().to_string(), format!("https://API-xxxxxxxx.duosecurity.com{path}"));
        assert_eq!(header(&request, "date"), DATE);
        assert_eq!(header(&request, "user-agent"), concat!("mfa-duo/", env!("CARGO_PKG_VERSION")));
        let content_type = if method == Method::POST { "application/json" } else { "" };
        assert_eq!(header(&request, "content-type"), content_type);
        assert_eq!(request.body().is_empty(), method == Method::GET, "{path}");
        assert_eq!(request.headers().contains_key("authorization"), !path.ends_with("ping"), "{path}");
    }
}

/// The signature by hand: lines, SHA-512 of the body, SHA-512 of no headers (Auth API documentation, version 5).
#[test]
fn what_is_signed_is_what_is_sent() {
    let skey = SecretKey::parse(SKEY).unwrap();
    for version in VERSIONS {
        let api = api().with_signature(version);
        let call = Preauth::new(User::name("ä b+c&d=e").unwrap());
        let request = api.request(&call, at(NOW), ClockOffset::NONE).unwrap();
        let form = "client_supports_verified_push=1&username=%C3%A4%20b%2Bc%26d%3De";
        let json = r#"{"client_supports_verified_push":"1","username":"ä b+c&d=e"}"#;
        let old = matches!(version, SignatureVersion::V2Sha1 | SignatureVersion::V2Sha512);
        let (sent, content_type) =
            if old { (form, "application/x-www-form-urlencoded") } else { (json, "application/json") };
        assert_eq!(core::str::from_utf8(request.body()).unwrap(), sent);
        assert_eq!(header(&request, "content-type"), content_type);

        let params = Params::new().with("username", "ä b+c&d=e").with("client_supports_verified_push", "1");
        let by_hand = Unsigned::new("POST", "api-xxxxxxxx.duosecurity.com", "/auth/v2/preauth");
        let by_hand = if old { by_hand.with_params(&params) } else { by_hand.with_body(json.as_bytes()) };
        let signature = by_hand.sign(version, DATE, &skey);
        assert_eq!(
            header(&request, "authorization"),
            authorization(IKEY, &signature).expose_secret(),
            "{version:?}"
        );
        let digits = if version == SignatureVersion::V2Sha1 { 40 } else { 128 };
        assert_eq!(signature.expose_secret().len(), digits);
    }
    let canonical = Unsigned::new("post", "API-x.duosecurity.com", "/auth/v2/auth")
        .with_body(b"{}")
        .canonicalize(SignatureVersion::V4, DATE);
    // The digest of `{}` as in duo_client_java's HttpCanonV5RequestTest.
    assert_eq!(
        canonical.as_str(),
        format!(
            "{DATE}\nPOST\napi-x.duosecurity.com\n/auth/v2/auth\n\n\
             27c74670adb75075fad058d5ceaf7b20c4e7786c83bae8a32f626f9782af34c9\
             a33c2046ef60fd2a7878d378e29fec851806bbd9a67878f3a9f1cda4830763fd"
        )
    );
}

#[test]
fn a_query_is_signed_in_every_version() {
    let call = AuthStatus::new(Txid::parse("45f7c92b-f45f~/+").unwrap());
    let mut signatures = Vec::new();
    for version in VERSIONS {
        let request = api().with_signature(version).request(&call, at(NOW), ClockOffset::NONE).unwrap();
        assert_eq!(request.uri().query(), Some("txid=45f7c92b-f45f~%2F%2B"));
        signatures.push(header(&request, "authorization").to_owned());
    }
    signatures.dedup();
    assert_eq!(signatures.len(), 4);
}

#[test]
fn a_host_with_a_port_is_signed_without_it() {
    let host = ApiHosts::duo().also("127.0.0.1:8443").unwrap().parse("127.0.0.1:8443").unwrap();
    let api = AuthApi::new(host, IntegrationKey::parse(IKEY).unwrap(), SecretKey::parse(SKEY).unwrap());
    let request = api.request(&Check::new(), at(NOW), ClockOffset::NONE).unwrap();
    assert_eq!(request.uri(), "https://127.0.0.1:8443/auth/v2/check");
    let by_hand = Unsigned::new("GET", "127.0.0.1", "/auth/v2/check");
    let signature = by_hand.sign(SignatureVersion::V5, DATE, &SecretKey::parse(SKEY).unwrap());
    assert_eq!(header(&request, "authorization"), authorization(IKEY, &signature).expose_secret());
}

#[test]
fn a_date_is_duos() {
    let offset = ClockOffset::from_seconds(-600);
    let request = api().request(&Check::new(), at(NOW + 600), offset).unwrap();
    assert_eq!(header(&request, "date"), DATE);
    let early = api().request(&Check::new(), at(0), ClockOffset::from_seconds(i64::MIN)).unwrap();
    assert_eq!(header(&early, "date"), "Thu, 01 Jan 1970 00:00:00 -0000");
}

#[test]
fn s31_preauth_always_supports_verified_push() {
    let ip: IpAddr = "2001:db8::1".parse().unwrap();
    assert_eq!(
        body(&Preauth::new(User::id("DU1").unwrap())),
        json!({ "user_id": "DU1", "client_supports_verified_push": "1" })
    );
    let call = Preauth::new(ann())
        .with_ipaddr(ip)
        .with_hostname("laptop")
        .with_trusted_device_token(SecretText::new("token"));
    assert_eq!(
        body(&call),
        json!({
            "username": "ann", "ipaddr": "2001:db8::1", "hostname": "laptop", "trusted_device_token": "token",
            "client_supports_verified_push": "1",
        })
    );
}

#[test]
fn each_factor_has_its_own_parameters() {
    let push = Push::new(phone())
        .with_request_type("Transfer")
        .with_display_username("Ann")
        .with_push_info(PushInfo::new().with("from", "a b").unwrap().with("&=", "ü").unwrap())
        .verified(Txid::parse("tx").unwrap());
    let expected = [
        (Factor::Auto(DeviceChoice::Auto), json!({ "factor": "auto", "device": "auto" })),
        (Factor::Phone(phone()), json!({ "factor": "phone", "device": "DP1" })),
        (Factor::Sms(phone()), json!({ "factor": "sms", "device": "DP1" })),
        (Factor::Push(Push::new(DeviceChoice::Auto)), json!({ "factor": "push", "device": "auto" })),
        (
            Factor::Push(push),
            json!({
                "factor": "push", "device": "DP1", "type": "Transfer", "display_username": "Ann",
                "pushinfo": "from=a%20b&%26%3D=%C3%BC", "txid": "tx",
            }),
        ),
        // A passcode is for no device.
        (
            Factor::Passcode(Passcode::parse("123456").unwrap()),
            json!({ "factor": "passcode", "passcode": "123456" }),
        ),
    ];
    for (factor, mut expected) in expected {
        expected["username"] = json!("ann");
        expected["async"] = json!("0");
        assert_eq!(body(&Auth::new(ann(), factor.clone())), expected);
        expected["async"] = json!("1");
        expected["ipaddr"] = json!("192.0.2.1");
        expected["hostname"] = json!("laptop");
        let call = Auth::new(ann(), factor).asynchronous().with_ipaddr("192.0.2.1".parse().unwrap());
        assert_eq!(body(&call.with_hostname("laptop")), expected);
    }
}

#[test]
fn push_info_stays_under_its_limit() {
    let name = "n".repeat(9_000);
    let info = PushInfo::new().with(&name, &"v".repeat(10_998)).unwrap();
    assert_eq!(info.as_str().len(), 19_999);
    assert!(PushInfo::new().with(&name, &"v".repeat(10_999)).is_err());
    // Encoded, a space has three bytes.
    assert!(PushInfo::new().with("n", &" ".repeat(6_666)).is_err());
    assert_eq!(PushInfo::new().with("", "v").unwrap_err().code(), "parameter");
}

#[test]
fn what_cannot_be_sent_is_refused_by_name() {
    let name = |error: Error| match error {
        Error::Parameter { name, .. } => name,
        other => panic!("{other}"),
    };
    assert_eq!(name(User::name("").unwrap_err()), "username");
    assert_eq!(name(User::id("").unwrap_err()), "user_id");
    for bad in ["", " ", "12 34", "a\n", "ä", &"1".repeat(129)] {
        assert_eq!(name(Passcode::parse(bad).unwrap_err()), "passcode");
        assert_eq!(name(DeviceId::parse(bad).unwrap_err()), "device");
        assert_eq!(name(Txid::parse(bad).unwrap_err()), "txid");
    }
    // A YubiKey's.
    assert!(Passcode::parse("cccccccccccccccccccccccccccccccccccccccccccc").is_ok());
}

proptest! {
    #[test]
    fn a_canonical_query_says_what_was_given(pairs in prop::collection::vec((".{0,8}", ".{0,8}"), 0..6)) {
        let mut params = Params::new();
        for (name, value) in &pairs {
            params = params.with(name.clone(), value.clone());
        }
        let canonical = params.canonical();
        prop_assert!(canonical.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%=&".contains(&b)));
        let mut read: Vec<(String, String)> =
            url::form_urlencoded::parse(canonical.as_bytes()).into_owned().collect();
        // An empty pair cannot be told from none.
        let mut given: Vec<_> = pairs.into_iter().filter(|pair| *pair != Default::default()).collect();
        read.retain(|pair| *pair != Default::default());
        read.sort();
        given.sort();
        prop_assert_eq!(read, given);
    }

    #[test]
    fn a_signed_request_can_be_made_of_any_name(name in ".{1,40}", version in prop::sample::select(VERSIONS.to_vec())) {
        let api = api().with_signature(version);
        let request = api.request(&Preauth::new(User::name(&name).unwrap()), at(NOW), ClockOffset::NONE).unwrap();
        prop_assert_eq!(request.uri().path(), "/auth/v2/preauth");
        let pair = header(&request, "authorization").strip_prefix("Basic ").unwrap();
        let pair = BASE64.decode(pair.as_bytes()).unwrap();
        prop_assert!(pair.starts_with(b"DIXXXXXXXXXXXXXXXXXX:"));
    }

    #[test]
    fn no_headers_panic_and_their_order_does_not_matter(
        pairs in prop::collection::vec(("(x-duo-|X-Duo-)?[a-zA-Z\0]{0,2}", ".{0,4}"), 0..4),
    ) {
        let headers = |pairs: Vec<&(String, String)>| {
            DuoHeaders::new(pairs.into_iter().map(|(name, value)| (name.as_str(), value.as_str())))
        };
        match (headers(pairs.iter().collect()), headers(pairs.iter().rev().collect())) {
            (Ok(one), Ok(other)) => {
                prop_assert_eq!(one.hash(), other.hash());
                prop_assert_eq!(one.iter().count(), pairs.len());
            }
            (one, other) => prop_assert!(one.is_err() && other.is_err()),
        }
    }

    #[test]
    fn offsets_meet(ours in 0_u64..4_000_000_000, duos in 0_u64..4_000_000_000) {
        prop_assert_eq!(ClockOffset::between(at(duos), at(ours)).apply(at(ours)), at(duos));
    }

    #[test]
    fn push_info_round_trips(pairs in prop::collection::vec((".{1,8}", ".{0,8}"), 0..6)) {
        let mut info = PushInfo::new();
        for (name, value) in &pairs {
            info = info.with(name, value).unwrap();
        }
        let read: Vec<(String, String)> =
            url::form_urlencoded::parse(info.as_str().as_bytes()).into_owned().collect();
        prop_assert_eq!(read, pairs);
    }
}
