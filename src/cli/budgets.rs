//! `reprise budgets`: the budgets and what is spent of them.

use std::process::ExitCode;

use clap::Args;

use super::{Console, console, reader, run::block_on};
use crate::{
    answer,
    config::{Config, Env, Flags},
    domain::{budget::Spending, catalog::day_of, user_name::UserNames},
    report::BudgetList,
    store,
};

/// The arguments of `reprise budgets`.
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
    let (url, budgets) = (config.ledger()?, config.budgets.clone());
    let now = answer::now();
    let list = block_on(async {
        let ledger = match reader::open(url).await {
            // Nobody has spent anything yet.
            Err(store::Error::Missing { .. } | store::Error::NoTables) => {
                return Ok(BudgetList::of(&Spending::new(budgets, now), &UserNames::default()));
            }
            ledger => ledger?,
        };
        let catalog = ledger.catalog(day_of(now)).await?;
        BudgetList::read(&ledger, budgets, &catalog, now).await
    })?;
    console::report(&list, arguments.json, console)?;
    Ok(ExitCode::SUCCESS)
}
