//! The queue of the writer: operations, and the state that it shares with those that queue them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use tracing::error;

use super::{
    batch::Op,
    chain::PersistedHashes,
    in_time::Silence,
    metrics::LedgerMetrics,
    refusals::RefusalCounts,
    sqlite::{Fault, OpenFile},
    users::KnownNames,
};

/// State that the writer shares with those that queue for it.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) persisted: Mutex<PersistedHashes>,
    /// Tracks the tasks that pack rows by the persisted hashes, until the rows are queued. Replaced by each pruning.
    pub(super) packing: Mutex<TaskTracker>,
    pub(super) queued: AtomicUsize,
    pub(super) queued_bytes: AtomicUsize,
    pub(super) bodies_dropped: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) metrics: LedgerMetrics,
    /// Of a database server that does not answer look-ups.
    pub(super) silence: Silence,
    /// Refused requests that are not written yet.
    pub(super) refusals: Arc<RefusalCounts>,
    /// Names of users in the file.
    pub(super) names: KnownNames,
    /// Set by the first answer that could not wait, until the queue is empty again.
    pub(super) behind: AtomicBool,
    /// The error while the database cannot be written.
    pub(super) error: Mutex<Option<String>>,
    /// The file that is written; `None`: the ledger is in memory.
    pub(super) open: Mutex<Option<OpenFile>>,
    /// Cancelled when no more operations are accepted.
    pub(super) closing: CancellationToken,
    /// Cancelled when the writer must stop retrying.
    pub(super) give_up: CancellationToken,
    /// Cancelled when the writer has ended.
    pub(super) done: CancellationToken,
}

impl Shared {
    /// A token to hold from before rows are packed until they are queued.
    pub(super) fn packing_token(&self) -> TaskTrackerToken {
        self.packing.lock().token()
    }

    /// Hands an operation to the writer.
    pub(super) fn send(
        &self,
        queue: &mpsc::UnboundedSender<Queued>,
        op: Op,
        done: Option<oneshot::Sender<()>>,
    ) {
        let bytes = op.bytes();
        self.queued.fetch_add(1, Relaxed);
        self.queued_bytes.fetch_add(bytes, Relaxed);
        if let Err(mpsc::error::SendError(queued)) = queue.send(Queued { op, bytes, done }) {
            self.queued.fetch_sub(1, Relaxed);
            self.queued_bytes.fetch_sub(bytes, Relaxed);
            self.lost.fetch_add(1, Relaxed);
            let (kind, id) = queued.op.name();
            error!(kind, id, "the ledger is closed; a row is lost");
        }
    }

    /// Waits until all is committed that was handed over before. `false`: the ledger cannot be written.
    pub(super) async fn flush(&self, queue: &mpsc::UnboundedSender<Queued>) -> bool {
        let packing = std::mem::take(&mut *self.packing.lock());
        packing.close();
        packing.wait().await;
        let (done, committed) = oneshot::channel();
        self.send(queue, Op::Mark, Some(done));
        committed.await.is_ok()
    }

    /// The fault of the file that is written, if there is one.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.open.lock().as_ref().and_then(OpenFile::fault)
    }

    /// Tells whether the write-ahead log was removed or replaced.
    pub(super) fn log_is_gone(&self) -> bool {
        self.open.lock().as_ref().is_some_and(OpenFile::log_is_gone)
    }

    pub(super) fn set_error(&self, error: Option<String>) -> Option<String> {
        let mut held = self.error.lock();
        std::mem::replace(&mut *held, error)
    }
}

/// An operation in the queue.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) op: Op,
    /// Its size when it was counted.
    pub(super) bytes: usize,
    /// Signals the commit; dropped when there never will be one.
    pub(super) done: Option<oneshot::Sender<()>>,
}
