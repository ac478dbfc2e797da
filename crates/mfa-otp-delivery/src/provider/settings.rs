//! Reading a settings document. Errors name the key, never its value.

use core::time::Duration;

use mfa_core::FieldError;
use serde_json::Value;

use crate::HttpsUrl;

/// The bits of the shortest code.
pub(super) const LEAST_BITS: u16 = 19;

const DIGITS: core::ops::RangeInclusive<u64> = 6..=8;
const TTL: core::ops::RangeInclusive<u64> = 30..=600;
const USUAL_TTL: u64 = 300;

#[derive(Debug)]
pub(super) struct Settings {
    /// Digits of a code.
    pub(super) digits: u8,
    /// With the form `link`.
    pub(super) pages: Option<Pages>,
    pub(super) ttl: Duration,
}

/// Where a link leads, and where its page goes on to.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) link_url: HttpsUrl,
    pub(super) target_url: HttpsUrl,
}

impl Settings {
    pub(super) fn read(settings: &Value) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        if !(settings.is_object() || settings.is_null()) {
            return Err(vec![FieldError::new("settings", "type", "must be an object")]);
        }
        let ttl = number(settings, "ttl_s", TTL, USUAL_TTL, &mut errors);
        let digits = number(settings, "digits", DIGITS, *DIGITS.start(), &mut errors);
        let pages = match settings.get("form").map(Value::as_str) {
            None | Some(Some("code")) => None,
            Some(Some("link")) => {
                let link_url = address(settings, "link_url", &mut errors);
                let target_url = address(settings, "target_url", &mut errors);
                link_url.zip(target_url).map(|(link_url, target_url)| Pages { link_url, target_url })
            }
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

/// A URL as it is written: links are made from it, and from nothing of a request.
fn address(settings: &Value, key: &'static str, errors: &mut Vec<FieldError>) -> Option<HttpsUrl> {
    let url = HttpsUrl::parse(settings.get(key).and_then(Value::as_str).unwrap_or_default());
    url.map_err(|error| errors.push(FieldError::new(key, error.code, error.problem))).ok()
}
