//! Reading a settings document. Errors name the key, never its value.

use core::fmt;
use core::time::Duration;

use mfa_core::FieldError;
use serde_json::Value;

use crate::auth_api::AuthApi;
use crate::universal::Universal;
use crate::web::WebSdk;
use crate::{ApiHost, ApiHosts, ApplicationKey, Error, IntegrationKey, SecretKey};

/// Settings that were understood.
pub(super) struct Settings {
    pub(super) mode: Mode,
    pub(super) host: ApiHost,
    /// A push that is approved without a number, or a call, is evidence of AAL2.
    pub(super) accept_approve_only: bool,
}

/// The mode, with what it speaks to Duo by.
pub(super) enum Mode {
    Web(WebSdk),
    AuthApi(AuthApi),
    Universal(Box<Universal>),
}

impl Settings {
    pub(super) fn read(settings: &Value, hosts: &ApiHosts) -> Result<Self, Vec<FieldError>> {
        let mut reader = Reader { settings, errors: Vec::new() };
        let read = reader.read(hosts);
        match read {
            Some(settings) if reader.errors.is_empty() => Ok(settings),
            _ => Err(reader.errors),
        }
    }
}

/// Collects what is wrong, key by key.
struct Reader<'a> {
    settings: &'a Value,
    errors: Vec<FieldError>,
}

impl Reader<'_> {
    fn read(&mut self, hosts: &ApiHosts) -> Option<Settings> {
        if !self.settings.is_object() {
            self.errors.push(FieldError::new("settings", "type", "must be an object"));
            return None;
        }
        let accept_approve_only = self.switch("accept_approve_only");
        let read = match self.mode() {
            "web_sdk" => self.web(hosts),
            "universal" => self.universal(hosts),
            "auth_api" => self.auth_api(hosts),
            _ => {
                let problem = "must be auth_api, universal or web_sdk";
                self.errors.push(FieldError::new("mode", "invalid", problem));
                None
            }
        };
        let (mode, host) = read?;
        Some(Settings { mode, host, accept_approve_only })
    }

    fn mode(&self) -> &str {
        let has = |key: &str| self.settings.get(key).is_some();
        match self.settings.get("mode") {
            Some(mode) => mode.as_str().unwrap_or_default(),
            None if has("application_secret_key") => "web_sdk",
            None if has("client_id") => "universal",
            None => "auth_api",
        }
    }

    fn web(&mut self, hosts: &ApiHosts) -> Option<(Mode, ApiHost)> {
        let ikey = self.key("integration_key", IntegrationKey::parse);
        let skey = self.key("secret_key", SecretKey::parse);
        let akey = self.key("application_secret_key", ApplicationKey::parse);
        let host = self.key("api_hostname", |text| hosts.parse(text));
        let (duo_expire, app_expire) = (self.seconds("duo_expire"), self.seconds("app_expire"));
        let sdk = match WebSdk::new(ikey?, skey?, akey?) {
            Ok(sdk) => sdk,
            Err(error) => {
                self.refuse("application_secret_key", &error);
                return None;
            }
        };
        let sdk = duo_expire.into_iter().fold(sdk, WebSdk::with_duo_expire);
        let sdk = app_expire.into_iter().fold(sdk, WebSdk::with_app_expire);
        Some((Mode::Web(sdk), host?))
    }

    fn auth_api(&mut self, hosts: &ApiHosts) -> Option<(Mode, ApiHost)> {
        let ikey = self.key("integration_key", IntegrationKey::parse);
        let skey = self.key("secret_key", SecretKey::parse);
        let host = self.key("api_hostname", |text| hosts.parse(text));
        let host = host?;
        Some((Mode::AuthApi(AuthApi::new(host.clone(), ikey?, skey?)), host))
    }

    fn universal(&mut self, hosts: &ApiHosts) -> Option<(Mode, ApiHost)> {
        let id = self.key("client_id", IntegrationKey::parse);
        let secret = self.key("client_secret", SecretKey::parse);
        let host = self.key("api_hostname", |text| hosts.parse(text));
        let (id, secret, host) = (id?, secret?, host?);
        let universal = self.key("redirect_uri", |text| Universal::new(id, secret, host.clone(), text))?;
        Some((Mode::Universal(Box::new(universal)), host))
    }

    fn key<T>(&mut self, key: &'static str, parse: impl FnOnce(&str) -> Result<T, Error>) -> Option<T> {
        match self.settings.get(key) {
            None | Some(Value::Null) => {
                self.errors.push(FieldError::new(key, "missing", "is missing"));
                None
            }
            Some(Value::String(text)) => parse(text).map_err(|error| self.refuse(key, &error)).ok(),
            Some(_) => {
                self.errors.push(FieldError::new(key, "type", "must be a text"));
                None
            }
        }
    }

    fn seconds(&mut self, key: &'static str) -> Option<Duration> {
        /// A day: a reply that lives longer is no second step of this login.
        const MOST: u64 = 86_400;
        let value = self.settings.get(key)?;
        let seconds = value.as_u64().filter(|seconds| (1..=MOST).contains(seconds));
        if seconds.is_none() {
            let problem = format!("must be a whole number of seconds from 1 to {MOST}");
            self.errors.push(FieldError::new(key, "invalid", problem));
        }
        seconds.map(Duration::from_secs)
    }

    fn switch(&mut self, key: &'static str) -> bool {
        match self.settings.get(key) {
            None => false,
            Some(Value::Bool(set)) => *set,
            Some(_) => {
                self.errors.push(FieldError::new(key, "type", "must be true or false"));
                false
            }
        }
    }

    /// An error of a part, under the key's own name.
    fn refuse(&mut self, key: &'static str, error: &Error) {
        self.errors.push(FieldError::new(key, "invalid", problem(error)));
    }
}

fn problem(error: &Error) -> String {
    match error {
        Error::IntegrationKey => {
            "must be exactly 20 printable ascii characters without '|' or ':'".to_owned()
        }
        Error::SecretKey => "must be exactly 40 printable ascii characters".to_owned(),
        Error::ApplicationKey => "must have at least 40 characters".to_owned(),
        Error::SameKeys => "must not be the secret key".to_owned(),
        Error::ApiHost { reason } | Error::Parameter { reason, .. } => (*reason).to_owned(),
        other => other.code().to_owned(),
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match &self.mode {
            Mode::Web(_) => "web_sdk",
            Mode::AuthApi(_) => "auth_api",
            Mode::Universal(_) => "universal",
        };
        f.debug_struct("Settings").field("mode", &mode).finish_non_exhaustive()
    }
}
