//! `reprise fixtures`: from the ledger into files and back, and files in order.

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
use crate::config::{Env, GlobalFlags};

/// What to do with fixtures.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write sessions of the ledger as fixtures, without the secrets in them
    Export(export::Arguments),
    /// Put fixtures into the ledger, where they answer repeats
    Import(Files),
    /// List fixtures: what is asked, what is answered
    List {
        #[command(flatten)]
        files: Files,
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Say what is wrong with fixtures, by file and line
    Lint {
        #[command(flatten)]
        files: Files,
        /// Print JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Ask Claude again what fixtures asked, and say where answers have another shape now
    Verify {
        #[command(flatten)]
        files: Files,
        /// Print JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Lay fixtures out as `export` does, with their summaries made anew
    Fmt {
        #[command(flatten)]
        files: Files,
        /// Only say which ones would change
        #[arg(long)]
        check: bool,
    },
}

/// Which fixtures.
#[derive(Debug, Args)]
pub(super) struct Files {
    /// Files, and folders with all that is in them
    #[arg(value_name = "PATH", default_value = "fixtures")]
    paths: Vec<PathBuf>,
}

pub(super) fn run(
    command: &Command,
    global: &GlobalFlags,
    env: Env<'_>,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    match command {
        Command::Export(arguments) => export::run(arguments, global, env, console),
        Command::Import(files) => import::run(files, global, env, console.out),
        Command::List { files, json } => list::run(files, *json, console.out),
        Command::Lint { files, json } => lint::run(files, global, env, *json, console.out),
        Command::Verify { files, json } => verify::run(files, global, env, *json, console.out),
        Command::Fmt { files, check } => fmt::run(files, *check, env, console.out),
    }
}

/// Fixtures are recorded by a person who looks at them: in CI a missing one is a failure, not a new file.
fn must_be_wanted(env: Env<'_>, force: bool) -> anyhow::Result<()> {
    let ci = env("CI").is_some_and(|value| !["false", "0"].contains(&value.as_str()));
    if ci && !force {
        bail!("CI is set, and fixtures are not written in CI; --force writes them all the same");
    }
    Ok(())
}

/// A number of things in words: `1 file`, `2 files`.
pub(super) fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
