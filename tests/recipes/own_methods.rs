//! The code of `docs/recipes/own-methods.md`.

use mfa::*;

/// By whose right Bob sets up his first method, after `begin` has answered his login. `invited` is what he typed into
/// the field for an invitation, which the page shows where `needs_invitation` says so.
pub(crate) fn first_right(
    begun: &Begin,
    password: FirstFactor,
    session: &str,
    invited: Option<&str>,
) -> Option<Authority> {
    match (begun, invited) {
        // Nobody must have a method, and he has none: his password is enough.
        (Begin::NotRequired(NotRequired::NoMethod | NotRequired::Grace), _) => {
            Some(Authority::FirstFactor(password))
        }
        // He must have one before he gets in. The ticket is for one enrolment, in this session.
        (Begin::EnrolmentRequired(required), None) => {
            Some(Authority::ticket(required.ticket.clone(), Some(session)))
        }
        (Begin::EnrolmentRequired(required), Some(invited)) => {
            let invitation = Invitation::from_text(invited);
            Some(Authority::invited(required.ticket.clone(), Some(session), invitation))
        }
        _ => None,
    }
}

/// Begins to set a method up. Show what is `revealed` this once, and keep the reference in the session.
pub(crate) async fn set_up(
    engine: &Engine,
    bob: &Subject,
    provider: &ProviderName,
    right: &Authority,
) -> Result<EnrolmentStarted, Error> {
    engine.enrol_begin(bob.account(), bob.user(), provider, &Choice::none(), right).await
}

/// Bob has typed the first code of the app. With a first method come the recovery codes: show them, ask whether
/// they are kept, and only then call `enrol_acknowledge`.
pub(crate) async fn confirm(
    engine: &Engine,
    started: &Reference,
    typed: &str,
) -> Result<EnrolConfirm, Error> {
    engine.enrol_confirm(started, &Response::code(typed)).await
}

/// What Bob asks for on his page. Keep it in the session beside the challenge.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    Add(ProviderName),
    Prefer(EnrolmentId),
    Remove(EnrolmentId),
    /// Every method, and the recovery codes.
    GiveUp,
}

impl Wish {
    /// What the button "remove" beside a method asks for. A method does not prove that it may go itself, so that who
    /// removes the last one gives up the second factor, which has a button and a warning of its own.
    pub(crate) fn remove(methods: &[Method], id: EnrolmentId) -> Self {
        let stays = methods.iter().any(|method| !method.is_recovery && method.id != id);
        if stays { Self::Remove(id) } else { Self::GiveUp }
    }

    fn intent(&self, bob: &Subject) -> Intent {
        match self {
            Self::Add(provider) => Intent::add_method(bob, provider),
            Self::Prefer(id) => Intent::prefer_method(bob, *id),
            Self::Remove(id) => Intent::remove_method(bob, *id),
            Self::GiveUp => Intent::disable(bob),
        }
    }
}

/// Bob has chosen a change: the challenge that comes ends in a proof for this one change of his.
pub(crate) async fn ask(engine: &Engine, bob: &Subject, login: Login, wish: &Wish) -> Result<Begin, Error> {
    engine.step_up_begin(login, &wish.intent(bob)).await
}

/// Bob has answered. What is not `Proven` is shown as in any login, and nothing changes.
pub(crate) async fn prove(
    engine: &Engine,
    challenge: &Reference,
    typed: &str,
    session: &str,
) -> Result<Result<Authority, Verify>, Error> {
    Ok(match engine.verify(challenge, Response::code(typed)).await? {
        Verify::Proven(proven) => Ok(Authority::proof(proven.proof, Some(session))),
        unproven => Err(unproven),
    })
}

/// Makes the change, at once: the proof is good for five minutes. One that adds a method begins a set-up.
pub(crate) async fn make(
    engine: &Engine,
    bob: &Subject,
    wish: Wish,
    right: &Authority,
) -> Result<Option<EnrolmentStarted>, Error> {
    let (account, user) = (bob.account(), bob.user());
    let this = MethodSelector::Enrolment;
    match wish {
        Wish::Add(provider) => set_up(engine, bob, &provider, right).await.map(Some),
        Wish::Prefer(id) => engine.method_prefer(account, user, &this(id), right).await.map(|_| None),
        Wish::Remove(id) => engine.method_remove(account, user, &this(id), right).await.map(|_| None),
        Wish::GiveUp => engine.disable(account, user, right).await.map(|()| None),
    }
}

/// What the page says where a change was not made.
pub(crate) fn said(error: &Error) -> &'static str {
    match error {
        Error::Forbidden(Forbidden::StepUpRequired) => "Please show once more that it is you.",
        Error::Forbidden(Forbidden::InvitationRequired) => "Please enter the invitation you were given.",
        Error::Forbidden(Forbidden::PolicyForbids) => "Your organisation does not allow this.",
        Error::Forbidden(Forbidden::RecoveryHold) => "Possible a day after you used a recovery code.",
        Error::Contention | Error::Busy => "Please try again.",
        _ => "This cannot be done now. Please try later.",
    }
}
