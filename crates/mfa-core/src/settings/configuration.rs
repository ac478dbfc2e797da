//! A provider configuration of an account: its form, its checks, its changes.

use core::fmt;

use audit_model::Profile;
use serde_json::{Map, Value, json};
use zeroize::Zeroize;

use super::document::{merged, of_type};
use super::{Revision, wire};
use crate::{ConfigurationId, FieldError, ProviderName, SecretText};

/// The most configurations that an account, or the system, has.
pub(crate) const MAX_CONFIGURATIONS: usize = 32;
/// The most bytes of one as JSON.
pub(crate) const MAX_BYTES: usize = 4 * 1024;
const MAX_NAME_BYTES: usize = 128;
/// Kazoo's type of every provider of a second factor.
pub(crate) const PROVIDER_TYPE: &str = "multi_factor";
/// The path of what is wrong with the whole.
const WHOLE: &str = "configuration";

/// A provider configuration of an account, or of the system, without its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Configuration {
    /// Its id, which is made here and never changes.
    pub id: ConfigurationId,
    /// What people call it, 1 to 128 bytes.
    pub name: Option<String>,
    /// The provider, which may be one that is not registered.
    pub provider: ProviderName,
    /// Whether it may be used.
    pub enabled: bool,
    /// Which of its states this is.
    pub revision: Revision,
}

impl Configuration {
    /// Returns it as a list shows it: a JSON object without white space, and never with settings. See
    /// [`configurations_json`](super::configurations_json).
    #[must_use]
    pub fn summary_json(&self, profile: Profile) -> String {
        wire::summary(self, profile)
    }

    /// Returns it with the `settings` that the host has just sent, in the form of a reply to that.
    #[must_use]
    pub fn to_json(&self, profile: Profile, settings: Option<&Value>) -> SecretText {
        wire::document(self, profile, settings, &Map::new())
    }
}

/// A provider configuration with its settings, keys included. `Debug` shows none of them, and they are wiped when it is
/// dropped.
pub struct RevealedConfiguration {
    configuration: Configuration,
    sealed: Sealed,
}

impl RevealedConfiguration {
    pub(crate) const fn new(configuration: Configuration, sealed: Sealed) -> Self {
        Self { configuration, sealed }
    }

    /// Returns it without its settings.
    #[must_use]
    pub const fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// Returns the settings, if it has any. They hold the provider's keys in clear.
    #[must_use]
    pub fn reveal(&self) -> Option<&Value> {
        self.sealed.settings()
    }

    /// Returns the whole document as a JSON object without white space, keys in clear.
    #[must_use]
    pub fn to_json(&self, profile: Profile) -> SecretText {
        wire::document(&self.configuration, profile, self.reveal(), self.sealed.others())
    }
}

impl fmt::Debug for RevealedConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevealedConfiguration")
            .field("configuration", &self.configuration)
            .field("settings", &"[redacted]")
            .finish()
    }
}

/// What of a configuration is sealed: its settings, and fields that this version does not know, which may hold anything.
/// Wiped when dropped.
#[derive(Default)]
pub(crate) struct Sealed {
    settings: Option<Value>,
    others: Map<String, Value>,
}

impl Sealed {
    /// Takes the settings out of it.
    pub(crate) fn take_settings(mut self) -> Option<Clear> {
        self.settings.take().map(Clear)
    }

    pub(crate) const fn settings(&self) -> Option<&Value> {
        self.settings.as_ref()
    }

    const fn others(&self) -> &Map<String, Value> {
        &self.others
    }

    /// Returns the bytes that are sealed.
    pub(crate) fn to_text(&self) -> SecretText {
        let text = serde_json::to_string(&(&self.settings, &self.others));
        SecretText::new(text.unwrap_or_default())
    }

    /// Reads what [`Sealed::to_text`] wrote.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (settings, others) = serde_json::from_slice(bytes).ok()?;
        Some(Self { settings, others })
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        self.settings.iter_mut().chain(self.others.values_mut()).for_each(wipe);
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A document in clear, wiped when it is dropped.
pub(crate) struct Clear(pub(crate) Value);

impl Drop for Clear {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Overwrites every text of a value.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What somebody wrote: a configuration without what is made here.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) name: Option<String>,
    pub(crate) provider: ProviderName,
    pub(crate) enabled: bool,
    pub(crate) sealed: Sealed,
}

