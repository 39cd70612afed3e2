//! Report of `reprise prune`.

use std::fmt;

use bytesize::ByteSize;
use serde::Serialize;

use super::counted;
use crate::store::prune::{Kept, Pruned};

/// Report of a prune, or of what one would delete.
#[derive(Debug, Serialize)]
pub struct PruneReport {
    /// True if nothing was deleted.
    pub dry_run: bool,
    /// Limit on the size of the ledger.
    #[serde(skip)]
    pub max_bytes: Option<u64>,
    /// Counts of deleted rows, and sizes.
    #[serde(flatten)]
    pub pruned: Pruned,
}

impl fmt::Display for PruneReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pruned {
            bodies,
            requests,
            exchanges,
            calls,
            messages,
            frames,
            blobs,
            bytes_before,
            bytes_after,
            kept,
        } = self.pruned;
        if bodies + requests + exchanges + calls + messages + frames + blobs == 0
            && bytes_before == bytes_after
        {
            writeln!(f, "Nothing to delete.")?;
            return kept.map_or(Ok(()), |kept| stays(f, kept));
        }
        writeln!(f, "{}", if self.dry_run { "Would delete" } else { "Deleted" })?;
        let lines = [
            (
                calls + exchanges,
                "totals",
                format!("{}, {}", counted(calls, "call"), counted(exchanges, "exchange")),
            ),
            (
                bodies + requests,
                "bodies",
                format!(
                    "{}, {} as the client sent it",
                    counted(bodies, "exchange"),
                    counted(requests, "call"),
                ),
            ),
            (
                messages + frames + blobs,
                "unused",
                format!(
                    "{}, {}, {}",
                    counted(messages, "message"),
                    counted(frames, "frame"),
                    counted(blobs, "long text"),
                ),
            ),
        ];
        for (count, name, line) in lines {
            if count > 0 {
                writeln!(f, "  {name:<8}{line}")?;
            }
        }
        let (before, after) = (mebibytes(bytes_before), mebibytes(bytes_after));
        let about = if self.dry_run { "about " } else { "" };
        writeln!(f, "  {:<8}{before} before, {about}{after} after", "size")?;
        if let Some(most) = self.max_bytes.filter(|&most| bytes_after > most) {
            let most = mebibytes(most);
            writeln!(f, "No bodies are left; totals alone exceed {most} (--keep-totals).")?;
        }
        kept.map_or(Ok(()), |kept| stays(f, kept))
    }
}

/// What is left of a user or a chat.
fn stays(f: &mut fmt::Formatter<'_>, Kept { calls, answers }: Kept) -> fmt::Result {
    if calls == 0 {
        return writeln!(f, "Nothing of them stays in the ledger.");
    }
    writeln!(f, "Stays")?;
    writeln!(
        f,
        "  {:<8}{}: times, models, tokens, costs, tags, and the ids of user, chat and message; --keep-totals deletes \
         them, too",
        "totals",
        counted(calls, "call"),
    )?;
    if answers > 0 {
        let answers = counted(answers, "answer");
        writeln!(f, "  {:<8}{answers}: newer, or asked for by another caller first", "bodies")?;
    }
    writeln!(f, "Backups, exports, fixtures and the client's own history have what they had.")
}

pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", ByteSize(bytes).as_mib())
}
