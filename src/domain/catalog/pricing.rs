//! The catalog's prices applied to tokens: which price holds for an answer, its cost, and the cost of past exchanges.

use std::time::Duration;

use jiff::civil::Date;

use super::{Catalog, Model, PREFIX, Terms};
use crate::domain::{
    chain::Hash,
    exchange::{Cost, NanoDollars, Tokens},
    price::{Bill, BillPart, Charge, DatedPrice, Price, Pricing},
};

/// An exchange as it was billed and priced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricedExchange {
    /// The requested model.
    pub asked: String,
    /// The model that answered, else the requested one.
    pub model: String,
    /// The tokens, as counted upstream.
    pub tokens: Tokens,
    /// The bill as the ledger has it; `None`: the exchange is older than the bills.
    pub bill: Option<String>,
    /// `true` if the answer came to its end.
    pub is_complete: bool,
    /// The cost.
    pub cost: Cost,
    /// The day whose prices were applied; `None`: none were.
    pub priced_on: Option<Date>,
}

/// The price of a model's tokens, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundPrice<'a> {
    /// The price.
    pub dated: &'a DatedPrice,
    /// The model whose price it is; `None`: the model's own.
    pub priced_as: Option<&'a str>,
}

impl Catalog {
    /// The day whose prices [`Catalog::cost_on`] takes for `day`: what will be decided later is not known.
    pub fn priced_on(&self, day: Date) -> Date {
        let begun = self.models.iter().flat_map(|model| &model.prices).map(|dated| dated.since);
        let newest = begun.filter(|since| *since <= day).max();
        day.min(newest.map_or(self.prices_as_of, |newest| newest.max(self.prices_as_of)))
    }

    /// The own price of a model on a day; `None`: unpriced.
    pub fn price_on(&self, model: &str, day: Date) -> Option<&DatedPrice> {
        self.get(model)?.prices.iter().rev().find(|dated| dated.since <= day)
    }

