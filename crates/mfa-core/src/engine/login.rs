//! The calls of a login: begin, verify, claim, status, resend, switch, cancel, explain.

use core::pin::pin;

use audit_model::AccountId;

use super::Engine;
use super::step::not_found;
use crate::decide::arrive::Arriving;
use crate::decide::device::Seen;
use crate::decide::judge::Ask;
use crate::decide::survey::{Verdict, survey};
use crate::decide::{begin, decoy};
use crate::driver::Read;
use crate::machine::Status;
use crate::observe::within;
use crate::record::challenge::Challenge as ChallengeRecord;
use crate::record::challenge_key;
use crate::reference::{Claims, Handle};
use crate::{
    Begin, Challenge, ChallengeId, ChallengeStatus, Changed, Error, ExplainedOutcome, Explanation, Intent,
    Login, MethodSelector, Reference, RequestFacts, Response, Target, Verify,
};

impl Engine {
    /// Begins the second step of a login whose first factor the host has just verified.
    ///
    /// One read and one commit; a method that sends something adds one commit for each send. Keep the
    /// [`Reference`] of a challenge in the session that passed the first factor. Dropping the future leaves
    /// at most a challenge that nobody can answer.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, login, subject, totp, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, _app) = host.enrol("bob").await;
    /// let begun = host.engine.begin(login(&bob)).await?;
    /// assert!(matches!(begun, Begin::Challenge(_)));
    ///
    /// // A node that does not know the provider refuses: it is not as if Bob had no second factor.
    /// let store = host.store.clone();
    /// let ring = mfa_testkit::host::ring();
    /// let clock = std::sync::Arc::new(host.clock.clone());
    /// let other = Engine::builder(store, host.directory.clone(), ring, clock).danger_test_doubles();
    /// let denied = other.build().await.unwrap().begin(login(&bob)).await?;
    /// assert!(matches!(denied, Begin::Denied(Denied { reason: DeniedReason::Unavailable, .. })));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Contention`]; [`Error::Invalid`] for a subject of which nobody has said what is
    /// [above its account](crate::Subject::of), where the engine has
    /// [modules](crate::EngineBuilder::modules); or an error of the store or a provider with code `unavailable`. A user
    /// with a second factor is never let through by an error: without an answer there is no login.
    pub async fn begin(&self, login: Login) -> Result<Begin, Error> {
        let span = crate::observe::span!("mfa.begin");
        let begun = within(&span, pin!(self.begin_unobserved(&login, None))).await;
        observe_begin("begin", &span, &begun);
        begun
    }

    /// Begins a challenge that nobody is behind, for a host that does not tell who is a user: call it where the
    /// first factor was wrong or the user unknown, and show what it returns as any other challenge. Every answer
    /// to it is refused, with the texts, the counts and the cost of real ones, slow hashes included. It shows the
    /// methods of a user who enrolled one and was given recovery codes with it. `login` names what was typed, in the
    /// form that users' ids have; no user's record is read by it, and what was typed is not logged.
    ///
    /// What is counted for a decoy ends with it: the next one begins without a delay, whatever was answered before.
    /// A user whose methods are locked is denied a login; with decoys that were locked alike, by name, whoever had
    /// locked them would be told a right password by a login that goes on, and the user would be told nothing.
    ///
    /// A decoy asks for a second step whatever the module's settings say: where users of a module need none, begin no
    /// decoys for it. There a login that goes on tells a right password with or without them.
    ///
    /// A provider that would ask the very user who was typed, as Duo would, acts for nobody. Where nothing else is offered
    /// there are no decoys, for any name.
    ///
    /// It writes a record for whoever calls it: limit the calls as you limit attempts at the first factor.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, login, subject};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let challenge = host.engine.begin_decoy(login(&subject("nobody"))).await?;
    /// let refused = host.engine.verify(&challenge.reference, Response::code("123456")).await?;
    /// assert!(matches!(refused, Verify::Rejected(Rejected { reason: Reason::WrongCode, attempts_left: 4, .. })));
    ///
    /// // An engine without a provider has nothing to act as.
    /// let bare = Engine::builder(
    ///     host.store.clone(),
    ///     host.directory.clone(),
    ///     host.ring.clone(),
    ///     std::sync::Arc::new(host.clock.clone()),
    /// );
    /// let bare = bare.danger_test_doubles().build().await.unwrap();
    /// assert_eq!(bare.begin_decoy(login(&subject("nobody"))).await.unwrap_err().code(), "unavailable");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Engine::begin`].
    pub async fn begin_decoy(&self, login: Login) -> Result<Challenge, Error> {
        let span = crate::observe::span!("mfa.begin");
        self.inner.rules.check_lineage(&login.subject)?;
        let lineage = login.subject.lineage();
        let mut turn = super::step::turn_of(&login, Arriving::new(self.ring(), &login, None).keys());
        turn.keys.extend(self.inner.rules.document_keys(lineage));
        let decide = |records: &_, now, draw: &mut _| {
            let rules = self.inner.rules.held(lineage, Some(&login.module), records)?;
            decoy::begin(&rules, &login, now, draw)
        };
        Ok(within(&span, pin!(self.inner.driver.run(&turn, None, decide))).await?.value)
    }

