//! The sums of a group: integers while they are added up, dollars in the report.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;

use crate::domain::{
    exchange::{AnsweredBy, Micros, NanoDollars, Tokens},
    histogram::Histogram,
    totals::{Key, Totals},
};
use crate::report::Money;

/// The running sums of a group.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) calls: u64,
    errors: BTreeMap<String, u64>,
    /// Refused calls by reason, which are in no other number.
    refused: BTreeMap<String, u64>,
    /// Totals by source of the answer; most groups have one or two of the six.
    parts: Vec<(AnsweredBy, Totals)>,
}

/// Savings, by cause.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Saved {
    /// By answers from the ledger.
    pub ledger: Money,
    /// By joining a running exchange.
    pub collapsed: Money,
    /// By Anthropic's prompt cache: savings of reads less the surcharge of writes. Negative where writes cost more
    /// than reads saved.
    pub prompt_cache: Money,
}

/// Percentiles of a duration, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Times {
    /// The median.
    pub p50: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The 99th percentile.
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

/// The figures of a group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Numbers {
    /// Number of calls.
    pub calls: u64,
    /// Number of calls by source of the answer.
    pub answered_by: BTreeMap<AnsweredBy, u64>,
    /// Number of requests that upstream was sent for the calls: retries included.
    pub upstream_requests: u64,
    /// The fraction of calls answered from the ledger.
    pub hit_rate: f64,
    /// Number of failed calls by kind of error; calls stopped by the client are not failed.
    pub errors: BTreeMap<String, u64>,
    /// Number of requests that Reprise refused, by reason. They are not among the calls.
    pub refused: BTreeMap<String, u64>,
    /// Tokens of the calls that went upstream.
    pub tokens: Tokens,
    /// The cost of the calls.
    pub cost: Money,
    /// The fraction of the known total cost.
    pub share: f64,
    /// The savings.
    pub saved: Saved,
    /// Time to the first byte: of calls that went upstream, or of all if none did.
    pub ttft_ms: Option<Times>,
    /// Time to the last byte, of the same calls.
    pub total_ms: Option<Times>,
}

impl Sums {
    pub(super) fn add(&mut self, key: &Key<'_>, totals: &Totals) {
        if key.answered_by == AnsweredBy::Refused {
            self.refuse(key.error.as_deref().unwrap_or_default(), totals.calls);
            return;
        }
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

    /// Adds refused requests.
    pub(super) fn refuse(&mut self, reason: &str, count: u64) {
        *self.refused.entry(reason.to_owned()).or_default() += count;
    }

    /// The sum of the totals of some sources.
    fn together(&self, which: impl Fn(AnsweredBy) -> bool) -> Cow<'_, Totals> {
        let mut parts = self.parts.iter().filter(|(answered_by, _)| which(*answered_by));
        let Some((_, first)) = parts.next() else { return Cow::Owned(Totals::default()) };
        let mut all = Cow::Borrowed(first);
        for (_, part) in parts {
            all.to_mut().add(part);
        }
        all
    }

    /// The known cost.
    pub(super) fn cost(&self) -> NanoDollars {
        NanoDollars(self.parts.iter().map(|(_, part)| part.cost.0).sum())
    }

    /// The figures; `spent` is the cost of all groups.
    #[expect(clippy::cast_precision_loss, reason = "for a share of it")]
    pub(super) fn numbers(&self, spent: NanoDollars) -> Numbers {
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let sum = |count: fn(&Totals) -> u64| self.parts.iter().map(|(_, part)| count(part)).sum();
        let cost = self.cost();
        let saved = |part: &Totals| Money::new(part.saved, 0, part.saved_unpriced);
        let asked = self.together(AnsweredBy::asks);
        let hits = self.together(|answered_by| answered_by == AnsweredBy::Hit);
        let collapsed = self.together(|answered_by| answered_by == AnsweredBy::Collapsed);
        let timed = if asked.calls > 0 { Cow::Borrowed(&*asked) } else { self.together(|_| true) };
        Numbers {
            calls: self.calls,
            answered_by: self.parts.iter().map(|(by, part)| (*by, part.calls)).collect(),
            upstream_requests: asked.tries,
            hit_rate: share(hits.calls as f64, self.calls as f64),
            errors: self.errors.clone(),
            refused: self.refused.clone(),
            tokens: asked.tokens,
            cost: Money::new(cost, sum(|part| part.at_least), sum(|part| part.unpriced)),
            share: share(cost.0 as f64, spent.0 as f64),
            saved: Saved {
                ledger: saved(&hits),
                collapsed: saved(&collapsed),
                prompt_cache: Money::new(asked.cache_saved, 0, asked.cache_unpriced),
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
        let words = |nanos, at_least, unpriced| {
            Money::new(NanoDollars(nanos), at_least, unpriced).in_words()
        };
        assert_eq!(words(1_500_000_000, 0, 0), "$1.5000");
        assert_eq!(words(1_500_000_000, 1, 0), "≥ $1.5000");
        assert_eq!(words(1_500_000_000, 0, 2), "$1.5000 +?");
        assert_eq!(words(0, 0, 2), "unpriced");
        assert_eq!(words(0, 0, 0), "$0.0000");
    }
}
