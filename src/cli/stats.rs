//! `reprise stats`: usage, costs and savings.

use std::{io::Write, process::ExitCode};

use anyhow::Context;
use clap::{Args, builder::PossibleValue};
use jiff::{Timestamp, Zoned, tz::TimeZone};

use super::{console, run::block_on};
use crate::{
    config::{self, Config, Env, Flags},
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
    /// Start of the period: 7d (the beginning of that day), 12h, today, yesterday, 2026-10, 2026-10-01 or 2026-10-01T12:30
    #[arg(long, value_name = "WHEN")]
    since: Option<TimeSpec>,
    /// End of the period, that day or month included
    #[arg(long, value_name = "WHEN")]
    until: Option<TimeSpec>,
    /// Time zone of days, as Europe/Berlin; by default that of this machine
    #[arg(long, value_name = "ZONE", value_parser = config::time_zone)]
    timezone: Option<TimeZone>,
    /// Fields to group by, comma-separated
    #[arg(long, value_name = "FIELD", value_delimiter = ',', default_value = "model")]
    by: Vec<GroupBy>,
    /// Recompute costs at today's prices
    #[arg(long)]
    reprice: bool,
    /// Maximum number of groups in a table
    #[arg(long, value_name = "COUNT", default_value_t = TOP)]
    top: usize,
    #[command(flatten)]
    format: Format,
}

/// Output format of the report.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct Format {
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
    flags: &Flags,
    env: Env<'_>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let config = Config::load(flags, env)?;
    let url = config.ledger()?;
    let zone = arguments.timezone.clone().unwrap_or_else(TimeZone::system);
    let now = Zoned::new(Timestamp::now(), zone);
    let period = Period::new(arguments.since.as_ref(), arguments.until.as_ref(), &now);
    let period = period.map_err(|InvalidTime| InvalidTime).context("--since and --until")?;
    block_on(async {
        let ledger = Reader::open(url).await?;
        let today = day_of(UnixMillis(now.timestamp().as_millisecond()));
        let catalog = Catalog::builtin().with_prices(&ledger.prices().await?, today);
        if arguments.reprice {
            let repriced = Repriced::of(&ledger, &catalog, &period, &arguments.by, today).await?;
            return console::report(&repriced, arguments.format.json, out);
        }
        // A ledger that cannot be written is reported on all the same, only slower.
        if let Err(error) = store::roll_up(url, &catalog, store::WORTH_SUMMING_UP).await {
            tracing::debug!(%error, "cannot write roll-ups");
        }
        let stats = Stats::of(&ledger, &catalog, &period, &arguments.by).await?;
        let stats = stats.with_top(arguments.top);
        match arguments.format {
            Format { csv: true, .. } => Ok(write!(out, "{}", stats.csv()?)?),
            Format { markdown: true, .. } => Ok(write!(out, "{}", stats.markdown())?),
            Format { json, .. } => console::report(&stats, json, out),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}
