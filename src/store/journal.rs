//! The journal: a file beside the ledger with what must survive the end of the process before the writer has committed
//! it, and without waiting for the writer: exchanges that have begun, how often they were sent, calls that reuse an
//! answer, and exchanges that have ended. These survive the end of the power, too, where the ledger is durable so.
//!
//! One thread appends lines of JSON, and a line leaves the journal when the writer has committed its row. The next start
//! restores what is left, and so does a report over the ledger of a dead process. A kill between the two costs nothing: a
//! row that is in the ledger is not restored.
//!
//! Processes that share a ledger have a journal each (`slots`).

mod call;
mod line;
mod restore;
mod sealing;
mod slots;

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Seek, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

pub use self::line::Progress;
pub(super) use self::{
    call::JournaledOpening,
    line::{Ended, Left},
    restore::{restore_calls, restore_sealings},
    slots::{Slot, Slots},
};
use self::{
    line::{Line, Subject},
    sealing::JournaledSealing,
};
use super::{
    Durability,
    batch::{Op, SealOp},
    record::{CallRecord, Opening},
    sqlite,
};
use crate::domain::exchange::ExchangeId;

/// Length above which the file is written anew with the lines that are left.
const LONG: u64 = 4 << 20;
/// Limit of lines that wait for the writer, in bytes. Beyond it the writer is in trouble, and the log says so.
const MOST_PENDING: usize = 24 << 20;
/// Limit up to which ends of exchanges have their bodies: the rest is for totals.
const MOST_WITH_BODIES: usize = 16 << 20;
/// Length that the file does not exceed by more than one write: it is written anew when it is twice as long as what is left.
const MOST_FILE: u64 = 2 * MOST_PENDING as u64 + LONG;
/// Limit of lines in one write.
const BATCH: usize = 256;
/// Bodies of a sealing, in bytes, above which it is cheaper to wait for its commit than to write them twice, unless commits
/// are late.
const LARGE: usize = 64 << 10;

/// The journal of a ledger that this process owns. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    /// `None`: the ledger is in memory.
    orders: Option<mpsc::UnboundedSender<Order>>,
    pending: Arc<Pending>,
    /// Time that an answer waits for its line.
    wait: Duration,
    /// Failures that the line of a sealing survives.
    durability: Durability,
}

/// Lines whose rows are not committed yet.
#[derive(Debug, Default)]
struct Pending {
    lines: Mutex<Lines>,
    /// Set when a line was not written in time, until one is: nobody waits meanwhile.
    stuck: AtomicBool,
    /// Set when there was no room for bodies, until half of the room is free again.
    full: AtomicBool,
}

#[derive(Debug, Default)]
struct Lines {
    by_subject: HashMap<Subject, Bytes>,
    bytes: usize,
}

impl Lines {
    /// Returns false if this line would make them longer than `most`.
    fn insert(&mut self, subject: Subject, line: Bytes, most: usize) -> bool {
        if self.bytes + line.len() > most {
            return false;
        }
        self.remove(subject);
        self.bytes += line.len();
        self.by_subject.insert(subject, line);
        true
    }

    fn remove(&mut self, subject: Subject) {
        if let Some(line) = self.by_subject.remove(&subject) {
            self.bytes -= line.len();
        }
    }
}

/// An order to the thread that writes.
#[derive(Debug)]
enum Order {
    Append {
        subject: Subject,
        line: Bytes,
        /// Set if the line must survive the end of the power.
        syncs: bool,
        /// Gets true once the line is written.
        done: oneshot::Sender<bool>,
    },
    /// Leave only the lines whose rows are not committed.
    Tidy(oneshot::Sender<bool>),
    /// Empty the file if all rows are committed.
    Empty,
    End(oneshot::Sender<bool>),
}

impl Journal {
    /// Starts an empty journal in this file. Its thread runs on `tasks` until [`Journal::end`].
    pub(super) fn start(
        slot: Option<Slot>,
        durability: Durability,
        wait: Duration,
        tasks: &TaskTracker,
    ) -> io::Result<Self> {
        let pending = Arc::<Pending>::default();
        let Some(slot) = slot else {
            return Ok(Self { orders: None, pending, wait, durability });
        };
        let file = JournalFile::create(slot, durability)?;
        let (orders, queue) = mpsc::unbounded_channel();
        let shared = Arc::clone(&pending);
        tasks.spawn_blocking(move || keep(file, queue, &shared));
        Ok(Self { orders: Some(orders), pending, wait, durability })
    }

    /// Appends a call. Await it before the client gets the last bytes.
    pub(super) async fn call(&self, call: &CallRecord) {
        self.append(&Line::call(call)).await;
    }

    /// Appends the opening of an exchange. Await it before the first byte goes upstream.
    pub(super) async fn opening(&self, opening: &Opening) {
        self.append(&Line::opening(opening)).await;
    }

