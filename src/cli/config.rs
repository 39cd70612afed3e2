//! `reprise config`: the settings in force and their sources.

use std::{fmt, path::PathBuf, process::ExitCode};

use clap::Args;
use serde::Serialize;

use super::{Console, console};
use crate::{
    config::{
        Config, Env, FlagArgs, Flags, Serving, Setting, UnknownVariable, default_files,
        unknown_variables,
    },
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
    let settings = Settings {
        settings: Config::settings(&arguments.serving.flags.and(flags.clone()), env)?,
        unknown: unknown_variables(env),
        default_files: default_files(env),
    };
    console::report(&settings, arguments.json, console)?;
    Ok(ExitCode::SUCCESS)
}

/// The report of the command.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the JSON has this name")]
struct Settings {
    settings: Vec<Setting>,
    /// Variables that look like settings.
    unknown: Vec<UnknownVariable>,
    /// Places of a settings file.
    #[serde(skip)]
    default_files: Vec<PathBuf>,
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
        table.fmt(f)?;
        if !self.settings.iter().any(|setting| setting.name == "config" && setting.set) {
            let places = self.default_files.iter().map(|path| path.display().to_string());
            let places = places.collect::<Vec<_>>().join(" or ");
            writeln!(f, "\nThere is no settings file: none is named, and none at {places}.")?;
        }
        for unknown in &self.unknown {
            writeln!(f, "\n{unknown}")?;
        }
        Ok(())
    }
}
