//! The commands: arguments in, report out. `main` gives them the environment and prints what they say.

mod ping;
mod serve;
mod stats;

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::config::{Env, Flags, GlobalFlags};

/// Lets Open WebUI and any OpenAI client use Claude, and keeps a ledger of every exchange.
///
/// Without a command, `reprise` serves. Settings come from flags, else the environment, else the
/// file given with --config, else the defaults. The Anthropic key comes from ANTHROPIC_API_KEY.
#[derive(Debug, Parser)]
#[expect(clippy::doc_markdown, reason = "this comment is the help that a terminal shows")]
#[command(name = "reprise", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    global: GlobalFlags,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one, once")]
enum Command {
    /// Serve OpenAI's API, ask Claude, keep the ledger
    Serve {
        #[command(flatten)]
        flags: Flags,
    },
    /// Tell what was asked and what it cost
    Stats {
        /// JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Ask a server on this machine whether it lives, for health checks
    #[command(hide = true)]
    Ping,
}

/// Where a command says what it has to say.
pub struct Console<'a> {
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Whether a person reads it.
    pub interactive: bool,
}

/// Runs the command.
pub fn run(cli: Cli, env: Env<'_>, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    let Cli { command, flags, global } = cli;
    match command {
        None => serve::run(&flags, &global, env, console),
        Some(Command::Serve { flags }) => serve::run(&flags, &global, env, console),
        Some(Command::Stats { json }) => stats::run(&global, env, json, console.out),
        Some(Command::Ping) => ping::run(env),
    }
}
