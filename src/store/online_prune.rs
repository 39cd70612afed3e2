//! Pruning a ledger that is being written, through a connection beside the writer's.
//!
//! The steps of [`prune`] spare the rows that are written meanwhile. They cannot see the memory of this process, so
//! before they begin
//!
//! 1. no hash counts as persisted any more: each request brings all rows that it refers to;
//! 2. the tasks that packed rows before, by the hashes that were persisted, have queued them;
//! 3. everything that was queued is committed.
//!
//! The other processes that share the ledger do the same (`replicas::room`).
//!
//! Hot answers are forgotten after each step that takes bodies.

use std::{mem, ops::ControlFlow, time::Duration};

use super::{
    Error, Ledger, RetentionNote,
    connection::Connection,
    database,
    prune::{self, Limits, Pruned, Step},
    replicas::room,
};
use crate::domain::exchange::UnixMillis;

/// Time that a step waits for the writer, and the emptying of the write-ahead log for readers.
const PATIENCE: Duration = Duration::from_secs(5);

/// No hash counts as persisted until this is dropped.
struct SuspendGuard<'a>(&'a Ledger);

impl<'a> SuspendGuard<'a> {
    fn begin(ledger: &'a Ledger) -> Self {
        ledger.shared.persisted.lock().suspend();
        Self(ledger)
    }
}

impl Drop for SuspendGuard<'_> {
    fn drop(&mut self) {
        self.0.shared.persisted.lock().resume();
    }
}

impl Ledger {
    /// Empties the write-ahead log, which still has what was deleted.
    async fn empty_wal(&self, conn: &mut Connection<'_>) {
        match database::checkpoint(conn).await {
            Ok(true) => {}
            Ok(false) => tracing::warn!(
                "the write-ahead log still has what was deleted, because somebody reads the ledger"
            ),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the write-ahead log cannot be emptied");
            }
        }
    }

    /// The retention that was applied last, as far as is noted.
    pub fn retention_note(&self) -> RetentionNote {
        self.file.note_place().map(|path| RetentionNote::beside(&path)).unwrap_or_default()
    }

    /// Notes the retention.
    pub fn note_retention(&self, note: &RetentionNote) {
        let written = self.file.note_place().map_or(Ok(()), |path| note.write(&path));
        if let Err(error) = written {
            // The next start takes the retention for a stricter one.
            tracing::debug!(%error, "the note of the retention cannot be written");
        }
    }

    /// Waits until all is committed that was handed over before. `false`: the ledger cannot be written.
    pub async fn flush(&self) -> bool {
        self.shared.flush(&self.queue).await
    }

    /// Prunes by `limits` while others write. Ends early when the ledger closes or its write-ahead
    /// log is full; the next pruning does the rest.
    /// `None`: nothing was done, because the ledger cannot be written.
    pub async fn prune(&self, limits: &Limits, now: UnixMillis) -> Result<Option<Pruned>, Error> {
        let Ok(mut is_whole) = self.pruning.try_lock() else { return Err(Error::PruneRunning) };
        let _guard = SuspendGuard::begin(self);
        if !self.flush().await {
            return Ok(None);
        }
        // What is deleted from now on must not come back from the journal.
        self.journal.tidy().await;
        let mut conn = self.file.beside(PATIENCE).await.map_err(Error::Open)?;
        room::take(&mut conn, Some(self.owner)).await?;
        let thorough = !mem::replace(&mut *is_whole, false);
        let mut is_stopped = false;
        let pruned = prune::on(&mut conn, &self.wal, limits, now, thorough, &mut |step| {
            if matches!(step, Step::Bodies | Step::Totals) {
                self.hot().forget();
            }
            if self.shared.closing.is_cancelled() || self.wal.is_full() {
                is_stopped = true;
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .await;
        *is_whole = pruned.is_ok() && !is_stopped;
        // After a failure, too: some steps may have been committed.
        self.hot().forget();
        self.shared.names.forget();
        self.journal.tidy().await;
        self.empty_wal(&mut conn).await;
        room::give_back(&mut conn).await?;
        pruned.map(Some)
    }
}
