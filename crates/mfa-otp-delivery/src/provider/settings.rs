//! Reading a settings document. Errors name the key, never its value.

use core::time::Duration;

use mfa_core::FieldError;
use serde_json::Value;

use crate::HttpsUrl;

/// The bits of the shortest code.
pub(super) const LEAST_BITS: u16 = 19;

const KEYS: [&str; 5] = ["form", "digits", "ttl_s", LINK_URL, TARGET_URL];
/// How much of an unknown key is told, in characters.
const TOLD: usize = 64;
const DIGITS: core::ops::RangeInclusive<u64> = 6..=8;
const TTL: core::ops::RangeInclusive<u64> = 30..=600;
const USUAL_TTL: u64 = 300;
const LINK_URL: &str = "link_url";
const TARGET_URL: &str = "target_url";

#[derive(Clone, Copy, Debug)]
pub(super) struct Settings<'a> {
    /// Digits of a code.
    pub(super) digits: u8,
    /// With the form `link`.
    pub(super) pages: Option<Pages<'a>>,
    pub(super) ttl: Duration,
}

/// Where a link leads, and where its page goes on to, as they are written. They are parsed where one is used: to judge
/// a link takes neither.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pages<'a> {
    link_url: &'a str,
    target_url: &'a str,
}

impl Pages<'_> {
    pub(super) fn link_url(&self) -> Result<HttpsUrl, FieldError> {
        url(LINK_URL, self.link_url)
    }

    pub(super) fn target_url(&self) -> Result<HttpsUrl, FieldError> {
        url(TARGET_URL, self.target_url)
    }
}

impl<'a> Settings<'a> {
    /// Checks everything, the URLs and the names of keys too.
    pub(super) fn check(settings: &'a Value) -> Result<(), Vec<FieldError>> {
        let (pages, mut errors) = match Self::read(settings) {
            Ok(read) => (read.pages, Vec::new()),
            Err(errors) => (pages(settings), errors),
        };
        let urls = pages.map(|pages| [pages.link_url(), pages.target_url()]);
        errors.extend(urls.into_iter().flatten().filter_map(Result::err));
        let keys = settings.as_object().into_iter().flat_map(|fields| fields.keys());
        errors.extend(keys.filter(|key| !KEYS.contains(&key.as_str())).map(|key| unknown(key)));
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    pub(super) fn read(settings: &'a Value) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        if !(settings.is_object() || settings.is_null()) {
            return Err(vec![FieldError::new("settings", "type", "must be an object")]);
        }
        let ttl = number(settings, "ttl_s", TTL, USUAL_TTL, &mut errors);
        let digits = number(settings, "digits", DIGITS, *DIGITS.start(), &mut errors);
        let pages = match settings.get("form").map(Value::as_str) {
            None | Some(Some("code")) => None,
            Some(Some("link")) => pages(settings),
            Some(_) => {
                errors.push(FieldError::new("form", "invalid", "must be code or link"));
                None
            }
        };
        let digits = u8::try_from(digits).unwrap_or(6);
        if errors.is_empty() {
            Ok(Self { digits, pages, ttl: Duration::from_secs(ttl) })
        } else {
            Err(errors)
        }
    }
}

fn number(
    settings: &Value,
    key: &'static str,
    fits: core::ops::RangeInclusive<u64>,
    usual: u64,
    errors: &mut Vec<FieldError>,
) -> u64 {
    let Some(value) = settings.get(key) else { return usual };
    value.as_u64().filter(|number| fits.contains(number)).unwrap_or_else(|| {
        let problem = format!("must be a whole number from {} to {}", fits.start(), fits.end());
        errors.push(FieldError::new(key, "clamp", problem));
        usual
    })
}

/// The URLs as they are written, where the form is `link`.
fn pages(settings: &Value) -> Option<Pages<'_>> {
    let text = |key| settings.get(key).and_then(Value::as_str).unwrap_or_default();
    let is_link = settings.get("form").and_then(Value::as_str) == Some("link");
    is_link.then(|| Pages { link_url: text(LINK_URL), target_url: text(TARGET_URL) })
}

/// Links are made from these, and from nothing of a request.
fn url(key: &'static str, text: &str) -> Result<HttpsUrl, FieldError> {
    HttpsUrl::parse(text).map_err(|error| FieldError::new(key, error.code, error.problem))
}

/// A misspelt key would leave its default in force in silence.
fn unknown(key: &str) -> FieldError {
    let name: String = key.chars().filter(|c| !c.is_control()).take(TOLD).collect();
    FieldError::new(name, "unknown_setting", format!("is not known; there are {}", KEYS.join(", ")))
}
