//! Whose an identity at a provider's service is: that of one user of all accounts.
//!
//! A commit is of one scope, so the identity is claimed in a commit of its own before the set-up is confirmed in the
//! user's. A claim whose set-up is not confirmed, for whatever reason, ends with it: a record says who may have the
//! identity, and the owner's own records whether they have.

use audit_model::Timestamp;

use super::confirm::{Confirmed, Confirming};
use super::{Registered, Rules};
use crate::driver::{Read, Records};
use crate::keyring::Sealed;
use crate::permission::Right;
use crate::plan::Plan;
use crate::record::identity::HeldIdentity;
use crate::record::login::{Enrolment, Login, OfConfiguration};
use crate::record::pending::{Administrator, PendingEnrolment};
use crate::record::vault::{Place, Vault};
use crate::record::{LOGIN, VAULT, user_key};
use crate::{
    AccountId, EnrolmentId, Error, Expect, Identity, Key, ProviderName, Reason, SecretBytes, Subject, Version,
};

/// What a set-up needs to know of an identity, or to have.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) provider: ProviderName,
    pub(crate) identity: Identity,
    pub(crate) until: Until,
}

/// How far a set-up may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Until somebody is asked something: nobody else may have the identity.
    Asked,
    /// Until it is confirmed: the user must have the identity.
    Confirmed,
}

/// What became of a claim.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claimed {
    pub(crate) identity: Identity,
    /// How far the set-up may go; another user has the identity where it may go nowhere.
    pub(crate) until: Option<Until>,
}

/// An identity, and the provider whose it is.
pub(crate) type Named = (ProviderName, Identity);

/// A record as it was read.
pub(crate) type Found = (Key, HeldIdentity, Version);

impl Confirming<'_> {
    /// Returns what keeps a set-up from going so far, if anything: an identity that is not for it, that is not claimed
    /// yet, or that is another user's.
    pub(super) fn without_identity(
        &mut self,
        method: &Registered,
        plain: Option<&SecretBytes>,
        until: Until,
        charged: bool,
    ) -> Result<Option<Confirmed>, Error> {
        // A set-up that keeps nothing names nobody.
        let Some(plain) = plain else { return Ok(None) };
        let Some(identity) = method.identity(plain.expose_secret())? else { return Ok(None) };
        // The settings may be other ones than when it began.
        let by = (self.pending.right, self.pending.administrator.as_ref());
        if is_not_for(&identity, by, self.subject, method.configuration.as_ref()) {
            return self.refuse_kept(Reason::Unavailable, charged, true).map(Some);
        }
        Ok(match needed(method, identity, until, self.claimed) {
            Needed::Nothing => None,
            Needed::Claim(claim) => Some(Confirmed::Claim(claim)),
            Needed::Anothers => Some(self.refuse_kept(Reason::IdentityTaken, charged, true)?),
        })
    }
}

/// What a set-up lacks to go on.
pub(super) enum Needed {
    Nothing,
    Claim(Claim),
    /// What another user has.
    Anothers,
}

pub(super) fn needed(
    method: &Registered,
    identity: Identity,
    until: Until,
    claimed: Option<Claimed>,
) -> Needed {
    match claimed.filter(|claimed| claimed.identity == identity) {
        Some(Claimed { until: None, .. }) => Needed::Anothers,
        Some(Claimed { until: Some(may), .. }) if may == until || may == Until::Confirmed => Needed::Nothing,
        _ => Needed::Claim(Claim { provider: method.name.clone(), identity, until }),
    }
}

/// By whose right a set-up is, and the administrator whose it is where it is one's.
pub(super) type By<'a> = (Right, Option<&'a Administrator>);

/// Returns whether an identity is not for a set-up by this right, under this configuration or the settings in the host's
/// code.
///
/// Whoever sets a method up by themselves would choose, by the name they have in their own account, who they are at a
/// service that is not their account's; and so would their account's administrator, who gives the names there. And
/// whoever writes settings under which the service is not asked would choose whatever they like.
pub(super) fn is_not_for(
    identity: &Identity,
    (right, administrator): By<'_>,
    subject: &Subject,
    configuration: Option<&OfConfiguration>,
) -> bool {
    let owner = configuration.and_then(|of| of.owner.as_ref());
    let place =
        |account: &AccountId| subject.lineage().iter().position(|ancestor| ancestor.account == *account);
    let answers_for_it = match (right, administrator, owner) {
        (Right::Host, ..) => true,
        (_, _, Some(owner)) if owner == subject.account() => true,
        (Right::Administrator, Some(by), Some(owner)) => {
            place(owner).is_some_and(|owner| place(&by.account).is_some_and(|by| by >= owner))
        }
        _ => false,
    };
    !(answers_for_it || identity.is_given_by_host()) || (!identity.is_asked() && owner.is_some())
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

/// Returns the identities that a user's enrolments have, as far as they can be told.
pub(crate) fn held_by(rules: &Rules, subject: &Subject, records: &Records) -> Vec<Named> {
    let (account, user) = (subject.account(), subject.user());
    let (Read::Live(login, _), Read::Live(vault, _)) = (
        records.read::<Login>(&user_key(account, LOGIN, user)),
        records.read::<Vault>(&user_key(account, VAULT, user)),
    ) else {
        return Vec::new();
    };
    let named = |enrolment: &Enrolment| {
        let sealed = vault.sealed(enrolment.id)?;
        named_by(rules, subject, ("vault", &enrolment.provider, enrolment.id), sealed)
    };
    login.enrolments.iter().filter_map(named).collect()
}

/// Returns the identities that a user's set-ups at `keys` may have claimed, as far as they can be told.
pub(crate) fn claimed_by(rules: &Rules, subject: &Subject, keys: &[Key], records: &Records) -> Vec<Named> {
    let named = |key: &Key| {
        let Read::Live(pending, _) = records.read::<PendingEnrolment>(key) else { return None };
        let id = EnrolmentId::from_bytes(*key.id.last_chunk()?);
        named_by(rules, subject, ("pending", &pending.provider, id), pending.secret.as_ref()?)
    };
    keys.iter().filter_map(named).collect()
}

fn named_by(
    rules: &Rules,
    subject: &Subject,
    (kind, provider, enrolment): (&'static str, &ProviderName, EnrolmentId),
    sealed: &Sealed,
) -> Option<Named> {
    let method = rules.providers.get(provider)?;
    let (account, user) = (subject.account(), subject.user());
    let place = Place { account, user, kind, provider: provider.as_str(), enrolment };
    let secret = place.open(&rules.ring, sealed).ok()?;
    Some((method.name.clone(), method.identity(secret.expose_secret()).ok()??))
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
