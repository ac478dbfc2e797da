//! What the engine keeps for Duo: of a challenge, of an enrolment, and the pinned name.

use core::fmt;

use mfa_core::{SecretText, Timestamp, Versioned};
use serde::{Deserialize, Serialize};

use crate::universal::{Exchange, PendingLogin};
use crate::web::Verified;

/// What is kept of a challenge or of a pending enrolment. It is public to nobody, but every part of it that a stranger
/// could use is worthless without the challenge's own reference.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(unnameable_types, reason = "an associated type of the provider")]
pub enum State {
    /// Web SDK v2: the `APP` half that was issued.
    Web(#[serde(with = "crate::kept")] SecretText),
    /// Auth API.
    Api(Api),
    /// Universal Prompt.
    Universal(Universal),
}

/// A challenge of the Auth API.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[expect(unnameable_types, reason = "an associated type of the provider")]
pub struct Api {
    pub(super) step: ApiStep,
    /// How far Duo's clock is ahead, in seconds, where it told.
    pub(super) offset: i64,
    /// What the user may be asked with: the kind's name and the device.
    pub(super) offers: Vec<(String, String)>,
    /// The transaction of a verified push that was announced, and until when it is good by our clock.
    pub(super) verified: Option<(String, Timestamp)>,
    /// Duo wants a number to be typed: a push without one would go past its policy.
    pub(super) numbered: bool,
    /// When Duo was last asked how the user can be asked.
    pub(super) asked_at: Timestamp,
}

/// Where a challenge of the Auth API stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) enum ApiStep {
    /// Duo is asked whether and how the user is to be asked.
    #[default]
    Preauth,
    /// The user chooses.
    Ready,
    /// The user is being asked: the request is on its way.
    Asking(Asked),
    /// The user is being asked in this transaction.
    Waiting(String, Asked),
    /// A passcode is being judged.
    Passcode(PasscodeKind),
    /// Duo did not answer about the user; whether it answers at all has failed this often.
    Probing(u8),
}

/// How the user is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Asked {
    /// By a push that shows a number to type.
    VerifiedPush,
    /// By a push that is approved by a tap.
    Push,
    /// By a call that is answered by any key.
    Phone,
    /// By SMS, whose passcode is an answer of its own.
    Sms,
}

/// What a passcode can be, by its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum PasscodeKind {
    /// Of a device of the user's, or of a message to it.
    Device,
    /// Given out by an administrator: it lets pass who has no device.
    Bypass,
}

/// A challenge of the Universal Prompt.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(unnameable_types, reason = "an associated type of the provider")]
pub enum Universal {
    /// Whether Duo is there has failed this often.
    Probing(u8),
    /// The browser is at Duo.
    Away(PendingLogin),
    /// The browser is back, the state is burnt, and the code is being exchanged.
    Exchanging(Exchange),
    /// Over: another prompt must be started.
    Burnt,
}

macro_rules! versioned {
    ($($kept:ty: $most:literal),*) => {$(
        impl Versioned for $kept {
            const VERSION: u8 = 1;
            const MAX_BYTES: usize = $most;
        }
    )*};
}

versioned! { State: 8192, Replies: 48, Pinned: 1400 }

/// Who the user is at Duo.
#[derive(Clone, Serialize, Deserialize)]
#[expect(unnameable_types, reason = "an associated type of the provider")]
pub struct Pinned {
    pub(super) name: String,
    /// The API host under which the name is the user's, in lower case; none where no other user can have the name.
    pub(super) host: Option<String>,
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pinned([redacted])")
    }
}

/// How many accepted replies are remembered one by one.
const REMEMBERED: usize = 2;
/// How much of a MAC is remembered: 96 bits are not found twice.
const MARK_BYTES: usize = 12;

/// The replies of the Web SDK that were accepted and could still be given again: two by their MAC, all older ones by
/// the latest time that any of them is good until.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(unnameable_types, reason = "an associated type of the provider")]
pub struct Replies {
    /// Replies that end at or before this second are refused.
    forgotten: u32,
    accepted: Vec<([u8; MARK_BYTES], u32)>,
}

impl Replies {
    /// Remembers a reply, or returns `None` for one that was, or may have been, accepted before.
    pub(super) fn remember(&self, verified: &Verified) -> Option<Self> {
        let ends = u32::try_from(verified.expires_at().unix_seconds()).unwrap_or(u32::MAX);
        let mark = mark(verified.auth_mac());
        if ends <= self.forgotten || self.accepted.iter().any(|(of, _)| *of == mark) {
            return None;
        }
        let mut next = self.clone();
        next.accepted.push((mark, ends));
        next.accepted.sort_by_key(|(_, ends)| *ends);
        while next.accepted.len() > REMEMBERED {
            next.forgotten = next.forgotten.max(next.accepted.remove(0).1);
        }
        Some(next)
    }
}

fn mark(mac: &[u8; 20]) -> [u8; MARK_BYTES] {
    let mut mark = [0; MARK_BYTES];
    mark.iter_mut().zip(mac).for_each(|(to, from)| *to = *from);
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand, after postcard 1: a variant by its number, text and ids behind their lengths, numbers as varints.
    fn is_kept_as(bytes: &[u8]) -> State {
        let state = State::decode(bytes).unwrap();
        assert_eq!(state.encode().unwrap(), bytes);
        state
    }

    #[test]
    fn states_have_the_bytes_of_stored_challenges() {
        let state = is_kept_as(&[&[1, 0, 5][..], b"APP|x"].concat());
        assert!(matches!(&state, State::Web(app) if app.expose_secret() == "APP|x"));

        let (name, url, id) =
            ([&[3][..], b"bob"].concat(), [&[9][..], b"https://x"].concat(), [&[16][..], &[7; 16]]);
        let away =
            [&[1, 2, 1][..], &name, &[2], b"st", &[2], b"no", &[2], b"DI", &url, &id.concat(), &[0xe8, 0x07]];
        let state = is_kept_as(&away.concat());
        let State::Universal(Universal::Away(login)) = &state else { panic!("{state:?}") };
        assert_eq!(login.expose_state(), "st");

        is_kept_as(&[&[1, 2, 2][..], &name, &[2], b"no"].concat());
    }
}