    /// The price of an answer by `served` on a day, where `asked` was asked for: its own, else that of the same id without
    /// its date, else that of the model asked for, found in the same way; `None`: unpriced.
    pub fn price_for(&self, served: &str, asked: &str, day: Date) -> Option<FoundPrice<'_>> {
        if let Some(dated) = self.price_on(served, day) {
            return Some(FoundPrice { dated, priced_as: None });
        }
        [served, asked].into_iter().find_map(|id| {
            let id = self.canonical_id(id);
            [&*id, undated(&id)].into_iter().find_map(|id| {
                let dated = self.price_on(id, day)?;
                Some(FoundPrice { dated, priced_as: self.get(id).map(|model| &*model.id) })
            })
        })
    }

    /// Returns whether that price holds on its first day anyway.
    pub fn knows(&self, price: &Price) -> bool {
        self.price_on(&price.model, price.dated.since).is_some_and(|held| {
            (held.prices, held.long_prompt) == (price.dated.prices, price.dated.long_prompt)
        })
    }

    /// The cost of a finished answer's tokens at the newest prices.
    pub fn cost(&self, model: &str, tokens: &Tokens, terms: Terms) -> Cost {
        self.cost_on(model, tokens, terms, self.prices_as_of)
    }

    /// The cost of `tokens` of an answer by `model` that was finished on `day` (`claude-models.json`, `_meta.rules`),
    /// rounded once, to the nearest nano-dollar.
    pub fn cost_on(&self, model: &str, tokens: &Tokens, terms: Terms, day: Date) -> Cost {
        let price = self.price_for(model, model, day);
        price.map_or(Cost::Unpriced, |found| {
            Cost::Exact(found.dated.cost(tokens, terms, self.search_price))
        })
    }

    /// The bill of tokens as upstream counted them: a lower bound without those of an answer that is longer than the model
    /// can give.
    pub fn bill(&self, model: &str, tokens: &Tokens, terms: Terms) -> Bill {
        let id = self.canonical_id(model);
        let rules = self.get(model).unwrap_or_else(|| self.rules(undated(&id)));
        let longest = rules.max_output.max(rules.context_window);
        if tokens.output <= u64::from(longest) {
            return Bill::of(model, *tokens, terms);
        }
        Bill::of(model, Tokens { output: 0, thinking: 0, ..*tokens }, terms).at_least()
    }

    /// The cost of the bill of an exchange that ended on `day`, in which `asked` was asked for.
    pub fn charge(&self, bill: &Bill, asked: &str, day: Date) -> Charge {
        let mut costs = None;
        let mut pricing = Pricing::default();
        for BillPart { model, tokens, terms } in &bill.parts {
            let cost = if let Some(found) = self.price_for(model, asked, day) {
                if pricing.priced_as.is_none() {
                    pricing.priced_as = found.priced_as.map(str::to_owned);
                }
                Cost::Exact(found.dated.cost(tokens, *terms, self.search_price))
            } else {
                let dearest = self.dearest(tokens, *terms, day).0;
                let estimate = pricing.estimate.unwrap_or_default().0.saturating_add(dearest);
                pricing.estimate = Some(NanoDollars(estimate));
                Cost::Unpriced
            };
            costs = Some(costs.map_or(cost, |sum: Cost| sum.plus(cost)));
        }
        let cost = costs.unwrap_or(Cost::Exact(NanoDollars(0)));
        Charge { cost: if bill.is_bound { cost.at_least() } else { cost }, pricing }
    }

    /// The cost of asking for an answer again, so long after it ended on `day` with this cost and bill: what a repeat of
    /// that age saves. It has the prices of that day, as the answer has.
    pub fn cost_again(
        &self,
        cost: Cost,
        bill: &Bill,
        asked: &str,
        day: Date,
        age: Duration,
    ) -> Cost {
        let again = bill.clone().again(age);
        if again == *bill { cost } else { self.charge(&again, asked, day).cost }
    }

    /// The cost of tokens by the Claude model for which they cost most on `day`: what budgets count for a model without a
    /// price. A model that has its first price later counts with that.
    pub fn dearest(&self, tokens: &Tokens, terms: Terms, day: Date) -> NanoDollars {
        let claude = self.models.iter().filter(|model| model.id.starts_with(PREFIX));
        let prices = claude
            .filter_map(|model| self.price_on(&model.id, day).or_else(|| model.prices.first()));
        let costs = prices.map(|dated| dated.cost(tokens, terms, self.search_price));
        costs.max().unwrap_or_default()
    }

    /// The bill of a recorded exchange. Of one that is older than the bills, the terms are those that explain its cost at
    /// the prices of `before`, by which it was computed, or of `self`; `None` if no terms do.
    pub fn recorded_bill(&self, exchange: &PricedExchange, before: &Self) -> Option<Bill> {
        let PricedExchange { model, tokens, bill, is_complete, cost, priced_on, .. } = exchange;
        if let Some(bill) = bill {
            return Bill::decode(bill, model, tokens);
        }
        let bill = |terms| Bill::of(model, *tokens, terms);
        let is_bound = match cost {
            Cost::Exact(_) => false,
            Cost::AtLeast(_) => true,
            Cost::Unpriced => !is_complete,
        };
        let bill = match (cost.amount(), priced_on) {
            // Nobody knew the cost, so nobody knows the terms: nearly all are the usual ones.
            (None, _) | (_, None) => bill(Terms::default()),
            (Some(amount), Some(day)) => {
                let explains = |dated: &DatedPrice, terms| {
                    dated.cost(tokens, terms, self.search_price) == amount
                };
                let on_day = [before, self].map(|catalog| catalog.price_for(model, model, *day));
                let on_day = on_day.into_iter().flatten().map(|found| found.dated);
                let ever = [before, self].into_iter().filter_map(|catalog| catalog.get(model));
                let mut prices = on_day.chain(ever.flat_map(|model| &model.prices));
                bill(prices.find_map(|dated| Terms::all().find(|&terms| explains(dated, terms)))?)
            }
        };
        Some(if is_bound { bill.at_least() } else { bill })
    }

    /// The cost of an exchange at the prices of another day; `None` if its cost cannot be explained, or if there is no
    /// price.
    pub fn repriced(&self, exchange: &PricedExchange, day: Date) -> Option<Cost> {
        if exchange.tokens == Tokens::default() || exchange.priced_on.is_none() {
            return Some(exchange.cost);
        }
        let bill = self.recorded_bill(exchange, self)?;
        match self.charge(&bill, &exchange.asked, day).cost {
            Cost::Unpriced => None,
            cost => Some(cost),
        }
    }

    /// The cost of the exchange if `model` had counted the same tokens on the same terms, at that model's price of `day`: an
    /// estimate, because another model counts and answers in other numbers of tokens. What nobody was billed for costs
    /// nothing with any model.
    pub fn cost_with(&self, exchange: &PricedExchange, model: &str, day: Date) -> Cost {
        let PricedExchange { model: served, tokens, cost, .. } = exchange;
        if *tokens == Tokens::default() {
            return *cost;
        }
        let mut bill = self.recorded_bill(exchange, self).unwrap_or_else(|| {
            // No terms explain the cost; nearly all are the usual ones.
            let bill = Bill::of(served, *tokens, Terms::default());
            if matches!(cost, Cost::AtLeast(_)) { bill.at_least() } else { bill }
        });
        for part in &mut bill.parts {
            model.clone_into(&mut part.model);
        }
        self.charge(&bill, model, day).cost
    }

    /// Net savings of an answer by the prompt cache at the prices of a day; `None`: unpriced.
    pub fn cache_saving_on(&self, model: &str, tokens: &Tokens, day: Date) -> Option<NanoDollars> {
        self.price_for(model, model, day).map(|found| found.dated.cache_saving(tokens))
    }

    /// A text that tells the built-in prices of two versions apart.
    pub fn fingerprint(&self) -> String {
        let models = self.models.iter();
        let text: Vec<String> =
            [format!("{:?}", self.search_price)]
                .into_iter()
                .chain(models.map(|Model { id, aliases, prices, .. }| {
                    format!("{id} {aliases:?} {prices:?}")
                }))
                .collect();
        let text = text.join("\n");
        Hash::of("prices", &[text.as_bytes()]).to_string()
    }
}

/// A model's id without the date of its snapshot: `claude-sonnet-5-5-20260928` is `claude-sonnet-5-5`.
pub(in crate::domain) fn undated(id: &str) -> &str {
    const DIGITS: usize = 8;
    let Some((name, date)) = id.len().checked_sub(DIGITS).and_then(|at| id.split_at_checked(at))
    else {
        return id;
    };
    match name.strip_suffix(['-', '@']) {
        Some(name) if date.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => id,
    }
}
