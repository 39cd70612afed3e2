//! The formats of the report: table, Markdown and CSV.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use super::{Group, GroupBy, Money, NAMES_OF_USER, Numbers, Stats, Times};
use crate::{
    domain::exchange::{AnsweredBy, NanoDollars},
    report::{
        lines::{list, paragraph},
        numbers::{calls, in_full, percent, thousands, time, tokens},
        table::{Column, Table},
    },
    store::PricedAs,
};

const HEADINGS: [&str; 8] =
    ["calls", "hits", "errors", "prompt", "output", "cost", "share", "saved"];

/// The order in which the columns are left out where there is no room, the highest first. Errors and savings are told
/// below the table, too.
const EXPENDABLE: [Option<u8>; HEADINGS.len()] =
    [None, Some(2), Some(5), Some(4), Some(3), None, Some(6), Some(1)];

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.total.calls == 0 {
            self.nothing(f)?;
            return self.total.refusals(f);
        }
        if let Some(period) = &self.period {
            writeln!(f, "{period}\n")?;
        }
        self.table().fmt(f)?;
        if let hidden @ 1.. = self.with_calls().count() - self.shown().len() {
            let more = thousands(hidden as u64);
            paragraph(f, "", &format!("{more} more groups: --top shows more, --csv all"))?;
        }
        writeln!(f)?;
        self.total.details(f)?;
        self.footnotes(f)
    }
}

impl Stats {
    /// The table, with a bar for the share of each group.
    fn table(&self) -> Table {
        let mut table = Table::new(self.by.iter().map(|by| Column::name(by.as_str())).chain(
            HEADINGS.into_iter().zip(EXPENDABLE).map(|(heading, order)| {
                let column = Column::number(heading);
                order.map_or(column.clone(), |order| column.expendable(order))
            }),
        ));
        for Group { labels, numbers, .. } in self.shown() {
            table.row(labels.iter().cloned().chain(numbers.cells()));
        }
        let is_one = self.with_calls().count() <= 1 && !self.tagged;
        let total = (0..self.by.len()).map(|at| if at == 0 { "total" } else { "" }.to_owned());
        let total = total.chain(self.total.cells());
        match (is_one, self.by.is_empty()) {
            (true, true) => table.row(total),
            (true, false) => {}
            (false, _) => {
                table.total(total);
                table.bars(self.shown().iter().map(|group| group.numbers.share));
            }
        }
        table
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
        for Group { labels, numbers, .. } in self.shown() {
            let labels = labels.iter().map(|label| label.replace('|', "\\|"));
            text += &line(&labels.chain(numbers.cells()).collect::<Vec<_>>());
        }
        if self.with_calls().count() != 1 || self.tagged {
            let total =
                (0..names.len()).map(|at| if at == 0 { "**total**" } else { "" }.to_owned());
            text += &line(&total.chain(self.total.cells()).collect::<Vec<_>>());
        }
        text
    }

    /// The report as CSV: one column per figure, money in dollars, times in milliseconds. The names of users come last.
    pub fn csv(&self) -> Result<String, csv::Error> {
        let mut rows = csv::Writer::from_writer(Vec::new());
        let columns = CSV.iter().map(|(name, _)| *name);
        let by = || self.by.iter().map(GroupBy::as_str);
        let users: &[&str] = if self.by.contains(&GroupBy::User) { &NAMES_OF_USER } else { &[] };
        rows.write_record(by().chain(columns).chain(users.iter().copied()))?;
        for Group { of, numbers, .. } in &self.groups {
            let name = |of_what: &str| {
                disarmed(of.get(of_what).and_then(Option::as_deref).unwrap_or_default())
            };
            let cells = CSV.iter().map(|(_, cell)| cell(numbers).into());
            let cells = by().map(name).chain(cells).chain(users.iter().copied().map(name));
            rows.write_record(cells.map(Cow::into_owned))?;
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
            None if self.filtered => writeln!(f, "No calls with these tags."),
            Some(period) => writeln!(f, "No calls: {period}."),
            None => {
                writeln!(f, "The ledger has no calls yet. Start `reprise` and send a request.")
            }
        }
    }

    fn footnotes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Money { at_least, unpriced, .. } = self.total.cost;
        if at_least > 0 {
            let text = format!("at least this much, because {} ended early", calls(at_least));
            paragraph(f, "≥   ", &text)?;
        }
        if unpriced > 0 {
            let text = format!("not counting {} without a known price", calls(unpriced));
            paragraph(f, "+?  ", &text)?;
        }
        for PricedAs { model, priced_as, calls: count } in &self.priced_as {
            let text = format!("{} of {model} at the price of {priced_as}", calls(*count));
            paragraph(f, "", &text)?;
        }
        let saved = &self.total.saved;
        let unknown =
            saved.ledger.unpriced + saved.collapsed.unpriced + saved.prompt_cache.unpriced;
        if unknown > 0 && unpriced == 0 {
            paragraph(f, "+?  ", &format!("what {} saved is not known", calls(unknown)))?;
        }
        if self.tagged {
            paragraph(
                f,
                "",
                "A call with several tags counts in the group of each, one without only in the total.",
            )?;
        }
        if let Some(day) = &self.pruned_before {
            paragraph(f, "", &format!("Calls before {day} were pruned and are not counted."))?;
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
        named(f, "tokens", counts.map(|(name, count)| format!("{name} {}", tokens(count))))?;
        let ways = [
            ("by the ledger", self.saved.ledger),
            ("by joining", self.saved.collapsed),
            ("by the prompt cache (reads less writes)", self.saved.prompt_cache),
        ];
        named(f, "saved", ways.map(|(way, saved)| format!("{} {way}", saved.in_words())))?;
        if let (Some(ttft), Some(total)) = (&self.ttft_ms, &self.total_ms) {
            let first = format!("first byte {}", ttft.in_words());
            let last = format!("last byte {} (p50 / p95 / p99)", total.in_words());
            named(f, "time", [first, last])?;
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

/// Writes a list after its name.
fn named(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    parts: impl IntoIterator<Item = String>,
) -> fmt::Result {
    list(f, &format!("{name:<9}"), parts)
}

/// Writes a line of counts, the largest first, if there are any.
fn by_kind(f: &mut fmt::Formatter<'_>, name: &str, counts: &BTreeMap<String, u64>) -> fmt::Result {
    if counts.is_empty() {
        return Ok(());
    }
    let mut counts: Vec<(&String, &u64)> = counts.iter().collect();
    counts.sort_by_key(|&(kind, count)| (std::cmp::Reverse(count), kind));
    named(f, name, counts.iter().map(|(kind, count)| format!("{kind} {}", thousands(**count))))
}

/// A column of the CSV: its name and its value.
type CsvColumn = (&'static str, fn(&Numbers) -> String);

const CSV: &[CsvColumn] = &[
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
}
