//! `reprise calls`: the calls in the ledger, one by one.

mod export;
mod show;

use std::process::ExitCode;

use clap::Subcommand;

use super::Console;
use crate::config::{Env, Flags};

/// The commands of `reprise calls`.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Export calls as JSON or CSV, one a line, without the content of messages
    Export(Box<export::Arguments>),
    /// Show all about a call: how and why it was answered, at which cost, what is kept
    Show(show::Arguments),
}

pub(super) fn run(
    command: &Command,
    flags: &Flags,
    env: Env<'_>,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    match command {
        Command::Export(arguments) => export::run(arguments, flags, env, console.out),
        Command::Show(arguments) => show::run(arguments, flags, env, console),
    }
}
