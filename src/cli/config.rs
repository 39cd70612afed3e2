//! `reprise config`: the settings in force, and where each came from.

use std::{fmt, io::Write, process::ExitCode};

use clap::Args;
use serde::Serialize;

use super::print;
use crate::{
    config::{Config, Effective, Env, Flags, GlobalFlags},
    report::columns,
};

/// The arguments of `reprise config`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

pub(super) fn run(
    arguments: &Arguments,
    global: &GlobalFlags,
    env: Env<'_>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let settings = Settings { settings: Config::effective(&arguments.flags, global, env)? };
    print::report(&settings, arguments.json, out)?;
    Ok(ExitCode::SUCCESS)
}

/// What the command says.
#[derive(Serialize)]
struct Settings {
    settings: Vec<Effective>,
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.settings.iter().map(|setting| {
            let Effective { name, value, secret, set, source, .. } = setting;
            let value = match (secret, set) {
                (true, true) => "(given, never shown)".to_owned(),
                _ => value.clone().unwrap_or_else(|| "–".to_owned()),
            };
            [(*name).to_owned(), value, source.clone().unwrap_or_else(|| "default".to_owned())]
        });
        columns(f, &lines.collect::<Vec<_>>())
    }
}
