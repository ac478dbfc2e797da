//! Which addresses and URLs a request may go to.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use crate::Error;

/// Returns whether an address is one of the public internet: global unicast by the IANA registries of special-purpose
/// addresses (RFC 6890).
///
/// Not public are loopback, private, shared (RFC 6598), link-local, unique-local, multicast, unspecified, reserved,
/// documentation and benchmarking addresses, and every form that carries an IPv4 address in an IPv6 one: mapped,
/// compatible, 6to4, Teredo, and NAT64 (RFC 6052), so that a network without IPv4 needs a proxy.
///
/// ```
/// assert!(mfa_http::is_public("2606:4700::1111".parse().unwrap()));
/// assert!(!mfa_http::is_public("169.254.169.254".parse().unwrap()));
/// assert!(!mfa_http::is_public("::ffff:1.1.1.1".parse().unwrap()));
/// ```
#[must_use]
pub const fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

const fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        // This network; private use; loopback.
        [0 | 10 | 127, ..]
        // Shared address space.
        | [100, 64..=127, ..]
        // Link-local; private use.
        | [169, 254, ..] | [172, 16..=31, ..] | [192, 168, ..]
        // Protocol assignments; documentation; 6to4 relays.
        | [192, 0, 0 | 2, _] | [192, 88, 99, _]
        // Benchmarking; documentation.
        | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _]
        // Multicast; reserved; broadcast.
        | [224..=255, ..]
    )
}

const fn is_public_v6(address: Ipv6Addr) -> bool {
    // Global unicast is 2000::/3 alone; mapped, compatible, NAT64, unique-local, link-local and multicast are outside.
    match address.segments() {
        // Protocol assignments, Teredo among them; documentation; 6to4; documentation.
        [0x2001, 0..=0x01ff | 0x0db8, ..] | [0x2002, ..] | [0x3fff, 0..=0x0fff, ..] => false,
        [first, ..] => matches!(first, 0x2000..=0x3fff),
    }
}

/// Where a request may go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// To a public address; a name is still to be resolved.
    Public,
    /// To an authority that the host allowed.
    Allowed,
    Refused,
}

/// The rules for URLs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    allowed: BTreeSet<(Host, u16)>,
    pub(crate) proxy_host: Option<String>,
}

impl Rules {
    /// Allows an authority `host:port`.
    pub(crate) fn allow(&mut self, authority: &str) -> Result<(), Error> {
        let url = Url::parse(&format!("https://{authority}/")).map_err(|_| Error::InvalidAuthority)?;
        // The URL drops its scheme's own port, so that `host` and `host:443` would look the same.
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        match endpoint(&url) {
            // No pattern: a star would be a name that nothing has.
            Some(endpoint) if has_port && plain && !has_userinfo(&url) && !authority.contains('*') => {
                self.allowed.insert(endpoint);
                Ok(())
            }
            _ => Err(Error::InvalidAuthority),
        }
    }

    pub(crate) fn allows_any(&self) -> bool {
        !self.allowed.is_empty()
    }

    /// Judges a URL. Names are judged once more when they have been resolved.
    pub(crate) fn judge(&self, url: &Url) -> Destination {
        let Some(endpoint) = endpoint(url) else { return Destination::Refused };
        if has_userinfo(url) {
            return Destination::Refused;
        }
        let allowed = self.allowed.contains(&endpoint);
        match (url.scheme(), allowed) {
            ("https", true) => Destination::Allowed,
            ("http", true) if is_loopback(&endpoint.0) => Destination::Allowed,
            ("https", false) if self.may_be_public(&endpoint.0) => Destination::Public,
            _ => Destination::Refused,
        }
    }

    fn may_be_public(&self, host: &Host) -> bool {
        match host {
            // The proxy's name is resolved without the filter.
            Host::Domain(name) => self.proxy_host.as_deref() != Some(name),
            Host::Ipv4(address) => is_public_v4(*address),
            Host::Ipv6(address) => is_public_v6(*address),
        }
    }
}

fn endpoint(url: &Url) -> Option<(Host, u16)> {
    Some((url.host()?.to_owned(), url.port_or_known_default()?))
}

