//! Checkpoints over the events of the file, and the leaves they cover.

use audit_model::{Checkpoint, CheckpointKey, Event, Leaf, StoredEvent, Timestamp};
use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::apply::{LAST_SEQ, Octets, millis};
use crate::error::Failure;
use crate::retention;

pub(crate) const LOG_ID: &str = "SELECT value FROM meta WHERE name = 'log'";
pub(crate) const LAST: &str = "SELECT number, log, at, count, total, root, previous, mac FROM checkpoints
    ORDER BY number DESC LIMIT 1";
pub(crate) const BEHIND: &str = "SELECT number, log, at, count, total, root, previous, mac FROM checkpoints
    WHERE number > ?1 ORDER BY number LIMIT ?2";
pub(crate) const INSERT: &str = "INSERT INTO checkpoints (number, log, at, count, total, root, previous, mac)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
pub(crate) const HASHES: &str = "SELECT hash FROM events INDEXED BY events_seq
    WHERE seq > ?1 AND seq <= ?2 ORDER BY seq";
pub(crate) const LEAVES: &str = "SELECT seq, core, personal, hash,
    scope, at, id, kind, outcome, attempt, auth_type, module, user, ip
    FROM events INDEXED BY events_seq WHERE seq > ?1 AND typeof(seq) = 'integer' ORDER BY seq LIMIT ?2";
/// No commit makes such a row. Only who verifies a log from its beginning asks for it: it reads a whole index.
pub(crate) const STRAY: &str = "SELECT 0, core, personal, hash,
    scope, at, id, kind, outcome, attempt, auth_type, module, user, ip
    FROM events INDEXED BY events_seq WHERE typeof(seq) <> 'integer' OR seq < 1 LIMIT 1";

/// What a failure to make a checkpoint is about.
const NUMBERS: Failure = Failure::Corrupt("the numbers of the events");

/// Makes the checkpoint over the events behind the last one, at most `most` of them, inside the writer's
/// transaction. Where there are none it returns the last one, or an empty first one.
///
/// Writes in its last step alone: whatever fails before leaves the transaction as it was.
pub(crate) fn make(
    connection: &Connection,
    key: &CheckpointKey,
    now: Timestamp,
    most: u64,
) -> Result<Checkpoint, Failure> {
    let last = connection.prepare_cached(LAST)?.query_row((), |row| Ok(checkpoint(row))).optional()?;
    let last = last.transpose()?;
    let log = match &last {
        Some(last) => last.log,
        None => connection.prepare_cached(LOG_ID)?.query_row((), |row| row.get(0))?,
    };
    let ends = connection.prepare_cached(LAST_SEQ)?.query_row((), |row| row.get::<_, Option<i64>>(0))?;
    let covered = last.map_or(0, |last| last.total);
    let ends = u64::try_from(ends.unwrap_or(0)).map_err(|_| NUMBERS)?;
    // What the last checkpoint covers is not all there any more: nothing is built on that.
    let waiting = ends.checked_sub(covered).ok_or(NUMBERS)?;
    if let Some(last) = last.filter(|_| waiting == 0) {
        return if last.is_authentic(key) { Ok(last) } else { Err(FOREIGN) };
    }
    let count = waiting.min(most);
    let hashes = hashes(connection, covered, count)?;
    let made = Checkpoint::over(last.as_ref(), log, now, hashes, key).map_err(|_| FOREIGN)?;
    let [number, count, total] = [made.number, made.count, made.total].map(i64::try_from);
    connection.prepare_cached(INSERT)?.execute((
        number.map_err(|_| NUMBERS)?,
        made.log,
        millis(made.at),
        count.map_err(|_| NUMBERS)?,
        total.map_err(|_| NUMBERS)?,
        made.root,
        made.previous,
        made.mac,
    ))?;
    Ok(made)
}

pub(crate) const FOREIGN: Failure =
    Failure::Corrupt("the last checkpoint, which is of another key or was changed");

/// Reads the hashes of the `count` events behind the number `after`, all of which must be there.
fn hashes(connection: &Connection, after: u64, count: u64) -> Result<Vec<[u8; 32]>, Failure> {
    let [first, last] = [after, after.saturating_add(count)].map(|n| i64::try_from(n).map_err(|_| NUMBERS));
    let count = usize::try_from(count).map_err(|_| NUMBERS)?;
    let mut hashes = Vec::with_capacity(count);
    let mut select = connection.prepare_cached(HASHES)?;
    let mut rows = select.query((first?, last?))?;
    while let Some(row) = rows.next()? {
        hashes.push(row.get(0)?);
    }
    if hashes.len() == count { Ok(hashes) } else { Err(NUMBERS) }
}

