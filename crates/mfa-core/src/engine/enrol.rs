//! The calls of an enrolment: begin, resend, acknowledge and confirm.

use core::pin::pin;

use audit_model::{AccountId, UserId};
use serde_json::Value;

use super::Engine;
use super::act::Acted;
use super::step::MAX_EFFECTS;
use crate::decide::confirm::{Ask, Charged, Confirmed, Standing};
use crate::decide::effects::EffectResult;
use crate::decide::enrol::Enrol;
use crate::decide::identity::{Claim, Claimed, Until};
use crate::decide::judge::Acting;
use crate::decide::manage::Changing;
use crate::decide::recovery::Hashing;
use crate::decide::sends::Sends;
use crate::decide::{confirm, enrol};
use crate::driver::{Read, Records, Turn};
use crate::observe::within;
use crate::record::login::Login;
use crate::record::pending::Administrator;
use crate::record::prefix::SentFor;
use crate::record::{LOGIN, PENDING, user_key};
use crate::reference::{Claims, Handle};
use crate::{
    Authority, Choice, EnrolConfirm, EnrolmentStarted, Error, FieldError, Intent, Pending, ProviderName,
    Reason, Reference, Rejected, RequestFacts, Response, Subject,
};

/// The most pending enrolments of a user, those of the last day that are over included; not those that a fence ended.
const MAX_PENDING: usize = 64;

