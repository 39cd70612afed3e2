//! SQLite alone: the database file, its connections, pragmas, transactions that write, and error codes.
//!
//! - `connection`: the one that writes.
//! - `place`: the files at a ledger's path; nothing is touched before it is known to be a ledger.
//! - `lock`: the locks of the process that writes.
//! - `retention_note`: the retention that was applied last.
//! - `identity`: the file that is open, compared with that at its path.
//! - `carry_over`: what goes from a file that was replaced into the next one.

mod carry_over;
mod connection;
mod identity;
mod lock;
mod place;
mod retention_note;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use sqlx::{
    ConnectOptions, Connection, QueryBuilder, Sqlite, SqliteConnection, SqlitePool, Transaction,
    sqlite::{
        SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions,
        SqliteSynchronous,
    },
};
use tracing::warn;

pub use self::retention_note::{Announced, RetentionNote};
pub(super) use self::{
    carry_over::{Carried, carried, carry_over},
    connection::{WriteConnection, set_durability, transaction},
    identity::{Fault, OpenFile},
    lock::{Lock, Newest},
    place::{Content, beside, create_folder, with_end},
};
use super::{Error, migrations};
use crate::domain::exchange::OwnerId;

/// Busy timeout of the writer: short, since it retries itself and reports meanwhile what is wrong.
pub(super) const WRITER_BUSY: Duration = Duration::from_millis(500);

/// Busy timeout of all other connections: longer than any transaction of the writer.
const BUSY: Duration = Duration::from_secs(5);

/// Sets the application id in the header, which is that of [`place`].
const SET_APPLICATION_ID: &str = "pragma application_id = 1383101043";

/// Prepared statements that a connection keeps: more than the writer has for the batches that come again and again.
const STATEMENTS: usize = 64;

/// The database of a ledger.
#[derive(Debug, Clone)]
pub(super) struct DatabaseFile {
    options: SqliteConnectOptions,
    /// `None`: in memory, gone with the last connection.
    path: Option<PathBuf>,
}