    /// Begins a step-up: a challenge whose completion yields a [`Proof`](crate::Proof) for the one change that
    /// `intent` names, and logs nobody in. `login` says who asks, in which session and how that session was begun;
    /// for a change to another user it is the administrator. Costs as [`Engine::begin`].
    ///
    /// Only methods that can prove the change are offered: as strong as the user's strongest, none that is itself
    /// removed, none of the [channel](crate::Channel) that the first factor came by but what is typed into the page, and
    /// recovery for a new method alone.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, login, session, subject, totp, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, app) = host.enrol("bob").await;
    /// let begun = host.engine.step_up_begin(login(&bob), &Intent::disable(&bob)).await?;
    /// let Begin::Challenge(challenge) = begun else { panic!() };
    /// let code = Response::code(&app.code_at(host.now()));
    /// let Verify::Proven(proven) = host.engine.verify(&challenge.reference, code).await? else { panic!() };
    /// assert_eq!(proven.operation, Operation::Disable);
    ///
    /// // The proof of one change is none for another.
    /// let other = Authority::proof(proven.proof, Some(&session(&bob)));
    /// let refused = host.engine.method_prefer(bob.account(), bob.user(), &"totp".parse()?, &other).await;
    /// assert_eq!(refused.unwrap_err().code(), "step_up_required");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Engine::begin`]. A user without a method gets [`Begin::NotRequired`]: a first method needs no proof.
    pub async fn step_up_begin(&self, login: Login, intent: &Intent) -> Result<Begin, Error> {
        let span = crate::observe::span!("mfa.begin");
        let begun = within(&span, pin!(self.begin_unobserved(&login, Some(intent)))).await;
        observe_begin("step_up_begin", &span, &begun);
        begun
    }

