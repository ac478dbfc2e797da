//! The ops of provider configurations of accounts and of the system.

use audit_model::Profile;
use mfa::settings::{Configuration, Owner, Revision, configurations_json};
use mfa::{ConfigurationId, Error, Scope, SecretText};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::input::Input;
use crate::node::Node;
use crate::settings::{refused, revision};

impl Node {
    pub(crate) async fn provider_create(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (owner, authority) = (self.owner(input).await?, self.authority(input, "provider.create")?);
        let (profile, document) = (profile(input)?, input.required("document")?);
        let made = self.engine.configuration_create(&owner, profile, document, &authority).await;
        self.written(&owner, &made.map_err(refused("document", document))?, profile).await
    }

    pub(crate) async fn provider_list(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (profile, scope) = (profile(input)?, input.scope()?);
        let configured = self.engine.configurations(&scope).await?;
        let of_system = self.engine.configurations(&Scope::System).await?;
        let data = configurations_json(profile, &configured, &of_system);
        Ok(json!({ "data": parsed(&data)? }))
    }

    pub(crate) async fn provider_get(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (profile, id) = (profile(input)?, id(input)?);
        self.shown(&self.owner(input).await?, id, profile).await
    }

    pub(crate) async fn provider_replace(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (owner, authority) = (self.owner(input).await?, self.authority(input, "provider.replace")?);
        let (profile, document) = (profile(input)?, input.required("document")?);
        let (at, id) = (revision(input)?, id(input)?);
        let put = self.engine.configuration_replace(&owner, id, profile, document, at, &authority).await;
        self.written(&owner, &put.map_err(refused("document", document))?, profile).await
    }

    pub(crate) async fn provider_patch(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (owner, authority) = (self.owner(input).await?, self.authority(input, "provider.patch")?);
        let (profile, patch) = (profile(input)?, input.required("patch")?);
        let (at, id) = (revision(input)?, id(input)?);
        let put = self.engine.configuration_patch(&owner, id, profile, patch, at, &authority).await;
        self.written(&owner, &put.map_err(refused("patch", patch))?, profile).await
    }

    pub(crate) async fn provider_delete(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (owner, authority) = (self.owner(input).await?, self.authority(input, "provider.delete")?);
        self.engine.configuration_delete(&owner, id(input)?, revision(input)?, &authority).await?;
        Ok(json!({}))
    }

    /// Answers as [`Node::shown`]. What is written stays written, so where it cannot be shown the answer is what the
    /// engine returned: all but the settings.
    async fn written(&self, owner: &Owner, put: &Configuration, profile: Profile) -> Result<Value, Failure> {
        match self.shown(owner, put.id, profile).await {
            Ok(shown) => Ok(shown),
            Err(_) => answer(&put.to_json(profile, None), put.revision),
        }
    }

    /// Kazoo answers with the whole, keys in clear.
    async fn shown(&self, owner: &Owner, id: ConfigurationId, profile: Profile) -> Result<Value, Failure> {
        let authority = mfa::Authority::host_vouched("mfa-shim", "provider.get");
        let shown = self.engine.configuration_show(owner, id, &authority).await?;
        answer(&shown.to_json(profile), shown.configuration().revision)
    }
}

/// Text that is no id names nothing.
fn id(input: &Input<'_>) -> Result<ConfigurationId, Failure> {
    Ok(ConfigurationId::parse(input.text("config_id")?).ok_or(Error::NoDocument)?)
}

fn profile(input: &Input<'_>) -> Result<Profile, Failure> {
    input.parsed("profile", str::parse)
}

fn answer(data: &SecretText, revision: Revision) -> Result<Value, Failure> {
    Ok(json!({ "data": parsed(data.expose_secret())?, "revision": revision.to_string() }))
}

fn parsed(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|_| Failure::bad_request("what was kept is no JSON"))
}
