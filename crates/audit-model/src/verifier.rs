//! Checking a log against its checkpoints, far from its store.

mod report;

use core::time::Duration;
use std::collections::HashMap;

use crate::checkpoint::root;
use crate::checkpoints::{Entry, Walk};
use crate::export::Line;
use crate::{
    AuditError, Checkpoint, CheckpointKey, Checkpoints, Dropped, Event, Kind, Leaf, Retention, Scope, Stream,
    Timestamp,
};

pub use report::{Flaw, Problem, Report, Spot};

/// How far behind the checkpoint before it an event may lie unless the caller says otherwise.
const USUAL_LAG: Duration = Duration::from_secs(3600);

/// Checks a log that it is fed entry by entry, in the log's order: events, and behind the last event it covers
/// each checkpoint. Pure: no store, no clock.
///
/// With the key it finds every change among the events that a checkpoint covers: content, order of a stream,
/// one too few, one too many. What no checkpoint covers yet is held together by its own hash and its stream
/// alone, which whoever can write the log can make anew. An end that was cut off together with its checkpoints
/// is found with [`Verifier::trusting`].
///
/// Holds 32 bytes for each event of one checkpoint, and some 50 for each stream. After the first problem the
/// rest is counted and no longer judged.
///
/// ```
/// use audit_model::{
///     AccountId, Checkpoint, CheckpointKey, EventBuilder, EventId, Flaw, Kind, Outcome, Timestamp, Verifier,
/// };
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let key = CheckpointKey::from_bytes([7; 32])?;
/// let at = Timestamp::from_unix_seconds(1_487_814_038)?;
/// let builder = EventBuilder::new(AccountId::parse("acme")?.into(), Kind::AnswerRejected, Outcome::Failure, at);
/// let event = builder.build(EventId::new(at, [7; 16]), [9; 16])?;
/// let head = Checkpoint::over(None, [1; 16], at, vec![*event.hash()], &key)?;
///
/// let mut verifier = Verifier::new(key.clone());
/// verifier.event(&event);
/// verifier.checkpoint(&head);
/// assert!(verifier.finish().holds());
///
/// // The same log without its event.
/// let mut verifier = Verifier::new(key.clone());
/// verifier.checkpoint(&head);
/// assert_eq!(verifier.finish().problem.map(|problem| problem.flaw), Some(Flaw::Missing));
///
/// // All of it gone, which only a checkpoint that was kept elsewhere shows.
/// let report = Verifier::new(key).trusting(head).finish();
/// assert_eq!(report.problem.map(|problem| problem.flaw), Some(Flaw::CutTail));
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use]
pub struct Verifier {
    key: Option<CheckpointKey>,
    trusted: Option<Checkpoint>,
    met_trusted: bool,
    lag: Duration,
    report: Report,
    /// Hashes of the events behind the last checkpoint, as long as one checkpoint can cover them.
    uncovered: Vec<[u8; 32]>,
    /// The event with the earliest time behind the last checkpoint, be it dropped since.
    earliest: Option<(Timestamp, Spot)>,
    /// The first gap in a stream behind the last checkpoint.
    gap: Option<Spot>,
    /// The last position seen of each stream.
    streams: HashMap<[u8; 16], u64>,
    /// By scope, where the first erased event stands that no forgetting behind it accounts for.
    erased: HashMap<Scope, (u64, Spot)>,
    /// By the hash of the event that must tell of them, what it must account for.
    dropped: HashMap<[u8; 32], Untold>,
}

impl Verifier {
    /// Checks with the key that the checkpoints were made with.
    pub fn new(key: CheckpointKey) -> Self {
        Self::with(Some(key))
    }

    /// Checks what can be checked without the key: damage, not forgery. Whoever can write a log can write one
    /// that holds so; its report says that it is not [authentic](Report::is_authentic).
    pub fn without_key() -> Self {
        Self::with(None)
    }

    fn with(key: Option<CheckpointKey>) -> Self {
        Self {
            key,
            trusted: None,
            met_trusted: false,
            lag: USUAL_LAG,
            report: Report::default(),
            uncovered: Vec::new(),
            earliest: None,
            gap: None,
            streams: HashMap::new(),
            erased: HashMap::new(),
            dropped: HashMap::new(),
        }
    }

    /// Demands that the log holds `head`, a checkpoint of it that was kept elsewhere: then an end that was cut
    /// off is found, and an older copy that was put back. `None` demands nothing.
    pub fn trusting(mut self, head: impl Into<Option<Checkpoint>>) -> Self {
        self.trusted = head.into();
        self
    }

    /// Sets how much earlier than the checkpoint before it an event may have happened; one hour by default.
    ///
    /// Events commit within seconds. One from long before was put in later, or a clock was wrong; both are
    /// worth a look. The least of the times of the checkpoints around it counts, so that one clock that was
    /// ahead for a while does no harm. [`Duration::MAX`] allows everything. How late an event says it happened is not
    /// judged: a clock may be ahead of that of the checkpoints, and what claims a later time is kept for longer.
    pub const fn allowing_lag(mut self, lag: Duration) -> Self {
        self.lag = lag;
        self
    }