impl DatabaseFile {
    /// Parses a URL: `sqlite://path`, `sqlite:path`, with `?mode=…` or without, or `sqlite::memory:`.
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let options = usual(SqliteConnectOptions::from_str(url).map_err(Error::Url)?);
        // sqlx gives a database in memory a name of its own; so does SQLite's `mode=memory`.
        let memory = url.contains(":memory:") || url.contains("mode=memory");
        let path = (!memory).then(|| options.get_filename().to_owned());
        Ok(Self { options, path })
    }

    /// The database in a file of ours.
    pub(super) fn at(path: &Path) -> Self {
        let options = usual(SqliteConnectOptions::new().filename(path));
        Self { options, path: Some(path.to_owned()) }
    }

    /// The file, as the operator names it; `None`: it is in memory.
    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The file itself, where its path is a link; `None`: it is in memory, or cannot be told.
    pub(super) fn real(&self) -> Option<PathBuf> {
        place::real(self.path.as_ref()?).ok()
    }

    /// The journal beside the file; `None`: the ledger is in memory.
    pub(super) fn journal(&self) -> Option<PathBuf> {
        self.real().map(|path| with_end(&path, ".journal"))
    }

    /// The error that a file of the ledger could not be created.
    pub(super) fn not_created(&self, source: io::Error) -> Error {
        Error::Create { path: self.path.clone().unwrap_or_default(), source }
    }

    /// Fails while another process owns the ledger.
    pub(super) fn must_be_free(&self, owner: OwnerId) -> Result<(), Error> {
        let Some(path) = &self.path else { return Ok(()) };
        Lock::take(&place::real(path)?, owner).map(drop)
    }

    /// Makes this process the owner of the ledger, which is created where it is missing, and migrates the tables.
    pub(super) async fn take(&self, owner: OwnerId) -> Result<Taken, Error> {
        let Some(path) = &self.path else {
            let mut conn = self.writer().await.map_err(Error::Open)?;
            migrate(&mut conn).await?;
            return Ok(Taken { conn, lock: None, open: None });
        };
        let failed = |source| Error::Create { path: path.clone(), source };
        let real = place::real(path)?;
        create_folder(&real).map_err(failed)?;
        // Before anything is made beside it, too.
        let mut content = place::examine(&real).await?;
        place::check_beside(&real)?;
        let mut lock = Lock::take(&real, owner)?;
        if content != Content::Ledger {
            // Another process may have been faster.
            content = place::examine(&real).await?;
        }
        place::make_private(lock.database()).map_err(failed)?;
        if lock.database().metadata().map_err(failed)?.nlink() > 1 {
            let path = path.display();
            warn!(%path, "the ledger has other names (hard links): under them, its write-ahead log is not found");
        }
        place::make_beside_private(&real)?;
        let [wal, _] = beside(&real);
        let wal_bytes = fs::metadata(&wal).ok().map(|wal| wal.len());
        if content != Content::Ledger {
            self.mark().await.map_err(Error::Open)?;
            lock.forget();
        }
        let mut conn = self.writer().await.map_err(Error::Open)?;
        migrate(&mut conn).await?;
        lock.check_newest(&mut conn, &wal, wal_bytes).await?;
        let open = OpenFile::new(path, &real, Arc::clone(lock.database())).map_err(failed)?;
        Ok(Taken { conn, lock: Some(lock), open: Some(open) })
    }

    /// Writes the application id into an empty database itself, before there is a write-ahead log.
    async fn mark(&self) -> Result<(), sqlx::Error> {
        let options = self.options.clone().auto_vacuum(SqliteAutoVacuum::Incremental);
        let mut conn = options.connect().await?;
        sqlx::raw_sql(SET_APPLICATION_ID).execute(&mut conn).await?;
        conn.close().await
    }

    /// A connection for long work on the ledger by its owner: migrations, recovery, pruning.
    async fn writer(&self) -> Result<SqliteConnection, sqlx::Error> {
        self.options
            .clone()
            .create_if_missing(self.path.is_none())
            .busy_timeout(WRITER_BUSY)
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // In KiB: hashes fall anywhere in their tables, and pages that must be read again cost more than memory.
            .pragma("cache_size", "-4096")
            // In pages: a page that several commits write is moved into the file once.
            .pragma("wal_autocheckpoint", "4000")
            // A write-ahead log that had to grow is cut again when it begins anew. In bytes.
            .pragma("journal_size_limit", "16777216")
            // Journals of single statements are small and need no files.
            .pragma("temp_store", "memory")
            .connect()
            .await
    }

    /// A connection for small writes beside the writer, such as sums for reports. It creates no file, and waits for the
    /// writer as long as `patience`.
    pub(super) async fn beside(&self, patience: Duration) -> Result<SqliteConnection, sqlx::Error> {
        let options = self.options.clone().create_if_missing(false).busy_timeout(patience);
        options.synchronous(SqliteSynchronous::Normal).connect().await
    }

    /// Read-only connections, opened on demand.
    pub(super) fn readers(&self) -> SqlitePool {
        let options = match self.path {
            Some(_) => self.options.clone().read_only(true).create_if_missing(false),
            // Connections to memory share a cache and would wait for each other's locks.
            None => {
                self.options.clone().pragma("read_uncommitted", "on").pragma("query_only", "on")
            }
        };
        SqlitePoolOptions::new()
            .max_connections(4)
            // A connection to a file does not go stale.
            .test_before_acquire(false)
            .acquire_timeout(Duration::from_secs(2))
            .connect_lazy_with(options)
    }

    /// Connections to a ledger in a folder where nothing can be written, not even the `-shm` file that readers and the
    /// writer share. `None` where a process has it open: it would change under the reader.
    pub(super) fn readers_in_sealed_folder(&self) -> Option<SqlitePool> {
        let [wal, _] = beside(self.path.as_ref()?);
        let options = self.options.clone().read_only(true).create_if_missing(false).immutable(true);
        (!wal.exists())
            .then(|| SqlitePoolOptions::new().max_connections(4).connect_lazy_with(options))
    }

    /// The file as it is at its path; `None`: it is in memory. Fails where something else is there.
    pub(super) async fn found(&self) -> Result<Option<(PathBuf, Content)>, Error> {
        let Some(path) = &self.path else { return Ok(None) };
        let real = place::real(path)?;
        let content = place::examine(&real).await?;
        place::check_beside(&real)?;
        Ok(Some((real, content)))
    }

    /// Fails unless the file is a ledger. Changes nothing: a database of another program stays as it is.
    pub(super) async fn must_be_ledger(&self) -> Result<(), Error> {
        match self.found().await? {
            Some((path, Content::Missing)) => Err(Error::Missing { path }),
            Some((_, Content::Empty)) => Err(Error::NoTables),
            Some((_, Content::Ledger)) | None => Ok(()),
        }
    }
}

