//! What a login needs: decided from the stored enrolments, with the rules that led there.
//!
//! Whether a user *has* a second factor is read from the stored list alone, never from what this process can
//! use: "cannot use the method" is never "has no method".

use core::fmt;
use core::time::Duration;
use std::borrow::Cow;

use audit_model::Timestamp;

use super::selected::Unusable;
use super::{Rules, select};
use crate::driver::Read;
use crate::record::login::{Enrolment, Login};
use crate::record::vault::{Place, Vault};
use crate::{
    Channel, ChannelOrder, Denied, DeniedReason, EnrolmentId, ExemptionId, Intent, MethodSelector,
    NotRequired, RiskDecision, Role, Rule, SecretBytes, Subject, Trigger,
};

/// What a login needs.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) verdict: Verdict,
    /// The enrolments that can be used now, oldest first, with their secrets. Those of ways back in are opened
    /// when they are used.
    pub(crate) usable: Vec<(EnrolmentId, Option<SecretBytes>)>,
    /// Those of them that are not delayed: the one that is asked first, then the others, ways back in last.
    pub(crate) open: Vec<EnrolmentId>,
    /// Records that were there and could not be trusted.
    pub(crate) refused: Vec<(&'static str, &'static str)>,
    /// What was decided by what, in order; kept only where somebody asks for it.
    pub(crate) rules: Option<Vec<Rule>>,
    /// The host decided not to challenge, and may.
    is_waived: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// With the first of the open ones.
    Challenge(EnrolmentId),
    NotRequired(NotRequired),
    EnrolmentRequired,
    Denied(Denied),
}

/// What a survey is about.
#[derive(Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) subject: &'a Subject,
    /// What the host decided about this login.
    pub(crate) decision: RiskDecision,
    /// The method that is asked for.
    pub(crate) wanted: Option<&'a MethodSelector>,
    /// The change that a proof is asked for, where one is.
    pub(crate) intent: Option<&'a Intent>,
    /// The way the first factor came.
    pub(crate) first_channel: Channel,
    /// A token of a device was shown that succeeded before.
    pub(crate) known: bool,
    /// The exemption that it meets.
    pub(crate) exempt: Option<ExemptionId>,
    /// The rules are to be told.
    pub(crate) explain: bool,
}

pub(crate) fn survey(
    rules: &Rules,
    about: About<'_>,
    records: (&Read<Login>, &Read<Vault>),
    now: Timestamp,
) -> Survey {
    let mut survey = by_records(rules, about, records, now);
    let unusable = rules.documents.unusable().filter(|_| about.intent.is_none());
    if let Some(why) = unusable {
        let from = rules.documents.configurations_from.as_ref().filter(|_| *why == Unusable::NotAccepted);
        survey.note(
            "configuration",
            why,
            from.map_or(Cow::Borrowed("configuration"), |of| of.to_string().into()),
        );
        let is_asked = matches!(survey.verdict, Verdict::Challenge(_) | Verdict::EnrolmentRequired);
        if is_asked && rules.asks_in_vain() {
            survey.verdict = denied(DeniedReason::Unavailable, None);
        }
    }
    survey
}

fn by_records(
    rules: &Rules,
    about: About<'_>,
    (login, vault): (&Read<Login>, &Read<Vault>),
    now: Timestamp,
) -> Survey {
    let About { subject, wanted, intent, first_channel, known, explain, .. } = about;
    let mut survey = Survey {
        verdict: denied(DeniedReason::Unavailable, None),
        usable: Vec::new(),
        open: Vec::new(),
        refused: Vec::new(),
        rules: explain.then(Vec::new),
        is_waived: false,
    };
    if let Some(verdict) = survey.gate(rules, about, now) {
        survey.verdict = verdict;
        return survey;
    }
    let login = match login {
        Read::Absent => {
            survey.without_method(rules, intent, now);
            return survey;
        }
        Read::Refused(problem) => {
            survey.refused.push(("login", problem));
            survey.note("login_record", problem, "store");
            return survey;
        }
        Read::Live(login, _) => login,
    };
    let at = login.effective(now);
    if !rules.has_method(login, at) {
        survey.without_method(rules, intent, now);
        return survey;
    }
    survey.note("enrolments", login.enrolments.len(), "store");
    if login.generation != subject.generation() {
        survey.note("generation", "differs", "host");
        survey.verdict = denied(DeniedReason::Generation, None);
        return survey;
    }
    survey.look_at_each(rules, subject, login, vault, at);
    if let Some(intent) = intent {
        let may_prove = |e: &Enrolment| {
            rules.may_prove(login, e, intent)
                && rules
                    .providers
                    .get(&e.provider)
                    .is_some_and(|p| p.code.describe().channel.adds_to(first_channel))
        };
        survey.usable.retain(|(id, _)| login.enrolment(*id).is_some_and(may_prove));
        survey.note("proves", survey.usable.len(), "policy");
    }
    survey.hide_delivered(rules, login);
    survey.choose(rules, login, wanted, (at, known));
    // It lifts no lock.
    if survey.is_waived && matches!(survey.verdict, Verdict::Challenge(_)) {
        survey.verdict = Verdict::NotRequired(NotRequired::NotChallenged);
    }
    survey
}

