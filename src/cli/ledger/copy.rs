//! `reprise ledger copy`: copies a ledger into another database.

use uuid::Uuid;

use super::flush;
use crate::{
    answer,
    cli::console::{Misuse, Progress},
    config::{Config, Env, with_journal},
    domain::exchange::OwnerId,
    report::ledger::CopyReport,
    store::{
        Reader,
        copy::{self, Phase},
    },
};

/// Number of rows from which on progress is shown.
const MANY: usize = 20_000;

/// Copies the ledger at a URL to another.
pub(super) async fn run(
    from: &str,
    to: &str,
    config: &Config,
    env: Env<'_>,
) -> anyhow::Result<CopyReport> {
    if from == to {
        return Err(Misuse("a ledger cannot be copied into itself".to_owned()).into());
    }
    let [from, to] = &[from, to].map(|url| with_journal(url, env));
    let owner = OwnerId::new(Uuid::now_v7());
    // If it cannot be opened, the copy says why.
    let unflushed =
        if Reader::open(from).await.is_ok() { flush(from, owner, config).await } else { None };
    let mut progress: Option<(Phase, Progress)> = None;
    let mut watch = |phase: Phase, done: u64, total: u64| {
        let rows = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
        if progress.as_ref().is_none_or(|(shown, _)| *shown != phase) {
            let verb = match phase {
                Phase::Copying => "copied",
                Phase::Comparing => "compared",
            };
            // The line before is erased first.
            progress = None;
            progress = Some((phase, Progress::of(verb, "rows", rows(total), MANY)));
        }
        if let Some((_, progress)) = &mut progress {
            progress.at(rows(done));
        }
    };
    let copied = copy::run(from, to, owner, answer::now(), &mut watch).await?;
    drop(progress);
    Ok(CopyReport { copied, unflushed })
}
