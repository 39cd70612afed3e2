//! `reprise budgets`: the budgets and what is spent of them.

use std::process::ExitCode;

use clap::Args;

use super::{Console, console, run::block_on};
use crate::{
    answer,
    config::{Config, Env, Flags},
    domain::{
        budget::{Spender, Spending},
        catalog::day_of,
        user_name::UserNames,
    },
    report::{self, BudgetList},
    store::{self, CallRecord, Reader},
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
    let (books, names) = block_on(async {
        let ledger = match Reader::open(url).await {
            // Nobody has spent anything yet.
            Err(store::Error::Missing { .. } | store::Error::NoTables) => {
                return Ok((Spending::new(budgets, now), UserNames::default()));
            }
            ledger => ledger?,
        };
        let catalog = ledger.catalog(day_of(now)).await?;
        let mut spending = report::spending(&ledger, budgets, &catalog, now).await?;
        for call in ledger.running().await? {
            let CallRecord { at, user, client_key, model, reserved, .. } = &call;
            let (user, key) = (user.as_deref(), client_key.as_deref());
            spending.show_reserved(*at, Spender { user, key, model }, *reserved);
        }
        Ok::<_, store::Error>((spending, ledger.user_names().await?))
    })?;
    let list = BudgetList::of(&books, &names);
    console::report(&list, arguments.json, console)?;
    Ok(ExitCode::SUCCESS)
}
