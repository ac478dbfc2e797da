//! Where a message goes: canonical e-mail addresses and telephone numbers, each in a form for machines and one
//! for people.

mod domain;
mod email;
mod phone;
mod plan;

use mfa_core::{Channel, SecretText};

pub use self::domain::Domain;
pub use self::email::Email;
pub use self::phone::{LineType, Phone, Region};

/// The two ways that messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Medium {
    /// E-mail.
    Email,
    /// A text message to a mobile number.
    Sms,
}

impl Medium {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Email, Self::Sms];

    /// Returns the stable name: `email` or `sms`, as Kount's `mfaType` has it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
        }
    }

    /// Returns the engine's word for it.
    #[must_use]
    pub const fn channel(self) -> Channel {
        match self {
            Self::Email => Channel::Email,
            Self::Sms => Channel::Phone,
        }
    }
}

/// One address of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Destination<'a> {
    /// A mailbox.
    Email(&'a Email),
    /// A number that takes text messages.
    Sms(&'a Phone),
}

impl Destination<'_> {
    /// Returns the way there.
    #[must_use]
    pub const fn medium(&self) -> Medium {
        match self {
            Self::Email(_) => Medium::Email,
            Self::Sms(_) => Medium::Sms,
        }
    }

    /// Returns the canonical form: what a message is addressed to, and what a code is bound to (security rule S33).
    #[must_use]
    pub fn canonical(&self) -> SecretText {
        match self {
            Self::Email(email) => SecretText::new(email.as_str()),
            Self::Sms(phone) => SecretText::new(phone.as_str()),
        }
    }

    /// Returns a form that may be shown to whoever logs in: `b…@example.com` or `…0100`.
    #[must_use]
    pub fn masked(&self) -> String {
        match self {
            Self::Email(email) => email.masked(),
            Self::Sms(phone) => phone.masked(),
        }
    }
}
