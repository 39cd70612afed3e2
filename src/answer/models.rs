//! The list of models: Anthropic's, cached; the last one while upstream is away; the built-in catalog if there was none.

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

/// Time to live of a list.
const TTL: Duration = Duration::from_mins(5);
/// Pause after upstream failed to give a list.
const RETRY_AFTER: Duration = Duration::from_secs(15);
/// Time limit for upstream. Open WebUI gives up after ten seconds.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Limit on cached lists.
const MAX_LISTS: usize = 64;

/// Model lists, by the holder of the key that they were requested with.
#[derive(Debug)]
pub struct Models {
    answers: Answers,
    cache: Mutex<HashMap<KeyHolder, Slot>>,
}

/// The list of one holder. Locked during a request, so that a burst of page loads makes one, and no other holder waits.
type Slot = Arc<tokio::sync::Mutex<Option<CachedList>>>;

#[derive(Debug, Clone)]
struct CachedList {
    /// `None` if upstream has never given one.
    list: Option<Arc<[Listed]>>,
    expires: Instant,
}

/// A model that clients may choose.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// The id.
    pub id: String,
    /// The display name.
    pub name: String,
    /// Release in Unix seconds; 0 if unknown.
    pub created: i64,
    /// Limit on the tokens of prompt and answer together.
    pub context_window: u32,
    /// Limit on the tokens of an answer.
    pub max_output: u32,
    /// Anthropic's own entry, if it comes from there.
    pub written: Option<Raw>,
}

impl Models {
    /// Creates an empty cache.
    pub fn new(answers: Answers) -> Self {
        Self { answers, cache: Mutex::default() }
    }

    /// Models for chat completions: the operator's aliases, and the models of [`Self::anthropics`].
    pub async fn list(&self, holder: &KeyHolder, key: Option<&SecretString>) -> Vec<Listed> {
        let models = self.anthropics(holder, key).await;
        self.with_aliases(&models)
    }

    /// Models for Anthropic's API, whose requests are passed on as they are, newest first. Without a `key`, those of the
    /// built-in catalog.
    pub async fn anthropics(
        &self,
        holder: &KeyHolder,
        key: Option<&SecretString>,
    ) -> Arc<[Listed]> {
        let Some(key) = key else { return self.builtin() };
        let slot = self.slot(holder);
        let mut cached = slot.lock().await;
        if let Some(CachedList { list, expires }) = &*cached
            && *expires > Instant::now()
        {
            return list.clone().unwrap_or_else(|| self.builtin());
        }
        let response = tokio::time::timeout(TIMEOUT, self.answers.upstream.models(key)).await;
        let (list, ttl) = match response {
            Ok(Ok(models)) if !models.is_empty() => {
                self.update_catalog(&models);
                (Some(self.listed(&models)), TTL)
            }
            failed => {
                let failure = failed.ok().and_then(Result::err);
                tracing::warn!(
                    error = failure
                        .as_ref()
                        .map(|error: &upstream::Error| error as &dyn std::error::Error),
                    "no model list from upstream; using the last one, or the built-in one"
                );
                (cached.take().and_then(|cached| cached.list), RETRY_AFTER)
            }
        };
        *cached = Some(CachedList { list: list.clone(), expires: Instant::now() + ttl });
        list.unwrap_or_else(|| self.builtin())
    }

    fn slot(&self, holder: &KeyHolder) -> Slot {
        let mut cache = self.cache.lock();
        if cache.len() >= MAX_LISTS && !cache.contains_key(holder) {
            cache.clear();
        }
        Arc::clone(cache.entry(holder.clone()).or_default())
    }

    /// Finds a model for chat completions, or an alias, by any name that a chat completion may give; it keeps that name.
    pub async fn find(
        &self,
        id: &str,
        holder: &KeyHolder,
        key: Option<&SecretString>,
    ) -> Option<Listed> {
        let models = self.anthropics(holder, key).await;
        let named = self.with_aliases(&models).into_iter().find(|listed| listed.id == id);
        let known = || self.resolve(&self.answers.catalog().canonical_id(id), &models);
        named.or_else(|| Some(Listed { id: id.to_owned(), ..known()? }))
    }

    /// Finds a model for Anthropic's API by its id, or by another name of Anthropic's (`reference/anthropic-api.md` §5).
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

    /// Adds the models of a list to the catalog, so that new ones can be served.
    fn update_catalog(&self, models: &[Model]) {
        let live: Vec<catalog::LiveModel> = models.iter().map(catalog::LiveModel::from).collect();
        let mut catalog = self.answers.catalog.write();
        *catalog = Arc::new(catalog.with_live(&live));
    }

    fn listed(&self, models: &[Model]) -> Arc<[Listed]> {
        let catalog = self.answers.catalog();
        models
            .iter()
            .map(|model| {
                let rules = catalog.rules(&model.id);
                // Fixtures have no display names.
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

    /// The operator's aliases, with the limits of their models, followed by the models.
    fn with_aliases(&self, models: &[Listed]) -> Vec<Listed> {
        let catalog = self.answers.catalog();
        let aliases = self.answers.aliases();
        // An alias hides a model of the same name.
        let visible = models.iter().filter(|listed| aliases.get(&listed.id).is_none());
        aliases
            .iter()
            .map(|alias| {
                let rules = catalog.rules(&alias.model);
                let target = models.iter().find(|listed| listed.id == rules.id);
                let limit = alias.max_tokens.map_or(u32::MAX, NonZeroU32::get);
                Listed {
                    id: alias.id.clone(),
                    name: alias.title().to_owned(),
                    created: target.map_or(0, |listed| listed.created),
                    context_window: rules.context_window,
                    max_output: rules.max_output.min(limit),
                    written: None,
                }
            })
            .chain(visible.cloned())
            .collect()
    }
}

fn unix_seconds(rfc3339: &str) -> i64 {
    rfc3339.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second)
}
