//! Authorisation: whether whoever asks may make a change, and the spending of what they show for it.

use audit_model::{AccountId, EventBuilder, Kind, Outcome, Scope, Timestamp, UserId};
use subtle::ConstantTimeEq;

use super::Rules;
use super::permit::Permit;
use crate::driver::{Read, Records};
use crate::permission::{Permission, Right, permission};
use crate::plan::Plan;
use crate::record::login::{Bound, Login, TOLERATED_SKEW};
use crate::record::pending::Administrator;
use crate::record::proof::{Held, Invitation, Proof, Ticket};
use crate::record::{INVITATION, LOGIN, PROOF, TICKET, user_key, users_key};
use crate::reference::{Claims, session_hash};
use crate::{Authority, Error, Expect, Forbidden, Intent, Operation, Subject};

/// A change that may be made, by whose right.
#[derive(Debug)]
pub(crate) struct Allowed {
    pub(crate) right: Right,
    pub(crate) bound: Bound,
    /// The administrator whose proof or invitation it was, where it was one's.
    pub(crate) administrator: Option<Administrator>,
    /// Who asked, where it is not the user.
    pub(crate) actor: Option<String>,
    reason: Option<String>,
}

/// Whose methods are to be changed, and what was read of them.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    /// The user as the directory has it now.
    pub(crate) subject: &'a Subject,
    pub(crate) login: Option<&'a Login>,
    pub(crate) now: Timestamp,
}

/// Decides whether the change may be made. What is spent for it is spent in `plan`, the commit that makes it.
pub(crate) fn authorise(
    rules: &Rules,
    permit: &Permit<'_>,
    intent: &Intent,
    target: Target<'_>,
    records: &Records,
    plan: &mut Plan,
) -> Result<Result<Allowed, Forbidden>, Error> {
    let (account, user) = (target.subject.account(), target.subject.user());
    let right = permit.right(account, user)?;
    let at = target.login.map_or(target.now, |login| login.effective(target.now));
    let has_method = target.login.is_some_and(|login| rules.has_method(login, at));
    match permission(intent.operation(), right) {
        Permission::Never(why) => return Ok(Err(why)),
        Permission::UnlessEnforced if rules.keeps_methods() => return Ok(Err(Forbidden::PolicyForbids)),
        Permission::FirstMethodOnly if has_method => return Ok(Err(Forbidden::StepUpRequired)),
        Permission::Always | Permission::UnlessEnforced | Permission::FirstMethodOnly => {}
    }
    let held = Asking { rules, permit, target, records };
    let allowed = match right {
        Right::Host => Ok((Bound::Own, None)),
        Right::FirstFactor
            if intent.operation() == Operation::AddMethod && rules.guards_first_method(target.now) =>
        {
            Err(Forbidden::PolicyForbids)
        }
        Right::FirstFactor => Ok((Bound::FirstFactor, None)),
        Right::Ticket => held.ticket(intent, plan)?,
        Right::Own | Right::Administrator => held.proof(intent, right, plan)?,
    };
    Ok(allowed.map(|(bound, administrator)| Allowed {
        right,
        bound,
        administrator,
        actor: permit.actor(account, Some(user)),
        reason: permit.reason(),
    }))
}

/// Marks a proof before something slow is done for it, so that one proof does not fill the pool. What is done is
/// decided again, and the proof spent, when it is done.
pub(crate) fn mark_busy(
    permit: &Permit<'_>,
    records: &Records,
    now: Timestamp,
) -> Result<Result<Plan, Forbidden>, Error> {
    let mut plan = Plan::default();
    let (Authority::Proof { .. }, Some(claims)) = (permit.authority, &permit.claims) else {
        return Ok(Ok(plan));
    };
    let key = users_key(claims.account()?, PROOF, &claims.user, &claims.id);
    let Read::Live(mut proof, version) = records.read::<Proof>(&key) else {
        return Ok(Err(Forbidden::StepUpRequired));
    };
    if now < proof.busy_until {
        return Ok(Err(Forbidden::StepUpRequired));
    }
    proof.busy_until = now.plus(crate::engine::EFFECT_DEADLINE);
    plan.put(key, Expect::Version(version), &proof, Some(proof.held.expires_at))?;
    Ok(Ok(plan))
}

