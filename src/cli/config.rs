//! `reprise config`: the settings in force and their sources.

use std::{fmt, process::ExitCode};

use clap::Args;
use serde::Serialize;

use super::{Console, console};
use crate::{
    config::{Config, Env, FlagArgs, Flags, Serving, Setting},
    report::table::{Column, Table},
};

/// The arguments of `reprise config`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    serving: FlagArgs<Serving>,
}

pub(super) fn run(
    arguments: Arguments,
    flags: &Flags,
    env: Env<'_>,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let settings =
        Settings { settings: Config::settings(&arguments.serving.flags.and(flags.clone()), env)? };
    console::report(&settings, arguments.json, console)?;
    Ok(ExitCode::SUCCESS)
}

/// The report of the command.
#[derive(Serialize)]
struct Settings {
    settings: Vec<Setting>,
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = [Column::name(""), Column::prose(""), Column::name("").expendable(1)];
        let mut table = Table::new(columns);
        for Setting { name, value, secret, set, source, .. } in &self.settings {
            let value = match (secret, set) {
                (true, true) => "(given, never shown)".to_owned(),
                _ => value.clone().unwrap_or_else(|| "–".to_owned()),
            };
            table.row([
                name.clone(),
                value,
                source.clone().unwrap_or_else(|| "default".to_owned()),
            ]);
        }
        table.fmt(f)
    }
}
