//! The commands, one file each: arguments in, report out. `main` gives them the environment and the output.

mod budgets;
mod cache;
mod calls;
mod config;
mod console;
mod count;
mod doctor;
mod explain;
mod fixtures;
mod ledger;
mod listening;
mod log;
mod man;
mod operator;
mod ping;
mod prices;
mod printable;
mod prune;
mod reader;
mod reload;
mod replay;
mod run;
mod serve;
mod sessions;
mod stats;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};

pub use self::{
    console::{Console, Misuse},
    printable::Printable,
};
use crate::{
    config::{Config, Env, FlagArgs, Flags, Global, Serving},
    server::StartError,
    store,
};

/// The version; in an optimized build with the commit and its date (`build.rs`).
const VERSION: &str = env!("BUILD_VERSION");

const AFTER_HELP: &str = "\
Without a command, `reprise` serves. A flag overrides the environment (names in brackets), which overrides the \
settings file, which overrides the default. The key for Claude comes from ANTHROPIC_API_KEY; without it each \
client sends its own as its API key. Other users of the machine can see flags: prefer the environment for keys.

A TIME is a duration such as 90s, 2h or 30d, with days of 24 hours. A WHEN is a moment such as 2026-10-01T12:30 or 12h, \
or a whole day or month such as 7d, yesterday or 2026-10, which begins at midnight.";

/// Lets Open WebUI and any OpenAI client use Claude, and keeps a ledger of every exchange.
#[derive(Debug, Parser)]
#[command(name = "reprise", version = VERSION, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serving: FlagArgs<Serving>,
    #[command(flatten)]
    global: FlagArgs<Global>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server: an OpenAI API in front of Claude, with a ledger
    Serve {
        #[command(flatten)]
        serving: FlagArgs<Serving>,
    },
    /// Show usage, costs and savings
    Stats(stats::Arguments),
    /// Export calls, and show all about one
    Calls {
        #[command(subcommand)]
        command: calls::Command,
    },
    /// Show the budgets and what is spent of them
    Budgets(budgets::Arguments),
    /// Show the prices of models, and import others
    Prices(prices::Arguments),
    /// Delete old entries of the ledger, or shrink it
    Prune(prune::Arguments),
    /// Check, back up, copy or vacuum the ledger, also while a server uses it
    Ledger {
        #[command(subcommand)]
        command: ledger::Command,
    },
    /// Have the running server read budgets, keys, aliases and prices again
    Reload(reload::Arguments),
    /// Show how a request would be translated, without sending it, or why the ledger did not answer one
    Explain(explain::Arguments),
    /// Invalidate answers in the ledger
    #[command(subcommand)]
    Cache(cache::Command),
    /// List, show, search and export the chats in the ledger
    Sessions {
        #[command(subcommand)]
        command: sessions::Command,
    },
    /// Answer from fixtures, without a key and without a network
    Replay(replay::Arguments),
    /// Export, import and check fixtures
    Fixtures {
        #[command(subcommand)]
        command: fixtures::Command,
    },
    /// Check the installation
    Doctor(doctor::Arguments),
    /// Show the settings and where each comes from
    Config(config::Arguments),
    /// Generate shell completions
    Completions {
        /// Shell to generate them for
        shell: clap_complete::Shell,
    },
    /// Print or write manual pages
    Man(man::Arguments),
    /// Check that a server answers on this machine, for health checks
    #[command(hide = true)]
    Ping,
}

/// Runs the command.
pub fn run(cli: Cli, env: Env<'_>, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    let global = cli.global.flags.clone();
    dispatch(cli, env, console).map_err(|error| with_file(error, &global, env))
}

/// Adds the file of the ledger to an error of it that does not name the file.
fn with_file(error: anyhow::Error, flags: &Flags, env: Env<'_>) -> anyhow::Error {
    let lacks_file = error.chain().any(|cause| {
        let error = match cause.downcast_ref::<StartError>() {
            Some(StartError::Ledger(error)) => Some(error),
            _ => cause.downcast_ref::<store::Error>(),
        };
        error.is_some_and(store::Error::lacks_file)
    });
    let file = || Config::load(flags, env).ok()?.ledger().ok().and_then(store::file);
    match lacks_file.then(file).flatten() {
        Some(file) => error.context(file.display().to_string()),
        None => error,
    }
}

fn dispatch(cli: Cli, env: Env<'_>, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    let Cli { command, serving: FlagArgs { flags: serving, .. }, global } = cli;
    let flags = &global.flags;
    if command.is_some() && !serving.is_empty() {
        let message = "server settings belong after the command, as in `reprise serve --port 8000`";
        Cli::command().error(ErrorKind::ArgumentConflict, message).exit();
    }
    match command {
        None => serve::run(&serving.and(global.flags), env, console),
        Some(Command::Serve { serving }) => {
            serve::run(&serving.flags.and(global.flags), env, console)
        }
        Some(Command::Stats(arguments)) => stats::run(&arguments, flags, env, console),
        Some(Command::Calls { command }) => calls::run(&command, flags, env, console),
        Some(Command::Budgets(arguments)) => budgets::run(&arguments, flags, env, console),
        Some(Command::Prices(arguments)) => prices::run(&arguments, flags, env, console),
        Some(Command::Prune(arguments)) => prune::run(&arguments, flags, env, console),
        Some(Command::Ledger { command }) => ledger::run(&command, flags, env, console),
        Some(Command::Reload(arguments)) => reload::run(&arguments, flags, env, console),
        Some(Command::Doctor(arguments)) => doctor::run(&arguments, flags, env, console),
        Some(Command::Config(arguments)) => config::run(arguments, flags, env, console),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "reprise", &mut script);
            console.out.write_all(&script)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Man(arguments)) => man::run(&arguments, Cli::command(), console),
        Some(Command::Explain(arguments)) => explain::run(&arguments, flags, env, console),
        Some(Command::Cache(command)) => cache::run(command, flags, env, console.out),
        Some(Command::Sessions { command }) => sessions::run(&command, flags, env, console),
        Some(Command::Replay(arguments)) => replay::run(arguments, flags, env, console),
        Some(Command::Fixtures { command }) => fixtures::run(&command, flags, env, console),
        Some(Command::Ping) => ping::run(flags, env),
    }
}
