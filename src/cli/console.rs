//! Output of commands: reports for people, or as JSON with `--json`, and progress of long work.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
};

use anyhow::Context;
use serde::Serialize;

use super::printable;

/// Output of a command.
pub struct Console<'a> {
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// True if standard output is a terminal.
    pub interactive: bool,
}

/// Prints a report, as JSON if `as_json`.
///
/// # Errors
///
/// If it cannot be written.
pub(super) fn report(
    report: &(impl Serialize + Display),
    as_json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if as_json { json(report, out) } else { Ok(write!(out, "{report}")?) }
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
        Self { verb, noun, done: 0, total, visible }
    }

    /// Counts an item.
    pub(super) fn step(&mut self) {
        self.done += 1;
        if self.visible {
            let Self { verb, noun, done, total, .. } = self;
            let _ = write!(io::stderr(), "\r{verb} {done} of {total} {noun}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.visible {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
