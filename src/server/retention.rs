//! Retention: a server deletes what its settings do not keep.

use std::time::Duration;

use crate::{
    answer,
    config::RetentionSettings,
    store::{
        self, Ledger,
        prune::{Limits, Whose},
    },
};

/// Pause between retention runs.
const INTERVAL: Duration = Duration::from_hours(1);

/// The limits that the settings put on the ledger; `None`: they keep everything.
pub(super) fn limits(keep: RetentionSettings) -> Option<Limits> {
    let RetentionSettings { bodies, totals, bytes } = keep;
    (keep != RetentionSettings::default()).then_some(Limits {
        whose: Whose::Everyone,
        keep_bodies: bodies,
        keep_totals: totals,
        max_bytes: bytes,
    })
}

/// Prunes the ledger to `limits`, now and then at intervals.
pub(super) async fn run(ledger: Ledger, limits: Limits) {
    loop {
        match ledger.prune(&limits, answer::now()).await {
            Ok(Some(pruned)) => tracing::info!(?pruned, "the ledger is pruned"),
            Ok(None) => tracing::warn!("the ledger cannot be written, and was not pruned"),
            Err(store::Error::PruneRunning) => tracing::info!("an operator's prune is running"),
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
