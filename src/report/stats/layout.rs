//! The formats of the report: table, Markdown and CSV.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use comfy_table::{
    Cell, CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle,
};

use super::{Group, GroupBy, Money, Numbers, Stats, Times};
use crate::{
    domain::exchange::{AnsweredBy, NanoDollars},
    report::numbers::{calls, in_full, percent, thousands, time, tokens},
    store::PricedAs,
};

/// Maximum width of a table, in columns. Long names wrap; numbers do not.
const WIDTH: u16 = 100;

/// Width of the longest bar, in columns.
const BAR: std::ops::RangeInclusive<usize> = 4..=12;

const HEADINGS: [&str; 8] =
    ["calls", "hits", "errors", "prompt", "output", "cost", "share", "saved"];

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.total.calls == 0 {
            self.nothing(f)?;
            return self.total.refusals(f);
        }
        if let Some(period) = &self.period {
            writeln!(f, "{period}\n")?;
        }
        for line in self.table() {
            writeln!(f, "{}", line.trim_end())?;
        }
        if let hidden @ 1.. = self.with_calls().count() - self.shown().len() {
            writeln!(f, "{} more groups: --top shows more, --csv all", thousands(hidden as u64))?;
        }
        writeln!(f)?;
        self.total.details(f)?;
        self.footnotes(f)
    }
}

impl Stats {
    /// The lines of the table, with a bar for each share if there is room.
    fn table(&self) -> Vec<String> {
        let names = |names: &[Option<String>]| -> Vec<String> {
            names.iter().map(|name| name.as_deref().unwrap_or("–").to_owned()).collect()
        };
        let head = self.by.iter().map(GroupBy::as_str).chain(HEADINGS).map(str::to_owned);
        let mut rows: Vec<Vec<String>> = vec![head.collect()];
        for Group { names: of, numbers, .. } in self.shown() {
            rows.push(names(of).into_iter().chain(numbers.cells()).collect());
        }
        let is_one = self.with_calls().count() <= 1 && !self.tagged;
        let is_summed = !is_one || self.by.is_empty();
        if is_summed {
            let total = (0..self.by.len()).map(|at| if at == 0 { "total" } else { "" }.to_owned());
            rows.push(total.chain(self.total.cells()).collect());
        }
        let columns = rows[0].len();
        let wide = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
        let taken: usize = (0..columns).map(|at| wide(at) + 2).sum();
        let room = usize::from(WIDTH).saturating_sub(taken).min(*BAR.end());
        if BAR.contains(&room) && !is_one {
            let dearest = self.groups.iter().map(|group| group.numbers.share).fold(0.0, f64::max);
            let shown = self.shown();
            let bars = shown.iter().map(|group| bar(group.numbers.share, dearest, room));
            let bars = [String::new()].into_iter().chain(bars).chain([String::new()]);
            rows.iter_mut().zip(bars).for_each(|(row, bar)| row.push(bar));
        }
        let mut table = Table::new();
        table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─')));
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
        let is_number = |at: usize| at >= self.by.len() && at < columns;
        let mut rows = rows.into_iter().map(|row| {
            row.into_iter().enumerate().map(|(at, text)| {
                let side = if is_number(at) { CellAlignment::Right } else { CellAlignment::Left };
                Cell::new(text).set_alignment(side)
            })
        });
        table.set_header(rows.next().into_iter().flatten());
        table.add_rows(rows);
        for (at, column) in table.column_iter_mut().enumerate() {
            column.set_padding((if at == 0 { 0 } else { 2 }, 0));
            if at >= self.by.len() {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        let mut lines: Vec<String> = table.lines().collect();
        if is_summed && !is_one {
            // A rule above the total, as below the heading.
            lines.insert(lines.len() - 1, lines[1].clone());
        }
        lines
    }

    /// The report as Markdown, with the columns of the table.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let names: Vec<&str> = self.by.iter().map(GroupBy::as_str).collect();
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let head = names.iter().chain(&HEADINGS).map(ToString::to_string).collect::<Vec<_>>();
        let rule = names.iter().map(|_| "---").chain(HEADINGS.iter().map(|_| "---:"));
        text += &line(&head);
        text += &line(&rule.map(str::to_owned).collect::<Vec<_>>());
        for Group { names, numbers, .. } in self.shown() {
            let names = names.iter().map(|name| name.as_deref().unwrap_or("–").replace('|', "\\|"));
            text += &line(&names.chain(numbers.cells()).collect::<Vec<_>>());
        }
        if self.with_calls().count() != 1 || self.tagged {
            let total =
                (0..names.len()).map(|at| if at == 0 { "**total**" } else { "" }.to_owned());
            text += &line(&total.chain(self.total.cells()).collect::<Vec<_>>());
        }
        text
    }

    /// The report as CSV: one column per figure, money in dollars, times in milliseconds.
    pub fn csv(&self) -> Result<String, csv::Error> {
        let mut rows = csv::Writer::from_writer(Vec::new());
        let columns = CSV.iter().map(|(name, _)| *name);
        rows.write_record(self.by.iter().map(GroupBy::as_str).chain(columns))?;
        for Group { names, numbers, .. } in &self.groups {
            let names = names.iter().map(|name| disarmed(name.as_deref().unwrap_or_default()));
            let cells = CSV.iter().map(|(_, cell)| cell(numbers).into());
            rows.write_record(names.chain(cells).map(Cow::into_owned))?;
        }
        let bytes = rows.into_inner().map_err(csv::IntoInnerError::into_error)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The groups that the table has.
    fn shown(&self) -> Vec<&Group> {
        self.with_calls().take(self.top).collect()
    }

    /// The groups without those whose calls were all refused, such as that of a misspelt model.
    fn with_calls(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| group.numbers.calls > 0)
    }

    fn nothing(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.period {
            Some(period) => writeln!(f, "No calls: {period}."),
            None => {
                writeln!(f, "The ledger has no calls yet. Start `reprise` and send a request.")
            }
        }
    }

    fn footnotes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Money { at_least, unpriced, .. } = self.total.cost;
        if at_least > 0 {
            writeln!(f, "≥   at least this much, because {} ended early", calls(at_least))?;
        }
        if unpriced > 0 {
            writeln!(f, "+?  not counting {} without a known price", calls(unpriced))?;
        }
        for PricedAs { model, priced_as, calls: count } in &self.priced_as {
            writeln!(f, "{} of {model} at the price of {priced_as}", calls(*count))?;
        }
        let saved = &self.total.saved;
        let unknown =
            saved.ledger.unpriced + saved.collapsed.unpriced + saved.prompt_cache.unpriced;
        if unknown > 0 && unpriced == 0 {
            writeln!(f, "+?  what {} saved is not known", calls(unknown))?;
        }
        if self.tagged {
            writeln!(
                f,
                "A call with several tags counts in the group of each, one without only in the total."
            )?;
        }
        if let Some(day) = &self.pruned_before {
            writeln!(f, "Calls before {day} were pruned and are not counted.")?;
        }
        Ok(())
    }
}

