//! The one thread that writes. All commits that wait go into one transaction and share its fsync.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_lock::{Semaphore, SemaphoreGuardArc};
use audit_model::{Checkpoint, CheckpointKey, Retention, Timestamp};
use futures_channel::oneshot::{self, Receiver, Sender};
use mfa_core::{Commit, Committed, StoreError};
use rusqlite::Connection;

use crate::apply::{Prepared, Transaction};
use crate::error::Failure;
use crate::queue::Queue;
use crate::stats::{Stats, Tally};

/// The most commits of one transaction.
pub(crate) const MAX_BATCH: usize = 256;
/// The most commits that wait or run; further callers wait before they hand theirs over.
const MAX_WAITING: usize = 1024;
/// How long the log's truncation after an erasure waits for readers.
const TRUNCATE_WAIT: Duration = Duration::from_millis(100);

/// Hands work to the thread. Dropping it lets the thread finish what it accepted, and waits for that.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    slots: Arc<Semaphore>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    queue: Queue<Job>,
    tally: Tally,
}

/// Work for the thread. Its slot is free again when it is dropped, answered or not.
#[derive(Debug)]
struct Job {
    task: Task,
    slot: SemaphoreGuardArc,
}

#[derive(Debug)]
enum Task {
    Commit(Prepared, Sender<Result<Committed, StoreError>>),
    Purge(Timestamp, usize, Sender<Result<u64, StoreError>>),
    Checkpoint(CheckpointKey, Timestamp, Sender<Result<Checkpoint, StoreError>>),
    Retain(Retention, CheckpointKey, Sender<Result<u64, StoreError>>),
    Compact(Sender<Result<(), StoreError>>),
    #[cfg(test)]
    Panic(Sender<Result<(), StoreError>>),
}

impl Writer {
    pub(crate) fn start(connection: Connection, busy_timeout: Duration) -> io::Result<Self> {
        let shared = Arc::new(Shared { queue: Queue::new(), tally: Tally::default() });
        let of_thread = Arc::clone(&shared);
        let run = move || run(connection, busy_timeout, &of_thread);
        let thread = thread::Builder::new().name("mfa-sqlite-write".to_owned()).spawn(run)?;
        Ok(Self { shared, slots: Arc::new(Semaphore::new(MAX_WAITING)), thread: Some(thread) })
    }

    pub(crate) async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        let prepared = Prepared::new(commit)?;
        self.send(|reply| Task::Commit(prepared, reply)).await
    }

    pub(crate) async fn purge(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.send(|reply| Task::Purge(before, limit, reply)).await
    }

    pub(crate) async fn checkpoint(
        &self,
        key: &CheckpointKey,
        now: Timestamp,
    ) -> Result<Checkpoint, StoreError> {
        let key = key.clone();
        self.send(|reply| Task::Checkpoint(key, now, reply)).await
    }

    pub(crate) async fn retain(&self, order: &Retention, key: &CheckpointKey) -> Result<u64, StoreError> {
        let (order, key) = (order.clone(), key.clone());
        self.send(|reply| Task::Retain(order, key, reply)).await
    }

    pub(crate) async fn compact(&self) -> Result<(), StoreError> {
        self.send(Task::Compact).await
    }

    pub(crate) fn stats(&self) -> Stats {
        self.shared.tally.stats()
    }

    async fn send<T>(
        &self,
        task: impl FnOnce(Sender<Result<T, StoreError>>) -> Task,
    ) -> Result<T, StoreError> {
        let slot = self.slots.acquire_arc().await;
        let (reply, answer) = oneshot::channel();
        if self.shared.queue.push(Job { task: task(reply), slot }).is_err() {
            return Err(Failure::Refused("writer").into());
        }
        wait(answer).await
    }
}

/// Waits for the thread's answer. If it goes without one it panicked, perhaps behind the COMMIT.
async fn wait<T>(answer: Receiver<Result<T, StoreError>>) -> Result<T, StoreError> {
    let panicked = |_| Err(StoreError::Unknown(Arc::new(Failure::Panicked("writer"))));
    answer.await.unwrap_or_else(panicked)
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.queue.close();
        // The last handle may be dropped by a task that the thread itself just woke.
        if let Some(thread) = self.thread.take().filter(|t| t.thread().id() != thread::current().id()) {
            drop(thread.join());
        }
    }
}

