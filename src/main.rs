//! The program: parses arguments, runs the command, prints. Exits with 0 for success, 1 for failure, 2 for wrong usage.

use std::{
    io::{self, ErrorKind, Write},
    process::ExitCode,
};

use clap::Parser;
use reprise::{cli, config};

/// Most of what a call allocates is small and short-lived, and some of it is freed by another thread: glibc's allocator
/// takes twice the time for it, and keeps more of it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code of wrong usage, which is that of the parser, too.
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let mut out = cli::Printable::new(io::stdout().lock());
    let mut console = cli::Console::new(&mut out, &io::stdout(), &config::ProcessEnv);
    let ran = cli::run(cli::Cli::parse(), &config::ProcessEnv, &mut console);
    match ran.and_then(|code| Ok(out.flush().map(|()| code)?)) {
        Ok(code) => code,
        // The reader has read enough, as in `reprise stats | head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(cli::Printable::new(io::stderr()), "error: {error:#}");
            if error.is::<cli::Misuse>() { ExitCode::from(WRONG_USAGE) } else { ExitCode::FAILURE }
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    })
}
