//! The models: live from Anthropic, remembered for a while, stale while upstream is away, and the built-in catalog
//! when it never answered.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use secrecy::SecretString;

use super::Answers;
use crate::{
    domain::{cache::KeyHolder, catalog, json::Raw},
    upstream::{self, Model},
};

/// How long a list is good.
const FRESH: Duration = Duration::from_mins(5);
/// How long to leave upstream alone after it failed to give a list.
const PATIENCE: Duration = Duration::from_secs(15);
/// Open WebUI gives up after ten seconds.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Lists are remembered for so many keys.
const MOST_KEYS: usize = 64;

/// The model lists that were seen, by the holder of the key that they were asked for with.
#[derive(Debug)]
pub struct Models {
    answers: Answers,
    seen: Mutex<HashMap<KeyHolder, Slot>>,
}

/// What one holder was told. Held while asking, so that a burst of page loads asks once and nobody else waits.
type Slot = Arc<tokio::sync::Mutex<Option<Seen>>>;

#[derive(Debug, Clone)]
struct Seen {
    list: Option<Arc<[Listed]>>,
    ask_again: Instant,
}

/// A model that clients may choose.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// The id.
    pub id: String,
    /// For people.
    pub name: String,
    /// Unix seconds; 0 when unknown.
    pub created: i64,
    /// Tokens of prompt and answer together.
    pub context_window: u32,
    /// The most tokens of an answer.
    pub max_output: u32,
    /// What Anthropic says of it, if it was asked; under its own id.
    pub written: Option<Raw>,
}

impl Models {
    /// Nothing is asked yet.
    pub fn new(answers: Answers) -> Self {
        Self { answers, seen: Mutex::default() }
    }

    /// What a chat completion may ask for: the operator's aliases, and the models of [`Self::anthropics`].
    pub async fn list(&self, holder: &KeyHolder, key: Option<&SecretString>) -> Vec<Listed> {
        let models = self.anthropics(holder, key).await;
        self.with_aliases(&models)
    }

    /// The models for the holder of `key` (`None`: nobody to ask for), newest first: all that Anthropic's own dialect,
    /// which is passed on as it is, can ask for.
    pub async fn anthropics(
        &self,
        holder: &KeyHolder,
        key: Option<&SecretString>,
    ) -> Arc<[Listed]> {
        let Some(key) = key else { return self.builtin() };
        let slot = self.slot(holder);
        let mut seen = slot.lock().await;
        if let Some(Seen { list, ask_again }) = &*seen
            && *ask_again > Instant::now()
        {
            return list.clone().unwrap_or_else(|| self.builtin());
        }
        let asked = tokio::time::timeout(LONGEST_WAIT, self.answers.upstream.models(key)).await;
        let (list, good_for) = match asked {
            Ok(Ok(models)) if !models.is_empty() => {
                self.learn(&models);
                (Some(self.listed(&models)), FRESH)
            }
            failed => {
                let failure = failed.ok().and_then(Result::err);
                tracing::warn!(
                    error = failure
                        .as_ref()
                        .map(|error: &upstream::Error| error as &dyn std::error::Error),
                    "no model list from upstream; using the last one, or the built-in one"
                );
                (seen.take().and_then(|seen| seen.list), PATIENCE)
            }
        };
        *seen = Some(Seen { list: list.clone(), ask_again: Instant::now() + good_for });
        list.unwrap_or_else(|| self.builtin())
    }

    fn slot(&self, holder: &KeyHolder) -> Slot {
        let mut seen = self.seen.lock();
        if seen.len() >= MOST_KEYS && !seen.contains_key(holder) {
            seen.clear();
        }
        Arc::clone(seen.entry(holder.clone()).or_default())
    }

    /// The model, or the operator's alias, that a chat completion asks for by this id; another name of Anthropic's for
    /// a model is kept.
    pub async fn find(
        &self,
        id: &str,
        holder: &KeyHolder,
        key: Option<&SecretString>,
    ) -> Option<Listed> {
        let models = self.anthropics(holder, key).await;
        let named = self.with_aliases(&models).into_iter().find(|listed| listed.id == id);
        named.or_else(|| Some(Listed { id: id.to_owned(), ..self.resolve(id, &models)? }))
    }

    /// The model that Anthropic knows by this id or by this other name (§5).
    pub async fn find_anthropics(
        &self,
        id: &str,
        holder: &KeyHolder,
        key: Option<&SecretString>,
    ) -> Option<Listed> {
        self.resolve(id, &self.anthropics(holder, key).await)
    }

    fn resolve(&self, id: &str, models: &[Listed]) -> Option<Listed> {
        let with_id = |id: &str| models.iter().find(|listed| listed.id == id).cloned();
        with_id(id).or_else(|| with_id(&self.answers.catalog().get(id)?.id))
    }

    /// New models are served by what the list says of them.
    fn learn(&self, models: &[Model]) {
        let live: Vec<catalog::Live> = models.iter().map(catalog::Live::from).collect();
        let quirks = Arc::new(self.answers.catalog().with_live(&live));
        *self.answers.catalog.write() = quirks;
    }

    fn listed(&self, models: &[Model]) -> Arc<[Listed]> {
        let catalog = self.answers.catalog();
        models
            .iter()
            .map(|model| {
                let rules = catalog.rules(&model.id);
                // Fixtures name no names.
                let known = || catalog.get(&model.id).map(|known| known.name.clone());
                let name = model.display_name.clone().or_else(known);
                Listed {
                    id: model.id.clone(),
                    name: name.unwrap_or_else(|| model.id.clone()),
                    created: model.created_at.as_deref().map_or(0, unix_seconds),
                    context_window: rules.context_window,
                    max_output: rules.max_output,
                    written: model.written.clone(),
                }
            })
            .collect()
    }

    fn builtin(&self) -> Arc<[Listed]> {
        let catalog = self.answers.catalog();
        catalog
            .models()
            .iter()
            .map(|model| Listed {
                id: model.id.clone(),
                name: model.name.clone(),
                created: unix_seconds(&format!("{}T00:00:00Z", model.released)),
                context_window: model.context_window,
                max_output: model.max_output,
                written: None,
            })
            .collect()
    }

    /// The operator's aliases, with the limits of the models behind them, and then the models.
    fn with_aliases(&self, models: &[Listed]) -> Vec<Listed> {
        let catalog = self.answers.catalog();
        let aliases = &self.answers.settings.aliases;
        // A model that came out under the name of an alias cannot be reached.
        let reached = models.iter().filter(|listed| aliases.get(&listed.id).is_none());
        aliases
            .iter()
            .map(|alias| {
                let rules = catalog.rules(&alias.model);
                let behind = models.iter().find(|listed| listed.id == rules.id);
                let most = alias.max_tokens.map_or(u32::MAX, NonZeroU32::get);
                Listed {
                    id: alias.id.clone(),
                    name: alias.title().to_owned(),
                    created: behind.map_or(0, |listed| listed.created),
                    context_window: rules.context_window,
                    max_output: rules.max_output.min(most),
                    written: None,
                }
            })
            .chain(reached.cloned())
            .collect()
    }
}

fn unix_seconds(rfc3339: &str) -> i64 {
    rfc3339.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second)
}
