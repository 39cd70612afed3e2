//! Copies of a ledger into another database: from a file to Postgres, back, or into another file.
//!
//! The source is read in one state, also while a server uses it. The copy gets its rows table by table, in the order in
//! which they refer to each other, by pages in the order of their keys, a transaction each. Calls and exchanges keep their
//! numbers, so sums go on where they are. A copy that was broken off has the beginning of each table, and goes on there.
//! A copy that is whole is brought up to date: what differs is written, and what is gone is deleted. Afterwards both
//! sides are read again and compared, by counts and hashes. A copy is half a ledger until then, which nothing else opens
//! (`copy_state`).
//!
//! - `tables`: the tables and their statements.
//! - `rows`: pages of rows.
//! - `digest`: the hash of rows.

mod digest;
mod rows;
mod tables;

use std::{
    collections::{HashMap, HashSet},
    mem,
    time::Duration,
};

use serde::Serialize;

use self::{
    digest::Digest,
    rows::{Columns, Pages, Row, greatest_key, replace_zeros},
    tables::{Growth, TABLES, Table},
};
use super::{
    Durability, Error, catch_up,
    connection::{Connection, Transaction},
    copy_state::{self, CopyNote, CopyState},
    database::{self, Database, Taken},
    query::{query, query_scalar},
    recovery, session_index,
    session_state::IndexState,
    write::WriteConnection,
};
use crate::domain::exchange::{OwnerId, UnixMillis};

/// Time that the connection to the source waits for locks.
const PATIENCE: Duration = Duration::from_secs(5);

/// A part of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Rows are read in the source, and written to the copy where they differ.
    Copying,
    /// Both sides are read and compared.
    Comparing,
}

/// A copy that is whole and was compared with its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The source, without credentials.
    pub from: String,
    /// The copy, without credentials.
    pub to: String,
    /// The tables, in the order in which they were copied.
    pub tables: Vec<CopiedTable>,
    /// Texts in which a zero character was replaced by U+FFFD, because Postgres has no text with one.
    pub replaced: u64,
    /// Exchanges that were running in the source. They are not in the copy.
    pub running: u64,
}

/// A table of a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopiedTable {
    /// The name.
    pub name: &'static str,
    /// Number of rows, on both sides.
    pub rows: u64,
    /// Hash over the rows, on both sides.
    pub hash: String,
    /// Rows that were written.
    pub written: u64,
    /// Rows that were deleted, because the source does not have them any more.
    pub deleted: u64,
}

/// Called with the number of rows that are done, and of all.
type Watch<'w> = &'w mut (dyn FnMut(Phase, u64, u64) + Send);

/// Copies the ledger at `from` into the one at `to`, which is created, or is empty, or an earlier copy. What a dead
/// process has left beside the source is restored before. `watch` is told how many of all rows are done.
///
/// # Errors
///
/// If one of the two cannot be read or written, or the target is in use, or has rows of its own. What was written stays,
/// and the next run goes on with it.
pub async fn run(
    from: &str,
    to: &str,
    owner: OwnerId,
    now: UnixMillis,
    watch: Watch<'_>,
) -> Result<Copied, Error> {
    let (source, target) = (Database::parse(from)?, Database::parse(to)?.owned_by(owner));
    let (from, to) = (source.name(), target.name());
    let in_source = |error: Error| error.of_ledger(&from);
    let in_target = |error: Error| error.of_ledger(&to);
    catch_up::restore_left(&source, owner, now).await.map_err(in_source)?;
    match catch_up::restore_left(&target, owner, now).await {
        // It gets its tables, or its rows.
        Err(Error::Missing { .. } | Error::NoTables | Error::UnfinishedCopy) => {}
        restored => restored.map_err(in_target)?,
    }
    let connection = source.beside(PATIENCE).await.map_err(Error::Open);
    let mut connection = connection.map_err(in_source)?;
    let copied = {
        let snapshot = connection.begin_read().await.map_err(Error::Read).map_err(in_source)?;
        write(snapshot, &target, [from.clone(), to.clone()], owner, watch).await?
    };
    connection.close().await.map_err(Error::Read).map_err(in_source)?;
    Ok(copied)
}

