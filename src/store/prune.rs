//! Pruning of a ledger: bodies and totals that are older than their limits, and the oldest bodies above a size.
//!
//! Pruning is a sequence of short transactions, and the ledger is consistent after each of them: an answer stops being
//! servable before its body is deleted, sums stop counting calls before these are deleted, and messages are deleted
//! when nothing refers to them, children first. The next pruning finds the rest that a stopped one left.
//!
//! - `plan` selects the rows.
//! - `pages` tells how much space that leaves.
//! - `steps` deletes them, some hundred at a time.
//! - `mark` then finds the messages, frames and blobs that nothing refers to any more.
//! - `unused_space` overwrites the copies that SQLite left where rows once stood.
//!
//! A writer relies on the rows that it has written. So only the owner of a file may prune it: [`run`] takes the lock, or
//! fails and names its holder; the owners of a ledger in Postgres make room for it (`replicas::room`). A server prunes its own ledger (`online_prune`), by `on` with a connection
//! beside the writer's: each transaction that deletes spares the rows that were written meanwhile. The server also has
//! to care for its memory:
//!
//! - Hot answers must be forgotten after each [`Step::Bodies`] and [`Step::Totals`].
//! - From before the marking until the end, no hash may count as persisted, and all rows that were packed before must
//!   be committed. Then every request brings all rows that it refers to.

mod mark;
mod pages;
mod plan;
mod steps;
mod unused_space;

use std::{fmt, ops::ControlFlow, time::Duration};

use serde::{Deserialize, Serialize};

use self::{steps::Sums, unused_space::Maps};
use super::{
    Error, Reader,
    connection::Connection,
    database::{self, Database, Taken},
    journal::{Slot, Slots},
    older::Older,
    recovery,
    replicas::room,
    search, sqlite, users,
    wal::{self, Wal},
    write::WriteConnection,
};
use crate::domain::exchange::{CallId, OwnerId, UnixMillis};

/// Limits of what a ledger keeps.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The owner of the calls.
    pub whose: Whose,
    /// Age from which on bodies are deleted; `None`: never.
    pub keep_bodies: Option<Duration>,
    /// Age from which on everything is deleted, sums too; `None`: never.
    pub keep_totals: Option<Duration>,
    /// Size in bytes above which the oldest bodies are deleted; `None`: no limit.
    pub max_bytes: Option<u64>,
}

impl Limits {
    /// True if one of these limits is lower than that of `other`, or has none there.
    pub fn is_stricter_than(&self, other: &Self) -> bool {
        fn is_lower<T: PartialOrd>(limit: Option<T>, other: Option<T>) -> bool {
            limit.is_some_and(|limit| other.is_none_or(|other| limit < other))
        }
        is_lower(self.keep_bodies, other.keep_bodies)
            || is_lower(self.keep_totals, other.keep_totals)
            || is_lower(self.max_bytes, other.max_bytes)
    }

    /// No limits: only what nothing refers to goes, and empty pages.
    pub const fn none() -> Self {
        Self { whose: Whose::Everyone, keep_bodies: None, keep_totals: None, max_bytes: None }
    }
}

/// Selection of calls by their owner.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// All calls.
    #[default]
    Everyone,
    /// Calls of one user, as clients state it. An exchange belongs to the user whose call it answered first.
    User(String),
    /// Calls of these chats.
    Chats(Vec<String>),
    /// These calls.
    Calls(Vec<CallId>),
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("everyone"),
            Self::User(user) => write!(f, "user {user}"),
            Self::Chats(chats) => match &**chats {
                [chat] => write!(f, "chat {chat}"),
                chats => write!(f, "{} chats", chats.len()),
            },
            Self::Calls(calls) => match &**calls {
                [call] => write!(f, "call {call}"),
                calls => write!(f, "{} calls", calls.len()),
            },
        }
    }
}

/// Numbers of what was deleted, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pruned {
    /// Exchanges whose request and answer were deleted, while their totals stay.
    pub bodies: u64,
    /// Calls whose client's request was deleted, while their totals stay.
    pub requests: u64,
    /// Deleted exchanges.
    pub exchanges: u64,
    /// Deleted calls, which reports count no longer.
    pub calls: u64,
    /// Messages that nothing referred to any more.
    pub messages: u64,
    /// Frames (models, system prompts, tools, parameters) that nothing referred to any more.
    pub frames: u64,
    /// Images and other long texts that nothing referred to any more.
    pub blobs: u64,
    /// Names of users of whom no call is left.
    #[serde(default)]
    pub user_names: u64,
    /// The size of the ledger before, in bytes.
    pub bytes_before: u64,
    /// The size afterwards; in a preview, the most that would be left.
    pub bytes_after: u64,
    /// The rest of the user or the chats; `None`: everyone was meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
}

