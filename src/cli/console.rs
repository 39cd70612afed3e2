//! Output of commands: reports for people, or as JSON with `--json`, and progress of long work.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
};

use anstream::{AutoStream, ColorChoice, stream::RawStream};
use anyhow::Context;
use rustix::termios::tcgetwinsize;
use serde::Serialize;

use super::printable;
use crate::config::Env;

/// Width of a terminal that does not tell it.
const USUAL_WIDTH: usize = 80;

/// Output of a command.
pub struct Console<'a> {
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// True if standard output is a terminal.
    pub interactive: bool,
    /// Width of the terminal; `None`: there is none, and nothing is wrapped or cut.
    pub width: Option<usize>,
}

impl<'a> Console<'a> {
    /// A console over `out`, which prints to `stdout`. `COLUMNS` overrides the width of the terminal.
    pub fn new(out: &'a mut dyn Write, stdout: &(impl IsTerminal + AsFd), env: Env<'_>) -> Self {
        let interactive = stdout.is_terminal();
        let stated = env.get("COLUMNS").and_then(|columns| columns.parse().ok());
        let measured = || {
            let size = tcgetwinsize(stdout).map_or(0, |size| usize::from(size.ws_col));
            interactive.then_some(if size > 0 { size } else { USUAL_WIDTH })
        };
        let width = stated.filter(|&width| width > 0).or_else(measured);
        // A formatter takes no larger one.
        Self { out, interactive, width: width.map(|width| width.min(usize::from(u16::MAX))) }
    }
}

/// Wrong usage that only the command itself finds. The program exits with 2, as for what the parser finds.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misuse(pub String);

/// Tells whether a stream gets colours. `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE` and `TERM=dumb` count as for the help,
/// which asks the same library.
pub(super) fn is_colored(stream: &impl RawStream) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}

/// Prints a report, as JSON if `as_json`.
///
/// # Errors
///
/// If it cannot be written.
pub(super) fn report(
    report: &(impl Serialize + Display),
    as_json: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    match (as_json, console.width) {
        (true, _) => json(report, console.out),
        (false, Some(width)) => Ok(write!(console.out, "{report:width$}")?),
        (false, None) => Ok(write!(console.out, "{report}")?),
    }
}

/// Prints a report as JSON, and ends the line.
///
/// # Errors
///
/// If it cannot be written.
pub(super) fn json(report: &impl Serialize, out: &mut dyn Write) -> anyhow::Result<()> {
    let json = printable::json(report).context("cannot write the report")?;
    Ok(writeln!(out, "{json}")?)
}

/// A line on a terminal with the progress of long work.
pub(super) struct Progress {
    verb: &'static str,
    noun: &'static str,
    done: usize,
    total: usize,
    visible: bool,
    /// Length of the line that is shown.
    shown: usize,
}

/// Fewer sessions are done before anybody could read how many.
const MANY_SESSIONS: usize = 50;

impl Progress {
    /// Progress over sessions.
    pub(super) fn new(verb: &'static str, total: usize) -> Self {
        Self::of(verb, "sessions", total, MANY_SESSIONS)
    }

    /// Progress over other items, shown if there are at least `least` of them.
    pub(super) fn of(verb: &'static str, noun: &'static str, total: usize, least: usize) -> Self {
        let visible = total >= least && io::stderr().is_terminal();
        Self { verb, noun, done: 0, total, visible, shown: 0 }
    }

    /// Counts an item.
    pub(super) fn step(&mut self) {
        self.at(self.done + 1);
    }

    /// Sets the number of items that are done.
    pub(super) fn at(&mut self, done: usize) {
        self.done = done;
        if self.visible {
            let Self { verb, noun, done, total, .. } = self;
            let line = format!("{verb} {done} of {total} {noun}");
            self.shown = line.len();
            let _ = write!(io::stderr(), "\r{line}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.visible {
            // Spaces: a dumb terminal has no command to erase a line.
            let _ = write!(io::stderr(), "\r{:1$}\r", "", self.shown);
        }
    }
}
