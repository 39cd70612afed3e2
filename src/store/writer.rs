//! The one task that writes: it takes everything that is queued, commits it in one transaction, and retries a row as
//! long as the database may yet take it.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use tracing::{debug, error, info, warn};

use super::{
    Durability, Reader,
    batch::{self, Op},
    chain::PersistedHashes,
    database::Database,
    error::WriteError,
    filter::KeyFilter,
    hot::Hot,
    insert::Sink,
    journal::Journal,
    metrics::LedgerMetrics,
    recovery,
    refusals::RefusalCounts,
    sqlite::{Carried, Fault, Lock, OpenFile},
    users::KnownNames,
    wal::Wal,
    write::WriteConnection,
};
use crate::domain::exchange::{CallId, ExchangeId, OwnerId};

/// Limit of operations in one commit.
const BATCH: usize = 256;

/// Time between two commits if nobody waits for them: what comes meanwhile is committed together.
pub(super) const LINGER: Duration = Duration::from_millis(50);

/// First and longest pause between two tries to write.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Time that open reads may delay the end of a file.
pub(super) const LAST_READS: Duration = Duration::from_secs(1);

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
    pub(super) metrics: LedgerMetrics,
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

/// The outcome of writing a batch.
enum Fate {
    Written,
    /// One of its operations can never be written.
    Refused(WriteError),
    GaveUp,
}

/// The state of the writer task.
pub(super) struct Writer {
    pub(super) file: Database,
    pub(super) owner: OwnerId,
    pub(super) durability: Durability,
    /// `None` after a connection broke.
    pub(super) connection: Option<WriteConnection>,
    /// `None`: the ledger is in no file, or being opened anew.
    pub(super) lock: Option<Lock>,
    /// The running exchanges of the file before, while no file is open.
    pub(super) left: Option<Vec<Carried>>,
    pub(super) reader: Reader,
    pub(super) hot: Arc<Mutex<Hot>>,
    pub(super) keys: KeyFilter,
    pub(super) shared: Arc<Shared>,
    pub(super) journal: Journal,
    pub(super) wal: Wal,
}

/// Writes the operations of `queue` until it closes.
pub(super) async fn run(mut writer: Writer, mut queue: mpsc::UnboundedReceiver<Queued>) {
    let shared = Arc::clone(&writer.shared);
    let _done = shared.done.clone().drop_guard();
    let mut batch = Vec::with_capacity(BATCH);
    let mut next_commit = Instant::now();
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
        gather(&mut queue, &mut batch, next_commit, &shared.closing).await;
        writer.write(std::mem::take(&mut batch)).await;
        next_commit = Instant::now() + LINGER;
    }
    // The last connection to close must be one that can write, or the WAL stays behind.
    if tokio::time::timeout(LAST_READS, writer.reader.pool().close()).await.is_err() {
        debug!("the ledger closes while it is being read");
    }
    writer.finish().await;
    *shared.open.lock() = None;
    // With the locks, before anyone hears that it is done.
    drop(writer);
}

/// Takes more operations until `end` as long as nobody waits for the commit of those that are here: a commit costs as
/// much as a hundred rows.
async fn gather(
    queue: &mut mpsc::UnboundedReceiver<Queued>,
    batch: &mut Vec<Queued>,
    end: Instant,
    closing: &CancellationToken,
) {
    let is_awaited = |queued: &[Queued]| queued.iter().any(|queued| queued.done.is_some());
    let mut looked_at = 0;
    let mut end = pin!(tokio::time::sleep_until(end.into()));
    while batch.len() < BATCH && !is_awaited(&batch[looked_at..]) {
        looked_at = batch.len();
        let more = tokio::select! {
            biased;
            () = closing.cancelled() => 0,
            () = &mut end => 0,
            more = queue.recv_many(batch, BATCH - looked_at) => more,
        };
        if more == 0 {
            return;
        }
    }
}