/// The calls and answers that a pruning leaves of a user or of chats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Kept {
    /// Calls with their totals, tags and ids.
    pub calls: u64,
    /// Answers to these calls: newer ones, and those that another caller asked for first.
    pub answers: u64,
}

/// Kind of a committed transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The sums of calls that will be deleted.
    Sums,
    /// Calls and exchanges, with their totals.
    Totals,
    /// Recordings and references to requests.
    Bodies,
    /// Messages, frames and blobs, and entries of the index of words.
    Unused,
    /// Empty pages, given back to the disk, and unused space in pages, overwritten.
    Pages,
}

/// Reasons for an early end.
#[derive(Debug)]
enum Stop {
    /// `watch` asked for it.
    Requested,
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// A running pruning.
struct Pruning<'a, 'c> {
    conn: &'a mut Connection<'c>,
    wal: &'a Wal,
    /// Unused space is overwritten even if nothing is deleted: an earlier pruning may have been stopped before it.
    thorough: bool,
    watch: &'a mut (dyn FnMut(Step) -> ControlFlow<()> + Send),
    pruned: Pruned,
}

/// Prunes the ledger at `url`; fails while another process owns it. `watch` is called after each transaction and may
/// end the pruning: the next one does the rest.
pub async fn run(
    url: &str,
    owner: OwnerId,
    limits: &Limits,
    now: UnixMillis,
    watch: &mut (dyn FnMut(Step) -> ControlFlow<()> + Send),
) -> Result<Pruned, Error> {
    let file = Database::parse(url)?;
    file.must_be_ledger().await?;
    let failed = |source| file.not_created(source);
    let Taken { mut conn, mut lock, .. } = file.take(owner).await?;
    if let Some(lock) = &mut lock {
        lock.forget();
    }
    // Exchanges that a dead process left running refer to bodies; sealed, the marking sees them.
    let mut writer = WriteConnection::open(&file).await?;
    let journals = Slots::of(&file).take_left().map_err(failed)?;
    recovery::run(&mut conn, &mut writer, &file, journals.iter(), owner, now).await?;
    writer.close().await?;
    // A step that is lost with the power is repeated by the next pruning.
    database::do_not_sync(&mut conn).await.map_err(Error::Open)?;
    journals.into_iter().for_each(Slot::remove);
    let wal = Wal::of(file.path(), wal::limit(limits.max_bytes));
    room::take(&mut conn, None).await?;
    let pruned = on(&mut conn, &wal, limits, now, true, watch).await?;
    room::give_back(&mut conn).await?;
    database::checkpoint(&mut conn).await.map_err(Error::Write)?;
    conn.close().await.map_err(Error::Write)?;
    drop(lock);
    Ok(pruned)
}

/// Prunes through a connection of the ledger's owner.
pub(super) async fn on(
    conn: &mut Connection<'_>,
    wal: &Wal,
    limits: &Limits,
    now: UnixMillis,
    thorough: bool,
    watch: &mut (dyn FnMut(Step) -> ControlFlow<()> + Send),
) -> Result<Pruned, Error> {
    let bytes_before = database::size(conn).await?.whole;
    plan::none(conn).await?;
    let pruned = Pruned { bytes_before, ..Pruned::default() };
    let mut pruning = Pruning { conn: &mut *conn, wal, thorough, watch, pruned };
    match pruning.all(limits, now).await {
        Ok(()) | Err(Stop::Requested) => {}
        Err(Stop::Failed(error)) => return Err(error),
    }
    let pruned = pruning.pruned;
    plan::none(conn).await?;
    let kept = plan::kept(conn, &limits.whose).await?;
    Ok(Pruned { bytes_after: database::size(conn).await?.whole, kept, ..pruned })
}

impl Pruned {
    /// True if rows are among it.
    pub const fn has_deleted(&self) -> bool {
        let Self {
            bodies, requests, exchanges, calls, messages, frames, blobs, user_names, ..
        } = *self;
        bodies + requests + exchanges + calls + messages + frames + blobs + user_names > 0
    }
}

/// The deletions of a prune that is not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preview {
    /// The numbers.
    pub pruned: Pruned,
    /// The moment before which bodies are deleted; `None`: they stay, or all are deleted.
    pub bodies_before: Option<UnixMillis>,
    /// The moment before which totals are deleted; `None`: they stay.
    pub totals_before: Option<UnixMillis>,
}

