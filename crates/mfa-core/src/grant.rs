//! The grant: the single result of a completed challenge.

use core::fmt;
use core::time::Duration;

use audit_model::{AccountId, Timestamp, UserId};
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::driver::Receipt;
use crate::keyring::Sealed;
use crate::reference::session_hash;
use crate::{
    Aal, Amr, ChallengeId, Channel, DeviceId, EnrolmentId, FirstFactorKind, KeyId, KeyRing, ProviderName,
    SecretText, Strength,
};

/// How long a grant may be redeemed.
pub(crate) const GRANT_LIFE: Duration = Duration::from_secs(60);

/// Proof, inside one process and for a minute, that a second factor was verified and that this was committed.
///
/// It is made by the engine alone, after the commit; it cannot be cloned, stored or built. Until it is spent, the
/// device it came from can be [trusted](crate::Engine::device_trust). A host spends it by [`Grant::redeem`], naming the user and session it is about to log in, and turns the
/// [`Authenticated`] it gets into its own session.
#[must_use = "a grant that is not redeemed logs nobody in"]
pub struct Grant {
    plan: Box<GrantPlan>,
    ring: KeyRing,
}

/// What was proven, by what and when.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evidence {
    /// The provider that judged the answer.
    pub provider: ProviderName,
    /// The enrolment that was used.
    pub enrolment: EnrolmentId,
    /// How strong it is.
    pub strength: Strength,
    /// When it was proven.
    pub at: Timestamp,
    /// What the host verified before.
    pub first_factor: FirstFactorKind,
    /// The way the first factor came.
    pub first_channel: Channel,
}

/// What a grant is made from: plain data, which grants nothing.
#[derive(Clone, Debug)]
pub(crate) struct GrantPlan {
    pub(crate) account: AccountId,
    pub(crate) user: UserId,
    pub(crate) challenge: ChallengeId,
    pub(crate) session: Option<[u8; 32]>,
    pub(crate) key: KeyId,
    pub(crate) evidence: Evidence,
    pub(crate) issued_at: Timestamp,
    pub(crate) recovery_left: Option<u8>,
    pub(crate) user_then: UserThen,
}

/// The user as the login left them, and what it showed of its device: what is kept of the device rests on it.
#[derive(Clone, Debug)]
pub(crate) struct UserThen {
    pub(crate) generation: String,
    pub(crate) trust_epoch: u64,
    pub(crate) password_epoch: Option<u64>,
    /// The user's enrolments.
    pub(crate) enrolled: Vec<EnrolmentId>,
    pub(crate) device: Option<DeviceId>,
    pub(crate) contacts: Option<Sealed>,
}

impl Grant {
    /// Turns the plan into a grant. The receipt exists only after a commit.
    pub(crate) fn issue(plan: Box<GrantPlan>, ring: &KeyRing, _committed: &Receipt) -> Self {
        Self { plan, ring: ring.clone() }
    }

    /// Returns the account it is for.
    #[must_use]
    pub const fn account(&self) -> &AccountId {
        &self.plan.account
    }

    /// Returns the user it is for.
    #[must_use]
    pub const fn user(&self) -> &UserId {
        &self.plan.user
    }

    /// Returns the challenge it came from.
    #[must_use]
    pub const fn challenge(&self) -> ChallengeId {
        self.plan.challenge
    }

    /// Returns what was proven.
    #[must_use]
    pub const fn evidence(&self) -> &Evidence {
        &self.plan.evidence
    }

    /// Returns how many recovery codes the user has left, where they are few: offer to issue new ones.
    #[must_use]
    pub const fn recovery_left(&self) -> Option<u8> {
        self.plan.recovery_left
    }

