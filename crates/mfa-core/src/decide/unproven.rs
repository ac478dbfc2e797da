//! A provider that would let the user in without proof: refused, unless host code has said otherwise, and never a
//! grant.

use audit_model::{Kind, Outcome, Timestamp};

use super::case::Case;
use super::judge::Judged;

use crate::machine::{Move, Status};
use crate::record::login::Login;
use crate::{Error, NotRequired, NoticeKind, Purpose, Reason, Unproven};

const HOUR_SECONDS: u64 = 3600;

/// Ends the challenge: with a login that goes on without a second step, or with a refusal.
pub(super) fn unproven(case: &mut Case<'_>, why: Unproven) -> Result<Judged, Error> {
    let (outcome, notice) = match why {
        Unproven::Bypass => (NotRequired::ProviderBypass, None),
        Unproven::Unreachable => (NotRequired::BypassedBecauseUnavailable, Some(NoticeKind::LetIn)),
    };
    if !(case.challenge.value.purpose == Purpose::Login && is_allowed(case, why)) {
        return refuse(case, why);
    }
    if case.challenge.value.status == Status::Created {
        case.step(Move::Send)?;
    }
    case.step(Move::Accept)?;
    let event = case.event(Kind::LoginNotRequired, Outcome::Info).reason(outcome.code());
    let event = case.rules.accepted(event);
    case.note(event);
    if let Some(notice) = notice {
        case.tell(notice);
    }
    Ok(Judged::NotRequired(outcome))
}

fn is_allowed(case: &mut Case<'_>, why: Unproven) -> bool {
    let dangers = case.rules.dangers;
    match why {
        Unproven::Bypass => dangers.provider_bypass,
        Unproven::Unreachable => {
            dangers.fail_open > 0 && let_in(case.login.change(), dangers.fail_open, case.at)
        }
    }
}

/// Counts one more time that the user is let in this hour, if there is one left.
fn let_in(login: &mut Login, most: u8, at: Timestamp) -> bool {
    let hour = u32::try_from(at.unix_seconds() / HOUR_SECONDS).unwrap_or(u32::MAX);
    let (last, count) = login.let_in;
    let count = if last == hour { count } else { 0 };
    if count >= most {
        return false;
    }
    login.let_in = (hour, count.saturating_add(1));
    true
}

fn refuse(case: &mut Case<'_>, why: Unproven) -> Result<Judged, Error> {
    let created = case.challenge.value.status == Status::Created;
    match why {
        Unproven::Unreachable if created => {
            case.end(Move::FailToSend)?;
            Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?))
        }
        Unproven::Unreachable => Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?)),
        Unproven::Bypass => {
            if created {
                case.step(Move::Send)?;
            }
            Ok(Judged::Rejected(case.refuse(Reason::Denied, None)?))
        }
    }
}
