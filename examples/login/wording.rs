//! How things are said to the person at the terminal.

use std::time::Duration;

use mfa::{Denied, Reason, Rejected};

/// Why nothing was asked and nobody let in.
pub(crate) fn denial(denied: &Denied) -> String {
    let wait = denied.retry_after.map(|wait| format!("; wait {}", seconds(wait)));
    format!("refused before the second step ({}){}", denied.reason.code(), wait.unwrap_or_default())
}

/// What the user may see, and behind it what only the host knows.
pub(crate) fn refusal(rejected: &Rejected) -> String {
    let wait = rejected.retry_after.map(|wait| format!(", wait {}", seconds(wait)));
    let (shown, reason, left) = (rejected.public(), rejected.reason, rejected.attempts_left);
    format!("refused: {shown} [{reason}, attempts left {left}{}]", wait.unwrap_or_default())
}

/// Returns whether another answer makes no sense. A recovery code that was used is no reason to end: there are
/// others.
pub(crate) fn is_over(rejected: &Rejected) -> bool {
    let again = matches!(
        rejected.reason,
        Reason::WrongCode | Reason::Malformed | Reason::Replayed | Reason::AlreadyUsed
    );
    !again || rejected.attempts_left == 0
}

fn seconds(wait: Duration) -> String {
    let whole = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
    format!("{whole} s")
}

pub(crate) fn in_fours(secret: &str) -> String {
    let chars: Vec<char> = secret.chars().collect();
    chars.chunks(4).map(|chunk| chunk.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}
