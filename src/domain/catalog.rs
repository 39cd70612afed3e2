//! What each Claude model accepts and costs. Data (`catalog.json`), never lists of names in code.
//!
//! Source: `reference/claude-models.json`. Models that the file does not know get the rules of the newest
//! generation, because a new model is stricter than an old one and a dropped parameter hurts less than a 400.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    anthropic::Effort,
    exchange::{Cost, NanoDollars, Tokens},
};

/// All models, by id and alias.
#[derive(Debug, Clone)]
pub struct Catalog {
    models: Vec<Model>,
    index: BTreeMap<String, usize>,
    unknown: Model,
    prices_as_of: String,
    search_price: PicoDollars,
}

/// What one model accepts and costs.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent fact of the model, as in the data file"
)]
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Anthropic's id.
    pub id: String,
    /// For people.
    pub name: String,
    /// The day of release, `YYYY-MM-DD`.
    pub released: String,
    /// Other ids for the same model.
    pub aliases: Vec<String>,
    /// Tokens of prompt and answer together.
    pub context_window: u32,
    /// The most tokens an answer may have.
    pub max_output: u32,
    /// Prompts shorter than this are not cached upstream.
    pub min_cacheable_tokens: u32,
    /// Accepted values of `thinking.type`.
    pub thinking: Vec<String>,
    /// Whether it thinks when the request says nothing.
    pub thinks_by_default: bool,
    /// Whether thinking text is shown when the request says nothing.
    pub shows_thinking: bool,
    /// Accepted values of `output_config.effort`.
    pub effort: Vec<Effort>,
    /// The effort when the request says nothing.
    pub effort_default: Option<Effort>,
    /// Whether `temperature`, `top_p` and `top_k` are accepted (on `2023-06-01`).
    pub sampling: bool,
    /// Whether a request may end with an assistant message.
    pub prefill: bool,
    /// Whether `tool_choice` may be `any` or `tool`.
    pub forced_tools: bool,
    /// Whether `role: "system"` may stand among the messages.
    pub system_messages: bool,
    /// The newest web search that it takes; `None`: none. Anthropic's documentation of the tool: the later ones, which
    /// filter what they find, are for 4.6 and later, the 4.5 family has the first (§1.5 lists the versions).
    #[serde(default)]
    pub web_search: Option<String>,
    /// `None`: unpriced.
    #[serde(default)]
    pub prices: Option<Prices>,
    /// Other prices for requests with long prompts.
    #[serde(default)]
    pub long_prompt: Option<LongPrompt>,
}

/// Dollars per million tokens, which is to say millionths of a dollar per token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongPrompt {
    /// Prompt tokens, cache included, above which the band begins.
    pub above: u64,
    /// Its prices.
    pub prices: Prices,
}

/// Trillionths of a dollar: a price of $1 per million tokens is exactly a million of these per token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "f64")]
pub struct PicoDollars(i128);

impl From<f64> for PicoDollars {
    /// From a price as the data file has it: dollars per million tokens.
    #[expect(clippy::cast_possible_truncation, reason = "prices are small decimals")]
    fn from(dollars_per_million: f64) -> Self {
        Self((dollars_per_million * 1e6).round() as i128)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    prices_as_of: String,
    search_price: f64,
    models: Vec<Model>,
}

/// On which terms tokens were billed (`claude-models.json`, `_meta.rules.multipliers` and `refusal`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// `speed: fast` costs twice as much.
    pub fast: bool,
    /// `inference_geo: us` costs a tenth more.
    pub us_only: bool,
    /// Not billed, although tokens are shown.
    pub free: bool,
}

/// What Anthropic's model list says of a model that is live (§5): enough to serve one that the file does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// The id.
    pub id: String,
    /// For people.
    pub name: String,
    /// Tokens of prompt and answer together.
    pub context_window: Option<u32>,
    /// The most tokens an answer may have.
    pub max_output: Option<u32>,
}

impl Catalog {
    /// The catalog that this version was built with.
    pub fn builtin() -> Self {
        let file: File = serde_json::from_str(include_str!("catalog.json"))
            .expect("the built-in catalog is tested");
        Self::new(file.models, file.prices_as_of, file.search_price)
    }

    fn new(models: Vec<Model>, prices_as_of: String, search_price: f64) -> Self {
        let mut index = BTreeMap::new();
        for (at, model) in models.iter().enumerate() {
            for id in std::iter::once(&model.id).chain(&model.aliases) {
                index.insert(id.clone(), at);
            }
        }
        let newest =
            models.iter().max_by(|a, b| a.released.cmp(&b.released)).expect("a catalog has models");
        let unknown = Model {
            id: String::new(),
            name: String::new(),
            aliases: Vec::new(),
            // The smallest limits of any model in the file, so that a default is never refused as too large.
            max_output: models
                .iter()
                .map(|model| model.max_output)
                .min()
                .unwrap_or(newest.max_output),
            context_window: models
                .iter()
                .map(|model| model.context_window)
                .min()
                .unwrap_or(newest.context_window),
            prices: None,
            long_prompt: None,
            ..newest.clone()
        };
        // One search costs dollars, not dollars per million of something.
        let search_price = PicoDollars::from(search_price * 1e6);
        Self { models, index, unknown, prices_as_of, search_price }
    }