impl Survey {
    pub(crate) fn note(
        &mut self,
        name: &'static str,
        value: impl fmt::Display,
        origin: impl Into<Cow<'static, str>>,
    ) {
        if let Some(rules) = &mut self.rules {
            rules.push(Rule { name, value: value.to_string(), origin: origin.into() });
        }
    }

    /// Decides what is decided before anybody looks at methods: whether the module lets anybody in, and whether this
    /// login is one that a second factor is asked of. A change is proven whatever these say.
    fn gate(&mut self, rules: &Rules, about: About<'_>, now: Timestamp) -> Option<Verdict> {
        if about.intent.is_some() {
            return None;
        }
        if let Some(module) = &rules.documents.module {
            self.note("module_enabled", module.enabled.value, module.enabled.origin.to_string());
            self.note("multi_factor", module.multi_factor.value, module.multi_factor.origin.to_string());
            let of_owner = module.multi_factor.value && !module.applies;
            let origin =
                if of_owner { &module.include_subaccounts.origin } else { &module.multi_factor.origin };
            self.note("module_asks", module.applies, origin.to_string());
        }
        if rules.module_is_off() {
            return Some(denied(DeniedReason::ModuleDisabled, None));
        }
        if let Some(id) = about.exempt {
            self.note("exemption", id, "store");
            return Some(Verdict::NotRequired(NotRequired::Exempted(id)));
        }
        if rules.policy.enforces_at(now) {
            return None;
        }
        let trigger = rules.policy.trigger();
        if trigger == Trigger::PerModule && !rules.module_asks() {
            self.note("trigger", "per_module", "policy");
            return Some(Verdict::NotRequired(NotRequired::ModuleDoesNotAsk));
        }
        if trigger == Trigger::OnDecision {
            self.note("decision", about.decision.code(), "host");
            self.is_waived = about.decision == RiskDecision::Allow && !rules.is_enforced(now);
        }
        None
    }

    fn without_method(&mut self, rules: &Rules, intent: Option<&Intent>, now: Timestamp) {
        self.note("enrolments", "0", "store");
        self.note("enforced", rules.policy.enforced(), rules.origin("enforced"));
        self.verdict = if intent.is_some() {
            Verdict::NotRequired(NotRequired::NoMethod)
        } else if rules.is_enforced(now) {
            Verdict::EnrolmentRequired
        } else if rules.policy.enforced() {
            self.note("enforced_from", rules.policy.enforced_from(), rules.origin("enforced_from"));
            Verdict::NotRequired(NotRequired::Grace)
        } else {
            Verdict::NotRequired(NotRequired::NoMethod)
        };
    }

    fn look_at_each(
        &mut self,
        rules: &Rules,
        subject: &Subject,
        login: &Login,
        vault: &Read<Vault>,
        at: Timestamp,
    ) {
        if let Read::Refused(problem) = vault {
            self.refused.push(("vault", problem));
            self.note("vault_record", problem, "store");
        }
        for enrolment in login.enrolments.iter().filter(|enrolment| rules.counts(enrolment, at)) {
            let found = usable(rules, subject, enrolment, vault);
            let word = found.as_ref().map_or_else(|problem| *problem, |_| "usable");
            self.note("method", format_args!("{} {}: {word}", enrolment.provider, enrolment.id), "store");
            match found {
                Ok(secret) => self.usable.push((enrolment.id, secret)),
                Err("does_not_open") => self.refused.push(("secret", "does_not_open")),
                Err(_) => {}
            }
        }
    }

    /// Leaves out what goes by e-mail or telephone where the user holds something stronger.
    fn hide_delivered(&mut self, rules: &Rules, login: &Login) {
        if rules.hides_delivered(login) {
            self.usable.retain(|(id, _)| !login.enrolment(*id).is_some_and(|e| rules.is_delivered(e)));
            self.note("delivered_methods", "hidden", "policy");
        }
    }

