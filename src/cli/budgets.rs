//! `reprise budgets`: the budgets and what is spent of them.

use std::{io::Write, process::ExitCode};

use clap::Args;

use super::{console, run::block_on};
use crate::{
    answer,
    config::{Config, Env, Flags},
    domain::{
        budget::Spending,
        catalog::{Catalog, day_of},
    },
    report::{self, BudgetList},
    store::{self, Reader},
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
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let config = Config::load(flags, env)?;
    let (url, budgets) = (config.ledger()?, config.budgets.clone());
    let now = answer::now();
    let books = block_on(async {
        let ledger = match Reader::open(url).await {
            // Nobody has spent anything yet.
            Err(store::Error::Missing { .. } | store::Error::NoTables) => {
                return Ok(Spending::new(budgets, now));
            }
            ledger => ledger?,
        };
        let catalog = Catalog::builtin().with_prices(&ledger.prices().await?, day_of(now));
        report::spending(&ledger, budgets, &catalog, now).await
    })?;
    let list = BudgetList::of(&books);
    console::report(&list, arguments.json, out)?;
    Ok(ExitCode::SUCCESS)
}
