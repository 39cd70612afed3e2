//! What the ledger lets go of: bodies first, totals later, each after its own time; and no more than it may take.
//!
//! Pruning is a row of short transactions, and a ledger is right after each of them, wherever it is stopped: an answer
//! cannot be found any more before what it was is gone, a sum does not count any more what is being deleted, and
//! messages go children first, when nothing refers to them. What a stopped pruning left behind, the next one finds.
//!
//! - `plan` says which rows go.
//! - `steps` lets go of them, some hundred at a time.
//! - `mark` then finds the messages, frames and blobs that nobody refers to any more.
//!
//! Only the owner of a ledger may prune it: whoever writes believes that what it has written is there. [`run`] takes
//! the lock, or says who holds it. A server does it itself (`keeping`), by `on` with a connection of its own: what is
//! written meanwhile is looked at again by each transaction that deletes, and stays. It must see to two things that it
//! has in memory:
//!
//! - Recordings of hot answers: they are to be forgotten after each [`Step::Bodies`] and [`Step::Totals`].
//! - Hashes that it believes to be in the ledger: from before the marking until the end it must believe in none, and
//!   what was packed before must be committed. Then every request brings all that it stands on.

mod mark;
mod plan;
mod steps;

use std::{ops::ControlFlow, time::Duration};

use serde::{Deserialize, Serialize};
use sqlx::{Connection, SqliteConnection};

use super::{
    Error, Reader, recovery,
    sqlite::{self, DatabaseFile},
};
use crate::domain::exchange::{OwnerId, UnixMillis};

/// What may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Whose.
    pub whose: Whose,
    /// Bodies of what ended longer ago; `None`: stay.
    pub keep_bodies: Option<Duration>,
    /// Everything of what came in longer ago, the sums too; `None`: stays.
    pub keep_totals: Option<Duration>,
    /// The oldest bodies, until the file is no larger than this.
    pub max_bytes: Option<u64>,
}

impl Limits {
    fn before(&self, now: UnixMillis) -> plan::Before {
        let before = |keep: Duration| {
            let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
            UnixMillis(now.0.saturating_sub(keep))
        };
        plan::Before { bodies: self.keep_bodies.map(before), totals: self.keep_totals.map(before) }
    }
}

/// Whose calls are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// Everyone's.
    Everyone,
    /// Those of one user, as clients state it. An exchange is of the user for whom Claude was asked.
    User(String),
    /// Those of one chat.
    Chat(String),
}

/// What went, or would go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pruned {
    /// Exchanges whose request and answer went, and whose totals stay.
    pub bodies: u64,
    /// Calls whose own words went, and whose totals stay.
    pub requests: u64,
    /// Exchanges that went.
    pub exchanges: u64,
    /// Calls that went: they are not counted any more.
    pub calls: u64,
    /// Messages to which nothing refers any more.
    pub messages: u64,
    /// Frames (models, system prompts, tools, parameters) to which nothing refers any more.
    pub frames: u64,
    /// Images and other long texts to which nothing refers any more.
    pub blobs: u64,
    /// The size of the ledger before, in bytes.
    pub bytes_before: u64,
    /// And after; before anything went, what would be left at most.
    pub bytes_after: u64,
}

/// One transaction that was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// What is about to go does not count any more.
    Sums,
    /// Calls and exchanges, with their totals.
    Totals,
    /// Recordings and references to requests.
    Bodies,
    /// Messages, frames and blobs.
    Unused,
    /// Empty pages.
    Pages,
}

/// Why pruning stopped.
#[derive(Debug)]
enum Stop {
    /// Who watches said so.
    Told,
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// A pruning under way.
struct Pruning<'a> {
    conn: &'a mut SqliteConnection,
    watch: &'a mut (dyn FnMut(Step) -> ControlFlow<()> + Send),
    pruned: Pruned,
}

/// Prunes the ledger at `url`. Refuses while another process owns it. After each transaction `watch` may say that it is
/// enough: what is left stays for the next time.
pub async fn run(
    url: &str,
    owner: OwnerId,
    limits: &Limits,
    now: UnixMillis,
    watch: &mut (dyn FnMut(Step) -> ControlFlow<()> + Send),
) -> Result<Pruned, Error> {
    let file = DatabaseFile::parse(url)?;
    file.must_exist()?;
    let (mut conn, lock) = file.take(owner).await?;
    // What the power takes away of a pruning is pruned the next time.
    sqlite::relax_durability(&mut conn).await.map_err(Error::Open)?;
    // What a dead process left running refers to bodies: as exchanges they are seen.
    recovery::seal_all(&mut conn, owner, now).await?;
    let pruned = on(&mut conn, limits, now, watch).await?;
    sqlite::checkpoint(&mut conn).await.map_err(Error::Write)?;
    conn.close().await.map_err(Error::Write)?;
    drop(lock);
    Ok(pruned)
}

/// Prunes through a connection of the ledger's owner.
pub(super) async fn on(
    conn: &mut SqliteConnection,
    limits: &Limits,
    now: UnixMillis,
    watch: &mut (dyn FnMut(Step) -> ControlFlow<()> + Send),
) -> Result<Pruned, Error> {
    let bytes_before = sqlite::size(conn).await?.whole;
    let pruned = Pruned { bytes_before, ..Pruned::default() };
    let mut pruning = Pruning { conn: &mut *conn, watch, pruned };
    match pruning.all(limits, now).await {
        Ok(()) | Err(Stop::Told) => {}
        Err(Stop::Failed(error)) => return Err(error),
    }
    let pruned = pruning.pruned;
    Ok(Pruned { bytes_after: sqlite::size(conn).await?.whole, ..pruned })
}

