//! Which hosts signed requests may go to (security rule S7).

use mfa_duo::{ApiHost, ApiHosts};
use proptest::prelude::*;

#[test]
fn s07_duos_own_hosts_are_taken() {
    for name in [
        "api-1b9e2f0c.duosecurity.com",
        "API-1B9E2F0C.DuoSecurity.com",
        "api-XXXXXXX.test.duosecurity.com",
        "api-1b9e2f0c.duofederal.com",
    ] {
        let host = ApiHost::parse(name).unwrap();
        assert_eq!(host.host(), name.to_ascii_lowercase());
        assert_eq!(host.authority(), name);
    }
}

#[test]
fn s07_every_other_host_is_refused() {
    let long = format!("{}.duosecurity.com", "a.".repeat(130));
    let long_label = format!("{}.duosecurity.com", "a".repeat(64));
    for name in [
        "",
        "duosecurity.com",
        ".duosecurity.com",
        "evilduosecurity.com",
        "evil.io",
        "api-x.duosecurity.com.evil.io",
        "api-x.duosecurity.com.",
        "api-x..duosecurity.com",
        "-x.duosecurity.com",
        "x-.duosecurity.com",
        "api-x.duosecurity.com:443",
        "api-x.duosecurity.com:",
        "user@api-x.duosecurity.com",
        "user:password@api-x.duosecurity.com",
        "evil.io@api-x.duosecurity.com",
        "https://api-x.duosecurity.com",
        "//api-x.duosecurity.com",
        "api-x.duosecurity.com/",
        "api-x.duosecurity.com/auth",
        "evil.io/.duosecurity.com",
        "evil.io#.duosecurity.com",
        "evil.io?.duosecurity.com",
        "evil.io\\.duosecurity.com",
        "evil.io%2f.duosecurity.com",
        " api-x.duosecurity.com",
        "api-x.duosecurity.com ",
        "api-x.duosecurity.com\n",
        "api-x\0.duosecurity.com",
        "api_x.duosecurity.com",
        "apı-x.duosecurity.com",
        "api-x.duosecurıty.com",
        "api-x。duosecurity.com",
        "127.0.0.1",
        "169.254.169.254",
        "[::1]",
        "2130706433",
        "localhost",
        "{DUO_HOST_NAME}",
        &long,
        &long_label,
    ] {
        let error = ApiHost::parse(name).unwrap_err();
        assert_eq!(error.code(), "api_host", "{name:?}");
        let shown = format!("{error} {error:?}");
        assert!(!["evil", "169.254", "HOST_NAME"].iter().any(|part| shown.contains(part)), "{name:?}");
        assert!(ApiHosts::duo().parse(name).is_err(), "{name:?}");
    }
}

#[test]
fn s07_host_code_allows_exactly_what_it_names() {
    let hosts = ApiHosts::duo().also("127.0.0.1:8443").unwrap().also("[::1]:8443").unwrap();
    let hosts = hosts.also("Duo.Example.com").unwrap();
    for (name, host) in [
        ("127.0.0.1:8443", "127.0.0.1"),
        ("[::1]:8443", "[::1]"),
        ("duo.example.COM", "duo.example.com"),
        ("api-x.duosecurity.com", "api-x.duosecurity.com"),
    ] {
        let parsed = hosts.parse(name).unwrap();
        assert_eq!((parsed.host(), parsed.authority()), (host, name));
    }
    for name in [
        "127.0.0.1",
        "127.0.0.1:8444",
        "127.0.0.1:08443",
        "[::1]",
        "duo.example.com:443",
        "x.duo.example.com",
        "duo.example.com.",
    ] {
        assert!(hosts.parse(name).is_err(), "{name}");
    }
    // What was allowed in one place is not allowed in another.
    assert!(ApiHost::parse("127.0.0.1:8443").is_err());
}

#[test]
fn s07_what_has_another_meaning_in_a_url_cannot_be_allowed() {
    for name in [
        "",
        ":8443",
        "host:",
        "host:+80",
        "host:65536",
        "host:80:80",
        "user@host",
        "host/path",
        "http://host",
        "host?",
        "host#",
        "[::1",
        "[::1]x",
        "[host]",
        "::1",
        "ho st",
    ] {
        assert!(ApiHosts::duo().also(name).is_err(), "{name:?}");
    }
}

proptest! {
    #[test]
    fn what_is_taken_is_the_host_of_its_url(name in "[a-zA-Z0-9.:@/?#%\\\\ _-]{0,12}(\\.duosecurity\\.com)?[.:/@a-z]{0,3}") {
        if let Ok(host) = ApiHost::parse(&name) {
            let url = url::Url::parse(&format!("https://{}/auth/v2/ping", host.authority())).unwrap();
            prop_assert_eq!(url.host_str(), Some(host.host()));
            prop_assert!(host.host().ends_with(".duosecurity.com"));
            prop_assert_eq!(url.username(), "");
            prop_assert_eq!(url.port(), None);
        }
    }

    #[test]
    fn what_host_code_allows_is_the_host_of_its_url(name in "[a-z0-9.:@\\[\\]-]{1,16}") {
        if let Ok(hosts) = ApiHosts::duo().also(&name) {
            let host = hosts.parse(&name).unwrap();
            // A name that ends in digits is an address to a URL, or none at all.
            if let Ok(url) = url::Url::parse(&format!("https://{}/", host.authority())) {
                prop_assert_eq!(url.username(), "");
                if !host.host().bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b'.' | b':' | b'[' | b']' | b'x')) && !host.host().contains("xn--") {
                    prop_assert_eq!(url.host_str(), Some(host.host()));
                }
            }
        }
    }

    #[test]
    fn no_text_panics(name in ".*") {
        let _ = ApiHost::parse(&name);
        let _ = ApiHosts::duo().also(&name);
    }
}
