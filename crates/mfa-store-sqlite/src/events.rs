//! Reads of events.

use audit_model::{Event, EventId, Order, Position, Query, Scope, StoredEvent, Timestamp, View};
use rusqlite::{Connection, OptionalExtension, Row, ToSql};

use crate::apply::{Octets, millis};
use crate::error::Failure;

pub(crate) const ONE: &str = "SELECT core, personal, hash FROM events WHERE scope = ?1 AND id = ?2";

/// Reads one event of `scope`.
pub(crate) fn one(connection: &Connection, scope: &Scope, id: EventId) -> Result<Option<Event>, Failure> {
    let mut select = connection.prepare_cached(ONE)?;
    let found = select.query_row((scope.as_str(), id.to_bytes()), |row| Ok(event(row))).optional()?;
    let Some(event) = found.transpose()? else { return Ok(None) };
    if *event.scope() != *scope || event.id() != id { Err(MISPLACED) } else { Ok(Some(event)) }
}

/// Reads a page of events.
pub(crate) fn page(
    connection: &Connection,
    query: &Query,
    after: Option<Position>,
) -> Result<Vec<Event>, Failure> {
    let bounds = Bounds::of(query, after);
    let user = query.user.as_ref().map(|user| user.as_str());
    let ip = query.ip.map(Octets::of);
    let ip = ip.as_ref().map(Octets::as_slice);
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let (scope, module) = (query.scope.as_str(), query.module.as_deref());
    let (kind, outcome) = (query.kind.map(|k| k.code()), query.outcome.map(|o| o.code()));
    let Bounds { low: (low_at, low_id), high: (high_at, high_id) } = &bounds;
    let mut values: Vec<&dyn ToSql> =
        vec![&scope, low_at, low_id, high_at, high_id, &module, &kind, &outcome];
    values.extend([&query.auth_type as &dyn ToSql, &limit]);
    let shape = Shape::of(query);
    // The numbers of these two in `Shape::sql`; a value without a place in the statement would be an error.
    if shape.user {
        values.push(&user);
    }
    if shape.ip {
        values.push(&ip);
    }
    let mut select = connection.prepare_cached(&shape.sql())?;
    let mut rows = select.query(values.as_slice())?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let event = event(row)?;
        if !query.matches(&event) {
            return Err(MISPLACED);
        }
        found.push(event);
    }
    Ok(found)
}

/// The columns a row is found by say something else than the event in it: nothing of it is shown to anyone.
const MISPLACED: Failure = Failure::Corrupt("an event that is not what its columns say");

fn event(row: &Row<'_>) -> Result<Event, Failure> {
    let stored = StoredEvent::new(row.get(0)?, row.get(1)?, row.get(2)?);
    Event::from_stored(&stored).map_err(|_| Failure::Corrupt("an event"))
}

/// The places between which a page lies, both excluded: (milliseconds, id).
struct Bounds {
    low: (i64, Vec<u8>),
    high: (i64, Vec<u8>),
}

impl Bounds {
    fn of(query: &Query, after: Option<Position>) -> Self {
        // No id is empty or begins with 0xff, so these lie before and behind every event of their time.
        let low = (millis(query.from.unwrap_or(Timestamp::MIN)), Vec::new());
        let high = (millis(query.to.unwrap_or(Timestamp::MAX)), vec![0xff]);
        let after = after.map(|after| (millis(after.at), after.id.to_bytes().to_vec()));
        match (after, query.order) {
            (None, _) => Self { low, high },
            (Some(after), Order::Ascending) => Self { low: after.max(low), high },
            (Some(after), _) => Self { low, high: after.min(high) },
        }
    }
}

/// What decides which index serves a query. Everything else is a filter over the rows of that index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) ascending: bool,
    pub(crate) attempts: bool,
    pub(crate) user: bool,
    pub(crate) ip: bool,
}

impl Shape {
    fn of(query: &Query) -> Self {
        Self {
            ascending: query.order == Order::Ascending,
            attempts: query.view != View::Events,
            user: query.user.is_some(),
            ip: query.ip.is_some(),
        }
    }

    /// Every value is a parameter; the text has 16 forms.
    pub(crate) fn sql(self) -> String {
        // Named, so that a plan without its index is an error and not a slow answer.
        let index = match self {
            Self { user: true, .. } => "INDEXED BY events_user",
            Self { ip: true, .. } => "INDEXED BY events_ip",
            Self { attempts: true, .. } => "INDEXED BY events_attempts",
            _ => "",
        };
        let attempts = if self.attempts { "AND attempt = 1" } else { "" };
        let (user, ip) = match (self.user, self.ip) {
            (true, true) => ("AND user = ?11", "AND ip = ?12"),
            (true, false) => ("AND user = ?11", ""),
            (false, true) => ("", "AND ip = ?11"),
            (false, false) => ("", ""),
        };
        let order = if self.ascending { "ASC" } else { "DESC" };
        format!(
            "SELECT core, personal, hash FROM events {index}
             WHERE scope = ?1 AND (at, id) > (?2, ?3) AND (at, id) < (?4, ?5) {attempts} {user} {ip}
             AND (?6 IS NULL OR module = ?6) AND (?7 IS NULL OR kind = ?7)
             AND (?8 IS NULL OR outcome = ?8) AND (?9 IS NULL OR auth_type = ?9)
             ORDER BY at {order}, id {order} LIMIT ?10"
        )
    }
}
