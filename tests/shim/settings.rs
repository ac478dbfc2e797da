//! The ops of what accounts set: settings of modules, and policies.

use mfa::settings::{Effective, Origin, Owner, Resolved, Revision};
use mfa::{Error, Module, Policy};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::input::Input;
use crate::node::{DEFAULT_PROVIDER, Node};

impl Node {
    pub(crate) async fn settings_put(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (owner, authority) = (self.owner(input).await?, self.authority(input, "settings.put")?);
        let document = input.required("document")?;
        let put = self.engine.settings_put(&owner, document, revision(input)?, &authority).await;
        Ok(json!({ "revision": put.map_err(refused("document", document))?.to_string() }))
    }

    pub(crate) async fn settings_patch(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (owner, authority) = (self.owner(input).await?, self.authority(input, "settings.patch")?);
        let patch = input.required("document")?;
        let put = self.engine.settings_patch(&owner, patch, revision(input)?, &authority).await;
        Ok(json!({ "revision": put.map_err(refused("document", patch))?.to_string() }))
    }

    pub(crate) async fn settings_get(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let Some(stored) = self.engine.settings(&input.scope()?).await? else {
            return Err(Error::NoDocument.into());
        };
        Ok(json!({ "document": stored.document.to_json(), "revision": stored.revision.to_string() }))
    }

    pub(crate) async fn settings_delete(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (owner, authority) = (self.owner(input).await?, self.authority(input, "settings.delete")?);
        self.engine.settings_delete(&owner, revision(input)?, &authority).await?;
        Ok(json!({}))
    }

    pub(crate) async fn settings_resolve(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let module = input.parsed("module", Module::parse)?;
        let found =
            self.engine.settings_resolve(&self.host.known_account(&input.account()?).await?, &module).await?;
        let text = |value: &Option<_>| value.as_ref().map_or(Value::Null, |id: &String| json!(id));
        Ok(json!({
            "enabled": shown(&found.enabled, |value| json!(value)),
            "log_failed_attempts": shown(&found.log_failed_attempts, |value| json!(value)),
            "log_successful_attempts": shown(&found.log_successful_attempts, |value| json!(value)),
            "token_auth_expiry_s": shown(&found.token_auth_expiry_s, |value| json!(value)),
            "multi_factor": {
                "enabled": shown(&found.multi_factor, |value| json!(value)),
                "configuration_id":
                    shown(&found.configuration_id, |id| text(&id.map(|id| id.to_string()))),
                "account_id":
                    shown(&found.account_id, |id| text(&id.as_ref().map(|id| id.as_str().to_owned()))),
                "include_subaccounts": shown(&found.include_subaccounts, |value| json!(value)),
            },
            "applies": found.applies,
            "provider": self.provider(&found).await?,
        }))
    }

    /// Returns of which provider the configuration is that a module names, with whose it is; without one the system's
    /// default.
    async fn provider(&self, of: &Effective) -> Result<Value, Failure> {
        let owner = of.account_id.value.clone().map_or(Origin::System, Origin::Account);
        // Of an id without an owner the module names nothing, unless the system's document gives it.
        let is_named = owner != Origin::System || of.configuration_id.origin == Origin::System;
        let (Some(id), true, Some(scope)) = (of.configuration_id.value, is_named, owner.scope()) else {
            return Ok(json!({ "value": DEFAULT_PROVIDER, "origin": "system" }));
        };
        let all = self.engine.configurations(&scope).await?;
        let named = all.iter().find(|configuration| configuration.id == id);
        let provider = named.map(|configuration| configuration.provider.as_str());
        Ok(json!({ "value": provider, "origin": owner.to_string() }))
    }

    pub(crate) async fn policy_put(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (owner, authority) = (self.owner(input).await?, self.authority(input, "policy.put")?);
        let document = input.required("document")?;
        let put = self.engine.policy_put(&owner, document, revision(input)?, &authority).await;
        Ok(json!({ "revision": put.map_err(refused("document", document))?.to_string() }))
    }

    pub(crate) async fn policy_resolve(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let found = self.engine.policy_resolve(&self.host.known_account(&input.account()?).await?).await?;
        let knob = |name: &&'static str| {
            let origin = found.origins.get(name).map_or_else(|| "builtin".to_owned(), ToString::to_string);
            let value = found.policy.value(name).unwrap_or_default();
            ((*name).to_owned(), json!({ "value": value, "origin": origin }))
        };
        let names: Vec<_> = Policy::KNOBS.iter().map(|knob| knob.name).collect();
        Ok(Value::Object(names.iter().map(knob).collect::<Map<_, _>>()))
    }

    pub(crate) async fn owner(&self, input: &Input<'_>) -> Result<Owner, Failure> {
        if input.text("account")? == "system" {
            return Ok(Owner::System);
        }
        Ok(Owner::Account(self.host.known_account(&input.account()?).await?))
    }
}

pub(crate) fn revision(input: &Input<'_>) -> Result<Option<Revision>, Failure> {
    input.optional_parsed("revision", str::parse)
}

/// Names the field of the request where its document is no object, for which the library has names of its own.
pub(crate) fn refused(field: &str, document: &Value) -> impl FnOnce(Error) -> Failure {
    move |error| match error {
        Error::InvalidDocument(_) if !document.is_object() => Failure::from(error).on(field),
        other => other.into(),
    }
}

fn shown<T>(resolved: &Resolved<T>, show: impl Fn(&T) -> Value) -> Value {
    json!({
        "value": show(&resolved.value),
        "origin": resolved.origin.to_string(),
        "own": resolved.own.as_ref().map(&show),
        "inherited": show(&resolved.inherited),
    })
}
