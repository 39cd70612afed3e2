//! `reprise calls export`: one line for each call, in the order in which they were committed.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum, builder::PossibleValuesParser};
use jiff::{Timestamp, Zoned, tz::TimeZone};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    cli::{
        Misuse, Printable,
        count::count,
        printable, reader,
        run::{StopSignals, block_on},
    },
    config::{self, Config, Env, Flags},
    domain::exchange::{AnsweredBy, Outcome},
    report::{
        CallLine,
        stats::{Period, TimeSpec},
        user_id,
    },
    store::{CallFilter, Reader},
};

/// Interval between looks for new calls.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

const OUTCOMES: [&str; 6] = [
    Outcome::Complete.into_str(),
    Outcome::Failed.into_str(),
    Outcome::Cut.into_str(),
    Outcome::Stopped.into_str(),
    Outcome::Lost.into_str(),
    Outcome::Refused.into_str(),
];

const SOURCES: [&str; 7] = [
    AnsweredBy::Hit.into_str(),
    AnsweredBy::Miss.into_str(),
    AnsweredBy::Collapsed.into_str(),
    AnsweredBy::Refresh.into_str(),
    AnsweredBy::Bypass.into_str(),
    AnsweredBy::Replay.into_str(),
    AnsweredBy::Refused.into_str(),
];

/// The arguments of `reprise calls export`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Format: a JSON object a line, or CSV with a header
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Jsonl)]
    format: Format,
    /// Start of the period: 7d (the beginning of that day), 12h, today, yesterday, 2026-10, 2026-10-01 or 2026-10-01T12:30
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    since: Option<TimeSpec>,
    /// End of the period, that day or month included
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true, conflicts_with = "follow")]
    until: Option<TimeSpec>,
    /// Time zone of days, as Europe/Berlin; by default that of this machine
    #[arg(long, value_name = "ZONE", value_parser = config::time_zone)]
    timezone: Option<TimeZone>,
    /// Only the newest N of the calls
    #[arg(long, value_name = "N", value_parser = count::<u32>, allow_negative_numbers = true)]
    last: Option<u32>,
    /// Only calls of this user: the id, mail or name
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only calls of this chat
    #[arg(long, value_name = "ID")]
    chat: Option<String>,
    /// Only calls that this model answered
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Only calls of this background task
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    /// Only calls with this outcome
    #[arg(long, value_name = "OUTCOME", value_parser = PossibleValuesParser::new(OUTCOMES))]
    outcome: Option<String>,
    /// Only calls that were answered so
    #[arg(long, value_name = "SOURCE", value_parser = PossibleValuesParser::new(SOURCES))]
    answered_by: Option<String>,
    /// Only calls with this tag: TAG, KEY=VALUE, or KEY for any value; of several, those with all
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Go on with calls as they are committed, until a signal or until nobody reads; looks once a second
    #[arg(long)]
    follow: bool,
    /// File to write instead of standard output; it must not exist
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Jsonl,
    Csv,
}

impl Arguments {
    fn filter(&self) -> anyhow::Result<CallFilter> {
        let zone = self.timezone.clone().unwrap_or_else(TimeZone::system);
        let now = Zoned::new(Timestamp::now(), zone);
        let period = Period::new(self.since.as_ref(), self.until.as_ref(), &now);
        let period = period.map_err(|error| Misuse(format!("{:#}", anyhow::Error::from(error))))?;
        Ok(CallFilter {
            span: period.span,
            user: self.user.clone(),
            chat: self.chat.clone(),
            model: self.model.clone(),
            task: self.task.clone(),
            outcome: self.outcome.as_deref().map(str::parse).transpose()?,
            answered_by: self.answered_by.as_deref().map(str::parse).transpose()?,
            tags: self.tag.clone(),
            conditions: Vec::new(),
        })
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
    let mut filter = arguments.filter()?;
    block_on(async {
        let ledger = reader::open(url).await?;
        if let Some(user) = &mut filter.user {
            *user = user_id(&ledger, user).await?;
        }
        let Some(path) = &arguments.output else {
            return write(&ledger, arguments, &filter, out).await;
        };
        let mut file = io::BufWriter::new(Printable::new(new_file(path)?));
        write(&ledger, arguments, &filter, &mut file).await?;
        file.flush().with_context(|| format!("cannot write {}", path.display()))
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A new file that only its owner can read: it has the ids of users and chats.
fn new_file(path: &Path) -> anyhow::Result<std::fs::File> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            bail!("{} exists already; name another file", path.display())
        }
        opened => opened.with_context(|| format!("cannot write {}", path.display())),
    }
}

/// Writes the calls; with `--follow`, until a signal.
async fn write(
    ledger: &Reader,
    arguments: &Arguments,
    filter: &CallFilter,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if !arguments.follow {
        return lines(ledger, arguments, filter, out).await;
    }
    let (mut stop, _) = StopSignals::new(false)?;
    tokio::select! {
        written = lines(ledger, arguments, filter, out) => written,
        () = stop.next() => Ok(()),
    }
}

async fn lines(
    ledger: &Reader,
    arguments: &Arguments,
    filter: &CallFilter,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let Arguments { format, last, follow, output, .. } = arguments;
    if *format == Format::Csv {
        out.write_all(&CallLine::csv_header()?)?;
    }
    let (mut after, mut newest) = ledger.call_bounds(filter, *last).await?;
    loop {
        let page = ledger.call_page(filter, after, newest).await?;
        let last = page.last().map(|call| call.seq);
        for call in page {
            let line = CallLine(call);
            match format {
                Format::Csv => out.write_all(&line.csv()?)?,
                Format::Jsonl => writeln!(out, "{}", printable::json_line(&line)?)?,
            }
        }
        after = last.unwrap_or(newest);
        if after < newest {
            continue;
        }
        out.flush()?;
        if !follow {
            return Ok(());
        }
        while newest <= after {
            tokio::time::sleep(FOLLOW_INTERVAL).await;
            if output.is_none() && nobody_reads() {
                return Ok(());
            }
            newest = ledger.newest_call().await?;
        }
    }
}

/// Tells whether the reader of standard output has gone, which a write would tell only at the next call.
fn nobody_reads() -> bool {
    let stdout = io::stdout();
    let mut watched = [PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::empty())];
    let polled = poll(&mut watched, Some(&Timespec::default()));
    polled.is_ok() && watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}
