//! The forms in which Kazoo hands rows of the attempts view to its clients.

use core::fmt;
use core::str::FromStr;
use std::borrow::Cow;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::{Attempt, AuditError, Event};

/// Kazoo's `auth_type` of every row about a second step.
pub const MULTI_FACTOR: &str = "multi_factor";

/// One of the two shapes that Kazoo's attempts have had.
///
/// `timestamp` is in gregorian seconds in both. Values that were erased, and such as were never there, are
/// left out.
///
/// ```
/// use audit_model::{AccountId, Attempt, EventBuilder, Kind, MULTI_FACTOR, Outcome, Profile, Scope, Timestamp};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let at = Timestamp::from_gregorian_seconds(63_655_033_238)?;
/// let scope = Scope::Account(AccountId::parse("acme")?);
/// let event = EventBuilder::new(scope.clone(), Kind::AnswerRejected, Outcome::Failure, at)
///     .attempt(Attempt::new(MULTI_FACTOR, "unauthorized"))
///     .build("201702-09a979346eff06746e445a8cc1e574c4".parse()?, [9; 16])?;
/// let row = Profile::Seed2017.summary(&event).ok_or("not an attempt")?;
/// assert_eq!(
///     row.to_json()?,
///     r#"{"id":"201702-09a979346eff06746e445a8cc1e574c4","auth_type":"multi_factor","debug_type":"failed","#
///         .to_owned()
///         + r#""message":"unauthorized","timestamp":63655033238}"#,
/// );
///
/// // An event outside the attempts view has no row.
/// let begun = EventBuilder::new(scope, Kind::ChallengeBegun, Outcome::Info, at)
///     .build("201702-00000000000000000000000000000001".parse()?, [8; 16])?;
/// assert!(Profile::Kazoo4.summary(&begun).is_none());
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// The shape of March 2017: `debug_type`, and in the detail where the configurations were found.
    Seed2017,
    /// The shape of Kazoo 4: `status`, `auth_module` and `client_ip`, and in the detail the request.
    Kazoo4,
}

impl Profile {
    /// Returns the stable name: `seed2017` or `kazoo4`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Seed2017 => "seed2017",
            Self::Kazoo4 => "kazoo4",
        }
    }

    /// Returns the event as one row of a list; `None` if it is not in the attempts view.
    #[must_use]
    pub fn summary(self, event: &Event) -> Option<AttemptRow<'_>> {
        let row = shown(event).map(|attempt| match self {
            Self::Seed2017 => Row::SeedSummary(SeedSummary::new(event, attempt)),
            Self::Kazoo4 => Row::KazooSummary(KazooSummary::new(event, attempt)),
        });
        row.map(AttemptRow)
    }

    /// Returns the event with its details; `None` if it is not in the attempts view.
    #[must_use]
    pub fn detail(self, event: &Event) -> Option<AttemptRow<'_>> {
        let row = shown(event).map(|attempt| match self {
            Self::Seed2017 => Row::SeedDetail(SeedDetail::new(event, attempt)),
            Self::Kazoo4 => Row::KazooDetail(KazooDetail::new(event, attempt)),
        });
        row.map(AttemptRow)
    }
}

/// Returns the attempt, unless the view must not show it.
fn shown(event: &Event) -> Option<&Attempt> {
    event.attempt().filter(|_| event.is_in_attempts_view())
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Profile {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, AuditError> {
        let known = [Self::Seed2017, Self::Kazoo4].into_iter().find(|profile| profile.code() == text);
        let problem = || "must be seed2017 or kazoo4".to_owned();
        known.ok_or_else(|| AuditError::Invalid { field: "profile", problem: problem() })
    }
}

/// One attempt in a wire form, ready for any serde format. Its keys come in the order that Kazoo's
/// documentation shows.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct AttemptRow<'a>(Row<'a>);

impl AttemptRow<'_> {
    /// Returns the row as a JSON object without white space.
    ///
    /// # Errors
    /// [`AuditError::Invalid`] if it cannot be written, which no row of an event is.
    pub fn to_json(&self) -> Result<String, AuditError> {
        serde_json::to_string(self)
            .map_err(|_| AuditError::Invalid { field: "attempt", problem: "cannot be written".to_owned() })
    }
}

