//! Prices from elsewhere: our own TOML, and LiteLLM's `model_prices_and_context_window.json`.
//!
//! An entry that lacks a price which the rules need is left out and named: half a price would make wrong sums.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::civil::Date;
use serde::Deserialize;
use serde_json::Value;

use super::{DatedPrice, InvalidPrice, LongPrompt, PicoDollars, Price, Prices};
use crate::domain::catalog::Catalog;

/// The result of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// In the order of the file.
    pub prices: Vec<Price>,
    /// Entries that are not imported.
    pub left_out: Vec<Omission>,
    /// Number of entries that are not about Anthropic's own API.
    pub other_providers: usize,
}

/// An entry that is not imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Omission {
    /// The model, as it is written.
    pub model: String,
    /// The reason.
    pub reason: OmissionReason,
}

/// The reason why an entry is not imported.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum OmissionReason {
    /// A price that the rules need is missing.
    Missing {
        /// Its field.
        field: String,
    },
    /// A price is not a number of dollars that can be right.
    NotAPrice {
        /// Its field.
        field: String,
    },
    /// It names no model.
    NoModel,
    /// A later entry has the same model and day.
    Repeated {
        /// The day.
        since: Date,
    },
    /// The same price holds on that day anyway.
    Known {
        /// The day from which the entry is.
        since: Date,
    },
}

impl fmt::Display for OmissionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { field } => write!(f, "no {field}"),
            Self::NotAPrice { field } => write!(f, "{field} is not a price"),
            Self::NoModel => write!(f, "no model is named"),
            Self::Repeated { since } => {
                write!(f, "a later entry has another price from {since} on")
            }
            Self::Known { since } => write!(f, "the same price is known for {since}"),
        }
    }
}

impl Imported {
    /// Leaves out the prices that `catalog` has already, and writes the names of models as Anthropic does.
    #[must_use]
    pub fn unknown_to(self, catalog: &Catalog) -> Self {
        let Self { prices, mut left_out, other_providers } = self;
        let mut newest = BTreeMap::new();
        for (position, price) in prices.iter().enumerate() {
            let model = catalog.canonical_id(&price.model).into_owned();
            newest.insert((model, price.dated.since), position);
        }
        let mut changed = BTreeSet::new();
        let mut news = Vec::new();
        // By day: a price that was known before is news after another one.
        for ((model, since), &position) in &newest {
            let price = Price { model: model.clone(), dated: prices[position].dated };
            if catalog.knows(&price) && !changed.contains(model) {
                let reason = OmissionReason::Known { since: *since };
                left_out.push(Omission { model: prices[position].model.clone(), reason });
            } else {
                changed.insert(model.clone());
                news.push((position, price));
            }
        }
        let used: BTreeSet<usize> = newest.into_values().collect();
        let repeated = prices.iter().enumerate().filter(|(position, _)| !used.contains(position));
        left_out.extend(repeated.map(|(_, Price { model, dated })| Omission {
            model: model.clone(),
            reason: OmissionReason::Repeated { since: dated.since },
        }));
        news.sort_by_key(|(position, _)| *position);
        Self {
            prices: news.into_iter().map(|(_, price)| price).collect(),
            left_out,
            other_providers,
        }
    }
}

/// The reason why a file has no prices.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Our own format, with a mistake.
    #[error("line {line}: {why}")]
    Toml {
        /// The line, counted from one.
        line: usize,
        /// The mistake.
        why: String,
    },
    /// Not LiteLLM's format.
    #[error("the file is not the JSON of LiteLLM's price list")]
    Json(#[source] serde_json::Error),
    /// Nothing to import.
    #[error("the file has no price of a Claude model")]
    Empty,
}

/// Reads our own format: `[[price]]` with `model`, `since`, the five prices in dollars per million tokens, and
/// perhaps `long_prompt`.
pub fn own(text: &str) -> Result<Imported, ImportError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(default)]
        price: Vec<Price>,
    }
    let File { price: prices } = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        ImportError::Toml { line, why: error.message().to_owned() }
    })?;
    if prices.is_empty() {
        return Err(ImportError::Empty);
    }
    let (prices, nameless): (Vec<Price>, Vec<Price>) =
        prices.into_iter().partition(|price| !price.model.trim().is_empty());
    let omission = |Price { model, .. }: Price| Omission { model, reason: OmissionReason::NoModel };
    let left_out = nameless.into_iter().map(omission).collect();
    Ok(Imported { prices, left_out, other_providers: 0 })
}

/// Reads LiteLLM's list: the entries of Anthropic's own API, in dollars per token. It has no dates, so its prices hold
/// `since` the day that the caller names.
pub fn litellm(text: &str, since: Date) -> Result<Imported, ImportError> {
    let file: BTreeMap<String, Value> = serde_json::from_str(text).map_err(ImportError::Json)?;
    let mut imported = Imported { prices: Vec::new(), left_out: Vec::new(), other_providers: 0 };
    for (model, entry) in file {
        if entry.get("litellm_provider").and_then(Value::as_str) != Some("anthropic") {
            // The first entry of the list explains the others.
            imported.other_providers += usize::from(model != "sample_spec");
            continue;
        }
        match dated(&entry, since) {
            Ok(_) if model.trim().is_empty() => {
                imported.left_out.push(Omission { model, reason: OmissionReason::NoModel });
            }
            Ok(dated) => imported.prices.push(Price { model, dated }),
            Err(reason) => imported.left_out.push(Omission { model, reason }),
        }
    }
    if imported.prices.is_empty() && imported.left_out.is_empty() {
        Err(ImportError::Empty)
    } else {
        Ok(imported)
    }
}

