//! The gates in front of a message, as Kount has them.

use mfa_core::FieldError;

use super::NoMethod;
use crate::address::Medium;

/// The switches that must all be on before anything is sent. A host without such switches uses [`Flags::open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Flags {
    /// The vendor has turned the feature on for the client.
    pub vendor: bool,
    /// E-mail is on for the whole client.
    pub email: bool,
    /// SMS is on for the whole client.
    pub sms: bool,
    /// The user's profile asks for a second step when it is challenged.
    pub profile: bool,
    /// What was decided of this login.
    pub decision: Decision,
}

impl Flags {
    /// Everything on, and the login challenged.
    #[must_use]
    pub const fn open() -> Self {
        Self { vendor: true, email: true, sms: true, profile: true, decision: Decision::Challenge }
    }

    /// Returns the state that an administrator is shown.
    #[must_use]
    pub const fn indicator(&self) -> Indicator {
        match (self.vendor, self.email || self.sms) {
            (false, _) => Indicator::Missing,
            (true, true) => Indicator::Green,
            (true, false) => Indicator::Grey,
        }
    }

    /// Refuses unless something is to be sent; the upper half of the table in the parent module.
    pub(super) const fn gate(&self) -> Result<(), NoMethod> {
        if !self.vendor {
            Err(NoMethod::VendorOff)
        } else if !matches!(self.decision, Decision::Challenge) {
            Err(NoMethod::NotChallenged(self.decision))
        } else if !self.profile {
            Err(NoMethod::ProfileOff)
        } else if !self.email && !self.sms {
            Err(NoMethod::EveryTypeOff)
        } else {
            Ok(())
        }
    }

    pub(super) const fn allows(&self, medium: Medium) -> bool {
        match medium {
            Medium::Email => self.email,
            Medium::Sms => self.sms,
        }
    }
}

/// What was decided of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Decision {
    /// Let in.
    Allow,
    /// Turned away.
    Block,
    /// Asked for a second step.
    Challenge,
}

impl Decision {
    /// Takes `Allow`, `Block` or `Challenge`, in any case.
    ///
    /// ```
    /// use mfa_otp_delivery::select::Decision;
    /// assert_eq!(Decision::parse("CHALLENGE")?, Decision::Challenge);
    /// assert_eq!(Decision::parse("Review").unwrap_err().code, "unknown_decision");
    /// # Ok::<(), mfa_core::FieldError>(())
    /// ```
    ///
    /// # Errors
    /// [`FieldError`] of the field `decision`, `unknown_decision`, for any other word. Whoever gets it must not let
    /// the user in.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        [Self::Allow, Self::Block, Self::Challenge]
            .into_iter()
            .find(|decision| decision.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| {
                FieldError::new("decision", "unknown_decision", "must be Allow, Block or Challenge")
            })
    }

    /// Returns the word as Kount writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "Allow",
            Self::Block => "Block",
            Self::Challenge => "Challenge",
        }
    }
}

/// Whether a client has the second step, as its administrators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Indicator {
    /// On, with at least one type.
    Green,
    /// Turned on by the vendor, and no type is on.
    Grey,
    /// Not turned on by the vendor: nothing is shown.
    Missing,
}
