//! Connections that are kept for the next message.

use core::fmt;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_lock::{Semaphore, SemaphoreGuard};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use mfa_core::Timestamp;

use super::connection::{Failure, Security, Server, hand_over};
use super::mail::Mail;
use crate::Error;

/// Servers close a silent connection after five minutes at the earliest (RFC 5321 §4.5.3.2.7), and what is between us
/// and them often sooner.
const LONGEST_IDLE: Duration = Duration::from_secs(60);

pub(super) struct Pool {
    server: Server,
    /// One permit for each connection in use.
    permits: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Timestamp,
}

impl Pool {
    pub(super) const fn new(server: Server, connections: usize) -> Self {
        Self { server, permits: Semaphore::new(connections), idle: Mutex::new(Vec::new()) }
    }

    pub(super) const fn is_plain(&self) -> bool {
        matches!(self.server.security, Security::Plain)
    }

    /// Returns a connection that answers: one that is kept, or a new one.
    pub(super) async fn take(&self, now: Timestamp) -> Result<Pooled<'_>, Error> {
        let permit = self.permits.acquire().await;
        while let Some(Idle { mut connection, since }) = self.pop() {
            if now.since(since) <= LONGEST_IDLE && connection.test_connected().await {
                return Ok(Pooled { connection, pool: self, _permit: permit });
            }
        }
        Ok(Pooled { connection: self.server.connect().await?, pool: self, _permit: permit })
    }

    fn pop(&self) -> Option<Idle> {
        self.lock().pop()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("server", &self.server).finish_non_exhaustive()
    }
}

/// A connection in use. It is closed when dropped, so that one on which something failed, or whose user was cut off,
/// serves nobody else.
pub(super) struct Pooled<'a> {
    connection: AsyncSmtpConnection,
    pool: &'a Pool,
    _permit: SemaphoreGuard<'a>,
}

impl Pooled<'_> {
    pub(super) async fn hand_over(&mut self, mail: &Mail) -> Result<(), Failure> {
        hand_over(&mut self.connection, mail).await
    }

    /// Keeps the connection for the next message.
    pub(super) fn give_back(self, now: Timestamp) {
        self.pool.lock().push(Idle { connection: self.connection, since: now });
    }
}
