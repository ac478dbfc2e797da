//! The document that an account sets: its form, its checks, its changes.

use std::collections::BTreeMap;

use audit_model::AccountId;
use serde_json::{Map, Value, json};

use super::{Inheritance, Modules};
use crate::{ConfigurationId, FieldError, Module};

/// The most bytes of a document as JSON.
pub(crate) const MAX_DOCUMENT_BYTES: usize = 16 * 1024;
/// A token lives thirty days at most.
const MAX_TOKEN_EXPIRY_S: u32 = 30 * 24 * 3600;
/// The names inside `multi_factor`. There are no others.
const MULTI_FACTOR: [&str; 4] = ["enabled", "configuration_id", "account_id", "include_subaccounts"];
const KNOWN: [&str; 6] = [
    "enabled",
    "log_failed_attempts",
    "log_failed_login_attempts",
    "log_successful_attempts",
    "token_auth_expiry_s",
    "multi_factor",
];

/// What an account, or the system, sets for the modules. What it leaves out is inherited.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    modules: BTreeMap<Module, ModuleSettings>,
}

/// What is set for one module.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ModuleSettings {
    /// Whether anybody may log in through it.
    pub enabled: Option<bool>,
    /// Whether failed attempts are shown.
    pub log_failed_attempts: Option<bool>,
    /// Whether successful attempts are shown.
    pub log_successful_attempts: Option<bool>,
    /// How long the host's tokens live, in seconds: 1 to 2,592,000.
    pub token_auth_expiry_s: Option<u32>,
    /// The second factor.
    pub multi_factor: MultiFactorSettings,
    /// Names that this version does not know; they are kept.
    other: Map<String, Value>,
}

/// What is set for the second factor of one module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MultiFactorSettings {
    /// Whether one is asked for.
    pub enabled: Option<bool>,
    /// The provider configuration.
    pub configuration_id: Option<ConfigurationId>,
    /// Whose configuration it is.
    pub account_id: Option<AccountId>,
    /// Whether accounts below the owner are asked, too.
    pub include_subaccounts: Option<bool>,
}

impl Settings {
    /// Reads a document in the form of Kazoo's `/security`: an object with `auth_modules`. A document that is written
    /// whole says nothing by leaving something out and cannot say `null`.
    ///
    /// `_read_only` parts are dropped, names inside a module that are not known here are kept, and the name
    /// `log_failed_login_attempts` of 2017 is read as `log_failed_attempts`.
    ///
    /// # Errors
    /// Every [`FieldError`] of the document, with the dotted path of the field. Codes: `type`, `required`, `minimum`,
    /// `maximum`, `maxLength`, `pattern` and `additionalProperties`.
    pub fn parse(
        document: &Value,
        modules: &Modules,
        inheritance: Inheritance,
    ) -> Result<Self, Vec<FieldError>> {
        let settings = Self::read(document, inheritance)?;
        let unknown = settings.modules.keys().filter(|module| !modules.contains(module));
        let errors: Vec<_> = unknown.map(|module| unexpected(format!("auth_modules.{module}"))).collect();
        if errors.is_empty() { Ok(settings) } else { Err(errors) }
    }

    /// Returns the document that a change makes of this one: objects are merged, `null` takes a value away, and
    /// what comes of it is read as a whole (RFC 7396).
    ///
    /// # Errors
    /// As [`Settings::parse`].
    pub fn patched(
        &self,
        patch: &Value,
        modules: &Modules,
        inheritance: Inheritance,
    ) -> Result<Self, Vec<FieldError>> {
        if !patch.is_object() {
            return Err(vec![of_type("settings".to_owned(), "object")]);
        }
        Self::parse(&merged(self.to_json(), patch), modules, inheritance)
    }

