//! The state of a ledger, as `/ready` tells it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::registry::Registry;
use serde::Serialize;

use super::{Ledger, batch::Op};

/// State of a ledger, for `/ready` and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct State {
    /// False if the last try to write failed, or the ledger is closed.
    pub writable: bool,
    /// The error, while it cannot be written.
    pub error: Option<String>,
    /// True from the first answer that did not wait for its commit any longer until the queue is empty.
    pub behind: bool,
    /// Operations that are not committed yet.
    pub queued: usize,
    /// Their size in memory.
    pub queued_bytes: usize,
    /// Size of the write-ahead log in bytes.
    pub wal_bytes: u64,
    /// Operations whose bodies were dropped because the queue was full, since the start.
    pub bodies_dropped: u64,
    /// Answers that did not wait for their commit any longer, since the start.
    pub late: u64,
    /// Operations that will never be written, since the start.
    pub lost: u64,
    /// Commits, since the start.
    pub commits: u64,
}

impl Ledger {
    /// Adds the metrics that the state does not have to a registry.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.shared.metrics.register(registry);
    }

    /// The state of the ledger. Has the writer look at its file if that was removed or replaced.
    pub fn state(&self) -> State {
        let fault = self.shared.fault();
        let log_is_gone = self.shared.log_is_gone();
        if (fault.is_some() || log_is_gone) && self.shared.queued.load(Relaxed) == 0 {
            self.enqueue(Op::Mark, None);
        }
        let error = self.shared.error.lock().clone();
        let fault = fault.map(|fault| format!("the ledger {fault}"));
        let error = error.or(fault);
        let error =
            error.or(log_is_gone.then(|| "the ledger's write-ahead log was removed".to_owned()));
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        State {
            writable: error.is_none()
                && !self.shared.closing.is_cancelled()
                && !self.shared.done.is_cancelled(),
            error,
            behind: self.shared.behind.load(Relaxed),
            queued: self.shared.queued.load(Relaxed),
            queued_bytes: self.shared.queued_bytes.load(Relaxed),
            wal_bytes: self.wal.bytes(),
            bodies_dropped: count(&self.shared.bodies_dropped),
            late: count(&self.shared.late),
            lost: count(&self.shared.lost),
            commits: count(&self.shared.commits),
        }
    }
}
