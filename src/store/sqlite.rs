//! SQLite alone: the database file, its lock and connections, pragmas, transactions that write, and error codes.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    process,
    str::FromStr,
    time::Duration,
};

use sqlx::{
    ConnectOptions, Connection, Sqlite, SqliteConnection, SqlitePool, Transaction,
    migrate::{MigrateError, Migrator},
    sqlite::{
        SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions,
        SqliteSynchronous,
    },
};

use super::{Durability, Error};
use crate::domain::exchange::OwnerId;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Busy timeout of the writer: short, since it retries itself and reports meanwhile what is wrong.
const WRITER_BUSY: Duration = Duration::from_millis(500);

/// Busy timeout of all other connections: longer than any transaction of the writer.
const BUSY: Duration = Duration::from_secs(5);

/// Prepared statements that a connection keeps: more than the writer has (tables × powers of two).
const STATEMENTS: usize = 128;

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
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => {}
            Some("postgres" | "postgresql") => return Err(Error::Postgres),
            _ => return Err(Error::Scheme),
        }
        let options = SqliteConnectOptions::from_str(url)
            .map_err(Error::Url)?
            .disable_statement_logging()
            .statement_cache_capacity(STATEMENTS)
            .busy_timeout(BUSY)
            .foreign_keys(true)
            // What is deleted is overwritten, and cannot be read in the file afterwards.
            .pragma("secure_delete", "on");
        // sqlx gives a database in memory a name of its own; so does SQLite's `mode=memory`.
        let memory = url.contains(":memory:") || url.contains("mode=memory");
        let path = (!memory).then(|| options.get_filename().to_owned());
        Ok(Self { options, path })
    }

    /// The file; `None`: it is in memory.
    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The journal beside the file; `None`: the ledger is in memory.
    pub(super) fn journal(&self) -> Option<PathBuf> {
        let mut beside = OsString::from(self.path.as_ref()?);
        beside.push(".journal");
        Some(beside.into())
    }

    /// Removes the journal of a dead process. Everything in it must be committed.
    pub(super) fn remove_journal(&self) {
        if let Some(journal) = self.journal() {
            // There may be none.
            let _ = fs::remove_file(journal);
        }
    }

    /// The error that a file of the ledger could not be created.
    pub(super) fn not_created(&self, source: io::Error) -> Error {
        Error::Create { path: self.path.clone().unwrap_or_default(), source }
    }

    /// Creates the folder and the file, where they are missing, readable by their owner only. SQLite gives the `-wal`
    /// and `-shm` files the mode of the database.
    pub(super) fn create(&self) -> Result<(), Error> {
        let Some(path) = &self.path else { return Ok(()) };
        let failed = |source| Error::Create { path: path.clone(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            private_folder(folder).map_err(failed)?;
        }
        private_file(path).map_err(failed)?;
        Ok(())
    }

    /// Takes the lock of the ledger's one writing process. It is held until the file is dropped, or the process dies.
    pub(super) fn lock(&self, owner: OwnerId) -> Result<Option<File>, Error> {
        let Some(path) = &self.path else { return Ok(None) };
        let mut beside = OsString::from(path);
        beside.push(".lock");
        let failed = |source| Error::Lock { path: PathBuf::from(&beside), source };
        let mut file = private_file(Path::new(&beside)).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(source)) => return Err(failed(source)),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The holder's name is only for the message.
                let holder = match file.read_to_string(&mut holder) {
                    Ok(1..) => holder.trim().to_owned(),
                    Ok(0) | Err(_) => "another process".to_owned(),
                };
                let owner = holder.split("owner ").nth(1).map(|owner| owner.trim_end_matches(')'));
                let owner = owner.and_then(|owner| owner.parse().ok());
                return Err(Error::InUse { path: path.clone(), holder, owner });
            }
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        writeln!(file, "process {} (owner {owner})", process::id()).map_err(failed)?;
        Ok(Some(file))
    }

    /// Makes this process the owner of the ledger and migrates the tables. The lock is held until the file is dropped.
    pub(super) async fn take(
        &self,
        owner: OwnerId,
    ) -> Result<(SqliteConnection, Option<File>), Error> {
        self.create()?;
        let lock = self.lock(owner)?;
        let mut conn = self.writer().await.map_err(Error::Open)?;
        migrate(&mut conn).await?;
        Ok((conn, lock))
    }

    /// The one connection that writes.
    pub(super) async fn writer(&self) -> Result<SqliteConnection, sqlx::Error> {
        self.options
            .clone()
            .create_if_missing(true)
            .busy_timeout(WRITER_BUSY)
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // In KiB: hashes fall anywhere in their tables, and pages that must be read again cost more than memory.
            .pragma("cache_size", "-8192")
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
            .acquire_timeout(Duration::from_secs(2))
            .connect_lazy_with(options)
    }

    /// Connections to a ledger in a folder where nothing can be written, not even the `-shm` file that readers and the
    /// writer share. `None` where a process has it open: it would change under the reader.
    pub(super) fn readers_in_sealed_folder(&self) -> Option<SqlitePool> {
        let mut wal = OsString::from(self.path.as_ref()?);
        wal.push("-wal");
        let options = self.options.clone().read_only(true).create_if_missing(false).immutable(true);
        (!Path::new(&wal).exists())
            .then(|| SqlitePoolOptions::new().max_connections(4).connect_lazy_with(options))
    }

    /// Fails unless there is a file.
    pub(super) fn must_exist(&self) -> Result<(), Error> {
        match &self.path {
            Some(path) if !path.is_file() => Err(Error::Missing { path: path.clone() }),
            _ => Ok(()),
        }
    }
}

