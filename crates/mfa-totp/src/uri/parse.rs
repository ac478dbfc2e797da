//! The way in. The text is split here and not by a URL library, which would keep copies of the
//! secret in memory that nobody wipes, and would silently drop tabs and line breaks.

use zeroize::Zeroizing;

use super::{OtpauthUri, check_account, check_issuer};
use crate::percent::{self, Plus};
use crate::{Digits, Error, Parameters, Period, TotpSecret};

pub(super) fn parse(uri: &str) -> Result<OtpauthUri, Error> {
    if uri.len() > OtpauthUri::MAX_URI_BYTES {
        return Err(Error::InvalidUri { reason: "it is longer than 2048 bytes" });
    }
    let (label, query) = split(uri.trim_ascii())?;
    let (prefix, account) = read_label(label)?;
    let fields = Fields::read(query)?;

    let issuer = match (prefix, fields.issuer.as_deref()) {
        (Some(prefix), Some(parameter)) if prefix != *parameter => {
            return Err(Error::IssuerMismatch);
        }
        (Some(prefix), _) => Some(prefix),
        (None, parameter) => parameter.cloned(),
    };
    if let Some(issuer) = &issuer {
        check_issuer(issuer)?;
    }
    check_account(&account)?;

    let secret = fields.secret.as_deref().ok_or(Error::MissingSecret)?;
    Ok(OtpauthUri {
        issuer,
        account,
        secret: TotpSecret::from_base32(secret)?,
        parameters: fields.parameters()?,
    })
}

/// Returns the label and the query, both still encoded.
fn split(uri: &str) -> Result<(&str, &str), Error> {
    let (scheme, rest) = uri.split_once("://").ok_or(Error::InvalidUri { reason: "it has no scheme" })?;
    if !scheme.eq_ignore_ascii_case("otpauth") {
        return Err(Error::InvalidUri { reason: "the scheme is not otpauth" });
    }
    if rest.contains('#') {
        return Err(Error::InvalidUri { reason: "it has a fragment" });
    }
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (kind, label) = path.split_once('/').unwrap_or((path, ""));
    if kind.eq_ignore_ascii_case("hotp") {
        return Err(Error::UnsupportedType);
    }
    if !kind.eq_ignore_ascii_case("totp") {
        return Err(Error::InvalidUri { reason: "the type is not totp" });
    }
    Ok((label, query))
}

/// Returns the issuer prefix, if any, and the account. A colon separates them, encoded or not; a
/// second one would make the label ambiguous and is refused with the account.
fn read_label(label: &str) -> Result<(Option<String>, String), Error> {
    let label = percent::decode(label, Plus::Literal)?;
    Ok(match label.split_once(':') {
        Some((prefix, account)) => (Some(prefix.to_owned()), account.trim_start_matches(' ').to_owned()),
        None => (None, label.trim_start_matches(' ').to_owned()),
    })
}

type Field = Option<Zeroizing<String>>;

/// The values of the known parameters, decoded.
#[derive(Default)]
struct Fields {
    secret: Field,
    issuer: Field,
    algorithm: Field,
    digits: Field,
    period: Field,
}

impl Fields {
    fn read(query: &str) -> Result<Self, Error> {
        let mut fields = Self::default();
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = percent::decode(key, Plus::Space)?;
            let Some((parameter, field)) = fields.field(&key) else {
                continue;
            };
            if field.is_some() {
                return Err(Error::DuplicateParameter { parameter });
            }
            *field = Some(percent::decode(value, Plus::Space)?);
        }
        // An empty issuer says no more than a missing one; several systems write it.
        fields.issuer = fields.issuer.filter(|issuer| !issuer.is_empty());
        Ok(fields)
    }

    fn field(&mut self, key: &str) -> Option<(&'static str, &mut Field)> {
        [
            ("secret", &mut self.secret),
            ("issuer", &mut self.issuer),
            ("algorithm", &mut self.algorithm),
            ("digits", &mut self.digits),
            ("period", &mut self.period),
        ]
        .into_iter()
        .find(|(name, _)| key.eq_ignore_ascii_case(name))
    }

    fn parameters(&self) -> Result<Parameters, Error> {
        let mut parameters = Parameters::default();
        if let Some(algorithm) = &self.algorithm {
            parameters.algorithm = algorithm.parse()?;
        }
        if let Some(digits) = &self.digits {
            let digits = number(digits).and_then(|digits| u8::try_from(digits).ok());
            parameters.digits = Digits::new(digits.ok_or(Error::InvalidDigits)?)?;
        }
        if let Some(period) = &self.period {
            parameters.period = Period::from_seconds(number(period).ok_or(Error::InvalidPeriod)?)?;
        }
        Ok(parameters)
    }
}

/// Reads digits alone: the standard parser would take a leading `+`.
fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
