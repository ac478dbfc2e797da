#![expect(clippy::arithmetic_side_effects, reason = "an overflow should fail the test")]

use std::io::{self, BufReader, Read};

use proptest::prelude::*;

use super::any_event;
use super::verifier::{Entry, key, log};
use crate::export::{self, Line, ReadError, Reader};
use crate::{AuditError, Checkpoint, Flaw, Timestamp, Verifier};

fn lines(log: &[Entry]) -> String {
    let line = |entry: &Entry| match entry {
        Entry::Event(event) => export::to_line(event).unwrap(),
        Entry::Checkpoint(checkpoint) => export::checkpoint_to_line(checkpoint),
    };
    log.iter().map(|entry| line(entry) + "\n").collect()
}

fn check(text: &[u8]) -> Result<Option<Flaw>, ReadError> {
    let mut verifier = Verifier::new(key());
    Reader::new(text).verify(&mut verifier)?;
    Ok(verifier.finish().problem.map(|problem| problem.flaw))
}

fn sample() -> Checkpoint {
    Checkpoint::from_stored([1; 16], 2, Timestamp::MAX, (3, u64::MAX), [[0xab; 32], [0; 32], [7; 32]])
}

#[test]
fn a_checkpoint_is_the_documented_line() {
    let line = export::checkpoint_to_line(&sample());
    let (root, zeros, mac) = ("ab".repeat(32), "00".repeat(32), "07".repeat(32));
    let expected = format!(
        r#"{{"checkpoint":2,"format":1,"log":"01010101010101010101010101010101","at":253402300799999,"count":3,"total":18446744073709551615,"root":"{root}","previous":"{zeros}","mac":"{mac}"}}"#
    );
    assert_eq!(line, expected);
    assert_eq!(export::checkpoint_from_line(&line).unwrap(), sample());
    assert_eq!(Line::parse(&line).unwrap(), Line::Checkpoint(sample()));
}