impl Numbers {
    fn cells(&self) -> [String; HEADINGS.len()] {
        [
            thousands(self.calls),
            percent(self.hit_rate),
            thousands(self.errors.values().sum()),
            tokens(self.tokens.prompt()),
            tokens(self.tokens.output),
            self.cost.in_words(),
            percent(self.share),
            self.saved_together().in_words(),
        ]
    }

    /// The sum of the savings.
    fn saved_together(&self) -> Money {
        let ways = [self.saved.ledger, self.saved.collapsed, self.saved.prompt_cache];
        let known: Vec<i64> = ways.iter().filter_map(|way| way.nano_dollars).collect();
        let amount = NanoDollars(known.iter().sum());
        let unpriced = ways.iter().map(|way| way.unpriced).sum();
        Money::new(amount, 0, unpriced)
    }

    /// Writes the details that have no column in the table.
    fn details(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = &self.tokens;
        let counts = [
            ("input", of.input),
            ("written for 5 min", of.cache_write_5m),
            ("for 1 h", of.cache_write_1h),
            ("read", of.cache_read),
            ("output", of.output),
            ("of it thinking", of.thinking),
        ];
        line(f, "tokens", counts.map(|(name, count)| format!("{name} {}", tokens(count))))?;
        let ways = [
            ("by the ledger", self.saved.ledger),
            ("by joining", self.saved.collapsed),
            ("by the prompt cache (reads less writes)", self.saved.prompt_cache),
        ];
        line(f, "saved", ways.map(|(way, saved)| format!("{} {way}", saved.in_words())))?;
        if let (Some(ttft), Some(total)) = (&self.ttft_ms, &self.total_ms) {
            let first = format!("first byte {}", ttft.in_words());
            let last = format!("last byte {} (p50 / p95 / p99)", total.in_words());
            line(f, "time", [first, last])?;
        }
        by_kind(f, "errors", &self.errors)?;
        self.refusals(f)
    }

    fn refusals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        by_kind(f, "refused", &self.refused)
    }
}

impl Times {
    fn in_words(&self) -> String {
        self.micros().map(|micros| time(micros.0)).join(" / ")
    }
}

/// Writes a line of counts, the largest first, if there are any.
fn by_kind(f: &mut fmt::Formatter<'_>, name: &str, counts: &BTreeMap<String, u64>) -> fmt::Result {
    if counts.is_empty() {
        return Ok(());
    }
    let mut counts: Vec<(&String, &u64)> = counts.iter().collect();
    counts.sort_by_key(|&(kind, count)| (std::cmp::Reverse(count), kind));
    line(f, name, counts.iter().map(|(kind, count)| format!("{kind} {}", thousands(**count))))
}

