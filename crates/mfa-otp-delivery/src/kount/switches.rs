//! The switches above a login: the vendor's, the client's and the profile's.

use crate::select::{Decision, Flags, Indicator, NoMethod};

/// What is on for a client as a whole. Everything is off by default.
///
/// ```
/// use mfa_otp_delivery::kount::{Client, Profile};
/// use mfa_otp_delivery::select::{Decision, Indicator};
/// let mut client = Client::default();
/// assert_eq!(client.indicator(), Indicator::Missing);
/// // Nobody administers what the vendor has not turned on.
/// assert_eq!(client.administer().unwrap_err().code(), "vendor_off");
/// (client.vendor, client.email) = (true, true);
/// assert_eq!(client.indicator(), Indicator::Green);
/// assert!(client.administer().is_ok());
/// assert!(!client.flags(Profile::default(), Decision::Challenge).profile);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a host fills it")]
pub struct Client {
    /// The vendor has turned the feature on.
    pub vendor: bool,
    /// E-mail is on.
    pub email: bool,
    /// SMS is on.
    pub sms: bool,
}

/// What a profile asks for. Off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a host fills it")]
pub struct Profile {
    /// A login that is challenged gets a message.
    pub challenge_mfa: bool,
}

impl Client {
    /// Puts the switches of one login together.
    #[must_use]
    pub const fn flags(self, profile: Profile, decision: Decision) -> Flags {
        let Self { vendor, email, sms } = self;
        Flags { vendor, email, sms, profile: profile.challenge_mfa, decision }
    }

    /// Returns the state that an administrator is shown.
    #[must_use]
    pub const fn indicator(self) -> Indicator {
        self.flags(Profile { challenge_mfa: false }, Decision::Challenge).indicator()
    }

    /// Refuses calls of an administrator while the vendor has the feature off.
    ///
    /// # Errors
    /// [`NoMethod::VendorOff`].
    pub const fn administer(self) -> Result<(), NoMethod> {
        if self.vendor { Ok(()) } else { Err(NoMethod::VendorOff) }
    }
}