impl Reader {
    /// Previews [`run`]. Changes nothing, and may run beside a server.
    pub async fn would_prune(&self, limits: &Limits, now: UnixMillis) -> Result<Preview, Error> {
        let mut conn = self.pool().acquire().await?;
        if let Connection::Sqlite(conn) = &mut conn {
            sqlite::keep_temporary_tables_in_memory(conn.get()).await?;
        }
        let mut tx = conn.begin_read().await?;
        let plan = plan::within(&mut tx, limits, limits.max_bytes, now).await?;
        let unused = mark::unused(&mut tx).await?;
        let bytes_before = database::size(&mut tx).await?.whole;
        let freed = plan.bytes(&mut tx).await? + unused.bytes;
        let kept = plan::kept(&mut tx, &limits.whose).await?;
        let user_names = users::without_calls(&mut tx).await?.len() as u64;
        tx.rollback().await?;
        let pruned = Pruned {
            kept,
            bodies: plan.bodies.len() as u64,
            requests: plan.requests.len() as u64,
            exchanges: plan.exchanges.len() as u64,
            calls: plan.calls.len() as u64,
            messages: unused.nodes.len() as u64,
            frames: unused.frames.len() as u64,
            blobs: unused.blobs.len() as u64,
            user_names,
            bytes_before,
            bytes_after: bytes_before.saturating_sub(freed),
        };
        let before = |older: Option<Older>| {
            older.map(Older::before).filter(|before| *before < Older::EVERYTHING.before())
        };
        let plan::Before { bodies, totals } = plan.before;
        Ok(Preview { pruned, bodies_before: before(bodies), totals_before: before(totals) })
    }
}

impl Pruning<'_, '_> {
    async fn all(&mut self, limits: &Limits, now: UnixMillis) -> Result<(), Stop> {
        let most = match limits.max_bytes {
            // A log that a reader keeps from being emptied takes its part of the disk.
            Some(most) if self.is_wal_held().await? => Some(most.saturating_sub(self.wal.bytes())),
            most => most,
        };
        let plan = plan::within(self.conn, limits, most, now).await?;
        self.delete(&plan, &limits.whose).await?;
        if let Some(most) = most {
            self.shrink(most, now).await?;
        }
        self.forget_names(&limits.whose).await?;
        self.vacuum().await?;
        self.clear_unused_space().await
    }

    async fn delete(&mut self, plan: &plan::Plan, whose: &Whose) -> Result<(), Stop> {
        let sums = match (whose, plan.before.totals) {
            (Whose::Everyone, Some(older)) => {
                steps::count_from(self.conn, older.before()).await?;
                self.report(Step::Sums)?;
                if older.goes_ahead() { Sums::Void } else { Sums::Deleted }
            }
            (Whose::Everyone, None) => Sums::Deleted,
            (Whose::User(_) | Whose::Chats(_) | Whose::Calls(_), _) => Sums::Void,
        };
        for bodies in plan.bodies.chunks(steps::BATCH) {
            self.pruned.bodies += steps::drop_bodies(self.conn, bodies).await?;
            self.report(Step::Bodies)?;
        }
        for requests in plan.requests.chunks(steps::BATCH) {
            self.pruned.requests += steps::drop_requests(self.conn, requests).await?;
            self.report(Step::Bodies)?;
        }
        for exchanges in plan.exchanges.chunks(steps::BATCH) {
            self.pruned.exchanges += steps::delete_exchanges(self.conn, exchanges).await?;
            self.report(Step::Totals)?;
        }
        // Last, since the calls tell whose the exchanges are: a pruning after a stop must find them.
        for calls in plan.calls.chunks(steps::BATCH) {
            self.pruned.calls += steps::delete_calls(self.conn, sums, calls).await?;
            self.report(Step::Totals)?;
        }
        self.sweep().await
    }

