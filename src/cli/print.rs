//! How commands print a report: to people, or as JSON with `--json`.

use std::{fmt::Display, io::Write};

use anyhow::Context;
use serde::Serialize;

/// Prints `report`, as JSON where that is asked for.
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

/// Prints `report` as JSON, and ends the line.
///
/// # Errors
///
/// If it cannot be written.
pub(super) fn json(report: &impl Serialize, out: &mut dyn Write) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report).context("cannot write the report")?;
    Ok(writeln!(out)?)
}
