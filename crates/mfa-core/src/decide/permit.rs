//! What whoever asks for a change shows for it: read and authentic, not yet judged.

use audit_model::{AccountId, UserId};

use crate::permission::Right;
use crate::record::proof::Proof;
use crate::record::{INVITATION, LOGIN, PROOF, TICKET, user_key, users_key};
use crate::reference::{Claims, Handle};
use crate::{Authority, Error, Forbidden, Key, KeyRing, RecordKind, Reference, SecretText};

/// An authority whose handles were read: what they say is authentic, whether they are still good is not known.
pub(crate) struct Permit<'a> {
    pub(crate) authority: &'a Authority,
    /// What a proof or a ticket says.
    pub(super) claims: Option<Claims>,
    pub(super) invitation: Option<Claims>,
    /// A proof of another account, which a commit there has spent.
    pub(super) spent: Option<Proof>,
}

impl<'a> Permit<'a> {
    /// Reads the handles of an authority; no store is read for text that this ring did not issue.
    pub(crate) fn read(ring: &KeyRing, authority: &'a Authority) -> Result<Self, Forbidden> {
        let read = |text: &SecretText, handle| {
            Claims::read(ring, &Reference::from_text(text.expose_secret()), handle)
        };
        let (claims, invitation) = match authority {
            Authority::HostVouched { .. } | Authority::FirstFactor(_) => (None, None),
            Authority::Proof { proof, .. } => {
                (Some(read(&proof.0, Handle::Proof).ok_or(Forbidden::StepUpRequired)?), None)
            }
            Authority::Ticket { ticket, invitation, .. } => {
                let ticket = read(&ticket.0, Handle::Ticket).ok_or(Forbidden::StepUpRequired)?;
                let invitation = match invitation {
                    None => None,
                    Some(given) => {
                        Some(read(&given.0, Handle::Invitation).ok_or(Forbidden::InvitationRequired)?)
                    }
                };
                (Some(ticket), invitation)
            }
        };
        Ok(Self { authority, claims, invitation, spent: None })
    }

    /// Returns the account whose proof this is, if it is not the one that is changed: it is spent there, before.
    pub(crate) fn elsewhere(&self, account: &AccountId) -> Result<Option<(AccountId, UserId)>, Error> {
        let Some(claims) = &self.claims else { return Ok(None) };
        let own = claims.account()?;
        Ok((own != account).then(|| (own.clone(), claims.user.clone())))
    }

    /// Takes note that the proof was spent in its own account.
    pub(crate) fn set_spent(&mut self, proof: Proof) {
        self.spent = Some(proof);
    }

    /// Returns the records it needs besides the user's own, for a change in `account`.
    pub(crate) fn keys(&self, account: &AccountId, user: &UserId) -> Result<Vec<Key>, Error> {
        let mut keys = Vec::new();
        for (claims, kind) in
            [(&self.claims, self.kind()), (&self.invitation, INVITATION)].into_iter().filter_map(some)
        {
            let own = claims.account()?;
            if own == account {
                keys.push(users_key(own, kind, &claims.user, &claims.id));
                if claims.user != *user || kind == PROOF {
                    keys.push(user_key(own, LOGIN, &claims.user));
                }
            }
        }
        Ok(keys)
    }

    const fn kind(&self) -> RecordKind {
        match self.authority {
            Authority::Ticket { .. } => TICKET,
            _ => PROOF,
        }
    }

    pub(super) fn right(&self, account: &AccountId, user: &UserId) -> Result<Right, Error> {
        Ok(match (self.authority, &self.claims) {
            (Authority::Proof { .. }, Some(claims)) => {
                if claims.account()? == account && claims.user == *user {
                    Right::Own
                } else {
                    Right::Administrator
                }
            }
            (Authority::Ticket { .. }, _) => Right::Ticket,
            (Authority::FirstFactor(_), _) => Right::FirstFactor,
            _ => Right::Host,
        })
    }
}

fn some((claims, kind): (&Option<Claims>, RecordKind)) -> Option<(&Claims, RecordKind)> {
    claims.as_ref().map(|claims| (claims, kind))
}

impl Permit<'_> {
    /// Returns who asks; of a user's own change nobody else, whose id is personal and stands in its own field.
    pub(super) fn actor(&self, account: &AccountId, user: Option<&UserId>) -> Option<String> {
        match (self.authority, &self.claims) {
            (Authority::HostVouched { actor, .. }, _) => Some(actor.clone()),
            (_, Some(claims)) if claims.account().ok() != Some(account) => {
                let of = claims.account().map_or("", AccountId::as_str);
                Some(format!("{of}/{}", claims.user.as_str()))
            }
            (_, Some(claims)) if Some(&claims.user) != user => Some(claims.user.as_str().to_owned()),
            _ => None,
        }
    }

    pub(super) fn reason(&self) -> Option<String> {
        match self.authority {
            Authority::HostVouched { reason, .. } => Some(reason.clone()),
            Authority::Proof { reason, .. } => reason.clone(),
            _ => None,
        }
    }
}
