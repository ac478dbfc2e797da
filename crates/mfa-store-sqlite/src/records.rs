//! Reads of records.

use audit_model::{Scope, Timestamp};
use mfa_core::{Key, Record, RecordKind, Version};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, ToSql};

use crate::apply::millis;
use crate::error::Failure;

pub(crate) const GET: &str = "SELECT version, body, expires_at FROM records
    WHERE kind = ?1 AND scope = ?2 AND id = ?3 AND (expires_at IS NULL OR expires_at > ?4)";
pub(crate) const LIST: &str = "SELECT version, body, expires_at, id FROM records
    WHERE kind = ?1 AND scope = ?2 AND id >= ?3 AND (expires_at IS NULL OR expires_at > ?4)
    ORDER BY id LIMIT ?5";
pub(crate) const LIST_BELOW: &str = "SELECT version, body, expires_at, id FROM records
    WHERE kind = ?1 AND scope = ?2 AND id >= ?3 AND id < ?6 AND (expires_at IS NULL OR expires_at > ?4)
    ORDER BY id LIMIT ?5";
pub(crate) const SCAN: &str = "SELECT version, body, expires_at, id, scope FROM records
    WHERE kind = ?1 AND (scope, id) > (?2, ?3) AND (expires_at IS NULL OR expires_at > ?4)
    ORDER BY scope, id LIMIT ?5";

/// Reads records as they are at one point in time.
pub(crate) fn get(
    connection: &Connection,
    keys: &[Key],
    now: Timestamp,
) -> Result<Vec<Option<Record>>, Failure> {
    let mut select = connection.prepare_cached(GET)?;
    if let [key] = keys {
        return Ok(vec![get_one(&mut select, key, now)?]);
    }
    connection.prepare_cached("BEGIN")?.execute(())?;
    let found = keys.iter().map(|key| get_one(&mut select, key, now)).collect();
    connection.prepare_cached("COMMIT")?.execute(())?;
    found
}

fn get_one(select: &mut CachedStatement<'_>, key: &Key, now: Timestamp) -> Result<Option<Record>, Failure> {
    let place = (key.kind.as_str(), key.scope.as_str(), &*key.id, millis(now));
    let found = select.query_row(place, |row| Ok(record(row, || Ok(key.clone())))).optional()?;
    found.transpose()
}

/// What a `list` asks for.
pub(crate) struct List {
    pub(crate) scope: Scope,
    pub(crate) kind: RecordKind,
    pub(crate) prefix: Vec<u8>,
    pub(crate) after: Option<Vec<u8>>,
    pub(crate) limit: usize,
    pub(crate) now: Timestamp,
}

impl List {
    pub(crate) fn run(self, connection: &Connection) -> Result<Vec<Record>, Failure> {
        // The first id behind `after` in byte order is `after` with a zero byte.
        let behind = self.after.map(|mut after| {
            after.push(0);
            after
        });
        let first = behind.map_or_else(|| self.prefix.clone(), |behind| behind.max(self.prefix.clone()));
        let end = end_of_prefix(self.prefix);
        let (kind, scope) = (self.kind.as_str(), self.scope.as_str());
        let (now, limit) = (millis(self.now), limit(self.limit));
        let mut values: Vec<&dyn ToSql> = vec![&kind, &scope, &first, &now, &limit];
        let sql = match &end {
            Some(end) => {
                values.push(end);
                LIST_BELOW
            }
            None => LIST,
        };
        let mut select = connection.prepare_cached(sql)?;
        let mut rows = select.query(values.as_slice())?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let key =
                || Ok(Key::new(self.scope.clone(), self.kind, row.get_ref(3)?.as_blob().map_err(column)?));
            found.push(record(row, key)?);
        }
        Ok(found)
    }
}

/// Reads records of one kind over every scope, ordered by scope and id.
pub(crate) fn scan(
    connection: &Connection,
    kind: RecordKind,
    after: Option<&Key>,
    most: usize,
    now: Timestamp,
) -> Result<Vec<Record>, Failure> {
    // No scope has an empty name, so the empty place lies before all.
    let (scope, id) = after.map_or(("", [].as_slice()), |key| (key.scope.as_str(), &*key.id));
    let mut select = connection.prepare_cached(SCAN)?;
    let mut rows = select.query((kind.as_str(), scope, id, millis(now), limit(most)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let key = || {
            let scope = row.get_ref(4)?.as_str().map_err(column)?;
            let scope = Scope::parse_stored(scope).map_err(|_| Failure::Corrupt("a record's scope"))?;
            Ok(Key::new(scope, kind, row.get_ref(3)?.as_blob().map_err(column)?))
        };
        found.push(record(row, key)?);
    }
    Ok(found)
}

fn record(row: &Row<'_>, key: impl FnOnce() -> Result<Key, Failure>) -> Result<Record, Failure> {
    let version = Version::from_bytes(row.get(0)?);
    let body = row.get(1)?;
    let expires_at = row.get::<_, Option<i64>>(2)?.map(timestamp).transpose()?;
    Ok(Record::new(key()?, version, body, expires_at))
}

fn timestamp(millis: i64) -> Result<Timestamp, Failure> {
    let unsigned = u64::try_from(millis).ok();
    let at = unsigned.and_then(|millis| Timestamp::from_unix_millis(millis).ok());
    at.ok_or(Failure::Corrupt("a record's expiry"))
}

/// The least byte string behind every one that begins with `prefix`; `None` if there is no such end.
fn end_of_prefix(mut prefix: Vec<u8>) -> Option<Vec<u8>> {
    while let Some(last) = prefix.pop() {
        if let Some(next) = last.checked_add(1) {
            prefix.push(next);
            return Some(prefix);
        }
    }
    None
}

fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn column(_: rusqlite::types::FromSqlError) -> Failure {
    Failure::Corrupt("a column")
}
