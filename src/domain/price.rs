//! Dated prices of tokens: a cost is computed at the prices of its day and does not change later.
//!
//! Source of the rules: `claude-models.json`, `_meta.rules`. Amounts are integers and rounded once.

mod bill;
mod import;

use jiff::civil::Date;
use serde::{Deserialize, Serialize, Serializer};

pub use self::{
    bill::{Bill, BillPart, Charge, LONG_CACHE, Pricing},
    import::{ImportError, Imported, Omission, OmissionReason, litellm, own},
};
use super::exchange::{NanoDollars, Tokens};

/// The prices of a model from a day on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatedPrice {
    /// The first day, in UTC.
    pub since: Date,
    /// The usual prices.
    #[serde(flatten)]
    pub prices: Prices,
    /// Other prices for requests with long prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_prompt: Option<LongPrompt>,
}

/// A dated price of one model, as it is imported and kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Anthropic's id.
    pub model: String,
    /// Its prices and their first day.
    #[serde(flatten)]
    pub dated: DatedPrice,
}

/// Dollars per million tokens, which is to say millionths of a dollar per token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prices {
    /// Prompt tokens outside the cache.
    pub input: PicoDollars,
    /// Answer tokens, thinking included.
    pub output: PicoDollars,
    /// Written to the prompt cache for five minutes.
    pub cache_write_5m: PicoDollars,
    /// Written to the prompt cache for an hour.
    pub cache_write_1h: PicoDollars,
    /// Read from the prompt cache.
    pub cache_read: PicoDollars,
}

/// The price band of long prompts: all tokens of such a request cost these prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LongPrompt {
    /// Prompt tokens, cache included, above which the band begins.
    pub above: u64,
    /// Its prices.
    #[serde(flatten)]
    pub prices: Prices,
}

/// Trillionths of a dollar: a price of $1 per million tokens is exactly a million of these per token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "f64")]
pub struct PicoDollars(i64);

/// Terms on which tokens are billed (`claude-models.json`, `_meta.rules.multipliers` and `refusal`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// `speed: fast` costs twice as much.
    pub fast: bool,
    /// `inference_geo: us` costs a tenth more.
    pub us_only: bool,
    /// Not billed, although tokens are shown.
    pub free: bool,
}

impl Terms {
    /// All terms there are, the usual ones first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..8_u8).map(|bits| Self {
            us_only: bits & 1 != 0,
            fast: bits & 2 != 0,
            free: bits & 4 != 0,
        })
    }
}

/// A number that is not a valid price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a price must be a number of dollars per million tokens, from 0 to a million")]
pub struct InvalidPrice;

impl TryFrom<f64> for PicoDollars {
    type Error = InvalidPrice;

    /// A price from dollars per million tokens.
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    fn try_from(dollars_per_million: f64) -> Result<Self, InvalidPrice> {
        if !(0.0..=1e6).contains(&dollars_per_million) {
            return Err(InvalidPrice);
        }
        Ok(Self((dollars_per_million * 1e6).round() as i64))
    }
}

impl Serialize for PicoDollars {
    /// Serializes dollars per million tokens.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.dollars_per_million())
    }
}

impl PicoDollars {
    /// A price from the ledger's integer.
    pub const fn new(picos: i64) -> Self {
        Self(picos)
    }

    /// The price of one token.
    pub const fn picos(self) -> i64 {
        self.0
    }

    /// The price in dollars per million tokens.
    #[expect(clippy::cast_precision_loss, reason = "exact up to nine billion dollars")]
    pub fn dollars_per_million(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl DatedPrice {
    /// The prices of a request with `prompt` tokens.
    pub fn band(&self, prompt: u64) -> &Prices {
        match &self.long_prompt {
            Some(band) if prompt > band.above => &band.prices,
            _ => &self.prices,
        }
    }

    /// The cost of tokens, rounded once to the nearest nano-dollar; `search` is the price of one web search.
    pub fn cost(&self, tokens: &Tokens, terms: Terms, search: PicoDollars) -> NanoDollars {
        let prices = self.band(tokens.prompt());
        let Tokens {
            input,
            cache_write_5m,
            cache_write_1h,
            cache_read,
            output,
            thinking: _,
            searches,
        } = *tokens;
        let sum = |counts: &[(u64, PicoDollars)]| -> i128 {
            counts.iter().map(|&(count, price)| i128::from(count) * i128::from(price.0)).sum()
        };
        let tokens = sum(&[
            (input, prices.input),
            (cache_write_5m, prices.cache_write_5m),
            (cache_write_1h, prices.cache_write_1h),
            (cache_read, prices.cache_read),
            (output, prices.output),
        ]);
        let tenths = if terms.us_only { 11 } else { 10 } * if terms.fast { 2 } else { 1 };
        let tenth_picos =
            if terms.free { 0 } else { tokens * tenths + sum(&[(searches, search)]) * 10 };
        rounded(tenth_picos, 10_000)
    }

    /// Savings by the prompt cache: the cost of the cached tokens as plain input, less their actual cost. Negative if
    /// more was written than was read again.
    pub fn cache_saving(&self, tokens: &Tokens) -> NanoDollars {
        let prices = self.band(tokens.prompt());
        let saved = |count: u64, price: PicoDollars| {
            i128::from(count) * (i128::from(prices.input.0) - i128::from(price.0))
        };
        let picos = saved(tokens.cache_write_5m, prices.cache_write_5m)
            + saved(tokens.cache_write_1h, prices.cache_write_1h)
            + saved(tokens.cache_read, prices.cache_read);
        rounded(picos, 1_000)
    }
}

/// Rounds to the nearest whole; halves are rounded up. An amount that is too large keeps its sign.
fn rounded(amount: i128, unit: i128) -> NanoDollars {
    let limit = if amount < 0 { i64::MIN } else { i64::MAX };
    NanoDollars(i64::try_from((amount + unit / 2).div_euclid(unit)).unwrap_or(limit))
}
