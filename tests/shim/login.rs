//! The ops of a login.

use mfa::{Begin, Challenge, ChallengeId, ExplainedOutcome, MethodSelector, Module, Subject, Target, Verify};
use serde_json::{Value, json};

use crate::answer::{
    challenge_json, changed_json, not_required_json, pending_json, redeemed_json, rejected_json, seconds,
    unknown_outcome,
};
use crate::devices::{Keep, let_in_json};
use crate::failure::Failure;
use crate::input::Input;
use crate::node::{Holder, Node};
use crate::request::{first_factor, login_fields, reference, request_facts, response};

impl Node {
    pub(crate) async fn login_begin(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (login, holder) = self.login(input).await?;
        let begun = self.engine.begin(login).await?;
        self.begun_json(begun, holder)
    }

    /// The user may be anybody: a decoy is for those whom the directory does not know.
    pub(crate) async fn login_decoy(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let module = input.parsed("module", Module::parse)?;
        let account = self.host.known_account(&input.account()?).await?;
        let subject = Subject::of(&account, input.user()?);
        let (login, holder) = login_fields(input)?.of(subject, module);
        let challenge = self.engine.begin_decoy(login).await?;
        Ok(self.challenge_begun(&challenge, holder))
    }

    pub(crate) async fn login_verify(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let response = response(input)?.with_request(request_facts(input)?);
        let keep = Keep::read(input)?;
        let (target, holder) = if input.get("challenge").is_some() {
            (Target::Ref(reference(input, "challenge")?), None)
        } else if input.get("account").is_some() {
            let (login, holder) = self.login(input).await?;
            (Target::Current(Box::new(login)), Some(holder))
        } else {
            return Err(Failure::bad_request("challenge is missing, and so is account").at("challenge"));
        };
        let verified = self.engine.verify(target, response).await?;
        self.verify_json(verified, holder, keep, input).await
    }

    pub(crate) async fn login_claim(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let keep = Keep::read(input)?;
        let claimed = self.engine.claim(&reference(input, "challenge")?).await?;
        self.verify_json(claimed, None, keep, input).await
    }

    pub(crate) async fn login_status(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let account = input.account()?;
        let id = input.parsed("challenge_id", str::parse::<ChallengeId>)?;
        self.host.check_account(&account).await?;
        let found = self.engine.status(&account, id).await?;
        let found = found.ok_or_else(|| Failure::new("not_found", "no such challenge"))?;
        Ok(json!({
            "status": found.status.code(),
            "kind": found.kind.as_str(),
            "created_at": found.created_at.unix_seconds(),
            "updated_at": found.updated_at.unix_seconds(),
            "expires_at": found.expires_at.unix_seconds(),
            "send_attempts": found.send_attempts,
            "verify_attempts": found.verify_attempts,
        }))
    }

    pub(crate) async fn login_resend(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        changed_json(self.engine.resend(&reference(input, "challenge")?).await?)
    }

    pub(crate) async fn login_switch(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let reference = reference(input, "challenge")?;
        let method = input.parsed("method", str::parse::<MethodSelector>)?;
        changed_json(self.engine.switch(&reference, &method).await?)
    }

    pub(crate) async fn login_cancel(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        changed_json(self.engine.cancel(&reference(input, "challenge")?).await?)
    }

    pub(crate) async fn explain(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (login, _) = self.login(input).await?;
        let explained = self.engine.explain(&login).await?;
        let rules = explained.rules.iter();
        let rules = rules.map(|r| json!({ "name": r.name, "value": r.value, "origin": r.origin }));
        // As `login.begin` answers.
        let outcome = match explained.outcome {
            ExplainedOutcome::TrustedDevice(_) => "not_required",
            other => other.code(),
        };
        let (method, reason) = match explained.outcome {
            ExplainedOutcome::Challenge(id) => (Some(id.to_string()), None),
            ExplainedOutcome::NotRequired(why) => (None, Some(why.code())),
            ExplainedOutcome::TrustedDevice(_) => (None, Some(explained.outcome.code())),
            ExplainedOutcome::Denied(why) => (None, Some(why.code())),
            _ => (None, None),
        };
        Ok(json!({
            "outcome": outcome,
            "method": method,
            "reason": reason,
            "reasons": rules.collect::<Vec<_>>(),
        }))
    }

    /// Tells how a login or a step-up goes on, and keeps in which session it does.
    pub(crate) fn begun_json(&mut self, begun: Begin, holder: Holder) -> Result<Value, Failure> {
        Ok(match begun {
            Begin::Challenge(challenge) => self.challenge_begun(&challenge, holder),
            Begin::NotRequired(why) => not_required_json(why),
            Begin::TrustedDevice(trusted) => let_in_json(&trusted),
            Begin::EnrolmentRequired(required) => {
                let offered: Vec<_> = required.offered.iter().map(|name| name.as_str()).collect();
                let ticket = required.ticket.expose_secret();
                self.sessions.insert(ticket.to_owned(), holder.session);
                json!({
                    "outcome": "enrolment_required",
                    "ticket": ticket,
                    "needs_invitation": required.needs_invitation,
                    "offered": offered,
                })
            }
            Begin::Denied(denied) => json!({
                "outcome": "denied",
                "reason": denied.reason.code(),
                "retry_after": denied.retry_after.map(seconds),
            }),
            _ => return Err(unknown_outcome()),
        })
    }

    fn challenge_begun(&mut self, challenge: &Challenge, holder: Holder) -> Value {
        self.begun.insert(challenge.reference.expose_secret().to_owned(), holder);
        json!({ "outcome": "challenge", "challenge": challenge_json(challenge) })
    }

    async fn verify_json(
        &mut self,
        verified: Verify,
        holder: Option<Holder>,
        keep: Option<Keep<'_>>,
        input: &Input<'_>,
    ) -> Result<Value, Failure> {
        match verified {
            Verify::Verified(grant) => {
                let holder = match holder.or_else(|| self.take_holder(input)) {
                    Some(holder) => holder,
                    // Another node began it: the request says in which session.
                    None => Holder {
                        account: grant.account().clone(),
                        user: grant.user().clone(),
                        session: first_factor(input)?.1,
                    },
                };
                let kept = self.keep(&grant, holder.session.as_deref(), keep).await;
                redeemed_json(grant, &holder, kept.as_ref(), self.now())
            }
            Verify::Proven(proven) => {
                let proof = proven.proof.expose_secret();
                if let Some(holder) = holder.or_else(|| self.take_holder(input)) {
                    self.sessions.insert(proof.to_owned(), holder.session);
                }
                Ok(json!({
                    "outcome": "proof",
                    "proof": proof,
                    "purpose": proven.operation.code(),
                    "expires_at": proven.expires_at.unix_seconds(),
                }))
            }
            Verify::Rejected(rejected) => Ok(rejected_json(&rejected)),
            Verify::Pending(pending) => Ok(pending_json(&pending)),
            Verify::NotRequired(why) => Ok(not_required_json(why)),
            _ => Err(unknown_outcome()),
        }
    }

    /// What this process was told when it began the challenge that the request names.
    fn take_holder(&mut self, input: &Input<'_>) -> Option<Holder> {
        self.begun.remove(input.get("challenge")?.as_str()?)
    }
}
