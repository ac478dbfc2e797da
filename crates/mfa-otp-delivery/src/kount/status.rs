//! The status of a second step, as it is polled.

use core::str::FromStr;

use mfa_core::{ChallengeId, ChallengeStatus, FieldError, Status, Timestamp};
use serde_json::{Value, json};

use super::{CorrelationId, Members};
use crate::address::Medium;

const NANOS_A_MILLI: u64 = 1_000_000;

/// Where a second step stands, in Kount's words. Words that are not known are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MfaStatus {
    /// `FAILED_TO_SEND`: no message left.
    FailedToSend,
    /// `SUCCESS`: the link was confirmed.
    Success,
    /// `UNKNOWN`: nothing was sent yet.
    Unknown,
    /// `INVALID`: nothing could be sent.
    Invalid,
    /// `VERIFIED`: the link was confirmed.
    Verified,
    /// `TERMINATED`: over without success.
    Terminated,
    /// `MESSAGE_SENT`.
    MessageSent,
    /// `FAILED_AUTHORIZATION`.
    FailedAuthorization,
    /// `VERIFICATION_ATTEMPT_FAILED`: a wrong answer, and another may be given.
    VerificationAttemptFailed,
    /// A word that is not known here.
    Other(String),
}

/// Whose words a status is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dialect<'a> {
    /// Those of the Secure MFA API. `FAILED_TO_SEND` and `SUCCESS` are documented; the other two are what the host's
    /// callers expect.
    SecureMfa {
        /// While the link can be confirmed.
        waiting: &'a str,
        /// When it is over without success.
        over: &'a str,
    },
    /// Those of Kount 360's webhook.
    Kount360,
}

impl MfaStatus {
    const WORDS: [(&'static str, Self); 9] = [
        ("FAILED_TO_SEND", Self::FailedToSend),
        ("SUCCESS", Self::Success),
        ("UNKNOWN", Self::Unknown),
        ("INVALID", Self::Invalid),
        ("VERIFIED", Self::Verified),
        ("TERMINATED", Self::Terminated),
        ("MESSAGE_SENT", Self::MessageSent),
        ("FAILED_AUTHORIZATION", Self::FailedAuthorization),
        ("VERIFICATION_ATTEMPT_FAILED", Self::VerificationAttemptFailed),
    ];

    /// Takes a word. Every text is one.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        let known = Self::WORDS.into_iter().find(|(known, _)| *known == word);
        known.map_or_else(|| Self::Other(word.to_owned()), |(_, status)| status)
    }

    /// Returns the word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(word) => word,
            known => Self::WORDS.iter().find(|(_, status)| status == known).map_or("", |(word, _)| word),
        }
    }

    /// Says where a challenge of the engine stands.
    #[must_use]
    pub fn of(challenge: &ChallengeStatus, dialect: Dialect<'_>) -> Self {
        let is_answered = challenge.verify_attempts > 0;
        match (dialect, challenge.status) {
            (Dialect::SecureMfa { waiting, .. }, Status::Created | Status::Sent) => Self::from_word(waiting),
            (Dialect::SecureMfa { .. }, Status::Verified | Status::Redeemed) => Self::Success,
            (Dialect::SecureMfa { .. }, Status::FailedToSend) => Self::FailedToSend,
            (Dialect::SecureMfa { over, .. }, _) => Self::from_word(over),
            (Dialect::Kount360, Status::Created) => Self::Unknown,
            (Dialect::Kount360, Status::Sent) if is_answered => Self::VerificationAttemptFailed,
            (Dialect::Kount360, Status::Sent) => Self::MessageSent,
            (Dialect::Kount360, Status::Verified | Status::Redeemed) => Self::Verified,
            (Dialect::Kount360, Status::FailedToSend) => Self::Invalid,
            (Dialect::Kount360, _) => Self::Terminated,
        }
    }
}

/// How times are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeFormat {
    /// Strings of whole seconds since 1970.
    StringSeconds,
    /// Numbers of nanoseconds since 1970.
    NumberNanos,
}

