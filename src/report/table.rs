//! The layout of all tables: they fit the terminal, whose width the formatter states (`{:80}`). Without a width, as in a
//! pipe, nothing is cut or wrapped.
//!
//! An id or a number is never wrapped. Where there is no room, columns give way in this order: texts get shorter, down to
//! `LEAST_TEXT`; columns are left out, those that matter least first; and at last every row becomes some lines.

use std::fmt;

use unicode_width::UnicodeWidthStr;

use super::{
    escape::one_line,
    lines::{COMFORTABLE, elided, flowed, limit, paragraph, wrapped},
};

/// Maximum width of a name in a row of a table; longer ones are shortened, as nobody reads them.
const LONGEST_NAME: usize = 64;
/// Least width of a column of texts.
const LEAST_TEXT: usize = 16;
/// Least width of a column whose text wraps.
const LEAST_PROSE: usize = 24;
/// Space between two columns.
const GAP: usize = 2;
/// Indent of the lines of a row that became several.
const INDENT: usize = 2;
/// Text between the cells of a row that became several lines.
const SEPARATOR: &str = " · ";
/// Width of the longest bar.
const BAR: std::ops::RangeInclusive<usize> = 4..=12;

/// A column of a table.
#[derive(Debug, Clone)]
pub struct Column {
    heading: String,
    kind: Kind,
    /// The order in which columns are left out, the highest first; `None`: it stays.
    expendable: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An id, a name, a date: one line.
    Name,
    /// Right-aligned.
    Number,
    /// Shortened at its end.
    Text,
    /// Wrapped between words.
    Prose,
}

impl Column {
    /// A column of ids or names.
    pub fn name(heading: impl Into<String>) -> Self {
        Self { heading: heading.into(), kind: Kind::Name, expendable: None }
    }

    /// A column of numbers.
    pub fn number(heading: impl Into<String>) -> Self {
        Self { kind: Kind::Number, ..Self::name(heading) }
    }

    /// A column of texts that may be shortened.
    pub fn text(heading: impl Into<String>) -> Self {
        Self { kind: Kind::Text, ..Self::name(heading) }
    }

    /// A column of sentences, which are read whole.
    pub fn prose(heading: impl Into<String>) -> Self {
        Self { kind: Kind::Prose, ..Self::name(heading) }
    }

    /// The same column, which may be left out: of several, that with the highest `order` first.
    #[must_use]
    pub fn expendable(self, order: u8) -> Self {
        Self { expendable: Some(order), ..self }
    }

    fn is_flexible(&self) -> bool {
        matches!(self.kind, Kind::Text | Kind::Prose)
    }
}

/// A table.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Row>,
    total: Option<Vec<String>>,
    /// The length of the bar of each row, as a fraction of the longest.
    bars: Vec<f64>,
}

#[derive(Debug)]
enum Row {
    Cells(Vec<String>),
    /// A heading for the rows below it.
    Caption(String),
}

