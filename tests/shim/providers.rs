//! The ops of provider configurations of accounts and of the system.

use audit_model::Profile;
use mfa::settings::{Owner, configurations_json};
use mfa::{ConfigurationId, Error, Scope};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::input::Input;
use crate::node::Node;
use crate::settings::revision;

impl Node {
    pub(crate) async fn provider_create(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (owner, authority) = (self.owner(input).await?, self.authority(input, "provider.create")?);
        let (profile, document) = (profile(input)?, input.required("document")?);
        let made = self.engine.configuration_create(&owner, profile, document, &authority).await?;
        self.shown(&owner, made.id, input).await
    }

    pub(crate) async fn provider_list(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let configured = self.engine.configurations(&input.scope()?).await?;
        let of_system = self.engine.configurations(&Scope::System).await?;
        let data = configurations_json(profile(input)?, &configured, &of_system);
        Ok(json!({ "data": parsed(&data)? }))
    }

    pub(crate) async fn provider_get(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let owner = self.owner(input).await?;
        self.shown(&owner, id(input)?, input).await
    }

    pub(crate) async fn provider_replace(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (owner, authority) = (self.owner(input).await?, self.authority(input, "provider.replace")?);
        let (id, profile, document) = (id(input)?, profile(input)?, input.required("document")?);
        let at = revision(input)?;
        self.engine.configuration_replace(&owner, id, profile, document, at, &authority).await?;
        self.shown(&owner, id, input).await
    }

    pub(crate) async fn provider_patch(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (owner, authority) = (self.owner(input).await?, self.authority(input, "provider.patch")?);
        let (id, profile, patch) = (id(input)?, profile(input)?, input.required("patch")?);
        let at = revision(input)?;
        self.engine.configuration_patch(&owner, id, profile, patch, at, &authority).await?;
        self.shown(&owner, id, input).await
    }

    pub(crate) async fn provider_delete(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (owner, authority) = (self.owner(input).await?, self.authority(input, "provider.delete")?);
        self.engine.configuration_delete(&owner, id(input)?, revision(input)?, &authority).await?;
        Ok(json!({}))
    }

    /// Kazoo answers with the whole, keys in clear.
    async fn shown(&self, owner: &Owner, id: ConfigurationId, input: &Input<'_>) -> Result<Value, Failure> {
        let authority = mfa::Authority::host_vouched("mfa-shim", "provider.get");
        let shown = self.engine.configuration_show(owner, id, &authority).await?;
        let data = shown.to_json(profile(input)?);
        let revision = shown.configuration().revision.to_string();
        Ok(json!({ "data": parsed(data.expose_secret())?, "revision": revision }))
    }
}

/// Text that is no id names nothing.
fn id(input: &Input<'_>) -> Result<ConfigurationId, Failure> {
    Ok(ConfigurationId::parse(input.text("config_id")?).ok_or(Error::NoDocument)?)
}

fn profile(input: &Input<'_>) -> Result<Profile, Failure> {
    input.parsed("profile", str::parse)
}

fn parsed(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|_| Failure::bad_request("what was kept is no JSON"))
}
