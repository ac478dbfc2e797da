use proptest::prelude::*;

use crate::{AuditError, parse_address};

#[test]
fn every_spelling_of_one_address_is_equal() {
    let spellings = [
        ("10.1.0.2", "10.1.0.2"),
        ("10.1.0.2:8000", "10.1.0.2"),
        (" 10.1.0.2 ", "10.1.0.2"),
        ("::ffff:10.1.0.2", "10.1.0.2"),
        ("::ffff:0a01:2", "10.1.0.2"),
        ("[::ffff:10.1.0.2]:443", "10.1.0.2"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[0000:0000:0000:0000:0000:ffff:255.255.255.255]:65535", "255.255.255.255"),
    ];
    for (text, address) in spellings {
        assert_eq!(parse_address(text).unwrap().to_string(), address, "{text}");
    }
}

#[test]
fn what_is_not_one_whole_address_is_refused_and_the_field_is_named() {
    let long = "1".repeat(65);
    let texts = [
        "",
        " ",
        "10.1.0",
        "10.1.0.",
        "10.1.0.0/24",
        "10.1.0.256",
        "010.1.0.2",
        "10.1.0.2:",
        "10.1.0.2:65536",
        "example.com",
        "localhost:80",
        "10.1.0.2, 10.1.0.3",
        "[10.1.0.2]",
        "[2001:db8::1",
        "2001:db8::1]:443",
        "fe80::1%eth0",
        "[fe80::1%3]:443",
        "2001:db8::1::2",
        "1",
        "0x0a010002",
        "10.1.0.2\u{0}",
        &long,
    ];
    for text in texts {
        let refused = parse_address(text);
        assert!(matches!(refused, Err(AuditError::InvalidIp { .. })), "{text}: {refused:?}");
    }
}

#[test]
fn the_length_limit_is_named() {
    let refused = parse_address(&"1".repeat(1_000_000)).unwrap_err();
    assert_eq!(refused.to_string(), "ip: has 1000000 bytes, the limit is 64");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = parse_address(&text);
    }

    #[test]
    fn every_address_is_read_back_with_and_without_a_port(ip in any::<std::net::IpAddr>(), port in any::<u16>()) {
        let with_port = std::net::SocketAddr::new(ip, port).to_string();
        prop_assert_eq!(parse_address(&ip.to_string()).unwrap(), ip.to_canonical());
        prop_assert_eq!(parse_address(&with_port).unwrap(), ip.to_canonical());
    }
}
