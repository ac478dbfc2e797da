//! The table of a day.

use core::fmt;

const HEADS: [&str; 5] = ["time", "user", "what happened", "asked for", "because"];

/// Rows of a day.
pub(crate) struct Table {
    rows: Vec<[String; 5]>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { rows: vec![HEADS.map(str::to_owned)] }
    }

    pub(crate) fn row(&mut self, cells: [String; 5]) {
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = [0; 5];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for (index, row) in self.rows.iter().enumerate() {
            let cells: Vec<_> =
                row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            writeln!(f, "  {}", cells.join("  ").trim_end())?;
            if index == 0 {
                let lines: Vec<_> = widths.iter().map(|width| "-".repeat(*width)).collect();
                writeln!(f, "  {}", lines.join("  "))?;
            }
        }
        Ok(())
    }
}
