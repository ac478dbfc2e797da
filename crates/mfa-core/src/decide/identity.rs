//! Whose an identity at a provider's service is: that of one user of all accounts.
//!
//! A commit is of one scope, so the identity is claimed in a commit of its own before the set-up is confirmed in the
//! user's. A claim whose set-up is not confirmed, for whatever reason, ends with it: a record says who may have the
//! identity, and the owner's own records whether they have.

use audit_model::Timestamp;

use super::Registered;
use super::confirm::{Confirmed, Confirming};
use crate::driver::{Read, Records};
use crate::permission::Right;
use crate::plan::Plan;
use crate::record::identity::HeldIdentity;
use crate::record::login::{Login, OfConfiguration};
use crate::record::pending::PendingEnrolment;
use crate::{
    AccountId, EnrolmentId, Error, Expect, Identity, Key, ProviderName, Reason, SecretBytes, Version,
};

/// What a set-up must have before it is confirmed.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) provider: ProviderName,
    pub(crate) identity: Identity,
}

/// What became of a claim.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claimed {
    pub(crate) identity: Identity,
    /// It is the user's; otherwise another one has it.
    pub(crate) is_held: bool,
}

/// A record as it was read.
pub(crate) type Found = (Key, HeldIdentity, Version);

impl Confirming<'_> {
    /// Returns what keeps a right answer from being accepted, if anything: an identity that is not claimed yet, or that
    /// is another user's.
    pub(super) fn without_identity(
        &mut self,
        method: &Registered,
        plain: &SecretBytes,
        charged: bool,
    ) -> Result<Option<Confirmed>, Error> {
        let Some(identity) = method.identity(plain.expose_secret())? else { return Ok(None) };
        match self.claimed {
            Some(claimed) if claimed.identity == identity => Ok(if claimed.is_held {
                None
            } else {
                Some(self.refuse_kept(Reason::IdentityTaken, charged, true)?)
            }),
            _ => Ok(Some(Confirmed::Claim(Claim { provider: method.name.clone(), identity }))),
        }
    }
}

/// Returns whether a right is too little to take an identity: whoever sets a method up by themselves would choose, by the
/// name they have in their own account, who they are at the service of an account above.
pub(super) fn is_not_for(right: Right, account: &AccountId, configuration: Option<&OfConfiguration>) -> bool {
    let is_inherited = configuration.is_some_and(|of| of.owner.as_ref() != Some(account));
    is_inherited && !matches!(right, Right::Host | Right::Administrator)
}

/// Returns which of the enrolments that a record names have the identity, or may still get it: those that the owner has,
/// and those whose set-up is not over. What cannot be read may say either. With it goes what the owner's records must lose
/// before an enrolment that does not stand is forgotten: a set-up that is over by the time of one node may be about to
/// be confirmed by another, which was stopped or whose clock is behind.
pub(crate) fn standing(held: &HeldIdentity, records: &Records, now: Timestamp) -> (Vec<EnrolmentId>, Plan) {
    let (mut standing, mut over) = (Vec::new(), Plan::default());
    let login = match records.read::<Login>(&held.login_key()) {
        Read::Live(login, _) => login,
        // Nothing can be confirmed without it.
        Read::Absent => return (standing, over),
        Read::Refused(_) => return (held.enrolments.clone(), over),
    };
    for id in &held.enrolments {
        let key = held.pending_key(*id);
        let stands = login.enrolment(*id).is_some()
            || match records.read::<PendingEnrolment>(&key) {
                Read::Live(pending, _) if pending.confirmed || pending.fence != login.fence => false,
                Read::Live(pending, _) if now < pending.expires_at => true,
                Read::Live(_, version) => {
                    over.delete(key, Expect::Version(version));
                    false
                }
                Read::Absent => {
                    over.delete(key, Expect::Any);
                    false
                }
                Read::Refused(_) => true,
            };
        if stands {
            standing.push(*id);
        }
    }
    (standing, over)
}

/// Puts a record at the first of `places`, where it may be under each key of the ring, and leaves none at the others: on
/// whichever node, under whichever key, whoever claims the same meets it.
pub(crate) fn put(places: &[Key], found: &[Found], record: &HeldIdentity) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    for (at, place) in places.iter().enumerate() {
        let before = found.iter().find(|(key, ..)| key == place);
        let expect = before.map_or(Expect::Absent, |(.., version)| Expect::Version(*version));
        if at == 0 {
            plan.put(place.clone(), expect, record, None)?;
        } else {
            // Deleting what is not there changes nothing, and fails if it is there by then.
            plan.delete(place.clone(), expect);
        }
    }
    Ok(plan)
}