/// Takes the mark off a proof again: what it started provably never ran.
pub(crate) fn mark_free(permit: &Permit<'_>, records: &Records) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    let (Authority::Proof { .. }, Some(claims)) = (permit.authority, &permit.claims) else {
        return Ok(plan);
    };
    let key = users_key(claims.account()?, PROOF, &claims.user, &claims.id);
    if let Read::Live(mut proof, version) = records.read::<Proof>(&key) {
        proof.busy_until = Timestamp::MIN;
        plan.put(key, Expect::Version(version), &proof, Some(proof.held.expires_at))?;
    }
    Ok(plan)
}

/// Decides whether a proof may be spent in its own account, for a change in another one.
pub(crate) fn spend_elsewhere(
    rules: &Rules,
    permit: &Permit<'_>,
    intent: &Intent,
    target: Target<'_>,
    records: &Records,
    plan: &mut Plan,
) -> Result<Result<Proof, Forbidden>, Error> {
    if let Permission::Never(why) = permission(intent.operation(), Right::Administrator) {
        return Ok(Err(why));
    }
    let asking = Asking { rules, permit, target, records };
    let Some(claims) = &permit.claims else { return Ok(Err(Forbidden::StepUpRequired)) };
    asking.live_proof(claims, intent, Right::Administrator, plan)
}

struct Asking<'a> {
    rules: &'a Rules,
    permit: &'a Permit<'a>,
    target: Target<'a>,
    records: &'a Records,
}

