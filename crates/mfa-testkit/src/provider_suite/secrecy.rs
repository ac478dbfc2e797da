//! What may be seen.

use super::ProviderCase;
use super::session::Session;

/// Neither a revealed value, nor the text of a message, nor a right answer is in the printed form or the public
/// part of any step.
pub fn no_secret_is_in_a_public_part<C: ProviderCase>(case: &C) {
    let mut session = Session::logging_in(case, 1);
    let mut secrets: Vec<String> = Vec::new();
    let _ = session.answer(&session.wrong());
    let right = session.right();
    secrets.push(right.text().expose_secret().to_owned());
    let _ = session.answer(&right);
    secrets.extend(session.shown.revealed.iter().map(|(_, value)| value.clone()));
    secrets.extend(session.shown.messages.iter().cloned());
    for seen in &session.seen {
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            assert!(!seen.printed.contains(secret.as_str()), "a step shows a secret");
        }
    }
    // What is sealed at rest is not beside it in the clear.
    for seen in &session.seen {
        let open = seen.kept.state.iter().chain(&seen.kept.enrolment);
        for (kept, secret) in open.flat_map(|kept| secrets.iter().map(move |secret| (kept, secret))) {
            let holds = secret.len() >= 4 && kept.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!holds, "a value that is not sealed holds a secret");
        }
    }
}

/// Values are revealed in an enrolment, never in a login.
pub fn secrets_are_revealed_in_an_enrolment_alone<C: ProviderCase>(case: &C) {
    let mut session = Session::enrolled(case, 1);
    let in_enrolment = session.seen.len();
    session.begin_login();
    let _ = session.answer(&session.wrong());
    let _ = session.answer(&session.right());
    let in_login = &session.seen[in_enrolment..];
    assert!(in_login.iter().all(|seen| seen.revealed.is_empty()), "a login reveals nothing");
    assert!(in_login.iter().all(|seen| !seen.printed.starts_with("Reveal")), "a login reveals nothing");
}
