//! What was asked and what it cost, by model.

use std::fmt;

use comfy_table::{
    Cell, CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle,
};
use serde::Serialize;

use crate::{
    domain::exchange::{NanoDollars, UnixMillis},
    store::{self, ModelTotals, Reader},
};

/// Columns of a terminal that a table may take. Long model ids are broken rather than any number.
const WIDTH: u16 = 100;

/// The report of `reprise stats`.
#[derive(Debug, Serialize)]
pub struct Stats {
    /// Each model that answered, the most expensive first.
    pub models: Vec<Row>,
    /// All of them together.
    pub total: Row,
}

/// One line: calls, tokens and money.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The model, or `total`.
    pub model: String,
    /// All calls.
    pub calls: u64,
    /// Answered by Claude.
    pub paid: u64,
    /// Answered from the ledger.
    pub free: u64,
    /// Calls that got no whole answer, although nobody pressed Stop.
    pub errors: u64,
    /// Tokens of paid prompts, cached or not.
    pub prompt_tokens: u64,
    /// Tokens of paid answers, thinking included.
    pub output_tokens: u64,
    /// US dollars, as far as they are known; `None` where nothing is, which is not the same as nothing.
    pub cost: Option<f64>,
    /// Calls of which only a lower bound of the cost is known: `cost` is at least this much.
    pub at_least: u64,
    /// Calls whose model has no known price: not in `cost`.
    pub unpriced: u64,
    /// US dollars that asking again would have cost.
    pub saved: f64,
}

impl Stats {
    /// Reads the whole ledger.
    pub async fn of(ledger: &Reader) -> Result<Self, store::Error> {
        let totals = ledger.totals(UnixMillis(0)..UnixMillis(i64::MAX)).await?;
        let mut total = Sum::default();
        for model in &totals {
            total.add(model);
        }
        let models = totals
            .iter()
            .map(|model| {
                let mut sum = Sum::default();
                sum.add(model);
                sum.row(&model.model)
            })
            .collect();
        Ok(Self { models, total: total.row("total") })
    }
}

/// Sums in integers; dollars are made of the sum.
#[derive(Debug, Default)]
struct Sum {
    calls: u64,
    paid: u64,
    free: u64,
    errors: u64,
    prompt_tokens: u64,
    output_tokens: u64,
    cost: NanoDollars,
    at_least: u64,
    unpriced: u64,
    saved: NanoDollars,
}

impl Sum {
    fn add(&mut self, model: &ModelTotals) {
        self.calls += model.calls;
        self.paid += model.misses + model.refreshes + model.bypasses;
        self.free += model.hits + model.collapsed + model.replays;
        self.errors += model.errors;
        self.prompt_tokens += model.prompt_tokens;
        self.output_tokens += model.output_tokens;
        self.cost.0 += model.cost.0;
        self.at_least += model.at_least;
        self.unpriced += model.unpriced;
        self.saved.0 += model.saved.0;
    }

