//! A whole log as lines, and back.

use std::io::{self, BufRead, Read};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use data_encoding::HEXLOWER;

use super::parts::{StreamLine, Text, bytes, parsed};
use super::{MAX_LINE_BYTES, from_line, invalid, to_line, too_long};
use crate::checkpoints::{Entry, Walk};
use crate::event::FORMAT;
use crate::{AuditError, Checkpoint, Checkpoints, Dropped, Event, Leaf, Timestamp, Verifier};

/// One line of an exported log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Line {
    /// An event.
    Event(Event),
    /// A checkpoint, behind the last event it covers.
    Checkpoint(Checkpoint),
    /// What stays of an event that was dropped.
    Dropped(Dropped),
    /// Stands for an event that could not be read in its store, or that the store could not find by what it
    /// says.
    Unreadable,
}

impl Line {
    /// Reads one line of an exported log. Unlike [`from_line`] it takes no white space around the object: in a
    /// log every byte counts.
    ///
    /// # Errors
    /// [`AuditError::Invalid`] names the field that is missing or broken, or `line` where the text as a whole
    /// is not what [`Lines`] writes. Values are not repeated.
    pub fn parse(text: &str) -> Result<Self, AuditError> {
        if text.starts_with(CHECKPOINT) {
            return checkpoint_from_line(text).map(Self::Checkpoint);
        }
        if text.starts_with(DROPPED) {
            return dropped_from_line(text).map(Self::Dropped);
        }
        if text.starts_with(UNREADABLE) {
            let read: Result<UnreadableLine, _> = serde_json::from_str(text);
            return read.map(|_| Self::Unreadable).map_err(|_| invalid("unreadable", "is not a place"));
        }
        if !text.starts_with('{') || !text.ends_with('}') {
            return Err(invalid("line", "is not one JSON object"));
        }
        from_line(text).map(Self::Event)
    }
}

const CHECKPOINT: &str = "{\"checkpoint\":";
const DROPPED: &str = "{\"dropped\":";
const UNREADABLE: &str = "{\"unreadable\":";

/// Writes a checkpoint as one JSON object, without a line break at its end.
///
/// The keys come in the documented order. Nothing in the line is secret.
#[must_use]
pub fn checkpoint_to_line(checkpoint: &Checkpoint) -> String {
    let Checkpoint { log, number, at, count, total, root, previous, mac } = checkpoint;
    let [log, root, previous, mac] =
        [log.as_slice(), root, previous, mac].map(|bytes| HEXLOWER.encode(bytes));
    let at = at.unix_millis();
    format!(
        "{CHECKPOINT}{number},\"format\":{FORMAT},\"log\":\"{log}\",\"at\":{at},\"count\":{count},\
         \"total\":{total},\"root\":\"{root}\",\"previous\":\"{previous}\",\"mac\":\"{mac}\"}}"
    )
}

/// Reads a line that [`checkpoint_to_line`] wrote. White space around it is left aside.
///
/// # Errors
/// [`AuditError::Invalid`] names the field that is broken, or `checkpoint` where the text as a whole is no
/// checkpoint.
pub fn checkpoint_from_line(line: &str) -> Result<Checkpoint, AuditError> {
    if line.len() > MAX_LINE_BYTES {
        return Err(too_long(line.len()));
    }
    let whole = "is not one JSON object with the documented keys, each once";
    let line: CheckpointLine<'_> = serde_json::from_str(line).map_err(|_| invalid("checkpoint", whole))?;
    if line.format != FORMAT {
        return Err(invalid("format", format!("is {}, only {FORMAT} is known", line.format)));
    }
    let at = parsed("at", Timestamp::from_unix_millis(line.at))?;
    let hashes =
        [bytes("root", &line.root.0)?, bytes("previous", &line.previous.0)?, bytes("mac", &line.mac.0)?];
    let log = bytes("log", &line.log.0)?;
    Ok(Checkpoint::from_stored(log, line.checkpoint, at, (line.count, line.total), hashes))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckpointLine<'a> {
    checkpoint: u64,
    format: u8,
    #[serde(borrow)]
    log: Text<'a>,
    at: u64,
    count: u64,
    total: u64,
    #[serde(borrow)]
    root: Text<'a>,
    #[serde(borrow)]
    previous: Text<'a>,
    #[serde(borrow)]
    mac: Text<'a>,
}

fn dropped_to_line(place: u64, dropped: &Dropped) -> Result<String, AuditError> {
    let Dropped { hash, at, stream, by, mac } = dropped;
    let [hash, by, mac] = [hash, by, mac].map(|bytes| Text::from(HEXLOWER.encode(bytes)));
    let (at, stream) = (at.unix_millis(), stream.map(StreamLine::of));
    let line = DroppedLine { dropped: place, hash, at, stream, by, mac };
    serde_json::to_string(&line).map_err(|_| invalid("line", "cannot be written"))
}