#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum Row<'a> {
    SeedSummary(SeedSummary<'a>),
    SeedDetail(SeedDetail<'a>),
    KazooSummary(KazooSummary<'a>),
    KazooDetail(KazooDetail<'a>),
}

#[derive(Clone, Debug, Serialize)]
struct SeedSummary<'a> {
    id: String,
    auth_type: &'a str,
    debug_type: &'static str,
    message: &'a str,
    timestamp: u64,
}

impl<'a> SeedSummary<'a> {
    fn new(event: &'a Event, attempt: &'a Attempt) -> Self {
        Self {
            id: event.id().to_string(),
            auth_type: &attempt.auth_type,
            debug_type: event.outcome().code(),
            message: &attempt.message,
            timestamp: event.at().gregorian_seconds(),
        }
    }
}

#[derive(Clone, Debug, Serialize)]
struct SeedDetail<'a> {
    auth_type: &'a str,
    debug_type: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_config_origin: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mfa_config_origin: Option<&'a str>,
    timestamp: u64,
    id: String,
}

impl<'a> SeedDetail<'a> {
    fn new(event: &'a Event, attempt: &'a Attempt) -> Self {
        Self {
            auth_type: &attempt.auth_type,
            debug_type: event.outcome().code(),
            message: &attempt.message,
            auth_config_origin: attempt.auth_config_origin.as_deref(),
            mfa_config_origin: attempt.mfa_config_origin.as_deref(),
            timestamp: event.at().gregorian_seconds(),
            id: event.id().to_string(),
        }
    }
}

#[derive(Clone, Debug, Serialize)]
struct KazooSummary<'a> {
    id: String,
    auth_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_module: Option<&'a str>,
    status: &'static str,
    message: &'a str,
    timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ip: Option<String>,
}

impl<'a> KazooSummary<'a> {
    fn new(event: &'a Event, attempt: &'a Attempt) -> Self {
        Self {
            id: event.id().to_string(),
            auth_type: &attempt.auth_type,
            auth_module: event.module(),
            status: event.outcome().code(),
            message: &attempt.message,
            timestamp: event.at().gregorian_seconds(),
            client_ip: event.ip().map(|ip| ip.to_string()),
        }
    }
}

#[derive(Clone, Debug, Serialize)]
struct KazooDetail<'a> {
    auth_type: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_module: Option<&'a str>,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_headers: Option<Headers<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crossbar_request_id: Option<&'a str>,
    timestamp: u64,
    metadata: Metadata<'a>,
    id: String,
}

#[derive(Clone, Debug, Serialize)]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<&'a str>,
}

impl<'a> KazooDetail<'a> {
    fn new(event: &'a Event, attempt: &'a Attempt) -> Self {
        let personal = event.personal();
        Self {
            auth_type: &attempt.auth_type,
            status: event.outcome().code(),
            auth_module: event.module(),
            message: &attempt.message,
            client_headers: personal.filter(|p| !p.headers.is_empty()).map(|p| Headers(&p.headers)),
            client_ip: event.ip().map(|ip| ip.to_string()),
            crossbar_request_id: personal.and_then(|p| p.request_id.as_deref()),
            timestamp: event.at().gregorian_seconds(),
            metadata: Metadata {
                owner_id: event.user().map(|user| user.as_str()),
                account_id: event.scope().account().map(|account| account.as_str()),
            },
            id: event.id().to_string(),
        }
    }
}

/// Request headers as one JSON object. A header that came several times is one value, its parts joined by
/// a comma and a space (RFC 9110 §5.3), as no key may stand twice.
#[derive(Clone, Debug)]
struct Headers<'a>(&'a [(Cow<'static, str>, String)]);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut joined: Vec<(&str, Cow<'_, str>)> = Vec::with_capacity(self.0.len());
        for (name, value) in self.0 {
            match joined.iter_mut().find(|(known, _)| known == name) {
                Some((_, values)) => {
                    let values = values.to_mut();
                    values.push_str(", ");
                    values.push_str(value);
                }
                None => joined.push((name, Cow::Borrowed(value))),
            }
        }
        let mut map = s.serialize_map(Some(joined.len()))?;
        joined.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
}
