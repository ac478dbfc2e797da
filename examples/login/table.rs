//! The audit log as a table.

use mfa::audit::Event;

const HEADINGS: [&str; 7] = ["time", "kind", "outcome", "reason", "method", "user", "ip"];

/// Returns the lines of the table, headings first.
pub(crate) fn lines(events: &[Event]) -> Vec<String> {
    let rows: Vec<_> = events.iter().map(row).collect();
    let mut widths = HEADINGS.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let headings = HEADINGS.map(str::to_owned);
    core::iter::once(&headings).chain(&rows).map(|row| line(row, &widths)).collect()
}

fn row(event: &Event) -> [String; 7] {
    let or_dash = |cell: Option<String>| cell.unwrap_or_else(|| "-".to_owned());
    [
        event.at().to_string(),
        event.kind().code().to_owned(),
        event.outcome().code().to_owned(),
        or_dash(event.reason().or_else(|| event.field("status")).map(printable)),
        or_dash(event.field("method").map(printable)),
        or_dash(event.user().map(|user| printable(user.as_str()))),
        or_dash(event.ip().map(|ip| ip.to_string())),
    ]
}

fn line(row: &[String; 7], widths: &[usize; 7]) -> String {
    let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
    cells.join("  ").trim_end().to_owned()
}

/// A log is no place from which to send commands to a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
