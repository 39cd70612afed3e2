//! The reports of `reprise stats --reprice` and `--what-if`: past calls at the prices of a given day, or of another model.

use std::{collections::BTreeMap, fmt, ops::Not};

use jiff::civil::Date;
use serde::Serialize;

use super::{GroupBy, Money, Period, group::Groups, labels, of, users};
use crate::{
    domain::{
        catalog::{Catalog, PricedExchange},
        exchange::{CallId, Cost, NanoDollars},
        spelling,
    },
    report::{
        lines::paragraph,
        numbers::{calls, thousands},
        table::{Column, Table},
    },
    store::{self, BilledCalls, Reader},
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
    fn add(&mut self, CallCosts { then, now, unexplained }: CallCosts) {
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

/// The costs of a call.
#[derive(Debug, Clone, Copy)]
struct CallCosts {
    then: Cost,
    now: Cost,
    /// True if no price explains the recorded cost.
    unexplained: bool,
}

/// The prices of a comparison, and the day on which they hold.
#[derive(Debug, Clone, Copy)]
struct Repricing<'a> {
    catalog: &'a Catalog,
    prices: NewPrices<'a>,
    today: Date,
}

impl Repricing<'_> {
    /// The costs of a call with these bills.
    fn costs(&self, bills: &[PricedExchange]) -> CallCosts {
        let together = |costs: &mut dyn Iterator<Item = Cost>| {
            costs.reduce(Cost::plus).unwrap_or(Cost::Unpriced)
        };
        let anew = |bill: &PricedExchange| match self.prices {
            NewPrices::Own => self.catalog.repriced(bill, self.today),
            NewPrices::Of(model) => Some(self.catalog.cost_with(bill, model, self.today)),
        };
        let anew: Vec<Option<Cost>> = bills.iter().map(anew).collect();
        let pairs = || bills.iter().zip(&anew);
        CallCosts {
            then: together(&mut bills.iter().map(|bill| bill.cost)),
            now: together(&mut pairs().map(|(bill, now)| now.unwrap_or(bill.cost))),
            unexplained: pairs().any(|(bill, now)| now.is_none() && bill.cost != Cost::Unpriced),
        }
    }
}

impl Comparison {
    /// Compares the recorded cost of these calls with that of `model` at its prices of `today`: an estimate, because another
    /// model counts and answers in other numbers of tokens.
    pub async fn what_if(
        ledger: &Reader,
        catalog: &Catalog,
        calls: &[CallId],
        (model, today): (&str, Date),
    ) -> Result<Self, store::Error> {
        let repricing = Repricing { catalog, prices: NewPrices::Of(model), today };
        let mut sums = Sums::default();
        let calls = BilledCalls::These(calls);
        ledger.bills(calls, |_, _, bills| sums.add(repricing.costs(bills))).await?;
        Ok(sums.comparison())
    }

    /// Writes what the marks of the amounts mean, and what was left out.
    pub(in crate::report) fn write_marks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.cost.unpriced > 0 {
            let unpriced = calls(self.cost.unpriced);
            let text = format!("{unpriced} had no known price; the difference leaves them out");
            paragraph(f, "+?   ", &text)?;
        }
        if self.cost.at_least > 0 {
            let early = calls(self.cost.at_least);
            paragraph(f, "≥    ", &format!("at least this much, because {early} ended early"))?;
        }
        if self.unexplained > 0 {
            let unexplained = calls(self.unexplained);
            let text = format!("No price explains what {unexplained} cost; they stay as they are.");
            paragraph(f, "", &text)?;
        }
        Ok(())
    }
}

/// Writes what the cost with `model` is, at its prices of the day `prices_as_of`.
pub(in crate::report) fn write_estimate(
    f: &mut fmt::Formatter<'_>,
    model: &str,
    prices_as_of: &str,
) -> fmt::Result {
    let text = format!(
        "what if  an estimate: the same tokens, prompt cache included, at the prices of {model} of {prices_as_of}; \
         another model counts and answers in other numbers of tokens"
    );
    paragraph(f, "", &text)
}

/// A model that has no known price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no price is known for {name}; {}", match meant {
    Some(meant) => format!("did you mean {meant}?"),
    None => "`reprise prices` lists those that are".to_owned(),
})]
pub struct NoPrice {
    name: String,
    meant: Option<String>,
}

/// The id of the model that a person means by `name`, which must have a price on `day`.
pub fn priced_model(catalog: &Catalog, name: &str, day: Date) -> Result<String, NoPrice> {
    let id = catalog.canonical_id(name);
    if let Some(found) = catalog.price_for(&id, &id, day) {
        return Ok(found.priced_as.map_or_else(|| id.to_string(), str::to_owned));
    }
    let known = catalog.models().iter().map(|model| &*model.id);
    let meant = spelling::nearest(&id, known).map(ToString::to_string);
    Err(NoPrice { name: name.to_owned(), meant })
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
        let repricing = Repricing { catalog, prices, today };
        let mut groups = Groups::<Sums>::new(by, period.zone.clone());
        let mut total = Sums::default();
        ledger
            .bills(BilledCalls::Within(&period.span), |at, key, bills| {
                let costs = repricing.costs(bills);
                total.add(costs);
                groups.of(at, key).add(costs);
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
            Some(model) => write_estimate(f, model, &self.prices_as_of)?,
        }
        self.total.write_marks(f)
    }
}

pub(in crate::report) fn signed(amount: &Money) -> String {
    let sign = if amount.nano_dollars > Some(0) { "+" } else { "" };
    format!("{sign}{}", amount.in_words())
}