/// Copies a state of the source, which begins with the first query.
async fn write(
    mut source: Transaction<'_>,
    target: &Database,
    names: [String; 2],
    owner: OwnerId,
    watch: Watch<'_>,
) -> Result<Copied, Error> {
    let [from, to] = names.clone();
    let in_target = |error: Error| error.of_ledger(&to);
    database::check(&mut source).await.map_err(|error| error.of_ledger(&from))?;
    let Taken { conn, mut lock, .. } = target.take_unfinished(owner).await.map_err(in_target)?;
    if let Some(lock) = &mut lock {
        lock.forget();
    }
    let writer = WriteConnection::open(target).await;
    // In Postgres it is one of the owners now, and must be the only one.
    if target.is_shared() {
        target.must_be_free(owner).await.map_err(in_target)?;
    }
    let mut copy = Copy {
        source,
        target: conn,
        writer: writer.map_err(Error::from).map_err(in_target)?,
        replaces_zeros: matches!(target, Database::Postgres(_)),
        names,
        changes: TABLES.iter().map(|_| Changes::default()).collect(),
        progress: Progress { watch, phase: Phase::Copying, done: 0, total: 0 },
    };
    let copied = copy.run().await?;
    let Copy { mut target, writer, .. } = copy;
    let closed: Result<(), Error> = async {
        database::checkpoint(&mut target).await.map_err(Error::Write)?;
        writer.close().await?;
        target.close().await.map_err(Error::Write)
    }
    .await;
    closed.map_err(in_target)?;
    drop(lock);
    Ok(copied)
}

/// Rows of a table that were changed in the copy.
#[derive(Debug, Clone, Copy, Default)]
struct Changes {
    inserted: u64,
    updated: u64,
    deleted: u64,
}

struct Progress<'w> {
    watch: Watch<'w>,
    phase: Phase,
    done: u64,
    total: u64,
}

impl Progress<'_> {
    fn begin(&mut self, phase: Phase) {
        self.phase = phase;
        self.done = 0;
    }

    fn add(&mut self, rows: u64) {
        self.done += rows;
        (self.watch)(self.phase, self.done.min(self.total), self.total);
    }
}

/// A copy in progress.
struct Copy<'c, 'w> {
    source: Transaction<'c>,
    target: Connection<'static>,
    writer: WriteConnection,
    replaces_zeros: bool,
    names: [String; 2],
    /// By table.
    changes: Vec<Changes>,
    progress: Progress<'w>,
}

impl Copy<'_, '_> {
    async fn run(&mut self) -> Result<Copied, Error> {
        let salt = self.salt().await.map_err(|error| self.in_source(error))?;
        let mut state = self.state(&salt).await?;
        for table in TABLES {
            let rows = rows::count(&mut self.source, table).await;
            self.progress.total += rows.map_err(|error| self.in_source(error))?;
        }
        let running = recovery::count(&mut self.source).await.map_err(Error::Read);
        let running = running.map_err(|error| self.in_source(error))?;
        loop {
            self.note(&salt, state).await?;
            self.write(state).await?;
            match (self.compare().await?, state) {
                (Ok((digests, replaced)), _) => {
                    self.finish().await.map_err(|error| self.in_target(error))?;
                    self.note(&salt, CopyState::Whole).await?;
                    return Ok(self.copied(&digests, replaced, running));
                }
                // The source has changed since the copy was broken off.
                (Err(_), CopyState::Begun) => state = CopyState::Renewed,
                (Err(table), _) => {
                    let [_, ledger] = self.names.clone();
                    return Err(Error::CopyDiffers { ledger, table });
                }
            }
        }
    }

    fn in_source(&self, error: Error) -> Error {
        error.of_ledger(&self.names[0])
    }

    fn in_target(&self, error: Error) -> Error {
        error.of_ledger(&self.names[1])
    }

    /// What tells a ledger and its copies from others.
    async fn salt(&mut self) -> Result<Vec<u8>, Error> {
        const SQL: &str = "select salt from holder_salt";
        Ok(query_scalar(SQL).fetch_one(&mut *self.source).await?)
    }

