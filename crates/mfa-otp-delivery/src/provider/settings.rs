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
    pub(super) form: Form,
    pub(super) ttl: Duration,
}

#[derive(Debug)]
pub(super) enum Form {
    Code { digits: u8 },
    Link { link_url: HttpsUrl, target_url: HttpsUrl },
}

impl Settings {
    pub(super) fn read(settings: &Value) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        if !(settings.is_object() || settings.is_null()) {
            return Err(vec![FieldError::new("settings", "type", "must be an object")]);
        }
        let ttl = number(settings, "ttl_s", TTL, USUAL_TTL, &mut errors);
        let digits = number(settings, "digits", DIGITS, *DIGITS.start(), &mut errors);
        let form = match settings.get("form").map(Value::as_str) {
            None | Some(Some("code")) => Form::Code { digits: u8::try_from(digits).unwrap_or(6) },
            Some(Some("link")) => {
                let link_url = address(settings, "link_url", &mut errors);
                let target_url = address(settings, "target_url", &mut errors);
                match (link_url, target_url) {
                    (Some(link_url), Some(target_url)) => Form::Link { link_url, target_url },
                    _ => return Err(errors),
                }
            }
            Some(_) => {
                errors.push(FieldError::new("form", "invalid", "must be code or link"));
                Form::Code { digits: 6 }
            }
        };
        if errors.is_empty() { Ok(Self { form, ttl: Duration::from_secs(ttl) }) } else { Err(errors) }
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
