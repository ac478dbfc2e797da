//! The code of `docs/recipes/sms-pumping.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use mfa::audit::*;
use mfa::delivery::Delivered;
use mfa::delivery::address::{LineType, Phone, Region};
use mfa::delivery::select::SmsRules;
use mfa::delivery::text::Texts;
use mfa::{EngineBuilder, FieldError};

/// Mobile phones of the countries where the users are. `known` is what your carrier has told you of a line.
pub(crate) fn numbers(
    countries: &[&str],
    known: impl Fn(&Phone) -> LineType + Send + Sync + 'static,
) -> Result<SmsRules, FieldError> {
    let regions = countries.iter().map(|code| Region::parse(code)).collect::<Result<Vec<_>, _>>()?;
    Ok(SmsRules::allowing(regions).with_line_types(known))
}

/// Text messages to those numbers, no more of them in a day than the account is worth, and none where nobody answers.
pub(crate) fn guarded(
    builder: EngineBuilder,
    texts: Arc<Texts>,
    numbers: SmsRules,
    a_day: u32,
) -> Result<EngineBuilder, FieldError> {
    let sms = Delivered::sms(texts, numbers.clone())?;
    let builder = builder.provider(sms).notices_by_phone(move |contact| numbers.allows(contact));
    // A third of twenty and more.
    Ok(builder.messages_per_account_and_day(a_day).stop_unanswered_prefixes(33, 20))
}

/// What became of text messages.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Traffic {
    pub(crate) sent: u32,
    pub(crate) answered: u32,
    /// Messages that did not leave, by the limit that kept them: `account`, `destination` or `prefix`.
    pub(crate) withheld: BTreeMap<String, u32>,
}

impl Traffic {
    /// Users answer most of what they ask for; whoever is paid by the message answers nothing.
    pub(crate) fn is_pumped(&self) -> bool {
        let is_stopped = ["account", "prefix"].iter().any(|limit| self.withheld.contains_key(*limit));
        is_stopped || (self.sent >= 20 && self.answered * 3 < self.sent)
    }
}

/// Counts the text messages of an account within a time, from its audit log, by the prefix of the number.
pub(crate) async fn traffic(
    log: &dyn AuditLog,
    account: &AccountId,
    (since, until): (Timestamp, Timestamp),
) -> Result<BTreeMap<String, Traffic>, AuditError> {
    let query = Query::new(Scope::Account(account.clone())).between(since, until)?;
    let events: Vec<_> = all(log, &query, 100_000).await?;
    // The login or set-up that an event is of.
    let step = |event: &Event| (event.subject(), event.field("enrolment").map(str::to_owned));
    let mut prefixes = BTreeMap::new();
    let mut traffic: BTreeMap<String, Traffic> = BTreeMap::new();
    for event in &events {
        if let (Kind::EffectCharged, Some(prefix)) = (event.kind(), event.field("prefix")) {
            prefixes.insert(step(event), prefix.to_owned());
            traffic.entry(prefix.to_owned()).or_default().sent += 1;
        }
    }
    for event in events.iter().filter(|event| event.field("method") == Some("sms")) {
        let Some(counted) = prefixes.get(&step(event)).and_then(|prefix| traffic.get_mut(prefix)) else {
            continue;
        };
        match (event.kind(), event.field("limit")) {
            (Kind::EffectRefunded, limit) => {
                counted.sent = counted.sent.saturating_sub(1);
                if let Some(limit) = limit {
                    *counted.withheld.entry(limit.to_owned()).or_default() += 1;
                }
            }
            (Kind::AnswerAccepted | Kind::ChallengeVerified | Kind::EnrolmentConfirmed, _) => {
                counted.answered += 1;
            }
            _ => {}
        }
    }
    Ok(traffic)
}

/// Prefixes that get nothing for now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stopped(Arc<RwLock<BTreeSet<String>>>);

impl Stopped {
    pub(crate) fn stop(&self, prefix: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(prefix.to_owned());
    }

    /// What your carrier has told you of a line, and of a stopped one that it is a premium service.
    pub(crate) fn line_type(&self, phone: &Phone, known: LineType) -> LineType {
        let stopped = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let is_stopped = stopped.iter().any(|prefix| phone.as_str().starts_with(prefix));
        if is_stopped { LineType::Premium } else { known }
    }
}
