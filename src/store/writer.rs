//! The one task that writes: takes all that is queued, commits it at once, and never lets go of a row that the
//! database may yet take.

use std::{
    fs::File,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use sqlx::{Connection, SqliteConnection, SqlitePool};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{
    Durability,
    batch::{self, Op},
    chain::PersistedHashes,
    sqlite::{self, Place},
};
use crate::domain::exchange::OwnerId;

/// The most operations of one commit.
const BATCH: usize = 256;

/// Between two tries at a database that cannot be written.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How long open reads may hold up the end.
const LAST_READS: Duration = Duration::from_secs(1);

/// How long a last try may take after there is no more time: longer than the wait for a lock and for open reads.
pub(super) const LAST_TRY: Duration = Duration::from_secs(2);

/// What the writer and those who queue for it share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) known: Mutex<PersistedHashes>,
    /// Held by each that packs rows by what is known, until they are queued.
    pub(super) packing: Mutex<Arc<()>>,
    pub(super) queued: AtomicUsize,
    pub(super) queued_bytes: AtomicUsize,
    pub(super) bodies_dropped: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) commits: AtomicU64,
    /// Set by the first answer that could not wait, until the queue is empty again.
    pub(super) behind: AtomicBool,
    /// Why the database cannot be written, while it can't.
    pub(super) error: Mutex<Option<String>>,
    /// Nothing more is taken in.
    pub(super) closing: CancellationToken,
    /// What is not written now is lost.
    pub(super) give_up: CancellationToken,
    /// The writer has ended.
    pub(super) done: CancellationToken,
}

impl Shared {
    /// To be held from before rows are packed until they are queued.
    pub(super) fn packs(&self) -> Arc<()> {
        Arc::clone(&self.packing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_error(&self, error: Option<String>) -> Option<String> {
        let mut held = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *held, error)
    }
}

/// An operation in the queue.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) op: Op,
    /// Its size when it was counted.
    pub(super) bytes: usize,
    /// Told when it is committed; dropped when it never will be.
    pub(super) done: Option<oneshot::Sender<()>>,
}

/// What became of a batch.
enum Fate {
    Written,
    /// One of its operations can never be written.
    Refused(sqlx::Error),
    GaveUp,
}

/// Which `pragma synchronous` the connection has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sync {
    /// Survives the process.
    Normal,
    /// Survives the power.
    Full,
}

/// The task's state.
pub(super) struct Writer<'a> {
    place: Place,
    owner: OwnerId,
    durability: Durability,
    /// `None` after a connection broke.
    conn: Option<SqliteConnection>,
    sync: Option<Sync>,
    shared: &'a Shared,
}

/// Writes what comes through `queue` until it is closed or told to close.
#[expect(clippy::too_many_arguments, reason = "the one call stands in `Ledger::open`")]
pub(super) async fn run(
    place: Place,
    owner: OwnerId,
    durability: Durability,
    conn: SqliteConnection,
    lock: Option<File>,
    readers: SqlitePool,
    mut queue: mpsc::UnboundedReceiver<Queued>,
    shared: Arc<Shared>,
) {
    let _done = shared.done.clone().drop_guard();
    let mut writer =
        Writer { place, owner, durability, conn: Some(conn), sync: None, shared: &shared };
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
        let wanted = match self.durability {
            Durability::Full if sealing => Sync::Full,
            Durability::Full | Durability::Normal => Sync::Normal,
        };
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.place.writer().await?,
        };
        let held = self.sync.take();
        let result = async {
            match wanted {
                wanted if held == Some(wanted) => {
                    sqlx::query("begin immediate").execute(&mut conn).await?;
                }
                // Not prepared: the pragma acts when it is compiled, and it would be compiled only once.
                Sync::Normal => {
                    let sql = "pragma synchronous = normal; begin immediate";
                    sqlx::raw_sql(sql).execute(&mut conn).await?;
                }
                Sync::Full => {
                    let sql = "pragma synchronous = full; begin immediate";
                    sqlx::raw_sql(sql).execute(&mut conn).await?;
                }
            }
            let ops: Vec<&Op> = batch.iter().map(|queued| &queued.op).collect();
            batch::insert_all(&mut conn, self.owner, &ops).await?;
            sqlx::query("commit").execute(&mut conn).await?;
            Ok(())
        }
        .await;
        match &result {
            Ok(()) => {
                self.sync = Some(wanted);
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
            let mut known = self.shared.known.lock().unwrap_or_else(PoisonError::into_inner);
            let bodies = batch.iter().flat_map(|queued| queued.op.bodies());
            bodies.flat_map(super::chain::Bodies::hashes).for_each(|hash| known.insert(hash));
        }
        for queued in &batch {
            queued.op.committed();
        }
        for done in self.leave(batch) {
            // Whoever asked may have stopped waiting.
            let _ = done.send(());
        }
    }

    fn refuse(&self, batch: Vec<Queued>, error: &sqlx::Error) {
        for queued in &batch {
            let (kind, id) = queued.op.name();
            error!(%error, kind, id, "the ledger refused a row; it is lost");
        }
        self.shared.lost.fetch_add(batch.len() as u64, Relaxed);
        self.leave(batch);
    }

    fn lose(&self, batch: Vec<Queued>) {
        error!(rows = batch.len(), "the ledger could not be written in time; rows are lost");
        self.shared.lost.fetch_add(batch.len() as u64, Relaxed);
        self.leave(batch);
    }

    /// Counts a batch out of the queue.
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
        let checkpoint = sqlx::raw_sql("pragma wal_checkpoint(truncate)").execute(&mut conn).await;
        if let Err(error) = checkpoint {
            warn!(%error, "the ledger's WAL stays behind; the next start reads it");
        }
        if let Err(error) = conn.close().await {
            warn!(%error, "the ledger did not close cleanly");
        }
    }
}
