//! The ops of a login.

use core::time::Duration;

use mfa::audit::parse_address;
use mfa::{
    Answer, Authenticated, Begin, Challenge, ChallengeId, Changed, Channel, Choice, ExplainedOutcome,
    FirstFactor, FirstFactorKind, Grant, Login, Method, MethodSelector, Module, Reference, Rejected,
    RequestFacts, Response, Target, Timestamp, Verify,
};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::input::Input;
use crate::node::{Holder, Node};

/// Fields of a login that no library has a meaning for yet.
const LATER: &[&str] = &["correlation_id", "device_token", "decision", "profile", "email", "phone"];

const CHANNELS: [Channel; 5] =
    [Channel::Direct, Channel::Device, Channel::Email, Channel::Phone, Channel::Push];

impl Node {
    pub(crate) async fn login_begin(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (login, holder) = self.login(input).await?;
        Ok(match self.engine.begin(login).await? {
            Begin::Challenge(challenge) => {
                self.begun.insert(challenge.id, holder);
                json!({ "outcome": "challenge", "challenge": challenge_json(&challenge) })
            }
            Begin::NotRequired(why) => json!({ "outcome": "not_required", "reason": why.code() }),
            Begin::EnrolmentRequired(required) => {
                let offered: Vec<_> = required.offered.iter().map(|name| name.as_str()).collect();
                json!({ "outcome": "enrolment_required", "offered": offered })
            }
            Begin::Denied(denied) => json!({
                "outcome": "denied",
                "reason": denied.reason.code(),
                "retry_after": denied.retry_after.map(seconds),
            }),
            _ => return Err(unknown_outcome()),
        })
    }

    pub(crate) async fn login_verify(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let response = response(input)?.with_request(request_facts(input)?);
        let (target, holder) = if input.get("challenge").is_some() {
            (Target::Ref(reference(input, "challenge")?), None)
        } else if input.get("account").is_some() {
            let (login, holder) = self.login(input).await?;
            (Target::Current(Box::new(login)), Some(holder))
        } else {
            return Err(Failure::bad_request("challenge is missing, and so is account").at("challenge"));
        };
        let verified = self.engine.verify(target, response).await?;
        self.verify_json(verified, holder, input)
    }

    pub(crate) async fn login_claim(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let claimed = self.engine.claim(&reference(input, "challenge")?).await?;
        self.verify_json(claimed, None, input)
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
        let (method, reason) = match explained.outcome {
            ExplainedOutcome::Challenge(id) => (Some(id.to_string()), None),
            ExplainedOutcome::NotRequired(why) => (None, Some(why.code())),
            ExplainedOutcome::Denied(why) => (None, Some(why.code())),
            _ => (None, None),
        };
        Ok(json!({
            "outcome": explained.outcome.code(),
            "method": method,
            "reason": reason,
            "reasons": rules.collect::<Vec<_>>(),
        }))
    }

    async fn login(&self, input: &Input<'_>) -> Result<(Login, Holder), Failure> {
        let module = input.parsed("module", Module::parse)?;
        let (first, session) = first_factor(input)?;
        input.without(LATER)?;
        let method = input.optional_parsed("method", str::parse::<MethodSelector>)?;
        let facts = request_facts(input)?;
        let subject = self.subject(input).await?;
        let holder = Holder { account: subject.account().clone(), user: subject.user().clone(), session };
        let login = Login::new(subject, first, module).with_request(facts);
        Ok((if let Some(method) = method { login.with_method(method) } else { login }, holder))
    }

    fn verify_json(
        &mut self,
        verified: Verify,
        holder: Option<Holder>,
        input: &Input<'_>,
    ) -> Result<Value, Failure> {
        match verified {
            Verify::Verified(grant) => {
                let begun = self.begun.remove(&grant.challenge());
                let holder = match holder.or(begun) {
                    Some(holder) => holder,
                    // Another node began it: the request says in which session.
                    None => Holder {
                        account: grant.account().clone(),
                        user: grant.user().clone(),
                        session: first_factor(input)?.1,
                    },
                };
                redeemed_json(grant, &holder, self.now())
            }
            Verify::Rejected(rejected) => Ok(rejected_json(&rejected)),
            Verify::Pending(pending) => Ok(json!({ "outcome": "pending", "request": pending.prompt })),
            _ => Err(unknown_outcome()),
        }
    }
}

