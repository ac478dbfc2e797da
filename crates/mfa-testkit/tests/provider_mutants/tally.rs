//! A small provider that keeps the contract, with a switch for each defect: codes of six digits made of a
//! seed and the half minute, announced by a message at each login.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mfa_core::{
    Aal, Answer, AnswerKind, Charge, Choice, Cx, Descriptor, Effect, EffectKind, FieldError, Held, HttpCall,
    HttpFault, HttpReply, Message, Provider, ProviderError, ProviderName, Purpose, Reason, Revealed,
    SecretText, Step, StepEvent, Then, Timestamp,
};
use mfa_testkit::provider_suite::{ProviderCase, Shown};
use serde_json::{Value, json};

use crate::kept::{Seed, Stage, Used};
use crate::{Mutant, is};

const PERIOD: u64 = 30;
const HINT: &str = "look at your tally stick";

#[derive(Debug)]
pub(crate) struct Tally {
    descriptor: Descriptor,
    renamed: Descriptor,
    steps: AtomicUsize,
}

type TallyStep = Step<Stage, Used, Seed>;

impl Tally {
    fn new() -> Self {
        let described = |name: &str| {
            let mut descriptor = Descriptor::one_time_code(ProviderName::parse(name).unwrap(), 20);
            if !is(Mutant::DescribesNoEffects) {
                descriptor.effects = vec![EffectKind::Deliver, EffectKind::Http];
            }
            descriptor
        };
        Self { descriptor: described("tally"), renamed: described("tally2"), steps: AtomicUsize::new(0) }
    }

    fn begin(&self, cx: &mut Cx<'_>, secret: Option<&Seed>) -> Result<TallyStep, ProviderError> {
        if cx.purpose == Purpose::Enrol {
            let mut seed: [u8; 8] = cx.entropy.take()?;
            if is(Mutant::DrawsFromItsOwnSource) {
                seed = [0, 0, 0, 0, 0, 0, 0, self.steps.load(Ordering::SeqCst).to_le_bytes()[0]];
                seed[0] = std::process::id().to_le_bytes()[0] ^ unique();
            }
            let revealed = Revealed::new().with("seed", SecretText::new(hex(&seed)));
            let public = if is(Mutant::ShowsTheSecret) { json!(hex(&seed)) } else { Value::Null };
            return Ok(Step::then(Then::Reveal(public, revealed)).with_secret(Seed(seed)));
        }
        let seed = secret.ok_or(ProviderError::Inappropriate)?;
        if is(Mutant::RevealsInALogin) {
            let revealed = Revealed::new().with("again", SecretText::new(hex(&seed.0)));
            return Ok(Step::then(Then::Reveal(Value::Null, revealed)));
        }
        let to = SecretText::new("ann@example.org");
        let message = Effect::Deliver(Message::new(to, None, SecretText::new(HINT)));
        let charge = if is(Mutant::SendsForFree) { Charge::Free } else { Charge::Send };
        let note = if is(Mutant::KeepsTheSecretInTheState) { hex(&seed.0) } else { String::new() };
        let stage = Stage { sending: true, note, ..Stage::default() };
        Ok(Step::then(Then::Run(message, charge)).with_state(stage))
    }

    fn judge(
        &self,
        cx: &Cx<'_>,
        held: &Held<Stage, Used, Seed>,
        answer: &Answer,
    ) -> Result<TallyStep, ProviderError> {
        let seed = match &held.secret {
            Some(seed) => seed.clone(),
            None if is(Mutant::AcceptsBeforeItBegins) => return Ok(self.accept(Step::then)),
            None => return Err(ProviderError::Inappropriate),
        };
        let seed = if is(Mutant::IgnoresTheSecret) { Seed([0; 8]) } else { seed };
        let text = answer.text().expose_secret();
        let six_digits = text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit());
        let right_kind = answer.kind() == AnswerKind::Code || is(Mutant::TakesAnyKind);
        let step = cx.now.unix_seconds() / PERIOD;
        let code = code_of(&seed, step);
        let by_prefix = is(Mutant::ComparesThePrefix) && text.starts_with(&code);
        if (!six_digits || !right_kind) && !by_prefix {
            if is(Mutant::MalformedIsAnError) {
                return Err(ProviderError::Inappropriate);
            }
            let wrong = is(Mutant::MalformedIsWrong);
            let reason = if wrong { Reason::WrongCode } else { Reason::Malformed };
            return Ok(Step::then(Then::Reject(reason)));
        }
        let stage = held.state.clone().unwrap_or_default();
        let stopped = is(Mutant::StopsAfterAWrongAnswer) && stage.wrong > 0;
        if (text != code && !by_prefix) || is(Mutant::RejectsTheRightAnswer) || stopped {
            return self.wrong(stage);
        }
        let used = held.enrolment.as_ref().map_or(0, |used| used.0);
        if step <= used {
            return Ok(Step::then(Then::Reject(Reason::Replayed)));
        }
        if is(Mutant::AcceptsOnce) && cx.purpose == Purpose::Login {
            // Never again: the step is remembered as one far ahead.
            return Ok(self.accept(|then| Step::then(then).with_enrolment(Used(u64::MAX))));
        }
        let confirming = cx.purpose == Purpose::Enrol;
        let forgets = is(Mutant::ForgetsTheStep) || (confirming && is(Mutant::ForgetsTheConfirmingStep));
        let remembered = Used(if forgets { used } else { step });
        if is(Mutant::ChecksForFree) {
            let request = http::Request::get("https://tally.example/check").body(Vec::new()).unwrap();
            let check = Then::Run(Effect::Http(HttpCall::new(request)), Charge::Free);
            return Ok(Step::then(check).with_enrolment(remembered));
        }
        Ok(self.accept(|then| Step::then(then).with_enrolment(remembered)))
    }

    fn wrong(&self, mut stage: Stage) -> Result<TallyStep, ProviderError> {
        if is(Mutant::FailsOnAWrongAnswer) {
            return Err(ProviderError::Inappropriate);
        }
        stage.wrong = stage.wrong.saturating_add(1);
        Ok(Step::then(Then::Reject(Reason::WrongCode)).with_state(stage))
    }

    fn accept(&self, step: impl FnOnce(Then) -> TallyStep) -> TallyStep {
        let mut strength = self.descriptor.strength();
        if is(Mutant::ClaimsMoreThanItDescribes) {
            strength.aal = Aal::Three;
        }
        step(Then::Accept(strength))
    }
}

