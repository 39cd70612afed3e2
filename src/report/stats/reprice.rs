//! The report of `reprise stats --reprice`: past calls at the prices of a given day.

use std::{collections::BTreeMap, fmt};

use comfy_table::{Cell, CellAlignment, ColumnConstraint, LineStyle, Table, TableStyle};
use jiff::civil::Date;
use serde::Serialize;

use super::{GroupBy, Money, Period, group::Groups, of};
use crate::{
    domain::{
        catalog::Catalog,
        exchange::{Cost, NanoDollars},
    },
    report::numbers::{calls, dollars, thousands},
    store::{self, Reader},
};

/// The report of `reprise stats --reprice`.
#[derive(Debug, Serialize)]
pub struct Repriced {
    #[serde(skip)]
    by: Vec<GroupBy>,
    /// The period in words; `None`: no limit.
    pub period: Option<String>,
    /// The date of the prices.
    pub prices_as_of: String,
    /// The groups, in the order of time or by descending cost.
    pub groups: Vec<Group>,
    /// The total of all groups.
    pub total: Comparison,
}

/// A group of calls.
#[derive(Debug, Serialize)]
pub struct Group {
    /// The value of each dimension; `None`: not stated by the client.
    pub of: BTreeMap<String, Option<String>>,
    #[serde(skip)]
    names: Vec<Option<String>>,
    /// The costs of the group.
    #[serde(flatten)]
    pub comparison: Comparison,
}

/// The recorded cost of calls and the cost at the new prices.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Number of calls that were paid: not those that failed before anything was billed.
    pub calls: u64,
    /// The recorded cost.
    pub cost: Money,
    /// The cost at the new prices.
    pub repriced: Money,
    /// The difference in US dollars, for calls with both costs.
    pub difference: f64,
    /// Number of calls whose terms match no price; they count with their recorded cost.
    pub unexplained: u64,
}

#[derive(Debug, Default)]
struct Sums {
    calls: u64,
    then: Costs,
    now: Costs,
    difference: NanoDollars,
    unexplained: u64,
}

#[derive(Debug, Default)]
struct Costs {
    amount: NanoDollars,
    at_least: u64,
    unpriced: u64,
}

impl Costs {
    fn add(&mut self, cost: Cost) {
        self.amount.0 += cost.amount().unwrap_or_default().0;
        self.at_least += u64::from(matches!(cost, Cost::AtLeast(_)));
        self.unpriced += u64::from(cost == Cost::Unpriced);
    }

    fn money(&self) -> Money {
        Money::new(self.amount, self.at_least, self.unpriced)
    }
}

impl Sums {
    fn add(&mut self, then: Cost, now: Cost, unexplained: bool) {
        self.calls += u64::from(then.is_paid() || now.is_paid());
        self.then.add(then);
        self.now.add(now);
        if let (Some(then), Some(now)) = (then.amount(), now.amount()) {
            self.difference.0 += now.0 - then.0;
        }
        self.unexplained += u64::from(unexplained);
    }

    fn comparison(&self) -> Comparison {
        Comparison {
            calls: self.calls,
            cost: self.then.money(),
            repriced: self.now.money(),
            difference: self.difference.dollars(),
            unexplained: self.unexplained,
        }
    }
}

impl Repriced {
    /// Reads the exchanges of `period` and computes their cost at the prices of `today`.
    pub async fn of(
        ledger: &Reader,
        catalog: &Catalog,
        period: &Period,
        by: &[GroupBy],
        today: Date,
    ) -> Result<Self, store::Error> {
        let mut groups = Groups::<Sums>::new(by, period.zone.clone());
        let mut total = Sums::default();
        ledger
            .bills(period.span.clone(), |at, key, bills| {
                let together = |costs: &mut dyn Iterator<Item = Cost>| {
                    costs.reduce(Cost::plus).unwrap_or(Cost::Unpriced)
                };
                let then = together(&mut bills.iter().map(|bill| bill.cost));
                let anew: Vec<Option<Cost>> =
                    bills.iter().map(|bill| catalog.repriced(bill, today)).collect();
                let now = bills.iter().zip(&anew).map(|(bill, now)| now.unwrap_or(bill.cost));
                let now = together(&mut { now });
                let known = bills.iter().zip(&anew);
                let unexplained = known
                    .into_iter()
                    .any(|(bill, now)| now.is_none() && bill.cost != Cost::Unpriced);
                total.add(then, now, unexplained);
                groups.of(at, key).add(then, now, unexplained);
            })
            .await?;
        let groups = groups
            .into_sorted(|sums| (sums.then.amount, sums.calls))
            .into_iter()
            .filter(|(_, sums)| sums.calls > 0)
            .map(|(names, sums)| Group { of: of(by, &names), names, comparison: sums.comparison() })
            .collect();
        Ok(Self {
            by: by.to_vec(),
            period: period.in_words(),
            prices_as_of: catalog.priced_on(today).to_string(),
            groups,
            total: total.comparison(),
        })
    }
}

impl fmt::Display for Repriced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.total.calls == 0 {
            return writeln!(f, "Nothing was paid, so there is nothing to compute again.");
        }
        if let Some(period) = &self.period {
            writeln!(f, "{period}\n")?;
        }
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        let cells = |of: &Comparison| {
            [thousands(of.calls), of.cost.in_words(), of.repriced.in_words(), signed(of.difference)]
        };
        let mut table = Table::new();
        table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─')));
        let headings = ["paid calls", "cost", "now", "difference"].map(str::to_owned).map(right);
        table.set_header(self.by.iter().map(|by| Cell::new(by.as_str())).chain(headings));
        for Group { names, comparison, .. } in &self.groups {
            let names = names.iter().map(|name| Cell::new(name.as_deref().unwrap_or("–")));
            table.add_row(names.chain(cells(comparison).map(right)));
        }
        if self.groups.len() > 1 {
            let total = (0..self.by.len()).map(|at| Cell::new(if at == 0 { "total" } else { "" }));
            table.add_row(total.chain(cells(&self.total).map(right)));
        }
        for (at, column) in table.column_iter_mut().enumerate() {
            column.set_padding((if at == 0 { 0 } else { 2 }, 0));
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        let mut lines: Vec<String> = table.lines().collect();
        if self.groups.len() > 1 {
            // The total is set apart as the heading is.
            lines.insert(lines.len() - 1, lines[1].clone());
        }
        for line in lines {
            writeln!(f, "{}", line.trim_end())?;
        }
        writeln!(f, "\nnow  at the prices of {}", self.prices_as_of)?;
        if self.total.cost.unpriced > 0 {
            let unpriced = calls(self.total.cost.unpriced);
            writeln!(f, "+?   {unpriced} had no known price; the difference leaves them out")?;
        }
        if self.total.cost.at_least > 0 {
            let early = calls(self.total.cost.at_least);
            writeln!(f, "≥    at least this much, because {early} ended early")?;
        }
        if self.total.unexplained > 0 {
            let unexplained = calls(self.total.unexplained);
            writeln!(f, "No price explains what {unexplained} cost; they stay as they are.")?;
        }
        Ok(())
    }
}

fn signed(amount: f64) -> String {
    if amount > 0.0 { format!("+{}", dollars(amount)) } else { dollars(amount) }
}
