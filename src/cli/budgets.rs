//! `reprise budgets`: what is spent of each.

use std::{io::Write, process::ExitCode};

use clap::Args;

use super::print;
use crate::{
    answer,
    config::{Config, Env, GlobalFlags},
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
    global: &GlobalFlags,
    env: Env<'_>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let (url, budgets) = Config::budgets(global, env)?;
    let now = answer::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let books = runtime.block_on(async {
        let ledger = match Reader::open(&url).await {
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
    print::report(&list, arguments.json, out)?;
    Ok(ExitCode::SUCCESS)
}