    /// Appends that an exchange is sent again. Await it before it is.
    pub(super) async fn try_again(&self, exchange: ExchangeId, progress: Progress) {
        self.append(&Line::Progress { exchange, progress }).await;
    }

    /// Appends what an exchange has used, without waiting for it.
    pub(super) fn progress(&self, exchange: ExchangeId, progress: Progress) {
        drop(self.order_append(&Line::Progress { exchange, progress }, false, MOST_PENDING));
    }

    /// Has the end of an exchange appended, without its bodies if there is no room for them. `None`: it must be committed
    /// before the client gets the last bytes, as a large one must, unless commits are late.
    pub(super) fn sealing(&self, seal: &SealOp, is_late: bool) -> Option<Writing> {
        if !is_late && seal.body_bytes() > LARGE || self.pending.stuck.load(Relaxed) {
            return None;
        }
        let syncs = self.durability == Durability::Full;
        let line = Line::Sealing(JournaledSealing::of(seal));
        let line = self.order_append(&line, syncs, MOST_WITH_BODIES).or_else(|| {
            let totals = Line::Sealing(JournaledSealing::of(seal).without_bodies());
            self.order_append(&totals, syncs, MOST_PENDING)
        })?;
        Some(Writing { line, wait: self.wait })
    }

    async fn append(&self, line: &Line<'_>) {
        let Some(written) = self.order_append(line, false, MOST_PENDING) else { return };
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

    /// Has a line appended, if all are no longer than `most` then; returns what tells that it is written.
    fn order_append(
        &self,
        line: &Line<'_>,
        syncs: bool,
        most: usize,
    ) -> Option<oneshot::Receiver<bool>> {
        let orders = self.orders.as_ref()?;
        let subject = line.subject();
        let line = Bytes::from(line.encode());
        if !self.pending.lines.lock().insert(subject, line.clone(), most) {
            if !self.pending.full.swap(true, Relaxed) {
                warn!(
                    "the ledger's journal is full; what a crash of this process would lose are the bodies of answers that \
                     are not in the ledger yet, and at last their rows"
                );
            }
            return None;
        }
        let (done, written) = oneshot::channel();
        // After the end of the journal no row can be written either, and the log says so.
        orders.send(Order::Append { subject, line, syncs, done }).is_ok().then_some(written)
    }

    /// Takes out what a committed or refused operation has made unnecessary.
    pub(super) fn settled<'a>(&self, ops: impl Iterator<Item = &'a Op>) {
        let Some(orders) = &self.orders else { return };
        let mut lines = self.pending.lines.lock();
        for op in ops {
            match op {
                Op::Call(call) => lines.remove(Subject::Call(call.record.id)),
                Op::Open(open) => lines.remove(Subject::Opening(open.opening.exchange)),
                Op::Seal(seal) => {
                    lines.remove(Subject::Opening(seal.opening.exchange));
                    lines.remove(Subject::Progress(seal.opening.exchange));
                    lines.remove(Subject::Sealing(seal.opening.exchange));
                }
                Op::Clear(_) | Op::Refusals(_) | Op::Name(_) | Op::EndClaim(_) | Op::Mark => {}
            }
        }
        if lines.bytes < MOST_WITH_BODIES / 2 {
            self.pending.full.store(false, Relaxed);
        }
        if lines.by_subject.is_empty() {
            // A journal that has ended is removed.
            let _ = orders.send(Order::Empty);
        }
    }

    /// Takes out the end of an exchange, which is committed.
    pub(super) fn forget_sealing(&self, exchange: ExchangeId) {
        let Some(orders) = &self.orders else { return };
        let mut lines = self.pending.lines.lock();
        lines.remove(Subject::Sealing(exchange));
        if lines.by_subject.is_empty() {
            // A journal that has ended is removed.
            let _ = orders.send(Order::Empty);
        }
    }

    /// Tells whether an operation that was not committed stands in the journal, for the next start.
    pub(super) fn holds(&self, op: &Op) -> bool {
        let subject = match op {
            Op::Call(call) => Subject::Call(call.record.id),
            Op::Seal(seal) => Subject::Sealing(seal.opening.exchange),
            _ => return false,
        };
        self.pending.lines.lock().by_subject.contains_key(&subject)
    }

    /// Takes committed lines out of the file, too: a call that is pruned must not be restored.
    pub(super) async fn tidy(&self) {
        self.order(Order::Tidy).await;
    }

    /// Ends the thread. A journal whose rows are all committed is removed.
    pub(super) async fn end(&self) {
        self.order(Order::End).await;
    }

    async fn order(&self, order: impl FnOnce(oneshot::Sender<bool>) -> Order) {
        let Some(orders) = &self.orders else { return };
        let (done, obeyed) = oneshot::channel();
        if orders.send(order(done)).is_ok() {
            // A disk that hangs is no reason to hang.
            let _ = tokio::time::timeout(self.wait, obeyed).await;
        }
    }
}

