//! One-time bypass codes: what an administrator reads out to a user who lost every method.
//!
//! A code is an enrolment of a provider of the engine's own. It is asked for only where nothing else can be, or
//! given instead of another answer; it lets in once, as evidence of AAL1 that no change accepts as proof.

use audit_model::Timestamp;
use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    AnswerKind, Cx, Descriptor, Draw, FieldError, HeldOf, Provider, ProviderError, ProviderName, Reason,
    SecretBytes, SecretText, Step, StepEvent, StepOf, Then, Versioned, secret,
};

/// The name of the provider. No other provider may take it.
pub(crate) const NAME: &str = "bypass";

/// Random bytes of a code: 80 bits, 16 characters.
const CODE_BYTES: usize = 10;

/// The provider.
#[derive(Debug)]
pub(crate) struct Bypass {
    descriptor: Descriptor,
}

/// Until when the code is good.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Until(Timestamp);

/// The hash of the code. With 80 random bits it needs no slow one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hashed(#[serde(with = "secret::kept::bytes")] SecretBytes);

macro_rules! versioned {
    ($($kept:ident)*) => {$(
        impl Versioned for $kept {
            const VERSION: u8 = 1;
            const MAX_BYTES: usize = 48;
        }
    )*};
}

versioned! { Until Hashed }

/// A new code with what is kept of it.
pub(crate) struct Issued {
    pub(crate) code: SecretText,
    pub(crate) data: Vec<u8>,
    pub(crate) secret: zeroize::Zeroizing<Vec<u8>>,
}

/// Draws a code that is good until `until`.
pub(crate) fn issue(draw: &mut Draw, until: Timestamp) -> Result<Issued, ProviderError> {
    let random = zeroize::Zeroizing::new(draw.take::<CODE_BYTES>()?);
    let plain = zeroize::Zeroizing::new(BASE32_NOPAD.encode(&*random));
    let mut grouped = zeroize::Zeroizing::new(String::with_capacity(20));
    for (at, c) in plain.chars().enumerate() {
        if at > 0 && at.is_multiple_of(4) {
            grouped.push('-');
        }
        grouped.push(c);
    }
    let code = SecretText::from(grouped);
    let secret = zeroize::Zeroizing::new(Hashed(hash(&plain)).encode()?);
    Ok(Issued { code, data: Until(until).encode()?, secret })
}

/// Returns whether a code of this enrolment is good still. What cannot be read is taken to be: it then refuses
/// every answer, and the user keeps having a method.
pub(crate) fn is_live(data: Option<&[u8]>, at: Timestamp) -> bool {
    let until = data.and_then(|data| Until::decode(data).ok());
    until.is_none_or(|Until(until)| at < until)
}

impl Bypass {
    pub(crate) fn new() -> Option<Self> {
        let name = ProviderName::parse(NAME).ok()?;
        let descriptor = Descriptor { answers: vec![AnswerKind::Bypass], ..Descriptor::recovery(name, 80) };
        Some(Self { descriptor })
    }
}

impl Provider for Bypass {
    type State = ();
    type Enrolment = Until;
    type Secret = Hashed;

    fn describe(&self) -> &Descriptor {
        &self.descriptor
    }

    fn validate(&self, settings: &Value) -> Result<(), Vec<FieldError>> {
        if settings.is_null() {
            Ok(())
        } else {
            Err(vec![FieldError::new(NAME, "type", "takes no settings")])
        }
    }

    fn uses_left(&self, _: &Until) -> Option<u8> {
        Some(1)
    }

    fn handle(
        &self,
        cx: &mut Cx<'_>,
        held: HeldOf<Self>,
        event: StepEvent<'_>,
    ) -> Result<StepOf<Self>, ProviderError> {
        let (Some(Until(until)), Some(Hashed(kept))) = (held.enrolment, held.secret) else {
            return Err(ProviderError::Inappropriate);
        };
        let then = match event {
            StepEvent::Begin(_) => Then::Prompt(json!({"form": "bypass"})),
            StepEvent::Answer(answer) if answer.kind() == AnswerKind::Bypass => {
                match parse(answer.text().expose_secret()) {
                    None => Then::Reject(Reason::Malformed),
                    Some(code) if cx.now < until && kept.ct_eq(hash(&code).expose_secret()) => {
                        Then::Accept(self.descriptor.strength())
                    }
                    Some(_) => Then::Reject(Reason::WrongCode),
                }
            }
            StepEvent::Answer(_) => Then::Reject(Reason::WrongCode),
            _ => Then::Wait(Value::Null),
        };
        Ok(Step::then(then))
    }
}

/// Reads a code as it was typed: case, spaces and dashes do not matter.
fn parse(typed: &str) -> Option<zeroize::Zeroizing<String>> {
    let kept = typed.chars().filter(|c| !c.is_whitespace() && *c != '-');
    let code: String = kept.map(|c| c.to_ascii_uppercase()).collect();
    let code = zeroize::Zeroizing::new(code);
    let is_code = code.len() == 16 && code.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'2'..=b'7'));
    is_code.then_some(code)
}

fn hash(code: &str) -> SecretBytes {
    SecretBytes::new(Sha256::digest(code.as_bytes()).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_code_has_the_bytes_of_stored_records() {
        // By hand, after postcard 1: behind the version and its length.
        let bytes = [&[1, 32][..], &[9; 32]].concat();
        let hashed = Hashed::decode(&bytes).unwrap();
        assert_eq!(hashed.0.expose_secret(), [9; 32]);
        assert_eq!(hashed.encode().unwrap(), bytes);
    }
}
