//! The code of `docs/recipes/locked-out-user.md`.

use std::time::Duration;

use mfa::*;

/// The desk speaks for the host, which has checked by its own rules who sits there.
pub(crate) fn the_desk() -> Authority {
    Authority::host_vouched("alice", "ticket 17: passport seen")
}

/// Bob has his app, and too many wrong codes were typed: answers are judged again at once.
pub(crate) async fn lift_the_delay(engine: &Engine, bob: &Subject, desk: &Authority) -> Result<(), Error> {
    engine.user_unlock(bob.account(), bob.user(), desk).await
}

/// Bob's phone lies at home: a code that lets him in once within the hour. Read it out to him.
pub(crate) async fn let_in_once(
    engine: &Engine,
    bob: &Subject,
    desk: &Authority,
) -> Result<IssuedBypass, Error> {
    let hour = Duration::from_secs(3600);
    engine.bypass_issue(bob.account(), bob.user(), hour, desk).await
}

/// What he types goes to the challenge of his login, whichever method that asks for.
pub(crate) async fn answer(engine: &Engine, challenge: &Challenge, typed: &str) -> Result<Verify, Error> {
    engine.verify(&challenge.reference, Response::answer(Answer::bypass(typed))).await
}

/// Bob lost the app and his recovery codes: nothing that he had counts any more. The invitation lets him
/// set up a new app where the policy asks for more than his password.
pub(crate) async fn start_anew(
    engine: &Engine,
    bob: &Subject,
    app: &ProviderName,
    desk: &Authority,
) -> Result<IssuedInvitation, Error> {
    engine.user_reset(bob.account(), bob.user(), desk).await?;
    engine.user_invite(bob.account(), bob.user(), app, desk).await
}

/// Alice answers a challenge of her own, made for this one change to Bob.
pub(crate) async fn ask_alice(engine: &Engine, alice: Login, bob: &Subject) -> Result<Begin, Error> {
    engine.step_up_begin(alice, &Intent::reset(bob)).await
}

/// Her proof takes the place of the host's word, in her session and within five minutes.
pub(crate) fn alice_says(proven: Proven, session: &str) -> Authority {
    Authority::proof_because(proven.proof, Some(session), "ticket 17: passport seen")
}
