//! The ledger: every exchange and every call, in a file of SQLite or a schema of Postgres. All SQL is in this module.
//!
//! SQL is written once for both databases: `query` has its text, `value` what is bound to it, and `connection` the
//! connection that runs it, of either driver. Where the databases differ, `Connection::pick` selects the statement. Postgres
//! has the few functions of SQLite that queries use (`migrations/postgres`). `database` opens a ledger; `sqlite` and
//! `postgres` are what only one of them has.
//!
//! One task of a process writes (`writer`), so a commit takes everything that was queued meanwhile, and nobody waits for a lock. A batch
//! is written by table (`batch`) to a sink (`insert`): SQLite's takes the rows at once, on a thread of its own
//! (`sqlite::connection`), Postgres' sends a statement a table (`postgres::write`).
//! Callers compress their rows (`chain`), queue them and wait for a limited time until they survive a crash: small rows in
//! the `journal`, large ones by their commit. Trouble with the ledger never costs the user an answer. Rows that cannot be written stay queued and are tried again; when the queue
//! grows too large, bodies are dropped, but never totals. Reads run beside the writer ([`Reader`]); the newest answers
//! are also in memory (`hot`), and so is which keys have one at all (`filter`). What a client may rely on before the
//! writer has committed it stands in a file of its own (`journal`). `recovery` brings in order what a dead process left,
//! also for a report that comes before the next start (`catch_up`), and `wal` bounds the write-ahead log.
//!
//! One process owns a file. A schema of Postgres may have many owners, and so each thing that was true of one is decided:
//!
//! - *Owners*: the connection that writes holds an advisory lock (`postgres::owner`). Whose lock is free is dead: another
//!   owner buries it, at its start or within ten seconds, and seals what it had running as lost (`recovery::burial`). If it
//!   lives after all, or its journal has the end, that takes the place of the lost rows (`recovery::regained`).
//! - *Journals*: each owner has a file of its own (`journal::slots`), and each start restores those that nobody holds.
//! - *Order of commits*: every transaction that writes takes one lock, so numbers are committed in their order, and sums that
//!   go by them miss no call. This is what limits how much can be written, not the number of owners.
//! - *What is in memory*: a sealing waits for its commit, which tells the others the keys of new answers (`replicas::news`).
//!   They forget these, and everything while they hear nothing. The news come some milliseconds after the commit.
//! - *Equal requests*: one owner asks (`replicas::claims`); a claim that cannot be made within a second is not waited for.
//! - *Prunes*: one runs at a time, and the others make room for it (`replicas::room`).
//! - *Clocks*: no times of two owners are compared, except for the ages of answers, which bear clocks that are wrong.

pub mod backup;
mod batch;
mod call_condition;
mod call_status;
mod calls;
mod catch_up;
mod chain;
mod chat_costs;
pub mod checkup;
mod columns;
mod connection;
pub mod copy;
mod copy_state;
mod database;
mod doubt;
mod error;
mod exchange;
mod filter;
mod hot;
mod in_time;
mod insert;
pub mod integrity;
mod invalidate;
mod journal;
mod lookup;
mod metrics;
mod migrations;
mod older;
mod online_prune;
pub mod open_webui;
mod options;
mod postgres;
pub mod prices;
pub mod prune;
mod query;
mod queue;
mod read;
mod record;
mod recovery;
mod refusals;
mod reopen;
mod replicas;
mod reprice;
mod rollup;
mod row;
mod running;
mod search;
mod session_filter;
mod session_index;
mod session_state;
mod sessions;
mod sqlite;
mod sqlstate;
mod state;
mod users;
pub mod vacuum;
mod value;
mod wal;
mod write;
mod writer;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};
use tracing::{error, info, warn};

