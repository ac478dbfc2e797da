//! What a user's enrolments amount to: whether there is a second factor, how strong it is, what may prove what.

use core::time::Duration;

use audit_model::Timestamp;

use super::Rules;
use crate::record::login::{Bound, Enrolment, Login};
use crate::{Aal, Intent, Operation, Purpose, Role, Strength, bypass};

/// For how long after the use of a recovery code the user cannot give up or replace what protects them.
pub(crate) const RECOVERY_HOLD: Duration = Duration::from_secs(24 * 3600);

impl Rules {
    /// Returns whether an enrolment is a second factor; of a provider that this process does not know it is
    /// taken to be one.
    pub(crate) fn is_factor(&self, enrolment: &Enrolment) -> bool {
        self.providers.get(&enrolment.provider).is_none_or(|p| p.code.describe().role == Role::Factor)
    }

    /// Returns whether the user has a second factor, or a way back to one: decided by what is stored, not by
    /// what can be used. A bypass code whose time is over counts for nothing.
    pub(crate) fn has_method(&self, login: &Login, at: Timestamp) -> bool {
        login.enrolments.iter().any(|enrolment| self.counts(enrolment, at))
    }

    /// Returns whether an enrolment is there at all, as logins see it.
    pub(crate) fn counts(&self, enrolment: &Enrolment, at: Timestamp) -> bool {
        enrolment.provider != bypass::NAME || bypass::is_live(enrolment.data.as_deref(), at)
    }

    /// Returns whether an enrolment's messages go by e-mail or telephone.
    pub(crate) fn is_delivered(&self, enrolment: &Enrolment) -> bool {
        self.providers.get(&enrolment.provider).is_some_and(|p| p.code.describe().is_delivered())
    }

    /// Returns whether nothing is asked for by e-mail or telephone, as the user holds something stronger: whether that
    /// can be used now or not, so that making it unusable leads nowhere.
    pub(crate) fn hides_delivered(&self, login: &Login) -> bool {
        let asked = |e: &Enrolment| self.providers.get(&e.provider).is_none_or(|p| self.is_asked_for(p));
        let stronger = |e: &Enrolment| self.is_factor(e) && !self.is_delivered(e) && asked(e);
        self.policy.stronger_hides_delivered() && login.enrolments.iter().any(stronger)
    }

    /// Returns the level of the strongest second factor of the user, as a proof for `operation` must reach it; one of a provider that this process
    /// does not know may be of the highest.
    pub(crate) fn strongest(&self, login: &Login, operation: Operation) -> Aal {
        // Who stops a strong method by failing must not make a weak one enough; adding another is the way out.
        let counts = |e: &&Enrolment| !e.is_stopped() || operation != Operation::AddMethod;
        let factors = login.enrolments.iter().filter(|e| self.is_factor(e)).filter(counts);
        let level = |enrolment: &Enrolment| match self.providers.get(&enrolment.provider) {
            None => Aal::Three,
            Some(_) if enrolment.bound != Bound::Own => Aal::One,
            Some(provider) => provider.code.describe().aal,
        };
        factors.map(level).max().unwrap_or(Aal::One)
    }

    /// Returns whether evidence of an enrolment can prove what `intent` needs: it is a factor as strong as the
    /// strongest, not itself what is to be changed, not stopped since, and offered still. A recovery code can
    /// only prove the way to a new method.
    pub(crate) fn may_prove(&self, login: &Login, enrolment: &Enrolment, intent: &Intent) -> bool {
        let Some(provider) = self.providers.get(&enrolment.provider) else { return false };
        if enrolment.is_stopped() || !self.offers(provider) {
            return false;
        }
        let descriptor = provider.code.describe();
        if descriptor.role == Role::Recovery {
            return enrolment.provider != bypass::NAME && intent.operation() == Operation::AddMethod;
        }
        let level = if enrolment.bound == Bound::Own { descriptor.aal } else { Aal::One };
        let is_the_subject =
            intent.operation() == Operation::RemoveMethod && intent.enrolment() == Some(enrolment.id);
        level >= self.strongest(login, intent.operation()) && !is_the_subject
    }
}

impl Login {
    /// Returns whether a recovery code was used within the last day.
    pub(crate) fn is_on_hold(&self, at: Timestamp) -> bool {
        self.recovered_at.is_some_and(|then| at < then.plus(RECOVERY_HOLD))
    }
}

/// Lowers what an answer proves to what its enrolment was bound with, which the first login with it lifts where
/// the user bound it. A step-up lifts nothing: its proof would be weaker than the method that made it.
pub(crate) fn settle_bound(enrolment: &mut Enrolment, mut strength: Strength, purpose: Purpose) -> Strength {
    if enrolment.bound != Bound::Own {
        strength.aal = Aal::One;
    }
    if enrolment.bound == Bound::FirstFactor && purpose == Purpose::Login {
        enrolment.bound = Bound::Own;
    }
    strength
}
