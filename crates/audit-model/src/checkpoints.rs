//! The side of a store that fixes its log and gives out what proves it.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{AuditError, Checkpoint, CheckpointKey, Dropped, Event, Timestamp};

/// Makes checkpoints over a store's events, and gives out all that is needed to verify them elsewhere.
///
/// *Places:* every event has a place in the log, counted from 1 in the order of the commits, over all scopes
/// and without a gap. *Exactly:* a checkpoint covers every event that was committed since the one before it and
/// none besides, whatever commits meanwhile; it is durable when it is answered. *One chain:* of two made at
/// once, by two processes as well, one comes behind the other. *Cancellation:* dropping the future makes a
/// checkpoint or makes none; asking again is harmless. *What a wrong implementation costs:* a log that does not
/// verify although nobody touched it, or one that does although somebody did.
///
/// ```
/// use audit_model::{AuditError, Checkpoint, CheckpointKey, Checkpoints, Timestamp, Verifier};
///
/// /// Fixes the log, then checks all of it, at least up to the checkpoint kept from the last time.
/// async fn guard(
///     log: &dyn Checkpoints,
///     key: &CheckpointKey,
///     now: Timestamp,
///     kept: Option<Checkpoint>,
/// ) -> Result<Checkpoint, AuditError> {
///     let newest = log.checkpoint(key, now).await?;
///     let report = Verifier::new(key.clone()).trusting(kept).read(log).await?;
///     assert!(report.holds(), "{report}");
///     Ok(newest)
/// }
/// ```
#[async_trait]
pub trait Checkpoints: core::fmt::Debug + Send + Sync + 'static {
    /// Makes a checkpoint of the events committed since the last one, as of `now`, and returns it.
    ///
    /// Where there are none it returns the last checkpoint again, or, on a log that has none yet, a first one
    /// that covers nothing: keep that one too, it names the log. More than [`Checkpoint::MAX_COUNT`] events
    /// take several checkpoints; the newest is returned.
    ///
    /// # Errors
    /// [`AuditError::Corrupt`] if the last checkpoint was not made with `key`, or if events it covers, or some
    /// behind it, are gone: a log that is damaged already is not continued. [`AuditError::Unavailable`] if the
    /// store cannot be written.
    async fn checkpoint(&self, key: &CheckpointKey, now: Timestamp) -> Result<Checkpoint, AuditError>;

    /// Returns at most `limit` checkpoints behind the number `after`, in ascending order. 0 is before the
    /// first.
    ///
    /// # Errors
    /// [`AuditError::Unavailable`] if the store cannot be read, [`AuditError::Corrupt`] for a row that is no
    /// checkpoint.
    async fn checkpoints(&self, after: u64, limit: usize) -> Result<Vec<Checkpoint>, AuditError>;

    /// Returns at most `limit` leaves behind the place `after`, in ascending order; 0 is before the first.
    /// Those behind the newest checkpoint, which nothing covers yet, come too.
    ///
    /// Rows are given as they are, also damaged ones; one without a place of its own (which no commit makes)
    /// comes first in the answer for 0, as one leaf more, with the place 0.
    ///
    /// # Errors
    /// [`AuditError::Unavailable`] if the store cannot be read.
    async fn leaves(&self, after: u64, limit: usize) -> Result<Vec<Leaf>, AuditError>;
}

const _: Option<&dyn Checkpoints> = None;

/// A stored event and where it stands. [`Checkpoint::covers`] says which checkpoint it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leaf {
    /// Its place in the log, counted from 1 in the order of the commits; 0 where it has none.
    pub place: u64,
    /// The event as it is stored, its hash unchecked; `None` where it cannot be read.
    pub event: Option<Event>,
    /// Whether the store finds it by what it says: what is kept beside the event to search by agrees with it.
    pub is_findable: bool,
    /// What stands here instead of an event that a [`Retention`](crate::Retention) dropped.
    pub dropped: Option<Dropped>,
}

