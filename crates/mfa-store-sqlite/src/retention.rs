//! Dropping events that have been kept long enough.

use audit_model::{CheckpointKey, Dropped, Event, Leaf, Retention, Stream, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::apply::millis;
use crate::checkpoints::{self, FOREIGN, checkpoint, leaf, lenient, number};
use crate::error::Failure;
use crate::events;

/// The columns of `LEAVES`. Two kinds stay.
pub(crate) const TAKEN: &str = "SELECT seq, core, personal, hash,
    scope, at, id, kind, outcome, attempt, auth_type, module, user, ip
    FROM events WHERE scope = ?1 AND at < ?2 AND seq <= ?3 AND kind NOT IN (?4, ?5, ?6) ORDER BY at, id LIMIT ?7";
pub(crate) const NEXT_SCOPE: &str = "SELECT min(scope) FROM events WHERE scope > ?1";
pub(crate) const DROP: &str = "DELETE FROM events WHERE scope = ?1 AND at = ?2 AND id = ?3";
pub(crate) const LEAVE: &str = "INSERT INTO dropped (seq, hash, stream, position, by, mac, at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
pub(crate) const BEHIND: &str = "SELECT seq, hash, stream, position, by, mac, at FROM dropped
    WHERE seq > ?1 ORDER BY seq LIMIT ?2";

const DAMAGED: Failure = Failure::Corrupt("an event that is not what was logged; nothing was dropped");

/// Drops what the order takes, inside the writer's transaction, and returns how many events that were and the
/// event that tells of it, which is still to be appended.
///
/// Everything is judged before anything is written: a failure leaves the transaction as it was.
pub(crate) fn drop_events(
    connection: &Connection,
    order: &Retention,
    key: &CheckpointKey,
) -> Result<(u64, Option<Event>), Failure> {
    if let Some(told) = events::one(connection, order.told_in(), order.id())? {
        return Ok((Retention::count_of(&told).ok_or(DAMAGED)?, None));
    }
    let mut select = connection.prepare_cached(checkpoints::LAST)?;
    let last = select.query_row((), |row| Ok(checkpoint(row))).optional()?;
    let Some(last) = last.transpose()? else { return Ok((0, None)) };
    if !last.is_authentic(key) {
        return Err(FOREIGN);
    }
    let taken = taken(connection, order, last.total)?;
    if taken.is_empty() {
        return Ok((0, None));
    }
    let told = order.event(taken.len()).map_err(|_| Failure::Corrupt("an order to drop events"))?;
    let mut drop = connection.prepare_cached(DROP)?;
    let mut leave = connection.prepare_cached(LEAVE)?;
    for (place, event) in &taken {
        let Dropped { hash, at, stream, by, mac, .. } = Dropped::of(event, *place, &told, key);
        let id = event.id().to_bytes();
        drop.execute((event.scope().as_str(), millis(event.at()), id))?;
        let (stream, position) = (stream.map(|s| s.id), stream.map(|s| s.seq.cast_signed()));
        leave.execute((number(*place), hash, stream, position, by, mac, millis(at)))?;
    }
    Ok((u64::try_from(taken.len()).unwrap_or(u64::MAX), Some(told)))
}

/// Reads what the order takes of the places up to `covered`, the oldest of each scope first.
fn taken(connection: &Connection, order: &Retention, covered: u64) -> Result<Vec<(u64, Event)>, Failure> {
    let mut found = Vec::new();
    let mut scope = match order.scope() {
        Some(scope) => Some(scope.as_str().to_owned()),
        None => next_scope(connection, "")?,
    };
    let [told, user, account] = Retention::KEPT.map(|kind| kind.code());
    while let Some(name) = scope {
        let room = Retention::MAX_EVENTS.saturating_sub(found.len());
        let values = (&name, millis(order.before()), number(covered), told, user, account, number(room));
        let mut select = connection.prepare_cached(TAKEN)?;
        let mut rows = select.query(values)?;
        while let Some(row) = rows.next()? {
            found.push(judged(row)?);
        }
        scope = match order.scope() {
            None if found.len() < Retention::MAX_EVENTS => next_scope(connection, &name)?,
            _ => None,
        };
    }
    Ok(found)
}

fn next_scope(connection: &Connection, behind: &str) -> Result<Option<String>, Failure> {
    Ok(connection.prepare_cached(NEXT_SCOPE)?.query_row((behind,), |row| row.get(0))?)
}

/// An event that is not what its columns or its hash say is evidence: it is not dropped.
fn judged(row: &Row<'_>) -> Result<(u64, Event), Failure> {
    let Leaf { place, event, is_findable, .. } = leaf(row)?;
    match event.filter(|event| is_findable && event.hash_holds()) {
        Some(event) => Ok((place, event)),
        None => Err(DAMAGED),
    }
}

/// Reads what stays of dropped events behind the place `after`.
pub(crate) fn behind(connection: &Connection, after: u64, limit: usize) -> Result<Vec<Leaf>, Failure> {
    let mut select = connection.prepare_cached(BEHIND)?;
    let mut rows = select.query((number(after), number(limit)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let place = u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0);
        let dropped = read(row)?.map(|dropped| Leaf::of_dropped(place, dropped));
        found.push(dropped.unwrap_or_else(|| Leaf::new(place, None, false)));
    }
    Ok(found)
}

/// Reads a row that somebody may have put anything into.
fn read(row: &Row<'_>) -> Result<Option<Dropped>, Failure> {
    let stream = lenient::<[u8; 16]>(row, 2)?.zip(lenient::<i64>(row, 3)?);
    let stream = stream.map(|(id, seq)| Stream::new(id, seq.cast_unsigned()));
    let (hash, by, mac) = (lenient(row, 1)?, lenient(row, 4)?, lenient(row, 5)?);
    let at = lenient::<i64>(row, 6)?.and_then(|at| Timestamp::from_unix_millis(at.try_into().ok()?).ok());
    let whole = hash.zip(by).zip(mac).zip(at);
    Ok(whole.map(|(((hash, by), mac), at)| Dropped::from_stored(at, stream, [hash, by, mac])))
}
