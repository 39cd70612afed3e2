//! The settings that say what the ledger may answer.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Error,
    layers::{Layers, time},
};
use crate::domain::{
    cache::{Policy, Reuse, Sharing, bounded},
    task,
};

/// How long an answer may be served, unless the operator says otherwise.
const TTL: Duration = Duration::from_hours(30 * 24);

pub(super) fn policy(layers: &Layers) -> Result<Policy, Error> {
    let reuse = layers.read_as("cache", "`off`, `tasks` or `all`", |word| word.parse().ok())?;
    let sharing = layers.read_as("cache_scope", "`user` or `shared`", |word| word.parse().ok())?;
    let task_ttl = layers.read_as("task_ttl", TASK_TTL, task_ttl)?;
    let web_ttl =
        layers.read_as("web_ttl", "a time such as 90s, 2h or 30d, or `off`", time_or_off)?;
    let no_store_users =
        layers.read_as("no_store_users", "a list of ids, with commas", |list| {
            let ids = list.split(',').map(str::trim).filter(|id| !id.is_empty());
            Some(ids.map(bounded).collect())
        })?;
    Ok(Policy {
        reuse: reuse.unwrap_or(Reuse::All),
        sharing: sharing.unwrap_or(Sharing::User),
        ttl: layers.time("cache_ttl")?.unwrap_or(TTL),
        task_ttl: task_ttl.unwrap_or_default(),
        web_ttl: web_ttl.flatten(),
        no_store_users: no_store_users.unwrap_or_default(),
    })
}

/// What is said of a list that cannot be read.
const TASK_TTL: &str = "a list such as title=90d,query=1h,autocomplete=off, of Open WebUI's tasks: title, tags, \
     follow_up, query, image_prompt, autocomplete, emoji, moa_response, function_calling, memory_review, \
     context_compaction";

/// `title=90d,query=off`.
fn task_ttl(list: &str) -> Option<BTreeMap<&'static str, Option<Duration>>> {
    let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries
        .map(|entry| {
            let (name, ttl) = entry.split_once('=')?;
            Some((task::named(name.trim())?, time_or_off(ttl.trim())?))
        })
        .collect()
}

/// A time; `Some(None)`: never.
#[expect(clippy::option_option, reason = "not readable, off, and a time are three things")]
fn time_or_off(text: &str) -> Option<Option<Duration>> {
    if text == "off" { Some(None) } else { time(text).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_listed_by_either_name() {
        let ttl = task_ttl("title=90d, query_generation=off,").unwrap();
        assert_eq!(ttl["title_generation"], Some(Duration::from_hours(90 * 24)));
        assert_eq!(ttl["query_generation"], None);
        for wrong in ["titel=1h", "title", "title=soon", "title=0s"] {
            assert!(task_ttl(wrong).is_none(), "{wrong}");
        }
    }
}
