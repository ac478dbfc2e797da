//! The body of a login, and what it is answered with.

use core::fmt;
use core::net::Ipv4Addr;

use mfa_core::{ChallengeId, FieldError, SecretText};
use serde_json::{Map, Value, json};

use super::Members;
use super::status::medium;
use crate::address::{Medium, Region};
use crate::select::{Decision, NoMethod, Reachable};

/// The body of a login. Its `Debug` shows neither password nor addresses.
#[derive(Clone)]
#[non_exhaustive]
pub struct LoginRequest {
    /// The client: 1 to 64 ASCII letters and digits.
    pub client_id: String,
    /// The session: at most 32 ASCII letters, digits, `_` and `-`.
    pub session_id: String,
    /// The user: 1 to 256 characters.
    pub user_id: String,
    /// The name that was typed: at most 256 characters.
    pub username: Option<String>,
    /// What came as the password, a hash by Kount's rules: at most 128 characters.
    pub user_password: Option<SecretText>,
    /// When the user was created: a date and time by RFC 3339.
    pub user_creation_date: Option<String>,
    /// Where the request came from.
    pub user_ip: Option<Ipv4Addr>,
    /// The page of the login: at most 256 characters.
    pub login_url: Option<String>,
    /// The kind of user: 1 to 128 ASCII letters and digits.
    pub user_type: Option<String>,
    mfa_email: Option<SecretText>,
    mfa_phone: Option<SecretText>,
}

impl LoginRequest {
    /// Reads the text of a body. Members that are not known are passed over; `loginURL` may be spelt `loginUrl`.
    ///
    /// ```
    /// use mfa_otp_delivery::kount::LoginRequest;
    /// let request = LoginRequest::parse(r#"{"clientId": "c1", "userId": "bob", "mfaEmail": "bob@acme.example"}"#)?;
    /// assert_eq!(request.user_id, "bob");
    /// assert!(!format!("{request:?}").contains("acme.example"));
    /// let refused = LoginRequest::parse(r#"{"clientId": "c 1", "userId": "bob"}"#).unwrap_err();
    /// assert_eq!((refused.field.as_str(), refused.code), ("clientId", "invalid"));
    /// # Ok::<(), mfa_core::FieldError>(())
    /// ```
    ///
    /// # Errors
    /// [`FieldError`] names the first member that does not fit: `required`, `type`, `too_long` or `invalid`; `body` with
    /// `invalid` for what is not JSON.
    pub fn parse(body: &str) -> Result<Self, FieldError> {
        let body: Value =
            serde_json::from_str(body).map_err(|_| FieldError::new("body", "invalid", "is not JSON"))?;
        let members = Members::of(&body)?;
        let text = |name: &'static str, most: usize| at_most(name, members.text(&[name])?, most);
        let (client_id, user_id) = (members.required("clientId")?, members.required("userId")?);
        let session_id = text("sessionId", 32)?.unwrap_or_default();
        let user_ip = members.text(&["userIp"])?.map(|ip| {
            ip.parse().map_err(|_| FieldError::new("userIp", "invalid", "must be an IPv4 address"))
        });
        let created = members.text(&["userCreationDate"])?;
        if created.is_some_and(|created| !is_rfc3339(created)) {
            return Err(FieldError::new(
                "userCreationDate",
                "invalid",
                "must be a date and time by RFC 3339",
            ));
        }
        let login_url = members.text(&["loginURL", "loginUrl"])?;
        Ok(Self {
            client_id: word("clientId", client_id, 64, |b| b.is_ascii_alphanumeric())?,
            session_id: match session_id {
                "" => String::new(),
                id => word("sessionId", id, 32, |b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')?,
            },
            user_id: match user_id {
                "" => return Err(FieldError::new("userId", "required", "is empty")),
                id => at_most("userId", Some(id), 256)?.unwrap_or_default().to_owned(),
            },
            username: text("username", 256)?.map(str::to_owned),
            user_password: text("userPassword", 128)?.map(SecretText::new),
            user_creation_date: created.map(str::to_owned),
            user_ip: user_ip.transpose()?,
            login_url: at_most("loginURL", login_url, 256)?.map(str::to_owned),
            user_type: members
                .text(&["userType"])?
                .map(|kind| word("userType", kind, 128, |b| b.is_ascii_alphanumeric()))
                .transpose()?,
            mfa_email: text("mfaEmail", 320)?.map(SecretText::new),
            mfa_phone: text("mfaPhone", 64)?.map(SecretText::new),
        })
    }

    /// Returns where the request says that the user can be reached. It chooses the medium; the engine sends to what the
    /// user has set up.
    #[must_use]
    pub fn reachable(&self, home: Option<Region>) -> Reachable {
        let text = |address: &Option<SecretText>| {
            address.as_ref().map(|address| address.expose_secret().to_owned()).unwrap_or_default()
        };
        Reachable::none().with_email(&text(&self.mfa_email)).with_phone(&text(&self.mfa_phone), home)
    }
}

impl fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginRequest")
            .field("client_id", &self.client_id)
            .field("session_id", &self.session_id)
            .field("user_id", &self.user_id)
            .finish_non_exhaustive()
    }
}

