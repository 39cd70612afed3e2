//! Progress of running exchanges, which the journal notes in case that the process dies.

use super::{Answers, exchange::OutgoingExchange};
use crate::{
    domain::{anthropic::StreamSummary, catalog, exchange::Tokens, price::Bill},
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
        bill.add(summary.bill(asked, &catalog));
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
