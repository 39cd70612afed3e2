//! `reprise cache`: what the ledger may no longer answer.

use std::{io::Write, process::ExitCode};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::operator;
use crate::{
    answer,
    config::{Config, Env, GlobalFlags, Operator},
    domain::{
        cache::KeyPrefix,
        exchange::{OwnerId, UnixMillis},
    },
    store::{self, Clearing, Ledger, Options, Reader},
};

/// How long a server, or the ledger, may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Never serve these answers again; what was said and what it cost stays
    Clear(Clear),
}

/// The arguments of `reprise cache clear`.
#[derive(Debug, Args)]
#[command(
    after_help = "Without a filter all answers are cleared; of several, all must fit. A server that uses the \
    ledger is asked to do it: at the address of its settings, as the same machine or with REPRISE_ADMIN_KEY."
)]
pub(super) struct Clear {
    /// Those given in this chat, as Open WebUI names it
    #[arg(long, value_name = "CHAT")]
    session: Option<String>,
    /// Those of this model
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Those that are older, as 90s, 2h or 30d
    #[arg(long, value_name = "TIME")]
    older_than: Option<String>,
    /// Those under this key, or under all that begin so; `Cache-Status` names it
    #[arg(long, value_name = "KEY")]
    key: Option<KeyPrefix>,
    /// Only say how many it would be
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Cleared {
    cleared: u64,
}

pub(super) fn run(
    command: Command,
    global: &GlobalFlags,
    env: Env<'_>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let Command::Clear(Clear { session, model, older_than, key, dry_run, json }) = command;
    let ended_before = older_than
        .map(|age| {
            let age = crate::config::time(&age).with_context(|| {
                format!("--older-than: {age:?} is not a time such as 90s, 2h or 30d")
            })?;
            let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            anyhow::Ok(UnixMillis(answer::now().0.saturating_sub(age)))
        })
        .transpose()?;
    let what = Clearing { session, model, ended_before, key };
    let settings = Config::operator(global, env)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let cleared = runtime.block_on(async {
        // A ledger that is not there is said to be missing, and not made.
        let reader = Reader::open(&settings.database_url).await;
        match reader {
            Ok(reader) if dry_run => Ok(reader.count(&what).await?),
            Ok(_) | Err(store::Error::Older { .. }) => clear(what, &settings).await,
            Err(error) => Err(error.into()),
        }
    })?;
    if json {
        let name = if dry_run { "would_clear" } else { "cleared" };
        writeln!(out, "{}", json!({ name: cleared }))?;
    } else {
        let answers = if cleared == 1 { "answer" } else { "answers" };
        match cleared {
            0 => writeln!(out, "no answers to clear")?,
            _ if dry_run => writeln!(out, "{cleared} {answers} would be cleared")?,
            _ => {
                writeln!(
                    out,
                    "{cleared} {answers} cleared: asked again, they are asked of Claude"
                )?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Through the server that uses the ledger, or else with our own hands.
async fn clear(what: Clearing, settings: &Operator) -> anyhow::Result<u64> {
    let options = Options { wait: PATIENCE, ..Options::new(&settings.database_url) };
    let tasks = TaskTracker::new();
    let owner = OwnerId::new(Uuid::now_v7());
    match Ledger::open(&options, owner, answer::now(), &tasks).await {
        Ok(ledger) => {
            let cleared = ledger.clear(what).await;
            ledger.close(PATIENCE).await;
            cleared.context("the ledger cannot be written")
        }
        Err(store::Error::InUse { owner, .. }) => {
            let told: Cleared = operator::ask("/cache/clear", &what, owner, settings).await?;
            Ok(told.cleared)
        }
        Err(error) => Err(error.into()),
    }
}
