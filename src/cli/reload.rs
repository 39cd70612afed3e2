//! `reprise reload`: has the running server read its settings again.

use std::{io::Write, process::ExitCode};

use anyhow::bail;
use clap::Args;
use serde_json::json;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{console, operator, run::block_on};
use crate::{
    answer,
    config::{Config, Env, Flags},
    domain::exchange::OwnerId,
    report::ReloadReport,
    server::Reloaded,
    store::{self, Ledger, Options, Reader},
};

/// The arguments of `reprise reload`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    arguments: &Arguments,
    flags: &Flags,
    env: Env<'_>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let config = Config::load(flags, env)?;
    let Reloaded { budgets, keys, aliases, needs_restart } = block_on(async {
        let Some(owner) = running(&config).await? else {
            bail!("no server uses the ledger, so there is nothing to reload");
        };
        operator::post("/reload", &json!({}), owner.0, &config).await
    })?;
    let report = ReloadReport { budgets, keys, aliases, needs_restart };
    console::report(&report, arguments.json, out)?;
    Ok(ExitCode::SUCCESS)
}

/// The owner of the lock of a ledger, as far as it is known.
struct Running(Option<OwnerId>);

/// The server that uses the ledger; `None`: there is none.
async fn running(config: &Config) -> anyhow::Result<Option<Running>> {
    match Reader::open(config.ledger()?).await {
        Ok(_) => {}
        Err(store::Error::Missing { .. } | store::Error::NoTables) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let (options, owner) = (Options::new(config.ledger()?), OwnerId::new(Uuid::now_v7()));
    match Ledger::open(&options, owner, answer::now(), &TaskTracker::new()).await {
        Ok(ledger) => {
            ledger.close(options.wait).await;
            Ok(None)
        }
        Err(store::Error::InUse { owner, .. }) => Ok(Some(Running(owner))),
        Err(error) => Err(error.into()),
    }
}