    /// Judges what the user did with a challenge. At most one call, on any node, gets the grant.
    ///
    /// One read and one commit; each effect that spends something adds one commit. Dropping the future after
    /// a commit does not undo it: a right answer is then used, and the user begins again.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, login, subject, totp, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, app) = host.enrol("bob").await;
    /// let challenge = host.begin(&bob).await;
    /// let wrong = Response::code(&app.wrong_code_at(host.now(), 2));
    /// let refused = host.engine.verify(&challenge.reference, wrong).await?;
    /// assert!(matches!(refused, Verify::Rejected(Rejected { reason: Reason::WrongCode, attempts_left: 4, .. })));
    ///
    /// let right = Response::code(&app.code_at(host.now()));
    /// let Verify::Verified(grant) = host.engine.verify(&challenge.reference, right).await? else { panic!() };
    /// assert_eq!(grant.user(), bob.user());
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Contention`] and [`Error::Busy`]: nothing was judged or charged, try again. Errors with code
    /// `unavailable`: nothing is told about the answer, which may be used.
    pub async fn verify(&self, target: impl Into<Target>, response: Response) -> Result<Verify, Error> {
        let span = crate::observe::span!("mfa.verify");
        let target = target.into();
        let verified = within(&span, pin!(self.verify_unobserved(&target, &response))).await;
        observe_verify("verify", &span, &verified);
        verified
    }

    /// Fetches the grant of a challenge that was completed elsewhere: by a link, a push, a callback. At most
    /// one call, on any node, gets it; before the completion the answer is [`Verify::Pending`].
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, login, subject, totp, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, _app) = host.enrol("bob").await;
    /// let challenge = host.begin(&bob).await;
    /// // Nobody has completed it elsewhere yet.
    /// assert!(matches!(host.engine.claim(&challenge.reference).await?, Verify::Pending(_)));
    /// // And nobody else can ask for it.
    /// let made_up = Reference::from_text("made-up");
    /// assert!(matches!(host.engine.claim(&made_up).await?, Verify::Rejected(_)));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Engine::verify`].
    pub async fn claim(&self, reference: &Reference) -> Result<Verify, Error> {
        let span = crate::observe::span!("mfa.claim");
        let claimed = async {
            let Some(claims) = Claims::read(self.ring(), reference, Handle::Challenge) else {
                return Ok(not_found());
            };
            self.ask(&claims, &RequestFacts::new(), Ask::Claim).await?.into_verify()
        };
        let claimed = within(&span, pin!(claimed)).await;
        observe_verify("claim", &span, &claimed);
        claimed
    }

    /// Returns where a challenge stands; `None` for an unknown id and for one of another account. One read,
    /// no commit, never a grant. A challenge that a revocation has ended is shown as it last was until its
    /// holder asks.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, login, subject, totp, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, _app) = host.enrol("bob").await;
    /// let challenge = host.begin(&bob).await;
    /// let status = host.engine.status(bob.account(), challenge.id).await?.unwrap();
    /// assert_eq!(status.status, Status::Sent);
    ///
    /// let elsewhere = AccountId::parse("other").unwrap();
    /// assert_eq!(host.engine.status(&elsewhere, challenge.id).await?, None);
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// An error of the store with code `unavailable`.
    pub async fn status(
        &self,
        account: &AccountId,
        id: ChallengeId,
    ) -> Result<Option<ChallengeStatus>, Error> {
        let span = crate::observe::span!("mfa.status");
        let key = challenge_key(account, id);
        let now = self.inner.driver.runtime.now();
        let load = self.inner.driver.load(core::slice::from_ref(&key), now);
        let records = within(&span, pin!(load)).await?;
        crate::observe::step("status", "done");
        match records.read::<ChallengeRecord>(&key) {
            Read::Absent => Ok(None),
            Read::Refused(_) => Err(Error::Unavailable("a stored record cannot be trusted")),
            Read::Live(challenge, _) => {
                let over = !challenge.status.is_terminal() && now >= challenge.expires_at;
                Ok(Some(ChallengeStatus {
                    status: if over { Status::Expired } else { challenge.status },
                    kind: challenge.provider,
                    created_at: challenge.created_at,
                    updated_at: challenge.updated_at,
                    expires_at: challenge.expires_at,
                    send_attempts: challenge.send_attempts,
                    verify_attempts: challenge.verify_attempts,
                }))
            }
        }
    }

    /// Moves a challenge to another of the methods it was offered with. Counts and attempts stay.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, login, subject, totp, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, _first) = host.enrol("bob").await;
    /// host.enrol_again(&bob).await;
    /// let challenge = host.begin(&bob).await;
    /// let other = challenge.methods.iter().find(|method| method.id != challenge.method.id).unwrap();
    /// let switched = host.engine.switch(&challenge.reference, &MethodSelector::Enrolment(other.id)).await?;
    /// assert!(matches!(switched, Changed::Done(_)));
    ///
    /// // Bob has two enrolments of this provider: its name alone does not say which.
    /// let refused = host.engine.switch(&challenge.reference, &"totp".parse()?).await?;
    /// assert!(matches!(refused, Changed::Rejected(Rejected { reason: Reason::NotOffered, .. })));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Engine::verify`].
    pub async fn switch(&self, reference: &Reference, method: &MethodSelector) -> Result<Changed, Error> {
        self.change(reference, Ask::Switch(method)).await
    }

    /// Sends the active method's message again, with a new secret: the one before is dead as soon as the new one has
    /// left. A challenge sends half a minute apart, and within the user's budget of five messages an hour.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, login, subject, totp, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, _app) = host.enrol("bob").await;
    /// let challenge = host.begin(&bob).await;
    /// // An authenticator app gets no message: the prompt is shown again.
    /// assert!(matches!(host.engine.resend(&challenge.reference).await?, Changed::Done(_)));
    ///
    /// let refused = host.engine.resend(&Reference::from_text("made-up")).await?;
    /// assert!(matches!(refused, Changed::Rejected(Rejected { reason: Reason::NotFound, .. })));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Engine::verify`].
    pub async fn resend(&self, reference: &Reference) -> Result<Changed, Error> {
        self.change(reference, Ask::Resend).await
    }

    /// Ends a challenge that its holder does not want any more.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, login, subject, totp, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, app) = host.enrol("bob").await;
    /// let challenge = host.begin(&bob).await;
    /// assert!(matches!(host.engine.cancel(&challenge.reference).await?, Changed::Done(_)));
    ///
    /// let late = host.engine.verify(&challenge.reference, Response::code(&app.code_at(host.now()))).await?;
    /// assert!(matches!(late, Verify::Rejected(Rejected { reason: Reason::Cancelled, .. })));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Engine::verify`].
    pub async fn cancel(&self, reference: &Reference) -> Result<Changed, Error> {
        self.change(reference, Ask::Cancel).await
    }

    /// Tells what [`Engine::begin`] would answer and by which rules. Writes nothing. For administrators: it
    /// says more than a user may know before the first factor.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, login, subject, totp, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, _app) = host.enrol("bob").await;
    /// assert_eq!(host.engine.explain(&login(&bob)).await?.outcome.code(), "challenge");
    /// // Without a method, and where the policy asks for none, nothing is asked for; the rules say so.
    /// let explained = host.engine.explain(&login(&subject("eve"))).await?;
    /// assert_eq!(explained.outcome.code(), "not_required");
    /// assert_eq!(explained.rules[1].name, "enforced");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// An error of the store with code `unavailable`.
    pub async fn explain(&self, login: &Login) -> Result<Explanation, Error> {
        let now = self.inner.driver.runtime.now();
        let (rules, lineage) = (&self.inner.rules, login.subject.lineage());
        rules.check_lineage(&login.subject)?;
        let arriving = Arriving::new(self.ring(), login, None);
        let keys: Vec<_> = arriving.keys().into_iter().chain(rules.document_keys(lineage)).collect();
        let records = self.inner.driver.load(&keys, now).await?;
        let rules = &*rules.held(lineage, Some(&login.module), &records)?;
        let mut read = records.read(&arriving.of_user.login);
        begin::set_right(&mut read, now);
        let vault = records.read(&arriving.of_user.vault);
        let seen = arriving.look(rules, &read, &records, now)?;
        let exempt = arriving.exempt(rules, &read, &records, now);
        let mut survey = survey(rules, arriving.about(&seen, &exempt, true), (&read, &vault), now);
        let seen = seen.within(&survey.usable);
        if login.first_factor.kind.is_of_a_program() {
            survey.note("exemptions", rules.policy.exemptions(), rules.origin("exemptions"));
        }
        if login.device.is_some() {
            survey.note("trust", rules.policy.trust(), rules.origin("trust"));
            survey.note("device", seen.code(), "store");
        }
        let outcome = match (survey.verdict, &seen) {
            (Verdict::Challenge(_), Seen::Trusted { device, .. }) => {
                ExplainedOutcome::TrustedDevice(device.id)
            }
            (Verdict::Challenge(id), _) => ExplainedOutcome::Challenge(id),
            (Verdict::NotRequired(why), _) => ExplainedOutcome::NotRequired(why),
            (Verdict::EnrolmentRequired, _) => ExplainedOutcome::EnrolmentRequired,
            (Verdict::Denied(denied), _) => ExplainedOutcome::Denied(denied.reason),
        };
        Ok(Explanation { outcome, rules: survey.rules.unwrap_or_default() })
    }
}

fn observe_begin(step: &'static str, span: &tracing::Span, begun: &Result<Begin, Error>) {
    let outcome = match begun {
        Ok(Begin::Challenge(_)) => "challenge",
        Ok(Begin::NotRequired(_)) => "not_required",
        Ok(Begin::TrustedDevice(trusted)) => trusted.code(),
        Ok(Begin::EnrolmentRequired(_)) => "enrolment_required",
        Ok(Begin::Denied(_)) => "denied",
        Err(error) => error.code(),
    };
    if let Ok(Begin::Challenge(challenge)) = begun {
        span.record("method", challenge.method.provider.as_str());
    }
    span.record("outcome", outcome);
    crate::observe::step(step, outcome);
}

fn observe_verify(step: &'static str, span: &tracing::Span, outcome: &Result<Verify, Error>) {
    let outcome = match outcome {
        Ok(Verify::Verified(_)) => "verified",
        Ok(Verify::Proven(_)) => "proven",
        Ok(Verify::Pending(_)) => "pending",
        Ok(Verify::NotRequired(why)) => why.code(),
        Ok(Verify::Rejected(rejected)) => rejected.reason.code(),
        Err(error) => error.code(),
    };
    span.record("outcome", outcome);
    crate::observe::step(step, outcome);
}
