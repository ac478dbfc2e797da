//! The Duo that is asked: the real one where the environment has its keys, otherwise a fake on loopback.

use std::env;
use std::time::Duration;

use mfa::duo::ApiHosts;
use mfa::http::Client;
use mfa::{Runtime as _, TokioRuntime};
use mfa_testkit::duo::{Device, FakeDuo, Reaction, User};
use serde_json::{Map, Value, json};

use crate::{Failure, say};

/// How long to wait between two polls of the real Duo, which itself holds an answer while nothing happens.
const PAUSE: Duration = Duration::from_secs(1);

/// A Duo, with what it takes to speak to it.
#[derive(Debug)]
pub struct Peer {
    pub(super) hosts: ApiHosts,
    pub(super) client: Client,
    pub(super) variables: Vec<(&'static str, &'static str)>,
    settings: Map<String, Value>,
    fake: Option<FakeDuo>,
}

impl Peer {
    /// Takes the settings `id`, `secret` and host, in this order, from the variables that go with them. Where none of
    /// them is set, a fake is started.
    ///
    /// # Errors
    /// [`Failure::Usage`] names the variable that is missing or is not UTF-8.
    pub fn from_environment(required: &[(&'static str, &'static str); 3]) -> Result<Self, Failure> {
        let variables = required.to_vec();
        let mut given = Map::new();
        for (setting, variable) in required {
            if let Some(value) = read(variable)? {
                given.insert((*setting).to_owned(), value.into());
            }
        }
        if given.is_empty() {
            return Self::fake(variables);
        }
        if let Some((_, variable)) = required.iter().find(|(setting, _)| !given.contains_key(*setting)) {
            let all = required.map(|(_, variable)| variable).join(", ");
            return Err(Failure::usage(format!("{variable} is not set: the real Duo needs {all}")));
        }
        say(format!(
            "Duo: the real one at {}",
            given.get(required[2].0).and_then(Value::as_str).unwrap_or("?")
        ))?;
        let client = Client::builder().proxy_from_environment().build()?;
        Ok(Self { hosts: ApiHosts::duo(), client, variables, settings: given, fake: None })
    }

    fn fake(variables: Vec<(&'static str, &'static str)>) -> Result<Self, Failure> {
        let fake = FakeDuo::start(TokioRuntime::new().now());
        let (authority, keys) = (fake.authority().to_owned(), fake.integration());
        say(format!(
            "Duo: a fake at {authority}, which proves nothing (--help says how to ask the real one)"
        ))?;
        let client = Client::builder().only_roots(fake.ca_pem()).allow_private(&authority).build()?;
        let hosts = ApiHosts::duo().also(&authority)?;
        let values = [keys.ikey, keys.skey, authority];
        let settings = variables
            .iter()
            .zip(values)
            .map(|((name, _), value)| ((*name).to_owned(), value.into()))
            .collect();
        Ok(Self { hosts, client, variables, settings, fake: Some(fake) })
    }

    /// Adds a setting: of its variable, or else `default`.
    ///
    /// # Errors
    /// [`Failure::Usage`] if the variable is not UTF-8.
    pub fn with(
        mut self,
        setting: &'static str,
        variable: &'static str,
        default: &str,
    ) -> Result<Self, Failure> {
        let value = read(variable)?.unwrap_or_else(|| default.to_owned());
        self.settings.insert(setting.to_owned(), value.into());
        self.variables.push((setting, variable));
        Ok(self)
    }

    /// Gives the fake a user with a phone, who approves; does nothing to the real Duo.
    pub fn add_user(&self, name: &str, verified_push: bool) {
        let Some(fake) = &self.fake else { return };
        let user = User::new(name).device(Device::phone("+15555550100"));
        fake.add_user(if verified_push { user.verified_push() } else { user });
    }

    /// Returns the fake, whose users do what a program says.
    #[must_use]
    pub const fn played(&self) -> Option<&FakeDuo> {
        self.fake.as_ref()
    }

    /// Returns the HTTP client that reaches this Duo.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Waits a moment between two polls. The fake's users act at once, so that there is nothing to wait for.
    pub async fn pause(&self) {
        if self.fake.is_none() {
            TokioRuntime::new().sleep(PAUSE).await;
        }
    }

    /// Returns the settings of the provider.
    #[must_use]
    pub fn settings(&self) -> Value {
        json!(self.settings)
    }

    /// Reads what the fake's user is to do: `approve`, `deny`, `report` or `ignore`.
    #[must_use]
    pub fn reaction(name: &str) -> Option<Reaction> {
        Some(match name {
            "approve" => Reaction::Approve,
            "deny" => Reaction::Deny,
            "report" => Reaction::ReportFraud,
            "ignore" => Reaction::TimeOut,
            _ => return None,
        })
    }
}

/// An empty variable counts as one that is not set.
fn read(variable: &str) -> Result<Option<String>, Failure> {
    let Some(value) = env::var_os(variable).filter(|value| !value.is_empty()) else { return Ok(None) };
    value.into_string().map(Some).map_err(|_| Failure::usage(format!("{variable} is not UTF-8")))
}
