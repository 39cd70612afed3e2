//! The bill of an exchange and the prices that it was computed with, in the report of `reprise calls show`.

use std::fmt;

use jiff::civil::Date;
use serde::Serialize;

use crate::{
    domain::{
        catalog::{Catalog, PricedExchange},
        exchange::{Outcome, Tokens},
        price::{BillPart, Prices, Terms},
    },
    report::{lines::paragraph, numbers::thousands},
    store::ExchangeDetails,
};

/// The bill of an exchange.
#[derive(Debug, Serialize)]
pub(super) struct BillReport {
    /// The parts that are billed apart: attempts, and tries that failed.
    parts: Vec<PartReport>,
    /// False if the prices do not explain the cost: they are corrected, and the cost is not computed anew yet.
    explains_cost: bool,
}

/// Tokens that one model was paid for.
#[derive(Debug, Serialize)]
struct PartReport {
    model: String,
    tokens: Tokens,
    /// The price of the tokens; `None`: unknown.
    price: Option<PartPrice>,
    #[serde(flatten)]
    terms: Terms,
}

/// A price, in dollars per million tokens.
#[derive(Debug, Serialize)]
struct PartPrice {
    /// The model whose price it is, if the model that answered has none of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    priced_as: Option<String>,
    /// The first day of the price.
    since: Date,
    #[serde(flatten)]
    prices: Prices,
}

impl BillReport {
    /// The bill of an exchange; `None` if it has no known cost, or one that no terms explain.
    pub(super) fn of(details: &ExchangeDetails, catalog: &Catalog) -> Option<Self> {
        details.cost.amount()?;
        let day: Date = details.priced_on.as_deref()?.parse().ok()?;
        let exchange = PricedExchange {
            asked: details.model_asked.clone(),
            model: details.model_served.as_ref().unwrap_or(&details.model_asked).clone(),
            tokens: details.tokens,
            bill: details.bill.clone(),
            is_complete: details.outcome == Outcome::Complete,
            cost: details.cost,
            priced_on: Some(day),
        };
        let bill = catalog.recorded_bill(&exchange, catalog)?;
        let explains_cost = catalog.charge(&bill, &exchange.asked, day).cost == details.cost;
        let parts = bill.parts.into_iter().map(|BillPart { model, tokens, terms }| {
            let found = catalog.price_for(&model, &exchange.asked, day);
            let price = found.map(|found| PartPrice {
                priced_as: found.priced_as.map(str::to_owned),
                since: found.dated.since,
                prices: *found.dated.band(tokens.prompt()),
            });
            PartReport { model, tokens, price, terms }
        });
        Some(Self { parts: parts.collect(), explains_cost })
    }
}

impl fmt::Display for BillReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = self.parts.len() > 1;
        for PartReport { model, tokens, price, terms } in &self.parts {
            let of = if several { format!("{model}, {}: ", counts(tokens)) } else { String::new() };
            let price = price.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string);
            paragraph(f, "price     ", &format!("{of}{price}{}", in_words(*terms)))?;
        }
        if self.explains_cost {
            return Ok(());
        }
        paragraph(
            f,
            "          ",
            "the cost was computed at other prices; a server that runs will correct it",
        )
    }
}

impl fmt::Display for PartPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Prices { input, output, cache_write_5m, cache_write_1h, cache_read } = self.prices;
        let dollars = [
            ("input", input),
            ("output", output),
            ("written for 5 min", cache_write_5m),
            ("for 1 h", cache_write_1h),
            ("read", cache_read),
        ]
        .map(|(name, price)| format!("{name} ${}", price.dollars_per_million()));
        if let Some(model) = &self.priced_as {
            write!(f, "of {model}, ")?;
        }
        write!(f, "since {}, per million tokens: {}", self.since, dollars.join(", "))
    }
}

fn in_words(Terms { fast, us_only, free }: Terms) -> String {
    let terms = [
        (fast, "; twice as much, as a fast answer"),
        (us_only, "; a tenth more, for inference in the US"),
        (free, "; not billed"),
    ];
    terms.into_iter().filter(|(holds, _)| *holds).map(|(_, words)| words).collect()
}

/// Counts of tokens, without those that are zero.
pub(super) fn counts(tokens: &Tokens) -> String {
    let Tokens { input, cache_write_5m, cache_write_1h, cache_read, output, thinking, searches } =
        *tokens;
    let counts = [
        ("input", input),
        ("written for 5 min", cache_write_5m),
        ("written for 1 h", cache_write_1h),
        ("read", cache_read),
        ("output", output),
        ("of it thinking", thinking),
        ("searches", searches),
    ];
    let count = |(name, count)| (count > 0).then(|| format!("{name} {}", thousands(count)));
    let counts: Vec<String> = counts.into_iter().filter_map(count).collect();
    counts.join(", ")
}
