//! What a check of a log found.

use core::fmt;

use crate::{Checkpoint, EventId};

/// What a check of a log found. Its `Display` is one line for a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// How many events were fed.
    pub events: u64,
    /// How many of them the checkpoints cover that hold.
    pub covered: u64,
    /// How many events of which everything holds had their personal values erased.
    pub erased: u64,
    /// How many events were dropped. The key holder's events of the kind
    /// [`EventsDropped`](crate::Kind::EventsDropped) say by whom, up to when and how many.
    pub dropped: u64,
    /// How many such events account for them.
    pub retentions: u64,
    /// How many checkpoints were fed.
    pub checkpoints: u64,
    /// The newest checkpoint up to which everything holds: what to keep as the next trusted one.
    pub head: Option<Checkpoint>,
    /// The first thing that is wrong.
    pub problem: Option<Problem>,
    pub(crate) authentic: bool,
}

impl Report {
    /// Returns whether nothing is wrong.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.problem.is_none()
    }

    /// Returns whether the checkpoints were checked with their key. Without it, a log that holds is
    /// undamaged, but anyone may have written it.
    #[must_use]
    pub const fn is_authentic(&self) -> bool {
        self.authentic
    }

    /// Returns how many events no checkpoint covers that holds. They are not proven.
    #[must_use]
    pub const fn uncovered(&self) -> u64 {
        self.events.saturating_sub(self.covered)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Some(problem) => write!(f, "the log does not hold: {problem}")?,
            None if self.authentic => f.write_str("the log holds")?,
            None => f.write_str("the log is undamaged, but nothing proves who wrote it: no key was given")?,
        }
        let Self { events, covered, erased, dropped, retentions, checkpoints, .. } = self;
        write!(f, "; {events} events, {covered} covered by {checkpoints} checkpoints, {erased} erased")?;
        if *dropped == 0 { Ok(()) } else { write!(f, ", {dropped} dropped by {retentions} retentions") }
    }
}

/// One thing that is wrong with a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// What is wrong.
    pub flaw: Flaw,
    /// Where.
    pub spot: Spot,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.spot, self.flaw)
    }
}

/// What is wrong with a log. Its `Display` says it in a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Flaw {
    /// An event is not what was logged; at a checkpoint: one of the events it covers, or several.
    Changed,
    /// Events that were logged are gone.
    Missing,
    /// Events stand where none were logged.
    Inserted,
    /// An event says that it happened long before the checkpoint in front of it was made: it was put in later,
    /// or a clock was wrong.
    Backdated,
    /// The personal values of an event were erased, and no event behind it tells of a user or an
    /// account that was forgotten.
    Erased,
    /// An event was dropped without the key of the checkpoints, or no event behind it tells of an order that reached as
    /// far.
    Dropped,
    /// A stream does not go on where it ended: an event was lost, or taken out before anything covered it.
    StreamGap,
    /// A checkpoint does not follow from the one before it.
    BrokenChain,
    /// A checkpoint was changed, or made with another key.
    WrongMac,
    /// A checkpoint is of another log than the trusted one.
    AnotherLog,
    /// The log ends before the trusted checkpoint: its end was cut off, or an older copy was put back.
    CutTail,
    /// The log has another checkpoint in the place of the trusted one: an older copy was continued.
    NotExtended,
    /// No checkpoint holds, so nothing is proven.
    NoCheckpoint,
}

impl Flaw {
    /// Returns a stable code: `event_changed`, `event_missing`, `event_inserted`, `event_backdated`,
    /// `erased_untold`, `dropped_untold`, `stream_gap`, `broken_chain`, `wrong_mac`, `another_log`, `cut_tail`, `not_extended` or
    /// `no_checkpoint`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Changed => "event_changed",
            Self::Missing => "event_missing",
            Self::Inserted => "event_inserted",
            Self::Backdated => "event_backdated",
            Self::Erased => "erased_untold",
            Self::Dropped => "dropped_untold",
            Self::StreamGap => "stream_gap",
            Self::BrokenChain => "broken_chain",
            Self::WrongMac => "wrong_mac",
            Self::AnotherLog => "another_log",
            Self::CutTail => "cut_tail",
            Self::NotExtended => "not_extended",
            Self::NoCheckpoint => "no_checkpoint",
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed => "an event is not what was logged",
            Self::Missing => "an event that was logged is gone",
            Self::Inserted => "an event stands here that was not logged",
            Self::Backdated => "the event says it happened long before the checkpoint in front of it",
            Self::Erased => "its personal values were erased, and no event tells of a user who was forgotten",
            Self::Dropped => "it was dropped, and nothing tells of an order to drop it",
            Self::StreamGap => "the stream of this event does not go on where it ended",
            Self::BrokenChain => "it does not follow from the checkpoint before it",
            Self::WrongMac => "it was changed or made with another key",
            Self::AnotherLog => "it is of another log than the trusted checkpoint",
            Self::CutTail => "the log ends before it; the end was cut off or an older copy put back",
            Self::NotExtended => "it is not the trusted checkpoint; an older copy was continued",
            Self::NoCheckpoint => "no checkpoint holds, so nothing is proven",
        })
    }
}

/// Where something is wrong with a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spot {
    /// At an event.
    Event {
        /// Its place in the log, counted from 1; 0 for a row without a place.
        place: u64,
        /// Its id, where it can be read.
        id: Option<EventId>,
    },
    /// At the checkpoint of this number, or among the events it covers.
    Checkpoint(u64),
    /// At the trusted checkpoint, which has this number.
    Trusted(u64),
    /// In the log as a whole.
    Log,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event { place, id: Some(id) } => write!(f, "event {place} ({id})"),
            Self::Event { place, id: None } => write!(f, "event {place}"),
            Self::Checkpoint(number) => write!(f, "checkpoint {number}"),
            Self::Trusted(number) => write!(f, "trusted checkpoint {number}"),
            Self::Log => f.write_str("the log"),
        }
    }
}
