//! `reprise fixtures`: export from the ledger, import into it, and checks of files.

mod age;
pub(super) mod export;
mod fmt;
mod import;
mod lint;
mod list;
mod verify;

use std::{path::PathBuf, process::ExitCode};

use anyhow::bail;
use clap::{Args, Subcommand};

use super::Console;
use crate::config::{Env, Flags};

/// The commands of `reprise fixtures`.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write sessions of the ledger as fixtures, with secrets scrubbed
    Export(export::Arguments),
    /// Import fixtures into the ledger, where they answer repeats
    Import(Files),
    /// List fixtures, with request and answer
    List {
        #[command(flatten)]
        files: Files,
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Report problems in fixtures, by file and line
    Lint {
        #[command(flatten)]
        files: Files,
        /// Print JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Send the requests of fixtures to Claude again, and report answers of another shape
    Verify {
        #[command(flatten)]
        files: Files,
        /// Send nothing, and report the fixtures that are older than this, such as 90d or 6mo
        #[arg(long, value_name = "AGE", value_parser = age::age)]
        older_than: Option<age::Age>,
        /// Print JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Format fixtures as `export` does, with new summaries
    Fmt {
        #[command(flatten)]
        files: Files,
        /// Report which ones would change, and write nothing
        #[arg(long)]
        check: bool,
    },
}

/// Files and folders of fixtures.
#[derive(Debug, Args)]
pub(super) struct Files {
    /// Fixture files, and folders of them
    #[arg(value_name = "PATH", default_value = "fixtures")]
    paths: Vec<PathBuf>,
}

pub(super) fn run(
    command: &Command,
    flags: &Flags,
    env: Env<'_>,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    match command {
        Command::Export(arguments) => export::run(arguments, flags, env, console),
        Command::Import(files) => import::run(files, flags, env, console.out),
        Command::List { files, json } => list::run(files, *json, console),
        Command::Lint { files, json } => lint::run(files, flags, env, *json, console.out),
        Command::Verify { files, older_than: Some(age), json } => {
            age::run(files, age, *json, console)
        }
        Command::Verify { files, older_than: None, json } => {
            verify::run(files, flags, env, *json, console)
        }
        Command::Fmt { files, check } => fmt::run(files, *check, env, console.out),
    }
}

/// Returns whether this runs in CI.
pub(super) fn is_ci(env: Env<'_>) -> bool {
    env.get("CI").is_some_and(|value| !["false", "0"].contains(&value.as_str()))
}

/// Refuses to write fixtures in CI, where a missing one is a failure, not a new file.
fn refuse_in_ci(env: Env<'_>, force: bool) -> anyhow::Result<()> {
    if is_ci(env) && !force {
        bail!("CI is set, and fixtures are not written in CI; --force overrides this");
    }
    Ok(())
}