impl Asking<'_> {
    fn proof(
        &self,
        intent: &Intent,
        right: Right,
        plan: &mut Plan,
    ) -> Result<Result<(Bound, Option<Administrator>), Forbidden>, Error> {
        let Some(claims) = &self.permit.claims else { return Ok(Err(Forbidden::StepUpRequired)) };
        let of_another =
            self.target.login.is_some_and(|login| login.generation != self.target.subject.generation());
        if right == Right::Own && of_another && intent.operation() != Operation::Forget {
            // The id belongs to another person now than the one who proved.
            return Ok(Err(Forbidden::StepUpRequired));
        }
        let proof = match &self.permit.spent {
            None => match self.live_proof(claims, intent, right, plan)? {
                Ok(proof) => proof,
                Err(why) => return Ok(Err(why)),
            },
            // Since it was spent the user may have changed.
            Some(spent) if !spent.is_for(intent) => return Ok(Err(Forbidden::StepUpRequired)),
            Some(spent) if !self.outranks(claims.account()?, spent) => {
                return Ok(Err(Forbidden::NotPermitted));
            }
            Some(spent) => spent.clone(),
        };
        if right == Right::Administrator {
            let (account, user) = (claims.account()?.clone(), claims.user.clone());
            let Held { generation, fence, .. } = proof.held;
            let administrator = Administrator { account, user, generation, fence };
            return Ok(Ok((Bound::Administrator, Some(administrator))));
        }
        let held_back = matches!(
            intent.operation(),
            Operation::Disable | Operation::IssueRecovery | Operation::RemoveMethod | Operation::Forget
        );
        let login = self.target.login;
        if held_back && login.is_some_and(|login| login.is_on_hold(login.effective(self.target.now))) {
            return Ok(Err(Forbidden::RecoveryHold));
        }
        Ok(Ok((Bound::Own, None)))
    }

    /// Returns the proof if it is good for the change, and spends it in `plan`.
    fn live_proof(
        &self,
        claims: &Claims,
        intent: &Intent,
        right: Right,
        plan: &mut Plan,
    ) -> Result<Result<Proof, Forbidden>, Error> {
        const NO: Result<Result<Proof, Forbidden>, Error> = Ok(Err(Forbidden::StepUpRequired));
        let account = claims.account()?;
        let key = users_key(account, PROOF, &claims.user, &claims.id);
        let Read::Live(proof, version) = self.records.read::<Proof>(&key) else { return NO };
        let login_key = user_key(account, LOGIN, &claims.user);
        let Read::Live(holder, holder_version) = self.records.read::<Login>(&login_key) else { return NO };
        if !self.holds(claims, &proof.held)? || !is_alive(&proof.held, &holder, self.target.now) {
            return NO;
        }
        // As things are now: a method that was stopped or removed since proves nothing.
        let used = holder.enrolment(proof.enrolment);
        let strong = used.is_some_and(|used| self.rules.may_prove(&holder, used, intent));
        let enough = proof.recovery || proof.aal >= self.rules.strongest(&holder, intent.operation());
        if !proof.is_for(intent) || !strong || !enough {
            return NO;
        }
        if right == Right::Administrator {
            if !self.outranks(account, &proof) {
                return Ok(Err(Forbidden::NotPermitted));
            }
            // What a recovery code let in holds nobody else's methods in hand, either.
            if holder.is_on_hold(holder.effective(self.target.now)) {
                return Ok(Err(Forbidden::RecoveryHold));
            }
            plan.check(login_key, holder_version);
        }
        plan.delete(key, Expect::Version(version));
        Ok(Ok(proof))
    }

    /// Returns whether an administrator of `account` may change the user: not one of a higher rank, and none
    /// outside of the accounts below their own.
    fn outranks(&self, account: &AccountId, proof: &Proof) -> bool {
        let subject = self.target.subject;
        let in_tree = subject.lineage().iter().any(|ancestor| ancestor.account == *account);
        in_tree && !proof.recovery && proof.rank > 0 && proof.rank >= subject.rank()
    }

    fn ticket(
        &self,
        intent: &Intent,
        plan: &mut Plan,
    ) -> Result<Result<(Bound, Option<Administrator>), Forbidden>, Error> {
        let (account, user) = (self.target.subject.account(), self.target.subject.user());
        let Some(claims) = &self.permit.claims else { return Ok(Err(Forbidden::StepUpRequired)) };
        let key = users_key(account, TICKET, user, &claims.id);
        let is_of_user = claims.account()? == account && claims.user == *user;
        let Read::Live(ticket, version) = self.records.read::<Ticket>(&key) else {
            return Ok(Err(Forbidden::StepUpRequired));
        };
        // One that was given to a user without a record ends with the first record.
        let is_over = ticket.held.fence.is_none() && self.target.login.is_some();
        if !is_of_user || is_over || !self.holds(claims, &ticket.held)? || !self.is_good(&ticket.held) {
            return Ok(Err(Forbidden::StepUpRequired));
        }
        plan.delete(key, Expect::Version(version));
        let Some(claims) = &self.permit.invitation else {
            let needed = self.rules.policy.first_enrolment_needs_invitation();
            return Ok(if needed {
                Err(Forbidden::InvitationRequired)
            } else {
                Ok((Bound::FirstFactor, None))
            });
        };
        let key = users_key(account, INVITATION, user, &claims.id);
        let is_of_user = claims.account()? == account && claims.user == *user;
        let Read::Live(invitation, version) = self.records.read::<Invitation>(&key) else {
            return Ok(Err(Forbidden::InvitationRequired));
        };
        let binder = claims.binder_hash()?;
        let held: bool = binder.ct_eq(&invitation.held.binder).into();
        let same = invitation.intent == intent.digest();
        if !is_of_user || !held || !same || !self.is_good(&invitation.held) {
            return Ok(Err(Forbidden::InvitationRequired));
        }
        plan.delete(key, Expect::Version(version));
        Ok(Ok((Bound::Own, invitation.administrator)))
    }

    /// Returns whether a handle of the user is alive, whether they have a record or not.
    fn is_good(&self, held: &Held) -> bool {
        let of_this_person = held.generation == self.target.subject.generation();
        of_this_person
            && match self.target.login {
                Some(login) if held.fence.is_some() => is_alive(held, login, self.target.now),
                _ => is_in_time(held, self.target.now),
            }
    }

    /// Returns whether the one who asks holds the secret, in the session it was made for.
    fn holds(&self, claims: &Claims, held: &Held) -> Result<bool, Error> {
        let ring = &self.rules.ring;
        let session = match self.permit.authority {
            Authority::Proof { session, .. } | Authority::Ticket { session, .. } => session.as_ref(),
            _ => None,
        };
        let account = claims.account()?;
        let given = session.map(|s| session_hash(ring, &held.key, account, &claims.user, s)).transpose()?;
        let same_session = match (given, held.session) {
            (Some(given), Some(bound)) => given.ct_eq(&bound).into(),
            (None, None) => true,
            _ => false,
        };
        let same_binder: bool = claims.binder_hash()?.ct_eq(&held.binder).into();
        Ok(same_binder && same_session)
    }
}

