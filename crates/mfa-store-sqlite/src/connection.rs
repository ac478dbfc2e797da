//! Connections and their settings.

use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::{OpenError, migrate};

/// Pages in the log after which a commit copies them into the file: 16 MiB.
const CHECKPOINT_PAGES: u32 = 4_000;
/// What the log is cut to after a checkpoint, in bytes.
const LOG_LIMIT_BYTES: u32 = 64 * 1024 * 1024;
/// The cache of pages; negative numbers count KiB.
const CACHE: i32 = -16_000;
const WAL_RETRY: Duration = Duration::from_millis(10);
/// Statements a reader keeps ready: 16 shapes of a query and a few more.
const READER_STATEMENTS: usize = 32;

/// Opens the one connection that writes, on a file that this program made or may use, at the newest schema.
pub(crate) fn open_writer(path: &Path, busy_timeout: Duration) -> Result<Connection, OpenError> {
    let mut connection = open(path, busy_timeout)?;
    migrate::inspect(&connection)?;
    use_write_ahead_log(&connection, busy_timeout)?;
    for (pragma, value) in [
        ("synchronous", "FULL"),
        // Only macOS needs these two; elsewhere an fsync is one.
        ("fullfsync", "ON"),
        ("checkpoint_fullfsync", "ON"),
        ("secure_delete", "ON"),
    ] {
        connection.pragma_update(None, pragma, value)?;
    }
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", LOG_LIMIT_BYTES)?;
    connection.pragma_update(None, "cache_size", CACHE)?;
    migrate::run(&mut connection)?;
    Ok(connection)
}

/// Opens a connection that only reads. In WAL mode it never waits for the writer.
pub(crate) fn open_reader(path: &Path, busy_timeout: Duration) -> Result<Connection, OpenError> {
    let connection = open(path, busy_timeout)?;
    connection.pragma_update(None, "query_only", "ON")?;
    connection.set_prepared_statement_cache_capacity(READER_STATEMENTS);
    Ok(connection)
}

fn open(path: &Path, busy_timeout: Duration) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(busy_timeout)?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    Ok(connection)
}

/// Turns the log on. SQLite does not wait for the locks of this step, so the waiting is done here.
fn use_write_ahead_log(connection: &Connection, busy_timeout: Duration) -> Result<(), OpenError> {
    let mut left = busy_timeout;
    loop {
        let mode =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(_) => return Err(OpenError::NoWriteAheadLog),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && !left.is_zero() => {
                thread::sleep(WAL_RETRY);
                left = left.saturating_sub(WAL_RETRY);
            }
            Err(error) => return Err(error.into()),
        }
    }
}
