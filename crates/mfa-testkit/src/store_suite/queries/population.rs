//! A log in which every condition of a query divides the events.

use audit_model::{Attempt, Event, EventBuilder, Kind, Order, Outcome, Query, Timestamp, UserId};

use super::super::TestStore;
use super::super::fixture::{Fixture, sealed};

/// What one event of the population says.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) user: Option<&'static str>,
    pub(super) module: Option<&'static str>,
    pub(super) kind: Kind,
    pub(super) outcome: Outcome,
    pub(super) auth_type: Option<&'static str>,
    /// Whether the attempts view must not show it.
    pub(super) hidden: bool,
    pub(super) ip: Option<&'static str>,
    /// Its time, in milliseconds behind the fixture's.
    pub(super) millis: u64,
}

const USERS: [Option<&str>; 3] = [None, Some("bob"), Some("Bob")];
const MODULES: [Option<&str>; 3] = [None, Some("user_auth"), Some("User_auth")];
const KINDS: [Kind; 2] = [Kind::AnswerAccepted, Kind::AnswerRejected];
const OUTCOMES: [Outcome; 3] = [Outcome::Success, Outcome::Failure, Outcome::Info];
/// With whether the attempts view must not show it.
const ATTEMPTS: [(Option<&str>, bool); 4] = [
    (None, false),
    (Some("multi_factor"), false),
    (Some("Multi_factor"), false),
    (Some("multi_factor"), true),
];
const IPS: [Option<&str>; 3] = [None, Some("10.1.0.2"), Some("2001:db8::1")];

/// Events with every combination of the values above, at eleven points in time, so that many share one.
#[derive(Debug)]
pub(super) struct Population<'a> {
    fixture: Fixture<'a>,
    rows: Vec<(Row, Event)>,
}

impl<'a> Population<'a> {
    pub(super) async fn new(store: &'a dyn TestStore) -> Self {
        let fixture = Fixture::new(store);
        let rows: Vec<_> = rows().map(|row| (row.clone(), event(&fixture, &row))).collect();
        fixture.write_events(rows.iter().map(|(_, event)| event.clone()).collect()).await;
        Self { fixture, rows }
    }

    pub(super) fn query(&self) -> Query {
        Query::new(self.fixture.scope.clone())
    }

    pub(super) fn later(&self, millis: u64) -> Timestamp {
        self.fixture.later(millis)
    }

    /// Asserts that `query` finds exactly the events whose rows `hold`, in its order.
    pub(super) async fn finds(&self, query: &Query, hold: impl Fn(&Row) -> bool + Send) {
        let held = self.rows.iter().filter(|(row, _)| hold(row));
        let mut wanted: Vec<_> = held.map(|(_, event)| event.clone()).collect();
        wanted.sort_by_key(|event| (event.at(), event.id()));
        if query.order == Order::Descending {
            wanted.reverse();
        }
        let found = self.fixture.ask(query).await;
        let same = found == wanted;
        assert!(same, "found {} events, wanted {}: {query:?}", found.len(), wanted.len());
    }
}

fn rows() -> impl Iterator<Item = Row> {
    let count = USERS.len() * MODULES.len() * KINDS.len() * OUTCOMES.len() * ATTEMPTS.len() * IPS.len();
    (0..count).map(|i| {
        let mut rest = i;
        let mut digit = |base: usize| {
            let digit = rest % base;
            rest /= base;
            digit
        };
        let user = USERS[digit(USERS.len())];
        let module = MODULES[digit(MODULES.len())];
        let kind = KINDS[digit(KINDS.len())];
        let outcome = OUTCOMES[digit(OUTCOMES.len())];
        let (auth_type, hidden) = ATTEMPTS[digit(ATTEMPTS.len())];
        Row {
            user,
            module,
            kind,
            outcome,
            auth_type,
            hidden,
            ip: IPS[digit(IPS.len())],
            millis: (i * 7 % 11) as u64,
        }
    })
}

fn event(t: &Fixture<'_>, row: &Row) -> Event {
    let at = t.later(row.millis);
    let mut event = EventBuilder::new(t.scope.clone(), row.kind, row.outcome, at);
    if let Some(user) = row.user {
        event = event.user(UserId::parse(user).unwrap());
    }
    if let Some(module) = row.module {
        event = event.module(module);
    }
    if let Some(auth_type) = row.auth_type {
        event = event.attempt(Attempt::new(auth_type, "message"));
    }
    if row.hidden {
        event = event.hidden_from_attempts();
    }
    if let Some(ip) = row.ip {
        event = event.ip(ip.parse().unwrap());
    }
    sealed(event, at)
}