impl Engine {
    /// Begins to enrol a method for a user. The secret values are in the answer, once; nothing counts until
    /// [`Engine::enrol_confirm`]. Another begin is another enrolment: it does not show or replace this one.
    ///
    /// Two reads and one commit. Dropping the future leaves at most a pending enrolment that nobody can
    /// confirm. Whatever ends a user's open challenges ends pending enrolments too.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, login, subject, totp, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// host.add("bob").await;
    /// let bob = UserId::parse("bob").unwrap();
    /// let started = host.engine.enrol_begin(&acme(), &bob, &totp(), &Choice::none(), &vouched()).await?;
    /// assert!(started.revealed.get("uri").is_some());
    ///
    /// // An imported secret of 80 bits is refused.
    /// let weak = Choice::new(serde_json::json!({"secret": "JBSWY3DPEHPK3PXP"}));
    /// let refused = host.engine.enrol_begin(&acme(), &bob, &totp(), &weak, &vouched()).await;
    /// assert_eq!(refused.unwrap_err().code(), "weak_secret");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownUser`]; [`Error::Invalid`] for a provider that is not offered, a choice it does not
    /// take, or a user who has too many methods; an error of the store with code `unavailable`.
    pub async fn enrol_begin(
        &self,
        account: &AccountId,
        user: &UserId,
        provider: &ProviderName,
        choice: &Choice,
        authority: &Authority,
    ) -> Result<EnrolmentStarted, Error> {
        let span = crate::observe::span!("mfa.enrol");
        let begun = async {
            let subject = self.subject(account, user).await?;
            let rules = &self.inner.rules;
            let method = rules.providers.get(provider).ok_or_else(not_offered)?;
            self.check_handles(authority)?;
            self.has_room(&subject).await?;
            enrol::is_enrolled_by_answer(method)?;
            let intent = Intent::add_method(&subject, provider);
            let sends = [Sends::key(subject.account(), subject.user())];
            let (permit, turn) = self.permitted(&subject, authority, &sends, |_| Ok(intent.clone())).await?;
            let mut claimed = None;
            let (mut started, acting) = loop {
                let decide = |changing: &mut Changing<'_>| {
                    let method = changing.rules.usable(provider).ok_or_else(not_offered)?;
                    changing.enrol(method, choice, claimed)
                };
                match self.manage_by(&subject, &permit, &turn, |_| Ok(intent.clone()), decide).await? {
                    Enrol::Begun(started, acting) => break (*started, acting),
                    Enrol::Claim(claim) => claimed = Some(self.look_up(&subject, &claim).await?),
                    Enrol::Taken => {
                        let problem = "cannot be set up for this user";
                        return Err(FieldError::new("method", Reason::IdentityTaken.code(), problem).into());
                    }
                }
            };
            if let Some(acting) = acting {
                started.prompt = self.act_at_begin(&subject, &started.reference, acting).await?;
            }
            Ok(started)
        };
        let begun = within(&span, pin!(begun)).await;
        crate::observe::step("enrol_begin", begun.as_ref().map_or_else(Error::code, |_| "begun"));
        begun
    }

    /// Confirms a method with an answer that it makes. The answer cannot be used again to log in.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, login, subject, totp, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// host.add("bob").await;
    /// let bob = UserId::parse("bob").unwrap();
    /// let started = host.engine.enrol_begin(&acme(), &bob, &totp(), &Choice::none(), &vouched()).await?;
    /// let uri = started.revealed.get("uri").unwrap().expose_secret();
    /// let app = mfa_testkit::authenticator::SoftAuthenticator::scan(uri).unwrap();
    /// let wrong = Response::code(&app.wrong_code_at(host.now(), 2));
    /// let refused = host.engine.enrol_confirm(&started.reference, &wrong).await?;
    /// assert!(matches!(refused, EnrolConfirm::Rejected(Rejected { reason: Reason::WrongCode, .. })));
    ///
    /// let right = Response::code(&app.code_at(host.now()));
    /// let confirmed = host.engine.enrol_confirm(&started.reference, &right).await?;
    /// assert!(matches!(confirmed, EnrolConfirm::Confirmed(id) if id == started.id));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] if the user has this very secret or too many
    /// methods already; [`Error::Busy`] if the pool for slow work is full, nothing charged and the answer good
    /// still; [`Error::UnknownUser`]; errors with code `unavailable`, after which the
    /// method may or may not be confirmed: ask [`Engine::methods`].
    pub async fn enrol_confirm(
        &self,
        reference: &Reference,
        response: &Response,
    ) -> Result<EnrolConfirm, Error> {
        let span = crate::observe::span!("mfa.enrol");
        let confirmed = self.confirming(reference, Ask::Respond(&response.act), &response.request);
        let confirmed = within(&span, pin!(confirmed)).await;
        crate::observe::step("enrol_confirm", outcome(&confirmed));
        confirmed
    }

    /// Makes a method count whose recovery codes or key the user has kept
    /// ([`EnrolConfirm::RecoveryShown`]). Without this call, until the pending enrolment ends, nothing changes.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, totp, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let bob = host.add("bob").await;
    /// let started = host.engine.enrol_begin(&acme(), bob.user(), &totp(), &Choice::none(), &vouched()).await?;
    /// // Nothing was shown yet that could be acknowledged.
    /// let early = host.engine.enrol_acknowledge(&started.reference, &RequestFacts::new()).await;
    /// assert_eq!(early.unwrap_err().code(), "not_confirmed");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] with code `not_confirmed` before the right answer; otherwise as
    /// [`Engine::enrol_confirm`].
    pub async fn enrol_acknowledge(
        &self,
        reference: &Reference,
        request: &RequestFacts,
    ) -> Result<EnrolConfirm, Error> {
        let span = crate::observe::span!("mfa.enrol");
        let confirmed = within(&span, pin!(self.confirming(reference, Ask::Acknowledge, request))).await;
        crate::observe::step("enrol_acknowledge", outcome(&confirmed));
        confirmed
    }

    /// Sends the message of a pending enrolment again, with a new secret.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, totp, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let bob = host.add("bob").await;
    /// let started = host.engine.enrol_begin(&acme(), bob.user(), &totp(), &Choice::none(), &vouched()).await?;
    /// // An authenticator app gets no message: there is nothing to send again, and the set-up goes on.
    /// let again = host.engine.enrol_resend(&started.reference, &RequestFacts::new()).await?;
    /// assert!(matches!(again, EnrolConfirm::Pending(_)));
    /// // A reference that nobody issued is refused.
    /// let unknown = host.engine.enrol_resend(&Reference::from_text("made-up"), &RequestFacts::new()).await?;
    /// assert!(matches!(unknown, EnrolConfirm::Rejected(_)));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Engine::enrol_confirm`].
    pub async fn enrol_resend(
        &self,
        reference: &Reference,
        request: &RequestFacts,
    ) -> Result<EnrolConfirm, Error> {
        let span = crate::observe::span!("mfa.enrol");
        let again = within(&span, pin!(self.confirming(reference, Ask::Resend, request))).await;
        crate::observe::step("enrol_resend", outcome(&again));
        again
    }

    /// Refuses another pending enrolment of a user who has as many as there may be.
    async fn has_room(&self, subject: &Subject) -> Result<(), Error> {
        let keys = self.records_of(subject.account(), subject.user(), PENDING).await?;
        if keys.len() < MAX_PENDING {
            return Ok(());
        }
        let login = user_key(subject.account(), LOGIN, subject.user());
        let all: Vec<_> = keys.iter().chain([&login]).cloned().collect();
        let driver = &self.inner.driver;
        let records = driver.load(&all, driver.runtime.now()).await?;
        if enrol::pending(&records, &keys, &login) < MAX_PENDING {
            return Ok(());
        }
        let problem = format!(
            "has {MAX_PENDING} pending enrolments of the last day, the most there may be; revoke the user to end them"
        );
        Err(FieldError::new("user", "too_many_pending", problem).into())
    }

    /// Runs the effect that an enrolment begins with, and returns what to show.
    async fn act_at_begin(
        &self,
        subject: &Subject,
        reference: &Reference,
        acting: Acting,
    ) -> Result<Value, Error> {
        let claims = Claims::read(self.ring(), reference, Handle::Enrolment);
        let claims = claims.ok_or(Error::Unavailable("a reference that was just issued"))?;
        let mut turn = turn_for(&claims, true)?;
        turn.keys.extend(self.inner.rules.document_keys(subject.lineage()));
        let driver = &self.inner.driver;
        let records = driver.load(&turn.keys, driver.runtime.now()).await?;
        let begun = Begun {
            claims: &claims,
            subject,
            // Who begins it has just been asked for their right.
            standing: Standing::Good,
            claimed: None,
            turn: &turn,
            request: &RequestFacts::new(),
        };
        match self.go_on(&begun, Confirmed::Act(acting), records).await? {
            EnrolConfirm::Pending(pending) => Ok(pending.prompt),
            EnrolConfirm::Rejected(rejected) if rejected.reason == Reason::Unavailable => {
                Err(Error::Unavailable("the provider"))
            }
            EnrolConfirm::Rejected(rejected) => {
                let reason = rejected.reason.code();
                Err(FieldError::new("method", reason, "cannot be set up for this user").into())
            }
            _ => Err(Error::Unavailable("a provider that confirms before an answer")),
        }
    }

    async fn confirming(
        &self,
        reference: &Reference,
        ask: Ask<'_>,
        request: &RequestFacts,
    ) -> Result<EnrolConfirm, Error> {
        let Some(claims) = Claims::read(self.ring(), reference, Handle::Enrolment) else {
            let rejected = Rejected { reason: Reason::NotFound, attempts_left: 0, retry_after: None };
            return Ok(EnrolConfirm::Rejected(rejected));
        };
        let mut alone = if ask.is_poll() { self.alone(claims.id) } else { None };
        if ask.is_poll() && alone.is_none() {
            return Ok(asked_already());
        }
        let subject = self.subject(claims.account()?, &claims.user).await?;
        let mut turn = turn_for(&claims, ask.may_send())?;
        turn.keys.extend(self.inner.rules.document_keys(subject.lineage()));
        let (driver, rules) = (&self.inner.driver, &self.inner.rules);
        let (mut standing, mut claimed) = (Standing::Unknown, None);
        let settled = loop {
            let settled = driver
                .run(&turn, None, |records: &Records, now, draw: &mut crate::Draw| {
                    confirm::confirm(
                        &*rules.held(subject.lineage(), None, records)?,
                        &claims,
                        (&subject, standing, claimed),
                        (&ask, request),
                        records,
                        now,
                        draw,
                    )
                })
                .await?;
            match settled.value {
                Confirmed::Ask(administrator) => standing = self.standing(&administrator, &subject).await?,
                Confirmed::Claim(claim) => {
                    claimed = Some(self.about_identity(&claims, &subject, &claim).await?);
                }
                _ => break settled,
            }
        };
        self.count_answer(settled.answered, SentFor::SetUp).await;
        let is_free = matches!(&settled.value, Confirmed::Act(acting) if acting.charged.is_none());
        if is_free && alone.is_none() {
            alone = self.alone(claims.id);
            if alone.is_none() {
                return Ok(asked_already());
            }
        }
        let begun = Begun { claims: &claims, subject: &subject, standing, claimed, turn: &turn, request };
        Box::pin(self.go_on(&begun, settled.value, settled.records)).await
    }

    /// Runs what a decision asks for until there is an answer.
    async fn go_on(
        &self,
        begun: &Begun<'_>,
        mut confirmed: Confirmed,
        mut records: Records,
    ) -> Result<EnrolConfirm, Error> {
        let (driver, rules) = (&self.inner.driver, &self.inner.rules);
        let mut claimed = begun.claimed;
        for _ in 0..MAX_EFFECTS {
            let acting = match confirmed {
                Confirmed::Answer(answer) => return Ok(answer),
                Confirmed::Hash(hashing, charged) => {
                    return self.show(begun, *hashing, &charged, records).await;
                }
                Confirmed::Act(acting) => acting,
                Confirmed::Ask(_) | Confirmed::Claim(_) => {
                    return Err(Error::Unavailable("an administrator or an identity that was not asked for"));
                }
            };
            let ran = acting.ran(&records, &confirm::pending_key(begun.claims)?)?;
            let (result, busy) = match self.act(begun.claims.account()?, acting.effect, SentFor::SetUp).await
            {
                Acted::Result(result) => (result, false),
                Acted::Busy => (EffectResult::NeverStarted, true),
                Acted::Lost => return Err(Error::Unavailable("the result of an effect is lost")),
            };
            self.renew_documents(&mut records, begun.subject.lineage()).await?;
            let ask = Ask::Resume(&ran, &result);
            (confirmed, records) = loop {
                let settled = driver.run(begun.turn, Some(records), |records, now, draw| {
                    confirm::confirm(
                        &*rules.held(begun.subject.lineage(), None, records)?,
                        begun.claims,
                        (begun.subject, begun.standing, claimed),
                        (&ask, begun.request),
                        records,
                        now,
                        draw,
                    )
                });
                let settled = settled.await?;
                let Confirmed::Claim(claim) = settled.value else {
                    self.count_answer(settled.answered, SentFor::SetUp).await;
                    break (settled.value, settled.records);
                };
                claimed = Some(self.about_identity(begun.claims, begun.subject, &claim).await?);
                records = settled.records;
            };
            if busy {
                return Err(Error::Busy);
            }
        }
        Err(Error::Unavailable("a provider that asks for one effect after the other"))
    }

    /// Makes the hashes of a recovery set, which is then shown.
    async fn show(
        &self,
        begun: &Begun<'_>,
        hashing: Hashing,
        charged: &Charged,
        mut records: Records,
    ) -> Result<EnrolConfirm, Error> {
        let (driver, rules) = (&self.inner.driver, &self.inner.rules);
        let hashed = self.hashed(begun.claims.account()?, hashing.effect).await;
        self.renew_documents(&mut records, begun.subject.lineage()).await?;
        let ask = match &hashed {
            Ok(digest) => Ask::Show(hashing.id, hashing.state.as_deref(), digest),
            Err(Error::Busy) => Ask::GiveBack(charged),
            // It may have been done: it stays charged.
            Err(_) => return Err(Error::Unavailable("the result of a hash is lost")),
        };
        let settled = driver.run(begun.turn, Some(records), |records, now, draw| {
            confirm::confirm(
                &*rules.held(begun.subject.lineage(), None, records)?,
                begun.claims,
                (begun.subject, begun.standing, begun.claimed),
                (&ask, begun.request),
                records,
                now,
                draw,
            )
        });
        let shown = settled.await?.value;
        hashed?;
        match shown {
            Confirmed::Answer(answer) => Ok(answer),
            Confirmed::Hash(..) | Confirmed::Act(_) | Confirmed::Ask(_) | Confirmed::Claim(_) => {
                Err(Error::Unavailable("a recovery set that is hashed twice"))
            }
        }
    }

    /// Asks about an identity what a set-up needs.
    async fn about_identity(
        &self,
        claims: &Claims,
        subject: &Subject,
        claim: &Claim,
    ) -> Result<Claimed, Error> {
        match claim.until {
            Until::Asked => self.look_up(subject, claim).await,
            Until::Confirmed => self.claim_identity(claims, claim).await,
        }
    }

    /// Asks whether an administrator may still change `whom`: the directory has them, above the user and of no lower
    /// rank where it says one, and nothing has ended what they proved.
    async fn standing(&self, administrator: &Administrator, whom: &Subject) -> Result<Standing, Error> {
        let Administrator { account, user, generation, fence } = administrator;
        let in_tree = whom.lineage().iter().any(|ancestor| ancestor.account == *account);
        let known = self.inner.directory.subject(account, user).await?;
        let may = known.is_some_and(|known| {
            known.generation() == generation && known.rank() > 0 && known.rank() >= whom.rank()
        });
        if !in_tree || !may {
            return Ok(Standing::Gone);
        }
        let key = user_key(account, LOGIN, user);
        let driver = &self.inner.driver;
        let records = driver.load(core::slice::from_ref(&key), driver.runtime.now()).await?;
        match records.read::<Login>(&key) {
            Read::Live(login, _)
                if login.generation == *generation && fence.is_none_or(|f| f == login.fence) =>
            {
                Ok(Standing::Good)
            }
            Read::Live(..) | Read::Absent => Ok(Standing::Gone),
            Read::Refused(_) => Err(Error::Unavailable("a stored record cannot be trusted")),
        }
    }

    /// Asks the directory for the user that somebody named, and goes on with the directory's own ids.
    pub(super) async fn subject(&self, account: &AccountId, user: &UserId) -> Result<Subject, Error> {
        let subject = self.inner.directory.subject(account, user).await?.ok_or(Error::UnknownUser)?;
        self.inner.rules.check_lineage(&subject)?;
        Ok(subject)
    }
}

