//! The sums of a group: added up in integers, told in dollars.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;

use crate::domain::{
    exchange::{AnsweredBy, Cost, Micros, NanoDollars, Tokens},
    histogram::Histogram,
    totals::{Key, Totals},
};

/// What the calls of a group come to.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) calls: u64,
    errors: BTreeMap<String, u64>,
    /// By how they were answered: of the six ways most groups know one or two.
    parts: Vec<(AnsweredBy, Totals)>,
}

/// Money of which not everything may be known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Money {
    /// US dollars, as far as they are known; `None` where nothing is, which is not the same as nothing.
    pub dollars: Option<f64>,
    /// The same, exactly.
    pub nano_dollars: Option<i64>,
    /// Calls of which only a lower bound is in it: it is at least this much.
    pub at_least: u64,
    /// Calls without a known price: they are not in it.
    pub unpriced: u64,
}

impl Money {
    /// The known part of `of` calls.
    pub(super) fn new(amount: NanoDollars, of: u64, at_least: u64, unpriced: u64) -> Self {
        let known = unpriced == 0 || unpriced < of;
        Self {
            dollars: known.then(|| amount.dollars()),
            nano_dollars: known.then_some(amount.0),
            at_least,
            unpriced,
        }
    }

    /// Never folds what is not known into a sum as if it were exact.
    pub(super) fn in_words(&self) -> String {
        let known = match self.nano_dollars.map(NanoDollars) {
            None => Cost::Unpriced,
            Some(known) if self.at_least > 0 => Cost::AtLeast(known),
            Some(known) => Cost::Exact(known),
        };
        let unpriced = if self.nano_dollars.is_some() && self.unpriced > 0 { " +?" } else { "" };
        format!("{known}{unpriced}")
    }
}

/// What was not spent, in the three ways there are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Saved {
    /// By answers from the ledger.
    pub ledger: Money,
    /// By joining a running exchange.
    pub collapsed: Money,
    /// By Anthropic's prompt cache: what reads spared, less what writes cost more than plain input. Negative where
    /// more was written than was read again.
    pub prompt_cache: Money,
}

/// How long answers took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Times {
    /// Half of them took no longer.
    pub p50: f64,
    /// 95 of a hundred took no longer.
    pub p95: f64,
    /// 99 of a hundred took no longer.
    pub p99: f64,
}

impl Times {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 285 years")]
    fn of(histogram: &Histogram) -> Option<Self> {
        let millis = |percent| Some(histogram.percentile(percent)?.0 as f64 / 1e3);
        Some(Self { p50: millis(50)?, p95: millis(95)?, p99: millis(99)? })
    }

    #[expect(clippy::cast_possible_truncation, reason = "they were integers of microseconds")]
    pub(super) fn micros(&self) -> [Micros; 3] {
        [self.p50, self.p95, self.p99].map(|millis| Micros((millis * 1e3).round() as i64))
    }
}

/// The numbers of one group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Numbers {
    /// All calls.
    pub calls: u64,
    /// How they were answered.
    pub answered_by: BTreeMap<AnsweredBy, u64>,
    /// Calls answered from the ledger, of all calls.
    pub hit_rate: f64,
    /// Calls that got no whole answer, although nobody pressed Stop, by what went wrong.
    pub errors: BTreeMap<String, u64>,
    /// Tokens of the calls that Claude was asked for.
    pub tokens: Tokens,
    /// What the calls cost.
    pub cost: Money,
    /// Of all that is known to have been spent.
    pub share: f64,
    /// What they did not cost.
    pub saved: Saved,
    /// Until the first bytes: of the calls that Claude was asked for, or of all if it never was.
    pub ttft_ms: Option<Times>,
    /// Until the last bytes, of the same calls.
    pub total_ms: Option<Times>,
}

impl Sums {
    pub(super) fn add(&mut self, key: &Key<'_>, totals: &Totals) {
        self.calls += totals.calls;
        if let Some(error) = &key.error {
            match self.errors.get_mut(&**error) {
                Some(count) => *count += totals.calls,
                None => _ = self.errors.insert(error.to_string(), totals.calls),
            }
        }
        match self.parts.iter_mut().find(|(answered_by, _)| *answered_by == key.answered_by) {
            Some((_, part)) => part.add(totals),
            None => self.parts.push((key.answered_by, totals.clone())),
        }
    }

    /// Those that were answered in some ways, together.
    fn together(&self, which: impl Fn(AnsweredBy) -> bool) -> Cow<'_, Totals> {
        let mut parts = self.parts.iter().filter(|(answered_by, _)| which(*answered_by));
        let Some((_, first)) = parts.next() else { return Cow::Owned(Totals::default()) };
        let mut all = Cow::Borrowed(first);
        for (_, part) in parts {
            all.to_mut().add(part);
        }
        all
    }

    /// All costs that are known.
    pub(super) fn cost(&self) -> NanoDollars {
        NanoDollars(self.parts.iter().map(|(_, part)| part.cost.0).sum())
    }

    /// The numbers, where `spent` is what all groups cost together.
    #[expect(clippy::cast_precision_loss, reason = "for a share of it")]
    pub(super) fn numbers(&self, spent: NanoDollars) -> Numbers {
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let sum = |count: fn(&Totals) -> u64| self.parts.iter().map(|(_, part)| count(part)).sum();
        let cost = self.cost();
        let saved = |part: &Totals| Money::new(part.saved, part.calls, 0, part.saved_unpriced);
        let asked = self.together(AnsweredBy::asks);
        let hits = self.together(|answered_by| answered_by == AnsweredBy::Hit);
        let collapsed = self.together(|answered_by| answered_by == AnsweredBy::Collapsed);
        let timed = if asked.calls > 0 { Cow::Borrowed(&*asked) } else { self.together(|_| true) };
        Numbers {
            calls: self.calls,
            answered_by: self.parts.iter().map(|(by, part)| (*by, part.calls)).collect(),
            hit_rate: share(hits.calls as f64, self.calls as f64),
            errors: self.errors.clone(),
            tokens: asked.tokens,
            cost: Money::new(
                cost,
                asked.calls,
                sum(|part| part.at_least),
                sum(|part| part.unpriced),
            ),
            share: share(cost.0 as f64, spent.0 as f64),
            saved: Saved {
                ledger: saved(&hits),
                collapsed: saved(&collapsed),
                prompt_cache: Money::new(asked.cache_saved, asked.calls, 0, asked.cache_unpriced),
            },
            ttft_ms: Times::of(&timed.ttft),
            total_ms: Times::of(&timed.total),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_that_is_not_exact_does_not_look_exact() {
        let words = |of, at_least, unpriced| {
            Money::new(NanoDollars(1_500_000_000), of, at_least, unpriced).in_words()
        };
        assert_eq!(words(3, 0, 0), "$1.5000");
        assert_eq!(words(3, 1, 0), "≥ $1.5000");
        assert_eq!(words(3, 0, 2), "$1.5000 +?");
        assert_eq!(words(2, 0, 2), "unpriced");
    }
}