    /// Takes the next event.
    pub fn event(&mut self, event: &Event) {
        let place = self.next_place();
        self.judge_event(place, event);
    }

    /// Takes the next event as a store gives it, with its place.
    pub fn leaf(&mut self, leaf: &Leaf) {
        let place = self.next_place();
        let at = |place| Spot::Event { place, id: None };
        if leaf.place < place {
            self.found(Flaw::Inserted, at(leaf.place));
        } else if leaf.place > place {
            self.found(Flaw::Missing, at(place));
        }
        if let Some(dropped) = &leaf.dropped {
            return self.judge_dropped(place, dropped);
        }
        match &leaf.event {
            Some(event) if leaf.is_findable => self.judge_event(place, event),
            Some(event) => self.found(Flaw::Changed, Spot::Event { place, id: Some(event.id()) }),
            None => self.found(Flaw::Changed, at(place)),
        }
    }

    /// Takes the next line of an exported log.
    pub fn line(&mut self, line: &Line) {
        match line {
            Line::Event(event) => self.event(event),
            Line::Dropped(dropped) => self.dropped(dropped),
            Line::Checkpoint(checkpoint) => self.checkpoint(checkpoint),
            Line::Unreadable => self.unreadable(),
        }
    }

    /// Takes what stays of the next event, which was dropped.
    pub fn dropped(&mut self, dropped: &Dropped) {
        let place = self.next_place();
        self.judge_dropped(place, dropped);
    }

    /// Takes the next event where it cannot even be read.
    pub fn unreadable(&mut self) {
        let place = self.next_place();
        self.found(Flaw::Changed, Spot::Event { place, id: None });
    }

    /// Takes the next checkpoint, behind the last event it covers.
    pub fn checkpoint(&mut self, checkpoint: &Checkpoint) {
        self.report.checkpoints = self.report.checkpoints.saturating_add(1);
        if self.report.problem.is_some() {
            return;
        }
        let here = Spot::Checkpoint(checkpoint.number);
        if let Some((flaw, spot)) = self.flaw_of(checkpoint) {
            return self.found(flaw, spot.unwrap_or(here));
        }
        if let Some(trusted) = self.trusted.filter(|trusted| trusted.number == checkpoint.number) {
            if trusted != *checkpoint {
                return self.found(Flaw::NotExtended, here);
            }
            self.met_trusted = true;
        }
        self.report.covered = checkpoint.total;
        self.report.head = Some(*checkpoint);
        self.uncovered.clear();
        (self.earliest, self.gap) = (None, None);
    }

    /// Takes a whole log from its store, at most 1000 entries in memory at a time, and returns what was found.
    /// What commits meanwhile may be seen or not.
    ///
    /// # Errors
    /// What the log answers with, where it cannot be read. A damaged row is no error but a problem of the
    /// report.
    pub async fn read(mut self, log: &dyn Checkpoints) -> Result<Report, AuditError> {
        let mut walk = Walk::new(log);
        while let Some(entry) = walk.next().await? {
            match entry {
                Entry::Leaf(leaf) => self.leaf(&leaf),
                Entry::Checkpoint(checkpoint) => self.checkpoint(&checkpoint),
            }
        }
        Ok(self.finish())
    }

