//! The mode `universal`: the browser goes to Duo and comes back with a code, which is exchanged for an id token.

use core::time::Duration;

use mfa_core::{
    Answer, AnswerKind, Charge, Effect, HttpCall, HttpFault, HttpReply, ProviderError, Reason, Step,
    StepEvent, Then,
};
use serde_json::{Value, json};

use super::kept::{State, Universal as Kept};
use super::probe::{Probed, may_be_gone, probed};
use super::{Call, DuoStep, evidence};
use crate::Error;
use crate::universal::{Arrival, Callback, Exchange, IdTokenError, PendingLogin, Universal};

/// How long a browser may stay at Duo.
const AWAY: Duration = Duration::from_secs(300);
const PROBE: Duration = Duration::from_secs(5);

type Reply<'a> = &'a Result<HttpReply, HttpFault>;

pub(super) fn handle(
    universal: &Universal,
    call: &mut Call<'_, '_>,
    state: Option<State>,
    event: StepEvent<'_>,
) -> Result<DuoStep, ProviderError> {
    let kept = match state {
        Some(State::Universal(kept)) => kept,
        _ => Kept::Burnt,
    };
    match (event, kept) {
        (StepEvent::Begin(_), _) => probe(universal, call, 0),
        // Another prompt, as after one that was cancelled: the one before is worth nothing any more.
        (StepEvent::Start(_) | StepEvent::Resend, _) => send(universal, call),
        // What came of the code is lost, and nobody sees a prompt that is made here: a start makes one.
        (StepEvent::Interrupted, _) => Ok(keep(Then::Wait(again()), Kept::Burnt)),
        (StepEvent::Http(reply), Kept::Probing(failed)) => replied_to_probe(universal, call, failed, reply),
        (StepEvent::Http(reply), Kept::Exchanging(exchange)) => {
            replied_to_exchange(universal, call, exchange, reply)
        }
        (StepEvent::Answer(answer), Kept::Away(login)) => arrived(universal, call, login, answer),
        (StepEvent::Answer(_), _) => Ok(Step::then(Then::Reject(Reason::Superseded))),
        (StepEvent::Poll, Kept::Burnt) => Ok(Step::then(Then::Wait(again()))),
        (StepEvent::Poll, _) => Ok(Step::then(Then::Wait(json!({"mode": "universal", "status": "away"})))),
        _ => Err(ProviderError::Inappropriate),
    }
}

/// What is shown where the prompt before is over: start another one.
fn again() -> Value {
    json!({"mode": "universal", "status": "again"})
}

/// Asks whether Duo is there, as its SDKs do before a browser is sent there.
fn probe(universal: &Universal, call: &mut Call<'_, '_>, failed: u8) -> Result<DuoStep, ProviderError> {
    let request = universal.health_check_request(&call.cx.entropy.take()?, call.cx.now);
    let request = HttpCall::new(request).within(PROBE);
    Ok(keep(Then::Run(Effect::Http(request), Charge::Free), Kept::Probing(failed)))
}

fn replied_to_probe(
    universal: &Universal,
    call: &mut Call<'_, '_>,
    failed: u8,
    reply: Reply<'_>,
) -> Result<DuoStep, ProviderError> {
    match probed(reply, failed) {
        Probed::Again(failed) => probe(universal, call, failed),
        Probed::End(then) => Ok(keep(then, Kept::Burnt)),
        Probed::Answers => match reply.as_ref().ok().map(Universal::health_check_response) {
            Some(Ok(_)) => send(universal, call),
            _ => Ok(keep(Then::Reject(Reason::Unavailable), Kept::Burnt)),
        },
    }
}

/// Makes the address that the browser is sent to.
fn send(universal: &Universal, call: &mut Call<'_, '_>) -> Result<DuoStep, ProviderError> {
    let (now, until, challenge) = (call.cx.now, call.cx.at.plus(AWAY), call.cx.challenge);
    let random = call.cx.entropy.take()?;
    let Ok((url, login)) = universal.begin(call.name, challenge, until, &random, now) else {
        return Ok(keep(Then::Reject(Reason::UnknownToProvider), Kept::Burnt));
    };
    let prompt = json!({"mode": "universal", "status": "go", "url": url.expose_secret()});
    Ok(keep(Then::Prompt(prompt), Kept::Away(login)))
}

/// The browser is back. What is kept is burnt in the commit that comes before the exchange, so that a callback counts
/// once; a callback of another login burns nothing.
fn arrived(
    universal: &Universal,
    call: &mut Call<'_, '_>,
    login: PendingLogin,
    answer: &Answer,
) -> Result<DuoStep, ProviderError> {
    if answer.kind() != AnswerKind::Reply {
        return Ok(Step::then(Then::Reject(Reason::Malformed)));
    }
    let Ok(callback) = Callback::parse(answer.text().expose_secret()) else {
        return Ok(Step::then(Then::Reject(Reason::Malformed)));
    };
    Ok(match login.accept(universal, callback, call.cx.challenge, call.cx.at) {
        Arrival::Code(code, exchange) => {
            let request = universal.token_request(&code, &call.cx.entropy.take()?, call.cx.now);
            let request = HttpCall::new(request);
            keep(Then::Run(Effect::Http(request), Charge::Attempt), Kept::Exchanging(exchange))
        }
        Arrival::Refused(_) => keep(Then::Reject(Reason::Denied), Kept::Burnt),
        Arrival::Expired | Arrival::Reconfigured => keep(Then::Reject(Reason::Superseded), Kept::Burnt),
        // No guess, since a page of anybody's can send the browser here: it neither ends nor costs anything.
        Arrival::Foreign(_) => Step::then(Then::Reject(Reason::Superseded)),
    })
}

fn replied_to_exchange(
    universal: &Universal,
    call: &mut Call<'_, '_>,
    exchange: Exchange,
    reply: Reply<'_>,
) -> Result<DuoStep, ProviderError> {
    let verified = match reply {
        Ok(reply) => exchange.finish(universal, reply, call.cx.now),
        Err(fault) => Err(Error::Transport(*fault)),
    };
    let then = match verified {
        Ok(claims) => evidence::of_universal(&claims, call.settings.accept_approve_only),
        Err(Error::IdToken(IdTokenError::Denied(claims))) => match claims.status.as_deref() {
            Some("fraud") => Then::Reject(Reason::Fraud),
            _ => Then::Reject(Reason::Denied),
        },
        Err(Error::IdToken(_)) => Then::Reject(Reason::WrongCode),
        Err(_) if may_be_gone(reply) => return probe(universal, call, 0),
        // The code was refused: it was used, is too old, or is not this integration's.
        Err(Error::OAuth(_)) => Then::Reject(Reason::WrongCode),
        Err(_) => Then::Reject(Reason::Unavailable),
    };
    Ok(keep(then, Kept::Burnt))
}

fn keep(then: Then, kept: Kept) -> DuoStep {
    Step::then(then).with_state(State::Universal(kept))
}