/// LiteLLM's fields for one model, or the first fault.
fn dated(entry: &Value, since: Date) -> Result<DatedPrice, OmissionReason> {
    let prices = prices(entry, "")?;
    let Some((above, suffix)) = band(entry) else {
        return Ok(DatedPrice { since, prices, long_prompt: None });
    };
    let long_prompt = LongPrompt { above, prices: self::prices(entry, &suffix)? };
    Ok(DatedPrice { since, prices, long_prompt: Some(long_prompt) })
}

/// The beginning of a band of long prompts, and the suffix of its fields: `_above_100k_tokens`.
fn band(entry: &Value) -> Option<(u64, String)> {
    entry.as_object()?.keys().find_map(|field| {
        let thousands =
            field.strip_prefix("input_cost_per_token_above_")?.strip_suffix("k_tokens")?;
        let above = thousands.parse::<u64>().ok()?.checked_mul(1_000)?;
        Some((above, format!("_above_{thousands}k_tokens")))
    })
}

fn prices(entry: &Value, suffix: &str) -> Result<Prices, OmissionReason> {
    let price = |name: &str| {
        let field = format!("{name}{suffix}");
        let Some(written) = entry.get(&field).filter(|written| !written.is_null()) else {
            return Err(OmissionReason::Missing { field });
        };
        let price: Result<PicoDollars, InvalidPrice> =
            written.as_f64().ok_or(InvalidPrice).and_then(|dollars| (dollars * 1e6).try_into());
        price.map_err(|InvalidPrice| OmissionReason::NotAPrice { field })
    };
    Ok(Prices {
        input: price("input_cost_per_token")?,
        output: price("output_cost_per_token")?,
        cache_write_5m: price("cache_creation_input_token_cost")?,
        cache_write_1h: price("cache_creation_input_token_cost_above_1hr")?,
        cache_read: price("cache_read_input_token_cost")?,
    })
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn litellms_list_is_read_as_far_as_it_is_whole() {
        let text = r#"{
            "sample_spec": {"input_cost_per_token": 0.0, "litellm_provider": "one of ..."},
            "gpt-9": {"litellm_provider": "openai", "input_cost_per_token": 1e-06},
            "claude-half": {"litellm_provider": "anthropic", "input_cost_per_token": 1e-06,
                "output_cost_per_token": 5e-06},
            "claude-haiku-5-5": {"litellm_provider": "anthropic",
                "input_cost_per_token": 1e-07, "output_cost_per_token": 5e-07,
                "cache_creation_input_token_cost": 1.25e-07,
                "cache_creation_input_token_cost_above_1hr": 2e-07,
                "cache_read_input_token_cost": 1e-08,
                "input_cost_per_token_above_100k_tokens": 5e-07,
                "input_cost_per_token_above_100k_tokens_batches": 2.5e-07,
                "output_cost_per_token_above_100k_tokens": 2.5e-06,
                "cache_creation_input_token_cost_above_100k_tokens": 6.25e-07,
                "cache_creation_input_token_cost_above_1hr_above_100k_tokens": 1e-06,
                "cache_read_input_token_cost_above_100k_tokens": 5e-08}
        }"#;
        let Imported { prices, left_out, other_providers } =
            litellm(text, date(2026, 11, 25)).unwrap();
        let [Price { model, dated }] = &prices[..] else { panic!("{prices:?}") };
        let picos = |prices: &Prices| {
            [
                prices.input,
                prices.output,
                prices.cache_write_5m,
                prices.cache_write_1h,
                prices.cache_read,
            ]
            .map(PicoDollars::picos)
        };
        assert_eq!((&**model, dated.since), ("claude-haiku-5-5", date(2026, 11, 25)));
        assert_eq!(picos(&dated.prices), [100_000, 500_000, 125_000, 200_000, 10_000]);
        let long = dated.long_prompt.unwrap();
        assert_eq!(long.above, 100_000);
        assert_eq!(picos(&long.prices), [500_000, 2_500_000, 625_000, 1_000_000, 50_000]);
        let missing = "cache_creation_input_token_cost".to_owned();
        let reason = OmissionReason::Missing { field: missing };
        assert_eq!(left_out, [Omission { model: "claude-half".to_owned(), reason }]);
        assert_eq!(other_providers, 1);
        assert!(matches!(litellm("{}", date(2026, 1, 1)), Err(ImportError::Empty)));
        assert!(matches!(litellm("[[price]]", date(2026, 1, 1)), Err(ImportError::Json(_))));
    }

    #[test]
    fn our_own_file_says_what_is_wrong_and_where() {
        let good = "[[price]]\nmodel = \"m\"\nsince = \"2026-12-01\"\ninput = 2\noutput = 10.5\n\
            cache_write_5m = 2.5\ncache_write_1h = 4\ncache_read = 0.1\n";
        let long = "long_prompt = { above = 1000, input = 4, output = 20, cache_write_5m = 5, \
            cache_write_1h = 8, cache_read = 0.2 }\n";
        let text = format!("{good}{long}");
        let Imported { prices, .. } = own(&text).unwrap();
        assert_eq!(prices[0].dated.since, date(2026, 12, 1));
        assert_eq!(prices[0].dated.prices.output.picos(), 10_500_000);
        assert_eq!(prices[0].dated.band(1_001).input.picos(), 4_000_000);
        let wrong = |text: String| own(&text).unwrap_err().to_string();
        assert_eq!(
            wrong(good.replace("cache_read = 0.1\n", "")),
            "line 1: missing field `cache_read`"
        );
        assert!(wrong(good.replace("= 2\n", "= -2\n")).contains("dollars per million tokens"));
        assert_eq!(wrong(String::new()), "the file has no price of a Claude model");
    }
}
