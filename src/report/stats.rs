//! What was asked and what it cost, by model.

use std::fmt;

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::Serialize;

use crate::{
    domain::exchange::{NanoDollars, UnixMillis},
    store::{self, ModelTotals, Reader},
};

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
    pub hits: u64,
    /// Calls that got no whole answer, although nobody pressed Stop.
    pub errors: u64,
    /// Tokens of paid prompts, cached or not.
    pub prompt_tokens: u64,
    /// Tokens of paid answers, thinking included.
    pub output_tokens: u64,
    /// US dollars; what is known of them.
    pub cost: f64,
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
        let mut totals = ledger.totals(UnixMillis(0)..UnixMillis(i64::MAX)).await?;
        totals.sort_by(|a, b| b.cost.cmp(&a.cost).then_with(|| a.model.cmp(&b.model)));
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
    hits: u64,
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
        self.hits += model.hits + model.collapsed + model.replays;
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
            hits: self.hits,
            errors: self.errors,
            prompt_tokens: self.prompt_tokens,
            output_tokens: self.output_tokens,
            cost: self.cost.dollars(),
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
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(
            ["model", "calls", "paid", "free", "errors", "prompt", "output", "cost", "saved"]
                .map(heading),
        );
        for row in self.models.iter().chain((self.models.len() > 1).then_some(&self.total)) {
            let number = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
            table.add_row([
                Cell::new(&row.model),
                number(row.calls.to_string()),
                number(row.paid.to_string()),
                number(row.hits.to_string()),
                number(row.errors.to_string()),
                number(thousands(row.prompt_tokens)),
                number(thousands(row.output_tokens)),
                number(row.cost_in_words()),
                number(format!("${:.4}", row.saved)),
            ]);
        }
        writeln!(f, "{}", table.trim_fmt())?;
        if self.total.at_least > 0 {
            writeln!(
                f,
                "≥  {} calls ended early; Anthropic billed at least this much.",
                self.total.at_least
            )?;
        }
        if self.total.unpriced > 0 {
            writeln!(
                f,
                "+? {} calls to models without a known price are not in the cost.",
                self.total.unpriced
            )?;
        }
        Ok(())
    }
}

impl Row {
    /// Never folds what is not known into a sum as if it were exact.
    fn cost_in_words(&self) -> String {
        if self.unpriced > 0 && self.unpriced == self.paid {
            return "unpriced".to_owned();
        }
        let at_least = if self.at_least > 0 { "≥ " } else { "" };
        let unpriced = if self.unpriced > 0 { " +?" } else { "" };
        format!("{at_least}${:.4}{unpriced}", self.cost)
    }
}

fn heading(text: &str) -> Cell {
    let alignment = if text == "model" { CellAlignment::Left } else { CellAlignment::Right };
    Cell::new(text).set_alignment(alignment)
}

/// `1234567` as `1,234,567`.
fn thousands(number: u64) -> String {
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
