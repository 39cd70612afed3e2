//! The report of `reprise prices`: prices by model and date.

use std::{collections::BTreeMap, fmt};

use jiff::{Timestamp, civil::Date};
use serde::Serialize;

use super::{
    lines::paragraph,
    moment,
    money::Money,
    numbers::{counted, thousands},
    table::{Column, Table},
};
use crate::{
    domain::{
        catalog::Catalog,
        exchange::{Cost, NanoDollars, UnixMillis},
        price::{Imported, Omission, OmissionReason, PicoDollars, Price, Prices},
    },
    store::{Repricing, RepricingRun},
};

/// The report of `reprise prices`.
#[derive(Debug, Serialize)]
pub struct PriceList {
    /// The date of the newest known prices.
    pub prices_as_of: String,
    /// The price of one web search, in US dollars.
    pub web_search: f64,
    /// The prices of all models.
    pub prices: Vec<PriceRow>,
}

/// One price of a model.
#[derive(Debug, Serialize)]
pub struct PriceRow {
    /// The price, in dollars per million tokens.
    #[serde(flatten)]
    pub price: Price,
    /// The first day on which the price is no longer valid; `None`: still open.
    pub until: Option<Date>,
    /// True for an imported price.
    pub imported: bool,
}

/// Selection of prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PriceFilter {
    /// Current and future prices.
    Current,
    /// Past prices, too.
    All,
}

impl PriceList {
    /// Builds the list from `catalog`; `imported` are the prices in it that are not built in.
    pub fn of(catalog: &Catalog, imported: &[Price], which: PriceFilter, today: Date) -> Self {
        let mut prices = Vec::new();
        for model in catalog.models() {
            let mut until = None;
            prices.extend(model.prices.iter().rev().map(|dated| {
                let until = until.replace(dated.since);
                let price = Price { model: model.id.clone(), dated: *dated };
                let imported = imported.iter().any(|own| {
                    own.dated == *dated
                        && catalog.get(&own.model).is_some_and(|own| own.id == model.id)
                });
                PriceRow { price, until, imported }
            }));
        }
        prices.retain(|line| {
            which == PriceFilter::All || line.until.is_none_or(|until| until > today)
        });
        Self {
            prices_as_of: catalog.priced_on(today).to_string(),
            web_search: catalog.search_price().dollars_per_million() / 1e6,
            prices,
        }
    }
}

impl fmt::Display for PriceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([
            Column::name("model"),
            Column::name("since").expendable(1),
            Column::number("input"),
            Column::number("output"),
            Column::number("write 5m").expendable(3),
            Column::number("write 1h").expendable(4),
            Column::number("read").expendable(2),
        ]);
        for PriceRow { price: Price { model, dated }, until, imported } in &self.prices {
            let mark = if *imported { " *" } else { "" };
            let since = match until {
                Some(until) => format!("{} to {until}{mark}", dated.since),
                None => format!("{}{mark}", dated.since),
            };
            table.row([model.clone(), since].into_iter().chain(cells(&dated.prices)));
            if let Some(band) = &dated.long_prompt {
                let above = format!("  prompts over {}k tokens", band.above / 1_000);
                table.row([above, String::new()].into_iter().chain(cells(&band.prices)));
            }
        }
        table.fmt(f)?;
        let text = format!(
            "US dollars per million tokens, as of {}. A web search costs ${:.2}.",
            self.prices_as_of, self.web_search
        );
        writeln!(f)?;
        paragraph(f, "", &text)?;
        if self.prices.iter().any(|line| line.imported) {
            writeln!(f, "*  imported")?;
        }
        Ok(())
    }
}

/// The result of `reprise prices import`.
pub struct PriceImport<'a> {
    /// The file, for people.
    pub file: &'a dyn fmt::Display,
    /// Its prices.
    pub imported: &'a Imported,
    /// The changes of recorded costs.
    pub run: RepricingRun,
    /// The current day.
    pub today: Date,
}

impl fmt::Display for PriceImport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, imported: Imported { prices, left_out, other_providers }, run, today } =
            self;
        let new = counted(prices.len(), "price");
        let known = |omission: &&Omission| matches!(omission.reason, OmissionReason::Known { .. });
        let known = left_out.iter().filter(known).count();
        writeln!(f, "Imported {new} from {file}; {known} known already.")?;
        for Price { model, dated } in prices {
            let begun = if dated.since > *today { ", not before" } else { "" };
            writeln!(f, "New: {model} from {}{begun}.", dated.since)?;
        }
        // By reason: a list from elsewhere may lack a field in many entries.
        let mut reasons: BTreeMap<&OmissionReason, Vec<&str>> = BTreeMap::new();
        for Omission { model, reason } in left_out {
            reasons.entry(reason).or_default().push(if model.is_empty() { "\"\"" } else { model });
        }
        for (reason, models) in reasons {
            writeln!(f, "Left out {}: {reason}.", models.join(", "))?;
        }
        if *other_providers > 0 {
            let entries = if *other_providers == 1 { "entry" } else { "entries" };
            let count = thousands(*other_providers as u64);
            writeln!(f, "Left out {count} {entries} of other providers than Anthropic.")?;
        }
        if !prices.is_empty() {
            RepricingLines(run).fmt(f)?;
            writeln!(f, "Reports use them now; a running server within seconds.")?;
        }
        Ok(())
    }
}

