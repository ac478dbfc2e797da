//! Fixing the log, and giving out what proves it.
//!
//! A log has one chain of checkpoints over all scopes, so these clauses share a key, and look at the events of
//! others too: every checkpoint there is must be the one that its leaves make.

use audit_model::{Checkpoint, CheckpointKey, Event, EventId, Leaf, UserId};
use mfa_core::{Erase, Expect};

use super::TestStore;
use super::fixture::{Fixture, put, random, sealed};
use crate::race::race;

/// How many entries the clauses ask for at once: few, so that pages meet in many places.
const PAGE: usize = 7;

/// A checkpoint covers every event that was committed before it was asked for, each once, and the one before
/// it covers none of them.
pub async fn a_checkpoint_covers_exactly_the_events_since_the_last(store: &dyn TestStore) {
    let t = Fixture::new(store);
    for others in [t.in_new_scope(), t.in_new_scope()] {
        let before = made(&t).await;
        let ids = [written(&t, 3).await, written(&others, 2).await].concat();
        let after = made(&t).await;
        assert!(after.number > before.number, "new events make a new checkpoint");
        let places = places(&t, &ids).await;
        let between = before.total + 1..=after.total;
        assert!(places.iter().all(|place| between.contains(place)), "{places:?} lie in {between:?}");
    }
    proven(&t).await;
}

/// Each checkpoint follows the one before it, back to a first one of the same log, and carries the caller's
/// time.
pub async fn checkpoints_make_one_chain(store: &dyn TestStore) {
    let t = Fixture::new(store);
    for _ in 0..3 {
        written(&t, 1).await;
        made(&t).await;
    }
    let chain = proven(&t).await;
    assert!(chain.len() >= 3, "each is kept");
    written(&t, 1).await;
    let at = t.later(77_777);
    let timed = store.checkpoint(&key(), at).await.expect("a checkpoint is made");
    let found = proven(&t).await.into_iter().find(|found| found.number == timed.number);
    assert_eq!(found, Some(timed), "what was answered is what is kept");
    // Others may have been faster to fix the event; then the time is theirs.
    assert!(timed.at == at || timed.at == t.now, "the time is the caller's");
}

/// Where nothing was committed since the last checkpoint it is given again, or, on a log without one, an empty
/// first one.
pub async fn without_new_events_there_is_no_new_checkpoint(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let was_empty = store.leaves(0, 1).await.expect("the leaves are read").is_empty();
    let first = made(&t).await;
    assert!(first.number > 1 || !was_empty || first.is_first(), "the first of an empty log");
    for _ in 0..3 {
        written(&t, 1).await;
        made(&t).await;
        made(&t).await;
    }
    let chain = proven(&t).await;
    assert!(chain.iter().skip(1).all(|checkpoint| checkpoint.count > 0), "only the first may cover nothing");
}

/// `checkpoints` gives those behind the number, in ascending order, and no more than asked for.
pub async fn checkpoints_are_listed_behind_a_number(store: &dyn TestStore) {
    let t = Fixture::new(store);
    for _ in 0..PAGE + 2 {
        written(&t, 1).await;
        made(&t).await;
    }
    let numbers = |found: Vec<Checkpoint>| found.iter().map(|c| c.number).collect::<Vec<_>>();
    let ask = |after, limit| async move {
        numbers(t.store.checkpoints(after, limit).await.expect("the checkpoints are read"))
    };
    assert_eq!(ask(0, 3).await, [1, 2, 3]);
    assert_eq!(ask(2, 2).await, [3, 4]);
    assert_eq!(ask(0, 0).await, [0; 0]);
    assert_eq!(ask(u64::MAX, 3).await, [0; 0], "nothing is behind the end");
    let last = made(&t).await.number;
    assert_eq!(ask(last - 1, 1).await, [last]);
}

