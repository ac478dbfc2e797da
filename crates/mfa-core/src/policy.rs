//! Policy: one table of knobs, the presets, and what accounts may say of them.

mod document;
mod knobs;
mod presets;
mod value;

use core::time::Duration;
use std::collections::BTreeSet;

use serde_json::Value;

use crate::FieldError;
use crate::settings::Inheritance;

pub use document::{EffectivePolicy, PolicyDocument};
pub use knobs::Policy;

/// Which logins are asked for a second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Trigger {
    /// Those of users who have a method, whichever module they come through.
    OptIn,
    /// Those through a module whose settings ask for it, whatever methods the user has: a module that does not ask lets
    /// a user with a method in by the first factor alone.
    PerModule,
    /// Those that the host decided to challenge; of the others, whatever is enforced.
    OnDecision,
}

/// What a user gets to keep for the day every method is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecoveryForm {
    /// Nothing.
    None,
    /// A set of codes, each good once.
    Codes,
    /// One key, good once.
    Key,
}

/// Which of the methods by e-mail and telephone a user is asked for first, where neither the user nor the login names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChannelOrder {
    /// The one that was enrolled first.
    AsEnrolled,
    /// One by telephone; one by e-mail for a user whose own choice cannot be used.
    PhoneFirst,
    /// One by e-mail.
    EmailFirst,
}

/// Who may set a knob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KnobClass {
    /// Host code only.
    Host,
    /// A tenant's document, within the clamp.
    Tenant,
}

/// Which way a knob is stronger: how two values are combined so that neither is weakened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stronger {
    /// `true` is stronger.
    True,
    /// `false` is stronger.
    False,
    /// Fewer is stronger.
    Lower,
    /// A smaller set is stronger.
    Subset,
    /// No value is stronger than another: the nearest one holds.
    Neither,
}

/// One row of the table of knobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnobInfo {
    /// The name in documents.
    pub name: &'static str,
    /// Who may set it.
    pub class: KnobClass,
    /// Which way is stronger.
    pub stronger: Stronger,
    /// The smallest and the largest value, for numbers.
    pub clamp: Option<(u64, u64)>,
    /// The default of `recommended`, in words.
    pub default: &'static str,
    /// What it does.
    pub what: &'static str,
}

impl Policy {
    /// Takes over the knobs that `document`, a JSON object of the host's own, sets: knobs of every class. A
    /// document that tenants may write must not be passed here; that is what [`PolicyDocument`] is for.
    ///
    /// # Errors
    /// One [`FieldError`] for each knob that is unknown, of another type, or past its clamp.
    pub fn with_document(mut self, document: &Value) -> Result<Self, Vec<FieldError>> {
        let Some(fields) = document.as_object() else {
            return Err(vec![FieldError::new("policy", "type", "must be an object")]);
        };
        let results = fields.iter().map(|(name, value)| self.set(name, value));
        let errors: Vec<_> = results.filter_map(Result::err).collect();
        if errors.is_empty() { Ok(self) } else { Err(errors) }
    }

    /// Returns whether a user without a method must enrol one before logging in, today or from a later day on.
    #[must_use]
    pub const fn enforced(&self) -> bool {
        self.enforced
    }

    /// Returns from when on [`Policy::enforced`] holds, in unix seconds.
    #[must_use]
    pub const fn enforced_from(&self) -> u64 {
        self.enforced_from
    }

    /// Returns whether accounts on which a method is enforced from above may use provider configurations of their own.
    #[must_use]
    pub const fn accept_own_configurations(&self) -> bool {
        self.accept_own_configurations
    }

    /// Returns which logins are asked for a second factor.
    #[must_use]
    pub const fn trigger(&self) -> Trigger {
        self.trigger
    }

    /// Returns how the settings of a lineage become one.
    #[must_use]
    pub const fn inheritance(&self) -> Inheritance {
        self.inheritance
    }

    /// Returns whether a provider may be used.
    #[must_use]
    pub fn offers(&self, provider: &str) -> bool {
        self.always_offers(provider) || self.offered.as_ref().is_none_or(|set| set.contains(provider))
    }

    /// Returns whether a provider is named in the list of what may be used, as providers that send codes by e-mail or
    /// telephone must be.
    #[must_use]
    pub fn lists(&self, provider: &str) -> bool {
        self.always_offers(provider) || self.offered.as_ref().is_some_and(|set| set.contains(provider))
    }

