//! Duo did not answer about a user. Whether it answers at all is asked without naming one, three times; only if that
//! fails too, by transport or a server error, is Duo unreachable. Everything else refuses.

use mfa_core::{HttpFault, HttpReply, Reason, Then, Unproven};

/// How often a request that names no user must fail.
const TRIES: u8 = 3;

/// Returns whether a request failed in a way that may mean that Duo is not there: not by a certificate that does not
/// fit, not by a refusal or a limit of Duo's, and not because our own side did not send it.
pub(super) fn may_be_gone(reply: &Result<HttpReply, HttpFault>) -> bool {
    match reply {
        Err(HttpFault::NotSent | HttpFault::Unanswered) => true,
        Ok(reply) => reply.status().is_server_error(),
        Err(_) => false,
    }
}

/// What follows a request that names no user: another one after `failed` failures, or the end.
pub(super) enum Probed {
    /// It is there.
    Answers,
    Again(u8),
    End(Then),
}

pub(super) fn probed(reply: &Result<HttpReply, HttpFault>, failed: u8) -> Probed {
    let failed = failed.saturating_add(1);
    match reply {
        Ok(reply) if reply.status().is_success() => Probed::Answers,
        _ if !may_be_gone(reply) => Probed::End(Then::Reject(Reason::Unavailable)),
        _ if failed >= TRIES => Probed::End(Then::Unproven(Unproven::Unreachable)),
        _ => Probed::Again(failed),
    }
}