    /// The state in which the copy goes on. Fails if the target has rows that must not be lost.
    async fn state(&mut self, salt: &[u8]) -> Result<CopyState, Error> {
        const USED: &str = "select exists (select 1 from call) or exists (select 1 from exchange) \
             or exists (select 1 from running)";
        let found = copy_state::read(&mut self.target).await;
        let found = found.map_err(|error| self.in_target(error))?;
        let why = match found {
            None => {
                let used: Result<bool, _> = query_scalar(USED).fetch_one(&mut self.target).await;
                if !used.map_err(|error| self.in_target(error.into()))? {
                    return Ok(CopyState::Begun);
                }
                "it has calls, and is no copy"
            }
            Some(CopyNote { source, .. }) if source != salt => "it is a copy of another ledger",
            Some(CopyNote { state: CopyState::Begun, .. }) => return Ok(CopyState::Begun),
            Some(CopyNote { state: CopyState::Whole, has_own_rows: true, .. }) => {
                "a server has used it since it was copied"
            }
            Some(_) => return Ok(CopyState::Renewed),
        };
        Err(Error::NoCopyTarget { ledger: self.names[1].clone(), why })
    }

    async fn note(&mut self, salt: &[u8], state: CopyState) -> Result<(), Error> {
        let noted = copy_state::note(&mut self.target, salt, state).await;
        noted.map_err(|error| self.in_target(error))
    }

    /// Deletes what the source does not have, and writes what the copy does not have.
    async fn write(&mut self, state: CopyState) -> Result<(), Error> {
        let is_begun = |table: &Table| state == CopyState::Begun && table.growth == Growth::Rows;
        self.progress.begin(Phase::Copying);
        // Rows refer to those of tables before them.
        for (at, table) in TABLES.iter().enumerate().rev() {
            if !is_begun(table) {
                self.delete_gone(at, table).await?;
            }
            if state == CopyState::Begun {
                // A new ledger has a salt.
                self.changes[at].deleted = 0;
            }
        }
        for (at, table) in TABLES.iter().enumerate() {
            if is_begun(table) {
                let last = greatest_key(&mut self.target, table).await;
                let last = last.map_err(|error| self.in_target(error))?;
                let there = rows::count(&mut self.target, table).await;
                self.progress.add(there.map_err(|error| self.in_target(error))?);
                let mut pages = Pages::new(table, Columns::All, last);
                while let Some(page) = self.read(&mut pages).await? {
                    self.insert(at, table, page.rows).await?;
                }
            } else {
                let mut pages = Pages::new(table, Columns::All, None);
                while let Some(page) = self.read(&mut pages).await? {
                    let there = page.same_range(&mut self.target, table, Columns::All).await;
                    let there = there.map_err(|error| self.in_target(error))?;
                    let there: HashMap<_, _> =
                        there.iter().map(|row| (&row[..table.key], row)).collect();
                    let found = |row: &Row| there.get(&row[..table.key]).copied();
                    let read = page.rows.len();
                    let rows: Vec<Row> =
                        page.rows.into_iter().filter(|row| found(row) != Some(row)).collect();
                    let updated = rows.iter().filter(|row| found(row).is_some()).count() as u64;
                    self.progress.add((read - rows.len()) as u64);
                    self.insert(at, table, rows).await?;
                    self.changes[at].updated += updated;
                    self.changes[at].inserted -= updated;
                }
            }
        }
        Ok(())
    }

    /// The next page of the source, as the target can hold it.
    async fn read(&mut self, pages: &mut Pages) -> Result<Option<rows::Page>, Error> {
        let page = pages.next(&mut self.source).await;
        let mut page = page.map_err(|error| self.in_source(error))?;
        if self.replaces_zeros {
            page.iter_mut().flat_map(|page| &mut page.rows).for_each(|row| _ = replace_zeros(row));
        }
        Ok(page)
    }

    async fn insert(
        &mut self,
        at: usize,
        table: &'static Table,
        rows: Vec<Row>,
    ) -> Result<(), Error> {
        let number = rows.len() as u64;
        if number > 0 {
            let written = self.writer.transaction(Durability::Normal, move |sink| {
                sink.insert(&table.insert, &rows, |values, row| {
                    row.iter().try_for_each(|value| values.add_value(value.clone()))
                })
            });
            written.await.map_err(|error| self.in_target(error.into()))?;
        }
        self.changes[at].inserted += number;
        self.progress.add(number);
        Ok(())
    }

