#![expect(clippy::arithmetic_side_effects, reason = "an overflow should fail the test")]

use core::time::Duration;
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{SAMPLE_SECOND, acme, at, erased};
use crate::{
    Checkpoint, CheckpointKey, Event, EventBuilder, EventId, Flaw, Kind, Outcome, Problem, Report, Spot,
    Stream, Timestamp, UserId, Verifier,
};

pub(super) const LOG: [u8; 16] = [3; 16];

pub(super) fn key() -> CheckpointKey {
    CheckpointKey::from_bytes([7; 32]).unwrap()
}

/// What a log holds at one place.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Entry {
    Event(Box<Event>),
    Checkpoint(Checkpoint),
}

use Entry::{Checkpoint as C, Event as E};

/// An event of one of three streams.
pub(super) fn event(number: u64) -> Event {
    event_saying(number, "wrong_code")
}

fn event_saying(number: u64, reason: &'static str) -> Event {
    let at = at(SAMPLE_SECOND + number);
    let stream = Stream::new([u8::try_from(number % 3).unwrap(); 16], number / 3 + 1);
    EventBuilder::new(acme(), Kind::AnswerRejected, Outcome::Failure, at)
        .reason(reason)
        .user(UserId::parse("bob").unwrap())
        .stream(stream)
        .build(EventId::new(at, [u8::try_from(number % 251).unwrap(); 16]), [9; 16])
        .unwrap()
}

fn forgetting(number: u64) -> Event {
    let at = at(SAMPLE_SECOND + number);
    let event = EventBuilder::new(acme(), Kind::UserForgotten, Outcome::Success, at);
    event.build(EventId::new(at, [u8::try_from(number).unwrap(); 16]), [7; 16]).unwrap()
}

fn over(last: Option<&Checkpoint>, events: &[Event]) -> Checkpoint {
    let at = events.last().or(None).map_or_else(|| at(SAMPLE_SECOND), Event::at);
    Checkpoint::over(last, LOG, at, events.iter().map(|event| *event.hash()).collect(), &key()).unwrap()
}

/// A log whose checkpoints cover so many events each, with a tail that none covers.
pub(super) fn log(counts: &[usize], tail: usize) -> Vec<Entry> {
    let mut numbers = 0_u64..;
    let (mut entries, mut last) = (Vec::new(), None);
    for count in counts {
        let events: Vec<_> = numbers.by_ref().take(*count).map(event).collect();
        let made = over(last.as_ref(), &events);
        entries.extend(events.into_iter().map(|event| E(Box::new(event))));
        entries.push(C(made));
        last = Some(made);
    }
    entries.extend(numbers.take(tail).map(|number| E(Box::new(event(number)))));
    entries
}

fn head(log: &[Entry]) -> Checkpoint {
    let last = log.iter().rev().find_map(|entry| if let C(made) = entry { Some(*made) } else { None });
    last.unwrap()
}

fn feed(mut verifier: Verifier, log: &[Entry]) -> Report {
    for entry in log {
        match entry {
            E(event) => verifier.event(event),
            C(checkpoint) => verifier.checkpoint(checkpoint),
        }
    }
    verifier.finish()
}

fn check(log: &[Entry]) -> Report {
    feed(Verifier::new(key()), log)
}

fn problem(log: &[Entry]) -> Option<(Flaw, Spot)> {
    check(log).problem.map(|Problem { flaw, spot }| (flaw, spot))
}

pub(super) fn place(place: u64, event: &Event) -> Spot {
    Spot::Event { place, id: Some(event.id()) }
}

#[test]
fn an_honest_log_holds() {
    for counts in [&[0][..], &[5], &[0, 4, 1], &[10, 10, 1]] {
        for tail in [0, 1, 4] {
            let log = log(counts, tail);
            let events: usize = counts.iter().sum();
            let report = check(&log);
            assert!(report.holds() && report.is_authentic(), "{report}");
            assert_eq!(report.events, u64::try_from(events + tail).unwrap());
            assert_eq!(report.uncovered(), u64::try_from(tail).unwrap());
            assert_eq!(report.checkpoints, u64::try_from(counts.len()).unwrap());
            assert_eq!(report.head, Some(head(&log)));
        }
    }
}

