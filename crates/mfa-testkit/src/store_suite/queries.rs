//! Queries: conditions, order and paging.

mod paging;
mod population;

use audit_model::{Event, Kind, Outcome, Query, UserId};

use super::TestStore;
use super::fixture::{Fixture, sealed};
use population::{Population, Row};

pub use paging::{
    query_orders_by_time_then_id, query_pages_give_each_event_once, query_pages_hold_under_inserts,
    query_respects_the_limit,
};

/// A query sees the events of its own scope alone.
pub async fn query_keeps_to_its_scope(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let scopes = [t.in_new_scope(), t.in_new_scope()];
    for t in &scopes {
        t.write_events(vec![sealed(t.event_at(t.now), t.now)]).await;
    }
    for t in &scopes {
        let found = t.log().await;
        assert_eq!(found.len(), 1, "one event of two is of this scope");
        assert_eq!(*found[0].scope(), t.scope);
    }
    assert!(t.log().await.is_empty(), "an empty scope has no events");
}

/// The attempts view holds the attempts that are not hidden from it and no other event; the events view holds
/// all.
pub async fn query_by_view(store: &dyn TestStore) {
    let p = Population::new(store).await;
    p.finds(&p.query(), |_| true).await;
    p.finds(&p.query().attempts(), |row| row.auth_type.is_some() && !row.hidden).await;
}

/// A query by user finds the events about exactly that user.
pub async fn query_by_user(store: &dyn TestStore) {
    let p = Population::new(store).await;
    for name in ["bob", "Bob", "bo"] {
        let user = UserId::parse(name).unwrap();
        p.finds(&p.query().user(user), |row| row.user == Some(name)).await;
    }
}

/// A query by module finds the events of exactly that module.
pub async fn query_by_module(store: &dyn TestStore) {
    let p = Population::new(store).await;
    for name in ["user_auth", "User_auth", "userXauth", ""] {
        p.finds(&p.query().module(name), |row| row.module == Some(name)).await;
    }
}

/// A query by kind finds the events of that kind.
pub async fn query_by_kind(store: &dyn TestStore) {
    let p = Population::new(store).await;
    for &kind in Kind::ALL {
        p.finds(&p.query().kind(kind), |row| row.kind == kind).await;
    }
}

/// A query by outcome finds the events that ended so.
pub async fn query_by_outcome(store: &dyn TestStore) {
    let p = Population::new(store).await;
    for outcome in [Outcome::Success, Outcome::Failure, Outcome::Info] {
        p.finds(&p.query().outcome(outcome), |row| row.outcome == outcome).await;
    }
}

/// A query by `auth_type` finds the attempts of exactly that type.
pub async fn query_by_auth_type(store: &dyn TestStore) {
    let p = Population::new(store).await;
    for name in ["multi_factor", "Multi_factor", "multi"] {
        p.finds(&p.query().auth_type(name), |row| row.auth_type == Some(name)).await;
    }
}

/// A query by address finds the events from it, whether IPv4 was written plainly or mapped into IPv6.
pub async fn query_by_address(store: &dyn TestStore) {
    let p = Population::new(store).await;
    for ip in ["10.1.0.2", "::ffff:10.1.0.2", "2001:db8::1", "10.1.0.20"] {
        let plain = ip.trim_start_matches("::ffff:");
        p.finds(&p.query().ip(ip.parse().unwrap()), |row| row.ip == Some(plain)).await;
    }
}

/// A range of time includes both its ends, and nothing a millisecond outside.
pub async fn query_includes_both_ends_of_a_range(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let times = [0, 1, 2, 3, 4].map(|millis| t.later(millis));
    let events = times.map(|at| sealed(t.event_at(at), at));
    t.write_events(events.to_vec()).await;
    for (from, to) in [(1, 3), (2, 2), (0, 4), (4, 4), (0, 0)] {
        let range = Query::new(t.scope.clone()).ascending().between(t.later(from), t.later(to));
        let found = t.ask(&range.unwrap()).await;
        let within = |event: &&Event| (t.later(from)..=t.later(to)).contains(&event.at());
        let wanted: Vec<_> = events.iter().filter(within).cloned().collect();
        assert_eq!(found, wanted, "from {from} to {to}");
    }
    let ends = [(Some(t.later(2)), None, &events[2..]), (None, Some(t.later(2)), &events[..=2])];
    for (from, to, wanted) in ends {
        let mut query = Query::new(t.scope.clone()).ascending();
        (query.from, query.to) = (from, to);
        assert_eq!(t.ask(&query).await, wanted, "from {from:?} to {to:?}");
    }
}

/// All conditions of a query hold for each event it finds, and it finds every event they hold for: each
/// subset of the conditions, in both orders.
pub async fn query_combines_its_conditions(store: &dyn TestStore) {
    type Narrow = fn(Query) -> Query;
    type Holds = fn(&Row) -> bool;
    let conditions: [(Narrow, Holds); 7] = [
        (Query::attempts, |row| row.auth_type.is_some() && !row.hidden),
        (|q| q.user(UserId::parse("bob").unwrap()), |row| row.user == Some("bob")),
        (|q| q.module("user_auth"), |row| row.module == Some("user_auth")),
        (|q| q.kind(Kind::AnswerRejected), |row| row.kind == Kind::AnswerRejected),
        (|q| q.outcome(Outcome::Failure), |row| row.outcome == Outcome::Failure),
        (|q| q.auth_type("multi_factor"), |row| row.auth_type == Some("multi_factor")),
        (|q| q.ip("10.1.0.2".parse().unwrap()), |row| row.ip == Some("10.1.0.2")),
    ];
    let p = Population::new(store).await;
    for subset in 0_u32..1 << conditions.len() {
        let chosen = || (0..conditions.len()).filter(|i| subset & (1 << i) != 0).map(|i| conditions[i]);
        let holds = |row: &Row| chosen().all(|(_, holds)| holds(row));
        for query in [p.query(), p.query().ascending()] {
            let query = chosen().fold(query, |query, (narrow, _)| narrow(query));
            p.finds(&query, holds).await;
            let range = query.between(p.later(3), p.later(7)).unwrap();
            p.finds(&range, |row| holds(row) && (3..=7).contains(&row.millis)).await;
        }
    }
}
