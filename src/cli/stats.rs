//! `reprise stats`: what was asked and what it cost.

use std::{io::Write, process::ExitCode};

use anyhow::Context;

use crate::{
    config::{Config, Env, GlobalFlags},
    report::Stats,
    store::Reader,
};

pub(super) fn run(
    global: &GlobalFlags,
    env: Env<'_>,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let url = Config::ledger(global, env)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stats = runtime.block_on(async {
        let ledger = Reader::open(&url).await?;
        Stats::of(&ledger).await
    })?;
    if json {
        serde_json::to_writer_pretty(&mut *out, &stats).context("cannot write the report")?;
        writeln!(out)?;
    } else {
        write!(out, "{stats}")?;
    }
    Ok(ExitCode::SUCCESS)
}