    /// Returns the document.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let modules = self.modules.iter().map(|(name, module)| (name.as_str().to_owned(), module.to_json()));
        json!({ "auth_modules": Value::Object(modules.collect()) })
    }

    /// Returns what is set for a module.
    #[must_use]
    pub fn module(&self, module: &Module) -> Option<&ModuleSettings> {
        self.modules.get(module)
    }

    /// Returns the modules that something is set for.
    pub fn modules(&self) -> impl Iterator<Item = (&Module, &ModuleSettings)> {
        self.modules.iter()
    }

    /// Returns whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.modules.values().all(|module| *module == ModuleSettings::default())
    }

    /// Reads a document whichever modules it names, as one that was stored when there were others.
    pub(crate) fn read(document: &Value, inheritance: Inheritance) -> Result<Self, Vec<FieldError>> {
        let Some(fields) = document.as_object() else {
            return Err(vec![of_type("settings".to_owned(), "object")]);
        };
        if document.to_string().len() > MAX_DOCUMENT_BYTES {
            let problem = format!("must not be longer than {MAX_DOCUMENT_BYTES} bytes");
            return Err(vec![FieldError::new("settings", "maxLength", problem)]);
        }
        let mut reader = Reader { errors: Vec::new(), inheritance };
        let mut settings = Self::default();
        match fields.get("auth_modules") {
            None => {}
            Some(Value::Object(modules)) => {
                for (name, value) in modules {
                    if let Some((module, read)) = reader.module(name, value) {
                        settings.modules.insert(module, read);
                    }
                }
            }
            Some(_) => reader.errors.push(of_type("auth_modules".to_owned(), "object")),
        }
        // The id of Kazoo's document is part of what it answers.
        let unknown =
            fields.keys().filter(|name| !["auth_modules", "id", "_read_only"].contains(&name.as_str()));
        reader.errors.extend(unknown.map(|name| unexpected(short(name))));
        if reader.errors.is_empty() { Ok(settings) } else { Err(reader.errors) }
    }
}

impl ModuleSettings {
    fn to_json(&self) -> Value {
        let mut fields = self.other.clone();
        let second = &self.multi_factor;
        let mut multi_factor = Map::new();
        set(&mut multi_factor, "enabled", second.enabled);
        set(&mut multi_factor, "configuration_id", second.configuration_id.map(|id| id.to_string()));
        set(&mut multi_factor, "account_id", second.account_id.as_ref().map(AccountId::as_str));
        set(&mut multi_factor, "include_subaccounts", second.include_subaccounts);
        set(&mut fields, "enabled", self.enabled);
        set(&mut fields, "log_failed_attempts", self.log_failed_attempts);
        set(&mut fields, "log_successful_attempts", self.log_successful_attempts);
        set(&mut fields, "token_auth_expiry_s", self.token_auth_expiry_s);
        set(&mut fields, "multi_factor", Some(multi_factor).filter(|fields| !fields.is_empty()));
        Value::Object(fields)
    }
}

fn set(fields: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        fields.insert(name.to_owned(), value.into());
    }
}

struct Reader {
    errors: Vec<FieldError>,
    inheritance: Inheritance,
}

impl Reader {
    fn module(&mut self, name: &str, value: &Value) -> Option<(Module, ModuleSettings)> {
        let path = format!("auth_modules.{}", short(name));
        let Ok(module) = Module::parse(name) else {
            self.errors.push(unexpected(path));
            return None;
        };
        let Some(fields) = value.as_object() else {
            self.errors.push(of_type(path, "object"));
            return None;
        };
        let old_name = self.boolean(fields, &path, "log_failed_login_attempts");
        let other =
            fields.iter().filter(|(name, _)| !KNOWN.contains(&name.as_str()) && *name != "_read_only");
        let read = ModuleSettings {
            enabled: self.boolean(fields, &path, "enabled"),
            log_failed_attempts: self.boolean(fields, &path, "log_failed_attempts").or(old_name),
            log_successful_attempts: self.boolean(fields, &path, "log_successful_attempts"),
            token_auth_expiry_s: self.seconds(fields, &path, "token_auth_expiry_s"),
            multi_factor: self.multi_factor(fields, &path),
            other: other.map(|(name, value)| (name.clone(), value.clone())).collect(),
        };
        Some((module, read))
    }