#[test]
fn a_broken_checkpoint_is_refused_by_the_name_of_the_field() {
    let line = export::checkpoint_to_line(&sample());
    let cases = [
        (r#""format":1"#, r#""format":2"#, "format"),
        (r#""format":1,"#, "", "checkpoint"),
        ("253402300799999", "253402300800000", "at"),
        (r#""log":"01"#, r#""log":"0G"#, "log"),
        (r#""root":"ab"#, r#""root":"AB"#, "root"),
        (r#""previous":"00"#, r#""previous":"0"#, "previous"),
        (r#""mac":"07"#, r#""mac":"0707"#, "mac"),
        ("18446744073709551615", "18446744073709551616", "checkpoint"),
        (r#""count":3"#, r#""count":-3"#, "checkpoint"),
        (r#""count":3"#, r#""count":3,"count":3"#, "checkpoint"),
        (r#""count":3"#, r#""count":3,"shoe_size":3"#, "checkpoint"),
        ("}", "", "checkpoint"),
    ];
    for (from, to, name) in cases {
        let changed = line.replace(from, to);
        assert_ne!(changed, line, "{from}");
        let refused = Line::parse(&changed);
        assert!(
            matches!(refused, Err(AuditError::Invalid { field, .. }) if field == name),
            "{to}: {refused:?}"
        );
    }
}

#[test]
fn a_log_of_lines_is_checked_like_the_log() {
    let text = lines(&log(&[4, 3], 2));
    assert_eq!(check(text.as_bytes()).unwrap(), None);
    // The break at the very end is no part of a line.
    assert_eq!(check(text.trim_end().as_bytes()).unwrap(), None);
    let without_first = text.split_once('\n').unwrap().1;
    assert_eq!(check(without_first.as_bytes()).unwrap(), Some(Flaw::Missing));
}

#[test]
fn a_line_for_an_unreadable_event_is_a_changed_event() {
    let text = lines(&log(&[2], 0));
    let (_, rest) = text.split_once('\n').unwrap();
    let text = "{\"unreadable\":1}\n".to_owned() + rest;
    assert_eq!(check(text.as_bytes()).unwrap(), Some(Flaw::Changed));
    for broken in
        ["{\"unreadable\":-1}", "{\"unreadable\":1,\"x\":1}", "{\"unreadable\":1} ", "{\"unreadable\":1"]
    {
        assert_eq!(Line::parse(broken).is_ok(), broken == "{\"unreadable\":1} ", "{broken}");
    }
}

#[test]
fn white_space_around_a_line_of_a_log_is_refused() {
    let text = lines(&log(&[1], 0));
    let line = text.lines().next().unwrap();
    assert!(Line::parse(line).is_ok());
    for changed in [format!(" {line}"), format!("{line} "), format!("{line}\r"), String::new()] {
        assert!(
            matches!(Line::parse(&changed), Err(AuditError::Invalid { field: "line", .. })),
            "{changed:?}"
        );
    }
}

#[test]
fn the_reader_names_the_line_and_reads_on_behind_it() {
    let good = export::checkpoint_to_line(&sample());
    let long = " ".repeat(export::MAX_LINE_BYTES + 10);
    let text =
        [good.as_bytes(), b"\nnonsense\n", b"\xff\n", long.as_bytes(), b"\n", good.as_bytes()].concat();
    let read: Vec<_> = Reader::new(BufReader::with_capacity(7, &text[..])).collect();
    let told: Vec<_> =
        read.iter().map(|line| line.as_ref().map_or_else(ToString::to_string, |_| String::new())).collect();
    let expected = [
        "",
        "line 2: line: is not one JSON object",
        "line 3: line: is not UTF-8",
        "line 4: line: has 1048587 bytes, the limit is 1048576",
        "",
    ];
    assert_eq!(told, expected);
    assert_eq!(read[1].as_ref().unwrap_err().code(), "invalid_line");
}

#[test]
fn an_input_that_fails_ends_the_reading() {
    #[derive(Debug)]
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("no disk"))
        }
    }
    let mut reader = Reader::new(BufReader::new(Failing));
    assert_eq!(reader.next().unwrap().unwrap_err().code(), "io");
    assert!(reader.next().is_none());
}

prop_compose! {
    fn any_checkpoint()(
        log in any::<[u8; 16]>(),
        (number, count, total) in any::<(u64, u64, u64)>(),
        at in 0..=253_402_300_799_999_u64,
        hashes in any::<[[u8; 32]; 3]>(),
    ) -> Checkpoint {
        Checkpoint::from_stored(log, number, Timestamp::from_unix_millis(at).unwrap(), (count, total), hashes)
    }
}

proptest! {
    #[test]
    fn every_line_is_read_back(event in any_event(), checkpoint in any_checkpoint()) {
        let text = format!("{}\n{}\n", export::to_line(&event).unwrap(), export::checkpoint_to_line(&checkpoint));
        let read: Result<Vec<_>, _> = Reader::new(text.as_bytes()).collect();
        prop_assert_eq!(read.unwrap(), [Line::Event(event), Line::Checkpoint(checkpoint)]);
    }

    #[test]
    fn no_input_makes_the_reader_panic(bytes in any::<Vec<u8>>(), text in any::<String>(), event in any_event(), at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let count = |bytes: &[u8]| Reader::new(bytes).count();
        prop_assert_eq!(count(&bytes), bytes.split_inclusive(|byte| *byte == b'\n').count());
        count(text.as_bytes());
        for prefix in ["{\"checkpoint\":", "{\"unreadable\":", "{"] {
            let _ = Line::parse(&format!("{prefix}{text}"));
        }
        let mut line = export::to_line(&event).unwrap().into_bytes();
        let at = at.index(line.len());
        line[at] = with;
        count(&line);
    }

    /// A verifier that is fed anything ends with a report.
    #[test]
    fn no_entries_make_the_verifier_panic(
        entries in proptest::collection::vec(prop_oneof![any_event().prop_map(Ok), any_checkpoint().prop_map(Err)], 0..8),
        trusted in proptest::option::of(any_checkpoint()),
        keyed in any::<bool>(),
    ) {
        let mut verifier = if keyed { Verifier::new(key()) } else { Verifier::without_key() }.trusting(trusted);
        for entry in &entries {
            match entry {
                Ok(event) => verifier.event(event),
                Err(checkpoint) => verifier.checkpoint(checkpoint),
            }
        }
        let report = verifier.finish();
        prop_assert_eq!(report.events, u64::try_from(entries.iter().filter(|entry| entry.is_ok()).count()).unwrap());
        prop_assert!(!report.to_string().is_empty());
    }

    /// Any other byte in any place of a log makes it one that does not hold, but for the break at its end.
    #[test]
    fn any_changed_byte_is_found(at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let text = lines(&log(&[3, 2], 1)).into_bytes();
        let at = at.index(text.len() - 1);
        prop_assume!(text[at] != with);
        let mut changed = text;
        changed[at] = with;
        prop_assert!(!matches!(check(&changed), Ok(None)), "byte {at} to {with}");
    }
}