/// Takes what others have sealed as lost, and ends in this batch, out of the ledger.
async fn regain(reader: &Reader, batch: &[Queued]) -> Result<(), WriteError> {
    let seals = batch.iter().filter(|queued| matches!(queued.op, Op::Seal(_)));
    let exchanges: Vec<ExchangeId> = seals.filter_map(|queued| queued.op.exchange()).collect();
    if exchanges.is_empty() {
        return Ok(());
    }
    let calls: Vec<CallId> = batch.iter().filter_map(|queued| queued.op.call()).collect();
    let mut conn = reader.pool().acquire().await?;
    Ok(recovery::regain(&mut conn, &exchanges, &calls).await?)
}

impl Writer {
    async fn write(&mut self, batch: Vec<Queued>) {
        // A clearing has a transaction of its own.
        let is_clearing = |queued: &Queued| matches!(queued.op, Op::Clear(_));
        let mut rest = batch;
        while let Some(at) = rest.iter().position(is_clearing) {
            let after = rest.split_off((at + 1).min(rest.len()));
            let clearing = rest.split_off(at);
            if !rest.is_empty() {
                self.write_together(rest).await;
            }
            self.write_together(clearing).await;
            rest = after;
        }
        if !rest.is_empty() {
            self.write_together(rest).await;
        }
    }

    async fn write_together(&mut self, mut batch: Vec<Queued>) {
        let file = self.shared.persisted.lock().file();
        for queued in &mut batch {
            queued.op.drop_unless_in(file);
        }
        match self.persist(&mut batch).await {
            Fate::Written => self.settle(batch),
            Fate::GaveUp => self.lose(batch),
            // One by one, so that only the offender goes.
            Fate::Refused(_) => {
                for one in batch {
                    self.write_one(vec![one]).await;
                }
            }
        }
    }

    async fn write_one(&mut self, mut one: Vec<Queued>) {
        match self.persist(&mut one).await {
            Fate::Written => self.settle(one),
            Fate::Refused(error) => self.write_stripped(one, error).await,
            Fate::GaveUp => self.lose(one),
        }
    }

    /// Writes an operation that was refused without its request, and then without its recording.
    async fn write_stripped(&mut self, mut one: Vec<Queued>, mut refused: WriteError) {
        while one.iter_mut().any(|one| one.op.strip()) {
            match self.persist(&mut one).await {
                Fate::Written => {
                    for one in &one {
                        let (kind, id) = one.op.name();
                        let error = &refused;
                        warn!(%error, kind, id, "the ledger refused the bodies of a row; its totals are kept");
                    }
                    self.shared.bodies_dropped.fetch_add(1, Relaxed);
                    return self.settle(one);
                }
                Fate::Refused(error) => refused = error,
                Fate::GaveUp => return self.lose(one),
            }
        }
        self.refuse(one, &refused);
    }

    /// Tries until the batch is written, is refused, or there is no more time.
    async fn persist(&mut self, batch: &mut Vec<Queued>) -> Fate {
        let mut pause = BACKOFF.0;
        loop {
            let began = Instant::now();
            let fault = self.shared.fault();
            let error = match fault.or(self.left.is_some().then_some(Fault::Replaced)) {
                Some(Fault::Overwritten) if self.shared.closing.is_cancelled() => {
                    return Fate::GaveUp;
                }
                Some(fault) => match self.open_anew(fault, batch).await {
                    Ok(()) => continue,
                    Err(error) => error.to_string(),
                },
                None => match self.commit(batch).await {
                    // A commit into a file that is not at its path any more is none.
                    Ok(()) if self.shared.fault().is_some() => continue,
                    Ok(()) => {
                        self.note(batch);
                        self.shared.commits.fetch_add(1, Relaxed);
                        let took = began.elapsed().as_secs_f64();
                        self.shared.metrics.commit_duration.observe(took);
                        if self.shared.set_error(None).is_some() {
                            info!("the ledger can be written again");
                        }
                        return Fate::Written;
                    }
                    Err(error) if error.is_refusal() => return Fate::Refused(error),
                    Err(error) => error.to_string(),
                },
            };
            self.shared.metrics.write_errors.inc();
            self.shared.behind.store(true, Relaxed);
            if self.shared.set_error(Some(error.clone())).is_none() {
                error!(error, "the ledger cannot be written; answers go on, their rows wait");
            }
            tokio::select! {
                () = self.shared.give_up.cancelled() => return Fate::GaveUp,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(BACKOFF.1),
            }
        }
    }

