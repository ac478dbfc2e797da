//! Devices of a user: what a host shows of them, and the token that one is known by.

use core::fmt;

use audit_model::Timestamp;

use crate::authority::handle;
use crate::{Aal, DeviceId};

handle! {
    /// What a browser keeps, to be known again: 256 random bits behind a mac, with the ids of account, user and
    /// device. Secret: put it into a cookie that is `HttpOnly`, `Secure` and of the login's host alone.
    ///
    /// The token of a trusted device is good once: the answer to its use has the next one. A value that was
    /// replaced is good for ten seconds more, for requests that were on their way, unless the next one was replaced
    /// meanwhile; for half a minute after that it is asked. Any older one was copied or restored: the device is
    /// forgotten and the user told.
    DeviceToken
}

/// A device of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// How the user calls it.
    pub name: String,
    /// Whether it is trusted now.
    pub state: DeviceState,
    /// When it was kept first.
    pub created_at: Timestamp,
    /// When its token was used last.
    pub last_used_at: Timestamp,
    /// From when on it is not known any more.
    pub expires_at: Timestamp,
}

/// Whether a device is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceState {
    /// Its logins are not asked for a second step.
    Trusted,
    /// It has succeeded before, and is asked like any other.
    NotTrusted,
    /// It is asked like any other, and cannot be trusted.
    Banned,
}

impl DeviceState {
    /// Returns the stable name: `trusted`, `not_trusted` or `banned`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::NotTrusted => "not_trusted",
            Self::Banned => "banned",
        }
    }
}

impl fmt::Display for DeviceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// The login comes from a device that the user trusts, and no second step is asked for. Never mistake it for a
/// [`Grant`](crate::Grant): nothing was proven but the first factor, as after
/// [`NotRequired`](crate::NotRequired), so that a claim of `mfa` would be false (SP 800-63B-4 §5.1).
#[derive(Debug)]
#[must_use = "the token in it takes the place of the one that was shown"]
#[non_exhaustive]
pub struct TrustedDevice {
    /// The device.
    pub device: DeviceId,
    /// The token to keep in place of the one that was shown. `None` if another request, at the same moment, has
    /// got it: then keep the cookie that its answer sets.
    pub token: Option<DeviceToken>,
    /// From when on the device is asked for a second step again, whatever it is used for until then.
    pub expires_at: Timestamp,
}

impl TrustedDevice {
    /// Returns the stable name of the reason, `trusted_device`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "trusted_device"
    }

    /// Returns the level reached: one factor.
    #[must_use]
    pub const fn aal(&self) -> Aal {
        Aal::One
    }
}

/// A device that was kept, and its token, handed out this once.
#[derive(Debug)]
#[must_use = "the token in it is handed out this once"]
#[non_exhaustive]
pub struct KeptDevice {
    /// The device.
    pub id: DeviceId,
    /// Whether it is trusted.
    pub state: DeviceState,
    /// The token to keep in the browser, in place of any other.
    pub token: DeviceToken,
    /// From when on it is not known any more.
    pub expires_at: Timestamp,
}