/// The options of every connection.
fn usual(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .disable_statement_logging()
        .statement_cache_capacity(STATEMENTS)
        .busy_timeout(BUSY)
        .foreign_keys(true)
        // What is deleted is overwritten, and cannot be read in the file afterwards.
        .pragma("secure_delete", "on")
}

/// A ledger of which this process is the owner.
pub(super) struct Taken {
    pub(super) conn: SqliteConnection,
    /// `None`, as `open`: it is in memory.
    pub(super) lock: Option<Lock>,
    pub(super) open: Option<OpenFile>,
}

/// Runs the migrations that the ledger does not have yet.
async fn migrate(conn: &mut SqliteConnection) -> Result<(), Error> {
    // `run` takes anything that gives a connection, which a spawned task cannot prove to be `Send`.
    let run = migrations::SQLITE.migrator();
    run.run_direct(None, conn, false).await.map_err(|error| migrations::SQLITE.error(error))?;
    identify(conn).await.map_err(Error::Open)
}

/// Sets the ids in the header by which the file is recognized: those of a ledger, and of its newest migration.
async fn identify(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    const IDS: &str = "select application_id, user_version \
         from pragma_application_id, pragma_user_version";
    let (id, version): (i64, i64) = sqlx::query_as(IDS).fetch_one(&mut *conn).await?;
    let newest = migrations::SQLITE.newest();
    if version != newest {
        let mut query = QueryBuilder::<Sqlite>::new("pragma user_version = ");
        query.push(newest).build().execute(&mut *conn).await?;
    }
    if id != i64::from(place::APPLICATION_ID) {
        sqlx::raw_sql(SET_APPLICATION_ID).execute(&mut *conn).await?;
        // Where it is read without the write-ahead log, too.
        checkpoint(conn).await?;
    }
    Ok(())
}

/// Fails unless the tables are those of this version.
pub(super) async fn check(conn: &mut SqliteConnection) -> Result<(), Error> {
    const TABLES: &str = "select count(*) from sqlite_master where name = '_sqlx_migrations'";
    const NEWEST: &str = "select max(version) from _sqlx_migrations where success";
    let tables: i64 =
        sqlx::query_scalar(TABLES).fetch_one(&mut *conn).await.map_err(Error::Open)?;
    let found: Option<i64> = match tables {
        0 => None,
        _ => sqlx::query_scalar(NEWEST).fetch_one(conn).await.map_err(Error::Open)?,
    };
    migrations::SQLITE.check(found)
}

/// Begins a transaction that writes, as [`super::connection`] does.
pub(super) async fn begin_write(
    conn: &mut SqliteConnection,
) -> Result<Transaction<'_, Sqlite>, sqlx::Error> {
    conn.begin_with("begin immediate").await
}

/// Makes the commits of a connection survive the end of the process, not that of the power.
pub(super) async fn do_not_sync(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    // Not prepared: a pragma acts when it is compiled, and a prepared one would be compiled only once.
    sqlx::raw_sql("pragma synchronous = normal").execute(conn).await.map(drop)
}

/// Keeps temporary tables in memory.
pub(super) async fn keep_temporary_tables_in_memory(
    conn: &mut SqliteConnection,
) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("pragma temp_store = memory").execute(conn).await.map(drop)
}

/// Moves the write-ahead log into the database file and empties it. Returns `false` if another connection that reads or
/// writes prevents it.
pub(super) async fn checkpoint(conn: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let (busy, ..): (i64, i64, i64) =
        sqlx::query_as("pragma wal_checkpoint(truncate)").fetch_one(conn).await?;
    Ok(busy == 0)
}

