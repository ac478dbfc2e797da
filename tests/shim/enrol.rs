//! The ops of enrolments, methods and users.

use mfa::{Authority, Choice, EnrolConfirm, MethodSelector, ProviderName};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::input::Input;
use crate::login::{method_json, reference, rejected_json, request_facts, response, unknown_outcome};
use crate::node::Node;

impl Node {
    pub(crate) async fn enrol_begin(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (account, user) = (input.account()?, input.user()?);
        let method = input.parsed("method", ProviderName::parse)?;
        input.without(&["ticket", "proof"])?;
        let choice = input.get("choice").map_or_else(Choice::none, |choice| Choice::new(choice.clone()));
        let authority = authority(input, "enrol.begin")?;
        let started = self.engine.enrol_begin(&account, &user, &method, &choice, &authority).await?;
        let mut answer = json!({
            "enrolment": started.reference.expose_secret(),
            "method_id": started.id.to_string(),
            "expires_at": started.expires_at.unix_seconds(),
            "request": started.prompt,
        });
        if let Some(answer) = answer.as_object_mut() {
            for name in started.revealed.names() {
                let value = started.revealed.get(name).map(|secret| json!(secret.expose_secret()));
                answer.insert(name.to_owned(), value.unwrap_or_default());
            }
        }
        Ok(answer)
    }

    pub(crate) async fn enrol_confirm(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let enrolment = reference(input, "enrolment")?;
        let response = response(input)?.with_request(request_facts(input)?);
        self.subject(input).await?;
        match self.engine.enrol_confirm(&enrolment, &response).await? {
            EnrolConfirm::Confirmed(id) => Ok(json!({ "outcome": "confirmed", "method_id": id.to_string() })),
            EnrolConfirm::Rejected(rejected) => Ok(rejected_json(&rejected)),
            _ => Err(unknown_outcome()),
        }
    }

    pub(crate) async fn method_list(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let methods = self.engine.methods(&input.account()?, &input.user()?).await?;
        Ok(json!({ "methods": methods.iter().map(method_json).collect::<Vec<_>>() }))
    }

    pub(crate) async fn method_remove(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (account, user, method) = (input.account()?, input.user()?, selector(input)?);
        let authority = authority(input, "method.remove")?;
        let id = self.engine.method_remove(&account, &user, &method, &authority).await?;
        Ok(json!({ "method_id": id.to_string() }))
    }

    pub(crate) async fn method_prefer(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (account, user, method) = (input.account()?, input.user()?, selector(input)?);
        let authority = authority(input, "method.prefer")?;
        let id = self.engine.method_prefer(&account, &user, &method, &authority).await?;
        Ok(json!({ "method_id": id.to_string() }))
    }

    pub(crate) async fn user_forget(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let authority = authority(input, "user.forget")?;
        let subject = self.subject(input).await?;
        let (account, user) = (subject.account(), subject.user());
        self.engine.forget_user(account, user, &authority).await?;
        // The host's row goes last: a crash before it leaves a user who can be forgotten again.
        self.host.remove_user(account, user).await?;
        Ok(json!({}))
    }

    pub(crate) async fn user_revoke(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let authority = authority(input, "user.revoke")?;
        self.engine.revoke(&input.account()?, &input.user()?, &authority).await?;
        Ok(json!({}))
    }
}

fn selector(input: &Input<'_>) -> Result<MethodSelector, Failure> {
    input.without(&["proof"])?;
    input.parsed("method", str::parse::<MethodSelector>)
}

/// The host vouches; who asked and why are in the request, or else the shim and its op.
fn authority(input: &Input<'_>, op: &str) -> Result<Authority, Failure> {
    let actor = input.optional_text("actor")?.unwrap_or("mfa-shim");
    Ok(Authority::host_vouched(actor, input.optional_text("reason")?.unwrap_or(op)))
}
