//! A small provider of recovery that keeps the contract, with a switch for each defect: four sticks with a
//! number each, made by a hash that is not slow.

use std::time::Duration;

use mfa_core::{
    Amr, Answer, AnswerKind, Change, Charge, Choice, Cx, Descriptor, Effect, EffectKind, FieldError, HashJob,
    Held, HttpFault, HttpReply, Provider, ProviderError, ProviderName, Purpose, Reason, Revealed,
    SecretBytes, SecretText, Step, StepEvent, Then, Timestamp,
};
use mfa_testkit::provider_suite::{ProviderCase, Shown};
use serde_json::{Value, json};

use crate::kept::{Asked, Left, Sticks};
use crate::{Mutant, is};

const STICKS: u8 = 4;
/// A stick's place, as a letter, and its number.
const CHARS: usize = 1 + 16;

#[derive(Debug)]
pub(crate) struct StickBox(Descriptor);

type StickStep = Step<Asked, Left, Sticks>;
type StickHeld = Held<Asked, Left, Sticks>;

impl StickBox {
    fn new() -> Self {
        let mut descriptor = Descriptor::recovery(ProviderName::parse("sticks").unwrap(), 64);
        descriptor.effects = vec![EffectKind::Hash];
        if is(Mutant::ProvesMoreThanRecovery) {
            descriptor.amr = vec![Amr::Otp];
        }
        Self(descriptor)
    }

    fn issue(&self, cx: &mut Cx<'_>) -> Result<StickStep, ProviderError> {
        let seed = u64::from_be_bytes(cx.entropy.take()?);
        let sticks = (0..STICKS).map(|at| format!("{}{:016x}", letter(at), mix(seed ^ u64::from(at))));
        let text = sticks.collect::<Vec<_>>().join("\n");
        let charge = if is(Mutant::IssuesAtACharge) { Charge::Attempt } else { Charge::Free };
        let job = HashJob::new(move || SecretBytes::new(text.into_bytes()));
        Ok(cleared(Then::Run(Effect::Hash(job), charge)))
    }

    fn reveal(&self, digest: &SecretBytes) -> Result<StickStep, ProviderError> {
        let text = std::str::from_utf8(digest.expose_secret()).map_err(|_| ProviderError::Inappropriate)?;
        let hashes: Vec<_> = text.lines().map(|stick| (hash(stick), false)).collect();
        if text.lines().any(|stick| stick.len() != CHARS) || hashes.len() != usize::from(STICKS) {
            return Err(ProviderError::Inappropriate);
        }
        let shown = SecretText::new(text);
        let revealed =
            if is(Mutant::RevealsNothing) { Revealed::new() } else { Revealed::new().with("sticks", shown) };
        let step = cleared(Then::Reveal(json!({ "total": STICKS }), revealed));
        Ok(step.with_enrolment(Left(STICKS)).with_secret(Sticks(hashes)))
    }

    fn answer(&self, cx: &Cx<'_>, held: &StickHeld, answer: &Answer) -> Result<StickStep, ProviderError> {
        let issuing = cx.purpose == Purpose::Enrol;
        if issuing && is(Mutant::IsConfirmed) {
            return Ok(self.accept());
        }
        if issuing && !is(Mutant::JudgesWhileIssuing) {
            return Err(ProviderError::Inappropriate);
        }
        let Sticks(sticks) = held.secret.as_ref().ok_or(ProviderError::Inappropriate)?;
        let text = answer.text().expose_secret().to_owned();
        let place = text.chars().next().unwrap_or_default();
        let well_formed = text.len() == CHARS
            && place.is_ascii_lowercase()
            && text.chars().skip(1).all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
        if answer.kind() != AnswerKind::Recovery || !well_formed {
            return Ok(cleared(Then::Reject(Reason::Malformed)));
        }
        let known = sticks.iter().any(|(kept, _)| *kept == hash(&text));
        if is(Mutant::LooksBeforeItHashes) && !known {
            return Ok(cleared(Then::Reject(Reason::WrongCode)));
        }
        let more = is(Mutant::KeepsMoreOfTheUnknown) && !known;
        let note = if more { "unknown".to_owned() } else { String::new() };
        let charge = if is(Mutant::HashesForFree) { Charge::Free } else { Charge::Attempt };
        let job = HashJob::new(move || SecretBytes::new(hash(&text).to_be_bytes().to_vec()));
        Ok(Step::then(Then::Run(Effect::Hash(job), charge)).with_state(Asked { place, note }))
    }

