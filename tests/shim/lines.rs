//! Lines of a bounded length from a stream of bytes.

use std::io::{self, BufRead};

/// The longest line, in bytes without its end: 1 MiB.
pub(crate) const MAX_LINE_BYTES: usize = 1 << 20;

/// Reads line by line and never holds more than one line of the greatest length.
pub(crate) struct Lines<R>(R);

pub(crate) enum Line {
    /// A line without its end.
    Whole(Vec<u8>),
    /// A line past the limit; it was read to its end and dropped.
    TooLong,
}

impl<R: BufRead> Lines<R> {
    pub(crate) const fn new(input: R) -> Self {
        Self(input)
    }

    /// Returns the next line, the last one also without a line end; `None` at the end of the input.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line>> {
        let mut line = Vec::new();
        let (mut any, mut too_long) = (false, false);
        loop {
            let chunk = match self.0.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if chunk.is_empty() {
                break;
            }
            any = true;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or(chunk);
            // One byte past the limit is room for the carriage return of a line of the greatest length.
            too_long |= line.len().saturating_add(part.len()) > MAX_LINE_BYTES.saturating_add(1);
            if !too_long {
                line.extend_from_slice(part);
            }
            let used = end.map_or(chunk.len(), |end| end.saturating_add(1));
            self.0.consume(used);
            if end.is_some() {
                break;
            }
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        too_long |= line.len() > MAX_LINE_BYTES;
        Ok(any.then_some(if too_long { Line::TooLong } else { Line::Whole(line) }))
    }
}
