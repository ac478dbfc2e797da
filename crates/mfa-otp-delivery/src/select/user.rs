//! What is known of where a user can be reached.

use super::{ChannelPolicy, Flags, Unusable};
use crate::address::{Destination, Email, Medium, Phone, Region};

/// Where a user can be reached, parsed once. At most one address of each kind.
#[derive(Clone, Debug, Default)]
pub struct Reachable {
    email: Held<Email>,
    undeliverable: bool,
    phone: Held<Phone>,
}

#[derive(Clone, Debug, Default)]
enum Held<T> {
    #[default]
    Missing,
    Malformed,
    Parsed(T),
}

impl Reachable {
    /// Nowhere.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// By e-mail at this address. Empty text is no address, and what does not parse is known to be malformed.
    #[must_use]
    pub fn with_email(mut self, text: &str) -> Self {
        self.email = Held::of(text, |text| Email::parse(text).ok());
        self
    }

    /// Flags the e-mail address as one that takes no mail.
    #[must_use]
    pub const fn with_undeliverable_email(mut self) -> Self {
        self.undeliverable = true;
        self
    }

    /// By telephone at this number; see [`Phone::parse`]. Empty text is no number.
    #[must_use]
    pub fn with_phone(mut self, text: &str, home: Option<Region>) -> Self {
        self.phone = Held::of(text, |text| Phone::parse(text, home).ok());
        self
    }

    /// Returns the destination of `medium`, or the first row of the table in the parent module that rules it out.
    pub(super) fn usable(
        &self,
        medium: Medium,
        policy: &ChannelPolicy,
        flags: &Flags,
    ) -> Result<Destination<'_>, Unusable> {
        if !flags.allows(medium) {
            return Err(Unusable::TypeOff);
        }
        match medium {
            Medium::Email => {
                let email = self.email.parsed()?;
                if self.undeliverable { Err(Unusable::Undeliverable) } else { Ok(Destination::Email(email)) }
            }
            Medium::Sms => {
                let phone = self.phone.parsed()?;
                policy.sms.check(phone).map(|()| Destination::Sms(phone))
            }
        }
    }
}

impl<T> Held<T> {
    fn of(text: &str, parse: impl FnOnce(&str) -> Option<T>) -> Self {
        if text.is_empty() { Self::Missing } else { parse(text).map_or(Self::Malformed, Self::Parsed) }
    }

    const fn parsed(&self) -> Result<&T, Unusable> {
        match self {
            Self::Missing => Err(Unusable::Missing),
            Self::Malformed => Err(Unusable::Malformed),
            Self::Parsed(address) => Ok(address),
        }
    }
}