impl Provider for Tally {
    type State = Stage;
    type Enrolment = Used;
    type Secret = Seed;

    fn describe(&self) -> &Descriptor {
        let changed = is(Mutant::DescriptionChanges) && self.steps.load(Ordering::SeqCst) > 0;
        if changed { &self.renamed } else { &self.descriptor }
    }

    fn validate(&self, settings: &Value) -> Result<(), Vec<FieldError>> {
        match settings.get("hint") {
            Some(Value::String(_)) if !is(Mutant::RefusesItsSettings) => Ok(()),
            Some(other) if is(Mutant::SettingsErrorsRepeatValues) => {
                Err(vec![FieldError::new("hint", "invalid", format!("is {other}"))])
            }
            _ => Err(vec![FieldError::new("hint", "invalid", "must be text")]),
        }
    }

    fn handle(
        &self,
        cx: &mut Cx<'_>,
        held: Held<Stage, Used, Seed>,
        event: StepEvent<'_>,
    ) -> Result<TallyStep, ProviderError> {
        self.steps.fetch_add(1, Ordering::SeqCst);
        let sending = held.state.as_ref().is_some_and(|stage| stage.sending);
        let shown = if is(Mutant::ShowsTheMessage) { json!(HINT) } else { Value::Null };
        match event {
            StepEvent::Begin(_) => self.begin(cx, held.secret.as_ref()),
            StepEvent::Answer(answer) => self.judge(cx, &held, answer),
            StepEvent::Delivered(_) | StepEvent::NotDelivered(_) if sending => {
                let note = held.state.unwrap_or_default().note;
                let stage = Stage { note, ..Stage::default() };
                Ok(Step::then(Then::Prompt(shown)).with_state(stage))
            }
            StepEvent::Poll => {
                assert!(!is(Mutant::PanicsOnPoll), "a poll was not expected");
                if is(Mutant::AcceptsPolls) {
                    return Ok(self.accept(Step::then));
                }
                Ok(Step::then(Then::Wait(Value::Null)))
            }
            StepEvent::Interrupted if is(Mutant::AcceptsInterruptions) => Ok(self.accept(Step::then)),
            StepEvent::Interrupted => Ok(Step::then(Then::Prompt(Value::Null))),
            StepEvent::Http(_) if is(Mutant::ChecksForFree) && held.secret.is_some() => {
                Ok(self.accept(Step::then))
            }
            _ => Err(ProviderError::Inappropriate),
        }
    }
}

#[derive(Debug)]
pub(crate) struct TallyCase(Tally);

impl TallyCase {
    pub(crate) fn new() -> Self {
        Self(Tally::new())
    }
}

impl ProviderCase for TallyCase {
    type Provider = Tally;

    fn provider(&self) -> &Tally {
        &self.0
    }

    fn settings(&self) -> Value {
        json!({ "hint": "text" })
    }

    fn choice(&self) -> Choice {
        Choice::none()
    }

    fn right_answer(&self, shown: &Shown, now: Timestamp) -> Answer {
        let seed = u64::from_str_radix(shown.revealed("seed").unwrap(), 16).unwrap();
        let seed = if is(Mutant::IgnoresTheSecret) { 0 } else { seed };
        Answer::code(&code_of(&Seed(seed.to_be_bytes()), now.unix_seconds() / PERIOD))
    }

    fn wrong_answer(&self, shown: &Shown, now: Timestamp) -> Answer {
        let right: u32 = self.right_answer(shown, now).text().expose_secret().parse().unwrap();
        Answer::code(&format!("{:06}", (right + 1) % 1_000_000))
    }

    fn malformed_answers(&self) -> Vec<Answer> {
        ["12345", "1234567", "12345x", "１２３", ""].map(Answer::code).into()
    }

    fn next_answer_after(&self) -> Duration {
        Duration::from_secs(PERIOD)
    }

    fn http(&self, _: &http::Request<Vec<u8>>) -> Result<HttpReply, HttpFault> {
        Ok(http::Response::new(Vec::new()))
    }
}

fn code_of(seed: &Seed, step: u64) -> String {
    let mixed = u64::from_be_bytes(seed.0).wrapping_add(step).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{:06}", (mixed >> 20) % 1_000_000)
}

fn hex(bytes: &[u8; 8]) -> String {
    format!("{:016x}", u64::from_be_bytes(*bytes))
}

/// Another number each time.
fn unique() -> u8 {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    COUNT.fetch_add(1, Ordering::SeqCst).to_le_bytes()[0]
}