/// The changes of a run, in words.
pub struct RepricingLines<'a>(pub &'a RepricingRun);

impl fmt::Display for RepricingLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RepricingRun { changes, unexplained } = self.0;
        for change in changes {
            let [before, after] = sums(change);
            let exchanges = counted(change.exchanges, "exchange");
            write!(f, "Repriced {exchanges} of {}: {before} before, {after} now", change.model)?;
            writeln!(f, "{}.", notes(change))?;
        }
        if *unexplained > 0 {
            let exchanges = counted(*unexplained, "exchange");
            writeln!(f, "{exchanges} stay as they are: no known price explains what they cost.")?;
        }
        Ok(())
    }
}

/// The report of `reprise prices history`.
#[derive(Debug, Serialize)]
pub struct RepricingList {
    /// The changes of recorded costs, the oldest first.
    pub changes: Vec<RepricingRow>,
}

/// A change of recorded costs.
#[derive(Debug, Serialize)]
pub struct RepricingRow {
    /// The time.
    #[serde(serialize_with = "moment::serialize")]
    at: UnixMillis,
    /// The sum of the costs before.
    before: Money,
    /// The sum of the costs now.
    after: Money,
    /// The change.
    #[serde(flatten)]
    repricing: Repricing,
}

impl RepricingList {
    /// Builds the list.
    pub fn of(changes: Vec<Repricing>) -> Self {
        let row = |repricing: Repricing| {
            let Repricing { before, after, newly_priced, no_longer_priced, .. } = repricing;
            let [before, after] =
                [Money::new(before, 0, newly_priced), Money::new(after, 0, no_longer_priced)];
            RepricingRow { at: repricing.at, before, after, repricing }
        };
        Self { changes: changes.into_iter().map(row).collect() }
    }
}

impl fmt::Display for RepricingList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            return writeln!(f, "No recorded cost was changed.");
        }
        let mut table = Table::new([
            Column::name("when"),
            Column::name("who").expendable(2),
            Column::name("model"),
            Column::number("exchanges").expendable(1),
            Column::number("before"),
            Column::number("now"),
            Column::prose("cause"),
        ]);
        for RepricingRow { repricing: change, .. } in &self.changes {
            let at = Timestamp::from_millisecond(change.at.0).unwrap_or_default();
            let [before, after] = sums(change);
            table.row([
                at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
                change.operator.clone(),
                change.model.clone(),
                thousands(change.exchanges),
                before,
                after,
                format!("{}{}", change.cause, notes(change)),
            ]);
        }
        table.fmt(f)
    }
}

/// The sums of a change.
fn sums(change: &Repricing) -> [String; 2] {
    let Repricing { exchanges, newly_priced, no_longer_priced, before, after, .. } = change;
    let sum = |amount: NanoDollars, unpriced: u64| {
        if unpriced == *exchanges { Cost::Unpriced } else { Cost::Exact(amount) }.to_string()
    };
    [sum(*before, *newly_priced), sum(*after, *no_longer_priced)]
}

/// The numbers of exchanges without a price.
fn notes(change: &Repricing) -> String {
    let note = |count: u64, what: &str| match count {
        0 => String::new(),
        count => format!(" ({} {what})", thousands(count)),
    };
    let then = note(change.newly_priced, "had no price");
    then + &note(change.no_longer_priced, "have no price now")
}

fn cells(prices: &Prices) -> [String; 5] {
    let Prices { input, output, cache_write_5m, cache_write_1h, cache_read } = *prices;
    [input, output, cache_write_5m, cache_write_1h, cache_read].map(dollars)
}

/// Formats a price with cents, and with more digits if it has them.
fn dollars(price: PicoDollars) -> String {
    let text = format!("{:.6}", price.dollars_per_million());
    let trimmed = text.trim_end_matches('0');
    let decimals = trimmed.len() - trimmed.find('.').unwrap_or(0) - 1;
    if decimals < 2 { format!("{:.2}", price.dollars_per_million()) } else { trimmed.to_owned() }
}
