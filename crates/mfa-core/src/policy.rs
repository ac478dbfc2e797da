//! Policy: one table of knobs, and the preset `recommended`.

use core::time::Duration;
use std::collections::BTreeSet;

use serde_json::Value;

use crate::{FieldError, ProviderName};

/// The rules a login is judged by. Every value is within the limits of the table [`Policy::KNOBS`].
///
/// ```
/// use mfa_core::Policy;
/// use serde_json::json;
/// let policy = Policy::recommended().with_document(&json!({"enforced": true, "attempts": 3})).unwrap();
/// assert!(policy.enforced());
/// // A value past its clamp is an error that names the knob and the limit; nothing is taken over.
/// let errors = Policy::recommended().with_document(&json!({"attempts": 11})).unwrap_err();
/// assert_eq!(errors[0].to_string(), "attempts must be a whole number from 1 to 10");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    enforced: bool,
    offered: Option<BTreeSet<String>>,
    attempts: u64,
    challenge_ttl_s: u64,
    enrolment_ttl_s: u64,
    failures_per_day: u64,
    failures_per_month: u64,
    open_challenges: u64,
    sends_per_hour: u64,
    sends_per_day: u64,
    pushes: u64,
    stronger_hides_delivered: bool,
    first_enrolment_needs_invitation: bool,
    recovery: RecoveryForm,
    recovery_low: u64,
    trust: bool,
    trust_days: u64,
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

macro_rules! knob {
    ($name:literal, $class:ident, $stronger:ident, $clamp:expr, $default:literal, $what:literal) => {
        KnobInfo {
            name: $name,
            class: KnobClass::$class,
            stronger: Stronger::$stronger,
            clamp: $clamp,
            default: $default,
            what: $what,
        }
    };
}

