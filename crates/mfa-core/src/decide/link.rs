//! Links: opening one changes nothing, confirming the last one verifies its challenge, and "not me" ends it.

use audit_model::{Kind, Outcome};
use serde_json::Value;

use super::call::{call, ready};
use super::case::Case;
use super::judge::{Judged, carry_out, locked, refused};
use crate::link::{LinkAct, LinkEvent};
use crate::machine::{Move, Status};
use crate::provider::Then;
use crate::{Draw, EnrolmentId, Error, NoticeKind, Reason, Rejected, SecretBytes, StepEvent};

/// What is asked by whoever holds a link.
#[derive(Clone, Copy)]
pub(crate) struct Linked<'a> {
    /// The method that it was sent for.
    pub(crate) method: EnrolmentId,
    pub(crate) secret: &'a SecretBytes,
    pub(crate) ask: Asked<'a>,
}

#[derive(Clone, Copy)]
pub(crate) enum Asked<'a> {
    Do(LinkAct<'a>),
    NotMe,
}

impl core::fmt::Debug for Linked<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Linked")
    }
}

pub(super) fn link(case: &mut Case<'_>, linked: Linked<'_>, draw: &mut Draw) -> Result<Judged, Error> {
    let act = match linked.ask {
        Asked::NotMe => return not_me(case),
        Asked::Do(act) => act,
    };
    if case.challenge.value.status == Status::Verified {
        return Ok(Judged::Rejected(case.refuse(Reason::AlreadyUsed, None)?));
    }
    if case.challenge.value.method != linked.method {
        // The challenge has gone on with another method, which knows nothing of this link.
        return Ok(Judged::Rejected(refused(Reason::NotFound)));
    }
    let Some(method) = ready(case) else {
        return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
    };
    // To be confirmed, the link must be the one that was sent last.
    let open = StepEvent::Link(LinkEvent { secret: linked.secret, act: LinkAct::Open });
    let Some(step) = call(case, method, open, draw)? else {
        return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
    };
    let shown = match step.then {
        Then::Prompt(shown) => shown,
        // Nothing is charged for a link that leads nowhere: whoever opens it need not be the one who logs in.
        Then::Reject(reason) => return Ok(Judged::Rejected(refused(reason))),
        _ => return Err(Error::Unavailable("a provider that acts when a link is opened")),
    };
    if matches!(act, LinkAct::Open) {
        return Ok(Judged::Changed(shown));
    }
    // A confirmation is an answer: past a budget it is not judged.
    if let Some(retry_after) = locked(case) {
        return Ok(Judged::Rejected(case.refuse(Reason::Locked, retry_after)?));
    }
    has_arrived(case)?;
    let confirm = StepEvent::Link(LinkEvent { secret: linked.secret, act });
    let Some(step) = call(case, method, confirm, draw)? else {
        return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
    };
    match carry_out(case, step, (false, false), draw)? {
        Judged::Pending(_) if case.challenge.value.status == Status::Verified => Ok(Judged::Changed(shown)),
        Judged::Pending(_) => Ok(Judged::Pending(crate::Pending { prompt: Value::Null })),
        other => Ok(other),
    }
}

/// Takes a report from whoever holds a link of the challenge, the last one or one before: whoever began it cannot
/// silence them by another message or another method, nor by confirming first.
fn not_me(case: &mut Case<'_>) -> Result<Judged, Error> {
    has_arrived(case)?;
    if case.challenge.value.status == Status::Verified {
        // Nobody has claimed it, and nobody will.
        case.end(Move::Supersede)?;
    }
    Ok(Judged::Rejected(case.refuse(Reason::Fraud, None)?))
}

/// Takes a report about a challenge that is over. The user is told, and so is the host, by an event that says how the
/// challenge ended; once a challenge. Nothing is delayed or ended by it: no login is at stake any more, and whoever has
/// found an old link must not be able to lock its owner out.
pub(super) fn late_report(case: &mut Case<'_>) -> Rejected {
    if case.is_told_first(Reason::Fraud) {
        let event = case
            .event(Kind::AnswerRejected, Outcome::Failure)
            .reason(Reason::Fraud.code())
            .field("status", case.challenge.value.status.code());
        let event = case.rules.rejected(event, Reason::Fraud, &case.challenge.value.module);
        case.note(event);
        case.tell(NoticeKind::FraudReported);
    }
    refused(Reason::Fraud)
}

/// A link that arrived was sent, even if its transport has not said so yet. What the transport says is waited for all
/// the same: whoever opens the link, such as a mail gateway that has not taken the message yet, must not end the begin.
fn has_arrived(case: &mut Case<'_>) -> Result<(), Error> {
    if case.challenge.value.status == Status::Created {
        case.step(Move::Send)?;
    }
    Ok(())
}
