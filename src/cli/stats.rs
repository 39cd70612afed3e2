//! `reprise stats`: what was asked, what it cost, what was saved.

use std::{io::Write, process::ExitCode};

use anyhow::Context;
use clap::{Args, builder::PossibleValue};
use jiff::{Timestamp, Zoned, tz::TimeZone};

use super::print;
use crate::{
    config::{Config, Env, GlobalFlags},
    domain::catalog::{Catalog, day_of},
    domain::exchange::UnixMillis,
    report::{
        Stats,
        stats::{GroupBy, InvalidTime, Period, Repriced, TOP, TimeSpec},
    },
    store::{self, Reader},
};

/// The arguments of `reprise stats`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// From when on: 7d (that day's beginning), 12h, today, yesterday, 2026-10, 2026-10-01 or 2026-10-01T12:30
    #[arg(long, value_name = "WHEN")]
    since: Option<TimeSpec>,
    /// Until when, that day or month included
    #[arg(long, value_name = "WHEN")]
    until: Option<TimeSpec>,
    /// Where days begin, as Europe/Berlin [default: this machine's]
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    timezone: Option<TimeZone>,
    /// By what to tell calls apart; several with commas
    #[arg(long, value_name = "WHAT", value_delimiter = ',', default_value = "model")]
    by: Vec<GroupBy>,
    /// Reckon what was paid anew at today's prices
    #[arg(long)]
    reprice: bool,
    /// Show so many groups in a table
    #[arg(long, value_name = "COUNT", default_value_t = TOP)]
    top: usize,
    #[command(flatten)]
    form: Form,
}

/// How the report is printed.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct Form {
    /// Print JSON instead of a table, with every number
    #[arg(long)]
    json: bool,
    /// Print CSV, with every number
    #[arg(long, conflicts_with = "reprice")]
    csv: bool,
    /// Print a table in Markdown
    #[arg(long, conflicts_with = "reprice")]
    markdown: bool,
}

impl clap::ValueEnum for GroupBy {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()))
    }
}

pub(super) fn run(
    arguments: &Arguments,
    global: &GlobalFlags,
    env: Env<'_>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let url = Config::ledger(global, env)?;
    let zone = arguments.timezone.clone().unwrap_or_else(TimeZone::system);
    let now = Zoned::new(Timestamp::now(), zone);
    let period = Period::new(arguments.since.as_ref(), arguments.until.as_ref(), &now);
    let period = period.map_err(|InvalidTime| InvalidTime).context("--since and --until")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let ledger = Reader::open(&url).await?;
        let today = day_of(UnixMillis(now.timestamp().as_millisecond()));
        let catalog = Catalog::builtin().with_prices(&ledger.prices().await?, today);
        if arguments.reprice {
            let repriced = Repriced::of(&ledger, &catalog, &period, &arguments.by, today).await?;
            return print::report(&repriced, arguments.form.json, out);
        }
        // A ledger that cannot be written is reported on all the same, only slower.
        if let Err(error) = store::roll_up(&url, &catalog, store::WORTH_SUMMING_UP).await {
            tracing::debug!(%error, "no sums could be written");
        }
        let stats = Stats::of(&ledger, &catalog, &period, &arguments.by).await?;
        let stats = stats.with_top(arguments.top);
        match arguments.form {
            Form { csv: true, .. } => Ok(write!(out, "{}", stats.csv())?),
            Form { markdown: true, .. } => Ok(write!(out, "{}", stats.markdown())?),
            Form { json, .. } => print::report(&stats, json, out),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name)
        .map_err(|_| "give a name such as Europe/Berlin, Asia/Kolkata or UTC".to_owned())
}
