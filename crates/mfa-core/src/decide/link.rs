//! Links: opening one changes nothing, confirming it verifies its challenge, and "not me" ends it.

use serde_json::Value;

use super::call::{call, ready};
use super::case::Case;
use super::judge::{Judged, carry_out};
use crate::link::{LinkAct, LinkEvent};
use crate::machine::{Move, Status};
use crate::provider::Then;
use crate::{Draw, Error, Reason, SecretBytes, StepEvent};

/// What is asked by whoever holds a link.
#[derive(Clone, Copy)]
pub(crate) struct Linked<'a> {
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
    if case.challenge.value.status == Status::Verified {
        return Ok(Judged::Rejected(case.refuse(Reason::AlreadyUsed, None)?));
    }
    let Some(method) = ready(case) else {
        return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
    };
    // Whatever is done with it, the link must be the one that was sent last.
    let open = StepEvent::Link(LinkEvent { secret: linked.secret, act: LinkAct::Open });
    let Some(step) = call(case, method, open, draw)? else {
        return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
    };
    let shown = match step.then {
        Then::Prompt(shown) => shown,
        // Nothing is charged for a link that leads nowhere: whoever opens it need not be the one who logs in.
        Then::Reject(reason) => return Ok(Judged::Rejected(super::judge::refused(reason))),
        _ => return Err(Error::Unavailable("a provider that acts when a link is opened")),
    };
    match linked.ask {
        Asked::Do(LinkAct::Open) => Ok(Judged::Changed(shown)),
        Asked::NotMe => {
            begin_to_wait(case)?;
            Ok(Judged::Rejected(case.refuse(Reason::Fraud, None)?))
        }
        Asked::Do(act) => {
            begin_to_wait(case)?;
            let confirm = StepEvent::Link(LinkEvent { secret: linked.secret, act });
            let Some(step) = call(case, method, confirm, draw)? else {
                return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
            };
            match carry_out(case, step, (false, false), draw)? {
                Judged::Pending(_) if case.challenge.value.status == Status::Verified => {
                    Ok(Judged::Changed(shown))
                }
                Judged::Pending(_) => Ok(Judged::Pending(crate::Pending { prompt: Value::Null })),
                other => Ok(other),
            }
        }
    }
}

/// A link that arrived was sent, even if its transport has not said so yet.
fn begin_to_wait(case: &mut Case<'_>) -> Result<(), Error> {
    if case.challenge.value.status == Status::Created {
        case.challenge.change().effect = None;
        case.step(Move::Send)?;
    }
    Ok(())
}
