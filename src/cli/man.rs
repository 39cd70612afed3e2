//! `reprise man`: manual pages.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, Command};
use clap_mangen::Man;

use super::{Console, Misuse};

/// The arguments of `reprise man`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Command whose page is printed, as `sessions list`; by default that of reprise itself
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// Write the pages of all commands into this folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    into: Option<PathBuf>,
}

/// The command without subcommands that only print help, which need no pages.
fn without_help(command: Command) -> Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}

/// Prints or writes pages of `program`.
pub(super) fn run(
    arguments: &Arguments,
    mut program: Command,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    program = without_help(program);
    program.build();
    if let Some(folder) = &arguments.into {
        let named = || format!("cannot write manual pages into {}", folder.display());
        fs::create_dir_all(folder).with_context(named)?;
        clap_mangen::generate_to(program, folder).with_context(named)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut command = &program;
    for name in &arguments.command {
        command = command.find_subcommand(name).ok_or_else(|| {
            Misuse(format!("there is no command {:?}", arguments.command.join(" ")))
        })?;
    }
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut page = Vec::new();
    Man::new(command.clone()).title(name).render(&mut page)?;
    console.out.write_all(&page)?;
    Ok(ExitCode::SUCCESS)
}