use self::{
    batch::{CallOp, Op},
    chain::Packed,
    database::{Database, Taken},
    filter::KeyFilter,
    hot::Hot,
    invalidate::Clear,
    journal::{Journal, Slot, Slots},
    metrics::Lookup,
    queue::{Queued, Shared},
    read::UNKNOWN_AGE,
    replicas::{Parts, Replicas},
    wal::Wal,
    write::WriteConnection,
    writer::Writer,
};
pub use self::{
    call_condition::{Condition, Field},
    call_status::CallStatus,
    calls::{CallFilter, CallRow, ExchangeDetails},
    catch_up::catch_up,
    chat_costs::ChatOf,
    checkup::file,
    columns::cost_word,
    error::Error,
    invalidate::Clearing,
    journal::Progress,
    lookup::ExchangeSummary,
    options::Options,
    read::{MOST_PARTS, Reader},
    record::{CallRecord, Opening, PriorAskQuery, Readings, Sealing, Stored, StoredRecording},
    replicas::{Claim, ClaimGuard, ClaimKey},
    reprice::{Occasion, PriceState, PricedAs, Repricing, RepricingRun},
    rollup::{BilledCalls, WORTH_SUMMING_UP, roll_up},
    search::Found,
    session_filter::{NoCursor, SessionCursor, SessionFilter},
    session_index::index_sessions,
    session_state::{Indexed, WordIndex},
    sessions::{CallSummary, ExchangeRow, SessionRow},
    sqlite::{Announced, RetentionNote},
    state::State,
};
use crate::domain::{
    cache::{CacheKey, SharedCall},
    exchange::{ExchangeId, OwnerId, UnixMillis},
    user_name::UserName,
};

/// Size from which on bodies are hashed and compressed apart from the threads that serve.
const HEAVY: usize = 1 << 20;

/// Time that a report waits for the commit of what has just ended.
const PATIENCE: Duration = Duration::from_millis(250);

/// Failures that a sealed exchange survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process and of the power.
    Full,
    /// The end of the process: for slow disks.
    Normal,
}

/// State of a row when its caller has waited for the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Durable {
    /// It is committed.
    Committed,
    /// It stands in the journal, and will be committed soon.
    Journaled,
    /// It is queued and will be committed when the ledger can be written.
    Late,
    /// It will never be committed: the ledger refused it or is closed. The log says so.
    Lost,
}

/// A ledger that this process writes to, as its owner or one of them. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    owner: OwnerId,
    queue: mpsc::UnboundedSender<Queued>,
    shared: Arc<Shared>,
    hot: Arc<Mutex<Hot>>,
    keys: KeyFilter,
    reader: Reader,
    file: Arc<Database>,
    journal: Journal,
    wal: Wal,
    /// `None`: no other process writes.
    replicas: Option<Replicas>,
    /// Held by the prune that runs; true if the last one came to its end.
    pruning: Arc<tokio::sync::Mutex<bool>>,
    tasks: TaskTracker,
    wait: Duration,
    queue_bytes: usize,
}

