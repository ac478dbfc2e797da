//! Provider configurations in Kazoo's two forms, names in the order in which its documentation prints them.

use audit_model::{ErrorReply, Profile};
use serde::Serialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::configuration::{Configuration, PROVIDER_TYPE};
use crate::{Error, SecretText};

/// Returns the list that `GET …/multi_factor` answers as its `data`, without white space: what an account has, and of
/// what the system has, in the form of 2017 the names of providers that are enabled, in that of Kazoo 4 all of it.
///
/// ```
/// # use mfa_core::*;
/// # use mfa_core::settings::*;
/// # use audit_model::Profile;
/// # use mfa_testkit::host::{TestHost, acme, vouched};
/// # use serde_json::json;
/// # futures::executor::block_on(async {
/// let host = TestHost::with_modules(Modules::kazoo()).await;
/// let acme = Owner::Account(Account::new(acme()));
/// let duo = json!({"provider_name": "duo", "settings": {"secret_key": "…"}});
/// let made = host.engine.configuration_create(&acme, Profile::Seed2017, &duo, &vouched()).await?;
/// let all = host.engine.configurations(&Scope::Account(mfa_testkit::host::acme())).await?;
/// let list = configurations_json(Profile::Seed2017, &all, &[]);
/// let row = format!(r#"{{"id":"{}","provider_name":"duo","provider_type":"multi_factor","enabled":true}}"#, made.id);
/// assert_eq!(list, format!(r#"{{"configured":[{row}],"available_system_provider":[]}}"#));
/// # Ok::<(), Error>(()) }).unwrap();
/// ```
#[must_use]
pub fn configurations_json(
    profile: Profile,
    configured: &[Configuration],
    of_system: &[Configuration],
) -> String {
    let rows = |all: &[Configuration]| {
        let rows: Vec<_> = all.iter().map(|one| summary(one, profile)).collect();
        rows.join(",")
    };
    let configured = rows(configured);
    if profile == Profile::Kazoo4 {
        return format!(r#"{{"configured":[{configured}],"multi_factor_providers":[{}]}}"#, rows(of_system));
    }
    let mut names: Vec<_> =
        of_system.iter().filter(|one| one.enabled).map(|one| one.provider.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    format!(r#"{{"configured":[{configured}],"available_system_provider":{}}}"#, text(&names))
}

/// Returns what Kazoo answers to an error of a call about a configuration that the client named `id`; text that is no
/// id is answered as one that nobody has.
///
/// ```
/// # use mfa_core::{Error, FieldError, settings::configuration_error};
/// let unknown = configuration_error(&Error::NoDocument, "../x");
/// assert_eq!((unknown.status(), unknown.to_json().contains("bad_identifier")), (404, true));
/// let missing = FieldError::new("provider_name", "required", "is required");
/// let reply = configuration_error(&Error::InvalidDocument(vec![missing]), "");
/// let field = r#"{"provider_name":{"required":{"message":"Field is required but missing"}}}"#;
/// assert!(reply.to_json().contains(field));
/// ```
#[must_use]
pub fn configuration_error(error: &Error, id: &str) -> ErrorReply {
    match error {
        Error::NoDocument => ErrorReply::bad_identifier(id),
        Error::Conflict => ErrorReply::new(409, "datastore_conflict", "conflicting documents"),
        Error::Forbidden(_) => ErrorReply::new(403, "forbidden", "forbidden"),
        Error::InvalidDocument(fields) => {
            let mut fields = fields.iter().map(|field| {
                let message = match field.code {
                    "required" => "Field is required but missing".to_owned(),
                    "enum" => "Value not found in enumerated list of values".to_owned(),
                    "minLength" => "String must be at least 1 characters".to_owned(),
                    "type" => {
                        let expected = field.problem.rsplit(' ').next().unwrap_or_default();
                        format!("Value did not match type(s): {expected}")
                    }
                    _ => field.problem.clone(),
                };
                (field.field.clone(), field.code, message)
            });
            let (path, code, message) = fields.next().unwrap_or_default();
            let first = ErrorReply::validation(path, code, message);
            fields.fold(first, |reply, (path, code, message)| reply.and(path, code, message))
        }
        _ => ErrorReply::new(503, "datastore_fault", "the step cannot be judged now"),
    }
}

pub(super) fn summary(of: &Configuration, profile: Profile) -> String {
    let id = of.id.to_string();
    let (id, enabled, provider_name, provider_type) =
        (id.as_str(), of.enabled, of.provider.as_str(), PROVIDER_TYPE);
    match profile {
        Profile::Kazoo4 => {
            let name = of.name.as_deref();
            text(&KazooSummary { id, enabled, name, provider_name, provider_type })
        }
        _ => text(&SeedSummary { id, provider_name, provider_type, enabled }),
    }
}

pub(super) fn document(
    of: &Configuration,
    profile: Profile,
    settings: Option<&Value>,
    others: &Map<String, Value>,
) -> SecretText {
    let id = of.id.to_string();
    let (id, enabled, provider_name) = (id.as_str(), of.enabled, of.provider.as_str());
    let whole = match profile {
        Profile::Kazoo4 => {
            let name = of.name.as_deref();
            text(&KazooDocument { enabled, name, provider_name, settings, others, id })
        }
        _ => {
            let provider_type = PROVIDER_TYPE;
            text(&SeedDocument { provider_name, provider_type, enabled, settings, others, id })
        }
    };
    Zeroizing::new(whole).into()
}

/// Texts, flags and JSON alone: writing them to memory does not fail.
fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[derive(Serialize)]
struct SeedSummary<'a> {
    id: &'a str,
    provider_name: &'a str,
    provider_type: &'static str,
    enabled: bool,
}

#[derive(Serialize)]
struct KazooSummary<'a> {
    id: &'a str,
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    provider_name: &'a str,
    provider_type: &'static str,
}

#[derive(Serialize)]
struct SeedDocument<'a> {
    provider_name: &'a str,
    provider_type: &'static str,
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<&'a Value>,
    #[serde(flatten)]
    others: &'a Map<String, Value>,
    id: &'a str,
}

#[derive(Serialize)]
struct KazooDocument<'a> {
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    provider_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<&'a Value>,
    #[serde(flatten)]
    others: &'a Map<String, Value>,
    id: &'a str,
}
