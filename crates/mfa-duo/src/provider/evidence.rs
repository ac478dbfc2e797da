//! What an answer of Duo's proves: one table over (call, status, factor, reason). What is not in it proves nothing.

use mfa_core::{Aal, Amr, Channel, Factor, Reason, Strength, Then, Unproven};

use super::kept::{Asked, PasscodeKind};
use crate::auth_api::{AuthResult, Status, Verdict};
use crate::universal::Claims;

/// Everything that evidence of Duo may name (RFC 8176 has no value for a push or a call, and none is invented).
pub(super) const EVERY_AMR: [Amr; 3] = [Amr::Otp, Amr::Pop, Amr::Sms];

/// The ways in which a user has shown to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// A push or a call that was approved: whoever started it may be somebody else.
    Approved(Channel),
    /// A number was carried from the login to the device.
    NumberMatched,
    /// A passcode of the user's device.
    Passcode,
    /// A passcode that came by SMS.
    SmsPasscode,
    /// A security key or the device's own authenticator.
    Key,
}

impl Shown {
    fn strength(self, accept_approve_only: bool) -> Strength {
        let (channel, aal, amr) = match self {
            Self::Approved(channel) if accept_approve_only => (channel, Aal::Two, vec![]),
            Self::Approved(channel) => (channel, Aal::One, vec![]),
            Self::NumberMatched => (Channel::Push, Aal::Two, vec![]),
            Self::Passcode => (Channel::Device, Aal::Two, vec![Amr::Otp]),
            Self::SmsPasscode => (Channel::Phone, Aal::Two, vec![Amr::Otp, Amr::Sms]),
            Self::Key => (Channel::Device, Aal::Two, vec![Amr::Pop]),
        };
        let strength = Strength::new(Factor::Possession, channel, amr, aal);
        if matches!(self, Self::Approved(_)) { strength.by_approval() } else { strength }
    }
}

/// Reads the result of asking the user. `None` while it is not over.
pub(super) fn of_asking(result: &AuthResult, asked: Asked, accept_approve_only: bool) -> Option<Then> {
    Some(match (&result.verdict, &result.status) {
        (Verdict::Waiting, _) => return None,
        (Verdict::Allow, Status::Allow) => match shown_by(asked) {
            Some(shown) => Then::Accept(shown.strength(accept_approve_only)),
            None => Then::Unproven(Unproven::Bypass),
        },
        (Verdict::Allow, _) => Then::Unproven(Unproven::Bypass),
        (_, Status::Fraud) => Then::Reject(Reason::Fraud),
        (Verdict::Deny | Verdict::Unknown(_), _) => Then::Reject(Reason::Denied),
    })
}

const fn shown_by(asked: Asked) -> Option<Shown> {
    match asked {
        Asked::VerifiedPush => Some(Shown::NumberMatched),
        Asked::Push => Some(Shown::Approved(Channel::Push)),
        Asked::Phone => Some(Shown::Approved(Channel::Phone)),
        Asked::Sms => None,
    }
}

/// Reads the result of judging a passcode.
pub(super) fn of_passcode(result: &AuthResult, kind: PasscodeKind) -> Then {
    match (&result.verdict, &result.status) {
        (Verdict::Allow, Status::Allow) if kind == PasscodeKind::Device => {
            Then::Accept(Shown::Passcode.strength(false))
        }
        (Verdict::Allow, _) => Then::Unproven(Unproven::Bypass),
        (_, Status::Fraud) => Then::Reject(Reason::Fraud),
        (_, Status::LockedOut) => Then::Reject(Reason::Denied),
        _ => Then::Reject(Reason::WrongCode),
    }
}

/// Reads a reply of the Web SDK: it says that the user passed, and nothing of how. It may have been by a bypass, so
/// that it is of AAL1 whatever the settings accept.
pub(super) fn of_web() -> Then {
    Then::Accept(Shown::Approved(Channel::Push).strength(false))
}

/// Reads an id token that was verified, its result `allow` included. The words are those of Duo's authentication log. An
/// event that is no authentication, such as an enrolment in the prompt, has shown a device that whoever has the password
/// has just brought.
pub(super) fn of_universal(claims: &Claims, accept_approve_only: bool) -> Then {
    let factor = claims.factor.as_deref().unwrap_or_default().to_ascii_lowercase();
    let reason = claims.reason.as_deref().unwrap_or_default().to_ascii_lowercase();
    let shown = match (factor.as_str(), reason.as_str()) {
        ("duo_push", "verification_code_correct") | ("verified_duo_push", "user_approved") => {
            Shown::NumberMatched
        }
        ("duo_push", "user_approved") => Shown::Approved(Channel::Push),
        ("phone_call", "user_approved") => Shown::Approved(Channel::Phone),
        ("sms_passcode", "valid_passcode") => Shown::SmsPasscode,
        (
            "passcode"
            | "duo_mobile_passcode"
            | "duo_mobile_passcode_hotp"
            | "duo_mobile_passcode_totp"
            | "hardware_token"
            | "yubikey_code"
            | "yubikey_passcode"
            | "digipass_go_7_token",
            "valid_passcode",
        ) => Shown::Passcode,
        (
            "u2f_token"
            | "security_key"
            | "platform_authenticator"
            | "webauthn security key"
            | "webauthn credential"
            | "webauthn chrome touch id",
            "user_approved",
        ) => Shown::Key,
        _ => return Then::Unproven(Unproven::Bypass),
    };
    let is_said = |claim: &Option<String>, word| claim.as_deref() == Some(word);
    if !is_said(&claims.event_type, "authentication")
        || !is_said(&claims.status, "allow")
        || !is_said(&claims.context_result, "success")
    {
        return Then::Unproven(Unproven::Bypass);
    }
    Then::Accept(shown.strength(accept_approve_only))
}
