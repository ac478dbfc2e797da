//! The ops about an account's API key.

use mfa::{Account, ApiKeyVerify, IssuedApiKey, Module};
use serde_json::{Value, json};

use crate::answer::{rejected_json, unknown_outcome};
use crate::failure::Failure;
use crate::input::Input;
use crate::node::Node;
use crate::request::request_facts;

/// The route of keys, unless the request names another.
const MODULE: &str = "cb_api_auth";

impl Node {
    pub(crate) async fn api_key_create(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let authority = self.authority(input, "api_key.create")?;
        Ok(issued_json(&self.engine.api_key_create(&self.account(input).await?, &authority).await?))
    }

    pub(crate) async fn api_key_reset(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let authority = self.authority(input, "api_key.reset")?;
        Ok(issued_json(&self.engine.api_key_reset(&self.account(input).await?, &authority).await?))
    }

    pub(crate) async fn api_key_show(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let authority = self.authority(input, "api_key.show")?;
        Ok(issued_json(&self.engine.api_key_show(&self.account(input).await?, &authority).await?))
    }

    pub(crate) async fn api_key_remove(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let authority = self.authority(input, "api_key.remove")?;
        self.engine.api_key_remove(&self.account(input).await?, &authority).await?;
        Ok(json!({}))
    }

    pub(crate) async fn api_key_verify(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let module = match input.optional_parsed("module", Module::parse)? {
            Some(module) => module,
            None => Module::parse(MODULE)?,
        };
        let (key, facts) = (input.text("key")?, request_facts(input)?);
        let judged = self.engine.api_key_verify(key, &module, &facts).await;
        let judged = judged.map_err(|error| match error {
            mfa::Error::Invalid(field) => Failure::from(field).on("key"),
            other => other.into(),
        });
        match judged? {
            ApiKeyVerify::Verified(verified) => Ok(json!({
                "outcome": "verified",
                "account": verified.account().as_str(),
                "module": verified.module().as_str(),
                "verified_at": verified.verified_at().unix_seconds(),
            })),
            ApiKeyVerify::Rejected(rejected) => Ok(rejected_json(&rejected)),
            _ => Err(unknown_outcome()),
        }
    }

    /// Finds the account that `account` names, with its parents as the host's table has them.
    async fn account(&self, input: &Input<'_>) -> Result<Account, Failure> {
        self.host.known_account(&input.account()?).await
    }
}

fn issued_json(issued: &IssuedApiKey) -> Value {
    json!({ "key": issued.key.expose_secret(), "issued_at": issued.issued_at.unix_seconds() })
}
