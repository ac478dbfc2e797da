//! Exemptions: which logins of a user's programs are not asked for a second step.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use std::net::IpAddr;

use audit_model::{Timestamp, UserId};

use crate::{ExemptionId, FieldError, FirstFactorKind, Module};

/// The most exemptions that are kept of a user.
pub(crate) const MAX_EXEMPTIONS: usize = 16;
/// The longest life of one: a year.
pub(crate) const LONGEST_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
const MAX_NETWORKS: usize = 16;
const MAX_REASON_CHARS: usize = 200;

/// What an exemption says: through which module, with which first factor, from where and until when a user is not
/// asked for a second step, and why. It is for the logins of programs: a password never meets one.
///
/// ```
/// use mfa_core::{ExemptionTerms, FirstFactorKind, Module, Timestamp};
/// let until = Timestamp::from_unix_seconds(1_830_000_000).unwrap();
/// let (module, why) = (Module::parse("api_auth").unwrap(), "the nightly export");
/// let terms = ExemptionTerms::new(module.clone(), FirstFactorKind::ApiKey, why, until).unwrap();
/// let terms = terms.from_networks(vec!["192.0.2.0/24".parse().unwrap()]).unwrap();
/// assert_eq!(terms.reason(), "the nightly export");
///
/// let refused = ExemptionTerms::new(module, FirstFactorKind::Password, why, until).unwrap_err();
/// assert_eq!(refused.code, "not_of_a_program");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExemptionTerms {
    pub(crate) module: Module,
    pub(crate) first_factor: FirstFactorKind,
    pub(crate) networks: Vec<Network>,
    pub(crate) reason: String,
    pub(crate) until: Timestamp,
}

impl ExemptionTerms {
    /// States that logins through `module` by `first_factor` are exempt until `until`, from everywhere, because of
    /// `reason`.
    ///
    /// # Errors
    /// [`FieldError`] with code `not_of_a_program` unless `first_factor` is an API key or a client certificate, and
    /// for a reason that is blank, longer than 200 characters, or holds a control character. How far `until` may be is
    /// checked when the exemption is granted.
    pub fn new(
        module: Module,
        first_factor: FirstFactorKind,
        reason: impl Into<String>,
        until: Timestamp,
    ) -> Result<Self, FieldError> {
        if !first_factor.is_of_a_program() {
            let problem = "must be api_key or mtls: whoever logs in otherwise can be asked";
            return Err(FieldError::new("first_factor", "not_of_a_program", problem));
        }
        let reason = checked_reason(reason.into())?;
        Ok(Self { module, first_factor, networks: Vec::new(), reason, until })
    }

    /// Narrows it to logins from these networks; a login whose address the host does not give is then not exempt.
    ///
    /// # Errors
    /// [`FieldError`] for more than 16 networks.
    pub fn from_networks(mut self, networks: Vec<Network>) -> Result<Self, FieldError> {
        if networks.len() > MAX_NETWORKS {
            let problem = format!("has {} networks, the limit is {MAX_NETWORKS}", networks.len());
            return Err(FieldError::new("networks", "too_long", problem));
        }
        self.networks = networks;
        Ok(self)
    }

    /// Returns the module.
    #[must_use]
    pub const fn module(&self) -> &Module {
        &self.module
    }

    /// Returns the kind of first factor.
    #[must_use]
    pub const fn first_factor(&self) -> FirstFactorKind {
        self.first_factor
    }

    /// Returns the networks it is narrowed to; none for every one.
    #[must_use]
    pub fn networks(&self) -> &[Network] {
        &self.networks
    }

    /// Returns why it was granted.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns from when on it counts for nothing.
    #[must_use]
    pub const fn until(&self) -> Timestamp {
        self.until
    }

    /// Checks how long it would live from `now` on.
    pub(crate) fn check_life(&self, now: Timestamp) -> Result<(), FieldError> {
        if self.until <= now || self.until > now.plus(LONGEST_LIFE) {
            return Err(FieldError::new("until", "clamp", "must be later than now, and within 365 days"));
        }
        Ok(())
    }

    /// Lists the networks in one line.
    pub(crate) fn networks_text(&self) -> String {
        self.networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    /// Says all of it in one text, so that no two terms are said alike.
    pub(crate) fn to_detail(&self) -> String {
        let (until, networks) = (self.until.unix_millis(), self.networks_text());
        // Only the last part may hold what separates them.
        format!("{}\n{}\n{until}\n{networks}\n{}", self.module, self.first_factor.code(), self.reason)
    }
}

fn checked_reason(reason: String) -> Result<String, FieldError> {
    if reason.trim().is_empty() {
        return Err(FieldError::new("reason", "required", "is empty"));
    }
    let length = reason.chars().count();
    if length > MAX_REASON_CHARS {
        let problem = format!("has {length} characters, the limit is {MAX_REASON_CHARS}");
        return Err(FieldError::new("reason", "too_long", problem));
    }
    if reason.chars().any(char::is_control) {
        return Err(FieldError::new("reason", "invalid", "holds a control character"));
    }
    Ok(reason)
}

/// An exemption, as the report of an account's exemptions shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exemption {
    /// Its id.
    pub id: ExemptionId,
    /// Whose logins it is for.
    pub user: UserId,
    /// What it says.
    pub terms: ExemptionTerms,
    /// Who granted it: the id of an administrator, behind `account/` for one of another account, or the name that the
    /// host gave.
    pub granted_by: String,
    /// When it was granted.
    pub granted_at: Timestamp,
    /// When it was used last, to the day: the first login that it let in on the latest day, in UTC, on which it let
    /// one in. `None` where it was never used. Each login is in the log.
    pub last_used: Option<Timestamp>,
    /// Whether it counts.
    pub state: ExemptionState,
}

