//! The index of sessions as the page needs it: brought up to date beside requests, which wait for it a short time only.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::store::{self, Indexed, Reader, WordIndex};

/// Time that a request waits for the index. Only the first view of a large ledger takes longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The index, and the task that brings it up to date.
#[derive(Debug)]
pub(in crate::server) struct SessionIndex {
    ledger_url: String,
    texts: WordIndex,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Locked while a task writes the index.
    running: Arc<Mutex<()>>,
}

impl SessionIndex {
    /// `texts`: whether there is an index of words. `stop` ends the task, which rolls back the transaction that is open.
    pub(in crate::server) fn new(
        ledger_url: String,
        texts: WordIndex,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self { ledger_url, texts, tasks, stop, running: Arc::default() }
    }

    /// Brings the index up to date. `None`: it takes longer, and goes on in a task, or it cannot be written.
    pub(super) async fn catch_up(&self, reader: &Reader) -> Option<Indexed> {
        let running = timeout(PATIENCE, Arc::clone(&self.running).lock_owned()).await.ok()?;
        let (url, reader, texts) = (self.ledger_url.clone(), reader.clone(), self.texts);
        let indexing = async move {
            let _running = running;
            let indexed = store::index_sessions(&url, &reader, texts, &mut |_, _| {}).await;
            // Without an index, lists are right, only slower.
            indexed.inspect_err(|error| tracing::debug!(%error, "cannot index the sessions")).ok()
        };
        let stop = self.stop.clone();
        let task = self.tasks.spawn(stop.run_until_cancelled_owned(indexing));
        timeout(PATIENCE, task).await.ok()?.ok()??
    }
}