/// A sealing that is being written to the journal.
pub(super) struct Writing {
    line: oneshot::Receiver<bool>,
    wait: Duration,
}

impl Writing {
    /// Waits until the line is written. `false`: it could not be, or not in time.
    pub(super) async fn written(self) -> bool {
        matches!(tokio::time::timeout(self.wait, self.line).await, Ok(Ok(true)))
    }
}

/// The file, and its length.
struct JournalFile {
    file: File,
    slot: Slot,
    length: u64,
    durability: Durability,
}

impl JournalFile {
    fn create(slot: Slot, durability: Durability) -> io::Result<Self> {
        let file = sqlite::private_file(slot.path())?;
        file.set_len(0)?;
        let journal = Self { file, slot, length: 0, durability };
        journal.sync_name()?;
        Ok(journal)
    }

    fn append(&mut self, bytes: &[u8], syncs: bool) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        if syncs { self.file.sync_data() } else { Ok(()) }
    }

    /// Empties the file. After the end of the power the lines may be there again: their rows are committed.
    fn empty(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.length = 0;
        Ok(())
    }

    /// Lets the name of the file survive the end of the power, if its lines do.
    fn sync_name(&self) -> io::Result<()> {
        match self.slot.path().parent() {
            Some(folder) if self.durability == Durability::Full => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }

    /// Writes the file anew with `lines`. At any moment the path has the old lines or the new ones.
    fn replace(&mut self, lines: &[Bytes]) -> io::Result<()> {
        if lines.is_empty() {
            self.empty()?;
            return if self.durability == Durability::Full { self.file.sync_all() } else { Ok(()) };
        }
        let mut beside = self.slot.path().as_os_str().to_owned();
        beside.push(".new");
        let mut file = sqlite::private_file(Path::new(&beside))?;
        file.set_len(0)?;
        file.write_all(&lines.concat())?;
        if self.durability == Durability::Full {
            file.sync_all()?;
        }
        fs::rename(&beside, self.slot.path())?;
        self.file = file;
        self.length = lines.iter().map(|line| line.len() as u64).sum();
        self.sync_name()
    }
}

/// Writes lines until the end.
fn keep(mut file: JournalFile, mut queue: mpsc::UnboundedReceiver<Order>, pending: &Pending) {
    let mut orders = Vec::with_capacity(BATCH);
    let mut failed = false;
    while queue.blocking_recv_many(&mut orders, BATCH) > 0 {
        let (mut bytes, mut must_sync) = (Vec::new(), false);
        let is_settled = {
            // What was committed in the meantime needs no line.
            let lines = pending.lines.lock();
            for order in &orders {
                if let Order::Append { subject, line, syncs, .. } = order
                    && lines.by_subject.contains_key(subject)
                {
                    bytes.extend_from_slice(line);
                    must_sync |= syncs;
                }
            }
            lines.by_subject.is_empty()
        };
        let ends = orders.iter().any(|order| matches!(order, Order::End(_)));
        let tidies = orders.iter().any(|order| matches!(order, Order::Tidy(_)));
        let written = file.append(&bytes, must_sync).and_then(|()| {
            // A write that failed may have left a part of a line, which would spoil the next, and lines that are not there.
            let rewrites = tidies || failed;
            if is_settled && !rewrites && file.length > 0 {
                return file.empty();
            }
            if !rewrites && file.length <= LONG {
                return Ok(());
            }
            let left: Vec<Bytes> = pending.lines.lock().by_subject.values().cloned().collect();
            // Many lines are left when the writer is slow: each is written anew a few times only.
            let left_bytes: usize = left.iter().map(Bytes::len).sum();
            if !rewrites && file.length < 2 * left_bytes as u64 {
                return Ok(());
            }
            file.replace(&left)
        });
        let is_whole = written.is_ok();
        match written {
            Ok(()) if std::mem::take(&mut failed) => info!("the ledger's journal is written again"),
            Ok(()) => {}
            Err(error) if !std::mem::replace(&mut failed, true) => {
                warn!(%error, path = %file.slot.path().display(),
                    "the ledger's journal cannot be written; answers go on, their calls may be lost in a crash");
            }
            Err(error) => debug!(%error, "the ledger's journal still cannot be written"),
        }
        pending.stuck.store(false, Relaxed);
        if ends {
            remove_if_empty(&file, pending);
        }
        for order in orders.drain(..) {
            if let Order::Append { done, .. } | Order::Tidy(done) | Order::End(done) = order {
                // The receiver may have stopped waiting.
                let _ = done.send(is_whole);
            }
        }
        if ends {
            return;
        }
    }
    remove_if_empty(&file, pending);
}

fn remove_if_empty(file: &JournalFile, pending: &Pending) {
    if pending.lines.lock().by_subject.is_empty()
        && let Err(error) = fs::remove_file(file.slot.path())
    {
        debug!(%error, "the journal stays, although it has nothing to restore");
    }
}
