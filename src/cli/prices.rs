//! `reprise prices`: the prices of models, and imports of others.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, Subcommand};
use jiff::civil::Date;
use uuid::Uuid;

use super::{Console, console, run::block_on};
use crate::{
    answer,
    config::{Config, Env, Flags},
    domain::{
        catalog::{Catalog, day_of},
        exchange::OwnerId,
        price::{self, Imported, Omission, OmissionReason, Price},
    },
    report::{
        PriceList,
        prices::{PriceFilter, PriceImport, RepricingLines, RepricingList},
    },
    store::{
        self, Occasion, Reader, RepricingRun,
        prices::{self, PriceChange},
    },
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
    /// Show the changes of recorded costs by imports, resets and new versions
    History {
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(
    arguments: &Arguments,
    flags: &Flags,
    env: Env<'_>,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let config = Config::load(flags, env)?;
    let url = config.ledger()?;
    let today = day_of(answer::now());
    let owner = OwnerId::new(Uuid::now_v7());
    let operator = ["USER", "LOGNAME"].into_iter().find_map(|name| env.get(name));
    let operator =
        operator.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    let operator = &*operator;
    match &arguments.command {
        Some(Command::Import { file, since }) => {
            let before = Catalog::builtin().with_prices(&imported(url)?, today);
            let read = read(file, since.unwrap_or(today))?.unknown_to(&before);
            let cause = format!("import of {}", file.display());
            let run = match &read.prices[..] {
                [] => RepricingRun::default(),
                prices => {
                    let after = before.with_prices(prices, today);
                    let from = prices.iter().map(|price| price.dated.since).min();
                    let (before, after) = (&before, &after);
                    let change = PriceChange { prices: Some(prices), before, after, from };
                    let occasion = Occasion { at: answer::now(), cause: &cause, operator };
                    block_on(prices::change(url, owner, change, occasion))?
                }
            };
            write!(
                console.out,
                "{}",
                PriceImport { file: &file.display(), imported: &read, run, today }
            )?;
            let is_known =
                |left_out: &Omission| matches!(left_out.reason, OmissionReason::Known { .. });
            if read.prices.is_empty() && !read.left_out.iter().any(is_known) {
                return Ok(ExitCode::FAILURE);
            }
        }
        Some(Command::Reset) => {
            let imported = imported(url)?;
            let builtin = Catalog::builtin();
            let before = builtin.clone().with_prices(&imported, today);
            let from = imported.iter().map(|price| price.dated.since).min();
            let (before, after) = (&before, &builtin);
            let change = PriceChange { prices: None, before, after, from };
            let occasion = Occasion { at: answer::now(), cause: "reset", operator };
            let run = block_on(prices::change(url, owner, change, occasion))?;
            writeln!(console.out, "Deleted the imported prices; the built-in ones apply again.")?;
            write!(console.out, "{}", RepricingLines(&run))?;
        }
        Some(Command::History { json }) => {
            let changes = block_on(async {
                match Reader::open(url).await {
                    Err(store::Error::Missing { .. } | store::Error::NoTables) => Ok(Vec::new()),
                    ledger => ledger?.repricings().await,
                }
            })?;
            console::report(&RepricingList::of(changes), *json, console)?;
        }
        None => {
            let imported = imported(url)?;
            let catalog = Catalog::builtin().with_prices(&imported, today);
            let which = if arguments.all { PriceFilter::All } else { PriceFilter::Current };
            let list = PriceList::of(&catalog, &imported, which, today);
            console::report(&list, arguments.json, console)?;
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