/// Runs the migrations that the ledger does not have yet.
pub(super) async fn migrate(conn: &mut SqliteConnection) -> Result<(), Error> {
    MIGRATIONS.run(conn).await.map_err(|error| match error {
        MigrateError::VersionMissing(found) => Error::Newer { found, known: newest() },
        other => Error::Migrate(other),
    })
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
    match (found, newest()) {
        (None, _) => Err(Error::NoTables),
        (Some(found), known) if found > known => Err(Error::Newer { found, known }),
        (Some(found), known) if found < known => Err(Error::Older { found, known }),
        (Some(_), _) => Ok(()),
    }
}

/// The number of the newest migration that this version knows.
fn newest() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Begins a transaction that writes: it takes the write lock at once, so that it cannot fail for it later.
pub(super) async fn begin_write(
    conn: &mut SqliteConnection,
) -> Result<Transaction<'_, Sqlite>, sqlx::Error> {
    conn.begin_with("begin immediate").await
}

/// Begins the writer's transaction with this durability; `current` is that of the connection, where it is known.
pub(super) async fn begin_durable(
    conn: &mut SqliteConnection,
    current: Option<Durability>,
    wanted: Durability,
) -> Result<(), sqlx::Error> {
    if current == Some(wanted) {
        sqlx::query("begin immediate").execute(conn).await?;
        return Ok(());
    }
    // Not prepared: a pragma acts when it is compiled, and a prepared one would be compiled only once.
    let sql = match wanted {
        Durability::Full => "pragma synchronous = full; begin immediate",
        Durability::Normal => "pragma synchronous = normal; begin immediate",
    };
    sqlx::raw_sql(sql).execute(conn).await?;
    Ok(())
}

/// Lets commits of this connection survive the end of the process only, not that of the power.
pub(super) async fn relax_durability(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
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
pub(super) async fn quick_check(pool: &SqlitePool) -> Result<Vec<String>, sqlx::Error> {
    let mut found: Vec<String> =
        sqlx::query_scalar("pragma quick_check(5)").fetch_all(pool).await?;
    found.retain(|line| line != "ok");
    Ok(found)
}

/// The size of a ledger.
pub(super) struct Size {
    /// All pages, in bytes.
    pub(super) whole: u64,
    /// The pages that are not empty, in bytes.
    pub(super) used: u64,
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
    let empty_pages = u64::try_from(empty).unwrap_or(0);
    Ok(Size { whole: bytes(pages), used: bytes(pages - empty), empty_pages })
}

/// Tells whether a ledger could not be opened because its folder cannot be written: `SQLITE_READONLY_DIRECTORY` (1544),
/// or `SQLITE_CANTOPEN` (14) for the file that would have to be made there.
pub(super) fn is_sealed_folder(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if matches!(error.code().as_deref(), Some("1544" | "14")))
}

/// Tells whether an operation itself is at fault, so that it would fail every time: too big (18), a constraint (19), a
/// wrong type (20), a bad parameter (25). All other errors may pass: busy, locked, full, read-only.
pub(super) fn is_refusal(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error
            .code()
            .and_then(|code| code.parse::<u32>().ok())
            .is_some_and(|code| matches!(code & 0xff, 18 | 19 | 20 | 25)),
        sqlx::Error::Encode(_) => true,
        _ => false,
    }
}

fn private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

pub(super) fn private_file(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // A ledger that other users can read was not created by this program.
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
    }
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
        assert!(matches!(DatabaseFile::parse("postgres://u:secret@h/d"), Err(Error::Postgres)));
        assert!(matches!(DatabaseFile::parse("ledger.db"), Err(Error::Scheme)));
    }
}
