//! Commits that meet: threads that start together and expect the same thing.

use mfa_core::{Committed, Expect, Key, Write};

use super::TestStore;
use super::fixture::{Fixture, check, put, sealed};
use crate::race::race;

const RACERS: usize = 8;
const ROUNDS: usize = 25;

/// Of many puts that expect one version, exactly one happens, and it is the one that is read.
pub async fn one_of_many_puts_at_a_version_wins(store: &dyn TestStore) {
    let t = Fixture::new(store);
    for round in 0..ROUNDS {
        let version = t.put("id", "start").await;
        one_winner(&t, &t.key("id"), Expect::Version(version), round);
    }
}

/// Of many puts that expect a record to be absent, exactly one happens, and it is the one that is read.
pub async fn one_of_many_puts_of_a_new_record_wins(store: &dyn TestStore) {
    let t = Fixture::new(store);
    for round in 0..ROUNDS {
        one_winner(&t, &t.key(round.to_string()), Expect::Absent, round);
    }
}

/// 64 threads add to one number by reading, adding and putting at the version they read, again and again
/// until it happens: no addition is lost.
pub async fn concurrent_updates_lose_nothing(store: &dyn TestStore) {
    const THREADS: usize = 64;
    const ADDITIONS: usize = 3;
    let t = Fixture::new(store);
    t.put("sum", "0").await;
    let t = &t;
    race(THREADS, |_| async move {
        for _ in 0..ADDITIONS {
            while !add_one(t).await {}
        }
    });
    let sum = t.get("sum").await.expect("the sum is there").body;
    assert_eq!(String::from_utf8(sum).unwrap(), (THREADS * ADDITIONS).to_string(), "every addition counts");
}

/// Of two commits that each check the record that the other puts, one happens at most: a check holds at
/// the time of the writes, not before.
pub async fn a_check_and_a_put_of_its_record_exclude_each_other(store: &dyn TestStore) {
    let t = Fixture::new(store);
    for round in 0..ROUNDS {
        let keys = ["a", "b"].map(|id| t.key(id));
        let versions = [t.put("a", "start").await, t.put("b", "start").await];
        let (t, keys, versions) = (&t, &keys, &versions);
        let happened = race(2, |i| async move {
            let other = 1 - i;
            let own = put(keys[i].clone(), Expect::Version(versions[i]), "put");
            happens(t, [check(keys[other].clone(), versions[other]), own]).await
        });
        assert_ne!(happened, [true, true], "round {round}: each changed what the other had checked");
        assert_ne!(happened, [false, false], "round {round}: a conflict needs a commit that happened");
    }
}

/// One event that many commits bring at the same time is stored once, and all of them are done.
pub async fn one_event_from_many_commits_is_stored_once(store: &dyn TestStore) {
    for _ in 0..ROUNDS {
        let t = Fixture::new(store);
        let event = sealed(t.event_at(t.now), t.now);
        let (shared, event) = (&t, &event);
        race(RACERS, |i| async move {
            let mut commit = shared.commit([put(shared.key(i.to_string()), Expect::Absent, "body")]);
            commit.events.push(event.clone());
            shared.done(commit).await;
        });
        assert_eq!(&t.log().await, std::slice::from_ref(event));
    }
}

/// Races puts at `key` and asserts that exactly one happens.
fn one_winner(t: &Fixture<'_>, key: &Key, expect: Expect, round: usize) {
    let happened = race(RACERS, |i| happens(t, [put(key.clone(), expect, &i.to_string())]));
    let winners: Vec<_> = (0..RACERS).filter(|&i| happened[i]).collect();
    assert_eq!(winners.len(), 1, "round {round}: winners {winners:?}");
    let read = race(1, |_| t.body(&key.id)).remove(0);
    assert_eq!(read, Some(winners[0].to_string()), "round {round}: the winner's body is read");
}

async fn happens(t: &Fixture<'_>, writes: impl IntoIterator<Item = Write> + Send) -> bool {
    t.store.commit(t.commit(writes)).await.expect("the commit is answered") == Committed::Done
}

async fn add_one(t: &Fixture<'_>) -> bool {
    let record = t.get("sum").await.expect("the sum is there");
    let sum: usize = String::from_utf8(record.body).unwrap().parse().unwrap();
    let expect = Expect::Version(record.version);
    happens(t, [put(t.key("sum"), expect, &(sum + 1).to_string())]).await
}
