//! The ops of enrolments.

use mfa::{Choice, EnrolConfirm, ProviderName};
use serde_json::{Value, json};

use crate::answer::{add_revealed, pending_json, recovery_json, rejected_json, unknown_outcome};
use crate::failure::Failure;
use crate::input::Input;
use crate::node::Node;
use crate::request::{reference, request_facts, response};

impl Node {
    pub(crate) async fn enrol_begin(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (account, user) = (input.account()?, input.user()?);
        let method = input.parsed("method", ProviderName::parse)?;
        let choice = input.get("choice").map_or_else(Choice::none, |choice| Choice::new(choice.clone()));
        let authority = self.enrolling_authority(input, "enrol.begin")?;
        let started = self.engine.enrol_begin(&account, &user, &method, &choice, &authority).await?;
        let mut answer = json!({
            "enrolment": started.reference.expose_secret(),
            "method_id": started.id.to_string(),
            "expires_at": started.expires_at.unix_seconds(),
            "request": started.prompt,
        });
        add_revealed(&mut answer, &started.revealed);
        Ok(answer)
    }

    pub(crate) async fn enrol_confirm(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let enrolment = reference(input, "enrolment")?;
        let response = response(input)?.with_request(request_facts(input)?);
        self.subject(input).await?;
        confirm_json(self.engine.enrol_confirm(&enrolment, &response).await?)
    }

    pub(crate) async fn enrol_acknowledge(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (enrolment, facts) = (reference(input, "enrolment")?, request_facts(input)?);
        self.subject(input).await?;
        confirm_json(self.engine.enrol_acknowledge(&enrolment, &facts).await?)
    }

    pub(crate) async fn enrol_resend(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (enrolment, facts) = (reference(input, "enrolment")?, request_facts(input)?);
        self.subject(input).await?;
        confirm_json(self.engine.enrol_resend(&enrolment, &facts).await?)
    }
}

fn confirm_json(confirmed: EnrolConfirm) -> Result<Value, Failure> {
    match confirmed {
        EnrolConfirm::Confirmed(id) => Ok(json!({ "outcome": "confirmed", "method_id": id.to_string() })),
        EnrolConfirm::RecoveryShown(issued) => {
            Ok(json!({ "outcome": "recovery_shown", "recovery": recovery_json(&issued) }))
        }
        EnrolConfirm::Pending(pending) => Ok(pending_json(&pending)),
        EnrolConfirm::Rejected(rejected) => Ok(rejected_json(&rejected)),
        _ => Err(unknown_outcome()),
    }
}
