//! Providers and sources that a test programs.

use std::sync::Mutex;

use mfa::{
    Charge, Choice, Cx, Descriptor, Effect, EffectKind, Engine, EnrolConfirm, Entropy, EntropyError,
    FieldError, HashJob, HeldOf, Provider, ProviderError, ProviderName, Purpose, Reason, Response, Revealed,
    SecretBytes, Step, StepEvent, StepOf, Subject, Then, Versioned,
};
use mfa_testkit::entropy::SeededEntropy;
use mfa_testkit::scripted::{On, Say, ScriptedProvider};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::host;

/// The code that a [`scripted`] provider accepts.
pub const SCRIPTED_CODE: &str = "111111";
/// The code that [`SlowHash`] accepts.
pub const SLOW_CODE: &str = "246810";

/// A provider named `scripted` that accepts [`SCRIPTED_CODE`] and may ask for `effects`.
#[must_use]
pub fn scripted(effects: Vec<EffectKind>) -> ScriptedProvider {
    let provider = ScriptedProvider::new("scripted");
    let mut descriptor = provider.describe().clone();
    descriptor.effects = effects;
    provider.on(On::Answer(SCRIPTED_CODE.to_owned()), Say::Accept);
    provider.described_as(descriptor)
}

/// Enrols `subject` in a provider that accepts `code`.
pub async fn enrol_in(engine: &Engine, subject: &Subject, provider: &str, code: &str) {
    let name = ProviderName::parse(provider).expect("a name");
    let begun = engine.enrol_begin(subject.account(), subject.user(), &name, &Choice::none(), &host()).await;
    let reference = begun.expect("a begin").reference;
    let confirmed = engine.enrol_confirm(&reference, &Response::code(code)).await.expect("a confirmation");
    assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "{confirmed:?}");
}

/// A provider named `slow` whose codes are judged by a slow hash, charged as an attempt.
#[derive(Debug)]
pub struct SlowHash(Descriptor);

/// The hash that a [`SlowHash`] keeps.
#[derive(Debug, Serialize, Deserialize)]
pub struct Kept(Vec<u8>);

impl SlowHash {
    /// Makes it.
    #[must_use]
    pub fn new() -> Self {
        let mut descriptor = Descriptor::one_time_code(ProviderName::parse("slow").expect("a name"), 20);
        descriptor.effects = vec![EffectKind::Hash];
        Self(descriptor)
    }
}

impl Default for SlowHash {
    fn default() -> Self {
        Self::new()
    }
}

impl Versioned for Kept {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 64;
}

impl Provider for SlowHash {
    type State = ();
    type Enrolment = ();
    type Secret = Kept;

    fn describe(&self) -> &Descriptor {
        &self.0
    }

    fn validate(&self, _: &serde_json::Value) -> Result<(), Vec<FieldError>> {
        Ok(())
    }

    fn handle(
        &self,
        cx: &mut Cx<'_>,
        held: HeldOf<Self>,
        event: StepEvent<'_>,
    ) -> Result<StepOf<Self>, ProviderError> {
        let digest = |code: &str| Sha256::digest(code).to_vec();
        let prompt = || Step::then(Then::Prompt(serde_json::Value::Null));
        let judged = |right: bool, held: bool| match (right, held) {
            (true, true) => Step::then(Then::Accept(self.0.strength())),
            _ => Step::then(Then::Reject(Reason::WrongCode)),
        };
        Ok(match event {
            StepEvent::Begin(_) if cx.purpose == Purpose::Enrol => {
                let secret = Kept(digest(SLOW_CODE));
                Step::then(Then::Reveal(serde_json::Value::Null, Revealed::new())).with_secret(secret)
            }
            StepEvent::Answer(answer) if cx.purpose == Purpose::Enrol => {
                judged(answer.text().expose_secret() == SLOW_CODE, held.secret.is_some())
            }
            StepEvent::Answer(answer) => {
                let digest = digest(answer.text().expose_secret());
                let job = HashJob::new(move || SecretBytes::new(digest));
                Step::then(Then::Run(Effect::Hash(job), Charge::Attempt))
            }
            StepEvent::Hashed(digest) => {
                let right = held.secret.as_ref().is_some_and(|kept| digest.ct_eq(&kept.0));
                judged(right, held.secret.is_some())
            }
            _ => prompt(),
        })
    }
}

/// A source whose every draw begins with the same 16 bytes, so that a chosen id comes again.
#[derive(Debug)]
pub struct SameFirst {
    first: [u8; 16],
    rest: Mutex<SeededEntropy>,
}

impl SameFirst {
    /// Makes a source whose draws begin with `first` and go on with the stream of `seed`.
    #[must_use]
    pub fn new(first: [u8; 16], seed: u64) -> Self {
        Self { first, rest: Mutex::new(SeededEntropy::new(seed)) }
    }
}

impl Entropy for SameFirst {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        self.rest.lock().expect("a lock").fill(out)?;
        out.iter_mut().zip(self.first).for_each(|(to, from)| *to = from);
        Ok(())
    }

    fn is_test_double(&self) -> bool {
        true
    }
}