    /// Returns from when on it cannot be redeemed.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.plan.issued_at.plus(GRANT_LIFE)
    }

    pub(crate) const fn user_then(&self) -> &UserThen {
        &self.plan.user_then
    }

    /// Returns whether it is of the session that was given to
    /// [`FirstFactor::verified_now`](crate::FirstFactor::verified_now).
    pub(crate) fn is_of_session(&self, session: Option<&str>) -> bool {
        let GrantPlan { account, user, key, .. } = &*self.plan;
        let hash = |text: &str| session_hash(&self.ring, key, account, user, &SecretText::new(text));
        match (session.map(hash).transpose(), self.plan.session) {
            (Ok(Some(given)), Some(bound)) => given.ct_eq(&bound).into(),
            (Ok(None), None) => true,
            _ => false,
        }
    }

    /// Spends the grant for the user and the session that the host is about to log in. `session` is what
    /// was given to [`FirstFactor::verified_now`](crate::FirstFactor::verified_now).
    ///
    /// # Errors
    /// [`GrantMismatch`] if it is for another account, user or session, or too old. The grant is gone then.
    pub fn redeem(
        self,
        account: &AccountId,
        user: &UserId,
        session: Option<&str>,
        now: Timestamp,
    ) -> Result<Authenticated, GrantMismatch> {
        if account != self.account() {
            return Err(GrantMismatch::Account);
        }
        if user != self.user() {
            return Err(GrantMismatch::User);
        }
        if !self.is_of_session(session) {
            return Err(GrantMismatch::Session);
        }
        if now >= self.expires_at() {
            return Err(GrantMismatch::Expired);
        }
        let GrantPlan { account, user, evidence, .. } = *self.plan;
        Ok(Authenticated { account, user, evidence })
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("challenge", &self.plan.challenge)
            .field("evidence", &self.plan.evidence)
            .finish_non_exhaustive()
    }
}

/// Why a grant was not redeemed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GrantMismatch {
    /// It is for another account.
    #[error("the grant is for another account")]
    Account,
    /// It is for another user.
    #[error("the grant is for another user")]
    User,
    /// It is for another session.
    #[error("the grant is for another session")]
    Session,
    /// It is older than a minute.
    #[error("the grant has expired; begin again")]
    Expired,
}

impl GrantMismatch {
    /// Returns a stable code: `other_account`, `other_user`, `other_session` or `grant_expired`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Account => "other_account",
            Self::User => "other_user",
            Self::Session => "other_session",
            Self::Expired => "grant_expired",
        }
    }
}

/// A user who passed both steps: what a host puts into its session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Authenticated {
    /// The account.
    pub account: AccountId,
    /// The user.
    pub user: UserId,
    /// What was proven.
    pub evidence: Evidence,
}

impl Authenticated {
    /// Returns the values for an `amr` claim (RFC 8176 §2): the first factor's, the second factor's, and
    /// `mfa` where the two are of different kinds.
    #[must_use]
    pub fn amr(&self) -> Vec<Amr> {
        self.evidence.amr()
    }

    /// Returns the level reached (SP 800-63B-4 §2).
    #[must_use]
    pub fn aal(&self) -> Aal {
        self.evidence.aal()
    }

    /// Returns when the second factor was verified, for an `auth_time` claim.
    #[must_use]
    pub const fn auth_time(&self) -> Timestamp {
        self.evidence.at
    }
}

impl Evidence {
    /// Returns the values for an `amr` claim (RFC 8176 §2); `mfa` only with two kinds of factors.
    #[must_use]
    pub fn amr(&self) -> Vec<Amr> {
        let both = self.is_of_two_factors().then_some(Amr::Mfa);
        let of_each = self.strength.amr.iter().copied().chain(self.first_factor.amr());
        let mut amr: Vec<_> = of_each.chain(both).collect();
        amr.sort();
        amr.dedup();
        amr
    }

    /// Returns the level reached (SP 800-63B-4 §2): one factor unless two of different kinds came over
    /// different channels.
    #[must_use]
    pub fn aal(&self) -> Aal {
        if self.is_of_two_factors() { self.strength.aal } else { Aal::One }
    }

    fn is_of_two_factors(&self) -> bool {
        let kinds_differ = self.first_factor.factor().is_some_and(|first| first != self.strength.factor);
        kinds_differ && self.first_channel != self.strength.channel
    }
}
