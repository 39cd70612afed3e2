//! Bills: the tokens of an exchange as upstream bills them. With prices, a bill is all that a cost needs, so a cost can be
//! computed again when a price is learnt late or corrected.

use std::{mem, time::Duration};

use serde::{Deserialize, Serialize};

use super::Terms;
use crate::domain::exchange::{Cost, NanoDollars, Tokens};

/// The bill of an exchange.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bill {
    /// The parts that are billed apart: attempts, and tries that failed.
    pub parts: Vec<BillPart>,
    /// True if more may have been billed than the parts say.
    #[serde(default)]
    pub is_bound: bool,
}

/// Tokens that one model was paid for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillPart {
    /// The model, as upstream named it.
    pub model: String,
    /// Its tokens.
    pub tokens: Tokens,
    /// The terms.
    #[serde(default)]
    pub terms: Terms,
}

/// Lifetime of what is written to the prompt cache at the price of [`Tokens::cache_write_5m`].
const SHORT_CACHE: Duration = Duration::from_mins(5);
/// Lifetime of what is written to the prompt cache at the price of [`Tokens::cache_write_1h`], the longest there is.
pub const LONG_CACHE: Duration = Duration::from_hours(1);

/// The cost of a bill, and how it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The cost; never an estimate.
    pub cost: Cost,
    /// How it was found.
    pub pricing: Pricing,
}

/// Details of a cost beside its amount.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pricing {
    /// The model whose price was taken, where the model that answered has none of its own.
    pub priced_as: Option<String>,
    /// The cost of the parts without any price at the dearest known price. Budgets add it to the cost.
    pub estimate: Option<NanoDollars>,
}

impl Pricing {
    /// Adds that of another exchange of the same answer.
    pub fn add(&mut self, more: &Self) {
        if self.priced_as.is_none() {
            self.priced_as.clone_from(&more.priced_as);
        }
        if let Some(more) = more.estimate {
            let sum = self.estimate.unwrap_or_default().0.saturating_add(more.0);
            self.estimate = Some(NanoDollars(sum));
        }
    }
}

impl Charge {
    /// The cost as budgets count it. A part without a price counts with its estimate.
    pub fn with_estimate(&self) -> Cost {
        match self.pricing.estimate {
            Some(estimate) => {
                let known = self.cost.amount().unwrap_or_default();
                Cost::AtLeast(NanoDollars(known.0.saturating_add(estimate.0)))
            }
            None => self.cost,
        }
    }
}

/// A bill of one part that has all tokens at the usual terms.
const USUAL: &str = "";
/// The same, as a lower bound.
const USUAL_BOUND: &str = ">=";

impl Bill {
    /// A bill of one part.
    pub fn of(model: &str, tokens: Tokens, terms: Terms) -> Self {
        let part = BillPart { model: model.to_owned(), tokens, terms };
        Self { parts: vec![part], is_bound: false }
    }

    /// The same bill as a lower bound.
    #[must_use]
    pub fn at_least(self) -> Self {
        Self { is_bound: true, ..self }
    }

    /// The bill of asking for the same again, so long after the answer ended. Anthropic's prompt cache still has what was
    /// written to it until its lifetime is over, and then it is written again. What was read counts as read at any time:
    /// its lifetime is not known, nor whether other requests prolong it, and no bill is lower.
    #[must_use]
    pub fn again(mut self, age: Duration) -> Self {
        for Tokens { cache_write_5m, cache_write_1h, cache_read, .. } in
            self.parts.iter_mut().map(|part| &mut part.tokens)
        {
            for (written, lifetime) in [(cache_write_5m, SHORT_CACHE), (cache_write_1h, LONG_CACHE)]
            {
                if age < lifetime {
                    *cache_read = cache_read.saturating_add(mem::take(written));
                }
            }
        }
        self
    }

    /// Adds the parts of another bill.
    pub fn add(&mut self, more: Self) {
        self.parts.extend(more.parts);
        self.is_bound |= more.is_bound;
    }

    /// The bill for the ledger, beside the model that answered and the tokens of the exchange.
    pub fn encode(&self, model: &str, tokens: &Tokens) -> String {
        match &self.parts[..] {
            [part] if *part == Self::usual_part(model, tokens) => {
                if self.is_bound { USUAL_BOUND } else { USUAL }.to_owned()
            }
            _ => serde_json::to_string(self).unwrap_or_default(),
        }
    }

    /// Reads what [`Bill::encode`] wrote; `None` if it is no bill.
    pub fn decode(text: &str, model: &str, tokens: &Tokens) -> Option<Self> {
        match text {
            USUAL | USUAL_BOUND => Some(Self {
                parts: vec![Self::usual_part(model, tokens)],
                is_bound: text == USUAL_BOUND,
            }),
            _ => serde_json::from_str(text).ok(),
        }
    }

    fn usual_part(model: &str, tokens: &Tokens) -> BillPart {
        BillPart { model: model.to_owned(), tokens: *tokens, terms: Terms::default() }
    }
}