/// The body that a poll is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatusBody {
    /// That of the request.
    pub correlation_id: CorrelationId,
    /// When the second step began.
    pub created_at: Timestamp,
    /// When it last changed; not before it began.
    pub last_updated: Timestamp,
    /// The challenge.
    pub mfa_id: ChallengeId,
    /// Where it stands.
    pub mfa_status: MfaStatus,
    /// How the message went.
    pub mfa_type: Medium,
    /// The session of the login.
    pub session_id: String,
    /// The user.
    pub user_id: String,
}

impl StatusBody {
    /// Says where a challenge stands. `session_id` and `user_id` are what the login was made with.
    ///
    /// # Errors
    /// [`FieldError`] of the field `mfaType`, `invalid`, for a challenge that sends no message.
    pub fn of(
        challenge: &ChallengeStatus,
        mfa_id: ChallengeId,
        dialect: Dialect<'_>,
        correlation_id: CorrelationId,
        (session_id, user_id): (&str, &str),
    ) -> Result<Self, FieldError> {
        Ok(Self {
            correlation_id,
            created_at: challenge.created_at,
            last_updated: challenge.updated_at,
            mfa_id,
            mfa_status: MfaStatus::of(challenge, dialect),
            mfa_type: medium(challenge.kind.as_str())?,
            session_id: session_id.to_owned(),
            user_id: user_id.to_owned(),
        })
    }

    /// Writes it.
    #[must_use]
    pub fn to_json(&self, times: TimeFormat) -> Value {
        let time = |at: Timestamp| match times {
            TimeFormat::StringSeconds => json!(at.unix_seconds().to_string()),
            TimeFormat::NumberNanos => json!(at.unix_millis().saturating_mul(NANOS_A_MILLI)),
        };
        json!({
            "correlationId": self.correlation_id.as_str(),
            "createdAt": time(self.created_at),
            "lastUpdated": time(self.last_updated),
            "mfaId": self.mfa_id.to_string(),
            "mfaStatus": self.mfa_status.as_str(),
            "mfaType": self.mfa_type.code(),
            "sessionId": self.session_id,
            "userId": self.user_id,
        })
    }

    /// Reads one, whichever way its times are written.
    ///
    /// # Errors
    /// [`FieldError`] names the first member that does not fit: `required`, `type`, `invalid`; `order` for a
    /// `lastUpdated` before `createdAt`.
    pub fn parse(body: &Value) -> Result<Self, FieldError> {
        let members = Members::of(body)?;
        let (created_at, last_updated) = (time(&members, "createdAt")?, time(&members, "lastUpdated")?);
        if last_updated < created_at {
            return Err(FieldError::new("lastUpdated", "order", "lies before createdAt"));
        }
        let mfa_id = ChallengeId::from_str(members.required("mfaId")?);
        Ok(Self {
            correlation_id: CorrelationId::parse(members.text(&["correlationId"])?)?,
            created_at,
            last_updated,
            mfa_id: mfa_id.map_err(|_| FieldError::new("mfaId", "invalid", "must be a UUID"))?,
            mfa_status: MfaStatus::from_word(members.required("mfaStatus")?),
            mfa_type: medium(members.required("mfaType")?)?,
            session_id: members.text(&["sessionId"])?.unwrap_or_default().to_owned(),
            user_id: members.required("userId")?.to_owned(),
        })
    }
}

/// Takes `email` or `sms`, in any case.
pub(super) fn medium(word: &str) -> Result<Medium, FieldError> {
    let found = Medium::ALL.into_iter().find(|medium| medium.code().eq_ignore_ascii_case(word));
    found.ok_or_else(|| FieldError::new("mfaType", "invalid", "must be email or sms"))
}

fn time(members: &Members<'_>, name: &'static str) -> Result<Timestamp, FieldError> {
    let problem = "must be a string of seconds or a number of nanoseconds since 1970";
    let invalid = || FieldError::new(name, "invalid", problem);
    match members.0.get(name) {
        None | Some(Value::Null) => Err(FieldError::new(name, "required", "is missing")),
        Some(Value::String(text)) => {
            let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let seconds = digits.and_then(|text| text.parse().ok()).ok_or_else(invalid)?;
            Timestamp::from_unix_seconds(seconds).map_err(|_| invalid())
        }
        Some(value) => {
            let millis =
                value.as_u64().and_then(|nanos| nanos.checked_div(NANOS_A_MILLI)).ok_or_else(invalid)?;
            Timestamp::from_unix_millis(millis).map_err(|_| invalid())
        }
    }
}