fn run(connection: Connection, busy_timeout: Duration, shared: &Shared) {
    // Whatever ends this thread, nobody may wait for it afterwards.
    let mut closing = Closing(&shared.queue, None);
    let mut transaction = match Transaction::new(&connection) {
        Ok(transaction) => transaction,
        Err(error) => {
            closing.1 = Some(error.into());
            return;
        }
    };
    let mut session = Session { connection: &connection, busy_timeout, truncation_due: false };
    let mut last = 0;
    while let Some(jobs) = shared.queue.take(last, MAX_BATCH) {
        last = jobs.len();
        let batch = AssertUnwindSafe(|| session.work(&mut transaction, jobs, &shared.tally));
        if catch_unwind(batch).is_err() {
            transaction.roll_back();
        }
    }
}

/// Closes the queue when the thread ends, and refuses what is in it.
struct Closing<'q>(&'q Queue<Job>, Option<Failure>);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
        let error = self.1.take().unwrap_or(Failure::Refused("writer")).into();
        self.0.drain().into_iter().for_each(|job| job.task.fail(&error));
    }
}

impl Task {
    fn fail(self, error: &StoreError) {
        // A caller that went away wants no answer.
        match self {
            Self::Commit(_, reply) => drop(reply.send(Err(error.clone()))),
            Self::Purge(_, _, reply) => drop(reply.send(Err(error.clone()))),
            Self::Checkpoint(_, _, reply) => drop(reply.send(Err(error.clone()))),
            Self::Retain(_, _, reply) => drop(reply.send(Err(error.clone()))),
            Self::Compact(reply) => drop(reply.send(Err(error.clone()))),
            #[cfg(test)]
            Self::Panic(reply) => drop(reply.send(Err(error.clone()))),
        }
    }
}

/// What a task of the transaction will be told once the COMMIT is through.
enum Answer {
    Committed(Sender<Result<Committed, StoreError>>, Result<Committed, StoreError>),
    Counted(Sender<Result<u64, StoreError>>, Result<u64, StoreError>),
    Fixed(Sender<Result<Checkpoint, StoreError>>, Result<Checkpoint, StoreError>),
}

impl Answer {
    fn send(self) {
        match self {
            Self::Committed(reply, answer) => drop(reply.send(answer)),
            Self::Counted(reply, count) => drop(reply.send(count)),
            Self::Fixed(reply, made) => drop(reply.send(made)),
        }
    }

    fn fail(self, error: &StoreError) {
        match self {
            Self::Committed(reply, _) => drop(reply.send(Err(error.clone()))),
            Self::Counted(reply, _) => drop(reply.send(Err(error.clone()))),
            Self::Fixed(reply, _) => drop(reply.send(Err(error.clone()))),
        }
    }
}

/// The thread's connection outside of transactions.
struct Session<'c> {
    connection: &'c Connection,
    busy_timeout: Duration,
    /// Whether erased values still stand in the log, because a reader used it when they were erased.
    truncation_due: bool,
}

impl Session<'_> {
    fn work(&mut self, transaction: &mut Transaction<'_>, jobs: Vec<Job>, tally: &Tally) {
        let (compactions, batch): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| matches!(job.task, Task::Compact(_)));
        if !batch.is_empty() {
            self.write(transaction, batch, tally);
        }
        for job in compactions {
            if let Task::Compact(reply) = job.task {
                let compacted = self.connection.execute_batch("VACUUM").map_err(Failure::from);
                self.truncate_log(self.busy_timeout);
                drop(reply.send(compacted.map_err(StoreError::from)));
            }
        }
        if self.truncation_due {
            self.truncate_log(Duration::ZERO);
        }
    }

    fn write(&mut self, transaction: &mut Transaction<'_>, batch: Vec<Job>, tally: &Tally) {
        if let Err(error) = transaction.begin() {
            let error = Failure::from(error).into();
            return batch.into_iter().for_each(|job| job.task.fail(&error));
        }
        // The slots stay taken until the answers are out.
        let (mut answers, mut erasing, mut slots) = (Vec::with_capacity(batch.len()), Vec::new(), Vec::new());
        let mut failed: Option<StoreError> = None;
        for Job { task, slot } in batch {
            slots.push(slot);
            if let Some(error) = &failed {
                task.fail(error);
                continue;
            }
            let done = match task {
                Task::Commit(prepared, reply) => match transaction.apply(&prepared) {
                    Ok(answer) if prepared.erases() && matches!(answer, Ok(Committed::Done)) => {
                        erasing.push(Answer::Committed(reply, answer));
                        continue;
                    }
                    Ok(answer) => Ok(Answer::Committed(reply, answer)),
                    Err(failure) => Err((Task::Commit(prepared, reply), failure)),
                },
                Task::Purge(before, limit, reply) => match transaction.purge(before, limit) {
                    Ok(count) => Ok(Answer::Counted(reply, Ok(count))),
                    Err(failure) => Err((Task::Purge(before, limit, reply), failure)),
                },
                Task::Checkpoint(key, now, reply) => match transaction.checkpoint(&key, now) {
                    Ok(made) => Ok(Answer::Fixed(reply, made)),
                    Err(failure) => Err((Task::Checkpoint(key, now, reply), failure)),
                },
                Task::Retain(order, key, reply) => match transaction.retain(&order, &key) {
                    Ok(count) => {
                        erasing.push(Answer::Counted(reply, count));
                        continue;
                    }
                    Err(failure) => Err((Task::Retain(order, key, reply), failure)),
                },
                Task::Compact(_) => continue,
                #[cfg(test)]
                Task::Panic(_) => std::panic::panic_any("asked to"),
            };
            match done {
                Ok(answer) => answers.push(answer),
                Err((task, failure)) => {
                    let error = failure.into();
                    task.fail(&error);
                    failed = Some(error);
                }
            }
        }
        let failed = failed.or_else(|| transaction.commit().err().map(Failure::of_commit));
        if let Some(error) = failed {
            transaction.roll_back();
            return answers.into_iter().chain(erasing).for_each(|answer| answer.fail(&error));
        }
        tally.add(answers.iter().chain(&erasing).map(Answer::is_done));
        answers.into_iter().for_each(Answer::send);
        if !erasing.is_empty() {
            self.truncate_log(TRUNCATE_WAIT.min(self.busy_timeout));
            erasing.into_iter().for_each(Answer::send);
        }
    }

    /// Moves everything into the file and empties the log, so that no old page is left in it.
    fn truncate_log(&mut self, wait: Duration) {
        let checkpoint = || {
            self.connection.busy_timeout(wait)?;
            let busy =
                self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get::<_, i64>(0));
            self.connection.busy_timeout(self.busy_timeout)?;
            busy
        };
        // The commit stands whether or not this works; it is tried again after the next ones.
        self.truncation_due = !matches!(checkpoint(), Ok(0));
    }
}