impl Proof {
    /// Returns whether it was made for this very change.
    fn is_for(&self, intent: &Intent) -> bool {
        self.operation == intent.operation() && self.intent == intent.digest()
    }
}

/// Returns whether what was made at the holder's fence is good still.
fn is_alive(held: &Held, holder: &Login, now: Timestamp) -> bool {
    let same_fence = held.fence.is_none_or(|fence| fence == holder.fence);
    same_fence && held.generation == holder.generation && is_in_time(held, holder.effective(now))
}

/// Returns whether it is not over at `at`, and was not made by a clock that ran ahead.
fn is_in_time(held: &Held, at: Timestamp) -> bool {
    at < held.expires_at && held.made_at.since(at) <= TOLERATED_SKEW
}

impl Allowed {
    /// Writes by whose right a change is made.
    pub(crate) fn describe(&self, event: EventBuilder) -> EventBuilder {
        let event = by(event, self.right, self.actor.as_deref());
        match &self.reason {
            Some(reason) => event.reason(reason.clone()),
            None => event,
        }
    }
}

/// Writes whose right it was, and who asked where it was not the user.
pub(crate) fn by(event: EventBuilder, right: Right, actor: Option<&str>) -> EventBuilder {
    let event = event.field("authority", right.code());
    match actor {
        Some(actor) => event.actor(actor.to_owned()),
        None => event,
    }
}

impl Right {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Host => "host_vouched",
            Self::Own => "proof",
            Self::Administrator => "administrator",
            Self::Ticket => "ticket",
            Self::FirstFactor => "first_factor",
        }
    }
}

/// Writes down that a change was refused: once a user or account, operation, reason and minute. What was to be
/// spent for it is not spent.
pub(crate) fn note_refused(intent: &Intent, permit: &Permit<'_>, why: Forbidden, now: Timestamp) -> Plan {
    let (account, user, operation) = (intent.account(), intent.user(), intent.operation());
    let scope = Scope::Account(account.clone());
    let mut event = EventBuilder::new(scope, Kind::ChangeRefused, Outcome::Failure, now)
        .field("operation", operation.code())
        .reason(why.code());
    if let Some(user) = user {
        event = event.user(user.clone());
    }
    let actor = permit.actor(account, user).unwrap_or_default();
    if !actor.is_empty() {
        event = event.actor(actor.clone());
    }
    let minute = (now.unix_seconds() / 60).to_be_bytes();
    let user = user.map_or("", UserId::as_str);
    let parts = [account.as_str(), user, operation.code(), why.code()].map(str::as_bytes);
    let mut plan = Plan::default();
    let [account, user, operation, why] = parts;
    let alike = crate::codec::tuple(&[account, user, operation, why, actor.as_bytes(), &minute]);
    plan.merged_event(event, alike);
    plan
}
