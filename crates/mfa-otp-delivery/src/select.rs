//! Which address a message goes to: one pure function over what is known of the user, the policy and the flags.
//!
//! The first row that fits decides, from the top:
//!
//! | what holds | the answer |
//! |---|---|
//! | the vendor has the feature off | [`NoMethod::VendorOff`] |
//! | the decision is not `Challenge` | [`NoMethod::NotChallenged`] |
//! | the profile has the second step off | [`NoMethod::ProfileOff`] |
//! | neither type is on | [`NoMethod::EveryTypeOff`] |
//! | the first medium of the order is usable | [`Selected`], there |
//! | the order has a second one, and that is usable | [`Selected`], there, with why the first was not |
//! | else | [`NoMethod::Unreachable`], with why each was not |
//!
//! A medium is usable as follows. The first row that fits is the reason:
//!
//! | e-mail | SMS | [`Unusable`] |
//! |---|---|---|
//! | its type is off | its type is off | `TypeOff` |
//! | no address | no number | `Missing` |
//! | not an address | not a number of any numbering plan | `Malformed` |
//! | flagged as undeliverable | – | `Undeliverable` |
//! | – | the region is not on the list | `RegionNotAllowed` |
//! | – | not a mobile line | `NotMobile` |
//!
//! So there is never more than one destination, and whoever cannot be reached is an error of its own, which a caller
//! cannot take for success. The presets differ in order and fallback alone:
//!
//! | preset | order | fallback on a permanent refusal |
//! |---|---|---|
//! | [`ChannelPolicy::total_uptime`] | SMS, then e-mail | yes |
//! | [`ChannelPolicy::kount`] | e-mail, then SMS | no |
//! | [`ChannelPolicy::b3_networks`] | e-mail | no |

mod kount;
mod rules;
mod user;

use mfa_core::NotDelivered;

use crate::address::{Destination, Medium};

pub use self::kount::{Decision, Flags, Indicator};
pub use self::rules::SmsRules;
pub use self::user::Reachable;

/// Chooses the destination of a message. It waits for nothing, and the host's hook for line types is the only code that
/// it calls.
///
/// ```
/// use mfa_otp_delivery::address::{Medium, Region};
/// use mfa_otp_delivery::select::{ChannelPolicy, Flags, NoMethod, Reachable, SmsRules, select};
///
/// let sms = SmsRules::allowing([Region::parse("DE")?]);
/// let bob = Reachable::none().with_email("bob@example.com").with_phone("+4915123456789", None);
/// let policy = ChannelPolicy::total_uptime(sms);
/// assert_eq!(select(&bob, &policy, &Flags::open())?.destination.medium(), Medium::Sms);
///
/// // A landline takes no text message: the code goes by e-mail.
/// let ann = Reachable::none().with_email("ann@example.com").with_phone("+4930123456", None);
/// assert_eq!(select(&ann, &policy, &Flags::open())?.destination.medium(), Medium::Email);
///
/// // Nobody is let in for want of an address.
/// let nobody = select(&Reachable::none(), &policy, &Flags::open()).unwrap_err();
/// assert!(matches!(nobody, NoMethod::Unreachable { .. }) && !nobody.is_gate());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`NoMethod`] if nothing is to be sent, or nothing can be.
pub fn select<'a>(
    user: &'a Reachable,
    policy: &ChannelPolicy,
    flags: &Flags,
) -> Result<Selected<'a>, NoMethod> {
    flags.gate()?;
    let (first, second) = policy.order.media();
    let first_reason = match user.usable(first, policy, flags) {
        Ok(destination) => return Ok(Selected { destination, instead_of: None }),
        Err(reason) => reason,
    };
    let second_reason = match second.map(|second| (second, user.usable(second, policy, flags))) {
        Some((_, Ok(destination))) => {
            return Ok(Selected { destination, instead_of: Some((first, first_reason)) });
        }
        Some((_, Err(reason))) => Some(reason),
        None => None,
    };
    let (email, sms) = match first {
        Medium::Email => (Some(first_reason), second_reason),
        Medium::Sms => (second_reason, Some(first_reason)),
    };
    Err(NoMethod::Unreachable { email, sms })
}

/// Chooses the destination after the message to `failed` was not accepted for `cause`: the medium that follows it in the
/// policy's order, if the policy falls back at all.
///
/// Only a permanent refusal of the destination leads anywhere (security rule S14). A timeout or a refusal for now would
/// let whoever can delay a message move it elsewhere. That a challenge falls back once at most is its keeper's to see to.
///
/// # Errors
/// [`NoFallback`] if the message goes nowhere else.
pub fn fall_back<'a>(
    user: &'a Reachable,
    policy: &ChannelPolicy,
    flags: &Flags,
    failed: Medium,
    cause: NotDelivered,
) -> Result<Selected<'a>, NoFallback> {
    if !matches!(cause, NotDelivered::Permanent) {
        return Err(NoFallback::NotPermanent);
    }
    let next = match policy.order.media() {
        (first, Some(second)) if policy.falls_back && first == failed => second,
        _ => return Err(NoFallback::NotByPolicy),
    };
    flags.gate().map_err(NoFallback::NoMethod)?;
    match user.usable(next, policy, flags) {
        Ok(destination) => Ok(Selected { destination, instead_of: Some((failed, Unusable::Refused)) }),
        Err(reason) => {
            let (email, sms) = match failed {
                Medium::Email => (Some(Unusable::Refused), Some(reason)),
                Medium::Sms => (Some(reason), Some(Unusable::Refused)),
            };
            Err(NoFallback::NoMethod(NoMethod::Unreachable { email, sms }))
        }
    }
}