#[test]
fn a_changed_event_is_found_where_it_stands() {
    let log = log(&[4, 4], 2);
    for n in (0..log.len()).filter(|n| matches!(log[*n], E(_))) {
        let mut changed = log.clone();
        let E(event) = &mut changed[n] else { continue };
        event.core.reason = Some("right_code".into());
        let event = event.clone();
        let events_before = log[..=n].iter().filter(|entry| matches!(entry, E(_))).count();
        let spot = place(u64::try_from(events_before).unwrap(), &event);
        assert_eq!(problem(&changed), Some((Flaw::Changed, spot)), "{n}");
    }
}

#[test]
fn a_changed_event_with_a_new_hash_is_found_by_its_checkpoint() {
    let mut log = log(&[4, 4], 0);
    log[6] = E(Box::new(event_saying(5, "right_code")));
    assert_eq!(problem(&log), Some((Flaw::Changed, Spot::Checkpoint(2))));
}

#[test]
fn a_missing_event_is_found_wherever_it_stood() {
    let log = log(&[4, 4], 0);
    for (n, checkpoint) in [(0, 1), (1, 1), (3, 1), (5, 2), (6, 2), (8, 2)] {
        let mut cut = log.clone();
        cut.remove(n);
        assert_eq!(problem(&cut), Some((Flaw::Missing, Spot::Checkpoint(checkpoint))), "{n}");
    }
}

#[test]
fn an_inserted_event_is_found() {
    let log = log(&[4, 4], 0);
    for (n, checkpoint) in [(0, 1), (2, 1), (4, 1), (5, 2), (9, 2)] {
        let mut more = log.clone();
        more.insert(n, E(Box::new(event(100))));
        assert_eq!(problem(&more), Some((Flaw::Inserted, Spot::Checkpoint(checkpoint))), "{n}");
        let mut twice = log.clone();
        twice.insert(n, log[if n < 5 { 0 } else { 5 }].clone());
        assert_eq!(problem(&twice), Some((Flaw::Inserted, Spot::Checkpoint(checkpoint))), "{n}");
    }
}

#[test]
fn one_event_in_the_place_of_another_is_found() {
    let mut log = log(&[4, 4], 0);
    log[2] = log[1].clone();
    assert_eq!(problem(&log), Some((Flaw::Changed, Spot::Checkpoint(1))));
}

#[test]
fn an_event_moved_behind_the_next_checkpoint_is_found() {
    let mut log = log(&[4, 4], 0);
    let moved = log.remove(3);
    log.insert(4, moved);
    assert_eq!(problem(&log), Some((Flaw::Missing, Spot::Checkpoint(1))));
}

#[test]
fn a_cut_end_is_found_with_the_trusted_checkpoint_alone() {
    let whole = log(&[4, 4, 4], 3);
    let trusted = head(&whole);
    for kept in [0, 3, 5, 10, 14] {
        let cut = &whole[..kept];
        let report = feed(Verifier::new(key()).trusting(trusted), cut);
        assert_eq!(report.problem, Some(Problem { flaw: Flaw::CutTail, spot: Spot::Trusted(3) }), "{kept}");
    }
    assert!(check(&whole[..10]).holds(), "without it, a whole log that ended earlier looks the same");
    assert!(feed(Verifier::new(key()).trusting(trusted), &whole).holds());
    let older = head(&whole[..5]);
    assert!(feed(Verifier::new(key()).trusting(older), &whole).holds(), "an older one is met on the way");
}

#[test]
fn an_older_copy_that_was_continued_is_found() {
    let whole = log(&[4, 4, 4], 0);
    let mut forked = whole[..10].to_vec();
    let other = event_saying(8, "right_code");
    forked.push(E(Box::new(other.clone())));
    forked.push(C(over(Some(&head(&whole[..10])), &[other])));
    assert!(check(&forked).holds());
    let report = feed(Verifier::new(key()).trusting(head(&whole)), &forked);
    assert_eq!(report.problem, Some(Problem { flaw: Flaw::NotExtended, spot: Spot::Checkpoint(3) }));
}

