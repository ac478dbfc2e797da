//! By whose right a change is asked for.

use mfa::{Authority, Invitation, Proof, Ticket};

use crate::failure::Failure;
use crate::input::Input;
use crate::node::Node;
use crate::request::first_factor;

impl Node {
    /// Reads a proof; without one the host vouches: who asked and why are in the request, or else the shim and
    /// its op.
    pub(crate) fn authority(&self, input: &Input<'_>, op: &str) -> Result<Authority, Failure> {
        match input.optional_text("proof")? {
            Some(proof) => self.proof(input, proof),
            None => {
                let actor = input.optional_text("actor")?.unwrap_or("mfa-shim");
                Ok(Authority::host_vouched(actor, input.optional_text("reason")?.unwrap_or(op)))
            }
        }
    }

    /// As [`Node::authority`], for changes that nobody makes without saying who and why.
    pub(crate) fn stated_authority(&self, input: &Input<'_>) -> Result<Authority, Failure> {
        let reason = input.text("reason")?;
        match input.optional_text("proof")? {
            Some(proof) => self.proof(input, proof),
            None => Ok(Authority::host_vouched(input.text("actor")?, reason)),
        }
    }

    /// As [`Node::authority`], also with a ticket or a first factor alone.
    pub(crate) fn enrolling_authority(&self, input: &Input<'_>, op: &str) -> Result<Authority, Failure> {
        let ways = ["proof", "ticket", "first_factor"];
        if ways.into_iter().filter(|way| input.get(way).is_some()).count() > 1 {
            return Err(Failure::bad_request("give one of proof, ticket and first_factor"));
        }
        if let Some(ticket) = input.optional_text("ticket")? {
            let session = self.session(input, ticket)?;
            let invitation = input.optional_text("invitation")?.map(Invitation::from_text);
            let ticket = Ticket::from_text(ticket);
            return Ok(match invitation {
                Some(invitation) => Authority::invited(ticket, session, invitation),
                None => Authority::ticket(ticket, session),
            });
        }
        if input.get("first_factor").is_some() {
            return Ok(Authority::FirstFactor(first_factor(input)?.0));
        }
        self.authority(input, op)
    }

    fn proof(&self, input: &Input<'_>, proof: &str) -> Result<Authority, Failure> {
        let session = self.session(input, proof)?;
        let proof = Proof::from_text(proof);
        Ok(match input.optional_text("reason")? {
            Some(reason) => Authority::proof_because(proof, session, reason),
            None => Authority::proof(proof, session),
        })
    }

    /// The session that the request names, or else the one in which this process gave `handle` out.
    fn session<'a>(&'a self, input: &Input<'a>, handle: &str) -> Result<Option<&'a str>, Failure> {
        let given = input.optional_text("session")?;
        Ok(given.or_else(|| self.sessions.get(handle)?.as_deref()))
    }
}
