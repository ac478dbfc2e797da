//! Connections that read.
//!
//! A point read takes some microseconds from the page cache, less than handing it to another thread and back
//! would, so it runs where it is asked for, on a connection of its own. A read of many rows may take
//! milliseconds or touch a cold disk; it runs on one of a few threads. Neither waits for the writer: in WAL
//! mode readers see the last commit that ended, and an acknowledged commit has ended. The one thing a read can
//! wait for is another process that repairs the log after a crash, some milliseconds.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};

use futures_channel::oneshot;
use rusqlite::Connection;

use crate::connection::open_reader;
use crate::error::Failure;
use crate::queue::Queue;
use crate::{OpenError, Options};

/// Threads for reads of many rows.
const RANGE_THREADS: usize = 2;

type Task = Box<dyn FnOnce(&Connection) + Send>;

pub(crate) struct Readers {
    points: Vec<Mutex<Connection>>,
    next: AtomicUsize,
    ranges: Arc<Queue<Task>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(crate) fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let connect = || open_reader(path, options.busy_timeout);
        let points: Result<_, _> = (0..options.readers).map(|_| connect().map(Mutex::new)).collect();
        let mut readers = Self {
            points: points?,
            next: AtomicUsize::new(0),
            ranges: Arc::new(Queue::new()),
            threads: Vec::new(),
        };
        for _ in 0..RANGE_THREADS {
            let started = start(connect()?, Arc::clone(&readers.ranges));
            let to_error =
                |source| OpenError::Io { action: "start a thread for", path: path.to_owned(), source };
            readers.threads.push(started.map_err(to_error)?);
        }
        Ok(readers)
    }

    /// Runs a short read here and now.
    pub(crate) fn here<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Failure> {
        let connection = self.free().ok_or(Failure::Refused("readers"))?;
        if !connection.is_autocommit() {
            // A read before this one panicked.
            connection.execute_batch("ROLLBACK")?;
        }
        read(&connection)
    }

    /// Runs a read of many rows on another thread.
    pub(crate) async fn away<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (reply, answer) = oneshot::channel();
        // A caller that went away wants no answer, and no work either.
        let task: Task = Box::new(move |connection| {
            if !reply.is_canceled() {
                drop(reply.send(read(connection)));
            }
        });
        self.ranges.push(task).map_err(|_| Failure::Refused("readers"))?;
        answer.await.unwrap_or(Err(Failure::Panicked("reader")))
    }

    /// Picks a connection that nobody uses; if there is none, waits for the next in turn.
    fn free(&self) -> Option<MutexGuard<'_, Connection>> {
        let first = self.next.fetch_add(1, Ordering::Relaxed).checked_rem(self.points.len())?;
        let in_turn = || self.points.iter().cycle().skip(first).take(self.points.len());
        let idle = in_turn().find_map(|point| match point.try_lock() {
            Ok(connection) => Some(connection),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        });
        idle.or_else(|| in_turn().next().map(|point| point.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.ranges.close();
        for thread in self.threads.drain(..).filter(|t| t.thread().id() != thread::current().id()) {
            drop(thread.join());
        }
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("points", &self.points.len()).finish_non_exhaustive()
    }
}

fn start(connection: Connection, tasks: Arc<Queue<Task>>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("mfa-sqlite-read".to_owned()).spawn(move || {
        while let Some(taken) = tasks.take(0, 1) {
            for task in taken {
                // A read leaves nothing open behind; its caller learns of the panic by the missing answer.
                drop(catch_unwind(AssertUnwindSafe(|| task(&connection))));
            }
        }
    })
}