    fn multi_factor(&mut self, fields: &Map<String, Value>, path: &str) -> MultiFactorSettings {
        let path = format!("{path}.multi_factor");
        let fields = match fields.get("multi_factor") {
            None => return MultiFactorSettings::default(),
            Some(Value::Object(fields)) => fields,
            Some(_) => {
                self.errors.push(of_type(path, "object"));
                return MultiFactorSettings::default();
            }
        };
        let unknown = fields.keys().map(String::as_str);
        let unknown = unknown.filter(|name| !MULTI_FACTOR.contains(name) && *name != "_read_only");
        self.errors.extend(unknown.map(|name| unexpected(format!("{path}.{}", short(name)))));
        let id = self.text(fields, &path, "configuration_id", ConfigurationId::parse);
        let account = self.text(fields, &path, "account_id", |text| AccountId::parse(text).ok());
        if id.is_some() && !fields.contains_key("account_id") && self.inheritance == Inheritance::NearestWins
        {
            let problem = "is required: setting multi-factor configuration_id needs setting account_id";
            self.errors.push(FieldError::new(format!("{path}.account_id"), "required", problem));
        }
        MultiFactorSettings {
            enabled: self.boolean(fields, &path, "enabled"),
            configuration_id: id,
            account_id: account,
            include_subaccounts: self.boolean(fields, &path, "include_subaccounts"),
        }
    }

    fn boolean(&mut self, fields: &Map<String, Value>, path: &str, name: &str) -> Option<bool> {
        let value = fields.get(name)?;
        if value.as_bool().is_none() {
            self.errors.push(of_type(format!("{path}.{name}"), "boolean"));
        }
        value.as_bool()
    }

    fn seconds(&mut self, fields: &Map<String, Value>, path: &str, name: &str) -> Option<u32> {
        let value = fields.get(name)?;
        let path = format!("{path}.{name}");
        let problem = match (value.as_i64(), value.as_u64()) {
            (Some(number), _) if number < 1 => FieldError::new(path, "minimum", "must be at least 1 second"),
            (None, None) => of_type(path, "integer"),
            (_, number) => {
                let number = number.and_then(|number| u32::try_from(number).ok());
                if let Some(number) = number.filter(|number| *number <= MAX_TOKEN_EXPIRY_S) {
                    return Some(number);
                }
                FieldError::new(path, "maximum", format!("must be at most {MAX_TOKEN_EXPIRY_S} seconds"))
            }
        };
        self.errors.push(problem);
        None
    }

    fn text<T>(
        &mut self,
        fields: &Map<String, Value>,
        path: &str,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let value = fields.get(name)?;
        let path = format!("{path}.{name}");
        let Some(text) = value.as_str() else {
            self.errors.push(of_type(path, "string"));
            return None;
        };
        let parsed = parse(text);
        if parsed.is_none() {
            self.errors.push(FieldError::new(path, "pattern", "is not such an id"));
        }
        parsed
    }
}

/// Merges a change into a document (RFC 7396).
pub(crate) fn merged(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut fields = if let Value::Object(fields) = target { fields } else { Map::new() };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            let before = fields.remove(name).unwrap_or(Value::Null);
            fields.insert(name.clone(), merged(before, value));
        }
    }
    Value::Object(fields)
}

pub(crate) fn of_type(path: String, expected: &str) -> FieldError {
    FieldError::new(path, "type", format!("must be of type {expected}"))
}

pub(crate) fn unexpected(path: String) -> FieldError {
    FieldError::new(path, "additionalProperties", "is not a setting")
}

/// A name from a document is cut, so that an error stays short.
fn short(name: &str) -> String {
    name.chars().take(64).collect()
}