    fn choose(
        &mut self,
        rules: &Rules,
        login: &Login,
        wanted: Option<&MethodSelector>,
        (at, known): (Timestamp, bool),
    ) {
        if self.usable.is_empty() {
            let all_stopped = login.enrolments.iter().all(Enrolment::is_stopped);
            let reason = if all_stopped { DeniedReason::Locked } else { DeniedReason::Unavailable };
            self.verdict = denied(reason, None);
            return;
        }
        let mut waits = Vec::new();
        let mut open = Vec::new();
        for enrolment in login.enrolments.iter().filter(|e| self.usable.iter().any(|(id, _)| *id == e.id)) {
            let wait = wait_for(rules, login, enrolment, at, known);
            if wait == Duration::ZERO { open.push(enrolment.id) } else { waits.push(wait) }
        }
        let is_usable = |id: EnrolmentId| self.usable.iter().any(|(of, _)| *of == id);
        let later = later_channel(rules, login.preferred.is_some_and(|id| !is_usable(id)));
        // A way back in is asked for only where nothing else can be.
        open.sort_by_key(|id| {
            let enrolment = login.enrolment(*id);
            let provider = enrolment.and_then(|enrolment| rules.providers.get(&enrolment.provider));
            let comes_later = provider.is_some_and(|p| Some(p.code.describe().channel) == later);
            (!enrolment.is_some_and(|enrolment| rules.is_factor(enrolment)), comes_later)
        });
        if open.is_empty() {
            self.note("locked", "every usable method", "budget");
            self.verdict = denied(DeniedReason::Locked, waits.into_iter().min());
            return;
        }
        let wanted = wanted.and_then(|selector| select(login, selector)).map(|enrolment| enrolment.id);
        let choices = [wanted, login.preferred, open.first().copied()];
        let active = choices.iter().flatten().find(|id| open.contains(id));
        if let Some(active) = active.copied() {
            self.note("active_method", active, "user");
            self.verdict = Verdict::Challenge(active);
            open.sort_by_key(|id| *id != active);
            self.open = open;
        }
    }
}

/// Returns the channel that comes behind the other one; `lost` where the method that the user prefers cannot be used.
const fn later_channel(rules: &Rules, lost: bool) -> Option<Channel> {
    match (rules.policy.channel_order(), lost) {
        (ChannelOrder::AsEnrolled, _) => None,
        (ChannelOrder::PhoneFirst, false) => Some(Channel::Email),
        (ChannelOrder::PhoneFirst, true) | (ChannelOrder::EmailFirst, _) => Some(Channel::Phone),
    }
}

/// Opens an enrolment's secret, or says why the enrolment cannot be used now.
fn usable(
    rules: &Rules,
    subject: &Subject,
    enrolment: &Enrolment,
    vault: &Read<Vault>,
) -> Result<Option<SecretBytes>, &'static str> {
    if enrolment.is_stopped() {
        return Err("stopped");
    }
    let provider = rules.providers.get(&enrolment.provider).ok_or("not_registered")?;
    if !rules.offers(provider) {
        return Err("not_offered");
    }
    if rules.usable_for(enrolment).is_none() {
        return Err("not_of_the_configuration");
    }
    let Read::Live(vault, _) = vault else {
        return Err("no_vault");
    };
    let sealed = vault.sealed(enrolment.id).ok_or("no_secret")?;
    if provider.code.describe().role == Role::Recovery {
        return Ok(None);
    }
    let place = Place {
        account: subject.account(),
        user: subject.user(),
        kind: "vault",
        provider: enrolment.provider.as_str(),
        enrolment: enrolment.id,
    };
    let secret = place.open(&rules.ring, sealed).map_err(|_| "does_not_open")?;
    if provider.code.fits(&secret, subject.contacts()) { Ok(Some(secret)) } else { Err("contact_changed") }
}

/// Returns how long answers with an enrolment are refused without being judged; zero if they are judged. `known` for
/// a login that showed the token of a device that succeeded before: what strangers have failed delays nobody there.
pub(crate) fn wait_for(
    rules: &Rules,
    login: &Login,
    enrolment: &Enrolment,
    at: Timestamp,
    known: bool,
) -> Duration {
    let delay = enrolment.delayed_until().since(at);
    let low = rules.providers.get(&enrolment.provider).is_none_or(|p| p.code.describe().is_low_entropy());
    if !low {
        return delay;
    }
    if known && login.wait_of_known(at, &rules.policy) == Duration::ZERO {
        return Duration::ZERO;
    }
    delay.max(login.wait(at, &rules.policy, false))
}

pub(crate) const fn denied(reason: DeniedReason, retry_after: Option<Duration>) -> Verdict {
    Verdict::Denied(Denied { reason, retry_after })
}
