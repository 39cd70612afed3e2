//! Retention: a server deletes what its settings do not keep.
//!
//! A mistake in the settings must not delete at once what was kept for months. Limits that are stricter than those that
//! were applied last wait for an hour, and the log says before what they will delete.

use std::time::Duration;

use crate::{
    answer,
    config::RetentionSettings,
    report,
    store::{
        self, Announced, Ledger, RetentionNote,
        prune::{Limits, Whose},
    },
};

/// Pause between retention runs.
const INTERVAL: Duration = Duration::from_hours(1);
/// Time between the announcement of stricter limits and their first run.
const GRACE: Duration = Duration::from_hours(1);

/// The limits that the settings put on the ledger; `None`: they keep everything.
pub fn limits(keep: RetentionSettings) -> Option<Limits> {
    let RetentionSettings { bodies, totals, bytes } = keep;
    (keep != RetentionSettings::default()).then_some(Limits {
        whose: Whose::Everyone,
        keep_bodies: bodies,
        keep_totals: totals,
        max_bytes: bytes,
    })
}

/// Prunes the ledger to `limits`, now and then at intervals; stricter limits than before after a time of grace.
pub(super) async fn run(ledger: Ledger, limits: Option<Limits>) {
    let Some(limits) = limits else {
        let note = RetentionNote::default();
        if ledger.retention_note() != note {
            ledger.note_retention(&note);
        }
        return;
    };
    announce(&ledger, &limits).await;
    ledger.note_retention(&RetentionNote { applied: limits.clone(), announced: None });
    loop {
        match ledger.prune(&limits, answer::now()).await {
            Ok(Some(pruned)) => tracing::info!(?pruned, "the ledger is pruned"),
            Ok(None) => tracing::warn!("the ledger cannot be written, and was not pruned"),
            Err(store::Error::PruneRunning) => tracing::info!("another prune is running"),
            // A ledger that cannot be pruned can still be served.
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(
                    error,
                    "the ledger cannot be pruned; the next retention run retries"
                );
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Says what limits will delete that are stricter than those before, and waits for the rest of their time of grace.
async fn announce(ledger: &Ledger, limits: &Limits) {
    let RetentionNote { applied, announced } = ledger.retention_note();
    if !limits.is_stricter_than(&applied) {
        return;
    }
    let now = answer::now();
    let deletes = match ledger.reader().would_prune(limits, now).await {
        Ok(preview) if !preview.pruned.has_deleted() => return,
        Ok(preview) => report::would_delete(&preview),
        Err(error) => format!("an unknown part of the ledger ({error})"),
    };
    // A restart neither begins the time anew nor cuts it short for limits that are stricter still.
    let announced = announced
        .filter(|it| !limits.is_stricter_than(&it.limits) && it.at <= now)
        .unwrap_or_else(|| Announced { limits: limits.clone(), at: now });
    let wait = GRACE.saturating_sub(now.since(announced.at));
    ledger.note_retention(&RetentionNote { applied, announced: Some(announced) });
    let minutes = wait.as_secs().div_ceil(60);
    tracing::warn!(
        deletes,
        minutes,
        "the retention is stricter than before and will delete data after these minutes; to keep it, stop the server \
         and correct keep_bodies, keep_totals or max_size"
    );
    tokio::time::sleep(wait).await;
}
