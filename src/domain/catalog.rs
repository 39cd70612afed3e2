//! The catalog: parameters and prices of each Claude model, from data (`catalog.json`) and never from names in code.
//!
//! Source: `reference/claude-models.json`. Unknown models get the rules of the newest generation, because a new model is
//! stricter than an old one, and a dropped parameter hurts less than a refused request.

mod pricing;

use std::{borrow::Cow, collections::BTreeMap};

use jiff::civil::Date;
use serde::Deserialize;

pub(super) use self::pricing::undated;
pub use self::pricing::{FoundPrice, PricedExchange};
pub use super::price::Terms;
use super::{
    anthropic::Effort,
    exchange::UnixMillis,
    price::{DatedPrice, PicoDollars, Price},
};

/// Start of every id of Anthropic's.
const PREFIX: &str = "claude-";

/// All models, by id and alias.
#[derive(Debug, Clone)]
pub struct Catalog {
    models: Vec<Model>,
    index: BTreeMap<String, usize>,
    unknown: Model,
    prices_as_of: Date,
    /// The same, as it is written.
    prices_as_of_text: String,
    search_price: PicoDollars,
}

/// The parameters and prices of one model.
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
    /// `true` if it thinks when the request says nothing.
    pub thinks_by_default: bool,
    /// `true` if thinking text is shown when the request says nothing.
    pub shows_thinking: bool,
    /// Accepted values of `output_config.effort`.
    pub effort: Vec<Effort>,
    /// The effort when the request says nothing.
    pub effort_default: Option<Effort>,
    /// `true` if `temperature`, `top_p` and `top_k` are accepted (on `2023-06-01`).
    pub sampling: bool,
    /// `true` if a request may end with an assistant message.
    pub prefill: bool,
    /// `true` if `tool_choice` may be `any` or `tool`.
    pub forced_tools: bool,
    /// `true` if `role: "system"` may stand among the messages.
    pub system_messages: bool,
    /// The newest web search that it takes; `None`: none. Anthropic's documentation of the tool: the later ones, which
    /// filter what they find, are for 4.6 and later, the 4.5 family has the first (§1.5 lists the versions).
    #[serde(default)]
    pub web_search: Option<String>,
    /// From each day on, the oldest first; none: unpriced.
    #[serde(default)]
    pub prices: Vec<DatedPrice>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogFile {
    prices_as_of: Date,
    search_price: f64,
    models: Vec<Model>,
}

