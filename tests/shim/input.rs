//! The fields of a request, read with their types. A missing or mistyped field is a `bad_request` that
//! names it; a value that a library refuses keeps the library's code.

use mfa::audit::Scope;
use mfa::{AccountId, Timestamp, UserId};
use serde_json::{Map, Value};

use crate::failure::Failure;

/// An object of a request. A field that is `null` counts as missing.
#[derive(Clone, Debug)]
pub(crate) struct Input<'a> {
    fields: &'a Map<String, Value>,
    path: String,
}

impl<'a> Input<'a> {
    pub(crate) const fn new(fields: &'a Map<String, Value>) -> Self {
        Self { fields, path: String::new() }
    }

    /// Returns the dotted path of a field.
    pub(crate) fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn required(&self, name: &str) -> Result<&'a Value, Failure> {
        let missing = || Failure::bad_request(format!("{name} is missing")).at(self.path(name));
        self.get(name).ok_or_else(missing)
    }

    pub(crate) fn text(&self, name: &str) -> Result<&'a str, Failure> {
        self.required(name)?;
        self.optional_text(name)?.ok_or_else(|| self.mistyped(name, "a string"))
    }

    pub(crate) fn optional_text(&self, name: &str) -> Result<Option<&'a str>, Failure> {
        let typed = |value: &'a Value| value.as_str().ok_or_else(|| self.mistyped(name, "a string"));
        self.get(name).map(typed).transpose()
    }

    pub(crate) fn whole(&self, name: &str) -> Result<u64, Failure> {
        self.required(name)?;
        self.optional_whole(name)?.ok_or_else(|| self.mistyped(name, "a whole number"))
    }

    pub(crate) fn optional_whole(&self, name: &str) -> Result<Option<u64>, Failure> {
        let problem = || self.mistyped(name, "a whole number from 0 to 2^64 - 1");
        self.get(name).map(|value| value.as_u64().ok_or_else(problem)).transpose()
    }

    pub(crate) fn optional_flag(&self, name: &str) -> Result<Option<bool>, Failure> {
        let problem = || self.mistyped(name, "true or false");
        self.get(name).map(|value| value.as_bool().ok_or_else(problem)).transpose()
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, Failure> {
        Ok(self.optional_flag(name)?.unwrap_or(false))
    }

    pub(crate) fn list(&self, name: &str) -> Result<&'a [Value], Failure> {
        let problem = || self.mistyped(name, "a list");
        self.get(name).map_or(Ok(&[]), |value| value.as_array().map(Vec::as_slice).ok_or_else(problem))
    }

    pub(crate) fn object(&self, name: &str) -> Result<Self, Failure> {
        self.required(name)?;
        self.optional_object(name)?.ok_or_else(|| self.mistyped(name, "an object"))
    }

    pub(crate) fn optional_object(&self, name: &str) -> Result<Option<Self>, Failure> {
        let problem = || self.mistyped(name, "an object");
        let typed = |value: &'a Value| {
            let fields = value.as_object().ok_or_else(problem)?;
            Ok(Self { fields, path: self.path(name) })
        };
        self.get(name).map(typed).transpose()
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.fields.iter()
    }

    /// Reads a text with a library's own parser. What it refuses is at this field, by whatever name it knows it.
    pub(crate) fn parsed<T, E: Into<Failure>>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Failure> {
        parse(self.text(name)?).map_err(|error| error.into().on(&self.path(name)))
    }

    /// As [`Input::parsed`], for a field that may be missing.
    pub(crate) fn optional_parsed<T, E: Into<Failure>>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Failure> {
        self.get(name).map(|_| self.parsed(name, parse)).transpose()
    }

    pub(crate) fn account(&self) -> Result<AccountId, Failure> {
        self.parsed("account", AccountId::parse)
    }

    pub(crate) fn user(&self) -> Result<UserId, Failure> {
        self.parsed("user", UserId::parse)
    }

    /// Reads an account, or `system` for the installation's own scope.
    pub(crate) fn scope(&self) -> Result<Scope, Failure> {
        if self.text("account")? == "system" { Ok(Scope::System) } else { Ok(self.account()?.into()) }
    }

    /// Reads unix seconds.
    pub(crate) fn time(&self, name: &str) -> Result<Timestamp, Failure> {
        let seconds = self.whole(name)?;
        Timestamp::from_unix_seconds(seconds).map_err(|error| Failure::from(error).at(self.path(name)))
    }

    /// Reads 32 bytes in hexadecimal.
    pub(crate) fn key(&self, name: &str) -> Result<[u8; 32], Failure> {
        let problem = || self.mistyped(name, "64 hexadecimal digits");
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(self.text(name)?.as_bytes());
        bytes.ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(problem)
    }

    /// Refuses fields whose meaning no library has yet: to leave them aside could change what is answered.
    pub(crate) fn without(&self, names: &[&str]) -> Result<(), Failure> {
        match names.iter().find(|name| self.get(name).is_some()) {
            Some(name) => Err(Failure::not_served().at(self.path(name))),
            None => Ok(()),
        }
    }

    pub(crate) fn mistyped(&self, name: &str, must: &str) -> Failure {
        Failure::bad_request(format!("{name} must be {must}")).at(self.path(name))
    }
}

/// Reads item `index` of the list `name` as an object.
pub(crate) fn item<'a>(name: &str, index: usize, value: &'a Value) -> Result<Input<'a>, Failure> {
    let path = format!("{name}.{index}");
    match value.as_object() {
        Some(fields) => Ok(Input { fields, path }),
        None => Err(Failure::bad_request(format!("{path} must be an object")).at(path)),
    }
}
