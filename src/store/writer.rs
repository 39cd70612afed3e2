//! The one task that writes: it takes everything that is queued, commits it in one transaction, and retries a row as
//! long as the database may yet take it.

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use sqlx::{Connection, SqliteConnection, SqlitePool};
use tokio::sync::{mpsc, oneshot};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use tracing::{debug, error, info, warn};

use super::{
    Durability,
    batch::{self, Op},
    chain::PersistedHashes,
    journal::Journal,
    sqlite::{self, DatabaseFile},
    wal::Wal,
};
use crate::domain::exchange::OwnerId;

/// Limit of operations in one commit.
const BATCH: usize = 256;

/// First and longest pause between two tries to write.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Time that open reads may delay the end.
const LAST_READS: Duration = Duration::from_secs(1);

/// Time of the last try after the grace period: longer than the wait for a lock and for open reads.
pub(super) const LAST_TRY: Duration = Duration::from_secs(2);

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
    /// Set by the first answer that could not wait, until the queue is empty again.
    pub(super) behind: AtomicBool,
    /// The error while the database cannot be written.
    pub(super) error: Mutex<Option<String>>,
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

    fn set_error(&self, error: Option<String>) -> Option<String> {
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

/// The outcome of writing a batch.
enum Fate {
    Written,
    /// One of its operations can never be written.
    Refused(sqlx::Error),
    GaveUp,
}

/// The state of the writer task.
pub(super) struct Writer<'a> {
    file: DatabaseFile,
    owner: OwnerId,
    durability: Durability,
    /// `None` after a connection broke.
    conn: Option<SqliteConnection>,
    current: Option<Durability>,
    shared: &'a Shared,
    journal: Journal,
    wal: Wal,
}

/// Writes the operations of `queue` until it closes.
#[expect(clippy::too_many_arguments, reason = "the one call stands in `Ledger::open`")]
pub(super) async fn run(
    file: DatabaseFile,
    owner: OwnerId,
    durability: Durability,
    conn: SqliteConnection,
    lock: Option<File>,
    readers: SqlitePool,
    mut queue: mpsc::UnboundedReceiver<Queued>,
    shared: Arc<Shared>,
    journal: Journal,
    wal: Wal,
) {
    let _done = shared.done.clone().drop_guard();
    let mut writer = Writer {
        file,
        owner,
        durability,
        conn: Some(conn),
        current: None,
        shared: &shared,
        journal,
        wal,
    };
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let taken = tokio::select! {
            biased;
            () = shared.closing.cancelled(), if !queue.is_closed() => {
                queue.close();
                continue;
            }
            taken = queue.recv_many(&mut batch, BATCH) => taken,
        };
        if taken == 0 {
            break;
        }
        writer.write(std::mem::take(&mut batch)).await;
    }
    // The last connection to close must be one that can write, or the WAL stays behind.
    if tokio::time::timeout(LAST_READS, readers.close()).await.is_err() {
        debug!("the ledger closes while it is being read");
    }
    writer.finish().await;
    drop(lock);
}