/// A model in Anthropic's live list: enough to serve one that the catalog does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveModel {
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
    /// The built-in catalog of this version.
    pub fn builtin() -> Self {
        let file: CatalogFile = serde_json::from_str(include_str!("catalog.json"))
            .expect("the built-in catalog is tested");
        Self::new(file.models, file.prices_as_of, file.search_price)
    }

    fn new(models: Vec<Model>, prices_as_of: Date, search_price: f64) -> Self {
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
            prices: Vec::new(),
            ..newest.clone()
        };
        // One search costs dollars, not dollars per million of something.
        let search_price = (search_price * 1e6).try_into().expect("the built-in catalog is tested");
        let prices_as_of_text = prices_as_of.to_string();
        Self { models, index, unknown, prices_as_of, prices_as_of_text, search_price }
    }

    /// The same catalog with limits as Anthropic's live list gives them, and with the models that only it knows.
    #[must_use]
    pub fn with_live(&self, live: &[LiveModel]) -> Self {
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

    /// The same catalog with the models and limits of `other`, whose prices stay out.
    #[must_use]
    pub fn with_models_of(&self, other: &Self) -> Self {
        let live = |model: &Model| LiveModel {
            id: model.id.clone(),
            name: model.name.clone(),
            context_window: Some(model.context_window),
            max_output: Some(model.max_output),
        };
        self.with_live(&other.models.iter().map(live).collect::<Vec<_>>())
    }

    /// All known models, newest first as in the file.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// The model with this id or alias, if it is known.
    pub fn get(&self, id: &str) -> Option<&Model> {
        self.index.get(id).map(|&at| &self.models[at])
    }

    /// The id as Anthropic writes it, of a name as other programs write it: `anthropic/claude-opus-5.5:beta` and
    /// `claude-opus-5-5[1m]` are `claude-opus-5-5`. The name of a model that is not Claude stays as it is.
    pub fn canonical_id<'a>(&self, name: &'a str) -> Cow<'a, str> {
        let name = name.trim();
        // Routers name the provider first: `anthropic/`, `openrouter/anthropic/`.
        let bare = name.rfind("anthropic/").map_or(name, |at| &name[at + "anthropic/".len()..]);
        if !bare.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX)) {
            return Cow::Borrowed(bare);
        }
        // Variants of a router (`:beta`, `:thinking`), and what programs append to ask for the long context.
        let id = bare.split([':', '[']).next().unwrap_or(bare);
        let id = if id.contains(|c: char| c == '.' || c.is_ascii_uppercase()) {
            Cow::Owned(id.to_ascii_lowercase().replace('.', "-"))
        } else {
            Cow::Borrowed(id)
        };
        match id.strip_suffix("-latest") {
            Some(dated) if self.get(&id).is_none() && self.get(dated).is_some() => {
                Cow::Owned(dated.to_owned())
            }
            _ => id,
        }
    }

    /// The rules for a request to this model: its own, or those of the newest generation.
    pub fn rules(&self, id: &str) -> &Model {
        self.get(id).unwrap_or(&self.unknown)
    }

    /// The same catalog with `prices` over its own: they replace what holds from the same day, and models that only
    /// they know become known. `today` says which of them hold already.
    #[must_use]
    pub fn with_prices(&self, prices: &[Price], today: Date) -> Self {
        let mut catalog = self.clone();
        for Price { model, dated } in prices {
            let at = catalog.index.get(model).copied().unwrap_or_else(|| {
                let at = catalog.models.len();
                let (id, name) = (model.clone(), model.clone());
                catalog.models.push(Model { id, name, ..self.unknown.clone() });
                catalog.index.insert(model.clone(), at);
                at
            });
            let known = &mut catalog.models[at].prices;
            known.retain(|held| held.since != dated.since);
            let after = known.partition_point(|held| held.since < dated.since);
            known.insert(after, *dated);
            if dated.since <= today {
                catalog.prices_as_of = catalog.prices_as_of.max(dated.since);
            }
        }
        catalog.prices_as_of_text = catalog.prices_as_of.to_string();
        catalog
    }

    /// The price of one web search.
    pub const fn search_price(&self) -> PicoDollars {
        self.search_price
    }

    /// The newest day whose prices are known, `YYYY-MM-DD`.
    pub fn prices_as_of(&self) -> &str {
        &self.prices_as_of_text
    }
}

/// The day in UTC: prices change at Anthropic's midnight, and its days are UTC's.
pub fn day_of(at: UnixMillis) -> Date {
    let at = jiff::Timestamp::from_millisecond(at.0);
    at.map_or(Date::MAX, |at| jiff::tz::Offset::UTC.to_datetime(at).date())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_another_program_has_the_id_of_anthropic() {
        let catalog = Catalog::builtin();
        for name in [
            "claude-opus-5-5",
            " claude-opus-5-5 ",
            "claude-opus-5.5",
            "anthropic/claude-opus-5.5",
            "openrouter/anthropic/claude-opus-5.5",
            "Claude-Opus-5-5",
            "claude-opus-5-5:beta",
            "anthropic/claude-opus-5.5:thinking",
            "claude-opus-5-5[1m]",
            "claude-opus-5-5-latest",
            "claude-opus-5.5-latest[1m]",
        ] {
            assert_eq!(catalog.canonical_id(name), "claude-opus-5-5", "{name}");
        }
        for name in
            ["gpt-4o", "GPT-4.1", "qwen3:8b", "claude", "", "clau\u{e9}de-x", "claude-next-latest"]
        {
            assert_eq!(catalog.canonical_id(name), name);
        }
    }

    #[test]
    fn the_live_list_corrects_limits_and_adds_models() {
        let live = |id: &str, max_output| LiveModel {
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