impl Written {
    /// Reads a document in Kazoo's form. What only the server says (`id`, `revision`, names that begin with `pvt_` or
    /// `_`) is dropped, what is not known here is kept, and what the provider makes of `settings` is not asked.
    ///
    /// In the form of 2017 `enabled` may be left out, which means yes; in that of Kazoo 4 it and `name` are required.
    pub(crate) fn parse(document: &Value, profile: Profile) -> Result<Self, Vec<FieldError>> {
        let Some(fields) = document.as_object() else {
            return Err(vec![of_type(WHOLE.to_owned(), "object")]);
        };
        let mut reader = Reader { fields, errors: Vec::new() };
        let strict = profile == Profile::Kazoo4;
        let name = reader.text("name", MAX_NAME_BYTES, strict);
        let provider = reader.provider();
        reader.provider_type();
        let enabled = reader.enabled(strict);
        if fields.get("settings").is_some_and(|settings| !settings.is_object()) {
            reader.errors.push(of_type("settings".to_owned(), "object"));
        }
        let is_other = |name: &str| {
            let known = ["name", "provider_name", "provider_type", "enabled", "settings", "id", "revision"];
            !known.contains(&name) && !name.starts_with("pvt_") && !name.starts_with('_')
        };
        let others = fields.iter().filter(|(name, _)| is_other(name));
        let sealed = Sealed {
            settings: fields.get("settings").cloned(),
            others: others.map(|(name, value)| (name.clone(), value.clone())).collect(),
        };
        reader.errors.extend(too_large(&sealed));
        match provider {
            Some(provider) if reader.errors.is_empty() => Ok(Self { name, provider, enabled, sealed }),
            _ => Err(reader.errors),
        }
    }

    /// Returns what a change makes of it: objects are merged, `null` takes a value away, and what comes of it is read
    /// as a whole (RFC 7396).
    pub(crate) fn patched(&self, patch: &Value, profile: Profile) -> Result<Self, Vec<FieldError>> {
        if !patch.is_object() {
            return Err(vec![of_type(WHOLE.to_owned(), "object")]);
        }
        let mut whole = merged(self.to_value(), patch);
        let parsed = Self::parse(&whole, profile);
        wipe(&mut whole);
        parsed
    }

    /// Returns the document, settings in clear: to be wiped.
    pub(crate) fn to_value(&self) -> Value {
        let mut fields = self.sealed.others.clone();
        let public = json!({"provider_name": self.provider.as_str(), "enabled": self.enabled});
        fields.extend(public.as_object().cloned().unwrap_or_default());
        fields.extend(self.name.clone().map(|name| ("name".to_owned(), name.into())));
        fields.extend(self.sealed.settings.clone().map(|settings| ("settings".to_owned(), settings)));
        Value::Object(fields)
    }
}

/// Checks that what is sealed is read again as it is.
fn too_large(sealed: &Sealed) -> Option<FieldError> {
    let text = sealed.to_text();
    if text.expose_secret().len() > MAX_BYTES {
        let problem = format!("must not be longer than {MAX_BYTES} bytes");
        return Some(FieldError::new(WHOLE, "maxLength", problem));
    }
    let read = Sealed::from_bytes(text.expose_secret().as_bytes());
    read.is_none().then(|| FieldError::new(WHOLE, "maxDepth", "must not be nested more than 120 levels deep"))
}

struct Reader<'a> {
    fields: &'a Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Reader<'_> {
    fn text(&mut self, name: &str, most: usize, required: bool) -> Option<String> {
        let error = match self.fields.get(name) {
            None if required => FieldError::new(name, "required", "is required"),
            None => return None,
            Some(Value::String(text)) if text.is_empty() => {
                FieldError::new(name, "minLength", "must be at least 1 character")
            }
            Some(Value::String(text)) if text.len() > most => {
                FieldError::new(name, "maxLength", format!("must not be longer than {most} bytes"))
            }
            Some(Value::String(text)) => return Some(text.clone()),
            Some(_) => of_type(name.to_owned(), "string"),
        };
        self.errors.push(error);
        None
    }

    fn provider(&mut self) -> Option<ProviderName> {
        let parsed = ProviderName::parse(&self.text("provider_name", 32, true)?);
        if parsed.is_err() {
            let problem = "must be lower-case letters, digits and underscores";
            self.errors.push(FieldError::new("provider_name", "pattern", problem));
        }
        parsed.ok()
    }

    fn provider_type(&mut self) {
        let error = match self.fields.get("provider_type") {
            None => return,
            Some(Value::String(text)) if text == PROVIDER_TYPE => return,
            Some(Value::String(_)) => FieldError::new("provider_type", "enum", "must be multi_factor"),
            Some(_) => of_type("provider_type".to_owned(), "string"),
        };
        self.errors.push(error);
    }

    fn enabled(&mut self, required: bool) -> bool {
        let error = match self.fields.get("enabled") {
            None if required => FieldError::new("enabled", "required", "is required"),
            None => return true,
            Some(Value::Bool(enabled)) => return *enabled,
            Some(_) => of_type("enabled".to_owned(), "boolean"),
        };
        self.errors.push(error);
        false
    }
}
