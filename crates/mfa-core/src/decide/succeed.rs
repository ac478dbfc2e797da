//! Success: what a challenge that was redeemed ends in, a grant or a proof.

use audit_model::{Kind, Outcome, Timestamp};

use super::Rules;
use super::case::Case;
use super::device::enrolled;
use super::judge::Judged;
use super::standing::settle_bound;
use crate::grant::{GrantPlan, UserThen};
use crate::record::login::Login;
use crate::record::proof::{Held, PROOF_LIFE, Proof as ProofRecord};
use crate::record::{PROOF, users_key};
use crate::reference::Handle;
use crate::{
    ChallengeId, Draw, Error, Evidence, Expect, NoticeKind, Operation, Proven, Purpose, Strength, bypass,
};

/// Ends a challenge that has just been redeemed with what it was begun for: a grant, or a proof.
pub(super) fn succeed(
    case: &mut Case<'_>,
    kind: Kind,
    strength: Strength,
    at: Timestamp,
    draw: &mut Draw,
) -> Result<Judged, Error> {
    clear_consecutive(case);
    let (evidence, way_back) = evidence(case, strength, at)?;
    let challenge = case.challenge.change();
    let texted = challenge.texted.take().filter(|texted| texted.method == challenge.method);
    case.also.answered(texted);
    let challenge = case.challenge.change();
    challenge.verify_attempts =
        challenge.verify_attempts.saturating_add(u32::from(kind == Kind::AnswerAccepted));
    let amr = evidence.amr().iter().fold(String::with_capacity(16), |text, amr| {
        let space = if text.is_empty() { "" } else { " " };
        text + space + amr.as_str()
    });
    let event = case.event(kind, Outcome::Success).field("amr", amr).field("aal", evidence.aal().code());
    let event = case.rules.accepted(event);
    case.note(event);
    if way_back {
        come_back(case);
    }
    match case.challenge.value.purpose {
        Purpose::Login => grant(case, evidence),
        Purpose::StepUp(operation) => prove(case, operation, &evidence, way_back, draw),
        Purpose::Enrol => Err(Error::Unavailable("a challenge of an enrolment")),
    }
}

/// Returns what was proven, and whether by a way back in.
fn evidence(case: &mut Case<'_>, strength: Strength, at: Timestamp) -> Result<(Evidence, bool), Error> {
    let provider = case.provider_name().clone();
    let (id, rules, purpose) = (case.challenge.value.method, case.rules, case.challenge.value.purpose);
    let enrolment = case.login.change().enrolment_mut(id).ok_or(Error::Unavailable("the active method"))?;
    let way_back = !rules.is_factor(enrolment);
    let strength = settle_bound(enrolment, strength, purpose);
    let first = case.challenge.value.first_factor.clone();
    let evidence = Evidence {
        provider,
        enrolment: id,
        strength,
        at,
        first_factor: first.kind,
        first_channel: first.channel,
    };
    Ok((evidence, way_back))
}

/// After a way back in was used every other challenge ends, and the user is told.
fn come_back(case: &mut Case<'_>) {
    let (id, at) = (case.challenge.value.method, case.at);
    case.login.change().raise_fence();
    if *case.provider_name() == bypass::NAME {
        case.login.change().enrolments.retain(|enrolment| enrolment.id != id);
        if let Some(vault) = &mut case.vault {
            vault.change().remove(id);
        }
    } else {
        case.login.change().recovered_at = Some(at);
        case.tell(NoticeKind::RecoveryUsed);
    }
}

/// Plans the grant of a login.
fn grant(case: &Case<'_>, evidence: Evidence) -> Result<Judged, Error> {
    Ok(Judged::Granted(Box::new(GrantPlan {
        account: case.account.clone(),
        user: case.user().clone(),
        challenge: ChallengeId::from_bytes(case.claims.id),
        session: case.challenge.value.session,
        key: case.challenge.value.key.clone(),
        issued_at: case.now,
        evidence,
        recovery_left: recovery_left(case.rules, &case.login.value),
        user_then: UserThen {
            generation: case.login.value.generation.clone(),
            trust_epoch: case.login.value.trust_epoch,
            password_epoch: case.challenge.value.password_epoch,
            enrolled: enrolled(&case.login.value),
            device: case.challenge.value.device,
            contacts: case.challenge.value.contacts.clone(),
        },
    })))
}

/// Returns how many recovery codes are left, where they are few.
fn recovery_left(rules: &Rules, login: &Login) -> Option<u8> {
    let sets = login.enrolments.iter().filter(|e| e.provider != bypass::NAME && !rules.is_factor(e));
    let left =
        sets.filter_map(|e| rules.providers.get(&e.provider)?.code.uses_left(e.data.as_deref()?)).min();
    left.filter(|left| *left <= rules.policy.recovery_low())
}

/// Plans the proof of a step-up: a record of its own, which spending deletes.
fn prove(
    case: &mut Case<'_>,
    operation: Operation,
    evidence: &Evidence,
    recovery: bool,
    draw: &mut Draw,
) -> Result<Judged, Error> {
    let intended = case.challenge.value.intent.clone().ok_or(Error::Unavailable("a step-up for nothing"))?;
    let ring = &case.rules.ring;
    let mut claims = case.claims.another(Handle::Proof, (draw.take()?, draw.take()?));
    let proof = crate::Proof(claims.issue_text(ring)?);
    let expires_at = case.at.plus(PROOF_LIFE);
    let challenge = &case.challenge.value;
    let session = challenge.session;
    let held = Held {
        generation: challenge.generation.clone(),
        fence: Some(case.login.value.fence),
        key: challenge.key.clone(),
        binder: claims.binder_hash()?,
        session,
        made_at: case.at,
        expires_at,
    };
    let record = ProofRecord {
        held,
        operation,
        intent: intended.digest,
        enrolment: evidence.enrolment,
        aal: evidence.strength.aal,
        recovery,
        rank: intended.rank,
        busy_until: Timestamp::MIN,
    };
    let key = users_key(&case.account, PROOF, case.user(), &claims.id);
    case.also.put(key, Expect::Absent, &record, Some(expires_at))?;
    let event = case
        .event(Kind::ProofIssued, Outcome::Success)
        .field("operation", operation.code())
        .field("aal", evidence.strength.aal.code());
    case.note(event);
    Ok(Judged::Proven(Box::new(Proven { proof, operation, expires_at })))
}

pub(super) fn clear_consecutive(case: &mut Case<'_>) {
    let id = case.challenge.value.method;
    let login = case.login.change();
    login.pushes = 0;
    if let Some(enrolment) = login.enrolment_mut(id) {
        enrolment.consecutive = 0;
    }
}
