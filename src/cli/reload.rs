//! `reprise reload`: has the running server read its settings again.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::{Console, console, operator, run::block_on};
use crate::{
    config::{Config, Env, Flags},
    domain::exchange::OwnerId,
    report::ReloadReport,
    server::Reloaded,
    store::{self, Ledger, Reader},
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
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let config = Config::load(flags, env)?;
    let Reloaded { budgets, keys, aliases, needs_restart } = block_on(reload(&config))?;
    let report = ReloadReport { budgets, keys, aliases, needs_restart };
    console::report(&report, arguments.json, console)?;
    Ok(ExitCode::SUCCESS)
}

async fn reload(config: &Config) -> anyhow::Result<Reloaded> {
    let url = config.ledger()?;
    let in_use = match Reader::open(url).await {
        Ok(_) => Ledger::must_be_free(url, OwnerId::new(Uuid::now_v7())).await,
        Err(store::Error::Missing { .. } | store::Error::NoTables) => Ok(()),
        Err(error) => Err(error),
    };
    match in_use {
        Ok(()) => bail!("no server uses the ledger, so there is nothing to reload"),
        Err(store::Error::InUse { owner, .. }) => {
            operator::post("/reload", &json!({}), owner, config).await
        }
        Err(error) => Err(error.into()),
    }
}