    /// Deletes the rows of the copy whose identity no row of the source has.
    async fn delete_gone(&mut self, at: usize, table: &'static Table) -> Result<(), Error> {
        let mut pages = Pages::new(table, Columns::Identity, None);
        loop {
            let page = pages.next(&mut self.target).await;
            let Some(page) = page.map_err(|error| self.in_target(error))? else { return Ok(()) };
            let kept = page.same_range(&mut self.source, table, Columns::Identity).await;
            let mut kept = kept.map_err(|error| self.in_source(error))?;
            if self.replaces_zeros {
                for row in &mut kept {
                    replace_zeros(row);
                }
            }
            let kept: HashSet<Row> = kept.into_iter().collect();
            let gone: Vec<Row> = page.rows.into_iter().filter(|row| !kept.contains(row)).collect();
            self.changes[at].deleted += gone.len() as u64;
            if !gone.is_empty() {
                let deleted = self.writer.transaction(Durability::Normal, move |sink| {
                    sink.each(table.delete, &gone, |values, row| {
                        row[..table.key]
                            .iter()
                            .try_for_each(|value| values.add_value(value.clone()))
                    })
                });
                deleted.await.map_err(|error| self.in_target(error.into()))?;
            }
        }
    }

    /// Compares all tables: their digests and the number of replaced texts, or the first table that differs.
    async fn compare(&mut self) -> Result<Result<(Vec<Digest>, u64), &'static str>, Error> {
        self.progress.begin(Phase::Comparing);
        let mut digests = Vec::with_capacity(TABLES.len());
        let mut replaced = 0;
        for table in TABLES {
            let (progress, replaces_zeros) = (&mut self.progress, self.replaces_zeros);
            let [from, to] = &self.names;
            let (source, target) = (&mut self.source, &mut self.target);
            let source = async {
                let mut digest = Digest::default();
                let mut pages = Pages::new(table, Columns::All, None);
                while let Some(mut page) = pages.next(source).await? {
                    for row in &mut page.rows {
                        if replaces_zeros {
                            replaced += replace_zeros(row);
                        }
                        digest.add(row);
                    }
                    progress.add(page.rows.len() as u64);
                }
                Ok::<_, Error>(digest)
            };
            let target = async {
                let mut digest = Digest::default();
                let mut pages = Pages::new(table, Columns::All, None);
                while let Some(page) = pages.next(target).await? {
                    page.rows.iter().for_each(|row| digest.add(row));
                }
                Ok::<_, Error>(digest)
            };
            let (source, target) = tokio::join!(source, target);
            let source = source.map_err(|error| error.of_ledger(from))?;
            if source != target.map_err(|error| error.of_ledger(to))? {
                return Ok(Err(table.name()));
            }
            digests.push(source);
        }
        Ok(Ok((digests, replaced)))
    }

    /// Lets new rows follow the copied ones.
    async fn finish(&mut self) -> Result<(), Error> {
        const SEQUENCES: &str = "select \
             setval(pg_get_serial_sequence('exchange', 'rowid'), \
                 coalesce(max(rowid), 1), max(rowid) is not null) from exchange \
             union all select setval(pg_get_serial_sequence('call', 'seq'), \
                 coalesce(max(seq), 1), max(seq) is not null) from call \
             union all select setval(pg_get_serial_sequence('repricing', 'id'), \
                 coalesce(max(id), 1), max(id) is not null) from repricing";
        if let Connection::Postgres(_) = self.target {
            query(SEQUENCES).execute(&mut self.target).await.map_err(Error::Write)?;
            // Its planner does not know yet how many rows there are.
            let analyze = "analyze frame, node, blob, piece, exchange, call, answer_ref";
            query(analyze).execute(&mut self.target).await.map_err(Error::Write)?;
        }
        // The index of sessions goes by calls, which stay as they are while others follow.
        let is_changed = |(table, changes): (&Table, &Changes)| {
            table.growth == Growth::Rows && changes.updated + changes.deleted > 0
        };
        if TABLES.iter().zip(&self.changes).any(is_changed) {
            let index = IndexState::read(&mut self.target).await?;
            if index.upto > 0 {
                session_index::void(&mut self.target, &index).await.map_err(Error::Write)?;
            }
        }
        Ok(())
    }

    fn copied(&mut self, digests: &[Digest], replaced: u64, running: i64) -> Copied {
        let [from, to] = mem::take(&mut self.names);
        let table = |((table, digest), changes): ((&Table, &Digest), &Changes)| CopiedTable {
            name: table.name(),
            rows: digest.rows,
            hash: digest.to_string(),
            written: changes.inserted + changes.updated,
            deleted: changes.deleted,
        };
        let tables = TABLES.iter().zip(digests).zip(&self.changes).map(table).collect();
        Copied { from, to, tables, replaced, running: u64::try_from(running).unwrap_or(0) }
    }
}
