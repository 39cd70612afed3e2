//! `reprise ledger`: checks the ledger, backs it up, copies it into another database and shrinks its file, also while a
//! server uses it.

mod copy;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{
    Console,
    console::{self, Progress},
    operator,
    run::block_on,
};
use crate::{
    answer,
    config::{Config, Env, Flags},
    domain::exchange::OwnerId,
    report::{
        counted,
        doctor::Diagnosis,
        ledger::{BackupReport, VacuumReport},
    },
    store::{
        self, Ledger, Reader, backup,
        integrity::{self, Integrity, Tables},
        prune::{Limits, Pruned},
        vacuum,
    },
};

const MEBIBYTE: u64 = 1 << 20;
/// Size in MiB from which on progress is shown.
const LARGE: usize = 64;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check the whole file, and that its tables agree with each other
    Check(Arguments),
    /// Copy the ledger, with all answers that are finished, into a new file
    Backup {
        /// File of the backup, which must not exist
        file: PathBuf,
        #[command(flatten)]
        arguments: Arguments,
    },
    /// Copy a ledger into another database, or take what is new into a copy
    ///
    /// A URL is one as of --database-url: of a file, or of a schema in Postgres. The copy is created, or empty, or an
    /// earlier copy that no server has used. It has what had ended when the command began; a second run takes what is
    /// new. A copy that was broken off goes on where it ended. The password of Postgres can be in PGPASSWORD or in
    /// ~/.pgpass, where other users of this machine do not see it.
    Copy {
        /// URL of the ledger that is copied
        from: String,
        /// URL of the copy
        to: String,
        #[command(flatten)]
        arguments: Arguments,
    },
    /// Give unused space back to the disk
    Vacuum(Arguments),
}

/// The arguments of each of them.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    command: &Command,
    flags: &Flags,
    env: Env<'_>,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let config = Config::load(flags, env)?;
    match command {
        Command::Check(arguments) => {
            let found = block_on(check(config.ledger()?))?;
            console::report(&found, arguments.json, console)?;
            return Ok(if found.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Backup { file, arguments } => {
            let report = block_on(back_up(file.clone(), &config))?;
            console::report(&report, arguments.json, console)?;
        }
        Command::Copy { from, to, arguments } => {
            let report = block_on(copy::run(from, to, &config, env))?;
            console::report(&report, arguments.json, console)?;
        }
        Command::Vacuum(arguments) => {
            let report = block_on(shrink(&config))?;
            console::report(&report, arguments.json, console)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn check(url: &str) -> Result<Diagnosis, store::Error> {
    const RESTORE: &str = "stop the server and restore a backup (`reprise ledger backup`), or recover the file: \
         sqlite3 reprise.db .recover";
    let mut found = Diagnosis::default();
    let reader = Reader::open(url).await?;
    let mut progress = Progress::of("checked", "parts of the ledger", integrity::PARTS, 1);
    let checked = reader.integrity(&mut || progress.step()).await;
    drop(progress);
    let file = store::file(url).map_or_else(|| url.to_owned(), |file| file.display().to_string());
    let Integrity { file: errors, tables } = checked?;
    let Some(tables) = tables else {
        let errors = errors.join("; ");
        found.wrong("file", format!("{file} is damaged; SQLite finds: {errors}"), RESTORE);
        return Ok(found);
    };
    let Tables { exchanges, calls, dangling, incomplete, hours, .. } = tables;
    let [exchanges, all_calls] = [counted(exchanges, "exchange"), counted(calls, "call")];
    found.ok("file", format!("{file} is intact, with {all_calls} and {exchanges}"));
    if dangling == 0 {
        found.ok("references", "no row refers to one that is not there");
    } else {
        let rows = counted(dangling, "row");
        found.wrong("references", format!("{rows} refer to rows that are not there"), RESTORE);
    }
    match incomplete {
        0 => found.ok("requests", "all that are kept are whole"),
        _ => found.wrong(
            "requests",
            format!("{} lack a part", counted(incomplete, "request or message")),
            "they cannot be shown or exported any more; costs and answers are not affected; restore a backup if you \
             need them",
        ),
    }
    match (tables.without_exchange, tables.without_call) {
        (0, 0) => found.ok("calls", "each has its exchange, and each exchange its call"),
        (no_exchange, no_call) => found.note(
            "calls",
            format!("{no_exchange} without their exchange, and {no_call} exchanges without a call"),
            "reports go by calls: they lack the costs of these exchanges; a ledger that was replaced or recovered while a \
             server ran may have some",
        ),
    }
    match (hours, tables.wrong_hours) {
        (0, _) => found.ok("sums", "none are kept; reports read the calls"),
        (_, 0) => {
            found.ok("sums", format!("those of {} agree with the calls", counted(hours, "hour")));
        }
        (_, wrong) => found.wrong(
            "sums",
            format!("those of {wrong} of {} do not agree with the calls", counted(hours, "hour")),
            "stop the server and run `reprise ledger vacuum`: the next report makes them anew",
        ),
    }
    Ok(found)
}

/// Answer of a server that has written what it had in memory.
#[derive(Deserialize)]
struct Flushed {}

/// Has the server that uses a ledger write what it has in memory only, because it could not in time; returns the reason
/// if it did not.
async fn flush(url: &str, owner: OwnerId, config: &Config) -> Option<String> {
    match Ledger::must_be_free(url, owner).await {
        Err(store::Error::InUse { owner, .. }) => {
            let flushed = operator::post::<Flushed>("/flush", &json!({}), owner, config).await;
            flushed.err().map(|error| format!("{error:#}"))
        }
        _ => None,
    }
}

async fn back_up(file: PathBuf, config: &Config) -> anyhow::Result<BackupReport> {
    let url = config.ledger()?;
    let owner = OwnerId::new(Uuid::now_v7());
    Reader::open(url).await.map(drop).or_else(|error| match error {
        store::Error::Older { .. } | store::Error::Newer { .. } => Ok(()),
        error => Err(error),
    })?;
    let unflushed = flush(url, owner, config).await;
    let mut progress = None;
    let mut watch = |done, total| copied(&mut progress, "copied", done, total);
    let backup = backup::run(url, &file, owner, answer::now(), &mut watch).await?;
    drop(progress);
    Ok(BackupReport { file: file.display().to_string(), backup, unflushed })
}

async fn shrink(config: &Config) -> anyhow::Result<VacuumReport> {
    let url = config.ledger()?;
    let owner = OwnerId::new(Uuid::now_v7());
    let mut progress = None;
    let mut watch = |done, total| copied(&mut progress, "written", done, total);
    let (pruned, online) = match vacuum::run(url, owner, answer::now(), &mut watch).await {
        Err(store::Error::InUse { owner, .. }) => {
            let pruned: Pruned = operator::post("/prune", &Limits::none(), owner, config).await?;
            (pruned, true)
        }
        pruned => (pruned?, false),
    };
    drop(progress);
    let Pruned { bytes_before, bytes_after, .. } = pruned;
    Ok(VacuumReport { bytes_before, bytes_after, online })
}

/// Shows how much of a large file is done.
fn copied(progress: &mut Option<Progress>, verb: &'static str, done: u64, total: u64) {
    let mebibytes = |bytes: u64| usize::try_from(bytes / MEBIBYTE).unwrap_or(usize::MAX);
    let total = mebibytes(total);
    let progress = progress.get_or_insert_with(|| Progress::of(verb, "MiB", total, LARGE));
    progress.at(mebibytes(done).min(total));
}