fn at_most<'a>(
    name: &'static str,
    text: Option<&'a str>,
    most: usize,
) -> Result<Option<&'a str>, FieldError> {
    let length = text.map_or(0, |text| text.chars().count());
    if length > most {
        return Err(FieldError::new(
            name,
            "too_long",
            format!("has {length} characters, not at most {most}"),
        ));
    }
    Ok(text)
}

fn word(
    name: &'static str,
    text: &str,
    most: usize,
    fits: impl Fn(u8) -> bool,
) -> Result<String, FieldError> {
    at_most(name, Some(text), most)?;
    if text.is_empty() || !text.bytes().all(fits) {
        return Err(FieldError::new(name, "invalid", "is empty or holds a character that is not allowed"));
    }
    Ok(text.to_owned())
}

/// Returns whether a text is a date and time by RFC 3339 §5.6, with or without a fraction.
fn is_rfc3339(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let Some(rest) = shape.strip_prefix("0000-00-00T00:00:00") else { return false };
    let offset = match rest.strip_prefix('.') {
        Some(fraction) if fraction.starts_with('0') => fraction.trim_start_matches('0'),
        Some(_) => return false,
        None => rest,
    };
    let within = |at: usize, least: u8, most: u8| {
        let number = text.get(at..at.saturating_add(2)).and_then(|digits| digits.parse::<u8>().ok());
        number.is_some_and(|number| (least..=most).contains(&number))
    };
    matches!(offset, "Z" | "+00:00" | "-00:00")
        && within(5, 1, 12)
        && within(8, 1, 31)
        && within(11, 0, 23)
        && within(14, 0, 59)
        && within(17, 0, 60)
}

/// What a login is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoginResponse {
    /// What was decided.
    pub decision: Decision,
    /// The device, where it is known.
    pub device_id: String,
    /// Whether the device was met before, in words.
    pub matched_to_device: String,
    /// The gates were open: a message was to be sent.
    pub mfa_enabled: bool,
    /// The challenge and the way its message went, where one was sent.
    pub mfa: Option<(ChallengeId, Medium)>,
    /// The session of the request.
    pub session_id: String,
    /// Tags of the profile.
    pub tags: Vec<String>,
    /// The profile that was chosen.
    pub user_profile: String,
}

impl LoginResponse {
    /// Answers a login by its decision, without a message.
    #[must_use]
    pub fn new(decision: Decision, session_id: impl Into<String>) -> Self {
        let none = String::new;
        let (device_id, matched_to_device, user_profile) = (none(), none(), none());
        let (session_id, tags) = (session_id.into(), Vec::new());
        Self {
            decision,
            device_id,
            matched_to_device,
            mfa_enabled: false,
            mfa: None,
            session_id,
            tags,
            user_profile,
        }
    }

    /// A message was sent.
    #[must_use]
    pub const fn with_challenge(mut self, id: ChallengeId, medium: Medium) -> Self {
        self.mfa_enabled = true;
        self.mfa = Some((id, medium));
        self
    }

    /// Nothing was sent. The decision stays as it is: a login that is challenged is not let in for it.
    #[must_use]
    pub const fn without(mut self, why: &NoMethod) -> Self {
        self.mfa_enabled = !why.is_gate();
        self.mfa = None;
        self
    }

    /// Writes it: nine members, and seven where nothing was sent. No tags are written as an empty string.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut body = Map::new();
        let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
        put("decision", json!(self.decision.as_str()));
        put("deviceId", json!(self.device_id));
        put("matchedToDevice", json!(self.matched_to_device));
        put("mfaEnabled", json!(self.mfa_enabled));
        if let Some((id, medium)) = &self.mfa {
            put("mfaId", json!(id.to_string()));
            put("mfaType", json!(medium.code()));
        }
        put("sessionId", json!(self.session_id));
        put("tags", if self.tags.is_empty() { json!("") } else { json!(self.tags) });
        put("userProfile", json!(self.user_profile));
        Value::Object(body)
    }

    /// Reads one. Tags may be an array or an empty string, the decision may have any case, and spaces around the session
    /// are dropped.
    ///
    /// # Errors
    /// [`FieldError`] names the first member that does not fit.
    pub fn parse(body: &Value) -> Result<Self, FieldError> {
        let members = Members::of(body)?;
        let text =
            |name: &'static str| Ok::<_, FieldError>(members.text(&[name])?.unwrap_or_default().to_owned());
        let tags = match body.get("tags") {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(Value::String(text)) if text.is_empty() => Some(Vec::new()),
            Some(Value::Array(tags)) => tags.iter().map(|tag| Some(tag.as_str()?.to_owned())).collect(),
            Some(_) => None,
        };
        let id = members
            .text(&["mfaId"])?
            .map(|id| id.trim().parse().map_err(|_| FieldError::new("mfaId", "invalid", "must be a UUID")));
        let mfa = match id.transpose()? {
            Some(id) => Some((id, medium(members.required("mfaType")?)?)),
            None => None,
        };
        Ok(Self {
            decision: Decision::parse(members.required("decision")?)?,
            device_id: text("deviceId")?,
            matched_to_device: text("matchedToDevice")?,
            mfa_enabled: body.get("mfaEnabled").and_then(Value::as_bool).unwrap_or_default(),
            mfa,
            session_id: text("sessionId")?.trim().to_owned(),
            tags: tags.ok_or_else(|| FieldError::new("tags", "type", "must be strings in an array"))?,
            user_profile: text("userProfile")?,
        })
    }
}
