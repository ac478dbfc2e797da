//! The provider: saved recovery codes as a way back in.

use mfa_core::{
    Answer, AnswerKind, Change, Charge, Choice, Cx, Descriptor, Effect, EffectKind, FieldError, HeldOf,
    Provider, ProviderError, ProviderName, Purpose, Reason, Revealed, SecretBytes, Step, StepEvent, StepOf,
    Then,
};
use serde_json::{Value, json};

use crate::kept::Found;
use crate::{
    AskedSelector, CodesLeft, Cost, Count, Error, Form, RecoveryCode, RecoveryCodes, RecoverySet, job,
};

/// The longest issuer, in bytes of UTF-8.
pub(crate) const MAX_ISSUER_BYTES: usize = 128;

/// Saved recovery codes as a provider, named `recovery`: issues sets and judges their codes.
///
/// Begin of an enrolment takes a choice, all fields optional: `form` (`codes` or `key`) and `count` (of codes;
/// a key is one). It reveals `codes` or `key`, as they are shown, and `download`, the text of a file to save.
/// A set is issued, not confirmed by an answer; the code that is used is spent with the acceptance.
///
/// ```
/// use mfa_recovery::{Cost, Recovery};
/// let recovery = Recovery::new("Example")?.with_cost(Cost::new(46 * 1024, 1)?);
/// // A line break would let the issuer write lines of its own into the file.
/// assert_eq!(Recovery::new("Example\nCall 555").unwrap_err().code(), "invalid_issuer");
/// # Ok::<(), mfa_recovery::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Recovery {
    issuer: String,
    cost: Cost,
    descriptor: Descriptor,
}

impl Recovery {
    /// Makes the provider for a service that the file to save calls `issuer`.
    ///
    /// # Errors
    /// [`Error::InvalidIssuer`] for an empty issuer, one over 128 bytes, with white space at an end, or with a
    /// character that breaks lines or turns the direction of writing.
    pub fn new(issuer: &str) -> Result<Self, Error> {
        let invalid = |reason| Error::InvalidIssuer { reason };
        check_issuer(issuer).map_err(invalid)?;
        let name = ProviderName::parse("recovery").map_err(|_| invalid("has no provider name"))?;
        let mut descriptor = Descriptor::recovery(name, Form::Codes.random_bits());
        descriptor.effects = vec![EffectKind::Hash];
        Ok(Self { issuer: issuer.to_owned(), cost: Cost::default(), descriptor })
    }

    /// Sets what a hash of new sets costs. A set keeps the cost it was made with.
    #[must_use]
    pub const fn with_cost(mut self, cost: Cost) -> Self {
        self.cost = cost;
        self
    }

    /// Draws the codes and has them hashed.
    fn issue(&self, cx: &mut Cx<'_>, choice: &Choice) -> Result<StepOf<Self>, ProviderError> {
        let chosen = Chosen::of(choice)?;
        let salt = cx.entropy.take()?;
        let codes = match chosen {
            Chosen::Codes(count) => RecoveryCodes::generate(count, cx.entropy)?,
            Chosen::Key => RecoveryCodes::generate_key(cx.entropy)?,
        };
        let job = job::of_set(codes, salt, self.cost);
        Ok(cleared(Then::Run(Effect::Hash(job), Charge::Free)))
    }

    /// Shows the codes that were hashed, once, and keeps their hashes.
    fn reveal(&self, cx: &Cx<'_>, digest: &SecretBytes) -> Result<StepOf<Self>, ProviderError> {
        let (codes, set) = job::read_set(digest.expose_secret())?;
        let left = set.left();
        let public = json!({
            "kind": KIND,
            "form": left.form().code(),
            "total": left.total(),
        });
        let revealed = Revealed::new()
            .with(left.form().code(), codes.to_text())
            .with("download", codes.to_download(&self.issuer, cx.now));
        Ok(cleared(Then::Reveal(public, revealed)).with_enrolment(left).with_secret(set))
    }

    /// Reads an answer and has it hashed. Nothing is looked up before: a selector that the set does not have,
    /// has used or has, takes the same way.
    fn answer(&self, held: HeldOf<Self>, answer: &Answer) -> Result<StepOf<Self>, ProviderError> {
        let set = held.secret.ok_or(ProviderError::Inappropriate)?;
        if answer.kind() != AnswerKind::Recovery {
            return Ok(cleared(Then::Reject(Reason::WrongCode)));
        }
        let code = match RecoveryCode::parse(answer.text().expose_secret()) {
            Ok(code) if code.form() == set.form() => code,
            _ => return Ok(cleared(Then::Reject(Reason::Malformed))),
        };
        let asked = AskedSelector::new(code.selector());
        let job = job::of_answer(code, &set)?;
        Ok(Step::then(Then::Run(Effect::Hash(job), Charge::Attempt)).with_state(asked))
    }

