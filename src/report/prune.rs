//! Report of `reprise prune`.

use std::fmt;

use bytesize::ByteSize;
use serde::Serialize;

use super::{counted, moment};
use crate::{
    domain::exchange::UnixMillis,
    store::prune::{Kept, Preview, Pruned},
};

/// Numbers of the chats of Open WebUI in a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ChatCounts {
    /// Those that are deleted in Open WebUI.
    pub deleted: u64,
    /// All.
    pub all: u64,
}

/// Report of a prune, or of what one would delete.
#[derive(Debug, Serialize)]
pub struct PruneReport {
    /// True if nothing was deleted.
    pub dry_run: bool,
    /// Limit on the size of the ledger.
    #[serde(skip)]
    pub max_bytes: Option<u64>,
    /// The chats of Open WebUI; `None`: they were not compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chats: Option<ChatCounts>,
    /// Counts of deleted rows, and sizes.
    #[serde(flatten)]
    pub pruned: Pruned,
    /// The moment before which bodies would be deleted, if all are older.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "moment::serialize_some")]
    pub bodies_before: Option<UnixMillis>,
    /// The moment before which totals would be deleted.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "moment::serialize_some")]
    pub totals_before: Option<UnixMillis>,
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
            user_names,
            bytes_before,
            bytes_after,
            kept,
        } = self.pruned;
        if let Some(ChatCounts { deleted, all }) = self.chats {
            let all = counted(all, "chat");
            writeln!(f, "Deleted in Open WebUI: {deleted} of {all}")?;
        }
        let kept = kept.filter(|_| self.chats.is_none_or(|chats| chats.deleted > 0));
        if !self.pruned.has_deleted() && bytes_before == bytes_after {
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
            (user_names, "names", counted(user_names, "user")),
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
        let before = [self.totals_before, None, self.bodies_before, None];
        for ((count, name, line), before) in lines.into_iter().zip(before) {
            if count > 0 {
                let before = before.map(|at| format!(", before {}", moment::to_the_minute(at)));
                writeln!(f, "  {name:<8}{line}{}", before.unwrap_or_default())?;
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

/// The text of what a prune would delete, in one line.
pub fn would_delete(preview: &Preview) -> String {
    let Preview { pruned, bodies_before, totals_before } = preview;
    let before = |at: &Option<UnixMillis>| {
        at.map(|at| format!(" before {}", moment::to_the_minute(at))).unwrap_or_default()
    };
    let mut parts = Vec::new();
    if pruned.calls + pruned.exchanges > 0 {
        parts.push(format!(
            "{} with costs{}",
            counted(pruned.calls, "call"),
            before(totals_before)
        ));
    }
    if pruned.bodies + pruned.requests > 0 {
        let exchanges = counted(pruned.bodies, "exchange");
        let requests = counted(pruned.requests, "client request");
        parts.push(format!("the bodies of {exchanges} and {requests}{}", before(bodies_before)));
    }
    if pruned.user_names > 0 {
        parts.push(counted(pruned.user_names, "user name"));
    }
    let freed = pruned.bytes_before.saturating_sub(pruned.bytes_after);
    format!("{}, about {}", parts.join(", "), mebibytes(freed))
}

/// The rest of a user or of chats, in words.
fn stays(f: &mut fmt::Formatter<'_>, Kept { calls, answers }: Kept) -> fmt::Result {
    if calls == 0 {
        return writeln!(f, "Nothing of them stays in the ledger.");
    }
    writeln!(f, "Stays")?;
    writeln!(
        f,
        "  {:<8}{}: times, models, tokens, costs, tags, the ids of user, chat and message, and the user's name; \
         --keep-totals deletes them, too",
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
