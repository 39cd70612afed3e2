//! `reprise prices`: what the models cost, and prices of one's own.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, Subcommand};
use jiff::civil::Date;
use uuid::Uuid;

use crate::{
    config::{Config, Env, GlobalFlags},
    domain::{
        catalog::{Catalog, day_of},
        exchange::{OwnerId, UnixMillis},
        price::{self, Imported, Omission},
    },
    report::{PriceList, prices::Which},
    store::{self, Reader, prices},
};

/// The arguments of `reprise prices`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Show prices that do not hold any more, too
    #[arg(long)]
    all: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keep prices in the ledger, over those that the program knows
    Import {
        /// A list of prices.
        #[arg(
            value_name = "FILE",
            help = "LiteLLM's model_prices_and_context_window.json, or our own TOML"
        )]
        file: PathBuf,
        /// The day from which on prices without a day hold [default: today]
        #[arg(long, value_name = "DAY")]
        since: Option<Date>,
    },
    /// Forget all prices that were imported
    Reset,
}

pub(super) fn run(
    arguments: &Arguments,
    global: &GlobalFlags,
    env: Env<'_>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let url = Config::ledger(global, env)?;
    let today = day_of(UnixMillis(jiff::Timestamp::now().as_millisecond()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match &arguments.command {
        Some(Command::Import { file, since }) => {
            let Imported { prices, left_out } = read(file, since.unwrap_or(today))?;
            let owner = OwnerId::new(Uuid::now_v7());
            runtime.block_on(prices::import(&url, owner, &prices))?;
            let models = if prices.len() == 1 { "price" } else { "prices" };
            writeln!(out, "Imported {} {models} from {}.", prices.len(), file.display())?;
            for Omission { model, field } in left_out {
                writeln!(out, "Left out {model}: no {field}.")?;
            }
            writeln!(out, "Reports use them now, a running server from its next start on.")?;
        }
        Some(Command::Reset) => {
            runtime.block_on(prices::forget(&url))?;
            writeln!(out, "Forgot what was imported; the prices of this program hold again.")?;
        }
        None => {
            let imported = match runtime.block_on(read_prices(&url)) {
                Err(store::Error::Missing { .. } | store::Error::NoTables) => Vec::new(),
                found => found?,
            };
            let catalog = Catalog::builtin().with_prices(&imported, today);
            let which = if arguments.all { Which::All } else { Which::Current };
            let list = PriceList::of(&catalog, &imported, which, today);
            if arguments.json {
                serde_json::to_writer_pretty(&mut *out, &list)
                    .context("cannot write the report")?;
                writeln!(out)?;
            } else {
                write!(out, "{list}")?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn read_prices(url: &str) -> Result<Vec<price::Price>, store::Error> {
    Reader::open(url).await?.prices().await
}

fn read(file: &Path, since: Date) -> anyhow::Result<Imported> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let is_json = text.trim_start().starts_with('{');
    let imported = if is_json { price::litellm(&text, since) } else { price::own(&text) };
    imported.with_context(|| format!("no prices in {}", file.display()))
}
