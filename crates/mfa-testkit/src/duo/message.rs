//! Requests and answers, without their transport.

use std::collections::BTreeMap;

use http::{HeaderMap, Method};
use serde_json::{Value, json};
use url::form_urlencoded;

/// A request that was read to its end.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    /// Host and port as the client sees them, lower case.
    pub(super) authority: String,
    pub(super) headers: HeaderMap,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// What the body of a request is, by its `Content-Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentType {
    Form,
    Json,
    Other,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the host without its port.
    pub(super) fn host(&self) -> &str {
        self.authority.rsplit_once(':').map_or(self.authority.as_str(), |(host, _)| host)
    }

    /// Returns the address of an endpoint as the client knows it.
    pub(super) fn endpoint(&self, path: &str) -> String {
        format!("https://{}{path}", self.authority)
    }

    pub(super) fn content_type(&self) -> ContentType {
        let name = self.header("content-type").and_then(|value| value.split(';').next());
        match name.map(|name| name.trim().to_ascii_lowercase()).as_deref() {
            Some("application/x-www-form-urlencoded") => ContentType::Form,
            Some("application/json") => ContentType::Json,
            None if self.body.is_empty() => ContentType::Form,
            _ => ContentType::Other,
        }
    }

    pub(super) fn form(&self) -> Vec<(String, String)> {
        match self.content_type() {
            ContentType::Form => form_urlencoded::parse(&self.body).into_owned().collect(),
            ContentType::Json | ContentType::Other => Vec::new(),
        }
    }

    /// Returns the parameters, wherever they are; of several with one name the first.
    pub(super) fn params(&self) -> BTreeMap<String, String> {
        let json = match self.content_type() {
            ContentType::Json => serde_json::from_slice(&self.body).unwrap_or_default(),
            ContentType::Form | ContentType::Other => Value::Null,
        };
        let fields = json.as_object().into_iter().flatten().filter_map(|(name, value)| {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => return None,
            };
            Some((name.clone(), text))
        });
        let all = self.query.iter().cloned().chain(self.form()).chain(fields);
        let mut params = BTreeMap::new();
        all.for_each(|(name, value)| {
            params.entry(name).or_insert(value);
        });
        params
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: String,
    /// A header field beside the usual ones.
    pub(super) extra: Option<(&'static str, String)>,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Json(Value),
    Bytes(Vec<u8>),
}

impl Reply {
    pub(super) fn json(status: u16, value: Value) -> Self {
        let content_type = "application/json".to_owned();
        Self { status, content_type, extra: None, content: Content::Json(value) }
    }

    pub(super) fn bytes(status: u16, content_type: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        let content = Content::Bytes(bytes.into());
        Self { status, content_type: content_type.into(), extra: None, content }
    }

    /// Makes the envelope of a success.
    pub(super) fn ok(response: Value) -> Self {
        Self::json(200, json!({ "stat": "OK", "response": response }))
    }

    pub(super) fn redirect(location: impl Into<String>) -> Self {
        let mut reply = Self::bytes(302, "text/html", Vec::new());
        reply.extra = Some(("location", location.into()));
        reply
    }
}

/// A failure of the Auth API: the first three digits of its code are the HTTP status.
#[derive(Debug)]
pub(super) struct Failure {
    code: u32,
    message: &'static str,
    detail: Option<String>,
}

impl Failure {
    pub(super) const fn new(code: u32, message: &'static str) -> Self {
        Self { code, message, detail: None }
    }

    pub(super) fn missing(param: &str) -> Self {
        Self { detail: Some(param.to_owned()), ..Self::new(40001, "Missing required request parameters") }
    }

    pub(super) fn invalid(param: &str) -> Self {
        Self { detail: Some(param.to_owned()), ..Self::new(40002, "Invalid request parameters") }
    }
}

impl From<Failure> for Reply {
    fn from(failure: Failure) -> Self {
        let mut body = json!({ "stat": "FAIL", "code": failure.code, "message": failure.message });
        if let (Some(detail), Some(fields)) = (failure.detail, body.as_object_mut()) {
            fields.insert("message_detail".to_owned(), detail.into());
        }
        let status = u16::try_from(failure.code / 100).ok().filter(|status| (100..1000).contains(status));
        Self::json(status.unwrap_or(500), body)
    }
}
