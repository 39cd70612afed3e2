//! The program: parses arguments, runs the command, prints. Exits with 0 for success, 1 for failure, 2 for wrong usage.

use std::{
    io::{self, ErrorKind, IsTerminal, Write},
    process::ExitCode,
};

use clap::Parser;
use reprise::{cli, config};

fn main() -> ExitCode {
    let stdout = io::stdout().lock();
    let interactive = stdout.is_terminal();
    let mut out = cli::Printable::new(stdout);
    let ran = cli::run(
        cli::Cli::parse(),
        &config::process_env,
        &mut cli::Console { out: &mut out, interactive },
    );
    match ran.and_then(|code| Ok(out.flush().map(|()| code)?)) {
        Ok(code) => code,
        // The reader has read enough, as in `reprise stats | head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(cli::Printable::new(io::stderr()), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    })
}