fn dropped_from_line(line: &str) -> Result<Dropped, AuditError> {
    let whole = "is not one JSON object with the documented keys, each once";
    let line: DroppedLine<'_> = serde_json::from_str(line).map_err(|_| invalid("dropped", whole))?;
    let stream = line.stream.map(|stream| stream.into_stream()).transpose()?;
    let hashes = [bytes("hash", &line.hash.0)?, bytes("by", &line.by.0)?, bytes("mac", &line.mac.0)?];
    Ok(Dropped::from_stored(parsed("at", Timestamp::from_unix_millis(line.at))?, stream, hashes))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DroppedLine<'a> {
    dropped: u64,
    #[serde(borrow)]
    hash: Text<'a>,
    at: u64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    stream: Option<StreamLine<'a>>,
    #[serde(borrow)]
    by: Text<'a>,
    #[serde(borrow)]
    mac: Text<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnreadableLine {
    unreadable: u64,
}

/// Gives a store's whole log line by line, at most 1000 entries in memory at a time.
///
/// ```no_run
/// # async fn export(store: &dyn audit_model::Checkpoints) -> Result<(), Box<dyn std::error::Error>> {
/// use audit_model::export::Lines;
/// use std::io::Write;
///
/// let mut file = std::io::BufWriter::new(std::fs::File::create("audit.jsonl")?);
/// let mut lines = Lines::of(store);
/// while let Some(line) = lines.next().await? {
///     writeln!(file, "{line}")?;
/// }
/// # Ok(()) }
/// ```
///
/// # Security
/// The lines hold the personal values of all events that were not erased: they need the protection of the log.
#[derive(Debug)]
pub struct Lines<'a>(Walk<'a>);

impl<'a> Lines<'a> {
    /// Begins at the first event of `log`.
    #[must_use]
    pub fn of(log: &'a dyn Checkpoints) -> Self {
        Self(Walk::new(log))
    }

    /// Returns the next line, without a line break; `None` behind the last. What commits meanwhile may come or
    /// not; every event that a given checkpoint covers comes before it.
    ///
    /// # Errors
    /// What the log answers with, where it cannot be read. An event that cannot be read alone is no error but
    /// a line that says so.
    pub async fn next(&mut self) -> Result<Option<String>, AuditError> {
        let Some(entry) = self.0.next().await? else { return Ok(None) };
        Ok(Some(match entry {
            Entry::Checkpoint(checkpoint) => checkpoint_to_line(&checkpoint),
            Entry::Leaf(Leaf { place, dropped: Some(dropped), .. }) => dropped_to_line(place, &dropped)?,
            Entry::Leaf(leaf) => {
                let event = leaf.event.as_ref().filter(|_| leaf.is_findable);
                let line = event.and_then(|event| to_line(event).ok());
                line.unwrap_or_else(|| format!("{UNREADABLE}{}}}", leaf.place))
            }
        }))
    }
}

/// Reads an exported log line by line, at most [`MAX_LINE_BYTES`] in memory at a time.
///
/// ```
/// use audit_model::export::Reader;
///
/// let mut reader = Reader::new(&b"{\"unreadable\":1}\nnonsense\n"[..]);
/// assert!(reader.next().unwrap().is_ok());
/// assert_eq!(reader.next().unwrap().unwrap_err().to_string(), "line 2: line: is not one JSON object");
/// assert!(reader.next().is_none());
/// ```
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    buffer: Vec<u8>,
    number: u64,
    ended: bool,
}

impl<R: BufRead> Reader<R> {
    /// Begins where `input` stands.
    pub const fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), number: 0, ended: false }
    }

    /// Reads all lines into `verifier`, up to the first that is none.
    ///
    /// # Errors
    /// [`ReadError`]: the log cannot be read, or holds a line that is none of a log's.
    pub fn verify(mut self, verifier: &mut Verifier) -> Result<(), ReadError> {
        self.try_for_each(|line| {
            verifier.line(&line?);
            Ok(())
        })
    }

    fn read(&mut self) -> Result<Option<Line>, ReadError> {
        self.buffer.clear();
        let limit = u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        let read = self.input.by_ref().take(limit).read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(None);
        }
        self.number = self.number.saturating_add(1);
        let broken = |problem| ReadError::Line { number: self.number, problem };
        let Some(text) =
            self.buffer.strip_suffix(b"\n").or_else(|| (read <= MAX_LINE_BYTES).then_some(&*self.buffer))
        else {
            let rest = self.input.skip_until(b'\n')?;
            return Err(broken(too_long(read.saturating_add(rest))));
        };
        let text = std::str::from_utf8(text).map_err(|_| broken(invalid("line", "is not UTF-8")))?;
        Line::parse(text).map(Some).map_err(broken)
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Line, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let line = self.read().transpose();
        self.ended = matches!(line, None | Some(Err(ReadError::Io(_))));
        line
    }
}

/// Why an exported log cannot be read on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The input failed.
    #[error("the log cannot be read")]
    Io(#[from] io::Error),
    /// A line is none of a log's. The next one can be read all the same.
    #[error("line {number}: {problem}")]
    Line {
        /// The number of the line, counted from 1.
        number: u64,
        /// What is wrong with it.
        problem: AuditError,
    },
}

impl ReadError {
    /// Returns a stable code: `io` or `invalid_line`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "io",
            Self::Line { .. } => "invalid_line",
        }
    }
}