#[test]
fn a_trusted_checkpoint_must_itself_be_authentic_and_of_this_log() {
    let whole = log(&[4], 0);
    let mut forged = head(&whole);
    forged.number = 0;
    let report = feed(Verifier::new(key()).trusting(forged), &whole);
    assert_eq!(report.problem, Some(Problem { flaw: Flaw::WrongMac, spot: Spot::Trusted(0) }));
    let other = Checkpoint::over(None, [4; 16], at(SAMPLE_SECOND), vec![], &key()).unwrap();
    let report = feed(Verifier::new(key()).trusting(other), &whole);
    assert_eq!(report.problem, Some(Problem { flaw: Flaw::AnotherLog, spot: Spot::Checkpoint(1) }));
}

#[test]
fn without_the_key_a_trusted_checkpoint_is_demanded_all_the_same() {
    let whole = log(&[4, 4], 0);
    let keyless = || Verifier::without_key();
    assert!(feed(keyless().trusting(head(&whole)), &whole).holds());
    for number in [0, 3, u64::MAX] {
        let mut never_met = head(&whole);
        never_met.number = number;
        let report = feed(keyless().trusting(never_met), &whole);
        assert_eq!(report.problem.map(|p| p.flaw), Some(Flaw::CutTail), "{number}");
    }
}

#[test]
fn a_broken_chain_is_found() {
    let whole = log(&[2, 2, 2], 0);
    let first_gone: Vec<_> =
        whole.iter().enumerate().filter(|(n, _)| *n != 2).map(|(_, e)| e.clone()).collect();
    assert_eq!(problem(&first_gone), Some((Flaw::BrokenChain, Spot::Checkpoint(2))));
    let middle_gone: Vec<_> =
        whole.iter().enumerate().filter(|(n, _)| *n != 5).map(|(_, e)| e.clone()).collect();
    assert_eq!(problem(&middle_gone), Some((Flaw::BrokenChain, Spot::Checkpoint(3))));
    let mut twice = whole.clone();
    twice.insert(3, whole[2].clone());
    assert_eq!(problem(&twice), Some((Flaw::BrokenChain, Spot::Checkpoint(1))));
    let with_its_events = [&whole[..3], &whole[6..]].concat();
    assert_eq!(problem(&with_its_events), Some((Flaw::BrokenChain, Spot::Checkpoint(3))));
    // Of another log under the same key.
    let other = Checkpoint::over(None, [4; 16], at(SAMPLE_SECOND), vec![], &key()).unwrap();
    let mixed = [&whole[..3], &[C(other)]].concat();
    assert_eq!(problem(&mixed), Some((Flaw::BrokenChain, Spot::Checkpoint(1))));
}

/// Two chains of one log under one key, as when an older copy was continued: a link of the other does not fit.
#[test]
fn a_link_of_another_chain_is_found_though_its_numbers_fit() {
    let whole = log(&[2, 2], 0);
    let events: Vec<_> =
        whole.iter().filter_map(|e| if let E(e) = e { Some((**e).clone()) } else { None }).collect();
    let other_first = over(None, &[event_saying(0, "other"), events[1].clone()]);
    let other_second = over(Some(&other_first), &events[2..]);
    let mixed = [&whole[..5], &[C(other_second)]].concat();
    assert_eq!(problem(&mixed), Some((Flaw::BrokenChain, Spot::Checkpoint(2))));
}

#[test]
fn another_key_is_told_as_a_wrong_mac() {
    let whole = log(&[2, 2], 0);
    let report = feed(Verifier::new(CheckpointKey::from_bytes([8; 32]).unwrap()), &whole);
    assert_eq!(report.problem, Some(Problem { flaw: Flaw::WrongMac, spot: Spot::Checkpoint(1) }));
    assert_eq!(report.problem.unwrap().flaw.code(), "wrong_mac");
}

