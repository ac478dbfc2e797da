//! The mode `web_sdk`: a signed request for the iframe, and the reply that the browser posts.

use core::time::Duration;

use mfa_core::{Answer, AnswerKind, ProviderError, Reason, Step, StepEvent, Then};
use serde_json::json;

use super::kept::State;
use super::{Call, DuoStep, evidence};
use crate::Error;
use crate::web::{Refusal, WebSdk};

/// How long a reply of Duo's is good.
const LIFE: Duration = Duration::from_secs(300);

pub(super) fn handle(
    sdk: &WebSdk,
    call: &mut Call<'_, '_>,
    state: Option<State>,
    event: StepEvent<'_>,
) -> Result<DuoStep, ProviderError> {
    match event {
        StepEvent::Begin(_) | StepEvent::Start(_) | StepEvent::Resend => prompt(sdk, call),
        StepEvent::Answer(answer) => Ok(judge(sdk, call, state, answer)),
        StepEvent::Poll => Ok(Step::then(Then::Wait(json!({"mode": "web_sdk"})))),
        _ => Err(ProviderError::Inappropriate),
    }
}

/// Signs a request. The prompt has Kazoo's names for it.
fn prompt(sdk: &WebSdk, call: &Call<'_, '_>) -> Result<DuoStep, ProviderError> {
    match sdk.sign_request(call.name, call.cx.now) {
        Ok(request) => {
            let prompt = json!({
                "mode": "web_sdk",
                "duo_sig_request": request.expose_secret(),
                "duo_api_hostname": call.settings.host.authority(),
            });
            let app = mfa_core::SecretText::new(request.app_half());
            Ok(Step::then(Then::Prompt(prompt)).with_state(State::Web(app)))
        }
        Err(Error::UserName) => Ok(Step::then(Then::Reject(Reason::UnknownToProvider))),
        Err(_) => Err(ProviderError::Inappropriate),
    }
}

fn judge(sdk: &WebSdk, call: &Call<'_, '_>, state: Option<State>, answer: &Answer) -> DuoStep {
    let Some(State::Web(app)) = state else { return Step::then(Then::Reject(Reason::Superseded)) };
    if answer.kind() != AnswerKind::Reply {
        return Step::then(Then::Reject(Reason::Malformed));
    }
    let reply = answer.text().expose_secret();
    match sdk.verify_issued(reply, app.expose_secret(), call.name, call.cx.now) {
        // What was accepted before records of old times came back is not remembered any more.
        Ok(verified) if verified.expires_at() <= call.cx.not_before.plus(LIFE) => {
            Step::then(Then::Reject(Reason::Replayed))
        }
        Ok(verified) => match call.replies.remember(&verified) {
            Some(replies) => Step::then(evidence::of_web()).with_enrolment(replies),
            None => Step::then(Then::Reject(Reason::Replayed)),
        },
        Err(Refusal::Malformed) => Step::then(Then::Reject(Reason::Malformed)),
        // Duo's own word that something failed: nothing was answered.
        Err(Refusal::DuoError { .. }) => Step::then(Then::Reject(Reason::Unavailable)),
        // No guess: it is the reply to another request, whoever sent it here.
        Err(Refusal::NotIssued) => Step::then(Then::Reject(Reason::Superseded)),
        Err(_) => Step::then(Then::Reject(Reason::WrongCode)),
    }
}
