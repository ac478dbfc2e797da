//! The adapter that hides a provider's types behind bytes, so that one engine holds them all.

use core::fmt;

use serde_json::Value;
use zeroize::Zeroizing;

use super::{Change, Choice, Cx, Descriptor, Held, Identity, Provider, ProviderError, StepEvent, Then};
use crate::{Contact, FieldError, MAX_ENROLMENT_BYTES, SecretBytes, Versioned};

/// Held values as bytes.
#[derive(Debug, Default)]
pub(crate) struct ErasedHeld<'a> {
    pub(crate) state: Option<&'a [u8]>,
    pub(crate) enrolment: Option<&'a [u8]>,
    pub(crate) secret: Option<&'a SecretBytes>,
}

/// A step as bytes.
pub(crate) struct ErasedStep {
    pub(crate) state: Change<Vec<u8>>,
    pub(crate) enrolment: Change<Vec<u8>>,
    pub(crate) secret: Change<Zeroizing<Vec<u8>>>,
    pub(crate) then: Then,
}

/// A provider whose types are hidden.
pub(crate) trait AnyProvider: fmt::Debug + Send + Sync + 'static {
    fn describe(&self) -> &Descriptor;
    fn validate(&self, settings: &Value) -> Result<(), Vec<FieldError>>;
    fn uses_left(&self, enrolment: &[u8]) -> Option<u8>;
    /// `false` for a secret that cannot be read.
    fn fits(&self, secret: &SecretBytes, contacts: &[Contact]) -> bool;
    fn identity(&self, settings: &Value, secret: &[u8]) -> Result<Option<Identity>, ProviderError>;
    fn decoy(&self, choice: &Choice) -> Result<Option<SecretBytes>, ProviderError>;
    fn handle(
        &self,
        cx: &mut Cx<'_>,
        held: &ErasedHeld<'_>,
        event: StepEvent<'_>,
    ) -> Result<ErasedStep, ProviderError>;
}

impl<P: Provider> AnyProvider for P {
    fn describe(&self) -> &Descriptor {
        Provider::describe(self)
    }

    fn validate(&self, settings: &Value) -> Result<(), Vec<FieldError>> {
        Provider::validate(self, settings)
    }

    fn uses_left(&self, enrolment: &[u8]) -> Option<u8> {
        Provider::uses_left(self, &P::Enrolment::decode(enrolment).ok()?)
    }

    fn fits(&self, secret: &SecretBytes, contacts: &[Contact]) -> bool {
        P::Secret::decode(secret.expose_secret()).is_ok_and(|secret| Provider::fits(self, &secret, contacts))
    }

    fn identity(&self, settings: &Value, secret: &[u8]) -> Result<Option<Identity>, ProviderError> {
        Provider::identity(self, settings, &P::Secret::decode(secret)?)
    }

    fn decoy(&self, choice: &Choice) -> Result<Option<SecretBytes>, ProviderError> {
        let secret = Provider::decoy(self, choice).map(|secret| secret.encode());
        Ok(secret.transpose()?.map(SecretBytes::new))
    }

    fn handle(
        &self,
        cx: &mut Cx<'_>,
        held: &ErasedHeld<'_>,
        event: StepEvent<'_>,
    ) -> Result<ErasedStep, ProviderError> {
        let held = Held {
            state: held.state.map(P::State::decode).transpose()?,
            enrolment: held.enrolment.map(P::Enrolment::decode).transpose()?,
            secret: held.secret.map(|secret| P::Secret::decode(secret.expose_secret())).transpose()?,
        };
        let step = Provider::handle(self, cx, held, event)?;
        let enrolment = encoded(&step.enrolment)?;
        if let Change::Set(bytes) = &enrolment
            && bytes.len() > MAX_ENROLMENT_BYTES
        {
            let (bytes, limit) = (bytes.len(), MAX_ENROLMENT_BYTES);
            return Err(crate::CodecError::TooLong { bytes, limit }.into());
        }
        Ok(ErasedStep {
            state: encoded(&step.state)?,
            enrolment,
            secret: match encoded(&step.secret)? {
                Change::Same => Change::Same,
                Change::Clear => Change::Clear,
                Change::Set(bytes) => Change::Set(Zeroizing::new(bytes)),
            },
            then: step.then,
        })
    }
}

fn encoded<T: Versioned>(change: &Change<T>) -> Result<Change<Vec<u8>>, ProviderError> {
    Ok(match change {
        Change::Same => Change::Same,
        Change::Clear => Change::Clear,
        Change::Set(value) => Change::Set(value.encode()?),
    })
}
