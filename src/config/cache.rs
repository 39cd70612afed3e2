//! The settings of answers from the ledger.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use clap::{ArgMatches, Args, Command, FromArgMatches, error::Error};

use super::{
    flags::heading,
    parsers::{
        DurationOrOff, Expected, Refused, Unclear, duration_or_off, duration_with_unit, word,
    },
};
use crate::domain::{
    cache::{Policy, Reuse, Sharing},
    task,
};

/// Declarations of the settings that make a [`Policy`].
#[derive(Args)]
#[command(next_help_heading = heading::CACHE)]
struct CacheSettings {
    /// Calls that may be answered from the ledger
    #[arg(id = "cache", long, value_name = "CALLS", default_value = "all", value_parser = word::<Reuse>())]
    reuse: Reuse,
    /// Callers who share answers: `user`, each user separately, or `shared`, all with the same client key
    #[arg(id = "cache_scope", long = "cache-scope", value_name = "SCOPE", default_value = "user", value_parser = word::<Sharing>())]
    sharing: Sharing,
    /// Maximum age of an answer from the ledger
    #[arg(id = "cache_ttl", long = "cache-ttl", value_name = "TIME", default_value = "30d", value_parser = duration_with_unit)]
    ttl: Duration,
    /// Maximum age for single tasks, as title=90d,query=1h,autocomplete=off
    #[arg(
        long,
        value_name = "TASK=TIME,...",
        default_value = "",
        hide_default_value = true,
        value_parser = task_ttl
    )]
    task_ttl: BTreeMap<&'static str, Option<Duration>>,
    /// Maximum age of answers that may depend on the web: tools that Anthropic runs, URLs
    #[arg(long, value_name = "TIME", default_value = "off", value_parser = duration_or_off)]
    web_ttl: DurationOrOff,
    /// Users of whose calls only totals are kept, as a comma-separated list of ids
    #[arg(
        long,
        value_name = "ID,...",
        default_value = "",
        hide_default_value = true,
        value_parser = ids
    )]
    no_store_users: BTreeSet<String>,
}

impl Args for Policy {
    fn augment_args(command: Command) -> Command {
        CacheSettings::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        CacheSettings::augment_args_for_update(command)
    }
}

impl FromArgMatches for Policy {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let CacheSettings { reuse, sharing, ttl, task_ttl, web_ttl, no_store_users } =
            CacheSettings::from_arg_matches(matches)?;
        Ok(Self { reuse, sharing, ttl, task_ttl, web_ttl: web_ttl.0, no_store_users })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// `title=90d,query=off`.
fn task_ttl(list: &str) -> Result<BTreeMap<&'static str, Option<Duration>>, Refused> {
    const LIST: Expected = Expected(
        "a list such as title=90d,query=1h,autocomplete=off, of Open WebUI's tasks: title, tags, follow_up, query, \
         image_prompt, autocomplete, emoji, moa_response, function_calling, memory_review, context_compaction",
    );
    let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let entry = |entry: &str| {
        let (name, ttl) = entry.split_once('=').ok_or(LIST)?;
        let task = task::named(name.trim()).ok_or(LIST)?;
        match duration_or_off(ttl) {
            Ok(ttl) => Ok((task, ttl.0)),
            Err(Refused::Unclear(Unclear::Seconds { number, .. })) => {
                Err(Unclear::Seconds { name: format!("{}=", name.trim()), number }.into())
            }
            Err(Refused::Unclear(unclear)) => Err(unclear.into()),
            Err(Refused::Expected(_)) => Err(LIST.into()),
        }
    };
    entries.map(entry).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "a value parser of clap")]
fn ids(list: &str) -> Result<BTreeSet<String>, Expected> {
    Ok(list.split(',').map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect())
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
            assert!(task_ttl(wrong).is_err(), "{wrong}");
        }
        let unclear = task_ttl("query=off,title=90").unwrap_err().to_string();
        assert!(unclear.starts_with("title=90 has no unit"), "{unclear}");
    }
}