/// A checkpoint is built only on one of the same key: with another nothing is made.
pub async fn another_key_makes_no_checkpoint(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let other = CheckpointKey::from_bytes([8; 32]).unwrap();
    written(&t, 1).await;
    made(&t).await;
    // Without new events as well as with some.
    for events in [0, 2] {
        let ids = written(&t, events).await;
        let refused = store.checkpoint(&other, t.now).await;
        assert!(refused.is_err_and(|error| error.code() == "corrupt"), "the last one is of another key");
        assert_eq!(places(&t, &ids).await.len(), events, "the events stay where they are");
    }
    proven(&t).await;
}

/// `leaves` gives every event at its place: the events of a commit in its order, behind those of every commit
/// that was answered before, whatever times they carry; and gives each as it is stored.
pub async fn leaves_come_in_the_order_of_the_commits(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let events: Vec<Event> = [9, 1, 5, 3]
        .map(|millis| {
            sealed(t.event_at(t.later(millis)).user(UserId::parse("bob").unwrap()), t.later(millis))
        })
        .into();
    for commit in events.chunks(2) {
        t.write_events(commit.to_vec()).await;
    }
    let ids: Vec<_> = events.iter().map(Event::id).collect();
    let places = places(&t, &ids).await;
    assert!(places.is_sorted_by(|a, b| a < b), "{places:?} ascend");
    for leaf in all_leaves(&t).await {
        if let Some(event) = events.iter().find(|event| Some(event.id()) == id(&leaf)) {
            assert_eq!(leaf.event.as_ref(), Some(event), "the event as it was written");
        }
    }
}

/// `leaves` gives those behind the place, without a gap, and no more than asked for.
pub async fn leaves_are_given_behind_a_place(store: &dyn TestStore) {
    let t = Fixture::new(store);
    written(&t, 2 * PAGE).await;
    let ask = |after, limit| async move {
        let found = t.store.leaves(after, limit).await.expect("the leaves are read");
        found.iter().map(|leaf| leaf.place).collect::<Vec<_>>()
    };
    assert_eq!(ask(0, 3).await, [1, 2, 3]);
    assert_eq!(ask(2, 2).await, [3, 4]);
    assert_eq!(ask(0, 0).await, [0; 0]);
    assert_eq!(ask(u64::MAX, 3).await, [0; 0], "nothing is behind the end");
    let all = all_leaves(&t).await;
    assert!(all.iter().zip(1..).all(|(leaf, place)| leaf.place == place), "the places have no gap");
}

/// An event that is committed again takes no further place.
pub async fn a_repeated_event_has_one_place(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let event = sealed(t.event_at(t.now), t.now);
    for commit in [vec![event.clone()], vec![event.clone(), event.clone()], vec![event.clone()]] {
        t.write_events(commit).await;
        made(&t).await;
    }
    assert_eq!(places(&t, &[event.id()]).await.len(), 1);
    proven(&t).await;
}

/// The events of a commit that conflicts take no places.
pub async fn a_conflict_takes_no_place(store: &dyn TestStore) {
    let t = Fixture::new(store);
    t.put("id", "there").await;
    let event = sealed(t.event_at(t.now), t.now);
    let mut commit = t.commit([put(t.key("id"), Expect::Absent, "new")]);
    commit.events = vec![event.clone()];
    t.conflict(commit).await;
    written(&t, 1).await;
    made(&t).await;
    assert_eq!(places(&t, &[event.id()]).await, [0; 0]);
    proven(&t).await;
}

/// Erasing a user changes no place and no hash, so what was fixed before still holds.
pub async fn erased_events_keep_their_places_and_verify(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let bob = UserId::parse("bob").unwrap();
    let event = sealed(t.event_at(t.now).user(bob.clone()), t.now);
    t.write_events(vec![event.clone()]).await;
    made(&t).await;
    let before = places(&t, &[event.id()]).await;
    let mut commit = t.commit([]);
    commit.erase = Some(Erase::User(bob));
    t.done(commit).await;
    made(&t).await;
    assert_eq!(places(&t, &[event.id()]).await, before, "the event stays where it is");
    proven(&t).await;
    let leaves = all_leaves(&t).await;
    let leaf = leaves.iter().find(|leaf| id(leaf) == Some(event.id())).expect("the leaf is there");
    let erased = leaf.event.as_ref().is_some_and(Event::is_erased);
    assert!(erased && leaf.is_findable, "erased, and found by what it still says");
}