impl Table {
    /// An empty table.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        let columns = columns.into_iter().collect();
        Self { columns, rows: Vec::new(), total: None, bars: Vec::new() }
    }

    /// Adds a row, with a cell for each column.
    pub fn row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(Row::Cells(cells.into_iter().map(|cell| one_line(cell.as_ref())).collect()));
    }

    /// Adds a heading for the rows that follow.
    pub fn caption(&mut self, text: &str) {
        self.rows.push(Row::Caption(one_line(text)));
    }

    /// Sets the row of sums, which a rule sets apart.
    pub fn total<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.total = Some(cells.into_iter().map(|cell| one_line(cell.as_ref())).collect());
    }

    /// Draws a bar at the end of each row if there is room; the highest value has the longest.
    pub fn bars(&mut self, values: impl IntoIterator<Item = f64>) {
        self.bars = values.into_iter().collect();
    }

    fn cells(&self) -> impl Iterator<Item = &Vec<String>> {
        let rows = self.rows.iter().filter_map(|row| match row {
            Row::Cells(cells) => Some(cells),
            Row::Caption(_) => None,
        });
        rows.chain(&self.total)
    }

    /// The width of each column where there is room.
    fn natural(&self, limit: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> =
            self.columns.iter().map(|column| column.heading.width()).collect();
        for cells in self.cells() {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = cell.width().max(*width);
            }
        }
        if limit.is_some() {
            let names = self.columns.iter().zip(&mut widths);
            names
                .filter(|(column, _)| column.kind == Kind::Name)
                .for_each(|(_, width)| *width = (*width).min(LONGEST_NAME));
        }
        widths
    }

    /// The least width of a flexible column. Words of sentences are not broken, except for very long ones.
    fn least(&self, at: usize, limit: usize) -> usize {
        if self.columns[at].kind == Kind::Text {
            return LEAST_TEXT;
        }
        let words = self.cells().flat_map(|cells| cells[at].split(' ')).map(UnicodeWidthStr::width);
        words.filter(|word| *word <= limit * 2 / 3).fold(LEAST_PROSE, usize::max)
    }

    /// The widths of the columns, of which those without one are left out; `None`: no table fits.
    fn fitted(&self, limit: Option<usize>) -> Option<Vec<Option<usize>>> {
        let natural = self.natural(limit);
        let mut widths: Vec<Option<usize>> = natural.iter().copied().map(Some).collect();
        let Some(limit) = limit else { return Some(widths) };
        let flexible: Vec<usize> =
            (0..widths.len()).filter(|&at| self.columns[at].is_flexible()).collect();
        let mut least = natural.clone();
        for &at in &flexible {
            least[at] = natural[at].min(self.least(at, limit));
            widths[at] = Some(least[at]);
        }
        let mut left_out = Vec::new();
        let mut room = loop {
            if let Some(room) = limit.checked_sub(total_width(&widths)) {
                break room;
            }
            let shown = self.columns.iter().enumerate().filter(|(at, _)| widths[*at].is_some());
            let (_, at) = shown.filter_map(|(at, it)| Some((it.expendable?, at))).max()?;
            widths[at] = None;
            left_out.push(at);
        };
        // A narrow one may find room that a wide one, left out later, has made.
        for at in left_out.into_iter().rev().filter(|&at| !self.columns[at].is_flexible()) {
            if let Some(rest) = room.checked_sub(least[at] + GAP) {
                (room, widths[at]) = (rest, Some(least[at]));
            }
        }
        let growing: Vec<usize> = flexible.into_iter().filter(|&at| widths[at].is_some()).collect();
        for (left, &at) in (1..=growing.len()).rev().zip(&growing) {
            let more = (natural[at] - least[at]).min(room / left);
            widths[at] = Some(least[at] + more);
            room -= more;
        }
        Some(widths)
    }

    fn grid(&self, f: &mut fmt::Formatter<'_>, widths: &[Option<usize>]) -> fmt::Result {
        let width = total_width(widths);
        let room = f.width().unwrap_or(COMFORTABLE).min(COMFORTABLE).saturating_sub(width + GAP);
        let room = room.min(*BAR.end());
        let is_whole = widths.iter().all(Option::is_some) && !self.bars.is_empty();
        let room = if BAR.contains(&room) && is_whole { room } else { 0 };
        let rule = "─".repeat(if room > 0 { width + GAP + room } else { width });
        if self.columns.iter().any(|column| !column.heading.is_empty()) {
            let headings: Vec<&str> = self.columns.iter().map(|it| it.heading.as_str()).collect();
            self.line(f, &headings, widths, "")?;
            writeln!(f, "{rule}")?;
        }
        let longest = self.bars.iter().copied().fold(0.0, f64::max);
        let mut bars = self.bars.iter();
        for row in &self.rows {
            match row {
                Row::Caption(text) => writeln!(f, "{text}")?,
                Row::Cells(cells) => {
                    let value = bars.next().copied().unwrap_or(0.0);
                    let bar = if room > 0 { bar(value, longest, room) } else { String::new() };
                    self.line(f, cells, widths, &bar)?;
                }
            }
        }
        if let Some(total) = &self.total {
            writeln!(f, "{rule}")?;
            self.line(f, total, widths, "")?;
        }
        let out = self.columns.iter().zip(widths).filter(|(_, width)| width.is_none());
        let out: Vec<&str> = out.map(|(column, _)| column.heading.as_str()).collect();
        if !out.is_empty() {
            paragraph(f, "", &format!("(no room for {})", out.join(", ")))?;
        }
        Ok(())
    }

    fn line<T: AsRef<str>>(
        &self,
        f: &mut fmt::Formatter<'_>,
        cells: &[T],
        widths: &[Option<usize>],
        bar: &str,
    ) -> fmt::Result {
        let mut columns: Vec<(Kind, usize, Vec<String>)> = Vec::new();
        for ((column, width), cell) in self.columns.iter().zip(widths).zip(cells) {
            let Some(width) = *width else { continue };
            let lines = match column.kind {
                Kind::Prose => wrapped(cell.as_ref(), width),
                _ => vec![elided(cell.as_ref(), width)],
            };
            columns.push((column.kind, width, lines));
        }
        let height = columns.iter().map(|(_, _, lines)| lines.len()).max().unwrap_or(0);
        for at in 0..height {
            let mut text = String::new();
            for (column, (kind, width, lines)) in columns.iter().enumerate() {
                let cell = lines.get(at).map_or("", String::as_str);
                let space = " ".repeat(width.saturating_sub(cell.width()));
                text.push_str(if column > 0 { "  " } else { "" });
                match kind {
                    Kind::Number => text.extend([&space, cell]),
                    _ => text.extend([cell, &space]),
                }
            }
            if at == 0 && !bar.is_empty() {
                text.extend(["  ", bar]);
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }

    /// Every row as some lines: the first cell, numbers and names with their headings, texts.
    fn stacked(&self, f: &mut fmt::Formatter<'_>, limit: usize) -> fmt::Result {
        let room = limit - INDENT;
        let rows = self.rows.iter().map(|row| match row {
            Row::Caption(text) => Err(text),
            Row::Cells(cells) => Ok(cells),
        });
        for row in rows.chain(self.total.iter().map(Ok)) {
            let cells = match row {
                Err(caption) => {
                    writeln!(f, "{caption}")?;
                    continue;
                }
                Ok(cells) => cells,
            };
            writeln!(f, "{}", elided(cells.first().map_or("", String::as_str), limit).trim_end())?;
            let mut pairs = Vec::new();
            let mut texts = Vec::new();
            for (column, cell) in self.columns.iter().zip(cells).skip(1) {
                match (column.kind, &*column.heading, cell.trim_end()) {
                    (_, _, "") => {}
                    (Kind::Text, ..) => texts.push(elided(cell, room)),
                    (Kind::Prose, ..) => texts.extend(wrapped(cell, room)),
                    (_, "", cell) => pairs.push(elided(cell, room - SEPARATOR.width())),
                    (_, heading, cell) => {
                        let pair = format!("{heading} {cell}");
                        pairs.push(elided(&pair, room - SEPARATOR.width()));
                    }
                }
            }
            for line in texts.into_iter().chain(flowed(pairs, SEPARATOR, Some(room))) {
                writeln!(f, "{}", format!("{:INDENT$}{line}", "").trim_end())?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = limit(f);
        match (self.fitted(limit), limit) {
            (Some(widths), _) => self.grid(f, &widths),
            (None, Some(limit)) => self.stacked(f, limit),
            (None, None) => Ok(()),
        }
    }
}

fn total_width(widths: &[Option<usize>]) -> usize {
    let shown = widths.iter().flatten();
    shown.clone().sum::<usize>() + GAP * shown.count().saturating_sub(1)
}

/// Draws a bar in eighths of a column; the highest value takes all of `room`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a few eighths"
)]
fn bar(value: f64, longest: f64, room: usize) -> String {
    const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
    let eighths = if longest > 0.0 { value / longest * (room * 8) as f64 } else { 0.0 };
    let eighths = eighths.max(0.0).ceil() as usize;
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(EIGHTHS[eighths % 8 - 1]);
    }
    bar
}

#[cfg(test)]
mod tests;
