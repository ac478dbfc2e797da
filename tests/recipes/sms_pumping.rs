//! The code of `docs/recipes/sms-pumping.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

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

/// Text messages to those numbers, and no more of them in a day than the account is worth.
pub(crate) fn guarded(
    builder: EngineBuilder,
    texts: Arc<Texts>,
    numbers: SmsRules,
    a_day: u32,
) -> Result<EngineBuilder, FieldError> {
    let sms = Delivered::sms(texts, numbers.clone())?;
    let builder = builder.provider(sms).notices_by_phone(move |contact| numbers.allows(contact));
    Ok(builder.messages_per_account_and_day(a_day))
}

/// What became of an account's text messages.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Traffic {
    pub(crate) sent: u32,
    pub(crate) answered: u32,
    /// Messages that did not leave, by whose limit of the day: `account` or `destination`.
    pub(crate) withheld: BTreeMap<String, u32>,
}

impl Traffic {
    /// Users answer most of what they ask for; whoever is paid by the message answers nothing.
    pub(crate) fn is_pumped(&self) -> bool {
        self.withheld.contains_key("account") || (self.sent >= 20 && self.answered * 3 < self.sent)
    }
}

/// Counts the text messages of an account within a time, from its audit log.
pub(crate) async fn traffic(
    log: &dyn AuditLog,
    account: &AccountId,
    (since, until): (Timestamp, Timestamp),
) -> Result<Traffic, AuditError> {
    let mut traffic = Traffic::default();
    let query = Query::new(Scope::Account(account.clone())).between(since, until)?;
    for event in all(log, &query, 100_000).await? {
        let field = |name| event.fields().find(|(field, _)| *field == name).map(|(_, value)| value);
        if field("method") != Some("sms") {
            continue;
        }
        match (event.kind(), field("charge"), field("limit")) {
            (Kind::EffectCharged, Some("send"), _) => traffic.sent += 1,
            (Kind::EffectRefunded, _, limit) => {
                traffic.sent = traffic.sent.saturating_sub(1);
                if let Some(limit) = limit {
                    *traffic.withheld.entry(limit.to_owned()).or_default() += 1;
                }
            }
            (Kind::AnswerAccepted | Kind::EnrolmentConfirmed, ..) => traffic.answered += 1,
            _ => {}
        }
    }
    Ok(traffic)
}