/// Writes a line of several parts, which wraps between parts.
fn line(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    parts: impl IntoIterator<Item = String>,
) -> fmt::Result {
    const INDENT: usize = 9;
    write!(f, "{name:<INDENT$}")?;
    let mut column = INDENT;
    for (at, part) in parts.into_iter().enumerate() {
        let length = part.chars().count();
        if at > 0 && column + 2 + length > usize::from(WIDTH) {
            write!(f, ",\n{:INDENT$}", "")?;
            column = INDENT;
        } else if at > 0 {
            write!(f, ", ")?;
            column += 2;
        }
        write!(f, "{part}")?;
        column += length;
    }
    writeln!(f)
}

/// Draws a bar in eighths of a column; the highest share takes all of `room`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a few eighths"
)]
fn bar(share: f64, dearest: f64, room: usize) -> String {
    const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
    let eighths = if dearest > 0.0 { share / dearest * (room * 8) as f64 } else { 0.0 };
    let eighths = eighths.max(0.0).ceil() as usize;
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(EIGHTHS[eighths % 8 - 1]);
    }
    bar
}

/// A column of the CSV: its name and its value.
type Column = (&'static str, fn(&Numbers) -> String);

const CSV: &[Column] = &[
    ("calls", |n| n.calls.to_string()),
    ("hits", |n| n.count(AnsweredBy::Hit)),
    ("misses", |n| n.count(AnsweredBy::Miss)),
    ("collapsed", |n| n.count(AnsweredBy::Collapsed)),
    ("refreshes", |n| n.count(AnsweredBy::Refresh)),
    ("bypasses", |n| n.count(AnsweredBy::Bypass)),
    ("replays", |n| n.count(AnsweredBy::Replay)),
    ("errors", |n| n.errors.values().sum::<u64>().to_string()),
    ("refused", |n| n.refused.values().sum::<u64>().to_string()),
    ("input", |n| n.tokens.input.to_string()),
    ("cache_write_5m", |n| n.tokens.cache_write_5m.to_string()),
    ("cache_write_1h", |n| n.tokens.cache_write_1h.to_string()),
    ("cache_read", |n| n.tokens.cache_read.to_string()),
    ("output", |n| n.tokens.output.to_string()),
    ("thinking", |n| n.tokens.thinking.to_string()),
    ("searches", |n| n.tokens.searches.to_string()),
    ("cost", |n| amount(&n.cost)),
    ("cost_at_least", |n| n.cost.at_least.to_string()),
    ("cost_unpriced", |n| n.cost.unpriced.to_string()),
    ("saved_ledger", |n| amount(&n.saved.ledger)),
    ("saved_collapsed", |n| amount(&n.saved.collapsed)),
    ("saved_prompt_cache", |n| amount(&n.saved.prompt_cache)),
    ("ttft_ms_p50", |n| at(n.ttft_ms.as_ref(), |t| t.p50)),
    ("ttft_ms_p95", |n| at(n.ttft_ms.as_ref(), |t| t.p95)),
    ("ttft_ms_p99", |n| at(n.ttft_ms.as_ref(), |t| t.p99)),
    ("total_ms_p50", |n| at(n.total_ms.as_ref(), |t| t.p50)),
    ("total_ms_p95", |n| at(n.total_ms.as_ref(), |t| t.p95)),
    ("total_ms_p99", |n| at(n.total_ms.as_ref(), |t| t.p99)),
];

impl Numbers {
    fn count(&self, answered_by: AnsweredBy) -> String {
        self.answered_by.get(&answered_by).copied().unwrap_or(0).to_string()
    }
}

/// Formats an amount to the nano-dollar; empty if unknown.
fn amount(money: &Money) -> String {
    money.nano_dollars.map_or_else(String::new, |nanos| in_full(NanoDollars(nanos)))
}

fn at(times: Option<&Times>, of: fn(&Times) -> f64) -> String {
    times.map_or_else(String::new, |times| format!("{:.3}", of(times)))
}

/// A name as a cell. Names come from clients: an apostrophe keeps a spreadsheet from taking one for a formula.
pub(in crate::report) fn disarmed(name: &str) -> Cow<'_, str> {
    if name.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{name}").into()
    } else {
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_out_of_its_cell() {
        let names = ["plain", "a,b", "say \"hi\"", "=1+1", "@sum", ""];
        let mut row = csv::Writer::from_writer(Vec::new());
        row.write_record(names.map(|name| disarmed(name).into_owned())).unwrap();
        let row = String::from_utf8(row.into_inner().unwrap()).unwrap();
        assert_eq!(row, "plain,\"a,b\",\"say \"\"hi\"\"\",'=1+1,'@sum,\n");
    }

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        let bars = [0.0, 0.001, 0.25, 0.5].map(|share| bar(share, 0.5, 8));
        assert_eq!(bars, ["", "▏", "████", "████████"]);
    }
}
