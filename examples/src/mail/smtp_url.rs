//! A mail server named by a URL.

use std::net::IpAddr;

use mfa::SecretText;
use mfa::delivery::transport::smtp::{Smtp, SmtpBuilder};
use url::{Host, Url, form_urlencoded};

use crate::Failure;

/// Reads `smtps://user:password@host:port`, or `smtp://…`: the first is TLS from the first byte, the second asks for
/// TLS before anything else, and does without it only where the host is an address of this machine. Returns the host,
/// too, which can be shown.
pub(super) fn smtp_of(text: &str) -> Result<(SmtpBuilder, String), Failure> {
    let refused = |problem: &str| Failure::usage(format!("--smtp {problem}"));
    let url = Url::parse(text).map_err(|_| refused("must be a url, as smtps://user:password@host"))?;
    let host = url.host().ok_or_else(|| refused("must name a host"))?;
    let loopback = match &host {
        Host::Ipv4(address) => Some(IpAddr::V4(*address)),
        Host::Ipv6(address) => Some(IpAddr::V6(*address)),
        // A scheme that `url` does not know leaves addresses as they are written.
        Host::Domain(name) => name.parse().ok(),
    };
    let name = loopback.map_or_else(|| host.to_string(), |address| address.to_string());
    let loopback = loopback.filter(IpAddr::is_loopback);
    let smtp = match (url.scheme(), loopback) {
        ("smtps", _) => Smtp::tls(&name),
        ("smtp", Some(address)) => Smtp::danger_plain(address),
        ("smtp", None) => Smtp::starttls(&name),
        _ => return Err(refused("must begin with smtp:// or smtps://")),
    };
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(refused("must end with the host or its port"));
    }
    let smtp = url.port().into_iter().fold(smtp, SmtpBuilder::port);
    let smtp = match (url.username(), url.password()) {
        ("", None) => smtp,
        (user, Some(password)) => smtp.sign_in(&decoded(user), SecretText::new(decoded(password))),
        (_, None) => return Err(refused("must have a password where it has a user")),
    };
    Ok((smtp, name))
}

/// Undoes the percent-encoding of a part of a URL.
fn decoded(part: &str) -> String {
    // In a form `+` and `&` would mean something else.
    let form = format!("v={}", part.replace('+', "%2B").replace('&', "%26"));
    form_urlencoded::parse(form.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}