impl Leaf {
    /// Puts a stored event at its place.
    #[must_use]
    pub const fn new(place: u64, event: Option<Event>, is_findable: bool) -> Self {
        Self { place, event, is_findable, dropped: None }
    }

    /// Puts what is left of a dropped event at its place.
    #[must_use]
    pub const fn of_dropped(place: u64, dropped: Dropped) -> Self {
        Self { place, event: None, is_findable: true, dropped: Some(dropped) }
    }
}

macro_rules! forward_checkpoints {
    ($($pointer:ident),*) => {$(
        #[deny(clippy::missing_trait_methods)]
        #[async_trait]
        impl<T: Checkpoints + ?Sized> Checkpoints for $pointer<T> {
            async fn checkpoint(&self, key: &CheckpointKey, now: Timestamp) -> Result<Checkpoint, AuditError> {
                (**self).checkpoint(key, now).await
            }
            async fn checkpoints(&self, after: u64, limit: usize) -> Result<Vec<Checkpoint>, AuditError> {
                (**self).checkpoints(after, limit).await
            }
            async fn leaves(&self, after: u64, limit: usize) -> Result<Vec<Leaf>, AuditError> {
                (**self).leaves(after, limit).await
            }
        }
    )*};
}

forward_checkpoints!(Arc, Box);

/// The most entries of one page.
const PAGE: usize = 1000;

/// A whole log in its order: events, and behind the last one it covers each checkpoint.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    log: &'a dyn Checkpoints,
    leaves: Pages<Leaf>,
    checkpoints: Pages<Checkpoint>,
}

/// What stands next in a log.
#[derive(Debug)]
pub(crate) enum Entry {
    Leaf(Leaf),
    Checkpoint(Checkpoint),
}

/// What was read of one kind and not yet handed out.
#[derive(Debug)]
struct Pages<T> {
    page: std::iter::Peekable<std::vec::IntoIter<T>>,
    /// Behind what the next page begins; `None` behind the last page.
    after: Option<u64>,
}

impl<T> Pages<T> {
    fn new() -> Self {
        Self { page: Vec::new().into_iter().peekable(), after: Some(0) }
    }

    /// Takes the page behind `after`. What does not lead on is the last one: a damaged store must not make
    /// the walk endless.
    fn put(&mut self, after: u64, page: Vec<T>, place: impl Fn(&T) -> u64) {
        self.after = page.last().map(place).filter(|last| *last > after);
        self.page = page.into_iter().peekable();
    }
}

impl<'a> Walk<'a> {
    pub(crate) fn new(log: &'a dyn Checkpoints) -> Self {
        Self { log, leaves: Pages::new(), checkpoints: Pages::new() }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Entry>, AuditError> {
        if self.checkpoints.page.peek().is_none()
            && let Some(after) = self.checkpoints.after
        {
            let page = self.log.checkpoints(after, PAGE).await?;
            let is_last = page.len() < PAGE;
            self.checkpoints.put(after, page, |checkpoint| checkpoint.number);
            self.checkpoints.after = self.checkpoints.after.filter(|_| !is_last);
        }
        if self.leaves.page.peek().is_none()
            && let Some(after) = self.leaves.after
        {
            let page = self.log.leaves(after, PAGE).await?;
            self.leaves.put(after, page, |leaf| leaf.place);
            if self.leaves.page.peek().is_none() {
                // A checkpoint that is made from now on covers events that this walk has not seen.
                self.checkpoints.after = None;
            }
        }
        let leaf = self.leaves.page.peek();
        let is_next = |checkpoint: &Checkpoint| leaf.is_none_or(|leaf| checkpoint.total < leaf.place);
        let checkpoint = self.checkpoints.page.next_if(is_next);
        Ok(match checkpoint {
            Some(checkpoint) => Some(Entry::Checkpoint(checkpoint)),
            None => self.leaves.page.next().map(Entry::Leaf),
        })
    }
}
