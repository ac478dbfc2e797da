//! The ops that change what a user has: methods, recovery sets, the second factor as a whole.

use mfa::{MethodSelector, RecoveryForm};
use serde_json::{Value, json};

use crate::answer::{method_json, recovery_json};
use crate::failure::Failure;
use crate::input::Input;
use crate::node::Node;

impl Node {
    pub(crate) async fn method_list(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let methods = self.engine.methods(&input.account()?, &input.user()?).await?;
        Ok(json!({ "methods": methods.iter().map(method_json).collect::<Vec<_>>() }))
    }

    pub(crate) async fn method_remove(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (account, user, method) = (input.account()?, input.user()?, selector(input)?);
        let authority = self.authority(input, "method.remove")?;
        let id = self.engine.method_remove(&account, &user, &method, &authority).await?;
        Ok(json!({ "method_id": id.to_string() }))
    }

    pub(crate) async fn method_prefer(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (account, user, method) = (input.account()?, input.user()?, selector(input)?);
        let authority = self.authority(input, "method.prefer")?;
        let id = self.engine.method_prefer(&account, &user, &method, &authority).await?;
        Ok(json!({ "method_id": id.to_string() }))
    }

    pub(crate) async fn recovery_issue(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (account, user) = (input.account()?, input.user()?);
        let form = RecoveryForm::from_code(input.text("form")?).filter(|form| *form != RecoveryForm::None);
        let form = form.ok_or_else(|| input.mistyped("form", "codes or key"))?;
        let authority = self.authority(input, "recovery.issue")?;
        let issued = self.engine.recovery_issue(&account, &user, form, &authority).await?;
        Ok(json!({ "recovery": recovery_json(&issued) }))
    }

    pub(crate) async fn mfa_disable(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (account, user) = (input.account()?, input.user()?);
        input.text("proof")?;
        let authority = self.authority(input, "mfa.disable")?;
        self.engine.disable(&account, &user, &authority).await?;
        Ok(json!({}))
    }
}

fn selector(input: &Input<'_>) -> Result<MethodSelector, Failure> {
    input.parsed("method", str::parse::<MethodSelector>)
}