#[test]
fn a_rewritten_log_with_fresh_hashes_and_chain_is_found_by_its_macs() {
    let mut whole = log(&[2], 0);
    whole[0] = E(Box::new(event_saying(0, "right_code")));
    let events: Vec<_> =
        whole.iter().filter_map(|e| if let E(e) = e { Some((**e).clone()) } else { None }).collect();
    let mut forged = head(&whole);
    forged.root = over(None, &events).root;
    whole[2] = C(forged);
    assert_eq!(problem(&whole), Some((Flaw::WrongMac, Spot::Checkpoint(1))));
    // Which is all that stands between it and a log that looks whole.
    let report = feed(Verifier::without_key(), &whole);
    assert!(report.holds() && !report.is_authentic(), "{report}");
    assert!(report.to_string().contains("no key was given"), "{report}");
}

#[test]
fn without_the_key_damage_is_found() {
    let whole = log(&[2, 2], 0);
    for gone in 0..5 {
        let mut cut = whole.clone();
        cut.remove(gone);
        assert!(!feed(Verifier::without_key(), &cut).holds(), "{gone}");
    }
}

#[test]
fn a_gap_in_a_stream_is_found_where_no_checkpoint_speaks_for_the_event() {
    // Taken out before anything covered it: the checkpoint was made over what was left.
    let events = [0, 1, 2, 4, 6].map(event);
    let mut log: Vec<_> = events.iter().cloned().map(|event| E(Box::new(event))).collect();
    log.push(C(over(None, &events)));
    assert_eq!(problem(&log), Some((Flaw::StreamGap, place(5, &events[4]))));
    // Not covered at all.
    let mut log = [self::log(&[3], 0), vec![E(Box::new(event(3))), E(Box::new(event(6)))]].concat();
    assert_eq!(problem(&log), None);
    log.remove(4);
    assert_eq!(problem(&log), Some((Flaw::StreamGap, place(4, &event(6)))));
    // A stream begins at 1, and has no position twice.
    assert_eq!(
        problem(&[self::log(&[0], 0), vec![E(Box::new(event(3)))]].concat()).unwrap().0,
        Flaw::StreamGap
    );
    let twice = [self::log(&[3], 0), vec![E(Box::new(event_saying(2, "other")))]].concat();
    assert_eq!(problem(&twice), Some((Flaw::StreamGap, place(4, &event(2)))));
}

#[test]
fn what_a_missing_event_explains_is_not_called_a_gap() {
    let mut whole = log(&[6], 0);
    whole.remove(1);
    assert_eq!(problem(&whole), Some((Flaw::Missing, Spot::Checkpoint(1))));
}

#[test]
fn an_event_put_in_long_after_its_time_is_found_covered_or_not() {
    let times = |day: u64| at(SAMPLE_SECOND + day * 86_400);
    let [old, new] = [0, 3].map(|day| {
        let builder = EventBuilder::new(acme(), Kind::AnswerRejected, Outcome::Failure, times(day));
        builder.build(EventId::new(times(day), [u8::try_from(day).unwrap(); 16]), [9; 16]).unwrap()
    });
    let made = |last: Option<&Checkpoint>, at: Timestamp, event: &Event| {
        Checkpoint::over(last, LOG, at, vec![*event.hash()], &key()).unwrap()
    };
    let first = made(None, times(3), &new);
    let start = vec![E(Box::new(new.clone())), C(first)];
    let late = [start.clone(), vec![E(Box::new(old.clone()))]].concat();
    assert_eq!(problem(&late), Some((Flaw::Backdated, place(2, &old))));
    let covered = [late.clone(), vec![C(made(Some(&first), times(4), &old))]].concat();
    assert_eq!(problem(&covered), Some((Flaw::Backdated, place(2, &old))));
    // A clock that was ahead when the first checkpoint was made, and right when the second was.
    let corrected = [late.clone(), vec![C(made(Some(&first), times(0), &old))]].concat();
    assert_eq!(problem(&corrected), None);
    let verifier = || Verifier::new(key());
    assert!(feed(verifier().allowing_lag(Duration::from_secs(3 * 86_400)), &late).holds());
    assert!(!feed(verifier().allowing_lag(Duration::from_secs(3 * 86_400 - 1)), &late).holds());
    assert!(feed(verifier().allowing_lag(Duration::MAX), &covered).holds());
}