impl Reader {
    /// What [`run`] would let go of, without the size cap. Changes nothing, and may be asked while a server runs.
    pub async fn would_prune(&self, limits: &Limits, now: UnixMillis) -> Result<Pruned, Error> {
        let mut conn = self.pool.acquire().await?;
        sqlite::keep_temporary_tables_in_memory(&mut conn).await?;
        let mut tx = conn.begin().await?;
        let plan = plan::make(&mut tx, &limits.whose, limits.before(now)).await?;
        let unused = mark::unused(&mut tx).await?;
        let bytes_before = sqlite::size(&mut tx).await?.whole;
        let freed = plan.bytes(&mut tx).await? + unused.bytes;
        tx.rollback().await?;
        Ok(Pruned {
            bodies: plan.bodies.len() as u64,
            requests: plan.requests.len() as u64,
            exchanges: plan.exchanges.len() as u64,
            calls: plan.calls.len() as u64,
            messages: unused.nodes.len() as u64,
            frames: unused.frames.len() as u64,
            blobs: unused.blobs.len() as u64,
            bytes_before,
            bytes_after: bytes_before.saturating_sub(freed),
        })
    }
}

impl Pruning<'_> {
    async fn all(&mut self, limits: &Limits, now: UnixMillis) -> Result<(), Stop> {
        let plan = plan::make(self.conn, &limits.whose, limits.before(now)).await?;
        self.let_go(&plan, &limits.whose).await?;
        if let Some(most) = limits.max_bytes {
            self.shrink(most).await?;
        }
        self.vacuum().await
    }

    async fn let_go(&mut self, plan: &plan::Plan, whose: &Whose) -> Result<(), Stop> {
        if let (Whose::Everyone, Some(before)) = (whose, plan.totals_before) {
            steps::count_from(self.conn, before).await?;
            self.seen(Step::Sums)?;
        }
        for bodies in plan.bodies.chunks(steps::BATCH) {
            self.pruned.bodies += steps::drop_bodies(self.conn, bodies).await?;
            self.seen(Step::Bodies)?;
        }
        for requests in plan.requests.chunks(steps::BATCH) {
            self.pruned.requests += steps::drop_requests(self.conn, requests).await?;
            self.seen(Step::Bodies)?;
        }
        for exchanges in plan.exchanges.chunks(steps::BATCH) {
            self.pruned.exchanges += steps::delete_exchanges(self.conn, exchanges).await?;
            self.seen(Step::Totals)?;
        }
        // Last, since they say whose the exchanges are: whoever goes on after a stop must find them.
        for calls in plan.calls.chunks(steps::BATCH) {
            self.pruned.calls += steps::delete_calls(self.conn, whose, calls).await?;
            self.seen(Step::Totals)?;
        }
        self.sweep().await
    }

    /// Lets go of what nobody refers to any more.
    async fn sweep(&mut self) -> Result<(), Stop> {
        plan::none(self.conn).await?;
        let unused = mark::unused(self.conn).await?;
        for nodes in unused.nodes.chunks(steps::BATCH) {
            self.pruned.messages += steps::delete_nodes(self.conn, nodes, &unused.seen).await?;
            self.seen(Step::Unused)?;
        }
        for frames in unused.frames.chunks(steps::BATCH) {
            self.pruned.frames += steps::delete_frames(self.conn, frames, &unused.seen).await?;
            self.seen(Step::Unused)?;
        }
        for blobs in unused.blobs.chunks(steps::BATCH) {
            self.pruned.blobs += steps::delete_blobs(self.conn, blobs).await?;
            self.seen(Step::Unused)?;
        }
        Ok(())
    }

    /// Lets go of the oldest bodies until what is in use is no more than `most`.
    async fn shrink(&mut self, most: u64) -> Result<(), Stop> {
        loop {
            let used = sqlite::size(self.conn).await?.used;
            if used <= most {
                return Ok(());
            }
            let Some(before) = plan::oldest(self.conn, used - most, used).await? else {
                return Ok(());
            };
            let before = plan::Before { bodies: Some(before), totals: None };
            let plan = plan::make(self.conn, &Whose::Everyone, before).await?;
            self.let_go(&plan, &Whose::Everyone).await?;
        }
    }

    /// Gives empty pages back to the disk.
    async fn vacuum(&mut self) -> Result<(), Stop> {
        let mut empty = sqlite::size(self.conn).await?.empty_pages;
        while empty > 0 {
            sqlite::vacuum_some(self.conn).await.map_err(Error::Write)?;
            let left = sqlite::size(self.conn).await?.empty_pages;
            if left >= empty {
                // Not a file that can shrink.
                return Ok(());
            }
            empty = left;
            self.seen(Step::Pages)?;
        }
        Ok(())
    }

    fn seen(&mut self, step: Step) -> Result<(), Stop> {
        match (self.watch)(step) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Stop::Told),
        }
    }
}