    /// Judges the hash of the answer, and spends the code that is right.
    fn judge(&self, held: HeldOf<Self>, digest: &SecretBytes) -> Result<StepOf<Self>, ProviderError> {
        let (Some(asked), Some(set)) = (held.state, held.secret) else {
            return Err(ProviderError::Inappropriate);
        };
        let hash = job::read_answer(digest.expose_secret())?;
        Ok(match set.find(asked, &hash) {
            Found::Unused(place) => {
                let set = set.spend(place);
                let accepted = cleared(Then::Accept(self.descriptor.strength()));
                accepted.with_enrolment(set.left()).with_secret(set)
            }
            Found::Used => cleared(Then::Reject(Reason::AlreadyUsed)),
            Found::Nothing => cleared(Then::Reject(Reason::WrongCode)),
        })
    }
}

impl Provider for Recovery {
    type State = AskedSelector;
    type Enrolment = CodesLeft;
    type Secret = RecoverySet;

    fn describe(&self) -> &Descriptor {
        &self.descriptor
    }

    fn validate(&self, settings: &Value) -> Result<(), Vec<FieldError>> {
        match settings {
            Value::Null => Ok(()),
            Value::Object(fields) if fields.is_empty() => Ok(()),
            _ => Err(vec![FieldError::new(
                "settings",
                "unknown_setting",
                "must be empty: recovery has no settings",
            )]),
        }
    }

    fn uses_left(&self, enrolment: &CodesLeft) -> Option<u8> {
        Some(enrolment.left())
    }

    fn decoy(&self, choice: &Choice) -> Option<RecoverySet> {
        let (form, count) = match Chosen::of(choice).ok()? {
            Chosen::Codes(count) => (Form::Codes, count.get()),
            Chosen::Key => (Form::Key, 1),
        };
        Some(RecoverySet::of_nobody(form, count, self.cost))
    }

    fn handle(
        &self,
        cx: &mut Cx<'_>,
        held: HeldOf<Self>,
        event: StepEvent<'_>,
    ) -> Result<StepOf<Self>, ProviderError> {
        let issuing = cx.purpose == Purpose::Enrol;
        match event {
            StepEvent::Begin(choice) if issuing => self.issue(cx, choice),
            StepEvent::Hashed(digest) if issuing => self.reveal(cx, digest),
            // A set is issued, not confirmed: there is no answer to give.
            StepEvent::Answer(_) if issuing => Err(ProviderError::Inappropriate),
            StepEvent::Answer(answer) => self.answer(held, answer),
            StepEvent::Hashed(digest) => self.judge(held, digest),
            StepEvent::Begin(_) | StepEvent::Start(_) | StepEvent::Poll | StepEvent::Resend => {
                Ok(Step::then(prompt(&held)?))
            }
            StepEvent::Interrupted => Ok(cleared(prompt(&held)?)),
            _ => Err(ProviderError::Inappropriate),
        }
    }
}

/// What an enrolment begins with.
enum Chosen {
    Codes(Count),
    Key,
}

impl Chosen {
    fn of(choice: &Choice) -> Result<Self, ProviderError> {
        let given = |name: &str| choice.field(name).filter(|value| !value.is_null());
        let form = choice.text("form")?.map(str::parse);
        let form = form.transpose().map_err(|e| invalid("choice.form", &e))?.unwrap_or(Form::Codes);
        let count = given("count").map(|count| {
            let count = count.as_u64().and_then(|count| u8::try_from(count).ok());
            Count::new(count.unwrap_or_default())
        });
        match form {
            Form::Key => Ok(Self::Key),
            Form::Codes => {
                let count = count.transpose().map_err(|e| invalid("choice.count", &e))?;
                Ok(Self::Codes(count.unwrap_or_default()))
            }
        }
    }
}

const KIND: &str = "recovery";

/// Asks for an answer. How many codes are left is not for who has not answered yet.
fn prompt(held: &HeldOf<Recovery>) -> Result<Then, ProviderError> {
    let set = held.secret.as_ref().ok_or(ProviderError::Inappropriate)?;
    Ok(Then::Prompt(json!({ "kind": KIND, "form": set.form().code() })))
}

/// A step after which no answer is being hashed.
fn cleared(then: Then) -> StepOf<Recovery> {
    let mut step = Step::then(then);
    step.state = Change::Clear;
    step
}

fn invalid(field: &str, error: &Error) -> ProviderError {
    ProviderError::Invalid(FieldError::new(field, error.code(), format!("is refused: {error}")))
}

fn check_issuer(issuer: &str) -> Result<(), &'static str> {
    let turns_or_breaks = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
    };
    if issuer.is_empty() {
        return Err("is empty");
    }
    if issuer.len() > MAX_ISSUER_BYTES {
        return Err("is too long");
    }
    if issuer.contains(turns_or_breaks) {
        return Err("has a control character");
    }
    if issuer.trim() != issuer {
        return Err("begins or ends with white space");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