/// Reads the answer of `response`. It names its kind; the others are refused before anything is judged.
pub(crate) fn response(input: &Input<'_>) -> Result<Response, Failure> {
    let given = input.object("response")?;
    given.without(&["universal"])?;
    let kinds: Vec<_> = ["code", "recovery", "duo", "start", "poll"]
        .into_iter()
        .filter(|kind| given.get(kind).is_some())
        .collect();
    let response = match kinds.as_slice() {
        ["code"] => Response::answer(Answer::code(given.text("code")?)),
        ["recovery"] => Response::answer(Answer::recovery(given.text("recovery")?)),
        ["duo"] => Response::answer(Answer::reply(given.text("duo")?)),
        ["start"] => Response::start(Choice::new(given.required("start")?.clone())),
        ["poll"] if given.flag("poll")? => Response::poll(),
        _ => {
            let message = "response must have exactly one of code, recovery, duo, start, or poll: true";
            return Err(Failure::bad_request(message).at("response"));
        }
    };
    let started = given.optional_object("start")?;
    let named = started.as_ref().unwrap_or(&given);
    let method = named.optional_parsed("method", str::parse::<MethodSelector>)?;
    Ok(if let Some(method) = method { response.with_method(method) } else { response })
}

pub(crate) fn reference(input: &Input<'_>, name: &str) -> Result<Reference, Failure> {
    Ok(Reference::from_text(input.text(name)?))
}

pub(crate) fn request_facts(input: &Input<'_>) -> Result<RequestFacts, Failure> {
    let mut facts = RequestFacts::new();
    if let Some(ip) = input.optional_parsed("ip", parse_address)? {
        facts = facts.with_ip(ip);
    }
    if let Some(headers) = input.optional_object("headers")? {
        for (name, _) in headers.entries() {
            facts = facts.with_header(name, headers.text(name)?);
        }
    }
    if let Some(id) = input.optional_text("request_id")? {
        facts = facts.with_id(id);
    }
    Ok(facts)
}

pub(crate) fn method_json(method: &Method) -> Value {
    json!({
        "id": method.id.to_string(),
        "provider": method.provider.as_str(),
        "preferred": method.preferred,
        "stopped": method.stopped,
        "created_at": method.created_at.unix_seconds(),
    })
}

pub(crate) fn rejected_json(rejected: &Rejected) -> Value {
    json!({
        "outcome": "rejected",
        "reason": rejected.reason.code(),
        "attempts_left": rejected.attempts_left,
        "retry_after": rejected.retry_after.map(seconds),
    })
}

pub(crate) fn unknown_outcome() -> Failure {
    Failure::new("unavailable", "the library gave an outcome that this shim does not know")
}

fn first_factor(input: &Input<'_>) -> Result<(FirstFactor, Option<String>), Failure> {
    let Some(given) = input.optional_object("first_factor")? else {
        return Ok((FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, None), None));
    };
    let name = given.optional_text("kind")?.unwrap_or("password");
    let kind = FirstFactorKind::ALL.into_iter().find(|kind| kind.code() == name);
    let kind = kind.ok_or_else(|| given.mistyped("kind", "the name of a kind of first factor"))?;
    let name = given.optional_text("channel")?.unwrap_or("direct");
    let channel = CHANNELS.into_iter().find(|channel| channel.code() == name);
    let channel = channel.ok_or_else(|| given.mistyped("channel", "the name of a channel"))?;
    let session = given.optional_text("session")?;
    Ok((FirstFactor::verified_now(kind, channel, session), session.map(str::to_owned)))
}

fn challenge_json(challenge: &Challenge) -> Value {
    json!({
        "id": challenge.id.to_string(),
        "ref": challenge.reference.expose_secret(),
        "kind": challenge.method.provider.as_str(),
        "status": challenge.status.code(),
        "methods": challenge.methods.iter().map(method_json).collect::<Vec<_>>(),
        "created_at": challenge.created_at.unix_seconds(),
        "expires_at": challenge.expires_at.unix_seconds(),
        "request": challenge.prompt,
    })
}

fn redeemed_json(grant: Grant, holder: &Holder, now: Timestamp) -> Result<Value, Failure> {
    let (challenge, expires_at) = (grant.challenge(), grant.expires_at());
    let user: Authenticated = grant.redeem(&holder.account, &holder.user, holder.session.as_deref(), now)?;
    let amr: Vec<_> = user.amr().iter().map(|value| value.as_str()).collect();
    Ok(json!({
        "outcome": "verified",
        "grant": {
            "account": user.account,
            "user": user.user,
            "challenge": challenge.to_string(),
            "amr": amr,
            "aal": user.aal().number(),
            "method": user.evidence.provider.as_str(),
            "auth_time": user.auth_time().unix_seconds(),
            "expires_at": expires_at.unix_seconds(),
        },
    }))
}

fn changed_json(changed: Changed) -> Result<Value, Failure> {
    match changed {
        Changed::Done(prompt) => Ok(json!({ "outcome": "done", "request": prompt })),
        Changed::Rejected(rejected) => Ok(rejected_json(&rejected)),
        _ => Err(unknown_outcome()),
    }
}

/// Whole seconds, rounded up: who waits so long has waited long enough.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0))
}
