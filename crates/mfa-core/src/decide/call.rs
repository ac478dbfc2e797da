//! Calling a provider: its secret is opened for the call, and what it says to keep is kept.

use audit_model::{Kind, Outcome};

use super::case::Case;
use super::{Registered, decoy};
use crate::keyed::Keyed;
use crate::provider::{ErasedHeld, ErasedStep};
use crate::record::vault::Place;
use crate::{ChallengeId, Change, Cx, Draw, Error, SecretBytes, StepEvent};

/// Returns the active method's provider, if the method can be used as things are now.
pub(super) fn ready<'a>(case: &Case<'a>) -> Option<&'a Registered> {
    let (rules, login) = (case.rules, &case.login.value);
    let enrolment = login.enrolment(case.challenge.value.method)?;
    // Something stronger may have been bound since the challenge began.
    let is_hidden = rules.is_delivered(enrolment) && rules.hides_delivered(login);
    rules.usable_for(enrolment).filter(|_| !is_hidden)
}

/// Calls the provider and keeps what it says to keep. `None` if the method's secret does not open.
pub(super) fn call(
    case: &mut Case<'_>,
    method: &Registered,
    event: StepEvent<'_>,
    draw: &mut Draw,
) -> Result<Option<ErasedStep>, Error> {
    let id = case.challenge.value.method;
    let Some(mut step) = look(case, method, event, draw)? else { return Ok(None) };
    let resealed = match &step.secret {
        Change::Set(plain) => Some(place(case, method).seal(&case.rules.ring, draw.take()?, plain)?),
        Change::Same | Change::Clear => None,
    };
    if let (Some(sealed), Some(vault)) = (resealed, &mut case.vault) {
        vault.change().set(id, sealed);
    }
    match core::mem::replace(&mut step.state, Change::Same) {
        Change::Same => {}
        Change::Set(bytes) => case.challenge.change().state = Some(bytes),
        Change::Clear => case.challenge.change().state = None,
    }
    let data = match core::mem::replace(&mut step.enrolment, Change::Same) {
        Change::Same => return Ok(Some(step)),
        Change::Set(bytes) => Some(bytes),
        Change::Clear => None,
    };
    if let Some(enrolment) = case.login.change().enrolment_mut(id) {
        enrolment.data = data;
    }
    Ok(Some(step))
}

/// Calls the provider and keeps nothing of what it says. `None` if the method's secret does not open.
pub(super) fn look(
    case: &mut Case<'_>,
    method: &Registered,
    event: StepEvent<'_>,
    draw: &mut Draw,
) -> Result<Option<ErasedStep>, Error> {
    let id = case.challenge.value.method;
    let of_answer = matches!(event, StepEvent::Answer(_) | StepEvent::Hashed(_));
    let Some(secret) = secret(case, method, draw)? else {
        let event = case.event(Kind::RecordRefused, Outcome::Failure);
        let event = event.field("record", "secret").field("problem", "does_not_open");
        if case.challenge.value.tell_secret() {
            case.challenge.change();
            case.note(event);
        }
        return Ok(None);
    };
    let data = case.login.value.enrolment(id).and_then(|enrolment| enrolment.data.as_deref());
    let held =
        ErasedHeld { state: case.challenge.value.state.as_deref(), enrolment: data, secret: Some(&secret) };
    let mut step = method.code.handle(&mut context(case, method, draw), &held, event)?;
    if case.is_decoy {
        step = decoy::never_right(step, of_answer);
    }
    Ok(Some(step))
}

/// Opens the method's secret; a decoy's is nobody's.
fn secret(case: &Case<'_>, method: &Registered, draw: &mut Draw) -> Result<Option<SecretBytes>, Error> {
    if case.is_decoy {
        let nobodys = decoy::nobodys(case.rules, method, &mut context(case, method, draw))?;
        return Ok(nobodys.map(|nobodys| nobodys.secret.clone()));
    }
    let sealed = case.vault.as_ref().and_then(|vault| vault.value.sealed(case.challenge.value.method));
    Ok(sealed.and_then(|sealed| place(case, method).open(&case.rules.ring, sealed).ok()))
}

fn place<'a>(case: &'a Case<'_>, method: &'a Registered) -> Place<'a> {
    Place {
        account: &case.account,
        user: case.user(),
        kind: "vault",
        provider: method.name.as_str(),
        enrolment: case.challenge.value.method,
    }
}

fn context<'a>(case: &'a Case<'_>, method: &'a Registered, draw: &'a mut Draw) -> Cx<'a> {
    Cx {
        now: case.now,
        at: case.at,
        account: &case.account,
        user: case.user(),
        label: &case.claims.label,
        ip: case.request.ip.or(case.challenge.value.first_factor.ip),
        began_at: case.challenge.value.first_factor.at,
        began_from: case.challenge.value.first_factor.ip,
        purpose: case.challenge.value.purpose,
        challenge: ChallengeId::from_bytes(case.claims.id),
        enrolment: case.challenge.value.method,
        not_before: case.login.value.barrier,
        ends_at: case.ends_at(),
        settings: method.settings(),
        entropy: draw,
        contacts: &[],
        keyed: Some(Keyed { ring: &case.rules.ring, key: case.challenge.value.key.as_str() }),
    }
}