impl Answer {
    /// Whether a commit was done; `None` for what is no commit.
    const fn is_done(&self) -> Option<bool> {
        match self {
            Self::Committed(_, answer) => Some(matches!(answer, Ok(Committed::Done))),
            Self::Counted(..) | Self::Fixed(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::future::{join, join_all};
    use mfa_core::{Expect, Key, RecordKind, Scope, Version, Write};

    use super::*;
    use crate::connection::open_writer;
    use crate::file;

    fn database() -> (tempfile::TempDir, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let path = file::prepare(&folder.path().join("mfa.db")).unwrap();
        (folder, open_writer(&path, Duration::ZERO).unwrap())
    }

    fn commit() -> Commit {
        Commit::new(Scope::System, Version::from_bytes([1; 16]), Timestamp::MIN)
    }

    fn put(id: u8, bytes: usize) -> Commit {
        let mut commit = commit();
        let key = Key::new(Scope::System, RecordKind::new("note"), [id]);
        let body = vec![id; bytes];
        commit.writes.push(Write::Put { key, expect: Expect::Absent, body, expires_at: None });
        commit
    }

    #[test]
    fn a_full_disk_before_the_commit_makes_the_whole_batch_unavailable() {
        let (_folder, connection) = database();
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        let ceiling = |_: &rusqlite::Row<'_>| Ok(());
        connection.pragma_update_and_check(None, "max_page_count", pages + 5, ceiling).unwrap();
        let writer = Writer::start(connection, Duration::ZERO).unwrap();
        // The first may run alone; the two behind it wait together.
        let commits = [put(1, 1), put(2, 1), put(3, 60_000), put(4, 1)];
        let answers = block_on(join_all(commits.into_iter().map(|commit| writer.commit(commit))));
        assert!(matches!(answers[2], Err(StoreError::Unavailable(_))), "{answers:?}");
        for (id, answer) in (1..).zip(answers) {
            // Done means present, unavailable means absent; nothing in between.
            let present = matches!(block_on(writer.commit(put(id, 1))), Ok(Committed::Conflict(_)));
            assert_eq!(present, matches!(answer, Ok(Committed::Done)), "{id}: {answer:?}");
        }
        assert!(matches!(block_on(writer.commit(put(9, 1))), Ok(Committed::Done)));
    }

    #[test]
    fn a_panic_of_the_thread_leaves_nobody_waiting_and_the_store_working() {
        let (_folder, connection) = database();
        let writer = Writer::start(connection, Duration::ZERO).unwrap();
        let (panicked, _) = block_on(join(writer.send(Task::Panic), writer.commit(commit())));
        assert!(matches!(panicked, Err(StoreError::Unknown(_))), "{panicked:?}");
        assert!(matches!(block_on(writer.commit(commit())), Ok(Committed::Done)));
    }
}
