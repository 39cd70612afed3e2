//! The commands: arguments in, report out. `main` gives them the environment and prints what they say.

mod budgets;
mod cache;
mod config;
mod doctor;
mod explain;
mod fixtures;
mod operator;
mod ping;
mod prices;
mod print;
mod prune;
mod replay;
mod secrets;
mod serve;
mod sessions;
mod since;
mod stats;

use std::{io::Write, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};

use crate::config::{Env, Flags, GlobalFlags};

const AFTER_HELP: &str = "\
Without a command, `reprise` serves. A flag is stronger than the environment (names in brackets), that than the file \
given with --config, and that than the default. The key for Claude comes from ANTHROPIC_API_KEY; without it each \
client sends its own as its API key. Other users of the machine can see flags: prefer the environment for keys.";

/// Lets Open WebUI and any OpenAI client use Claude, and keeps a ledger of every exchange.
#[derive(Debug, Parser)]
#[command(name = "reprise", version, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    global: GlobalFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve OpenAI's API, ask Claude, keep the ledger
    Serve {
        #[command(flatten)]
        flags: Flags,
    },
    /// Show what was asked, what it cost and what was saved
    Stats(stats::Arguments),
    /// Show what is spent of the budgets
    Budgets(budgets::Arguments),
    /// Show what the models cost, and import other prices
    Prices(prices::Arguments),
    /// Delete what is too old or too large
    Prune(prune::Arguments),
    /// Show what would become of a request, without sending it, or why the ledger did not answer one
    Explain(explain::Arguments),
    /// Say what may no longer be answered from the ledger
    #[command(subcommand)]
    Cache(cache::Command),
    /// Read the ledger as chats
    Sessions {
        #[command(subcommand)]
        command: sessions::Command,
    },
    /// Answer from fixtures, without a key and without a network
    Replay(replay::Arguments),
    /// Make fixtures of what is recorded, and keep them in order
    Fixtures {
        #[command(subcommand)]
        command: fixtures::Command,
    },
    /// Look at all that a server needs, and say what to do
    Doctor(doctor::Arguments),
    /// Show the settings, and where each came from
    Config(config::Arguments),
    /// Print what makes a shell complete commands
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
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
    if command.is_some() && flags != Flags::default() {
        let message =
            "the settings of the server stand after its command, as in `reprise serve --port 8000`";
        Cli::command().error(ErrorKind::ArgumentConflict, message).exit();
    }
    match command {
        None => serve::run(&flags, &global, env, console),
        Some(Command::Serve { flags }) => serve::run(&flags, &global, env, console),
        Some(Command::Stats(arguments)) => stats::run(&arguments, &global, env, console.out),
        Some(Command::Budgets(arguments)) => budgets::run(&arguments, &global, env, console.out),
        Some(Command::Prices(arguments)) => prices::run(&arguments, &global, env, console.out),
        Some(Command::Prune(arguments)) => prune::run(&arguments, &global, env, console.out),
        Some(Command::Doctor(arguments)) => doctor::run(&arguments, &global, env, console.out),
        Some(Command::Config(arguments)) => config::run(&arguments, &global, env, console.out),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "reprise", &mut script);
            console.out.write_all(&script)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Explain(arguments)) => explain::run(&arguments, &global, env, console.out),
        Some(Command::Cache(command)) => cache::run(command, &global, env, console.out),
        Some(Command::Sessions { command }) => sessions::run(&command, &global, env, console),
        Some(Command::Replay(arguments)) => replay::run(&arguments, &global, env, console),
        Some(Command::Fixtures { command }) => fixtures::run(&command, &global, env, console),
        Some(Command::Ping) => ping::run(&global, env),
    }
}