/// A pending enrolment in a call: who, and what its steps read.
struct Begun<'a> {
    claims: &'a Claims,
    subject: &'a Subject,
    standing: Standing,
    claimed: Option<Claimed>,
    turn: &'a Turn,
    request: &'a RequestFacts,
}

fn not_offered() -> Error {
    FieldError::new("method", "method_not_offered", "is not offered by this policy").into()
}

/// Another call is asking the provider's service about the same enrolment.
const fn asked_already() -> EnrolConfirm {
    EnrolConfirm::Pending(Pending { prompt: Value::Null })
}

fn turn_for(claims: &Claims, may_send: bool) -> Result<Turn, Error> {
    let keys = confirm::keys(claims, may_send)?;
    Ok(Turn { account: claims.account()?.clone(), user: claims.user.clone(), keys })
}

pub(super) fn turn(subject: &Subject, keys: Vec<crate::Key>) -> Turn {
    Turn { account: subject.account().clone(), user: subject.user().clone(), keys }
}

fn outcome(confirmed: &Result<EnrolConfirm, Error>) -> &'static str {
    match confirmed {
        Ok(EnrolConfirm::Confirmed(_)) => "confirmed",
        Ok(EnrolConfirm::RecoveryShown(_)) => "recovery_shown",
        Ok(EnrolConfirm::Pending(_)) => "pending",
        Ok(EnrolConfirm::Rejected(rejected)) => rejected.reason.code(),
        Err(error) => error.code(),
    }
}
