//! The journal: a file beside the ledger with what must survive the end of the process (not of the power) before the
//! writer has committed it, and without waiting for the writer: calls that reuse an answer, and how often a running
//! exchange was sent.
//!
//! One thread appends lines of JSON, and a line leaves the journal when the writer has committed its row. The next start
//! restores the calls that are left. A kill between the two costs nothing: a row that is in the ledger is not restored.

mod restore;

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};
use uuid::Uuid;

pub(super) use self::restore::restore;
use super::{batch::Op, record::CallRecord, sqlite};
use crate::domain::{
    cache::CacheKey,
    chain::{Chain, Hash},
    exchange::{Cost, ExchangeId, Micros, NanoDollars, Outcome, Tokens},
    price::Pricing,
};

/// Length above which the file is written anew with the lines that are left.
const LONG: u64 = 1 << 20;
/// Limit of lines that wait for the writer, in bytes. Beyond it the writer is in trouble, and the log says so.
const MOST_PENDING: usize = 16 << 20;
/// Limit of what is read at the start: what two files of the largest allowed length would have.
const MOST_READ: u64 = 2 * MOST_PENDING as u64;
/// Limit of lines in one write.
const BATCH: usize = 256;

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry<C> {
    /// A call. While it reads along with a running exchange, its end is that of the exchange.
    Call(JournaledCall<C>),
    /// What a running exchange has used so far.
    #[serde(alias = "tries")]
    Progress {
        exchange: ExchangeId,
        #[serde(flatten)]
        progress: Progress,
    },
}

/// What is known of a running exchange, for the case that the process dies.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Progress {
    /// Number of times that it was sent.
    pub tries: u32,
    /// The model that answers.
    #[serde(default)]
    pub model: Option<String>,
    /// Tokens of all tries, as far as they are known.
    #[serde(default)]
    pub tokens: Tokens,
    /// Their cost: a lower bound.
    #[serde(default = "unknown_cost")]
    pub cost: Cost,
    /// The prices that were taken.
    #[serde(default)]
    pub pricing: Pricing,
    /// The bill, by which a corrected price applies.
    #[serde(default)]
    pub bill: Option<String>,
    /// The day of the prices.
    #[serde(default)]
    pub priced_on: Option<String>,
}

impl Progress {
    /// An exchange of which only the number of tries is known.
    fn of(tries: u32) -> Self {
        let cost = unknown_cost();
        let (tokens, pricing) = (Tokens::default(), Pricing::default());
        Self { tries, model: None, tokens, cost, pricing, bill: None, priced_on: None }
    }
}

const fn unknown_cost() -> Cost {
    Cost::AtLeast(NanoDollars(0))
}

/// A call with the fields that the column `running.call` does not have.
#[derive(Debug, Serialize, Deserialize)]
struct JournaledCall<C> {
    begun: C,
    key: Hash,
    exchange: Option<ExchangeId>,
    model: String,
    status: Option<u16>,
    outcome: Outcome,
    error_kind: Option<String>,
    ttft: Option<Micros>,
    total: Option<Micros>,
    tokens: Tokens,
    cost: Cost,
    saved: Cost,
    client_frame: Option<Hash>,
    client_head: Option<Hash>,
}

impl<'a> JournaledCall<&'a CallRecord> {
    fn of(call: &'a CallRecord) -> Self {
        let client = call.client_chain.as_deref();
        Self {
            begun: call,
            key: Hash::from_bytes(*call.key.as_bytes()),
            exchange: call.exchange,
            model: call.model.clone(),
            status: call.status,
            outcome: call.outcome,
            error_kind: call.error_kind.clone(),
            ttft: call.ttft,
            total: call.total,
            tokens: call.tokens,
            cost: call.cost,
            saved: call.saved,
            client_frame: client.map(|chain| chain.frame.hash),
            client_head: client.and_then(Chain::head),
        }
    }
}

impl JournaledCall<CallRecord> {
    /// The call, and its client's frame and head.
    fn call(self) -> (CallRecord, Option<Hash>, Option<Hash>) {
        let call = CallRecord {
            key: CacheKey::from_bytes(*self.key.as_bytes()),
            exchange: self.exchange,
            model: self.model,
            status: self.status,
            outcome: self.outcome,
            error_kind: self.error_kind,
            ttft: self.ttft,
            total: self.total,
            tokens: self.tokens,
            cost: self.cost,
            saved: self.saved,
            ..self.begun
        };
        (call, self.client_frame, self.client_head)
    }
}

/// The journal of a ledger that this process owns. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    /// `None`: the ledger is in memory.
    orders: Option<mpsc::UnboundedSender<Order>>,
    pending: Arc<Pending>,
    /// Time that an answer waits for its line.
    wait: Duration,
}

/// Lines whose rows are not committed yet.
#[derive(Debug, Default)]
struct Pending {
    lines: Mutex<Lines>,
    /// Set when a line was not written in time, until one is: nobody waits meanwhile.
    stuck: AtomicBool,
}

