//! The calls of a login: begin, verify, claim, status, switch, cancel, explain.

use audit_model::AccountId;
use serde_json::Value;
use tracing::Instrument;

use super::Engine;
use super::act::Acted;
use crate::decide::begin::{self, Begun};
use crate::decide::effects::EffectResult;
use crate::decide::judge::{Ask, Judged, judge, refused};
use crate::decide::survey::{Verdict, survey};
use crate::decide::{begin as begin_with, case};
use crate::driver::{Read, Records, Turn};
use crate::machine::Status;
use crate::record::challenge::Challenge as ChallengeRecord;
use crate::record::open::Open;
use crate::record::{LOGIN, OPEN, VAULT, challenge_key, user_key};
use crate::reference::{Claims, Handle, Holder, session_hash};
use crate::{
    Begin, ChallengeId, ChallengeStatus, Changed, Error, ExplainedOutcome, Explanation, Grant, Login,
    MethodSelector, ProviderName, Reason, Reference, RequestFacts, Response, Target, Verify,
};

/// How many effects one call runs at most, such as a message and its fallback.
const MAX_EFFECTS: usize = 4;

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
    /// [`Error::Contention`], or an error of the store or a provider with code `unavailable`. A user with a
    /// second factor is never let through by an error: without an answer there is no login.
    pub async fn begin(&self, login: Login) -> Result<Begin, Error> {
        let span = tracing::info_span!(target: "mfa", "mfa.begin", outcome = tracing::field::Empty);
        let begun = self.begin_unobserved(login).instrument(span.clone()).await;
        let outcome = match &begun {
            Ok(Begin::Challenge(_)) => "challenge",
            Ok(Begin::NotRequired(_)) => "not_required",
            Ok(Begin::EnrolmentRequired(_)) => "enrolment_required",
            Ok(Begin::Denied(_)) => "denied",
            Err(error) => error.code(),
        };
        span.record("outcome", outcome);
        crate::observe::step("begin", outcome);
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
        let span = tracing::info_span!(target: "mfa", "mfa.verify", outcome = tracing::field::Empty);
        let verified = self.verify_unobserved(target.into(), response).instrument(span.clone()).await;
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
        let span = tracing::info_span!(target: "mfa", "mfa.claim", outcome = tracing::field::Empty);
        let claimed = async {
            let Some(claims) = Claims::read(self.ring(), reference, Handle::Challenge) else {
                return Ok(not_found());
            };
            self.ask(&claims, &RequestFacts::new(), Ask::Claim).await?.into_verify()
        };
        let claimed = claimed.instrument(span.clone()).await;
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
        let span = tracing::info_span!(target: "mfa", "mfa.status");
        let key = challenge_key(account, id);
        let now = self.inner.driver.runtime.now();
        let records = self.inner.driver.load(core::slice::from_ref(&key), now).instrument(span).await?;
        crate::observe::step("status", "done");
        match records.read::<ChallengeRecord>(&key) {
            Read::Absent => Ok(None),
            Read::Refused(_) => Err(Error::Unavailable("a stored record cannot be trusted")),
            Read::Live(challenge, _) => {
                let over = !challenge.status.is_terminal() && now >= challenge.expires_at;
                Ok(Some(ChallengeStatus {
                    status: if over { Status::Expired } else { challenge.status },
                    kind: ProviderName::parse(&challenge.provider)
                        .map_err(|_| Error::Unavailable("a provider's name"))?,
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
        let records = self.inner.driver.load(&begin::keys(login), now).await?;
        let (account, user) = (login.subject.account(), login.subject.user());
        let mut read = records.read(&user_key(account, LOGIN, user));
        begin::set_right(&mut read, now);
        let vault = records.read(&user_key(account, VAULT, user));
        let survey = survey(&self.inner.rules, &login.subject, &read, &vault, login.method.as_ref(), now);
        let outcome = match survey.verdict {
            Verdict::Challenge(id) => ExplainedOutcome::Challenge(id),
            Verdict::NotRequired(why) => ExplainedOutcome::NotRequired(why),
            Verdict::EnrolmentRequired => ExplainedOutcome::EnrolmentRequired,
            Verdict::Denied(denied) => ExplainedOutcome::Denied(denied.reason),
        };
        Ok(Explanation { outcome, rules: survey.rules })
    }

    async fn begin_unobserved(&self, mut login: Login) -> Result<Begin, Error> {
        let driver = &self.inner.driver;
        login.first_factor.at = Some(driver.runtime.now());
        let turn = turn_of(&login, begin::keys(&login));
        let mut ended = None;
        loop {
            let known = ended.as_deref();
            let settled = driver
                .run(&turn, None, |records, now, draw| {
                    begin_with::begin(&self.inner.rules, &login, known, records, now, draw)
                })
                .await?;
            match settled.value {
                Begun::Answer(begin) => return Ok(begin),
                Begun::LookAt(ids) => ended = Some(self.ended(login.subject.account(), ids).await?),
                Begun::Act { claims, mut answer, effect, id } => {
                    let judged = self.act_on(&claims, &login.request, effect, id).await?;
                    return Ok(match judged {
                        Judged::Pending(pending) => {
                            answer.prompt = pending.prompt;
                            answer.status = Status::Sent;
                            Begin::Challenge(*answer)
                        }
                        _ => Begin::Denied(crate::Denied {
                            reason: crate::DeniedReason::Unavailable,
                            retry_after: None,
                        }),
                    });
                }
            }
        }
    }

    /// Returns which of the challenges have ended.
    async fn ended(&self, account: &AccountId, ids: Vec<ChallengeId>) -> Result<Vec<ChallengeId>, Error> {
        let keys: Vec<_> = ids.iter().map(|id| challenge_key(account, *id)).collect();
        let records = self.inner.driver.load(&keys, self.inner.driver.runtime.now()).await?;
        let has_ended = |key: &crate::Key| match records.read::<ChallengeRecord>(key) {
            Read::Live(challenge, _) => challenge.status.is_terminal(),
            Read::Absent => true,
            Read::Refused(_) => false,
        };
        Ok(ids.into_iter().zip(&keys).filter(|(_, key)| has_ended(key)).map(|(id, _)| id).collect())
    }

    async fn verify_unobserved(&self, target: Target, response: Response) -> Result<Verify, Error> {
        let claims = match &target {
            Target::Ref(reference) => Claims::read(self.ring(), reference, Handle::Challenge),
            Target::Current(login) => self.current(login).await?,
        };
        let Some(claims) = claims else { return Ok(not_found()) };
        self.ask(&claims, &response.request, Ask::Respond(&response)).await?.into_verify()
    }

    /// Finds the challenge that a repeated login means, and speaks for its holder: the host has verified the
    /// first factor again, and where it has sessions it is the same session.
    async fn current(&self, login: &Login) -> Result<Option<Claims>, Error> {
        let (account, user) = (login.subject.account(), login.subject.user());
        let key = user_key(account, OPEN, user);
        let driver = &self.inner.driver;
        let records = driver.load(core::slice::from_ref(&key), driver.runtime.now()).await?;
        let Read::Live(open, _) = records.read::<Open>(&key) else { return Ok(None) };
        let session = login.first_factor.session.as_ref();
        let hash = |id| session.map(|s| session_hash(self.ring(), id, account, user, s)).transpose();
        let sessions = self.ring().ids().map(hash).collect::<Result<Vec<_>, _>>()?;
        let Some((id, session)) = open.current(login.module.as_str(), &sessions) else { return Ok(None) };
        Ok(Some(Claims {
            format: Claims::FORMAT,
            key: self.ring().active().as_str().to_owned(),
            handle: Handle::Challenge,
            user: user.clone(),
            lineage: login.subject.lineage().to_vec(),
            module: login.module.as_str().to_owned(),
            label: login.subject.label().to_owned(),
            id: *id.as_bytes(),
            binder: [0; 32],
            holder: Holder::Session { session: *session, generation: login.subject.generation().to_owned() },
        }))
    }

    async fn change(&self, reference: &Reference, ask: Ask<'_>) -> Result<Changed, Error> {
        let span = tracing::info_span!(target: "mfa", "mfa.manage");
        let Some(claims) = Claims::read(self.ring(), reference, Handle::Challenge) else {
            return Ok(Changed::Rejected(refused(Reason::NotFound)));
        };
        match self.ask(&claims, &RequestFacts::new(), ask).instrument(span).await?.judged {
            Judged::Changed(prompt) => Ok(Changed::Done(prompt)),
            Judged::Rejected(rejected) => Ok(Changed::Rejected(rejected)),
            Judged::Pending(pending) => Ok(Changed::Done(pending.prompt)),
            Judged::Unjudged(why) => Err(Error::Unavailable(why)),
            Judged::Granted(_) | Judged::Act { .. } | Judged::Refunded => Ok(Changed::Done(Value::Null)),
        }
    }

    /// Decides, and runs what the decision asks for until there is an answer.
    async fn ask(&self, claims: &Claims, request: &RequestFacts, ask: Ask<'_>) -> Result<Answered, Error> {
        let driver = &self.inner.driver;
        let turn = turn_for(claims)?;
        let rules = &self.inner.rules;
        let decide = |records: &Records, now, draw: &mut crate::Draw| {
            judge(rules, claims, request, &ask, records, now, draw)
        };
        let settled = driver.run(&turn, None, decide).await?;
        let judged = match settled.value {
            Judged::Granted(plan) => {
                let grant = Grant::issue(*plan, self.ring(), &settled.receipt);
                return Ok(Answered { grant: Some(grant), judged: Judged::Changed(Value::Null) });
            }
            Judged::Act { effect, id } => {
                return self.continue_with(claims, request, effect, id, settled.records).await;
            }
            other => other,
        };
        Ok(Answered { grant: None, judged })
    }

    async fn act_on(
        &self,
        claims: &Claims,
        request: &RequestFacts,
        effect: crate::Effect,
        id: [u8; 16],
    ) -> Result<Judged, Error> {
        let turn = turn_for(claims)?;
        let records = self.inner.driver.load(&turn.keys, self.inner.driver.runtime.now()).await?;
        Ok(self.continue_with(claims, request, effect, id, records).await?.judged)
    }

    async fn continue_with(
        &self,
        claims: &Claims,
        request: &RequestFacts,
        effect: crate::Effect,
        id: [u8; 16],
        records: Records,
    ) -> Result<Answered, Error> {
        let turn = turn_for(claims)?;
        let (mut effect, mut id, mut records) = (effect, id, records);
        for _ in 0..MAX_EFFECTS {
            let (result, busy) = match self.act(effect).await {
                Acted::Result(result) => (result, false),
                Acted::Busy => (EffectResult::NeverStarted, true),
                Acted::Lost => return Err(Error::Unavailable("the result of an effect is lost")),
            };
            let rules = &self.inner.rules;
            let ask = Ask::Resume(&id, &result);
            let decide = |records: &Records, now, draw: &mut crate::Draw| {
                judge(rules, claims, request, &ask, records, now, draw)
            };
            let settled = self.inner.driver.run(&turn, Some(records), decide).await?;
            if busy {
                return Err(Error::Busy);
            }
            match settled.value {
                Judged::Granted(plan) => {
                    let grant = Grant::issue(*plan, self.ring(), &settled.receipt);
                    return Ok(Answered { grant: Some(grant), judged: Judged::Changed(Value::Null) });
                }
                Judged::Act { effect: next, id: next_id } => {
                    (effect, id, records) = (next, next_id, settled.records);
                }
                judged => return Ok(Answered { grant: None, judged }),
            }
        }
        Err(Error::Unavailable("a provider that asks for one effect after the other"))
    }
}

/// What came of a step, with its grant if there is one.
struct Answered {
    grant: Option<Grant>,
    judged: Judged,
}

impl Answered {
    fn into_verify(self) -> Result<Verify, Error> {
        if let Some(grant) = self.grant {
            return Ok(Verify::Verified(grant));
        }
        match self.judged {
            Judged::Rejected(rejected) => Ok(Verify::Rejected(rejected)),
            Judged::Pending(pending) => Ok(Verify::Pending(pending)),
            Judged::Changed(prompt) => Ok(Verify::Pending(crate::Pending { prompt })),
            Judged::Unjudged(why) => Err(Error::Unavailable(why)),
            Judged::Granted(_) | Judged::Act { .. } | Judged::Refunded => {
                Err(Error::Unavailable("an unfinished step"))
            }
        }
    }
}

fn not_found() -> Verify {
    Verify::Rejected(refused(Reason::NotFound))
}

fn turn_of(login: &Login, keys: Vec<crate::Key>) -> Turn {
    Turn { account: login.subject.account().clone(), user: login.subject.user().clone(), keys }
}

fn turn_for(claims: &Claims) -> Result<Turn, Error> {
    Ok(Turn { account: claims.account()?.clone(), user: claims.user.clone(), keys: case::keys(claims)? })
}

fn observe_verify(step: &'static str, span: &tracing::Span, outcome: &Result<Verify, Error>) {
    let outcome = match outcome {
        Ok(Verify::Verified(_)) => "verified",
        Ok(Verify::Pending(_)) => "pending",
        Ok(Verify::Rejected(rejected)) => rejected.reason.code(),
        Err(error) => error.code(),
    };
    span.record("outcome", outcome);
    crate::observe::step(step, outcome);
}