impl fmt::Debug for Ledger {
    /// Prints no contents: a recording in memory must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl Ledger {
    /// Opens or creates the ledger for `owner`, runs its migrations, and seals the exchanges that dead owners left
    /// running. The writer runs on `tasks` until [`Ledger::close`], or until the last clone is dropped.
    pub async fn open(
        options: &Options,
        owner: OwnerId,
        now: UnixMillis,
        tasks: &TaskTracker,
    ) -> Result<Self, Error> {
        let file = Database::parse(&options.url)?.owned_by(owner);
        let Taken { mut conn, lock, open } = file.take_when_there(owner).await?;
        let mut connection = WriteConnection::open(&file).await?;
        let failed = |source| file.not_created(source);
        let slot = Slots::of(&file).take().map_err(failed)?;
        let left = if file.is_shared() {
            Slots::of(&file).take_left().map_err(failed)?
        } else {
            Vec::new()
        };
        let journals = slot.iter().chain(&left);
        recovery::run(&mut conn, &mut connection, &file, journals, owner, now).await?;
        left.into_iter().for_each(Slot::remove);
        conn.close().await.map_err(Error::Open)?;
        let journal =
            Journal::start(slot, options.durability, options.wait, tasks).map_err(failed)?;
        let wal = Wal::of(file.real().as_deref(), options.wal_bytes);
        let reader = Reader::new(file.readers());
        let (queue, queued) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { open: Mutex::new(open), ..Shared::default() });
        let hot = Arc::new(Mutex::new(Hot::new(options.hot_bytes)));
        let writer = Writer {
            file: file.clone(),
            owner,
            durability: options.durability,
            connection: Some(connection),
            lock,
            left: None,
            reader: reader.clone(),
            hot: Arc::clone(&hot),
            keys: KeyFilter::default(),
            shared: Arc::clone(&shared),
            journal: journal.clone(),
            wal: wal.clone(),
            is_in_doubt: false,
            unanswered: 0,
        };
        let keys = writer.keys.clone();
        tasks.spawn(writer::run(writer, queued));
        let parts = Parts {
            hot: Arc::clone(&hot),
            keys: keys.clone(),
            reader: reader.clone(),
            shared: Arc::clone(&shared),
            queue: queue.downgrade(),
        };
        let replicas = Replicas::start(&file, owner, parts, tasks).await;
        Ok(Self {
            owner,
            queue,
            shared,
            hot,
            keys,
            reader,
            file: Arc::new(file),
            journal,
            wal,
            replicas,
            pruning: Arc::default(),
            tasks: tasks.clone(),
            wait: options.wait,
            queue_bytes: options.queue_bytes,
        })
    }

    /// Fails while a process uses the ledger at `url`, with the owner if it is known and the only one.
    pub async fn must_be_free(url: &str, owner: OwnerId) -> Result<(), Error> {
        Database::parse(url)?.must_be_free(owner).await
    }

    /// Lets the opening of an exchange survive the end of the process. Await it before the first byte goes upstream.
    pub async fn journal_opening(&self, opening: &Opening) {
        self.journal.opening(opening).await;
    }

    /// Lets a call without an exchange of its own survive the end of the process, before the writer has it. Await it
    /// before the client gets the last bytes. Takes the call as far as it is known: while it reads along with a running
    /// exchange, it ends as that does.
    pub async fn journal(&self, call: &CallRecord) {
        self.journal.call(call).await;
    }

    /// Notes that a running exchange is sent again, with what it has used before. Await it before it is.
    pub async fn journal_try(&self, exchange: ExchangeId, progress: Progress) {
        self.journal.try_again(exchange, progress).await;
    }

    /// Notes what a running exchange has used. Never waits.
    pub fn journal_progress(&self, exchange: ExchangeId, progress: Progress) {
        self.journal.progress(exchange, progress);
    }

    /// Writes a call without an exchange of its own. Never waits; must be called on the runtime.
    pub fn record(&self, mut record: CallRecord) {
        let chain = record.client_chain.take();
        let bytes = chain.as_ref().map_or(0, |chain| chain.bytes());
        let ledger = self.clone();
        let token = self.shared.packing_token();
        let write = move || {
            let chain = chain.as_deref();
            let client =
                chain.map(|chain| Packed::new(chain, &ledger.shared.persisted)).unwrap_or_default();
            ledger.enqueue(Op::Call(Box::new(CallOp { record, client })), None);
            drop(token);
        };
        if bytes < HEAVY {
            write();
        } else {
            self.tasks.spawn_blocking(write);
        }
    }

    /// Counts a request that was refused for `reason`, which is one of a fixed number of words. Never waits.
    pub fn count_refusal(&self, at: UnixMillis, reason: &str) {
        if let Some(count) = self.shared.refusals.add(at, reason) {
            self.enqueue(Op::Refusals(count), None);
        }
    }

    /// Keeps the name that a call states for its user. Never waits.
    pub fn name_user(&self, user: &str, name: &UserName, at: UnixMillis) {
        if let Some(named) = self.shared.names.insert(user, name, at) {
            self.enqueue(Op::Name(Box::new(named)), None);
        }
    }

    /// Clears answers, committed ones and those in memory, and returns their number. An answer that is still being
    /// given is not among them. `None`: the ledger cannot be written now; the clearing stays queued.
    pub async fn clear(&self, clearing: Clearing) -> Option<u64> {
        let cleared = Arc::new(AtomicU64::new(0));
        let clear = Clear { clearing, cleared: Arc::clone(&cleared), hot: Arc::clone(&self.hot) };
        let done = self.commit(Op::Clear(clear), self.shared.packing_token()).await;
        (done == Durable::Committed).then(|| cleared.load(Relaxed))
    }

    /// The newest answer to `key`, however old; see [`Reader::find`] for one whose time is ahead of `now`.
    pub async fn find(&self, key: &CacheKey, now: UnixMillis) -> Result<Option<Stored>, Error> {
        self.find_among(key, now, None).await
    }

    /// The answer to `key` that `call` chooses; the newest if its scope is not shared.
    pub async fn find_among(
        &self,
        key: &CacheKey,
        now: UnixMillis,
        call: Option<&SharedCall<'_>>,
    ) -> Result<Option<Stored>, Error> {
        let metrics = &self.shared.metrics;
        if let Some(stored) = self.in_memory(key, now, call) {
            metrics.count(Lookup::Memory);
            return Ok(Some(stored));
        }
        if !self.keys.may_hold(key) {
            metrics.count(Lookup::Filter);
            return Ok(None);
        }
        metrics.count(Lookup::Database);
        let epoch = self.hot().epoch();
        let found = self.find_in_time(key, now, call).await?;
        let is_newest = |found: &&Stored| call.is_none() || found.is_only;
        if let Some(stored) =
            found.as_ref().filter(is_newest).filter(|stored| stored.ended_at != UNKNOWN_AGE)
        {
            // A repeat often comes again.
            self.hot().insert_read(epoch, *key, stored.clone());
        }
        if found.is_some() {
            return Ok(found);
        }
        // It may not be committed yet, so nothing tells its age if it is ahead.
        let held = self.hot().get(key).cloned();
        Ok(held.map(|held| match held.ended_at {
            ended_at if ended_at <= now => held,
            _ => Stored { ended_at: UNKNOWN_AGE, ..held },
        }))
    }

    /// The newest answer to `key`, if it is in memory, has no time ahead of `now`, and is known to be the one that `call`
    /// gets. An answer in memory is newer than any in the ledger: what other processes replace is forgotten.
    pub fn in_memory(
        &self,
        key: &CacheKey,
        now: UnixMillis,
        call: Option<&SharedCall<'_>>,
    ) -> Option<Stored> {
        let is_for =
            |stored: &&Stored| stored.ended_at <= now && call.is_none_or(|it| stored.is_for(it));
        self.hot().get(key).filter(is_for).cloned()
    }

    fn hot(&self) -> MutexGuard<'_, Hot> {
        self.hot.lock()
    }

    /// The process that owns the ledger, as in its lock file, or one of those that do.
    pub const fn owner(&self) -> OwnerId {
        self.owner
    }

    /// The committed ledger, for reports and replay. What has just ended may not be in it yet: see [`Ledger::caught_up`].
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The ledger with all that has ended before, as far as it can be committed within a quarter of a second.
    pub async fn caught_up(&self) -> &Reader {
        if self.shared.queued.load(Relaxed) > 0 {
            // A report over what can be read is better than none.
            let _ = tokio::time::timeout(PATIENCE, self.flush()).await;
        }
        &self.reader
    }

    /// Accepts no more operations, writes the queued ones, and closes the file. Operations that cannot be written
    /// within `grace` are lost, and the log gives their number.
    pub async fn close(&self, grace: Duration) {
        self.shared.closing.cancel();
        let done = &self.shared.done;
        if tokio::time::timeout(grace, done.cancelled()).await.is_err() {
            self.shared.give_up.cancel();
            if tokio::time::timeout(writer::LAST_TRY, done.cancelled()).await.is_err() {
                error!(queued = self.state().queued, "the ledger did not close in time");
                self.journal.end().await;
                return;
            }
        }
        self.journal.end().await;
        info!(commits = self.state().commits, "the ledger is closed");
    }

    /// Queues an operation and waits for its commit, as long as answers wait. `token` was taken before its rows were
    /// packed.
    async fn commit(&self, op: Op, token: TaskTrackerToken) -> Durable {
        let (done, mut committed) = oneshot::channel();
        self.enqueue(op, Some(done));
        drop(token);
        self.committed(&mut committed).await
    }

    /// Waits for a commit, as long as answers wait.
    async fn committed(&self, commit: &mut oneshot::Receiver<()>) -> Durable {
        match tokio::time::timeout(self.wait, commit).await {
            Ok(Ok(())) => Durable::Committed,
            Ok(Err(_)) => Durable::Lost,
            Err(_) => {
                self.shared.late.fetch_add(1, Relaxed);
                if !self.shared.behind.swap(true, Relaxed) {
                    let queued = self.shared.queued.load(Relaxed);
                    warn!(queued, "the ledger is slow; answers go on, their rows wait");
                }
                Durable::Late
            }
        }
    }

    fn enqueue(&self, mut op: Op, done: Option<oneshot::Sender<()>>) {
        let shared = &self.shared;
        let bodies = op.body_bytes();
        if bodies > 0 && shared.queued_bytes.load(Relaxed) + bodies > self.queue_bytes {
            op.drop_bodies();
            if shared.bodies_dropped.fetch_add(1, Relaxed) == 0 {
                warn!(
                    "the ledger's queue is full; bodies are dropped from now on, totals are kept"
                );
            }
        }
        shared.send(&self.queue, op, done);
    }
}