impl Policy {
    /// The table of knobs.
    pub const KNOBS: &'static [KnobInfo] = &[
        knob!(
            "enforced",
            Tenant,
            True,
            None,
            "false",
            "A user without a method must enrol one before logging in."
        ),
        knob!(
            "offered",
            Tenant,
            Subset,
            None,
            "every registered provider but those by e-mail and telephone",
            "The providers that may be used."
        ),
        knob!("attempts", Tenant, Lower, Some((1, 10)), "5", "Judged answers of one challenge or enrolment."),
        knob!("challenge_ttl_s", Tenant, Lower, Some((30, 600)), "300", "Life of a challenge, in seconds."),
        knob!(
            "enrolment_ttl_s",
            Tenant,
            Lower,
            Some((60, 3600)),
            "600",
            "Life of a pending enrolment, in seconds."
        ),
        knob!(
            "failures_per_day",
            Tenant,
            Lower,
            Some((1, 20)),
            "20",
            "Judged failures of one user in 24 hours."
        ),
        knob!(
            "failures_per_month",
            Tenant,
            Lower,
            Some((1, 100)),
            "100",
            "Judged failures of one user in 30 days."
        ),
        knob!("open_challenges", Host, Lower, Some((1, 64)), "64", "Open challenges of one user."),
        knob!("sends_per_hour", Tenant, Lower, Some((1, 5)), "5", "Messages to one user in an hour."),
        knob!("sends_per_day", Tenant, Lower, Some((1, 20)), "20", "Messages to one user in 24 hours."),
        knob!("pushes", Tenant, Lower, Some((1, 20)), "20", "Pushes to one user since the last success."),
        knob!(
            "stronger_hides_delivered",
            Tenant,
            True,
            None,
            "true",
            "Codes by e-mail and telephone are not offered to whoever holds a stronger method."
        ),
        knob!(
            "first_enrolment_needs_invitation",
            Tenant,
            True,
            None,
            "true",
            "Where a method is enforced, a first one needs an administrator's invitation besides the first factor."
        ),
        knob!(
            "recovery",
            Tenant,
            Neither,
            None,
            "codes",
            "What is issued with a first method, where a recovery provider is registered: codes, key or none."
        ),
        knob!(
            "recovery_low",
            Tenant,
            Neither,
            Some((0, 16)),
            "3",
            "A login tells when this many recovery codes or fewer are left."
        ),
        knob!(
            "trust",
            Tenant,
            False,
            None,
            "false",
            "A user may trust a device, which is then not asked for a second step."
        ),
        knob!("trust_days", Tenant, Lower, Some((1, 30)), "30", "How long a device is trusted, in days."),
    ];

    /// The preset for a service that has no reason to choose otherwise: whoever has a method is asked for it.
    #[must_use]
    pub const fn recommended() -> Self {
        Self {
            enforced: false,
            offered: None,
            attempts: 5,
            challenge_ttl_s: 300,
            enrolment_ttl_s: 600,
            failures_per_day: 20,
            failures_per_month: 100,
            open_challenges: 64,
            sends_per_hour: 5,
            sends_per_day: 20,
            pushes: 20,
            stronger_hides_delivered: true,
            first_enrolment_needs_invitation: true,
            recovery: RecoveryForm::Codes,
            recovery_low: 3,
            trust: false,
            trust_days: 30,
        }
    }

    /// Takes over the knobs that `document`, a JSON object of the host's own, sets: knobs of every class. A
    /// document that tenants may write must not be passed here.
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

    /// Makes every knob at least as strong as in `other`.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        let offered = match (&self.offered, &other.offered) {
            (Some(a), Some(b)) => Some(a.intersection(b).cloned().collect()),
            (Some(set), None) | (None, Some(set)) => Some(set.clone()),
            (None, None) => None,
        };
        Self {
            enforced: self.enforced || other.enforced,
            offered,
            attempts: self.attempts.min(other.attempts),
            challenge_ttl_s: self.challenge_ttl_s.min(other.challenge_ttl_s),
            enrolment_ttl_s: self.enrolment_ttl_s.min(other.enrolment_ttl_s),
            failures_per_day: self.failures_per_day.min(other.failures_per_day),
            failures_per_month: self.failures_per_month.min(other.failures_per_month),
            open_challenges: self.open_challenges.min(other.open_challenges),
            sends_per_hour: self.sends_per_hour.min(other.sends_per_hour),
            sends_per_day: self.sends_per_day.min(other.sends_per_day),
            pushes: self.pushes.min(other.pushes),
            stronger_hides_delivered: self.stronger_hides_delivered || other.stronger_hides_delivered,
            first_enrolment_needs_invitation: self.first_enrolment_needs_invitation
                || other.first_enrolment_needs_invitation,
            recovery: self.recovery,
            recovery_low: self.recovery_low,
            trust: self.trust && other.trust,
            trust_days: self.trust_days.min(other.trust_days),
        }
    }

    /// Returns whether a user without a method must enrol one before logging in.
    #[must_use]
    pub const fn enforced(&self) -> bool {
        self.enforced
    }

    /// Returns whether a provider may be used.
    #[must_use]
    pub fn offers(&self, provider: &str) -> bool {
        self.offered.as_ref().is_none_or(|set| set.contains(provider))
    }

    /// Returns whether a provider is named in the list of what may be used, as providers that send codes by e-mail or
    /// telephone must be.
    #[must_use]
    pub fn lists(&self, provider: &str) -> bool {
        self.offered.as_ref().is_some_and(|set| set.contains(provider))
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

    fn set(&mut self, name: &str, value: &Value) -> Result<(), FieldError> {
        let Some(knob) = Self::KNOBS.iter().find(|knob| knob.name == name) else {
            // The name came from a document: it is cut, so that an error stays short.
            let name: String = name.chars().take(64).collect();
            return Err(FieldError::new(name, "unknown_knob", "is not a knob of the policy"));
        };
        let target = match knob.name {
            "enforced" => return switch(knob.name, value, &mut self.enforced),
            "first_enrolment_needs_invitation" => {
                return switch(knob.name, value, &mut self.first_enrolment_needs_invitation);
            }
            "stronger_hides_delivered" => {
                return switch(knob.name, value, &mut self.stronger_hides_delivered);
            }
            "trust" => return switch(knob.name, value, &mut self.trust),
            "recovery" => {
                let form = value.as_str().and_then(RecoveryForm::from_code);
                let problem = || FieldError::new(knob.name, "type", "must be codes, key or none");
                self.recovery = form.ok_or_else(problem)?;
                return Ok(());
            }
            "offered" => {
                self.offered = Some(provider_names(knob.name, value)?);
                return Ok(());
            }
            "attempts" => &mut self.attempts,
            "challenge_ttl_s" => &mut self.challenge_ttl_s,
            "enrolment_ttl_s" => &mut self.enrolment_ttl_s,
            "failures_per_day" => &mut self.failures_per_day,
            "failures_per_month" => &mut self.failures_per_month,
            "recovery_low" => &mut self.recovery_low,
            "trust_days" => &mut self.trust_days,
            "sends_per_hour" => &mut self.sends_per_hour,
            "sends_per_day" => &mut self.sends_per_day,
            "pushes" => &mut self.pushes,
            _ => &mut self.open_challenges,
        };
        let (low, high) = knob.clamp.unwrap_or((0, u64::MAX));
        let number = value.as_u64().filter(|number| (low..=high).contains(number));
        let problem =
            || FieldError::new(knob.name, "clamp", format!("must be a whole number from {low} to {high}"));
        *target = number.ok_or_else(problem)?;
        Ok(())
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

fn switch(field: &'static str, value: &Value, target: &mut bool) -> Result<(), FieldError> {
    *target = value.as_bool().ok_or_else(|| FieldError::new(field, "type", "must be true or false"))?;
    Ok(())
}

fn provider_names(field: &'static str, value: &Value) -> Result<BTreeSet<String>, FieldError> {
    let problem = || FieldError::new(field, "type", "must be a list of provider names");
    let items = value.as_array().ok_or_else(problem)?;
    let name =
        |item: &Value| item.as_str().and_then(|text| ProviderName::parse(text).ok()).ok_or_else(problem);
    items.iter().map(|item| name(item).map(|name| name.as_str().to_owned())).collect()
}