#[derive(Debug, Default)]
struct Lines {
    /// By the id of the call or of the exchange.
    by_id: HashMap<Uuid, Bytes>,
    bytes: usize,
}

impl Lines {
    /// Returns false if there are too many.
    fn insert(&mut self, id: Uuid, line: Bytes) -> bool {
        if self.bytes + line.len() > MOST_PENDING {
            return false;
        }
        self.remove(id);
        self.bytes += line.len();
        self.by_id.insert(id, line);
        true
    }

    fn remove(&mut self, id: Uuid) {
        if let Some(line) = self.by_id.remove(&id) {
            self.bytes -= line.len();
        }
    }
}

/// An order to the thread that writes.
#[derive(Debug)]
enum Order {
    Append {
        id: Uuid,
        line: Bytes,
        done: oneshot::Sender<()>,
    },
    /// Leave only the lines whose rows are not committed.
    Tidy(oneshot::Sender<()>),
    End(oneshot::Sender<()>),
}

impl Journal {
    /// Starts an empty journal. Its thread runs on `tasks` until [`Journal::end`].
    pub(super) fn start(
        path: Option<PathBuf>,
        wait: Duration,
        tasks: &TaskTracker,
    ) -> io::Result<Self> {
        let pending = Arc::<Pending>::default();
        let Some(path) = path else { return Ok(Self { orders: None, pending, wait }) };
        let file = JournalFile::create(path)?;
        let (orders, queue) = mpsc::unbounded_channel();
        let shared = Arc::clone(&pending);
        tasks.spawn_blocking(move || keep(file, queue, &shared));
        Ok(Self { orders: Some(orders), pending, wait })
    }

    /// Appends a call. Await it before the client gets the last bytes.
    pub(super) async fn call(&self, call: &CallRecord) {
        self.append(call.id.uuid(), &Entry::Call(JournaledCall::of(call))).await;
    }

    /// Appends that an exchange is sent again. Await it before it is.
    pub(super) async fn try_again(&self, exchange: ExchangeId, progress: Progress) {
        self.append(exchange.uuid(), &Entry::<()>::Progress { exchange, progress }).await;
    }

    /// Appends what an exchange has used, without waiting for it.
    pub(super) fn progress(&self, exchange: ExchangeId, progress: Progress) {
        let entry = Entry::<()>::Progress { exchange, progress };
        drop(self.order_append(exchange.uuid(), &entry));
    }

    async fn append<C: Serialize>(&self, id: Uuid, entry: &Entry<C>) {
        let Some(written) = self.order_append(id, entry) else { return };
        if self.pending.stuck.load(Relaxed) {
            return;
        }
        if tokio::time::timeout(self.wait, written).await.is_err()
            && !self.pending.stuck.swap(true, Relaxed)
        {
            warn!(
                "the ledger's journal is slow; answers go on, their calls may be lost in a crash"
            );
        }
    }

    /// Has a line appended; returns what tells that it is written.
    fn order_append<C: Serialize>(
        &self,
        id: Uuid,
        entry: &Entry<C>,
    ) -> Option<oneshot::Receiver<()>> {
        let orders = self.orders.as_ref()?;
        let mut line =
            serde_json::to_vec(entry).expect("our own types have string keys and finite numbers");
        line.push(b'\n');
        let line = Bytes::from(line);
        if !self.pending.lines.lock().insert(id, line.clone()) {
            return None;
        }
        let (done, written) = oneshot::channel();
        // After the end of the journal no row can be written either, and the log says so.
        orders.send(Order::Append { id, line, done }).is_ok().then_some(written)
    }

    /// Takes out what a committed or refused operation has made unnecessary.
    pub(super) fn settled<'a>(&self, ops: impl Iterator<Item = &'a Op>) {
        if self.orders.is_none() {
            return;
        }
        let mut lines = self.pending.lines.lock();
        for op in ops {
            match op {
                Op::Call(call) => lines.remove(call.record.id.uuid()),
                Op::Seal(seal) => lines.remove(seal.opening.exchange.uuid()),
                Op::Open(_) | Op::Clear(_) | Op::Refusals(_) | Op::Mark => {}
            }
        }
    }

    /// Takes committed lines out of the file, too: a call that is pruned must not be restored.
    pub(super) async fn tidy(&self) {
        self.order(Order::Tidy).await;
    }

    /// Ends the thread. A journal whose rows are all committed is removed.
    pub(super) async fn end(&self) {
        self.order(Order::End).await;
    }

    async fn order(&self, order: impl FnOnce(oneshot::Sender<()>) -> Order) {
        let Some(orders) = &self.orders else { return };
        let (done, obeyed) = oneshot::channel();
        if orders.send(order(done)).is_ok() {
            // A disk that hangs is no reason to hang.
            let _ = tokio::time::timeout(self.wait, obeyed).await;
        }
    }
}

