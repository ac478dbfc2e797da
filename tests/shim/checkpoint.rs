//! The ops that fix the log and check it.

use data_encoding::HEXLOWER;
use mfa::audit::export::{checkpoint_from_line, checkpoint_to_line};
use mfa::audit::{Checkpoint, Checkpoints, Flaw, Report, Spot, Verifier};
use serde_json::{Value, json};

use crate::answer::add;
use crate::failure::Failure;
use crate::input::Input;
use crate::node::Node;

/// How many checkpoints one read of the log gives.
const PAGE: usize = 1000;

impl Node {
    pub(crate) async fn audit_checkpoint(&mut self, _: &Input<'_>) -> Result<Value, Failure> {
        let without = || Failure::bad_request("the store was opened without a checkpoint_key");
        let key = self.checkpoint_key.as_ref().ok_or_else(without)?;
        let made = self.store.checkpoint(key, self.now()).await?;
        Ok(json!({
            "total": made.total,
            "mac": HEXLOWER.encode(&made.mac),
            "checkpoint": checkpoint_to_line(&made),
        }))
    }

    pub(crate) async fn audit_verify(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let mut verifier = match &self.checkpoint_key {
            Some(key) => Verifier::new(key.clone()),
            None => Verifier::without_key(),
        };
        let mut lost = None;
        if let Some(trusted) = input.optional_object("trusted")? {
            match self.trusted(&trusted).await? {
                Some(head) => verifier = verifier.trusting(head),
                None => lost = Some(trusted.whole("total")?),
            }
        }
        let report = verifier.read(&*self.store).await?;
        Ok(report_json(&report, lost))
    }

    /// Finds the trusted checkpoint: in the request as a whole, or in the log by its total and MAC.
    async fn trusted(&self, given: &Input<'_>) -> Result<Option<Checkpoint>, Failure> {
        if given.get("checkpoint").is_some() {
            return Ok(Some(given.parsed("checkpoint", checkpoint_from_line)?));
        }
        let total = given.whole("total")?;
        let mac = HEXLOWER.decode(given.text("mac")?.as_bytes());
        let mac = mac.map_err(|_| given.mistyped("mac", "64 lower-case hexadecimal digits"))?;
        let mut after = 0;
        loop {
            let page = self.store.checkpoints(after, PAGE).await?;
            let same = |checkpoint: &&Checkpoint| checkpoint.total == total && checkpoint.mac == *mac;
            let found = page.iter().find(same).copied();
            match page.last() {
                Some(last) if found.is_none() && page.len() == PAGE => after = last.number,
                _ => return Ok(found),
            }
        }
    }
}

/// `lost` is the total of a trusted checkpoint that the log does not have.
fn report_json(report: &Report, lost: Option<u64>) -> Value {
    let mut answer = json!({
        "holds": report.holds() && lost.is_none(),
        "authentic": report.is_authentic(),
        "checked": report.events,
        "covered": report.covered,
        "checkpoints": report.checkpoints,
    });
    match (&report.problem, lost) {
        (Some(problem), _) => {
            add(&mut answer, "flaw", Some(problem.flaw.code()));
            add(&mut answer, "first_bad", Some(spot(problem.spot)));
        }
        (None, Some(total)) if total > report.covered => {
            add(&mut answer, "flaw", Some(Flaw::CutTail.code()));
            add(&mut answer, "first_bad", Some(report.covered.saturating_add(1)));
        }
        (None, Some(_)) => {
            add(&mut answer, "flaw", Some(Flaw::NotExtended.code()));
            add(&mut answer, "first_bad", Some("trusted checkpoint"));
        }
        (None, None) => {}
    }
    answer
}

/// Says where: the event's id where it can be read, its place in the log, or the checkpoint in words.
fn spot(spot: Spot) -> Value {
    match spot {
        Spot::Event { id: Some(id), .. } => id.to_string().into(),
        Spot::Event { place, .. } => place.into(),
        other => other.to_string().into(),
    }
}
