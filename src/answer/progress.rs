//! Progress of running exchanges, which the journal notes in case that the process dies.

use super::{Answers, exchange::OutgoingExchange};
use crate::{
    domain::{
        anthropic::StreamSummary,
        catalog,
        exchange::{Cost, NanoDollars, Tokens},
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
    let (mut tokens, mut cost, mut model) = (Tokens::default(), None::<Cost>, None);
    for summary in summaries {
        let bill = summary.cost(&exchange.opening.model, |model, tokens, terms| {
            catalog.bill_on(model, tokens, terms, day)
        });
        tokens += summary.tokens();
        cost = Some(cost.map_or(bill, |cost| cost.plus(bill)));
        model = summary.model().or(model);
    }
    Progress {
        tries,
        model: model.map(str::to_owned),
        tokens,
        cost: cost.unwrap_or(Cost::AtLeast(NanoDollars(0))).at_least(),
        priced_on: Some(catalog.priced_on(day).to_string()),
    }
}