/// Moves as much of the write-ahead log into the database file as readers allow, and waits for none. Returns `true` if
/// one that reads an older state keeps a part back.
pub(super) async fn is_wal_held(conn: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let (_, frames, moved): (i64, i64, i64) =
        sqlx::query_as("pragma wal_checkpoint(passive)").fetch_one(conn).await?;
    Ok(moved < frames)
}

/// Gives some empty pages back to the disk.
pub(super) async fn vacuum_some(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("pragma incremental_vacuum(512)").fetch_all(conn).await.map(drop)
}

/// The first errors in the file; empty if there are none.
pub(super) async fn quick_check(conn: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    let mut found: Vec<String> =
        sqlx::query_scalar("pragma quick_check(5)").fetch_all(conn).await?;
    found.retain(|line| line != "ok");
    Ok(found)
}

/// The first errors in the file and in its indexes, which takes longer; empty if there are none.
pub(super) async fn integrity_check(
    conn: &mut SqliteConnection,
) -> Result<Vec<String>, sqlx::Error> {
    let check = sqlx::query_scalar("pragma integrity_check(20)");
    let mut found: Vec<String> = check.fetch_all(conn).await?;
    found.retain(|line| line != "ok");
    Ok(found)
}

/// Number of rows whose foreign key leads to no row.
pub(super) async fn foreign_key_check(conn: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let found = sqlx::query("pragma foreign_key_check").fetch_all(conn).await?;
    Ok(found.len() as u64)
}

/// Writes the database anew.
pub(super) async fn vacuum(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    // The file in between has the size of the ledger, too large for memory.
    sqlx::raw_sql("pragma temp_store = file").execute(&mut *conn).await?;
    sqlx::raw_sql("vacuum").execute(conn).await.map(drop)
}

/// Copies one state of the database into an empty file.
pub(super) async fn vacuum_into(
    conn: &mut SqliteConnection,
    path: &Path,
) -> Result<(), sqlx::Error> {
    sqlx::query("vacuum into $1").bind(path.to_str()).execute(conn).await.map(drop)
}

/// The size of a ledger.
pub(super) struct Size {
    /// All pages, in bytes.
    pub(super) whole: u64,
    /// The pages that are not empty, in bytes.
    pub(super) used: u64,
    pub(super) pages: u64,
    pub(super) empty_pages: u64,
}

pub(super) async fn size(conn: &mut SqliteConnection) -> Result<Size, sqlx::Error> {
    let (pages, empty, bytes): (i64, i64, i64) = sqlx::query_as(
        "select page_count, freelist_count, page_size \
         from pragma_page_count, pragma_freelist_count, pragma_page_size",
    )
    .fetch_one(conn)
    .await?;
    let bytes = |pages: i64| u64::try_from(pages * bytes).unwrap_or(0);
    let [all_pages, empty_pages] = [pages, empty].map(|pages| u64::try_from(pages).unwrap_or(0));
    Ok(Size { whole: bytes(pages), used: bytes(pages - empty), pages: all_pages, empty_pages })
}

/// Tells whether a ledger could not be opened because its folder cannot be written: `SQLITE_READONLY_DIRECTORY` (1544),
/// or `SQLITE_CANTOPEN` (14) for the file that would have to be made there.
pub(super) fn is_sealed_folder(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if matches!(error.code().as_deref(), Some("1544" | "14")))
}

/// Opens or creates a private file beside a ledger, not through a link.
pub(super) fn private_file(path: &Path) -> io::Result<File> {
    let file = place::open(path)?;
    place::make_private(&file)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_where_the_ledger_is() {
        let path = |url| DatabaseFile::parse(url).unwrap().path;
        assert_eq!(path("sqlite://a/b.db?mode=rwc").unwrap(), Path::new("a/b.db"));
        assert_eq!(path("sqlite:/a/b.db").unwrap(), Path::new("/a/b.db"));
        assert_eq!(path("sqlite::memory:"), None);
    }
}
