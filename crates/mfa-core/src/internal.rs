//! Not part of the interface: what the workspace's benches need to measure single steps of a decision.

use audit_model::{AccountId, UserId};

use crate::keyring::Sealed;
use crate::link::{LinkAct, LinkEvent, Linked};
use crate::provider::{AnyProvider, ErasedHeld};
use crate::record::vault::Place;
use crate::{Cx, EnrolmentId, Error, KeyRing, LinkToken, Provider, SecretBytes, StepEvent, Then};

/// A provider's secret as the vault keeps it.
#[derive(Clone, Debug)]
pub struct SealedSecret<'a> {
    place: Place<'a>,
    sealed: Sealed,
}

impl<'a> SealedSecret<'a> {
    /// Seals `plain` as the vault does.
    ///
    /// # Errors
    /// [`Error::KeyRing`].
    pub fn seal(
        ring: &KeyRing,
        account: &'a AccountId,
        user: &'a UserId,
        provider: &'a str,
        nonce: [u8; 12],
        plain: &[u8],
    ) -> Result<Self, Error> {
        let enrolment = EnrolmentId::from_bytes([0; 16]);
        let place = Place { account, user, kind: "vault", provider, enrolment };
        let sealed = place.seal(ring, nonce, plain)?;
        Ok(Self { place, sealed })
    }

    /// Opens it as the vault does.
    ///
    /// # Errors
    /// [`Error::KeyRing`].
    pub fn open(&self, ring: &KeyRing) -> Result<SecretBytes, Error> {
        Ok(self.place.open(ring, &self.sealed)?)
    }

    /// Returns the associated data, for a bare open of the same bytes.
    #[must_use]
    pub fn associated_data(&self) -> Vec<u8> {
        crate::codec::tuple(&self.place.context())
    }

    /// Returns how many bytes are sealed, the tag included.
    #[must_use]
    pub fn sealed_bytes(&self) -> usize {
        self.sealed.bytes.len()
    }
}

/// Hands an event to a provider as the engine does, behind bytes.
///
/// # Errors
/// [`Error::Provider`].
pub fn handle(
    provider: &impl Provider,
    cx: &mut Cx<'_>,
    enrolment: Option<&[u8]>,
    secret: &SecretBytes,
    event: StepEvent<'_>,
) -> Result<Then, Error> {
    let held = ErasedHeld { state: None, enrolment, secret: Some(secret) };
    Ok(AnyProvider::handle(provider, cx, &held, event)?.then)
}

/// Opens the token of a link as the engine does. `None` for anything that this ring did not seal.
#[must_use]
pub fn link_secret(ring: &KeyRing, token: &LinkToken) -> Option<SecretBytes> {
    Linked::read(ring, token).map(|linked| linked.secret)
}

/// Returns the event that a provider sees when the holder of `secret` does something with a link.
#[must_use]
pub const fn link_event<'a>(secret: &'a SecretBytes, act: LinkAct<'a>) -> LinkEvent<'a> {
    LinkEvent { secret, act }
}
