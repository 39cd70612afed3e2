//! `reprise sessions`: the chats in the ledger.

use std::{path::PathBuf, process::ExitCode};

use anyhow::bail;
use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use jiff::Zoned;

use super::{
    Console, Misuse,
    console::{self, Progress},
    count::count_or_all,
    fixtures, reader,
    run::block_on,
};
use crate::{
    answer,
    config::{Config, Env, Flags, SearchIndex},
    domain::{catalog::day_of, exchange::UnixMillis, user_name::UserNames},
    report::{
        Session, SessionQuery, Sessions, WhatIf,
        stats::{Period, TimeSpec, priced_model},
        user_id,
    },
    store::{self, Indexed, Reader, SessionFilter, SessionRow, WordIndex},
};

/// Default number of sessions in a list.
const LISTED: &str = "20";
/// Fewer calls are indexed before anybody could read how many.
const MANY_CALLS: usize = 5_000;

/// The commands of `reprise sessions`.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the sessions that were used last
    List(Box<List>),
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
        /// Also compute its cost as if this model had answered with the same tokens, at its prices of today: an estimate
        #[arg(long, value_name = "MODEL", conflicts_with = "markdown", value_parser = NonEmptyStringValueParser::new())]
        what_if: Option<String>,
    },
    /// List the sessions in which something was said
    Search {
        /// Words that one turn says, all of them; "several words" in quotes follow each other, beg* is any word that begins so
        #[arg(value_parser = NonEmptyStringValueParser::new(), required = true)]
        words: Vec<String>,
        #[command(flatten)]
        list: Box<List>,
    },
    /// Write a session as fixtures, as `reprise fixtures export --session` does
    Export(Export),
}

/// The arguments of lists.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Number of sessions; 0 for all
    #[arg(long, value_name = "N", default_value = LISTED, value_parser = count_or_all, allow_negative_numbers = true)]
    last: usize,
    /// Only sessions that were used since then, as 2h, 7d (the beginning of that day) or 2026-11-20
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    since: Option<TimeSpec>,
    /// Only sessions that began before the end of then
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    until: Option<TimeSpec>,
    /// Only sessions of this user: the id, mail or name
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only sessions with a call that this model answered
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Only sessions with a call of this background task
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    /// Go on after this place: `next` of the JSON before
    #[arg(long, value_name = "PLACE")]
    after: Option<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

impl List {
    async fn query(&self, ledger: &Reader) -> anyhow::Result<SessionQuery> {
        let Self { last, since, until, user, model, task, after, json: _ } = self;
        let period = Period::new(since.as_ref(), until.as_ref(), &Zoned::now());
        let period = period.map_err(|error| Misuse(format!("{:#}", anyhow::Error::from(error))))?;
        let span = (since.is_some() || until.is_some()).then_some(period.span);
        let user = match user {
            Some(user) => Some(user_id(ledger, user).await?),
            None => None,
        };
        let filter = SessionFilter { span, user, model: model.clone(), task: task.clone() };
        Ok(SessionQuery { filter, words: None, after: after.clone(), most: *last })
    }
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
        let ledger = reader::open(config.ledger()?).await?;
        let index = index(&ledger, &config).await?;
        print(command, &ledger, index, console).await
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Brings the index of sessions up to date; `None`: it cannot be written.
async fn index(ledger: &Reader, config: &Config) -> anyhow::Result<Option<Indexed>> {
    let texts = match config.search {
        SearchIndex::On => WordIndex::Kept,
        SearchIndex::Off => WordIndex::NotKept,
    };
    let mut progress = None;
    let mut watch = |done: u64, total: u64| {
        let [done, total] = [done, total].map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        let progress =
            progress.get_or_insert_with(|| Progress::of("indexed", "calls", total, MANY_CALLS));
        progress.at(done);
    };
    let indexed = store::index_sessions(config.ledger()?, ledger, texts, &mut watch).await;
    // Without one, the list is right, only slower.
    Ok(indexed.inspect_err(|error| tracing::debug!(%error, "cannot index the sessions")).ok())
}

async fn print(
    command: &Command,
    ledger: &Reader,
    index: Option<Indexed>,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let names = ledger.user_names().await?;
    match command {
        Command::List(list) => {
            let query = list.query(ledger).await?;
            let sessions = Sessions::of(ledger, &names, index, &query).await?;
            console::report(&sessions, list.json, console)
        }
        Command::Search { words, list } => {
            let words = words.join(" ");
            let query = list.query(ledger).await?;
            let sessions = if index.is_some_and(Indexed::has_texts) {
                let query = SessionQuery { words: Some(words), ..query };
                Sessions::of(ledger, &names, index, &query).await?
            } else {
                let mut rows = ledger.sessions(UnixMillis(0)).await?;
                rows.retain(|row| query.filter.selects(row));
                let rows = search(ledger, rows, &words).await?;
                Sessions::of_rows(ledger, &names, rows, &query).await?
            };
            console::report(&sessions, list.json, console)
        }
        Command::Show { id, json, markdown, what_if } => {
            let rows = match index {
                Some(index) => ledger.sessions_like(index, id).await?,
                None => ledger.sessions(UnixMillis(0)).await?,
            };
            let row = find(&rows, id)?;
            let mut session = Session::of(ledger, &names, row).await?;
            if let Some(name) = what_if {
                let today = day_of(answer::now());
                let catalog = ledger.catalog(today).await?;
                let model = priced_model(&catalog, name, today)?;
                let what_if = WhatIf::of(ledger, &catalog, row, (&model, today)).await?;
                session = session.with_what_if(what_if);
            }
            if *markdown {
                Ok(write!(console.out, "{}", session.markdown())?)
            } else {
                console::report(&session, *json, console)
            }
        }
        Command::Export(_) => Ok(()),
    }
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
