//! The other device: it opens the link, shows what it is about, and confirms it or reports it.

use mfa::{LinkConfirm, LinkOpen, LinkProof, LinkToken, LinkView, RequestFacts, SecretText, Timestamp};
use mfa_examples::{Failure, Service, ask, refusal, say, shown};
use serde_json::Value;

/// How many notices are sent after a report.
const NOTICES: usize = 10;

pub(crate) async fn run(service: &Service, token: &LinkToken) -> Result<(), Failure> {
    let view = open(service, token).await?;
    let answer = ask("The two digits that the waiting page shows, or `not me`:")?;
    if answer.eq_ignore_ascii_case("not me") {
        return not_me(service, token).await;
    }
    confirm(service, token, &view, &answer).await
}

/// Shows the page of the link, which changes nothing.
pub(crate) async fn open(service: &Service, token: &LinkToken) -> Result<LinkView, Failure> {
    match service.engine.link_open(token, &RequestFacts::new()).await? {
        LinkOpen::Valid(view) => {
            let time = |name: &str| {
                view.prompt
                    .get(name)
                    .and_then(Value::as_u64)
                    .and_then(|s| Timestamp::from_unix_seconds(s).ok())
            };
            let began = time("began_at").map(|at| at.to_string()).unwrap_or_default();
            let ip = shown(&view.prompt, "ip");
            say(format!("   a sign-in began at {began} from {ip}"))?;
            Ok(view)
        }
        LinkOpen::Rejected(rejected) => {
            say(refusal(&rejected))?;
            Err(Failure::Refused)
        }
        other => Err(Failure::Failed(format!("an answer that this example does not know: {other:?}"))),
    }
}

/// Confirms the link with the digits: whoever has them sits before the page that waits.
pub(crate) async fn confirm(
    service: &Service,
    token: &LinkToken,
    view: &LinkView,
    digits: &str,
) -> Result<(), Failure> {
    submit(service, token, view, &LinkProof::Digits(SecretText::new(digits))).await
}

/// Submits the page's form.
pub(crate) async fn submit(
    service: &Service,
    token: &LinkToken,
    view: &LinkView,
    proof: &LinkProof,
) -> Result<(), Failure> {
    match service.engine.link_confirm(token, &view.nonce, proof, &RequestFacts::new()).await? {
        LinkConfirm::Confirmed(page) => {
            let target = shown(&page, "target_url");
            say(format!("   confirmed: the waiting page signs in, this one goes on to {target}"))
        }
        LinkConfirm::Rejected(rejected) => {
            say(refusal(&rejected))?;
            Err(Failure::Refused)
        }
        other => Err(Failure::Failed(format!("an answer that this example does not know: {other:?}"))),
    }
}

/// Reports the sign-in, and tells the user, as a host's background work would.
pub(crate) async fn not_me(service: &Service, token: &LinkToken) -> Result<(), Failure> {
    let rejected = service.engine.link_not_me(token, &RequestFacts::new()).await?;
    if rejected.reason != mfa::Reason::Fraud {
        say(refusal(&rejected))?;
        return Err(Failure::Refused);
    }
    let told = service.engine.drain_outbox(NOTICES).await?.sent;
    say(format!("   reported: that sign-in has ended, and every other open one; notices sent: {told}"))
}