fn has_userinfo(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn public(address: &str) -> bool {
        is_public(address.parse().unwrap())
    }

    /// The rows of the IANA special-purpose address registries that are not globally reachable, first and last of each.
    #[test]
    fn special_purpose_addresses_are_not_public() {
        for address in [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.0.0",
            "169.254.169.254",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.0",
            "192.0.0.255",
            "192.0.2.0",
            "192.0.2.255",
            "192.88.99.1",
            "192.168.0.0",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.0",
            "203.0.113.255",
            "224.0.0.0",
            "239.255.255.255",
            "240.0.0.0",
            "255.255.255.255",
            "::",
            "::1",
            "::1.1.1.1",
            "::ffff:0:0",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::1.1.1.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:1ff:ffff::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "3fff:fff::1",
            "5f00::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "ffff::1",
            "4000::1",
            "1fff::1",
        ] {
            assert!(!public(address), "{address}");
        }
    }

    /// Their neighbours, and addresses of well-known resolvers.
    #[test]
    fn addresses_beside_the_special_ones_are_public() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "203.0.112.255",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2003::1",
            "3fff:1000::1",
            "2000::1",
        ] {
            assert!(public(address), "{address}");
        }
    }

    fn judge(rules: &Rules, url: &str) -> Destination {
        rules.judge(&Url::parse(url).unwrap())
    }

    #[test]
    fn only_https_to_names_and_public_addresses_is_public() {
        let rules = Rules::default();
        assert_eq!(judge(&rules, "https://api-x.duosecurity.com/a"), Destination::Public);
        assert_eq!(judge(&rules, "https://1.1.1.1/"), Destination::Public);
        for url in [
            "http://api-x.duosecurity.com/",
            "https://user@api-x.duosecurity.com/",
            "https://:p@example.com/",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.0.0.1/",
            "https://0/",
            "https://0177.0.0.1/",
            "https://127.0.0.1./",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest/meta-data",
            "ftp://example.com/",
            "data:text/plain,x",
        ] {
            assert_eq!(judge(&rules, url), Destination::Refused, "{url}");
        }
    }

    #[test]
    fn an_allowed_authority_is_exact() {
        let mut rules = Rules::default();
        for authority in ["127.0.0.1:8443", "[::1]:9000", "duo.test:443", "localhost:80", "10.0.0.1:80"] {
            rules.allow(authority).unwrap();
        }
        for url in [
            "https://127.0.0.1:8443/x",
            "http://127.0.0.1:8443/",
            "http://[::1]:9000/",
            "https://duo.test/",
            "http://localhost/",
            "https://10.0.0.1:80/",
        ] {
            assert_eq!(judge(&rules, url), Destination::Allowed, "{url}");
        }
        for url in [
            "https://127.0.0.1:8444/",
            "https://127.0.0.2:8443/",
            "http://duo.test:443/",
            "http://10.0.0.1/",
            "https://u@127.0.0.1:8443/",
            "ftp://127.0.0.1:8443/",
        ] {
            assert_eq!(judge(&rules, url), Destination::Refused, "{url}");
        }
    }

    #[test]
    fn an_authority_without_a_port_or_with_more_is_refused() {
        for authority in [
            "",
            "duo.test",
            "duo.test:",
            ":443",
            "[::1]",
            "a@b:1",
            "a:1/x",
            "a:1?x",
            "a:1#x",
            "a:70000",
            "*:1",
        ] {
            assert!(matches!(Rules::default().allow(authority), Err(Error::InvalidAuthority)), "{authority}");
        }
    }

    #[test]
    fn the_proxy_is_no_destination() {
        let rules = Rules { proxy_host: Some("proxy.internal".to_owned()), ..Rules::default() };
        assert_eq!(judge(&rules, "https://proxy.internal/"), Destination::Refused);
        assert_eq!(judge(&rules, "https://proxy.internal.example.com/"), Destination::Public);
    }

    proptest! {
        #[test]
        fn no_url_leads_to_an_address_that_is_not_public(octets: [u8; 4], v6: [u16; 8]) {
            let rules = Rules::default();
            for (address, host) in [
                (IpAddr::from(octets), IpAddr::from(octets).to_string()),
                (IpAddr::from(v6), format!("[{}]", IpAddr::from(v6))),
            ] {
                let expected = if is_public(address) { Destination::Public } else { Destination::Refused };
                prop_assert_eq!(judge(&rules, &format!("https://{host}/")), expected);
            }
        }
    }
}