    /// Deletes the names of users of whom no call is left. Only deleted calls leave some behind, those of an earlier pruning
    /// that was stopped, and requests that were refused without a row.
    async fn forget_names(&mut self, whose: &Whose) -> Result<(), Stop> {
        if self.thorough || self.pruned.calls > 0 || matches!(whose, Whose::User(_)) {
            plan::none(self.conn).await?;
            let nameless = users::without_calls(self.conn).await?;
            for users in nameless.chunks(steps::BATCH) {
                self.pruned.user_names += users::delete_names(self.conn, users).await?;
                self.report(Step::Totals)?;
            }
        }
        Ok(())
    }

    /// Deletes the messages, frames and blobs that nothing refers to, and the words of bodies that are not there any more.
    async fn sweep(&mut self) -> Result<(), Stop> {
        for batch in search::withdraw(self.conn).await? {
            search::remove(self.conn, &batch).await?;
            self.report(Step::Unused)?;
        }
        plan::none(self.conn).await?;
        let unused = mark::unused(self.conn).await?;
        for nodes in unused.nodes.chunks(steps::BATCH) {
            self.pruned.messages += steps::delete_nodes(self.conn, nodes, &unused.seen).await?;
            self.report(Step::Unused)?;
        }
        for frames in unused.frames.chunks(steps::BATCH) {
            self.pruned.frames += steps::delete_frames(self.conn, frames, &unused.seen).await?;
            self.report(Step::Unused)?;
        }
        for blobs in unused.blobs.chunks(steps::BATCH) {
            self.pruned.blobs += steps::delete_blobs(self.conn, blobs).await?;
            self.report(Step::Unused)?;
        }
        Ok(())
    }

    /// Deletes the oldest bodies until no more than `most` bytes are in use: what the plan expected to free may be more
    /// than what it did.
    async fn shrink(&mut self, most: u64, now: UnixMillis) -> Result<(), Stop> {
        loop {
            let used = database::used_bytes(self.conn).await?;
            if used <= most {
                return Ok(());
            }
            if !plan::has_bodies(self.conn).await? {
                return Ok(());
            }
            let older = match plan::oldest(self.conn, used - most, used, now).await? {
                Some(oldest) => Older::than(self.conn, oldest, now).await.map_err(Error::from)?,
                None => Older::EVERYTHING,
            };
            let before = plan::Before { bodies: Some(older), totals: None };
            let plan = plan::make(self.conn, &Whose::Everyone, before).await?;
            self.delete(&plan, &Whose::Everyone).await?;
        }
    }

    /// Gives empty pages back to the disk.
    async fn vacuum(&mut self) -> Result<(), Stop> {
        let Connection::Sqlite(conn) = &mut *self.conn else { return Ok(()) };
        let mut empty = sqlite::size(conn.get()).await?.empty_pages;
        while empty > 0 {
            let Connection::Sqlite(conn) = &mut *self.conn else { return Ok(()) };
            sqlite::vacuum_some(conn.get()).await.map_err(Error::Write)?;
            let left = sqlite::size(conn.get()).await?.empty_pages;
            if left >= empty {
                // The file cannot shrink.
                return Ok(());
            }
            empty = left;
            self.report(Step::Pages)?;
        }
        Ok(())
    }

    /// Overwrites the copies of deleted rows in the unused space of pages.
    async fn clear_unused_space(&mut self) -> Result<(), Stop> {
        if !self.thorough && !self.pruned.has_deleted() {
            return Ok(());
        }
        let Connection::Sqlite(conn) = &mut *self.conn else { return Ok(()) };
        let Some(maps) = Maps::of(conn.get()).await.map_err(Error::Write)? else {
            tracing::warn!(
                "copies of what was deleted may stand in unused space of the ledger: this build of SQLite cannot \
                 overwrite it; build with LIBSQLITE3_FLAGS=-DSQLITE_ENABLE_DBPAGE_VTAB"
            );
            return Ok(());
        };
        let pages = sqlite::size(conn.get()).await?.pages;
        for map in maps.numbers(pages) {
            let Connection::Sqlite(conn) = &mut *self.conn else { return Ok(()) };
            if maps.clear(conn.get(), map).await.map_err(Error::Write)? > 0 {
                self.report(Step::Pages)?;
            }
        }
        Ok(())
    }

    async fn is_wal_held(&mut self) -> Result<bool, Error> {
        match &mut *self.conn {
            Connection::Sqlite(conn) => sqlite::is_wal_held(conn.get()).await.map_err(Error::Write),
            Connection::Postgres(_) => Ok(false),
        }
    }

    fn report(&mut self, step: Step) -> Result<(), Stop> {
        match (self.watch)(step) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Stop::Requested),
        }
    }
}
