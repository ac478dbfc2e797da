//! Users, their devices, and what they do when a device rings.

use super::state::random_text;

/// A user of the Duo account, as its administrator made it.
///
/// A user without a device and without a passcode is not enrolled.
#[derive(Clone, Debug)]
pub struct User {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) status: Status,
    pub(super) reaction: Reaction,
    pub(super) devices: Vec<Device>,
    pub(super) bypass_codes: Vec<String>,
    pub(super) verified_push: bool,
    pub(super) remembered: bool,
}

impl User {
    /// Makes an active user without devices, who approves everything.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            id: format!("DU{}", random_text(18)),
            status: Status::Active,
            reaction: Reaction::Approve,
            devices: Vec::new(),
            bypass_codes: Vec::new(),
            verified_push: false,
            remembered: false,
        }
    }

    /// Gives the user a device more.
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.devices.push(device);
        self
    }

    /// Sets the user's status.
    #[must_use]
    pub const fn status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// Sets what the user does when a device rings.
    #[must_use]
    pub const fn reaction(mut self, reaction: Reaction) -> Self {
        self.reaction = reaction;
        self
    }

    /// Gives the user a bypass code, good for one login.
    #[must_use]
    pub fn bypass_code(mut self, code: impl Into<String>) -> Self {
        self.bypass_codes.push(code.into());
        self
    }

    /// Puts the user under a policy that wants a Verified Duo Push.
    #[must_use]
    pub const fn verified_push(mut self) -> Self {
        self.verified_push = true;
        self
    }

    /// Puts the user under a policy that remembers devices: each approval yields a trusted device token.
    #[must_use]
    pub const fn remembered_devices(mut self) -> Self {
        self.remembered = true;
        self
    }

    /// Returns the id: `DU` and 18 more characters.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn is_enrolled(&self) -> bool {
        !self.devices.is_empty() || !self.bypass_codes.is_empty()
    }

    /// Uses up a passcode, wherever it came from.
    pub(super) fn spend(&mut self, passcode: &str) -> bool {
        let of_devices =
            self.devices.iter_mut().flat_map(|device| [&mut device.passcodes, &mut device.sms_codes]);
        for codes in of_devices.chain([&mut self.bypass_codes]) {
            if let Some(at) = codes.iter().position(|code| code == passcode) {
                codes.remove(at);
                return true;
            }
        }
        false
    }
}

/// What an administrator, or too many failures, made of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// Must authenticate.
    Active,
    /// Is let in without a second factor.
    Bypass,
    /// Is refused for having failed too often.
    LockedOut,
    /// Is refused.
    Disabled,
}

/// What the person with the device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reaction {
    /// Approves; types the verification code right where one is asked for.
    Approve,
    /// Denies.
    Deny,
    /// Denies and says that the request was not theirs.
    ReportFraud,
    /// Does nothing, and the time for it is over at once.
    TimeOut,
    /// Does nothing until [`react`](super::FakeDuo::react) is called or the clock has moved on by 60 seconds.
    Wait,
    /// Has no network: the push fails, and the request runs out as with [`Reaction::Wait`].
    Unreachable,
}

/// Something that can be used to authenticate: a phone or a hardware token.
#[derive(Clone, Debug)]
pub struct Device {
    pub(super) id: String,
    pub(super) name: String,
    /// The telephone number of a phone; a token has none.
    pub(super) number: Option<String>,
    pub(super) capabilities: Vec<String>,
    pub(super) passcodes: Vec<String>,
    pub(super) sms_codes: Vec<String>,
}

impl Device {
    /// Makes a phone of that number that can do everything: `auto`, `push`, `sms`, `phone` and `mobile_otp`.
    #[must_use]
    pub fn phone(number: impl Into<String>) -> Self {
        let all = ["auto", "push", "sms", "phone", "mobile_otp"];
        Self::new("", Some(number.into())).capabilities(all)
    }

    /// Makes a hardware token with that serial number as its name.
    #[must_use]
    pub fn token(name: impl Into<String>) -> Self {
        Self::new(name, None)
    }

    fn new(name: impl Into<String>, number: Option<String>) -> Self {
        Self {
            id: format!("DP{}", random_text(18)),
            name: name.into(),
            number,
            capabilities: Vec::new(),
            passcodes: Vec::new(),
            sms_codes: Vec::new(),
        }
    }

    /// Replaces what the device can do.
    #[must_use]
    pub fn capabilities<S: Into<String>>(mut self, capabilities: impl IntoIterator<Item = S>) -> Self {
        self.capabilities = capabilities.into_iter().map(Into::into).collect();
        self
    }

    /// Gives the passcodes that the device shows next, each good once.
    #[must_use]
    pub fn passcodes<S: Into<String>>(mut self, passcodes: impl IntoIterator<Item = S>) -> Self {
        self.passcodes = passcodes.into_iter().map(Into::into).collect();
        self
    }

    /// Returns the id: `DP` and 18 more characters.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn can(&self, what: &str) -> bool {
        self.capabilities.iter().any(|capability| capability == what)
    }
}

/// What happens to a user whom the Duo account does not know, or who is not enrolled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NewUsers {
    /// Is asked to enrol.
    #[default]
    Enroll,
    /// Is let in without a second factor.
    Allow,
    /// Is refused.
    Deny,
}
