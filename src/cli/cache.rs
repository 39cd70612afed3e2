//! `reprise cache`: invalidates answers in the ledger.

use std::{io::Write, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{operator, reader, run::block_on};
use crate::{
    answer,
    config::{self, Config, Env, Flags},
    domain::{cache::KeyPrefix, exchange::OwnerId},
    store::{self, Clearing, Ledger, Options},
};

/// Longest wait for the ledger.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Never serve these answers again; their bodies and costs stay
    Clear(Clear),
}

/// The arguments of `reprise cache clear`.
#[derive(Debug, Args)]
#[command(
    after_help = "Without a filter all answers are cleared; with several, those that match all. If a server uses \
    the ledger, it clears them: at the address of its settings, from the same machine or with REPRISE_ADMIN_KEY."
)]
pub(super) struct Clear {
    /// Answers in this chat, by its id in Open WebUI
    #[arg(long, value_name = "CHAT")]
    session: Option<String>,
    /// Answers of this model
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Answers older than this, as 2h or 30d
    #[arg(long, value_name = "TIME", value_parser = config::age)]
    older_than: Option<Duration>,
    /// Answers with this key, or this beginning of it, from `Cache-Status`
    #[arg(long, value_name = "KEY")]
    key: Option<KeyPrefix>,
    /// Report the number of matching answers, and clear nothing
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
    flags: &Flags,
    env: Env<'_>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let Command::Clear(Clear { session, model, older_than, key, dry_run, json }) = command;
    let now = answer::now();
    let ended_before = older_than.map(|age| now.before(age));
    let filter = Clearing { session, model, ended_before, now: Some(now), key };
    let config = Config::load(flags, env)?;
    let cleared = block_on(async {
        // A missing ledger is an error, and is not created.
        let reader = reader::open(config.ledger()?).await;
        match reader {
            Ok(reader) if dry_run => Ok(reader.count(&filter).await?),
            Ok(_) | Err(store::Error::Older { .. }) => clear(filter, &config).await,
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
                writeln!(out, "{cleared} {answers} cleared; repeats are sent to Claude")?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Clears answers, through the server that uses the ledger if there is one.
async fn clear(filter: Clearing, config: &Config) -> anyhow::Result<u64> {
    let options = Options { wait: TIMEOUT, ..Options::new(config.ledger()?) };
    let tasks = TaskTracker::new();
    let owner = OwnerId::new(Uuid::now_v7());
    match Ledger::open(&options, owner, answer::now(), &tasks).await {
        Ok(ledger) => {
            let cleared = ledger.clear(filter).await;
            ledger.close(TIMEOUT).await;
            cleared.context("the ledger cannot be written")
        }
        Err(store::Error::InUse { owner, .. }) => {
            let Cleared { cleared } =
                operator::post("/cache/clear", &filter, owner, config).await?;
            Ok(cleared)
        }
        Err(error) => Err(error.into()),
    }
}
