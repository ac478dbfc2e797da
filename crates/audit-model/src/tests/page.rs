use futures::executor::block_on;

use super::{SAMPLE_SECOND, VecLog, acme, attempt_at, full_event, key, place};
use crate::{AuditError, AuditLog, Event, EventId, Query, all, page};

/// 120 attempts, three in each second, so that every page border falls between equal times.
fn log_of_120() -> VecLog {
    VecLog::of((0..120_u8).map(|n| attempt_at(SAMPLE_SECOND.saturating_add(u64::from(n / 3)), n)))
}

fn ids(events: &[Event]) -> Vec<EventId> {
    events.iter().map(Event::id).collect()
}

fn pages(log: &VecLog, query: &Query, between: impl Fn(usize)) -> Vec<Vec<Event>> {
    let mut pages: Vec<Vec<Event>> = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = block_on(page(log, query, after.as_deref(), &key())).unwrap();
        pages.push(page.events);
        between(pages.len());
        match page.next {
            Some(next) => after = Some(next.to_string()),
            None => return pages,
        }
    }
}

#[test]
fn a20_120_rows_come_as_50_50_and_20() {
    let log = log_of_120();
    let pages = pages(&log, &Query::new(acme()).attempts(), |_| {});
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [50, 50, 20]);
}

#[test]
fn pages_neither_repeat_nor_lose_a_row_at_equal_times() {
    let log = log_of_120();
    let mut sorted = log.0.lock().unwrap().clone();
    sorted.sort_by_key(place);
    let oldest_first = pages(&log, &Query::new(acme()).ascending(), |_| {}).concat();
    assert_eq!(ids(&oldest_first), ids(&sorted));
    sorted.reverse();
    for limit in [1, 2, 49, 50, 60, 119, 120, 121, 1000] {
        let query = Query::new(acme()).limit(limit).unwrap();
        assert_eq!(ids(&pages(&log, &query, |_| {}).concat()), ids(&sorted), "{limit}");
    }
}

#[test]
fn a_full_last_page_has_no_next() {
    let log = log_of_120();
    let query = Query::new(acme()).limit(60).unwrap();
    assert_eq!(pages(&log, &query, |_| {}).iter().map(Vec::len).collect::<Vec<_>>(), [60, 60]);
}

#[test]
fn an_empty_answer_has_no_next() {
    let page = block_on(page(&VecLog::default(), &Query::new(acme()), None, &key())).unwrap();
    assert!(page.events.is_empty() && page.next.is_none());
}

#[test]
fn newest_first_rows_added_between_pages_change_nothing() {
    let log = log_of_120();
    let before = block_on(all(&log, &Query::new(acme()), 1000)).unwrap();
    let read = pages(&log, &Query::new(acme()), |number| {
        log.add(attempt_at(SAMPLE_SECOND.saturating_add(1000), u8::try_from(number).unwrap()));
    });
    assert_eq!(ids(&read.concat()), ids(&before));
}

#[test]
fn oldest_first_rows_added_between_pages_come_at_the_end() {
    let log = log_of_120();
    let read = pages(&log, &Query::new(acme()).ascending(), |number| {
        if number <= 2 {
            log.add(attempt_at(SAMPLE_SECOND.saturating_add(1000), u8::try_from(number).unwrap()));
        }
    });
    let now = block_on(all(&log, &Query::new(acme()).ascending(), 1000)).unwrap();
    assert_eq!(now.len(), 122);
    assert_eq!(ids(&read.concat()), ids(&now));
}

#[test]
fn a_thousand_rows_fit_one_page_and_one_more_takes_a_second() {
    let rows = |count: u64| VecLog::of((0..count).map(|n| attempt_at(SAMPLE_SECOND.saturating_add(n), 1)));
    let query = Query::new(acme()).limit(1000).unwrap();
    assert_eq!(pages(&rows(1000), &query, |_| {}).iter().map(Vec::len).collect::<Vec<_>>(), [1000]);
    assert_eq!(pages(&rows(1001), &query, |_| {}).iter().map(Vec::len).collect::<Vec<_>>(), [1000, 1]);
}

#[test]
fn a_limit_written_into_the_field_is_checked_too() {
    for limit in [0, 1001, usize::MAX] {
        let query = Query { limit, ..Query::new(acme()) };
        let refused = block_on(page(&log_of_120(), &query, None, &key())).unwrap_err();
        assert!(matches!(refused, AuditError::Invalid { field: "limit", .. }), "{limit}: {refused}");
    }
}

#[test]
fn a_cursor_of_the_other_direction_is_refused() {
    let log = log_of_120();
    let query = Query::new(acme());
    let next = block_on(page(&log, &query, None, &key())).unwrap().next.unwrap();
    let refused = block_on(page(&log, &query.ascending(), Some(next.as_str()), &key())).unwrap_err();
    assert!(matches!(refused, AuditError::InvalidCursor));
}

#[test]
fn a21_all_is_the_concatenation_of_the_pages() {
    let log = log_of_120();
    for query in [Query::new(acme()), Query::new(acme()).ascending()] {
        let whole = block_on(all(&log, &query, 120)).unwrap();
        assert_eq!(ids(&whole), ids(&pages(&log, &query, |_| {}).concat()));
    }
}

#[test]
fn a21_all_refuses_more_than_the_ceiling() {
    let log = log_of_120();
    for ceiling in [0, 1, 50, 119] {
        let refused = block_on(all(&log, &Query::new(acme()), ceiling)).unwrap_err();
        assert!(matches!(refused, AuditError::RangeTooLarge { limit } if limit == ceiling));
    }
    assert_eq!(block_on(all(&log, &Query::new(acme()), usize::MAX)).unwrap().len(), 120);
    assert!(block_on(all(&VecLog::default(), &Query::new(acme()), 0)).unwrap().is_empty());
}

#[test]
fn all_reads_past_the_largest_page() {
    let log = VecLog::of((0..2500_u64).map(|n| attempt_at(SAMPLE_SECOND.saturating_add(n), 1)));
    assert_eq!(block_on(all(&log, &Query::new(acme()), 2500)).unwrap().len(), 2500);
    let refused = block_on(all(&log, &Query::new(acme()), 2499)).unwrap_err();
    assert_eq!(refused.code(), "range_too_large");
}

#[test]
fn an_event_of_another_scope_is_unknown() {
    let log = VecLog::of([full_event()]);
    let id = full_event().id();
    assert!(block_on(log.event(&acme(), id)).unwrap().is_some());
    assert!(block_on(log.event(&crate::Scope::System, id)).unwrap().is_none());
}