    /// Writes a batch in one transaction. After a failure the connection is as it was before, or gone.
    async fn commit(&mut self, batch: &mut Vec<Queued>) -> Result<(), WriteError> {
        if self.shared.log_is_gone() {
            self.renew_log().await?;
        }
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => WriteConnection::open(&self.file).await?,
        };
        let connection = self.connection.insert(connection);
        self.wal.make_room(connection).await?;
        if let [Queued { op: Op::Clear(clear), .. }] = &batch[..] {
            return Ok(clear.run(&self.file).await?);
        }
        if self.file.was_buried() {
            regain(&self.reader, batch).await?;
        }
        let is_durable = |queued: &Queued| queued.op.must_survive();
        let wanted =
            if batch.iter().any(is_durable) { self.durability } else { Durability::Normal };
        // Shared with the connection, so that they are here again even if it ends.
        let (owner, rows) = (self.owner, Arc::new(std::mem::take(batch)));
        let taken = Arc::clone(&rows);
        let work = move |sink: &mut Sink<'_>| {
            let ops: Vec<&Op> = taken.iter().map(|queued| &queued.op).collect();
            batch::write(sink, owner, &ops)
        };
        let written = connection.transaction(wanted, work).await;
        *batch = Arc::into_inner(rows).expect("the connection has dropped its share");
        if connection.is_broken() {
            self.connection = None;
        }
        written
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

    fn refuse(&self, batch: Vec<Queued>, error: &WriteError) {
        for queued in &batch {
            let (kind, id) = queued.op.name();
            error!(%error, kind, id, "the ledger refused a row; it is lost");
        }
        self.journal.settled(batch.iter().map(|queued| &queued.op));
        self.shared.lost.fetch_add(batch.len() as u64, Relaxed);
        self.leave(batch);
    }

    fn lose(&self, batch: Vec<Queued>) {
        let journaled = batch.iter().filter(|queued| self.journal.holds(&queued.op)).count();
        let lost = batch.len() - journaled;
        if lost > 0 {
            error!(rows = lost, "the ledger could not be written in time; rows are lost");
        }
        if journaled > 0 {
            warn!(
                rows = journaled,
                "the ledger could not be written in time; the next start writes these rows"
            );
        }
        self.shared.lost.fetch_add(lost as u64, Relaxed);
        self.leave(batch);
    }

    /// Takes a batch out of the counters of the queue.
    fn leave(&self, batch: Vec<Queued>) -> Vec<oneshot::Sender<()>> {
        let bytes = batch.iter().map(|queued| queued.bytes).sum();
        self.shared.queued_bytes.fetch_sub(bytes, Relaxed);
        let before = self.shared.queued.fetch_sub(batch.len(), Relaxed);
        if before == batch.len() && self.shared.behind.swap(false, Relaxed) {
            match self.shared.lost.load(Relaxed) {
                0 => info!("the ledger has caught up"),
                lost => warn!(lost, "the ledger has caught up; rows were lost since the start"),
            }
        }
        batch.into_iter().filter_map(|queued| queued.done).collect()
    }

    async fn finish(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if self.shared.fault() == Some(Fault::Overwritten) {
            // Closing it would write into what is another program's now, and so would the log at its next use.
            if let Some(Err(error)) = self.shared.open.lock().as_ref().map(OpenFile::remove_beside)
            {
                warn!(%error, "the write-ahead log cannot be removed");
            }
            return connection.forget();
        }
        if let Err(error) = connection.checkpoint().await {
            warn!(%error, "the ledger's WAL stays behind; the next start reads it");
        }
        if let Err(error) = connection.close().await {
            warn!(%error, "the ledger did not close cleanly");
        }
    }
}