    /// The same catalog with limits as Anthropic's live list gives them, and with the models that only it knows.
    #[must_use]
    pub fn with_live(&self, live: &[Live]) -> Self {
        let mut models = self.models.clone();
        for seen in live {
            let at = self.index.get(&seen.id).copied().unwrap_or_else(|| {
                models.push(Model {
                    id: seen.id.clone(),
                    name: seen.name.clone(),
                    ..self.unknown.clone()
                });
                models.len() - 1
            });
            let model = &mut models[at];
            model.max_output = seen.max_output.unwrap_or(model.max_output);
            model.context_window = seen.context_window.unwrap_or(model.context_window);
        }
        let mut catalog = self.clone();
        catalog.index.extend(
            models[self.models.len()..]
                .iter()
                .zip(self.models.len()..)
                .map(|(m, at)| (m.id.clone(), at)),
        );
        catalog.models = models;
        catalog
    }

    /// All known models, newest first as in the file.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// The model with this id or alias, if it is known.
    pub fn get(&self, id: &str) -> Option<&Model> {
        self.index.get(id).map(|&at| &self.models[at])
    }

    /// The rules for a request to this model: its own, or those of the newest generation.
    pub fn rules(&self, id: &str) -> &Model {
        self.get(id).unwrap_or(&self.unknown)
    }

    /// The day whose prices these are, `YYYY-MM-DD`.
    pub fn prices_as_of(&self) -> &str {
        &self.prices_as_of
    }

    /// What `tokens` of a finished answer by `model` cost (`claude-models.json`, `_meta.rules`), rounded once, to the
    /// nearest nano-dollar.
    pub fn cost(&self, model: &str, tokens: &Tokens, terms: Terms) -> Cost {
        let Some(Model { prices: Some(prices), long_prompt, .. }) = self.get(model) else {
            return Cost::Unpriced;
        };
        let prices = long_prompt
            .as_ref()
            .filter(|band| tokens.prompt() > band.above)
            .map_or(prices, |band| &band.prices);
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
            counts.iter().map(|&(count, price)| i128::from(count) * price.0).sum()
        };
        let tokens = sum(&[
            (input, prices.input),
            (cache_write_5m, prices.cache_write_5m),
            (cache_write_1h, prices.cache_write_1h),
            (cache_read, prices.cache_read),
            (output, prices.output),
        ]);
        let tenths = if terms.us_only { 11 } else { 10 } * if terms.fast { 2 } else { 1 };
        let tenth_picos = if terms.free {
            0
        } else {
            tokens * tenths + sum(&[(searches, self.search_price)]) * 10
        };
        Cost::Exact(NanoDollars(i64::try_from((tenth_picos + 5_000) / 10_000).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_exact_to_the_nano_dollar() {
        let catalog = Catalog::builtin();
        // $5.00/M input, $25/M output, $6.25/M and $10/M writes, $0.50/M reads, $10 per thousand searches.
        let tokens = Tokens {
            input: 3,
            cache_write_5m: 7,
            cache_write_1h: 11,
            cache_read: 13,
            output: 17,
            thinking: 5,
            searches: 2,
        };
        let nano = 3 * 5_000 + 7 * 6_250 + 11 * 10_000 + 13 * 500 + 17 * 25_000 + 2 * 10_000_000;
        assert_eq!(
            catalog.cost("claude-opus-4-5", &tokens, Terms::default()),
            Cost::Exact(NanoDollars(nano))
        );
        assert_eq!(catalog.cost("claude-of-tomorrow", &tokens, Terms::default()), Cost::Unpriced);
    }

    #[test]
    fn terms_multiply_the_tokens_and_not_the_searches() {
        let catalog = Catalog::builtin();
        let tokens = Tokens { input: 100, searches: 1, ..Tokens::default() };
        let cost = |terms| catalog.cost("claude-opus-5", &tokens, terms);
        let terms = |fast, us_only, free| Terms { fast, us_only, free };
        assert_eq!(cost(terms(false, true, false)), Cost::Exact(NanoDollars(550_000 + 10_000_000)));
        assert_eq!(
            cost(terms(true, true, false)),
            Cost::Exact(NanoDollars(1_100_000 + 10_000_000))
        );
        assert_eq!(cost(terms(true, true, true)), Cost::Exact(NanoDollars(0)));
    }

    #[test]
    fn a_long_prompt_costs_the_prices_of_its_band() {
        let catalog = Catalog::builtin();
        let tokens = |input| Tokens { input, output: 10, ..Tokens::default() };
        let cost = |input| catalog.cost("claude-haiku-5-5", &tokens(input), Terms::default());
        assert_eq!(cost(100_000), Cost::Exact(NanoDollars(100_000 * 100 + 10 * 500)));
        assert_eq!(cost(100_001), Cost::Exact(NanoDollars(100_001 * 500 + 10 * 2_500)));
    }

    #[test]
    fn the_live_list_corrects_limits_and_adds_models() {
        let live = |id: &str, max_output| Live {
            id: id.to_owned(),
            name: "New".to_owned(),
            context_window: None,
            max_output: Some(max_output),
        };
        let catalog = Catalog::builtin()
            .with_live(&[live("claude-opus-5", 200_000), live("claude-next-6", 300_000)]);
        assert_eq!(catalog.rules("claude-opus-5").max_output, 200_000);
        assert_eq!(catalog.rules("claude-next-6").max_output, 300_000);
        assert!(!catalog.rules("claude-next-6").sampling);
        assert_eq!(catalog.rules("claude-haiku-4-5").id, "claude-haiku-4-5-20251001");
    }
}
