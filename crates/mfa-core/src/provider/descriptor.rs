//! What a provider is, in the words of the standards.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::{AnswerKind, EffectKind};
use crate::ProviderName;

/// Describes a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Descriptor {
    /// Its name.
    pub name: ProviderName,
    /// What its enrolments are to a user.
    pub role: Role,
    /// The kind of factor it proves.
    pub factor: Factor,
    /// The way its answer travels.
    pub channel: Channel,
    /// Further ways, for a provider with several; its evidence names the one that was taken.
    pub other_channels: Vec<Channel>,
    /// What it proves, in the values of RFC 8176.
    pub amr: Vec<Amr>,
    /// The highest level it can prove.
    pub aal: Aal,
    /// Whether a look-alike site cannot use what the user gives it (SP 800-63B-4 §3.2.5).
    pub phishing_resistant: bool,
    /// The bits of entropy of one answer. Below 64 the engine limits the failures (SP 800-63B-4 §3.2.2).
    pub answer_bits: u16,
    /// The kinds of answers it takes.
    pub answers: Vec<AnswerKind>,
    /// The effects it may ask for; an engine that cannot run them does not build.
    pub effects: Vec<EffectKind>,
    /// Whether a user may hold several enrolments of it.
    pub several: bool,
    /// Whether three consecutive answers of it lift a delay.
    pub unlocks: bool,
    /// The names of the `danger_` values it was set up with; the engine lists them with its own.
    pub dangers: Vec<&'static str>,
}

impl Descriptor {
    /// Describes a provider of codes that a person types: a possession factor of AAL2, not resistant to
    /// phishing, with `otp` as its AMR value.
    #[must_use]
    pub fn one_time_code(name: ProviderName, answer_bits: u16) -> Self {
        Self {
            name,
            role: Role::Factor,
            factor: Factor::Possession,
            channel: Channel::Device,
            other_channels: Vec::new(),
            amr: vec![Amr::Otp],
            aal: Aal::Two,
            phishing_resistant: false,
            answer_bits,
            answers: vec![AnswerKind::Code],
            effects: Vec::new(),
            several: true,
            unlocks: false,
            dangers: Vec::new(),
        }
    }

    /// Describes a provider of saved secrets that let a user in who lost every other method (SP 800-63B-4 §4.2.1.1):
    /// evidence of AAL1 without an AMR value, as RFC 8176 has none for recovery. A user holds one set of them.
    #[must_use]
    pub fn recovery(name: ProviderName, answer_bits: u16) -> Self {
        Self {
            name,
            role: Role::Recovery,
            factor: Factor::Possession,
            channel: Channel::Direct,
            other_channels: Vec::new(),
            amr: Vec::new(),
            aal: Aal::One,
            phishing_resistant: false,
            answer_bits,
            answers: vec![AnswerKind::Recovery],
            effects: Vec::new(),
            several: false,
            unlocks: false,
            dangers: Vec::new(),
        }
    }

    /// Returns the full strength of the provider's evidence.
    #[must_use]
    pub fn strength(&self) -> Strength {
        Strength {
            factor: self.factor,
            channel: self.channel,
            amr: self.amr.clone(),
            aal: self.aal,
            phishing_resistant: self.phishing_resistant,
            approve_only: false,
        }
    }

    /// Returns whether its answers reach the user through a mailbox or the telephone network.
    #[must_use]
    pub const fn is_delivered(&self) -> bool {
        matches!(self.channel, Channel::Email | Channel::Phone)
    }

    /// Returns whether wrong answers must be counted over time.
    #[must_use]
    pub const fn is_low_entropy(&self) -> bool {
        self.answer_bits < 64
    }
}

/// What an enrolment is to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// A second factor: having one means that logins are asked for it.
    Factor,
    /// A way back in for a user who lost the others. It is issued and acknowledged instead of confirmed by an
    /// answer, never asked for first, and proves nothing that a change of the user's methods needs.
    Recovery,
}

/// What an accepted answer proves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Strength {
    /// The kind of factor.
    pub factor: Factor,
    /// The way the answer travelled.
    pub channel: Channel,
    /// RFC 8176 values.
    pub amr: Vec<Amr>,
    /// The level.
    pub aal: Aal,
    /// Whether a look-alike site could not have used it.
    pub phishing_resistant: bool,
    /// Whether all it took was to approve, with nothing carried over from the login: whoever began that may be somebody
    /// else. No device is trusted by it, whatever level it is accepted at.
    pub approve_only: bool,
}

impl Strength {
    /// Says what an answer proves: not resistant to phishing.
    #[must_use]
    pub const fn new(factor: Factor, channel: Channel, amr: Vec<Amr>, aal: Aal) -> Self {
        Self { factor, channel, amr, aal, phishing_resistant: false, approve_only: false }
    }

    /// Says that all it took was to approve.
    #[must_use]
    pub const fn by_approval(mut self) -> Self {
        self.approve_only = true;
        self
    }
}

/// The kinds of factors of SP 800-63B-4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Factor {
    /// Something the user knows.
    Knowledge,
    /// Something the user has.
    Possession,
    /// Something the user is.
    Inherence,
}

/// The way an answer or a first factor travels. The same channel twice is one factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Channel {
    /// The page or program that logs in.
    Direct,
    /// An authenticator that the user holds.
    Device,
    /// E-mail.
    Email,
    /// The telephone network.
    Phone,
    /// A push to an app.
    Push,
}

impl Channel {
    /// Returns whether an answer that came this way proves a change after a first factor that came by `first`: whoever
    /// has a mailbox, a telephone or an authenticator has it for both. What is typed into the page is another thing each
    /// time.
    pub(crate) fn adds_to(self, first: Self) -> bool {
        self != first || self == Self::Direct
    }

    /// Returns the stable name, as in `direct`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Device => "device",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Push => "push",
        }
    }
}

/// An authentication method reference of RFC 8176.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Amr {
    /// A hardware-secured key.
    Hwk,
    /// Several channels.
    Mca,
    /// Several kinds of factors.
    Mfa,
    /// A one-time password.
    Otp,
    /// A personal identification number.
    Pin,
    /// Proof of possession of a key.
    Pop,
    /// A password.
    Pwd,
    /// A text message to a telephone.
    Sms,
    /// A software-secured key.
    Swk,
    /// A test of the user's presence.
    User,
}

impl Amr {
    /// Returns the value as RFC 8176 §2 spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hwk => "hwk",
            Self::Mca => "mca",
            Self::Mfa => "mfa",
            Self::Otp => "otp",
            Self::Pin => "pin",
            Self::Pop => "pop",
            Self::Pwd => "pwd",
            Self::Sms => "sms",
            Self::Swk => "swk",
            Self::User => "user",
        }
    }
}

impl fmt::Display for Amr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An authentication assurance level of SP 800-63B-4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Aal {
    /// One factor.
    One,
    /// Two factors.
    Two,
    /// Two factors, one of them a phishing-resistant key.
    Three,
}

impl fmt::Display for Aal {
    /// As SP 800-63B-4 writes it, such as `AAL2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AAL{}", self.number())
    }
}

impl Aal {
    /// Returns the level's number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Three => 3,
        }
    }

    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::One => "1",
            Self::Two => "2",
            Self::Three => "3",
        }
    }
}
