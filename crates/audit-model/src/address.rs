//! Addresses as a person types them or a proxy sends them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::AuditError;

/// The longest text that can hold an address with a port, in bytes, with some white space around it.
const MAX_BYTES: usize = 64;

/// Reads an IP address, with or without a port, and gives it in canonical form: the port is left out and an
/// IPv4 address mapped into IPv6 (RFC 4291 §2.5.5.2) becomes IPv4.
///
/// Takes `10.1.0.2`, `10.1.0.2:8000`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:443` and
/// `::ffff:10.1.0.2`, with white space around them. Two spellings of one address are equal afterwards. What
/// is not exactly one whole address is refused: host names, prefixes, lists, zones (`fe80::1%eth0`).
///
/// # Errors
/// [`AuditError::Invalid`] with the field `ip`; the text is not repeated.
///
/// ```
/// use audit_model::parse_address;
/// assert_eq!(parse_address("10.1.0.2:8000").unwrap().to_string(), "10.1.0.2");
/// assert_eq!(parse_address("[2001:0db8:0::1]:443").unwrap(), parse_address("2001:db8::1").unwrap());
/// assert_eq!(parse_address("10.1.0").unwrap_err().code(), "invalid_ip");
/// ```
pub fn parse_address(text: &str) -> Result<IpAddr, AuditError> {
    let invalid = |problem: String| AuditError::InvalidIp { problem };
    if text.len() > MAX_BYTES {
        return Err(invalid(format!("has {} bytes, the limit is {MAX_BYTES}", text.len())));
    }
    let text = text.trim_ascii();
    if text.is_empty() {
        return Err(invalid("is empty; give one IPv4 or IPv6 address".to_owned()));
    }
    // The standard library reads `%3` as a scope, which has a meaning on one machine only.
    let address = if text.contains('%') { None } else { plain(text).or_else(|| with_port(text)) };
    let problem = "is not one whole IPv4 or IPv6 address, with or without a port";
    address.map(|ip| ip.to_canonical()).ok_or_else(|| invalid(problem.to_owned()))
}

fn plain(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

fn with_port(text: &str) -> Option<IpAddr> {
    text.parse::<SocketAddr>().ok().map(|address| address.ip())
}
