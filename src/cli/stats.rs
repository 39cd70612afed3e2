//! `reprise stats`: usage, costs and savings.

use std::{ffi::OsStr, process::ExitCode};

use anyhow::bail;
use clap::{
    Arg, Args, Command,
    builder::{NonEmptyStringValueParser, PossibleValue, PossibleValuesParser, TypedValueParser},
    error::ErrorKind,
};
use jiff::{Timestamp, Zoned, tz::TimeZone};

use super::{Console, Misuse, console, count::count, reader, run::block_on};
use crate::{
    config::{self, Config, Env, Flags},
    domain::{catalog::day_of, exchange::UnixMillis},
    report::{
        Stats,
        stats::{GroupBy, NewPrices, Period, Repriced, TOP, TimeSpec, priced_model},
    },
    store,
};

/// The arguments of `reprise stats`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Start of the period: 7d (the beginning of that day), 12h, today, yesterday, 2026-10, 2026-10-01 or 2026-10-01T12:30
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    since: Option<TimeSpec>,
    /// End of the period, that day or month included
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    until: Option<TimeSpec>,
    /// Time zone of days, as Europe/Berlin; by default that of this machine
    #[arg(long, value_name = "ZONE", value_parser = config::time_zone)]
    timezone: Option<TimeZone>,
    /// Fields to group by, comma-separated
    #[arg(long, value_name = "FIELD", value_delimiter = ',', default_value = "model", value_parser = Fields)]
    by: Vec<GroupBy>,
    /// Only calls with this tag: TAG, KEY=VALUE, or KEY for any value; of several, those with all
    #[arg(long, value_name = "TAG", value_parser = NonEmptyStringValueParser::new())]
    tag: Vec<String>,
    /// Recompute costs at today's prices
    #[arg(long, conflicts_with = "tag")]
    reprice: bool,
    /// Compute costs as if this model had answered with the same tokens, at its prices of today: an estimate
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["tag", "reprice"], value_parser = NonEmptyStringValueParser::new())]
    what_if: Option<String>,
    /// Maximum number of groups in a table
    #[arg(long, value_name = "COUNT", default_value_t = TOP, value_parser = count::<usize>, allow_negative_numbers = true)]
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
    #[arg(long, conflicts_with_all = ["reprice", "what_if"])]
    csv: bool,
    /// Print a table in Markdown
    #[arg(long, conflicts_with_all = ["reprice", "what_if"])]
    markdown: bool,
}

/// Parser of the fields to group by: one of a list, or a key of tags.
#[derive(Debug, Clone)]
struct Fields;

impl Fields {
    fn names() -> impl Iterator<Item = String> {
        let known = GroupBy::ALL.into_iter().map(|by| by.as_str().to_owned());
        known.chain(["tag:KEY".to_owned()])
    }
}

impl TypedValueParser for Fields {
    type Value = GroupBy;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<GroupBy, clap::Error> {
        if let Some(by) = value.to_str().and_then(GroupBy::named) {
            return Ok(by);
        }
        let known = PossibleValuesParser::new(Self::names());
        // It names the fields that there are.
        let refused = known.parse_ref(command, argument, value);
        Err(refused
            .err()
            .unwrap_or_else(|| clap::Error::new(ErrorKind::InvalidValue).with_cmd(command)))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Self::names().map(PossibleValue::new)))
    }
}

pub(super) fn run(
    arguments: &Arguments,
    flags: &Flags,
    env: Env<'_>,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let config = Config::load(flags, env)?;
    let url = config.ledger()?;
    let zone = arguments.timezone.clone().unwrap_or_else(TimeZone::system);
    let now = Zoned::new(Timestamp::now(), zone);
    let period = Period::new(arguments.since.as_ref(), arguments.until.as_ref(), &now);
    let period = period.map_err(|error| Misuse(format!("{:#}", anyhow::Error::from(error))))?;
    block_on(async {
        let ledger = reader::open(url).await?;
        let today = day_of(UnixMillis(now.timestamp().as_millisecond()));
        let catalog = ledger.catalog(today).await?;
        let what_if = arguments.what_if.as_deref().map(|name| priced_model(&catalog, name, today));
        let what_if = what_if.transpose()?;
        let (new_prices, option) = match &what_if {
            Some(model) => (Some(NewPrices::Of(model)), "--what-if"),
            None => (arguments.reprice.then_some(NewPrices::Own), "--reprice"),
        };
        if let Some(prices) = new_prices {
            if arguments.by.iter().any(GroupBy::is_tag) {
                bail!("{option} does not group by tags");
            }
            let prices = (prices, today);
            let repriced = Repriced::of(&ledger, &catalog, &period, &arguments.by, prices).await?;
            return console::report(&repriced, arguments.format.json, console);
        }
        // A ledger that cannot be written is reported on all the same, only slower.
        if let Err(error) = store::roll_up(url, &catalog, store::WORTH_SUMMING_UP).await {
            tracing::debug!(%error, "cannot write roll-ups");
        }
        let Arguments { by, tag, .. } = arguments;
        let stats = Stats::of_tagged(&ledger, &catalog, &period, by, tag).await?;
        let stats = stats.with_top(arguments.top);
        match arguments.format {
            Format { csv: true, .. } => Ok(write!(console.out, "{}", stats.csv()?)?),
            Format { markdown: true, .. } => Ok(write!(console.out, "{}", stats.markdown())?),
            Format { json, .. } => console::report(&stats, json, console),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}