    /// Returns the providers that it names, by `offered` or `always_offered`.
    pub(crate) fn named(&self) -> BTreeSet<&str> {
        let lists = [&self.offered, &self.always_offered].into_iter().flatten();
        lists.flatten().map(String::as_str).collect()
    }

    /// Returns whether the host's code keeps a provider, whatever documents say.
    fn always_offers(&self, provider: &str) -> bool {
        self.always_offered.as_ref().is_some_and(|set| set.contains(provider))
    }

    /// Returns whether methods by e-mail and telephone are hidden from whoever holds a stronger one.
    #[must_use]
    pub const fn stronger_hides_delivered(&self) -> bool {
        self.stronger_hides_delivered
    }

    /// Returns how many judged answers a challenge has.
    #[must_use]
    pub fn attempts(&self) -> u8 {
        u8::try_from(self.attempts).unwrap_or(u8::MAX)
    }

    /// Returns how long a challenge lives.
    #[must_use]
    pub const fn challenge_ttl(&self) -> Duration {
        Duration::from_secs(self.challenge_ttl_s)
    }

    /// Returns how long a pending enrolment lives.
    #[must_use]
    pub const fn enrolment_ttl(&self) -> Duration {
        Duration::from_secs(self.enrolment_ttl_s)
    }

    /// Returns how many judged failures a user may have in 24 hours.
    #[must_use]
    pub fn failures_per_day(&self) -> u32 {
        u32::try_from(self.failures_per_day).unwrap_or(u32::MAX)
    }

    /// Returns how many judged failures a user may have in 30 days.
    #[must_use]
    pub fn failures_per_month(&self) -> u32 {
        u32::try_from(self.failures_per_month).unwrap_or(u32::MAX)
    }

    /// Returns how many challenges of a user may be open.
    #[must_use]
    pub fn open_challenges(&self) -> usize {
        usize::try_from(self.open_challenges).unwrap_or(usize::MAX)
    }

    /// Returns how many messages a user may be sent in an hour and in 24 hours.
    #[must_use]
    pub fn sends(&self) -> (usize, usize) {
        let count = |number| usize::try_from(number).unwrap_or(usize::MAX);
        (count(self.sends_per_hour), count(self.sends_per_day))
    }

    /// Returns how many pushes a user may be sent until one of them, or any other answer, is accepted.
    #[must_use]
    pub fn pushes(&self) -> u8 {
        u8::try_from(self.pushes).unwrap_or(u8::MAX)
    }

    /// Returns whether a first method needs an invitation where the policy asks for a method.
    #[must_use]
    pub const fn first_enrolment_needs_invitation(&self) -> bool {
        self.first_enrolment_needs_invitation
    }

    /// Returns which of the methods by e-mail and telephone is asked for first.
    #[must_use]
    pub const fn channel_order(&self) -> ChannelOrder {
        self.channel_order
    }

    /// Returns what is issued with a first method.
    #[must_use]
    pub const fn recovery(&self) -> RecoveryForm {
        self.recovery
    }

    /// Returns how many recovery codes are few.
    #[must_use]
    pub fn recovery_low(&self) -> u8 {
        u8::try_from(self.recovery_low).unwrap_or(u8::MAX)
    }

    /// Returns whether a user may trust a device.
    #[must_use]
    pub const fn trust(&self) -> bool {
        self.trust
    }

    /// Returns for how long a device is trusted.
    #[must_use]
    pub const fn trust_life(&self) -> Duration {
        Duration::from_secs(self.trust_days.saturating_mul(24 * 3600))
    }

    /// Returns whether exemptions of programs may be granted, and count.
    #[must_use]
    pub const fn exemptions(&self) -> bool {
        self.exemptions
    }

    /// Returns whether codes and links of logins leave through the outbox, which
    /// [`Engine::drain_outbox`](crate::Engine::drain_outbox) sends, and not in the call that asks for them.
    #[must_use]
    pub const fn messages_by_outbox(&self) -> bool {
        self.messages_by_outbox
    }

    /// Returns whether API keys are kept as keyed hashes alone, so that nobody can be shown one again.
    #[must_use]
    pub const fn api_keys_hash_only(&self) -> bool {
        self.api_keys_hash_only
    }
}

impl RecoveryForm {
    /// Returns the stable name: `none`, `codes` or `key`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Codes => "codes",
            Self::Key => "key",
        }
    }

    /// Returns the form of a stable name.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::None, Self::Codes, Self::Key].into_iter().find(|form| form.code() == code)
    }
}
