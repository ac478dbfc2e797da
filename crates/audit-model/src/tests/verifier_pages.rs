#![expect(clippy::arithmetic_side_effects, reason = "an overflow should fail the test")]

use std::sync::Mutex;

use async_trait::async_trait;
use futures::executor::block_on;

use super::verifier::Entry::{Checkpoint as C, Event as E};
use super::verifier::{Entry, event, key, log, place};
use crate::{
    AuditError, Checkpoint, CheckpointKey, Checkpoints, Flaw, Leaf, Problem, Report, Spot, Timestamp,
    Verifier,
};

/// A store that is two lists.
#[derive(Debug, Default)]
struct Lists {
    leaves: Mutex<Vec<Leaf>>,
    checkpoints: Vec<Checkpoint>,
}

impl Lists {
    fn of(log: &[Entry]) -> Self {
        let mut lists = Self::default();
        for entry in log {
            match entry {
                E(event) => {
                    let leaves = lists.leaves.get_mut().unwrap();
                    let place = u64::try_from(leaves.len()).unwrap() + 1;
                    leaves.push(Leaf::new(place, Some((**event).clone()), true));
                }
                C(checkpoint) => lists.checkpoints.push(*checkpoint),
            }
        }
        lists
    }

    fn read(&self) -> Report {
        block_on(Verifier::new(key()).read(self)).unwrap()
    }
}

#[async_trait]
impl Checkpoints for Lists {
    async fn checkpoint(&self, _: &CheckpointKey, _: Timestamp) -> Result<Checkpoint, AuditError> {
        Err(AuditError::Corrupt("read only"))
    }
    async fn checkpoints(&self, after: u64, limit: usize) -> Result<Vec<Checkpoint>, AuditError> {
        Ok(self.checkpoints.iter().filter(|c| c.number > after).take(limit).copied().collect())
    }
    async fn leaves(&self, after: u64, limit: usize) -> Result<Vec<Leaf>, AuditError> {
        let leaves = self.leaves.lock().unwrap();
        let stray = leaves.iter().filter(|leaf| leaf.place == 0 && after == 0);
        Ok(stray.chain(leaves.iter().filter(|leaf| leaf.place > after).take(limit)).cloned().collect())
    }
}

#[test]
fn a_store_is_read_over_many_pages() {
    let counts: Vec<_> = (0..2500).map(|n| n % 2 + usize::from(n == 0)).collect();
    let report = Lists::of(&log(&counts, 7)).read();
    assert!(report.holds(), "{report}");
    assert_eq!((report.events, report.checkpoints, report.uncovered()), (1258, 2500, 7));
}

#[test]
fn a_leaf_is_found_missing_by_its_place_and_double_by_it_too() {
    let whole = log(&[4, 4], 2);
    let spot = |place| Spot::Event { place, id: None };
    for gone in 0..9 {
        let lists = Lists::of(&whole);
        lists.leaves.lock().unwrap().remove(gone);
        // Behind the last event of a checkpoint, the checkpoint comes next and finds it.
        let spot = match gone {
            3 => Spot::Checkpoint(1),
            7 => Spot::Checkpoint(2),
            gone => spot(u64::try_from(gone).unwrap() + 1),
        };
        assert_eq!(lists.read().problem, Some(Problem { flaw: Flaw::Missing, spot }));
    }
    let lists = Lists::of(&whole);
    let double = lists.leaves.lock().unwrap()[3].clone();
    lists.leaves.lock().unwrap().insert(3, double);
    assert_eq!(lists.read().problem, Some(Problem { flaw: Flaw::Inserted, spot: spot(4) }));
    let lists = Lists::of(&whole);
    lists.leaves.lock().unwrap()[5].place = 0;
    assert_eq!(lists.read().problem, Some(Problem { flaw: Flaw::Inserted, spot: spot(0) }));
}

#[test]
fn a_leaf_that_cannot_be_decoded_or_found_is_a_changed_event() {
    let whole = log(&[4], 2);
    let lists = Lists::of(&whole);
    lists.leaves.lock().unwrap()[1].event = None;
    let expected = Problem { flaw: Flaw::Changed, spot: Spot::Event { place: 2, id: None } };
    assert_eq!(lists.read().problem, Some(expected));
    let lists = Lists::of(&whole);
    lists.leaves.lock().unwrap()[1].is_findable = false;
    assert_eq!(lists.read().problem, Some(Problem { flaw: Flaw::Changed, spot: place(2, &event(1)) }));
}

#[test]
fn checkpoints_whose_events_are_gone_with_the_end_of_the_leaves_are_found() {
    let lists = Lists::of(&log(&[4, 4, 4], 0));
    lists.leaves.lock().unwrap().truncate(6);
    assert_eq!(lists.read().problem, Some(Problem { flaw: Flaw::Missing, spot: Spot::Checkpoint(2) }));
}
