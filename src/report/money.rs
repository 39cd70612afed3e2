//! Money in reports, of one shape in the JSON of all commands.

use serde::Serialize;

use crate::domain::exchange::{Cost, NanoDollars};

/// A cost or a sum of costs, some of which may be unknown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Money {
    /// The known amount in US dollars; `None`: unknown, which is not zero.
    pub dollars: Option<f64>,
    /// The same amount in nano-dollars, which is exact.
    pub nano_dollars: Option<i64>,
    /// Number of calls that count with a lower bound.
    pub at_least: u64,
    /// Number of calls without a known price, which do not count.
    pub unpriced: u64,
}

impl Money {
    /// The known amount. Nothing beside calls without a known price is not known to be zero: calls that failed cost
    /// nothing, and say nothing about the others.
    pub(super) fn new(amount: NanoDollars, at_least: u64, unpriced: u64) -> Self {
        let known = unpriced == 0 || amount != NanoDollars(0);
        Self {
            dollars: known.then(|| amount.dollars()),
            nano_dollars: known.then_some(amount.0),
            at_least,
            unpriced,
        }
    }

    /// An amount that is exact.
    pub(super) fn exact(amount: NanoDollars) -> Self {
        Self::new(amount, 0, 0)
    }

    /// The sum of the costs of calls.
    pub(super) fn sum(costs: impl Iterator<Item = Cost>) -> Self {
        let (mut amount, mut at_least, mut unpriced) = (NanoDollars(0), 0, 0);
        for cost in costs {
            amount.0 = amount.0.saturating_add(cost.amount().unwrap_or_default().0);
            at_least += u64::from(matches!(cost, Cost::AtLeast(_)));
            unpriced += u64::from(cost == Cost::Unpriced);
        }
        Self::new(amount, at_least, unpriced)
    }

    /// Formats the amount; lower bounds and unpriced calls are marked.
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

impl From<Cost> for Money {
    fn from(cost: Cost) -> Self {
        Self::sum(std::iter::once(cost))
    }
}

impl From<Option<NanoDollars>> for Money {
    /// `None`: unpriced.
    fn from(amount: Option<NanoDollars>) -> Self {
        amount.map_or(Cost::Unpriced, Cost::Exact).into()
    }
}