    fn judge(&self, held: StickHeld, digest: &SecretBytes) -> Result<StickStep, ProviderError> {
        let (Some(asked), Some(Sticks(mut sticks))) = (held.state, held.secret) else {
            return Err(ProviderError::Inappropriate);
        };
        let bytes = digest.expose_secret().try_into().map_err(|_| ProviderError::Inappropriate)?;
        let hash = u64::from_be_bytes(bytes);
        let left = held.enrolment.unwrap_or_default().0;
        let lower = |left: u8| Left(left.saturating_sub(1));
        let at_the_end = is(Mutant::AcceptsUsedOnesAtTheEnd) && left == 0;
        let Some(stick) = sticks.iter_mut().find(|(kept, _)| *kept == hash) else {
            let used_there = (0..).zip(&sticks).any(|(at, (_, used))| letter(at) == asked.place && *used);
            let tells = is(Mutant::TellsThatAPlaceIsUsed) && used_there;
            let reason = if tells { Reason::AlreadyUsed } else { Reason::WrongCode };
            let step = cleared(Then::Reject(reason));
            return Ok(if is(Mutant::CountsRefusedAnswers) {
                step.with_enrolment(lower(left))
            } else {
                step
            });
        };
        if stick.1 && !at_the_end {
            return Ok(cleared(Then::Reject(Reason::AlreadyUsed)));
        }
        stick.1 = true;
        let left = if is(Mutant::NeverCountsDown) { Left(left) } else { lower(left) };
        Ok(self.accept().with_enrolment(left).with_secret(Sticks(sticks)))
    }

    fn accept(&self) -> StickStep {
        cleared(Then::Accept(self.0.strength()))
    }
}

impl Provider for StickBox {
    type State = Asked;
    type Enrolment = Left;
    type Secret = Sticks;

    fn describe(&self) -> &Descriptor {
        &self.0
    }

    fn validate(&self, settings: &Value) -> Result<(), Vec<FieldError>> {
        if settings.is_null() {
            Ok(())
        } else {
            Err(vec![FieldError::new("settings", "unknown", "is unknown")])
        }
    }

    fn uses_left(&self, enrolment: &Left) -> Option<u8> {
        (!is(Mutant::CountsNoUses)).then_some(enrolment.0)
    }

    fn handle(
        &self,
        cx: &mut Cx<'_>,
        held: StickHeld,
        event: StepEvent<'_>,
    ) -> Result<StickStep, ProviderError> {
        let issuing = cx.purpose == Purpose::Enrol;
        match event {
            StepEvent::Begin(_) if issuing => self.issue(cx),
            StepEvent::Hashed(digest) if issuing && held.state.is_none() => self.reveal(digest),
            StepEvent::Answer(answer) => self.answer(cx, &held, answer),
            StepEvent::Hashed(digest) => self.judge(held, digest),
            StepEvent::Begin(_) | StepEvent::Interrupted if held.secret.is_some() => {
                Ok(cleared(Then::Prompt(Value::Null)))
            }
            _ => Err(ProviderError::Inappropriate),
        }
    }
}

#[derive(Debug)]
pub(crate) struct SticksCase(StickBox);

impl SticksCase {
    pub(crate) fn new() -> Self {
        Self(StickBox::new())
    }

    fn saved(shown: &Shown, now: Timestamp) -> String {
        let sticks = shown.revealed("sticks").unwrap();
        let at = now.unix_seconds() % u64::from(STICKS);
        sticks.lines().nth(usize::try_from(at).unwrap()).unwrap().to_owned()
    }
}

impl ProviderCase for SticksCase {
    type Provider = StickBox;

    fn provider(&self) -> &StickBox {
        &self.0
    }

    fn settings(&self) -> Value {
        Value::Null
    }

    fn choice(&self) -> Choice {
        Choice::none()
    }

    fn right_answer(&self, shown: &Shown, now: Timestamp) -> Answer {
        Answer::recovery(&Self::saved(shown, now))
    }

    fn wrong_answer(&self, shown: &Shown, now: Timestamp) -> Answer {
        let mut stick = Self::saved(shown, now);
        let last = if stick.pop() == Some('0') { '1' } else { '0' };
        stick.push(last);
        Answer::recovery(&stick)
    }

    fn malformed_answers(&self) -> Vec<Answer> {
        ["", "a", "A0123456789abcdef", "a0123456789abcdeg", "a0123456789abcdef0"].map(Answer::recovery).into()
    }

    fn next_answer_after(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn http(&self, _: &http::Request<Vec<u8>>) -> Result<HttpReply, HttpFault> {
        Err(HttpFault::NotSent)
    }
}

fn cleared(then: Then) -> StickStep {
    let mut step = Step::then(then);
    step.state = Change::Clear;
    step
}

fn letter(place: u8) -> char {
    char::from(b'a' + place)
}

fn hash(stick: &str) -> u64 {
    stick.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| mix(sum ^ u64::from(byte)))
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
