//! `reprise sessions`: the chats in the ledger.

use std::{path::PathBuf, process::ExitCode};

use anyhow::bail;
use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use jiff::Zoned;

use super::{
    Console,
    console::{self, Progress},
    count::count_or_all,
    fixtures,
    run::block_on,
};
use crate::{
    config::{Config, Env, Flags},
    domain::{exchange::UnixMillis, user_name::UserNames},
    report::{
        Session, Sessions,
        stats::{Period, TimeSpec},
    },
    store::{Reader, SessionRow},
};

/// Default number of sessions in a list.
const LISTED: &str = "20";

/// The commands of `reprise sessions`.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the newest sessions
    List {
        /// Number of sessions; 0 for all
        #[arg(long, value_name = "N", default_value = LISTED, value_parser = count_or_all, allow_negative_numbers = true)]
        last: usize,
        /// Sessions with calls since then, as 2h, 7d (the beginning of that day) or 2026-11-20
        #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
        since: Option<TimeSpec>,
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Show all messages of a session
    Show {
        /// Id of the session, or its beginning
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        /// Print JSON instead of text
        #[arg(long)]
        json: bool,
        /// Print Markdown instead of text
        #[arg(long, conflicts_with = "json")]
        markdown: bool,
    },
    /// List the sessions that contain a text
    Search {
        /// Text to search for, ignoring case
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        text: String,
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Write a session as fixtures, as `reprise fixtures export --session` does
    Export(Export),
}

/// The arguments of `reprise sessions export`.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// Id of the session, or its beginning
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
    /// Folder in which the folder of the session is made
    #[arg(long, value_name = "DIR", default_value = "fixtures")]
    into: PathBuf,
    /// Overwrite files that differ, even if CI is set
    #[arg(long)]
    force: bool,
}

pub(super) fn run(
    command: &Command,
    flags: &Flags,
    env: Env<'_>,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    if let Command::Export(Export { id, into, force }) = command {
        let arguments = fixtures::export::Arguments::of_session(id, into, *force);
        return fixtures::export::run(&arguments, flags, env, console);
    }
    let config = Config::load(flags, env)?;
    block_on(async {
        let ledger = Reader::open(config.ledger()?).await?;
        print(command, &ledger, console).await
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn print(
    command: &Command,
    ledger: &Reader,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let names = ledger.user_names().await?;
    let (sessions, json) = match command {
        Command::List { last, since, json } => {
            let since = since.as_ref().map(start).transpose()?;
            let rows = ledger.sessions(since.unwrap_or_default()).await?;
            (Sessions::of(ledger, &names, &rows, *last).await?, *json)
        }
        Command::Search { text, json } => {
            let rows = ledger.sessions(UnixMillis(0)).await?;
            let rows = search(ledger, rows, text).await?;
            (Sessions::of(ledger, &names, &rows, usize::MAX).await?, *json)
        }
        Command::Show { id, json, markdown } => {
            let rows = ledger.sessions(UnixMillis(0)).await?;
            let session = Session::of(ledger, &names, find(&rows, id)?).await?;
            return if *markdown {
                Ok(write!(console.out, "{}", session.markdown())?)
            } else {
                console::report(&session, *json, console)
            };
        }
        Command::Export(_) => return Ok(()),
    };
    console::report(&sessions, json, console)
}

/// The beginning of the period since `when`, in the time zone of this machine.
pub(super) fn start(when: &TimeSpec) -> anyhow::Result<UnixMillis> {
    Ok(Period::new(Some(when), None, &Zoned::now())?.span.start)
}

/// The session with this id, or the only one whose id begins with it.
pub(super) fn find<'a>(rows: &'a [SessionRow], id: &str) -> anyhow::Result<&'a SessionRow> {
    if let Some(row) = rows.iter().find(|row| row.id == id) {
        return Ok(row);
    }
    let mut matching = rows.iter().filter(|row| !id.is_empty() && row.id.starts_with(id));
    match (matching.next(), matching.count()) {
        (Some(row), 0) => Ok(row),
        (Some(_), more) => bail!("{} sessions begin with {id:?}: give more of the id", more + 1),
        (None, _) => bail!("there is no session {id:?}; `reprise sessions list` shows them"),
    }
}

/// The sessions that contain the text.
pub(super) async fn search(
    ledger: &Reader,
    rows: Vec<SessionRow>,
    text: &str,
) -> anyhow::Result<Vec<SessionRow>> {
    let text = text.to_lowercase();
    let (mut found, nobody) = (Vec::new(), UserNames::default());
    let mut progress = Progress::new("read", rows.len());
    for row in rows {
        if Session::of(ledger, &nobody, &row).await?.says(&text) {
            found.push(row);
        }
        progress.step();
    }
    Ok(found)
}
