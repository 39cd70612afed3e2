//! The reports of `reprise stats --reprice` and `--what-if`: past calls at the prices of a given day, or of another model.

use std::{collections::BTreeMap, fmt, ops::Not};

use jiff::civil::Date;
use serde::Serialize;

use super::{GroupBy, Money, Period, group::Groups, labels, of, users};
use crate::{
    domain::{
        catalog::{Catalog, PricedExchange},
        exchange::{Cost, NanoDollars},
    },
    report::{
        lines::paragraph,
        numbers::{calls, thousands},
        table::{Column, Table},
    },
    store::{self, Reader},
};

/// The prices at which past calls are computed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewPrices<'a> {
    /// Those of the models that answered.
    Own,
    /// Those of this model, as if it had counted the same tokens: an estimate.
    Of(&'a str),
}

/// The report of `reprise stats --reprice` and `--what-if`.
#[derive(Debug, Serialize)]
pub struct Repriced {
    #[serde(skip)]
    by: Vec<GroupBy>,
    /// The model whose prices are taken for all calls; `None`: each has those of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what_if: Option<String>,
    /// True if the new costs are an estimate.
    #[serde(skip_serializing_if = "Not::not")]
    pub is_estimate: bool,
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
    labels: Vec<String>,
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
    /// The difference, for calls with both costs.
    pub difference: Money,
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
            difference: Money::exact(self.difference),
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
        (prices, today): (NewPrices<'_>, Date),
    ) -> Result<Self, store::Error> {
        let anew = |bill: &PricedExchange| match prices {
            NewPrices::Own => catalog.repriced(bill, today),
            NewPrices::Of(model) => Some(catalog.cost_with(bill, model, today)),
        };
        let mut groups = Groups::<Sums>::new(by, period.zone.clone());
        let mut total = Sums::default();
        ledger
            .bills(period.span.clone(), |at, key, bills| {
                let together = |costs: &mut dyn Iterator<Item = Cost>| {
                    costs.reduce(Cost::plus).unwrap_or(Cost::Unpriced)
                };
                let then = together(&mut bills.iter().map(|bill| bill.cost));
                let anew: Vec<Option<Cost>> = bills.iter().map(anew).collect();
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
        let users = users(ledger, by).await?;
        let groups = groups
            .into_sorted(|sums| (sums.then.amount, sums.calls))
            .into_iter()
            .filter(|(_, sums)| sums.calls > 0)
            .map(|(names, sums)| Group {
                of: of(by, &names, &users),
                labels: labels(by, &names, &users),
                comparison: sums.comparison(),
            })
            .collect();
        let what_if = match prices {
            NewPrices::Own => None,
            NewPrices::Of(model) => Some(model.to_owned()),
        };
        Ok(Self {
            by: by.to_vec(),
            is_estimate: what_if.is_some(),
            what_if,
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
        let cells = |of: &Comparison| {
            [
                thousands(of.calls),
                of.cost.in_words(),
                of.repriced.in_words(),
                signed(&of.difference),
            ]
        };
        let headings = [
            Column::number("paid calls").expendable(1),
            Column::number("cost"),
            Column::number(if self.is_estimate { "what if" } else { "now" }),
            Column::number("difference"),
        ];
        let by = self.by.iter().map(|by| Column::name(by.as_str()));
        let mut table = Table::new(by.chain(headings));
        for Group { labels, comparison, .. } in &self.groups {
            table.row(labels.iter().cloned().chain(cells(comparison)));
        }
        if self.groups.len() > 1 {
            let total = (0..self.by.len()).map(|at| if at == 0 { "total" } else { "" }.to_owned());
            table.total(total.chain(cells(&self.total)));
        }
        table.fmt(f)?;
        writeln!(f)?;
        match &self.what_if {
            None => writeln!(f, "now  at the prices of {}", self.prices_as_of)?,
            Some(model) => {
                let text = format!(
                    "what if  an estimate: the same tokens, prompt cache included, at the prices of {model} of {}; \
                     another model counts and answers in other numbers of tokens",
                    self.prices_as_of
                );
                paragraph(f, "", &text)?;
            }
        }
        if self.total.cost.unpriced > 0 {
            let unpriced = calls(self.total.cost.unpriced);
            let text = format!("{unpriced} had no known price; the difference leaves them out");
            paragraph(f, "+?   ", &text)?;
        }
        if self.total.cost.at_least > 0 {
            let early = calls(self.total.cost.at_least);
            paragraph(f, "≥    ", &format!("at least this much, because {early} ended early"))?;
        }
        if self.total.unexplained > 0 {
            let unexplained = calls(self.total.unexplained);
            let text = format!("No price explains what {unexplained} cost; they stay as they are.");
            paragraph(f, "", &text)?;
        }
        Ok(())
    }
}

fn signed(amount: &Money) -> String {
    let sign = if amount.nano_dollars > Some(0) { "+" } else { "" };
    format!("{sign}{}", amount.in_words())
}