    fn row(&self, model: &str) -> Row {
        Row {
            model: model.to_owned(),
            calls: self.calls,
            paid: self.paid,
            free: self.free,
            errors: self.errors,
            prompt_tokens: self.prompt_tokens,
            output_tokens: self.output_tokens,
            cost: (self.unpriced == 0 || self.unpriced < self.paid).then(|| self.cost.dollars()),
            at_least: self.at_least,
            unpriced: self.unpriced,
            saved: self.saved.dollars(),
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.models.is_empty() {
            return writeln!(f, "The ledger has no calls yet. Start `reprise` and ask something.");
        }
        let mut table = Table::new();
        table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─')));
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
        table.set_header(
            ["model", "calls", "paid", "free", "errors", "prompt", "output", "cost", "saved"]
                .map(heading),
        );
        for row in self.models.iter().chain((self.models.len() > 1).then_some(&self.total)) {
            let number = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
            table.add_row([
                Cell::new(&row.model),
                number(thousands(row.calls)),
                number(thousands(row.paid)),
                number(thousands(row.free)),
                number(thousands(row.errors)),
                number(tokens(row.prompt_tokens)),
                number(tokens(row.output_tokens)),
                number(row.cost_in_words()),
                number(dollars(row.saved)),
            ]);
        }
        for (at, column) in table.column_iter_mut().enumerate() {
            column.set_padding((if at == 0 { 0 } else { 2 }, 0));
            if at > 0 {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        let mut lines: Vec<String> = table.lines().collect();
        if self.models.len() > 1 {
            // The total is set apart as the heading is.
            lines.insert(lines.len() - 1, lines[1].clone());
        }
        for line in lines {
            writeln!(f, "{}", line.trim_end())?;
        }
        let Row { at_least, unpriced, .. } = self.total;
        if at_least > 0 {
            writeln!(f, "≥   at least this much, because {} ended early", calls(at_least))?;
        }
        if unpriced > 0 {
            writeln!(f, "+?  not counting {} without a known price", calls(unpriced))?;
        }
        Ok(())
    }
}

impl Row {
    /// Never folds what is not known into a sum as if it were exact.
    fn cost_in_words(&self) -> String {
        let Some(cost) = self.cost else { return "unpriced".to_owned() };
        let (at_least, cost) = if self.at_least > 0 { ("≥ ", floor(cost)) } else { ("", cost) };
        let unpriced = if self.unpriced > 0 { " +?" } else { "" };
        format!("{at_least}{}{unpriced}", dollars(cost))
    }
}

fn heading(text: &str) -> Cell {
    let alignment = if text == "model" { CellAlignment::Left } else { CellAlignment::Right };
    Cell::new(text).set_alignment(alignment)
}

fn calls(count: u64) -> String {
    if count == 1 { "1 call".to_owned() } else { format!("{} calls", thousands(count)) }
}

/// To the token below a million, then in millions: the JSON has them all.
fn tokens(count: u64) -> String {
    match count {
        ..1_000_000 => thousands(count),
        _ => format!("{}.{}M", thousands(count / 1_000_000), count / 100_000 % 10),
    }
}

/// With cents from $100 on, with as many digits as it takes below a hundredth of a cent: what was paid is never $0.
pub(super) fn dollars(amount: f64) -> String {
    if amount > 0.0 && amount < 0.0001 {
        return format!("${amount:.9}").trim_end_matches('0').to_owned();
    }
    let text = if amount < 99.99995 { format!("{amount:.4}") } else { format!("{amount:.2}") };
    let (whole, rest) = text.split_once('.').unwrap_or((&text, "0"));
    format!("${}.{rest}", whole.parse().map_or_else(|_| whole.to_owned(), thousands))
}

/// Cut off instead of rounded, so that a lower bound stays one.
fn floor(amount: f64) -> f64 {
    let unit = if amount < 100.0 { 1e4 } else { 1e2 };
    // A hair more, since four decimals are mostly a hair less in binary.
    if amount < 0.0001 { amount } else { (amount * unit + 1e-6).floor() / unit }
}

/// `1234567` as `1,234,567`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn tokens_and_dollars_stay_short() {
        let counts = [999_999, 1_000_000, 1_234_567_890].map(tokens);
        assert_eq!(counts, ["999,999", "1.0M", "1,234.5M"]);
        let small = [0.0, 0.000_035, 0.0001, 1.5].map(dollars);
        assert_eq!(small, ["$0.0000", "$0.000035", "$0.0001", "$1.5000"]);
        let large = [99.9999, 99.999_96, 100.0, 12_345.678].map(dollars);
        assert_eq!(large, ["$99.9999", "$100.00", "$100.00", "$12,345.68"]);
    }

    #[test]
    fn a_lower_bound_is_not_rounded_up() {
        let bounds = [0.002_85, 0.0029, 0.000_035, 123.456_9].map(|amount| dollars(floor(amount)));
        assert_eq!(bounds, ["$0.0028", "$0.0029", "$0.000035", "$123.45"]);
    }

    #[test]
    fn a_cost_that_is_not_exact_does_not_look_exact() {
        let row = |paid, at_least, unpriced| {
            Sum { paid, at_least, unpriced, cost: NanoDollars(1_500_000_000), ..Sum::default() }
                .row("m")
                .cost_in_words()
        };
        assert_eq!(row(3, 0, 0), "$1.5000");
        assert_eq!(row(3, 1, 0), "≥ $1.5000");
        assert_eq!(row(3, 0, 2), "$1.5000 +?");
        assert_eq!(row(2, 0, 2), "unpriced");
    }
}
