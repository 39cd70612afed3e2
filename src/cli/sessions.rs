//! `reprise sessions`: the ledger read as chats.

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::bail;
use clap::{Args, Subcommand};

use super::{Console, fixtures, print, since};
use crate::{
    answer::now,
    config::{Config, Env, GlobalFlags},
    domain::exchange::UnixMillis,
    report::{Session, Sessions},
    store::{Reader, SessionRow},
};

/// So many sessions are listed.
const LISTED: usize = 20;

/// What to do with sessions.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the newest sessions
    List {
        /// How many; 0 for all
        #[arg(long, value_name = "N", default_value_t = LISTED)]
        last: usize,
        /// Only those with calls since then, as 2h, 7d or 2026-11-20
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Show a session with all that was said
    Show {
        /// The session, or the beginning of its id
        id: String,
        /// Print JSON instead of text
        #[arg(long)]
        json: bool,
        /// Print Markdown instead of text
        #[arg(long, conflicts_with = "json")]
        markdown: bool,
    },
    /// List the sessions in which something is said
    Search {
        /// What is said, in whatever case
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
    /// The session, or the beginning of its id
    id: String,
    /// The folder that gets a folder for the session
    #[arg(long, value_name = "DIR", default_value = "fixtures")]
    into: PathBuf,
    /// Write over files that differ, and although CI is set
    #[arg(long)]
    force: bool,
}

pub(super) fn run(
    command: &Command,
    global: &GlobalFlags,
    env: Env<'_>,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    if let Command::Export(Export { id, into, force }) = command {
        let arguments = fixtures::export::Arguments::of_session(id, into, *force);
        return fixtures::export::run(&arguments, global, env, console);
    }
    let url = Config::ledger(global, env)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let ledger = Reader::open(&url).await?;
        tell(command, &ledger, console.out).await
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn tell(command: &Command, ledger: &Reader, out: &mut dyn Write) -> anyhow::Result<()> {
    let (sessions, json) = match command {
        Command::List { last, since, json } => {
            let since = since.as_deref().map(|text| since::moment(text, now())).transpose()?;
            let rows = ledger.sessions(since.unwrap_or_default()).await?;
            let most = if *last == 0 { usize::MAX } else { *last };
            (Sessions::of(ledger, &rows, most).await?, *json)
        }
        Command::Search { text, json } => {
            let rows = ledger.sessions(UnixMillis(0)).await?;
            let rows = search(ledger, rows, text).await?;
            (Sessions::of(ledger, &rows, usize::MAX).await?, *json)
        }
        Command::Show { id, json, markdown } => {
            let rows = ledger.sessions(UnixMillis(0)).await?;
            let session = Session::of(ledger, find(&rows, id)?).await?;
            return if *markdown {
                Ok(write!(out, "{}", session.markdown())?)
            } else {
                print::report(&session, *json, out)
            };
        }
        Command::Export(_) => return Ok(()),
    };
    print::report(&sessions, json, out)
}

/// The session with this id, or the only one whose id begins so.
pub(super) fn find<'a>(rows: &'a [SessionRow], id: &str) -> anyhow::Result<&'a SessionRow> {
    if let Some(row) = rows.iter().find(|row| row.id == id) {
        return Ok(row);
    }
    let mut beginning = rows.iter().filter(|row| !id.is_empty() && row.id.starts_with(id));
    match (beginning.next(), beginning.count()) {
        (Some(row), 0) => Ok(row),
        (Some(_), more) => bail!("{} sessions begin with {id:?}: say more of the id", more + 1),
        (None, _) => bail!("there is no session {id:?}; `reprise sessions list` shows them"),
    }
}

/// The sessions in which somebody says this.
pub(super) async fn search(
    ledger: &Reader,
    rows: Vec<SessionRow>,
    text: &str,
) -> anyhow::Result<Vec<SessionRow>> {
    let text = text.to_lowercase();
    let mut found = Vec::new();
    let mut progress = Progress::new("read", rows.len());
    for row in rows {
        if Session::of(ledger, &row).await?.says(&text) {
            found.push(row);
        }
        progress.step();
    }
    Ok(found)
}

/// A line on a terminal that says how far long work is.
pub(super) struct Progress {
    what: &'static str,
    of_what: &'static str,
    done: usize,
    of: usize,
    shows: bool,
}

/// Less is done before anybody could read how much.
const WORTH_TELLING: usize = 50;

impl Progress {
    pub(super) fn new(what: &'static str, of: usize) -> Self {
        Self::of(what, "sessions", of, WORTH_TELLING)
    }

    /// For other things than sessions, if there are at least `least` of them.
    pub(super) fn of(what: &'static str, of_what: &'static str, of: usize, least: usize) -> Self {
        Self { what, of_what, done: 0, of, shows: of >= least && io::stderr().is_terminal() }
    }

    pub(super) fn step(&mut self) {
        self.done += 1;
        if self.shows {
            let Self { what, of_what, done, of, .. } = self;
            let _ = write!(io::stderr(), "\r{what} {done} of {of} {of_what}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shows {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
