//! `reprise prices`: the prices of models, and imports of others.

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

use super::{console, run::block_on};
use crate::{
    config::{Config, Env, Flags},
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
    /// Include prices that are no longer valid
    #[arg(long)]
    all: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Import prices into the ledger; they override the built-in ones
    Import {
        /// A list of prices.
        #[arg(
            value_name = "FILE",
            help = "LiteLLM's model_prices_and_context_window.json, or our own TOML"
        )]
        file: PathBuf,
        /// First day of prices that have none; by default today
        #[arg(long, value_name = "DAY")]
        since: Option<Date>,
    },
    /// Delete all imported prices
    Reset,
}

pub(super) fn run(
    arguments: &Arguments,
    flags: &Flags,
    env: Env<'_>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let config = Config::load(flags, env)?;
    let url = config.ledger()?;
    let today = day_of(UnixMillis(jiff::Timestamp::now().as_millisecond()));
    match &arguments.command {
        Some(Command::Import { file, since }) => {
            let Imported { prices, left_out } = read(file, since.unwrap_or(today))?;
            let catalog = Catalog::builtin().with_prices(&imported(url)?, today);
            let all = prices.len();
            let prices: Vec<Price> =
                prices.into_iter().filter(|price| !catalog.knows(price)).collect();
            let known = (all - prices.len()) as u64;
            if !prices.is_empty() {
                let owner = OwnerId::new(Uuid::now_v7());
                block_on(prices::import(url, owner, &prices))?;
            }
            let new = counted(prices.len(), "price");
            writeln!(out, "Imported {new} from {}; {known} known already.", file.display())?;
            for Omission { model, field } in left_out {
                writeln!(out, "Left out {model}: no {field}.")?;
            }
            if !prices.is_empty() {
                let models: Vec<&str> = prices.iter().map(|price| &*price.model).collect();
                writeln!(out, "New: {}.", models.join(", "))?;
                writeln!(out, "Reports use them now; a running server from its next start.")?;
            }
        }
        Some(Command::Reset) => {
            block_on(prices::forget(url))?;
            writeln!(out, "Deleted the imported prices; the built-in ones apply again.")?;
        }
        None => {
            let imported = imported(url)?;
            let catalog = Catalog::builtin().with_prices(&imported, today);
            let which = if arguments.all { PriceFilter::All } else { PriceFilter::Current };
            let list = PriceList::of(&catalog, &imported, which, today);
            console::report(&list, arguments.json, out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The prices imported so far; none without a ledger.
fn imported(url: &str) -> anyhow::Result<Vec<Price>> {
    block_on(async {
        match Reader::open(url).await {
            Err(store::Error::Missing { .. } | store::Error::NoTables) => Ok(Vec::new()),
            ledger => ledger?.prices().await,
        }
    })
}

fn read(file: &Path, since: Date) -> anyhow::Result<Imported> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let is_json = text.trim_start().starts_with('{');
    let imported = if is_json { price::litellm(&text, since) } else { price::own(&text) };
    imported.with_context(|| format!("no prices in {}", file.display()))
}