    /// Ends the log and returns what was found.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let late = self.report.head.and_then(|head| self.too_early(head.at));
        // The event of a forgetting commits with it, so it stands behind whatever it erased.
        let first = |(place, _): &&(u64, Spot)| *place;
        let unannounced = self.erased.values().min_by_key(first).map(|(_, spot)| *spot);
        let untold =
            self.dropped.values().map(|untold| &untold.first).min_by_key(first).map(|(_, spot)| *spot);
        if let Some(spot) = self.gap {
            self.found(Flaw::StreamGap, spot);
        } else if let Some(spot) = late {
            self.found(Flaw::Backdated, spot);
        } else if let Some(spot) = unannounced {
            self.found(Flaw::Erased, spot);
        } else if let Some(spot) = untold {
            self.found(Flaw::Dropped, spot);
        }
        if let Some(trusted) = self.trusted {
            self.compare_with(&trusted);
        } else if self.report.head.is_none() {
            self.found(Flaw::NoCheckpoint, Spot::Log);
        }
        self.report.authentic = self.key.is_some();
        self.report
    }

    fn next_place(&mut self) -> u64 {
        self.report.events = self.report.events.saturating_add(1);
        self.report.events
    }

    fn judge_event(&mut self, place: u64, event: &Event) {
        if self.report.problem.is_some() {
            return;
        }
        let spot = Spot::Event { place, id: Some(event.id()) };
        if !event.hash_holds() {
            return self.found(Flaw::Changed, spot);
        }
        if event.is_erased() {
            self.report.erased = self.report.erased.saturating_add(1);
            self.erased.entry(event.scope().clone()).or_insert((place, spot));
        }
        if matches!(event.kind(), Kind::UserForgotten | Kind::AccountForgotten) {
            self.erased.remove(event.scope());
        }
        if event.kind() == Kind::EventsDropped
            && let Some(Untold { latest: (at, spot), .. }) = self.dropped.remove(event.hash())
        {
            self.report.retentions = self.report.retentions.saturating_add(1);
            if !Retention::reached(event, at) {
                return self.found(Flaw::Dropped, spot);
            }
        }
        self.cover(event.hash(), (event.at(), spot));
        if !event.stream().is_none_or(|stream| self.goes_on(stream)) {
            self.gap.get_or_insert(spot);
        }
    }

    fn judge_dropped(&mut self, place: u64, dropped: &Dropped) {
        if self.report.problem.is_some() {
            return;
        }
        let spot = Spot::Event { place, id: None };
        if self.key.as_ref().is_some_and(|key| !dropped.is_authentic(place, key)) {
            return self.found(Flaw::Dropped, spot);
        }
        self.report.dropped = self.report.dropped.saturating_add(1);
        // The event of an order commits with it, so it stands behind whatever it dropped.
        let new = Untold { first: (place, spot), latest: (dropped.at, spot) };
        let untold = self.dropped.entry(dropped.by).or_insert(new);
        if dropped.at > untold.latest.0 {
            untold.latest = new.latest;
        }
        self.cover(&dropped.hash, (dropped.at, spot));
        if !dropped.stream.is_none_or(|stream| self.goes_on(stream)) {
            self.gap.get_or_insert(spot);
        }
    }

    fn cover(&mut self, hash: &[u8; 32], (at, spot): (Timestamp, Spot)) {
        if self.uncovered.len() < MOST_UNCOVERED {
            self.uncovered.push(*hash);
        }
        if self.earliest.is_none_or(|(earliest, _)| at < earliest) {
            self.earliest = Some((at, spot));
        }
    }

    /// Notes the position of a stream, and returns whether it is the next one.
    fn goes_on(&mut self, stream: Stream) -> bool {
        let last = self.streams.entry(stream.id).or_insert(0);
        let goes_on = last.checked_add(1) == Some(stream.seq);
        *last = stream.seq;
        goes_on
    }

    /// What is wrong with a checkpoint, and where, if not with the checkpoint as a whole. What a lack of
    /// events explains is not taken for a gap in a stream.
    fn flaw_of(&mut self, checkpoint: &Checkpoint) -> Option<(Flaw, Option<Spot>)> {
        if self.key.as_ref().is_some_and(|key| !checkpoint.is_authentic(key)) {
            return Some((Flaw::WrongMac, None));
        }
        if self.trusted.is_some_and(|trusted| trusted.log != checkpoint.log) {
            return Some((Flaw::AnotherLog, None));
        }
        let (is_next, before) = match &self.report.head {
            Some(last) => (checkpoint.follows(last), last.at.min(checkpoint.at)),
            None => (checkpoint.is_first(), Timestamp::MIN),
        };
        if !is_next {
            return Some((Flaw::BrokenChain, None));
        }
        // The place of the last event so far; the chain holds, so the range begins where the last one ended.
        let place = self.report.events;
        if place != checkpoint.total {
            return Some((if place < checkpoint.total { Flaw::Missing } else { Flaw::Inserted }, None));
        }
        if root(&mut self.uncovered) != checkpoint.root {
            return Some((Flaw::Changed, None));
        }
        let gap = self.gap.map(|spot| (Flaw::StreamGap, Some(spot)));
        gap.or_else(|| self.too_early(before).map(|spot| (Flaw::Backdated, Some(spot))))
    }

    /// Where an event lies too far before `limit`, among those behind the last checkpoint.
    fn too_early(&self, limit: Timestamp) -> Option<Spot> {
        self.earliest.filter(|(at, _)| at.plus(self.lag) < limit).map(|(_, spot)| spot)
    }

    fn compare_with(&mut self, trusted: &Checkpoint) {
        let here = Spot::Trusted(trusted.number);
        if self.key.as_ref().is_some_and(|key| !trusted.is_authentic(key)) {
            self.found(Flaw::WrongMac, here);
        } else if !self.met_trusted {
            self.found(Flaw::CutTail, here);
        }
    }

    /// Notes a problem, if it is the first.
    fn found(&mut self, flaw: Flaw, spot: Spot) {
        self.report.problem.get_or_insert(Problem { flaw, spot });
    }
}

/// Events that were dropped, and that no order was met for yet.
#[derive(Clone, Copy, Debug)]
struct Untold {
    /// The place of the first one.
    first: (u64, Spot),
    /// When the youngest one happened.
    latest: (Timestamp, Spot),
}

/// As many as [`Checkpoint::MAX_COUNT`]: hashes past that are of no checkpoint.
const MOST_UNCOVERED: usize = 1 << 20;