/// The file, and its length.
struct JournalFile {
    file: File,
    path: PathBuf,
    length: u64,
}

impl JournalFile {
    fn create(path: PathBuf) -> io::Result<Self> {
        let file = sqlite::private_file(&path)?;
        file.set_len(0)?;
        Ok(Self { file, path, length: 0 })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Writes the file anew with `lines`. At any moment the path has the old lines or the new ones.
    fn replace(&mut self, lines: &[Bytes]) -> io::Result<()> {
        if lines.is_empty() {
            self.file.set_len(0)?;
            self.file.rewind()?;
        } else {
            let mut beside = self.path.clone().into_os_string();
            beside.push(".new");
            let mut file = sqlite::private_file(Path::new(&beside))?;
            file.set_len(0)?;
            file.write_all(&lines.concat())?;
            fs::rename(&beside, &self.path)?;
            self.file = file;
        }
        self.length = lines.iter().map(|line| line.len() as u64).sum();
        Ok(())
    }
}

/// Writes lines until the end.
fn keep(mut file: JournalFile, mut queue: mpsc::UnboundedReceiver<Order>, pending: &Pending) {
    let mut orders = Vec::with_capacity(BATCH);
    let mut failed = false;
    while queue.blocking_recv_many(&mut orders, BATCH) > 0 {
        let mut bytes = Vec::new();
        {
            // What was committed in the meantime needs no line.
            let lines = pending.lines.lock();
            for order in &orders {
                if let Order::Append { id, line, .. } = order
                    && lines.by_id.contains_key(id)
                {
                    bytes.extend_from_slice(line);
                }
            }
        }
        let ends = orders.iter().any(|order| matches!(order, Order::End(_)));
        let tidies = orders.iter().any(|order| matches!(order, Order::Tidy(_)));
        let written = file.append(&bytes).and_then(|()| {
            // A write that failed may have left a part of a line, which would spoil the next, and lines that are not there.
            let rewrites = tidies || failed;
            if !rewrites && file.length <= LONG {
                return Ok(());
            }
            let left: Vec<Bytes> = pending.lines.lock().by_id.values().cloned().collect();
            // Many lines are left when the writer is slow: each is written anew a few times only.
            let left_bytes: usize = left.iter().map(Bytes::len).sum();
            if !rewrites && file.length < 2 * left_bytes as u64 {
                return Ok(());
            }
            file.replace(&left)
        });
        match written {
            Ok(()) if std::mem::take(&mut failed) => info!("the ledger's journal is written again"),
            Ok(()) => {}
            Err(error) if !std::mem::replace(&mut failed, true) => {
                warn!(%error, path = %file.path.display(),
                    "the ledger's journal cannot be written; answers go on, their calls may be lost in a crash");
            }
            Err(error) => debug!(%error, "the ledger's journal still cannot be written"),
        }
        pending.stuck.store(false, Relaxed);
        if ends {
            remove_if_empty(&file, pending);
        }
        for order in orders.drain(..) {
            let (Order::Append { done, .. } | Order::Tidy(done) | Order::End(done)) = order;
            // The receiver may have stopped waiting.
            let _ = done.send(());
        }
        if ends {
            return;
        }
    }
    remove_if_empty(&file, pending);
}

fn remove_if_empty(file: &JournalFile, pending: &Pending) {
    if pending.lines.lock().by_id.is_empty()
        && let Err(error) = fs::remove_file(&file.path)
    {
        debug!(%error, "the journal stays, although it has nothing to restore");
    }
}

/// What a dead process left in its journal.
#[derive(Debug, Default)]
pub(super) struct Left {
    calls: Vec<(CallRecord, Option<Hash>, Option<Hash>)>,
    progress: HashMap<ExchangeId, Progress>,
}

impl Left {
    /// Reads the journal at `path`. Lines that cannot be read, such as one that a kill cut, are left out.
    pub(super) fn read(path: Option<&Path>) -> io::Result<Self> {
        let mut left = Self::default();
        let Some(path) = path.filter(|path| fs::symlink_metadata(path).is_ok()) else {
            return Ok(left);
        };
        let mut bytes = Vec::new();
        sqlite::private_file(path)?.take(MOST_READ).read_to_end(&mut bytes)?;
        let mut unread = 0;
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(Entry::Call(call)) => left.calls.push(JournaledCall::call(call)),
                // The later line knows more.
                Ok(Entry::Progress { exchange, progress }) => {
                    left.progress.insert(exchange, progress);
                }
                Err(_) => unread += 1,
            }
        }
        if unread > 0 {
            warn!(lines = unread, path = %path.display(), "the ledger's journal has lines that cannot be read");
        }
        Ok(left)
    }

    /// Tells whether there is nothing to bring in order.
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.progress.is_empty()
    }

    /// What is known of a lost exchange.
    pub(super) fn progress(&self, exchange: ExchangeId) -> Progress {
        self.progress.get(&exchange).cloned().unwrap_or_else(|| Progress::of(1))
    }
}
