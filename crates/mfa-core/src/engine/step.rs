//! Running the decisions of a login and the effects they ask for.

use core::pin::pin;

use audit_model::{AccountId, Timestamp};
use serde_json::Value;

use super::Engine;
use super::act::Acted;
use crate::decide::arrive::Arriving;
use crate::decide::begin::{self, Begun};
use crate::decide::case;
use crate::decide::effects::EffectResult;
use crate::decide::judge::{self, Acting, Ask, Judged, judge, refused};
use crate::driver::{Decision, Read, Records, Turn};
use crate::observe::within;
use crate::record::challenge::Challenge as ChallengeRecord;
use crate::record::open::Open;
use crate::record::prefix::SentFor;
use crate::record::{OPEN, challenge_key, user_key};
use crate::reference::{Claims, Handle, Holder, session_hash};
use crate::{
    Ancestor, Begin, ChallengeId, Changed, Denied, DeniedReason, Error, Grant, Intent, Login, Reason,
    Reference, RequestFacts, Response, Target, Verify,
};

/// How many effects one call runs at most, such as a message and its fallback.
pub(super) const MAX_EFFECTS: usize = 6;

impl Engine {
    pub(super) async fn begin_unobserved(
        &self,
        login: &Login,
        intent: Option<&Intent>,
    ) -> Result<Begin, Error> {
        let driver = &self.inner.driver;
        self.inner.rules.check_lineage(&login.subject)?;
        let lineage = login.subject.lineage();
        let arriving = Arriving::new(self.ring(), login, intent);
        let mut turn = turn_of(login, arriving.keys());
        turn.keys.extend(self.inner.rules.document_keys(lineage));
        let mut ended = None;
        loop {
            let known = ended.as_deref();
            let settled = driver
                .run(&turn, None, |records, now, draw| {
                    let rules = self.inner.rules.held(lineage, Some(&login.module), records)?;
                    let mut decision = begin::begin(&rules, &arriving, known, records, now, draw)?;
                    if let Begun::Answer(Begin::NotRequired(_)) = decision.value {
                        rules.hold_documents(lineage, records, &mut decision.plan);
                    }
                    Ok(decision)
                })
                .await?;
            match settled.value {
                Begun::Answer(begin) => return Ok(begin),
                Begun::LookAt(ids) => ended = Some(self.ended(login.subject.account(), ids).await?),
                Begun::Act { claims, mut answer, effect, id } => {
                    let acting = Acting { effect, charged: Some(id), of_answer: false };
                    let acted = Box::pin(self.act_on(&claims, &login.request, acting)).await?;
                    let (reason, retry_after) = match acted.judged {
                        Judged::Pending(pending) => {
                            answer.prompt = pending.prompt;
                            let key = challenge_key(login.subject.account(), answer.id);
                            return match acted.records.read::<ChallengeRecord>(&key) {
                                Read::Live(challenge, _) => {
                                    Ok(Begin::Challenge(brought_up(*answer, &challenge)))
                                }
                                Read::Absent | Read::Refused(_) => Err(Error::Unavailable("the challenge")),
                            };
                        }
                        Judged::NotRequired(why) => return Ok(Begin::NotRequired(why)),
                        Judged::Rejected(rejected) => (denied_reason(rejected.reason), rejected.retry_after),
                        _ => (DeniedReason::Unavailable, None),
                    };
                    return Ok(Begin::Denied(Denied { reason, retry_after }));
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

    pub(super) async fn verify_unobserved(
        &self,
        target: &Target,
        response: &Response,
    ) -> Result<Verify, Error> {
        let (claims, _place) = match target {
            // What this ring did not issue is told so, and takes nobody's place.
            Target::Ref(reference) => match Claims::read(self.ring(), reference, Handle::Challenge) {
                Some(claims) => (claims, self.admit(response)?),
                None => return Ok(not_found()),
            },
            Target::Current(login) => {
                let place = self.admit(response)?;
                let Some(claims) = self.current(login).await? else { return Ok(not_found()) };
                (claims, place)
            }
        };
        self.ask(&claims, &response.request, Ask::Respond(response)).await?.into_verify()
    }

    /// Finds the challenge that a repeated login means, and speaks for its holder: the host has verified the
    /// first factor again, and where it has sessions it is the same session.
    async fn current(&self, login: &Login) -> Result<Option<Claims>, Error> {
        self.inner.rules.check_lineage(&login.subject)?;
        let (account, user) = (login.subject.account(), login.subject.user());
        let key = user_key(account, OPEN, user);
        let driver = &self.inner.driver;
        let records = driver.load(core::slice::from_ref(&key), driver.runtime.now()).await?;
        let Read::Live(open, _) = records.read::<Open>(&key) else { return Ok(None) };
        let session = login.first_factor.session.as_ref();
        let hash =
            |id: &crate::KeyId| session.map(|s| session_hash(self.ring(), id, account, user, s)).transpose();
        let sessions = self.ring().ids().iter().map(hash).collect::<Result<Vec<_>, _>>()?;
        let Some((id, session)) = open.current(&login.module, &sessions) else { return Ok(None) };
        Ok(Some(Claims {
            format: Claims::FORMAT,
            key: self.ring().active(),
            handle: Handle::Challenge,
            user: user.clone(),
            lineage: login.subject.lineage().to_vec(),
            module: Some(login.module.clone()),
            label: login.subject.label().to_owned(),
            id: *id.as_bytes(),
            binder: [0; 32],
            holder: Holder::Session { session: *session, generation: login.subject.generation().to_owned() },
        }))
    }

    pub(super) async fn change(&self, reference: &Reference, ask: Ask<'_>) -> Result<Changed, Error> {
        let span = crate::observe::span!("mfa.manage");
        let Some(claims) = Claims::read(self.ring(), reference, Handle::Challenge) else {
            return Ok(Changed::Rejected(refused(Reason::NotFound)));
        };
        match within(&span, pin!(self.ask(&claims, &RequestFacts::new(), ask))).await?.judged {
            Judged::Changed(prompt) => Ok(Changed::Done(prompt)),
            Judged::Rejected(rejected) => Ok(Changed::Rejected(rejected)),
            Judged::Pending(pending) => Ok(Changed::Done(pending.prompt)),
            Judged::Unjudged(why) => Err(Error::Unavailable(why)),
            Judged::Granted(_) | Judged::Proven(_) | Judged::Act(_) | Judged::NotRequired(_) => {
                Ok(Changed::Done(Value::Null))
            }
            // Nothing was sent: it is not as if it were.
            Judged::Refunded => Err(Error::Unavailable("what was to be sent never left")),
        }
    }

    /// Decides, and runs what the decision asks for until there is an answer.
    pub(super) async fn ask(
        &self,
        claims: &Claims,
        request: &RequestFacts,
        ask: Ask<'_>,
    ) -> Result<Answered, Error> {
        let driver = &self.inner.driver;
        let turn = self.turn_for(claims, ask.may_send())?;
        // A poll beside another one would ask the same, or spoil what the other one hears.
        let mut alone = if ask.is_poll() { self.alone(claims.id) } else { None };
        if ask.is_poll() && alone.is_none() {
            return Ok(Answered::pending(driver.none()));
        }
        let decide = |records: &Records, now, draw: &mut crate::Draw| {
            self.judged(claims, request, &ask, records, now, draw)
        };
        let settled = driver.run(&turn, None, decide).await?;
        self.count_answer(settled.answered, SentFor::Login).await;
        self.observe_method(claims, &settled.records)?;
        let judged = match settled.value {
            Judged::Granted(plan) => {
                let grant = Grant::issue(plan, self.ring(), &settled.receipt);
                return Ok(Answered::granted(grant, settled.records));
            }
            Judged::Act(acting) => {
                if acting.charged.is_none() && alone.is_none() {
                    alone = self.alone(claims.id);
                    if alone.is_none() {
                        return Ok(Answered::pending(settled.records));
                    }
                }
                // Boxed: it is rare, and would make the future of every call as large.
                return Box::pin(self.continue_with(&turn, claims, request, acting, settled.records)).await;
            }
            other => other,
        };
        Ok(Answered { grant: None, judged, records: settled.records })
    }

    /// Reads what accounts have set again: an effect takes its time.
    pub(super) async fn renew_documents(
        &self,
        records: &mut Records,
        lineage: &[Ancestor],
    ) -> Result<(), Error> {
        let keys = self.inner.rules.document_keys(lineage);
        if !keys.is_empty() {
            let driver = &self.inner.driver;
            records.renew(driver.load(&keys, driver.runtime.now()).await?);
        }
        Ok(())
    }

    /// Judges by what holds for the account now.
    fn judged(
        &self,
        claims: &Claims,
        request: &RequestFacts,
        ask: &Ask<'_>,
        records: &Records,
        now: Timestamp,
        draw: &mut crate::Draw,
    ) -> Result<Decision<Judged>, Error> {
        let rules = self.inner.rules.held(&claims.lineage, claims.module.as_ref(), records)?;
        let mut decision = judge(&rules, claims, request, ask, records, now, draw)?;
        if let Judged::Granted(_) | Judged::Proven(_) | Judged::NotRequired(_) = decision.value {
            rules.hold_documents(&claims.lineage, records, &mut decision.plan);
        }
        Ok(decision)
    }

    pub(super) fn turn_for(&self, claims: &Claims, may_send: bool) -> Result<Turn, Error> {
        let mut keys = case::keys(claims, may_send)?;
        keys.extend(self.inner.rules.document_keys(&claims.lineage));
        Ok(Turn { account: claims.account()?.clone(), user: claims.user.clone(), keys })
    }

    /// Names the method on the step's span, if somebody looks at it.
    #[expect(clippy::unused_self, reason = "one of the steps of an answer")]
    fn observe_method(&self, claims: &Claims, records: &Records) -> Result<(), Error> {
        let span = tracing::Span::current();
        if span.is_disabled() {
            return Ok(());
        }
        let key = challenge_key(claims.account()?, ChallengeId::from_bytes(claims.id));
        if let Read::Live(challenge, _) = records.read::<ChallengeRecord>(&key) {
            span.record("method", challenge.provider.as_str());
        }
        Ok(())
    }

    async fn act_on(
        &self,
        claims: &Claims,
        request: &RequestFacts,
        acting: Acting,
    ) -> Result<Answered, Error> {
        let turn = self.turn_for(claims, true)?;
        let records = self.inner.driver.load(&turn.keys, self.inner.driver.runtime.now()).await?;
        self.continue_with(&turn, claims, request, acting, records).await
    }

    pub(super) async fn continue_with(
        &self,
        turn: &Turn,
        claims: &Claims,
        request: &RequestFacts,
        mut acting: Acting,
        mut records: Records,
    ) -> Result<Answered, Error> {
        let challenge = challenge_key(claims.account()?, ChallengeId::from_bytes(claims.id));
        for _ in 0..MAX_EFFECTS {
            let ran = acting.ran(&records, &challenge)?;
            let (result, busy) = match self.act(claims.account()?, acting.effect, SentFor::Login).await {
                Acted::Result(result) => (result, false),
                Acted::Busy => (EffectResult::NeverStarted, true),
                Acted::Lost => return Err(Error::Unavailable("the result of an effect is lost")),
            };
            self.renew_documents(&mut records, &claims.lineage).await?;
            let ask = Ask::Resume(&ran, &result);
            let decide = |records: &Records, now, draw: &mut crate::Draw| {
                self.judged(claims, request, &ask, records, now, draw)
            };
            let settled = self.inner.driver.run(turn, Some(records), decide).await?;
            self.count_answer(settled.answered, SentFor::Login).await;
            if busy {
                return Err(Error::Busy);
            }
            match settled.value {
                Judged::Granted(plan) => {
                    let grant = Grant::issue(plan, self.ring(), &settled.receipt);
                    return Ok(Answered::granted(grant, settled.records));
                }
                Judged::Act(next) => (acting, records) = (next, settled.records),
                judged => return Ok(Answered { grant: None, judged, records: settled.records }),
            }
        }
        Err(Error::Unavailable("a provider that asks for one effect after the other"))
    }
}

/// What came of a step, with its grant if there is one.
pub(super) struct Answered {
    grant: Option<Grant>,
    judged: Judged,
    /// As they are after it.
    records: Records,
}

impl Answered {
    const fn granted(grant: Grant, records: Records) -> Self {
        Self { grant: Some(grant), judged: Judged::Changed(Value::Null), records }
    }

    /// What comes of it is being asked for by another call.
    const fn pending(records: Records) -> Self {
        Self { grant: None, judged: judge::pending(Value::Null), records }
    }

    pub(super) fn into_judged(self) -> Judged {
        self.judged
    }

    pub(super) fn into_verify(self) -> Result<Verify, Error> {
        if let Some(grant) = self.grant {
            return Ok(Verify::Verified(grant));
        }
        match self.judged {
            Judged::Proven(proven) => Ok(Verify::Proven(*proven)),
            Judged::Rejected(rejected) => Ok(Verify::Rejected(rejected)),
            Judged::Pending(pending) => Ok(Verify::Pending(pending)),
            Judged::Changed(prompt) => Ok(Verify::Pending(crate::Pending { prompt })),
            Judged::NotRequired(why) => Ok(Verify::NotRequired(why)),
            Judged::Unjudged(why) => Err(Error::Unavailable(why)),
            Judged::Granted(_) | Judged::Act(_) | Judged::Refunded => {
                Err(Error::Unavailable("an unfinished step"))
            }
        }
    }
}

pub(super) fn not_found() -> Verify {
    Verify::Rejected(refused(Reason::NotFound))
}

pub(super) fn turn_of(login: &Login, keys: Vec<crate::Key>) -> Turn {
    Turn { account: login.subject.account().clone(), user: login.subject.user().clone(), keys }
}

/// Says what became of a challenge by what it began with, which may have led to another method.
fn brought_up(answer: crate::Challenge, challenge: &ChallengeRecord) -> crate::Challenge {
    let method = answer.methods.iter().find(|method| method.id == challenge.method).cloned();
    crate::Challenge {
        status: challenge.status,
        method: method.unwrap_or(answer.method),
        created_at: challenge.created_at,
        expires_at: challenge.expires_at,
        ..answer
    }
}

/// Returns how a login is denied whose challenge ended with its first effect.
const fn denied_reason(reason: Reason) -> DeniedReason {
    match reason {
        Reason::Denied | Reason::Fraud => DeniedReason::ProviderDenied,
        Reason::SendLimit => DeniedReason::SendLimit,
        _ => DeniedReason::Unavailable,
    }
}
