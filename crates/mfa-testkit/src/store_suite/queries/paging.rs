//! The order of a query, and reading it page by page.

use audit_model::{Event, EventId, Position, Query};

use super::super::TestStore;
use super::super::fixture::{Fixture, sealed};

/// Events come by time, those of one millisecond by id; the newest first, or the oldest.
pub async fn query_orders_by_time_then_id(store: &dyn TestStore) {
    let (t, events) = written(store).await;
    let query = Query::new(t.scope.clone());
    let places = |events: &[Event]| events.iter().map(place).collect::<Vec<_>>();
    let mut wanted = places(&events);
    wanted.sort_by_key(|place| (place.at, place.id));
    assert_eq!(places(&t.ask(&query.clone().ascending()).await), wanted, "oldest first");
    wanted.reverse();
    assert_eq!(places(&t.ask(&query).await), wanted, "newest first");
}

/// A query gives at most `limit` events, those that come first in its order.
pub async fn query_respects_the_limit(store: &dyn TestStore) {
    let (t, events) = written(store).await;
    for query in orders(&t) {
        let whole = t.ask(&query).await;
        assert_eq!(whole.len(), events.len());
        for limit in [1, 2, events.len() - 1, events.len(), Query::MAX_LIMIT] {
            let found = t.store.query(&query.clone().limit(limit).unwrap(), None).await.unwrap();
            assert_eq!(found, whole[..limit.min(whole.len())], "a limit of {limit}");
        }
    }
}

/// Pages of any size, each behind the last event of the one before, give each event once and in the order
/// of the whole, also where many events share a millisecond, and also within a range of time.
pub async fn query_pages_give_each_event_once(store: &dyn TestStore) {
    let (t, _) = written(store).await;
    for query in orders(&t) {
        let range = query.clone().between(t.later(1), t.later(2)).unwrap();
        for query in [query, range] {
            let whole = t.ask(&query).await;
            for size in [1, 2, 3, 5, whole.len()] {
                let query = query.clone().limit(size).unwrap();
                let mut paged: Vec<Event> = Vec::new();
                loop {
                    let page = store.query(&query, paged.last().map(place)).await.unwrap();
                    assert!(page.len() <= size, "a page of at most {size}");
                    if page.is_empty() || paged.len() > whole.len() {
                        break;
                    }
                    paged.extend(page);
                }
                assert_eq!(paged, whole, "pages of {size} give the whole: {:?}", query.order);
            }
        }
    }
}

/// A page behind a position holds every event that was behind it when it was given, whatever was written
/// since, and none at or before it. The position need not be that of an event.
pub async fn query_pages_hold_under_inserts(store: &dyn TestStore) {
    for ascending in [true, false] {
        let (t, _) = written(store).await;
        let query = Query::new(t.scope.clone());
        let query = if ascending { query.ascending() } else { query };
        let whole = t.ask(&query).await;
        let (first, behind) = whole.split_at(whole.len() / 2);
        let position = place(&first[first.len() - 1]);
        let mut late: Vec<_> = [0, 1, 2, 3].map(|ms| sealed(t.event_at(t.later(ms)), t.later(ms))).into();
        late.extend([[0; 16], [0xff; 16]].map(|random| {
            let id = EventId::new(position.at, random);
            t.event_at(position.at).build(id, random).unwrap()
        }));
        t.write_events(late.clone()).await;
        let page = t.store.query(&query.clone().limit(1000).unwrap(), Some(position)).await.unwrap();
        let is_behind = |event: &Event| {
            let place = place(event);
            if ascending { place > position } else { place < position }
        };
        assert!(page.iter().all(is_behind), "nothing at or before the position");
        assert!(behind.iter().all(|event| page.contains(event)), "everything that was behind it");
        let late_behind = late.iter().filter(|event| is_behind(event)).count();
        assert_eq!(page.len(), behind.len() + late_behind, "and what is behind it by now");
        let nowhere = Position::new(position.at, EventId::new(position.at, [0x80; 16]));
        let page = t.store.query(&query.limit(1000).unwrap(), Some(nowhere)).await.unwrap();
        let side = |e: &&Event| {
            if ascending { place(e) > nowhere } else { place(e) < nowhere }
        };
        let wanted = whole.iter().chain(&late).filter(side).count();
        assert_eq!(page.len(), wanted, "a position where no event is");
    }
}

fn orders(t: &Fixture<'_>) -> [Query; 2] {
    [Query::new(t.scope.clone()), Query::new(t.scope.clone()).ascending()]
}

/// Sixteen events, four in each of four milliseconds, written in no order.
async fn written(store: &dyn TestStore) -> (Fixture<'_>, Vec<Event>) {
    let t = Fixture::new(store);
    let times = (0..16).map(|i| t.later(i * 7 % 4));
    let events: Vec<_> = times.map(|at| sealed(t.event_at(at), at)).collect();
    t.write_events(events.clone()).await;
    (t, events)
}

fn place(event: &Event) -> Position {
    Position::new(event.at(), event.id())
}