#[test]
fn s27_an_erased_event_still_verifies_and_is_counted() {
    let mut whole = log(&[4], 0);
    let E(event) = whole[1].clone() else { panic!("an event") };
    whole[1] = E(Box::new(erased(&event)));
    // Nobody was forgotten: whoever can write the log took the values out.
    assert_eq!(problem(&whole), Some((Flaw::Erased, place(2, &event))));
    whole.push(E(Box::new(forgetting(9))));
    let report = check(&whole);
    assert!(report.holds(), "{report}");
    assert_eq!(report.erased, 1);
    // A forgetting accounts for what stands in front of it.
    let E(event) = &whole[2] else { panic!("an event") };
    let after = [whole.clone(), vec![E(Box::new(erased(&event_saying(4, "later"))))]].concat();
    assert_eq!(problem(&after).unwrap().0, Flaw::Erased);
    assert!(!event.is_erased());
    // Other values in their place do not.
    let E(event) = &mut whole[2] else { panic!("an event") };
    event.personal.as_mut().unwrap().user = Some(UserId::parse("eve").unwrap());
    assert_eq!(problem(&whole).unwrap().0, Flaw::Changed);
}

#[test]
fn a_log_without_a_checkpoint_proves_nothing() {
    assert_eq!(problem(&[]), Some((Flaw::NoCheckpoint, Spot::Log)));
    assert_eq!(problem(&log(&[], 3)), Some((Flaw::NoCheckpoint, Spot::Log)));
}

#[test]
fn the_codes_of_flaws_are_all_different() {
    let flaws = [
        Flaw::Changed,
        Flaw::Missing,
        Flaw::Inserted,
        Flaw::Backdated,
        Flaw::Erased,
        Flaw::StreamGap,
        Flaw::BrokenChain,
        Flaw::WrongMac,
        Flaw::AnotherLog,
        Flaw::CutTail,
        Flaw::NotExtended,
        Flaw::NoCheckpoint,
    ];
    let [codes, texts]: [BTreeSet<String>; 2] =
        [flaws.map(|flaw| flaw.code().to_owned()).into(), flaws.map(|flaw| flaw.to_string()).into()];
    assert_eq!((codes.len(), texts.len()), (flaws.len(), flaws.len()));
}

proptest! {
    /// Whatever is done to one place of a covered log, it no longer holds, given the trusted head.
    #[test]
    fn no_single_change_goes_unnoticed(
        counts in proptest::collection::vec(0..6_usize, 1..5),
        what in 0..5_u8,
        (one, other) in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let counts: Vec<_> = counts.into_iter().enumerate().map(|(n, count)| count.max(usize::from(n > 0))).collect();
        let whole = log(&counts, 0);
        let mut changed = whole.clone();
        let (one, other) = (one.index(whole.len()), other.index(whole.len()));
        match what {
            0 => drop(changed.remove(one)),
            1 => changed.insert(one, whole[other].clone()),
            2 => changed[one] = whole[other].clone(),
            3 => changed.truncate(one),
            _ => changed.swap(one, other),
        }
        prop_assume!(changed != whole);
        let report = feed(Verifier::new(key()).trusting(head(&whole)), &changed);
        // Only the order of events under one checkpoint is free, as long as streams go on.
        let same_sets = |log: &[Entry]| -> Vec<BTreeSet<[u8; 32]>> {
            log.split_inclusive(|entry| matches!(entry, C(_)))
                .map(|part| part.iter().map(|e| match e { E(e) => *e.hash(), C(c) => c.mac }).collect())
                .collect()
        };
        prop_assert!(!report.holds() || (changed.len() == whole.len() && same_sets(&changed) == same_sets(&whole)), "{report}");
    }
}
