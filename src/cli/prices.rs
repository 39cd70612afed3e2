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
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::print;
use crate::{
    config::{Config, Env, GlobalFlags},
    domain::{
        catalog::{Catalog, day_of},
        exchange::{OwnerId, UnixMillis},
        price::{self, Imported, Omission, Price},
    },
    report::{PriceList, counted, prices::PriceFilter},
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
            let catalog = Catalog::builtin().with_prices(&imported(&runtime, &url)?, today);
            let all = prices.len();
            let prices: Vec<Price> =
                prices.into_iter().filter(|price| !catalog.knows(price)).collect();
            let known = (all - prices.len()) as u64;
            if !prices.is_empty() {
                let owner = OwnerId::new(Uuid::now_v7());
                runtime.block_on(prices::import(&url, owner, &prices))?;
            }
            let new = counted(prices.len() as u64, "price");
            writeln!(out, "Imported {new} from {}; {known} held already.", file.display())?;
            for Omission { model, field } in left_out {
                writeln!(out, "Left out {model}: no {field}.")?;
            }
            if !prices.is_empty() {
                let models: Vec<&str> = prices.iter().map(|price| &*price.model).collect();
                writeln!(out, "New: {}.", models.join(", "))?;
                writeln!(out, "Reports use them now, a running server from its next start on.")?;
            }
        }
        Some(Command::Reset) => {
            runtime.block_on(prices::forget(&url))?;
            writeln!(out, "Forgot what was imported; the prices of this program hold again.")?;
        }
        None => {
            let imported = imported(&runtime, &url)?;
            let catalog = Catalog::builtin().with_prices(&imported, today);
            let which = if arguments.all { PriceFilter::All } else { PriceFilter::Current };
            let list = PriceList::of(&catalog, &imported, which, today);
            print::report(&list, arguments.json, out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What was imported before; nothing, where there is no ledger yet.
fn imported(runtime: &Runtime, url: &str) -> Result<Vec<Price>, store::Error> {
    let read = async { Reader::open(url).await?.prices().await };
    match runtime.block_on(read) {
        Err(store::Error::Missing { .. } | store::Error::NoTables) => Ok(Vec::new()),
        found => found,
    }
}

fn read(file: &Path, since: Date) -> anyhow::Result<Imported> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let is_json = text.trim_start().starts_with('{');
    let imported = if is_json { price::litellm(&text, since) } else { price::own(&text) };
    imported.with_context(|| format!("no prices in {}", file.display()))
}
