//! Progress of running exchanges, which the journal notes in case that the process dies, and bills of their answers.

use std::cell::RefCell;

use super::{Answers, exchange::OutgoingExchange};
use crate::{
    domain::{
        anthropic::StreamSummary,
        catalog::{self, Catalog},
        exchange::{Cost, NanoDollars, Tokens},
        price::Bill,
    },
    store::Progress,
};

/// Sums up the tries of a running exchange, the last one included.
pub(super) fn progress<'a>(
    answers: &Answers,
    exchange: &OutgoingExchange,
    summaries: impl Iterator<Item = &'a StreamSummary>,
    tries: u32,
) -> Progress {
    let catalog = answers.catalog();
    let day = catalog::day_of(super::now());
    let asked = &*exchange.opening.model;
    let (mut tokens, mut bill, mut model) = (Tokens::default(), Bill::default(), None);
    for summary in summaries {
        bill.add(bill_of(summary, asked, &catalog));
        tokens += summary.tokens();
        model = summary.model().or(model);
    }
    let bill = bill.at_least();
    let charge = catalog.charge(&bill, asked, day);
    Progress {
        tries,
        model: model.map(str::to_owned),
        tokens,
        cost: charge.cost,
        pricing: charge.pricing,
        bill: Some(bill.encode(model.unwrap_or(asked), &tokens)),
        priced_on: Some(catalog.priced_on(day).to_string()),
    }
}

/// The bill so far of an answer that `asked` was asked for.
pub(super) fn bill_of(summary: &StreamSummary, asked: &str, catalog: &Catalog) -> Bill {
    let bill = RefCell::new(Bill::default());
    // Parts without a price: what is left tells whether more was billed than they say.
    let cost = summary.cost(asked, |model, tokens, terms| {
        bill.borrow_mut().add(catalog.bill(model, tokens, terms));
        Cost::Exact(NanoDollars(0))
    });
    let bill = bill.into_inner();
    if matches!(cost, Cost::AtLeast(_)) { bill.at_least() } else { bill }
}