/// The order of the media, which numbers take text messages, and whether a refused message goes the other way.
#[derive(Clone, Debug)]
pub struct ChannelPolicy {
    order: Order,
    sms: SmsRules,
    falls_back: bool,
}

/// The media in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Order {
    /// E-mail alone.
    Email,
    /// SMS alone.
    Sms,
    /// E-mail, or else SMS.
    EmailThenSms,
    /// SMS, or else e-mail.
    SmsThenEmail,
}

impl Order {
    const fn media(self) -> (Medium, Option<Medium>) {
        match self {
            Self::Email => (Medium::Email, None),
            Self::Sms => (Medium::Sms, None),
            Self::EmailThenSms => (Medium::Email, Some(Medium::Sms)),
            Self::SmsThenEmail => (Medium::Sms, Some(Medium::Email)),
        }
    }
}

impl ChannelPolicy {
    /// Takes an order and the rules for numbers; without a fallback.
    #[must_use]
    pub const fn new(order: Order, sms: SmsRules) -> Self {
        Self { order, sms, falls_back: false }
    }

    /// Tries the next medium of the order when a destination is refused for good.
    #[must_use]
    pub const fn with_fallback(mut self) -> Self {
        self.falls_back = true;
        self
    }

    /// SMS where there is a valid mobile number, else e-mail, which is the fallback too.
    #[must_use]
    pub const fn total_uptime(sms: SmsRules) -> Self {
        Self::new(Order::SmsThenEmail, sms).with_fallback()
    }

    /// E-mail, or else SMS; no fallback. The gates are in [`Flags`].
    #[must_use]
    pub const fn kount(sms: SmsRules) -> Self {
        Self::new(Order::EmailThenSms, sms)
    }

    /// E-mail and nothing else.
    #[must_use]
    pub const fn b3_networks() -> Self {
        Self::new(Order::Email, SmsRules::none())
    }
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Selected<'a> {
    /// The one address.
    pub destination: Destination<'a>,
    /// The medium that comes before it in the order, and why it was passed over.
    pub instead_of: Option<(Medium, Unusable)>,
}

/// Why a medium cannot be used for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unusable {
    /// Its type is off for everybody.
    TypeOff,
    /// The user has no such address.
    Missing,
    /// The address is none.
    Malformed,
    /// The mailbox is known not to take mail.
    Undeliverable,
    /// The number's region is not on the list.
    RegionNotAllowed,
    /// The number is not that of a mobile phone.
    NotMobile,
    /// The destination refused a message for good.
    Refused,
}

impl Unusable {
    /// Returns the stable name, as in `type_off`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TypeOff => "type_off",
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Undeliverable => "undeliverable",
            Self::RegionNotAllowed => "region_not_allowed",
            Self::NotMobile => "not_mobile",
            Self::Refused => "refused",
        }
    }
}

/// Why nothing is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoMethod {
    /// The vendor has not turned the feature on for this client.
    #[error("the feature is not on for this client")]
    VendorOff,
    /// The decision asks for no second step.
    #[error("the decision asks for no second step")]
    NotChallenged(Decision),
    /// The profile has the second step off.
    #[error("the profile has the second step off")]
    ProfileOff,
    /// Every type of message is off.
    #[error("every type of message is off")]
    EveryTypeOff,
    /// A second step is asked for, and the user cannot be reached: the login stays unfinished.
    #[error("the user cannot be reached")]
    Unreachable {
        /// Why not by e-mail; `None` if the policy does not try it.
        email: Option<Unusable>,
        /// Why not by SMS; `None` if the policy does not try it.
        sms: Option<Unusable>,
    },
}

impl NoMethod {
    /// Returns whether a gate is closed: no second step is asked for and the decision stands as it is. Where it is not
    /// a gate, the second step has failed.
    #[must_use]
    pub const fn is_gate(&self) -> bool {
        match self {
            Self::VendorOff | Self::NotChallenged(_) | Self::ProfileOff | Self::EveryTypeOff => true,
            Self::Unreachable { .. } => false,
        }
    }

    /// Returns the stable name, as in `vendor_off`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::VendorOff => "vendor_off",
            Self::NotChallenged(_) => "not_challenged",
            Self::ProfileOff => "profile_off",
            Self::EveryTypeOff => "every_type_off",
            Self::Unreachable { .. } => "unreachable",
        }
    }
}

/// Why a refused message goes nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoFallback {
    /// The destination was not refused for good, so that the message may have left.
    #[error("the destination was not refused for good")]
    NotPermanent,
    /// The policy does not fall back from there.
    #[error("the policy has no fallback")]
    NotByPolicy,
    /// The next medium cannot be used.
    #[error("the fallback cannot be used")]
    NoMethod(#[source] NoMethod),
}