impl Writer<'_> {
    async fn write(&mut self, batch: Vec<Queued>) {
        match self.persist(&batch).await {
            Fate::Written => self.settle(batch),
            Fate::GaveUp => self.lose(batch),
            // One by one, so that only the offender goes.
            Fate::Refused(_) if batch.len() > 1 => {
                for one in batch {
                    let one = vec![one];
                    match self.persist(&one).await {
                        Fate::Written => self.settle(one),
                        Fate::Refused(error) => self.refuse(one, &error),
                        Fate::GaveUp => self.lose(one),
                    }
                }
            }
            Fate::Refused(error) => self.refuse(batch, &error),
        }
    }

    /// Tries until the batch is written, is refused, or there is no more time.
    async fn persist(&mut self, batch: &[Queued]) -> Fate {
        let mut pause = BACKOFF.0;
        loop {
            let error = match self.commit(batch).await {
                Ok(()) => {
                    self.shared.commits.fetch_add(1, Relaxed);
                    if self.shared.set_error(None).is_some() {
                        info!("the ledger can be written again");
                    }
                    return Fate::Written;
                }
                Err(error) if sqlite::is_refusal(&error) => return Fate::Refused(error),
                Err(error) => error,
            };
            if self.shared.set_error(Some(error.to_string())).is_none() {
                error!(%error, "the ledger cannot be written; answers go on, their rows wait");
            }
            tokio::select! {
                () = self.shared.give_up.cancelled() => return Fate::GaveUp,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(BACKOFF.1),
            }
        }
    }

    /// One transaction. After a failure the connection is as it was before, or gone.
    async fn commit(&mut self, batch: &[Queued]) -> Result<(), sqlx::Error> {
        let sealing = batch.iter().any(|queued| matches!(queued.op, Op::Seal(_)));
        let wanted = if sealing { self.durability } else { Durability::Normal };
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.file.writer().await?,
        };
        if let Err(error) = self.wal.make_room(&mut conn).await {
            self.conn = Some(conn);
            return Err(error);
        }
        let current = self.current.take();
        let result = async {
            sqlite::begin_durable(&mut conn, current, wanted).await?;
            let ops: Vec<&Op> = batch.iter().map(|queued| &queued.op).collect();
            batch::insert_all(&mut conn, self.owner, &ops).await?;
            sqlx::query("commit").execute(&mut conn).await?;
            Ok(())
        }
        .await;
        match &result {
            Ok(()) => {
                self.current = Some(wanted);
                self.conn = Some(conn);
            }
            Err(sqlx::Error::Database(_)) => {
                // Fails where no transaction was open, or where SQLite has rolled back already.
                if let Err(error) = sqlx::raw_sql("rollback").execute(&mut conn).await {
                    debug!(%error, "nothing to roll back");
                }
                self.conn = Some(conn);
            }
            // The connection itself broke; its end rolls back.
            Err(_) => {}
        }
        result
    }

    fn settle(&self, batch: Vec<Queued>) {
        {
            let mut persisted = self.shared.persisted.lock();
            let bodies = batch.iter().flat_map(|queued| queued.op.bodies());
            bodies.flat_map(super::chain::Bodies::hashes).for_each(|hash| persisted.insert(hash));
        }
        for queued in &batch {
            queued.op.committed();
        }
        self.journal.settled(batch.iter().map(|queued| &queued.op));
        for done in self.leave(batch) {
            // The receiver may have stopped waiting.
            let _ = done.send(());
        }
    }

    fn refuse(&self, batch: Vec<Queued>, error: &sqlx::Error) {
        for queued in &batch {
            let (kind, id) = queued.op.name();
            error!(%error, kind, id, "the ledger refused a row; it is lost");
        }
        self.journal.settled(batch.iter().map(|queued| &queued.op));
        self.shared.lost.fetch_add(batch.len() as u64, Relaxed);
        self.leave(batch);
    }

    fn lose(&self, batch: Vec<Queued>) {
        error!(rows = batch.len(), "the ledger could not be written in time; rows are lost");
        self.shared.lost.fetch_add(batch.len() as u64, Relaxed);
        self.leave(batch);
    }

    /// Takes a batch out of the counters of the queue.
    fn leave(&self, batch: Vec<Queued>) -> Vec<oneshot::Sender<()>> {
        let bytes = batch.iter().map(|queued| queued.bytes).sum();
        self.shared.queued_bytes.fetch_sub(bytes, Relaxed);
        let before = self.shared.queued.fetch_sub(batch.len(), Relaxed);
        if before == batch.len() && self.shared.behind.swap(false, Relaxed) {
            info!("the ledger has caught up");
        }
        batch.into_iter().filter_map(|queued| queued.done).collect()
    }

    async fn finish(&mut self) {
        let Some(mut conn) = self.conn.take() else { return };
        if let Err(error) = sqlite::checkpoint(&mut conn).await {
            warn!(%error, "the ledger's WAL stays behind; the next start reads it");
        }
        if let Err(error) = conn.close().await {
            warn!(%error, "the ledger did not close cleanly");
        }
    }
}