/// Reads a page of checkpoints.
pub(crate) fn page(connection: &Connection, after: u64, limit: usize) -> Result<Vec<Checkpoint>, Failure> {
    let mut select = connection.prepare_cached(BEHIND)?;
    let mut rows = select.query((number(after), number(limit)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(checkpoint(row)?);
    }
    Ok(found)
}

pub(crate) fn checkpoint(row: &Row<'_>) -> Result<Checkpoint, Failure> {
    const BROKEN: Failure = Failure::Corrupt("a checkpoint");
    let positive = |at: usize| u64::try_from(row.get::<_, i64>(at)?).map_err(|_| BROKEN);
    let at = Timestamp::from_unix_millis(positive(2)?).map_err(|_| BROKEN)?;
    let hashes = [row.get(5)?, row.get(6)?, row.get(7)?];
    Ok(Checkpoint::from_stored(row.get(1)?, positive(0)?, at, (positive(3)?, positive(4)?), hashes))
}

/// Reads a page of leaves; the first one begins with a row that has no place in the log, if there is one.
pub(crate) fn leaves(connection: &Connection, after: u64, limit: usize) -> Result<Vec<Leaf>, Failure> {
    // From one state of the file: an event is dropped in one commit with what stays in its place.
    let connection = connection.unchecked_transaction()?;
    let mut found = Vec::new();
    if after == 0 {
        let mut select = connection.prepare_cached(STRAY)?;
        let mut rows = select.query(())?;
        while let Some(row) = rows.next()? {
            found.push(leaf(row)?);
        }
    }
    let mut select = connection.prepare_cached(LEAVES)?;
    let mut rows = select.query((number(after), number(limit)))?;
    let mut placed = retention::behind(&connection, after, limit)?;
    while let Some(row) = rows.next()? {
        placed.push(leaf(row)?);
    }
    placed.sort_by_key(|leaf| leaf.place);
    found.extend(placed.into_iter().take(limit));
    Ok(found)
}

pub(crate) fn leaf(row: &Row<'_>) -> Result<Leaf, Failure> {
    let place = u64::try_from(row.get::<_, i64>(0)?).map_err(|_| NUMBERS)?;
    let stored = StoredEvent::new(
        lenient(row, 1)?.unwrap_or_default(),
        lenient(row, 2)?,
        lenient(row, 3)?.unwrap_or_default(),
    );
    let event = Event::from_stored(&stored).ok();
    let is_findable = event.as_ref().is_some_and(|event| agrees(row, event).unwrap_or(false));
    Ok(Leaf::new(place, event, is_findable))
}

/// Reads a column that somebody may have put anything into: what is of another type counts as nothing.
pub(crate) fn lenient<T: FromSql>(row: &Row<'_>, at: usize) -> Result<Option<T>, Failure> {
    match row.get::<_, Option<T>>(at).map_err(Failure::from) {
        Err(failure) if failure.is_of_one_value() => Ok(None),
        read => read,
    }
}

/// Whether the columns that a row is found by say what its event says.
fn agrees(row: &Row<'_>, event: &Event) -> rusqlite::Result<bool> {
    let text = |at: usize| row.get_ref(at)?.as_str_or_null().map_err(rusqlite::Error::from);
    let ip = event.ip().map(Octets::of);
    let id = event.id().to_bytes();
    Ok(text(4)? == Some(event.scope().as_str())
        && row.get_ref(5)?.as_i64()? == millis(event.at())
        && row.get_ref(6)?.as_blob()? == id
        && text(7)? == Some(event.kind().code())
        && text(8)? == Some(event.outcome().code())
        && row.get_ref(9)?.as_i64()? == i64::from(event.is_in_attempts_view())
        && text(10)? == event.attempt().map(|attempt| &*attempt.auth_type)
        && text(11)? == event.module()
        && text(12)? == event.user().map(|user| user.as_str())
        && row.get_ref(13)?.as_blob_or_null()? == ip.as_ref().map(Octets::as_slice))
}

/// A number as SQLite holds it; none in a file is greater than the greatest of these.
pub(crate) fn number<T: TryInto<i64>>(number: T) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
