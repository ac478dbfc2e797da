//! Codes for tests, and a user who holds them.

use std::sync::Arc;

use audit_model::{AccountId, Timestamp, UserId};
use mfa_core::{
    Answer, Change, Charge, Choice, Cx, Draw, Effect, EffectKind, EntropyError, Held, Provider,
    ProviderError, Purpose, StepEvent, Then,
};
use mfa_recovery::{AskedSelector, CodesLeft, Recovery, RecoverySet};
use mfa_testkit::entropy::SeededEntropy;
use serde_json::Value;

/// The characters that a code may have.
pub(crate) const ALPHABET: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

pub(crate) fn draw(seed: u64) -> Result<Draw, EntropyError> {
    Draw::from_source(Arc::new(SeededEntropy::new(seed)))
}

/// Returns a code of these characters, with its checksum, without dashes. Codes are kept on paper for years: how
/// the checksum is made is a part of their form and does not change.
pub(crate) fn with_checksum(payload: &str) -> String {
    let payload: String = payload.chars().filter(|c| *c != '-').collect();
    let value = |c| ALPHABET.find(c).unwrap();
    let sum = payload.chars().fold(1, |sum, c| (sum * 10 + value(c)) % 1021);
    let [high, low] = [sum / 32, sum % 32].map(|at| &ALPHABET[at..=at]);
    format!("{payload}{high}{low}")
}

/// A well-formed code with the selector of `code` and other random bits.
pub(crate) fn same_selector(code: &str) -> String {
    let (last, rest) = payload(code);
    let other = if last == 'Z' { 'Y' } else { 'Z' };
    with_checksum(&format!("{rest}{other}"))
}

/// A well-formed code with the random bits of `code` and another selector.
pub(crate) fn other_selector(code: &str) -> String {
    let (last, rest) = payload(code);
    let first = rest.chars().next().unwrap_or('0');
    let other = if first == 'Z' { 'Y' } else { 'Z' };
    let tail: String = rest.chars().skip(1).collect();
    with_checksum(&format!("{other}{tail}{last}"))
}

/// The last character before the checksum, and what is before it.
fn payload(code: &str) -> (char, String) {
    let mut chars: Vec<char> = code.chars().filter(|c| *c != '-').collect();
    chars.truncate(chars.len() - 2);
    let last = chars.pop().unwrap_or('0');
    (last, chars.into_iter().collect())
}

/// A user who holds a set, and the engine's part for him.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) provider: Recovery,
    pub(crate) state: Option<AskedSelector>,
    pub(crate) enrolment: Option<CodesLeft>,
    pub(crate) secret: Option<RecoverySet>,
    pub(crate) codes: Vec<String>,
    pub(crate) download: String,
    pub(crate) public: Value,
    /// Every effect that was run, with its charge and the length of its digest.
    pub(crate) effects: Vec<(EffectKind, Charge, usize)>,
}

pub(crate) type Outcome = Result<Then, ProviderError>;

impl User {
    /// Issues a set, with random bytes of this seed.
    pub(crate) fn issued(provider: &Recovery, choice: Value, seed: u64) -> Self {
        let mut user = Self {
            provider: provider.clone(),
            state: None,
            enrolment: None,
            secret: None,
            codes: Vec::new(),
            download: String::new(),
            public: Value::Null,
            effects: Vec::new(),
        };
        let then = user.run(Purpose::Enrol, seed, StepEvent::Begin(&Choice::new(choice)));
        let Ok(Then::Reveal(public, revealed)) = then else { panic!("nothing revealed: {then:?}") };
        let text = |name| revealed.get(name).map(|text| text.expose_secret().to_owned());
        let codes = text("codes").or_else(|| text("key")).unwrap_or_default();
        user.codes = codes.lines().map(str::to_owned).collect();
        user.download = text("download").unwrap_or_default();
        user.public = public;
        user
    }

    /// Issues ten codes.
    pub(crate) fn with_codes(seed: u64) -> Self {
        Self::issued(&provider(), Value::Null, seed)
    }

    /// Gives an answer in a login and runs the hash that it asks for.
    pub(crate) fn answer(&mut self, typed: &str) -> Then {
        let answer = Answer::recovery(typed);
        let then = self.run(Purpose::Login, 7, StepEvent::Answer(&answer));
        then.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Gives an event and runs the effects that it leads to.
    pub(crate) fn run(&mut self, purpose: Purpose, seed: u64, event: StepEvent<'_>) -> Outcome {
        match self.step(purpose, seed, event)? {
            Then::Run(effect, charge) => {
                let kind = effect.kind();
                let Effect::Hash(job) = effect else { panic!("{kind:?} was not expected") };
                let digest = job.run();
                self.effects.push((kind, charge, digest.expose_secret().len()));
                self.step(purpose, seed, StepEvent::Hashed(&digest))
            }
            then => Ok(then),
        }
    }

    /// Gives one event to the provider and keeps what it says; effects are not run.
    pub(crate) fn step(&mut self, purpose: Purpose, seed: u64, event: StepEvent<'_>) -> Outcome {
        let (account, user) = (AccountId::parse("acme").unwrap(), UserId::parse("ann").unwrap());
        let (now, settings) = (Timestamp::from_unix_seconds(1_700_000_000).unwrap(), Value::Null);
        let mut draw = draw(seed)?;
        let mut cx = Cx::new(now, &account, &user, purpose, &settings, &mut draw);
        cx.label = LABEL;
        let held = Held::new(self.state, self.enrolment, self.secret.clone());
        let step = self.provider.handle(&mut cx, held, event)?;
        keep(&mut self.state, step.state);
        keep(&mut self.enrolment, step.enrolment);
        keep(&mut self.secret, step.secret);
        Ok(step.then)
    }
}

/// What the user is called; no text that is made for him may hold it.
pub(crate) const LABEL: &str = "ann@evil.example";

pub(crate) fn provider() -> Recovery {
    Recovery::new("Example").unwrap()
}

fn keep<T>(kept: &mut Option<T>, change: Change<T>) {
    match change {
        Change::Set(value) => *kept = Some(value),
        Change::Clear => *kept = None,
        _ => {}
    }
}