/// While threads commit events and others make checkpoints, every event ends up under exactly one.
pub async fn checkpoints_under_commits_leave_nothing_out(store: &dyn TestStore) {
    const THREADS: usize = 8;
    const EACH: usize = 10;
    let t = Fixture::new(store);
    let ids = race(THREADS, |thread| {
        let t = &t;
        async move {
            let mut ids = Vec::new();
            for _ in 0..EACH {
                ids.extend(written(t, 1 + thread % 2).await);
                if thread < THREADS / 2 {
                    made(t).await;
                }
            }
            ids
        }
    });
    let last = made(&t).await;
    let places = places(&t, &ids.concat()).await;
    assert_eq!(places.len(), THREADS * EACH * 3 / 2, "every event has its place");
    assert!(places.iter().all(|place| *place <= last.total), "and is covered");
    proven(&t).await;
}

fn key() -> CheckpointKey {
    CheckpointKey::from_bytes([7; 32]).unwrap()
}

async fn made(t: &Fixture<'_>) -> Checkpoint {
    t.store.checkpoint(&key(), t.now).await.expect("a checkpoint is made")
}

/// Commits `count` events, one commit each, and returns their ids.
async fn written(t: &Fixture<'_>, count: usize) -> Vec<EventId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let event =
            t.event_at(t.now).subject(random()).build(EventId::new(t.now, random()), random()).unwrap();
        ids.push(event.id());
        t.write_events(vec![event]).await;
    }
    ids
}

fn id(leaf: &Leaf) -> Option<EventId> {
    leaf.event.as_ref().map(Event::id)
}

/// The places of the events with these ids, in the order of the ids.
async fn places(t: &Fixture<'_>, ids: &[EventId]) -> Vec<u64> {
    let leaves: Vec<_> = all_leaves(t).await.iter().map(|leaf| (id(leaf), leaf.place)).collect();
    let of = |wanted: EventId| leaves.iter().filter(move |(id, _)| *id == Some(wanted));
    ids.iter().flat_map(|id| of(*id)).map(|(_, place)| *place).collect()
}

async fn all_leaves(t: &Fixture<'_>) -> Vec<Leaf> {
    let mut all: Vec<Leaf> = Vec::new();
    loop {
        let after = all.last().map_or(0, |leaf| leaf.place);
        let page = t.store.leaves(after, PAGE).await.expect("the leaves are read");
        assert!(page.len() <= PAGE, "no more than asked for");
        if page.is_empty() {
            return all;
        }
        assert!(page.iter().all(|leaf| leaf.place > after), "behind the place");
        all.extend(page);
    }
}

/// Asserts that every checkpoint is the one that the leaves it covers make, and returns them all.
async fn proven(t: &Fixture<'_>) -> Vec<Checkpoint> {
    let mut chain: Vec<Checkpoint> = Vec::new();
    loop {
        let after = chain.last().map_or(0, |checkpoint| checkpoint.number);
        let page = t.store.checkpoints(after, PAGE).await.expect("the checkpoints are read");
        if page.is_empty() {
            break;
        }
        chain.extend(page);
    }
    // Read behind the checkpoints, so that every event they cover is there.
    let leaves = all_leaves(t).await;
    let mut last: Option<Checkpoint> = None;
    for checkpoint in &chain {
        let covered = leaves.iter().filter(|leaf| checkpoint.covers(leaf.place));
        let hashes = covered.map(|leaf| {
            let event = leaf.event.as_ref().expect("a leaf is an event");
            assert!(leaf.is_findable && event.hash_holds(), "event {} holds", event.id());
            *event.hash()
        });
        let made = Checkpoint::over(last.as_ref(), checkpoint.log, checkpoint.at, hashes.collect(), &key());
        assert_eq!(made.expect("a link of the chain"), *checkpoint, "as its leaves make it");
        last = Some(*checkpoint);
    }
    chain
}
