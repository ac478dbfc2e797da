//! How to ask a user.

use core::fmt;

use zeroize::Zeroizing;

use super::{DeviceId, Params, PushInfo, Txid};
use crate::Error;

/// The kinds of [`Factor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FactorKind {
    /// What Duo finds best.
    Auto,
    /// A push.
    Push,
    /// A telephone call.
    Phone,
    /// New passcodes by SMS.
    Sms,
    /// A passcode.
    Passcode,
}

/// How to ask a user, and on which device.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Factor {
    /// What Duo finds best on the device: push, else a call.
    Auto(DeviceChoice),
    /// A push to Duo Mobile.
    Push(Push),
    /// A telephone call.
    Phone(DeviceChoice),
    /// New passcodes by SMS. It ends with `deny` and the status `sent`; the passcode comes in a call of its own.
    Sms(DeviceChoice),
    /// A passcode from Duo Mobile, a token, an SMS or an administrator.
    Passcode(Passcode),
}

impl Factor {
    /// Returns the kind.
    #[must_use]
    pub const fn kind(&self) -> FactorKind {
        match self {
            Self::Auto(_) => FactorKind::Auto,
            Self::Push(_) => FactorKind::Push,
            Self::Phone(_) => FactorKind::Phone,
            Self::Sms(_) => FactorKind::Sms,
            Self::Passcode(_) => FactorKind::Passcode,
        }
    }

    pub(super) fn add_to(&self, params: Params) -> Params {
        match self {
            Self::Auto(device) => device.add_to(params.with("factor", "auto")),
            Self::Push(push) => push.add_to(params.with("factor", "push")),
            Self::Phone(device) => device.add_to(params.with("factor", "phone")),
            Self::Sms(device) => device.add_to(params.with("factor", "sms")),
            Self::Passcode(passcode) => {
                params.with("factor", "passcode").with("passcode", passcode.expose_secret())
            }
        }
    }
}

/// Which device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceChoice {
    /// The first that can do it.
    Auto,
    /// This one.
    Device(DeviceId),
}

impl DeviceChoice {
    fn add_to(&self, params: Params) -> Params {
        match self {
            Self::Auto => params.with("device", "auto"),
            Self::Device(id) => id.add_to(params),
        }
    }
}

/// What a push shows.
#[derive(Clone, Debug)]
pub struct Push {
    device: DeviceChoice,
    request_type: Option<String>,
    display_username: Option<String>,
    push_info: Option<PushInfo>,
    txid: Option<Txid>,
}

impl Push {
    /// A push to the device.
    #[must_use]
    pub const fn new(device: DeviceChoice) -> Self {
        Self { device, request_type: None, display_username: None, push_info: None, txid: None }
    }

    /// Sets what stands before the word *request*; Duo shows *Login*.
    #[must_use]
    pub fn with_request_type(mut self, request_type: &str) -> Self {
        self.request_type = Some(request_type.to_owned());
        self
    }

    /// Sets the name to show in place of the user's name at Duo.
    #[must_use]
    pub fn with_display_username(mut self, name: &str) -> Self {
        self.display_username = Some(name.to_owned());
        self
    }

    /// Sets further lines to show.
    #[must_use]
    pub fn with_push_info(mut self, push_info: PushInfo) -> Self {
        self.push_info = Some(push_info);
        self
    }

    /// Makes it a verified push, whose number the user types into Duo Mobile, with the id from
    /// [`VerifiedPush`](super::VerifiedPush).
    #[must_use]
    pub fn verified(mut self, txid: Txid) -> Self {
        self.txid = Some(txid);
        self
    }

    fn add_to(&self, params: Params) -> Params {
        self.device
            .add_to(params)
            .with_some("type", self.request_type.as_deref())
            .with_some("display_username", self.display_username.as_deref())
            .with_some("pushinfo", self.push_info.as_ref().map(PushInfo::as_str))
            .with_some("txid", self.txid.as_ref().map(Txid::as_str))
    }
}

/// A passcode as the user typed it: 1 to 64 printable ASCII characters. Redacted in `Debug`, wiped when dropped.
#[derive(Clone)]
pub struct Passcode(Zeroizing<String>);

impl Passcode {
    /// Takes a passcode.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is empty, too long, or has another character.
    pub fn parse(passcode: &str) -> Result<Self, Error> {
        if (1..=64).contains(&passcode.len()) && passcode.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(Zeroizing::new(passcode.to_owned())))
        } else {
            Err(Error::Parameter { name: "passcode", reason: "must be 1 to 64 printable ascii characters" })
        }
    }

    /// Returns the passcode.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passcode([redacted])")
    }
}