/// Whether an exemption counts, as far as it says so itself: the policy may let none count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExemptionState {
    /// It does.
    Live,
    /// Its time is over.
    Expired,
    /// The directory has no such user any more, or another person under that id.
    OfAnother,
}

impl ExemptionState {
    /// Returns the stable name: `live`, `expired` or `of_another`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Expired => "expired",
            Self::OfAnother => "of_another",
        }
    }
}

/// A network that logins come from: an address and how many of its first bits count (RFC 4632 §3.1, RFC 4291 §2.3).
///
/// ```
/// use mfa_core::Network;
/// let office: Network = "192.0.2.0/24".parse().unwrap();
/// assert!(office.contains("192.0.2.77".parse().unwrap()));
/// // An IPv4 address in the form of IPv6 is that IPv4 address.
/// assert!(office.contains("::ffff:192.0.2.77".parse().unwrap()));
/// assert!(!office.contains("192.0.3.1".parse().unwrap()));
///
/// // An address alone is a network of one; a network has no bits behind its prefix.
/// assert_eq!("2001:db8::1".parse::<Network>().unwrap().to_string(), "2001:db8::1/128");
/// assert_eq!("192.0.2.77/24".parse::<Network>().unwrap_err().code, "host_bits");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    pub(crate) address: IpAddr,
    /// invariant: at most the bits of the address.
    pub(crate) prefix: u8,
}

impl Network {
    /// Returns whether an address is in it.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => {
                let behind = 32_u32.saturating_sub(self.prefix.into());
                (u32::from(network) ^ u32::from(ip)).checked_shr(behind).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(ip)) => {
                let behind = 128_u32.saturating_sub(self.prefix.into());
                (u128::from(network) ^ u128::from(ip)).checked_shr(behind).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    /// Returns whether no bit is set behind the prefix.
    fn is_first_address(&self) -> bool {
        match self.address {
            IpAddr::V4(ip) => u32::from(ip).checked_shl(self.prefix.into()).unwrap_or(0) == 0,
            IpAddr::V6(ip) => u128::from(ip).checked_shl(self.prefix.into()).unwrap_or(0) == 0,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Network {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let problem = || {
            let problem = "must be an address, or one with a prefix as in 192.0.2.0/24 or 2001:db8::/32";
            FieldError::new("networks", "invalid", problem)
        };
        let (address, prefix) = text.split_once('/').map_or((text, None), |(ip, bits)| (ip, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| problem())?;
        if address.to_canonical() != address {
            return Err(problem());
        }
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(bits) if !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit()) => {
                bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(problem)?
            }
            Some(_) => return Err(problem()),
        };
        let network = Self { address, prefix };
        let has_host_bits = || {
            let problem = "must not set bits behind the prefix: name the network's first address";
            FieldError::new("networks", "host_bits", problem)
        };
        network.is_first_address().then_some(network).ok_or_else(has_host_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(network: &str, ip: &str) -> bool {
        network.parse::<Network>().unwrap().contains(ip.parse().unwrap())
    }

    /// By hand, from the bits.
    #[test]
    fn a_network_holds_the_addresses_that_begin_with_its_bits() {
        let rows = [
            ("0.0.0.0/0", "255.255.255.255", true),
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("192.0.2.128/25", "192.0.2.127", false),
            ("192.0.2.128/25", "192.0.2.128", true),
            ("198.51.100.7", "198.51.100.7", true),
            ("198.51.100.7", "198.51.100.6", false),
            ("198.51.100.6/31", "198.51.100.7", true),
            ("198.51.100.6/31", "198.51.100.8", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "192.0.2.1", false),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("2001:db8::5/128", "2001:db8::5", true),
            ("2001:db8::5/128", "2001:db8::4", false),
            ("::/0", "::ffff:192.0.2.1", false),
        ];
        for (network, ip, expected) in rows {
            assert_eq!(holds(network, ip), expected, "{ip} in {network}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0.0/8/8",
            "10/8",
            "2001:db8::/129",
            "::ffff:10.0.0.0/104",
            "::ffff:10.0.0.1",
            "10.0.0.0 /8",
            "localhost",
            "10.0.0.0/999",
        ] {
            assert_eq!(text.parse::<Network>().unwrap_err().code, "invalid", "{text:?}");
        }
        for text in ["10.0.0.1/8", "0.0.0.1/0", "2001:db8::1/127", "::1/0"] {
            assert_eq!(text.parse::<Network>().unwrap_err().code, "host_bits", "{text:?}");
        }
    }
}
