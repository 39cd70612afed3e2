//! The database of a ledger: a file of SQLite, or a schema of Postgres.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tracing::warn;

use super::{
    Error,
    connection::{Connection, Pool, Size},
    copy_state,
    postgres::{self, PgDatabase},
    sqlite::{self, Content, DatabaseFile, OpenFile},
};
use crate::domain::exchange::OwnerId;

/// Pause between two tries to reach a database server that is not there yet.
const START_PAUSE: Duration = Duration::from_millis(250);

/// The database of a ledger.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a process has a few of them")]
pub(super) enum Database {
    Sqlite(DatabaseFile),
    Postgres(PgDatabase),
}

impl Database {
    /// Parses a URL: `sqlite://path`, `sqlite:path`, with `?mode=…` or without, `sqlite::memory:`, or `postgres://…`.
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => DatabaseFile::parse(url).map(Self::Sqlite),
            Some("postgres" | "postgresql") => PgDatabase::parse(url).map(Self::Postgres),
            _ => Err(Error::Scheme),
        }
    }

    /// The file, for what only a ledger in one has. Else an error that says what to use `instead`.
    pub(super) fn in_file(url: &str, instead: &'static str) -> Result<DatabaseFile, Error> {
        match Self::parse(url)? {
            Self::Sqlite(file) => Ok(file),
            Self::Postgres(_) => Err(Error::NotOnPostgres { instead }),
        }
    }

    /// The file, as the operator names it; `None`: the ledger has none.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(file) => file.path(),
            Self::Postgres(_) => None,
        }
    }

    /// Tells whether the ledger ends with its process.
    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self, Self::Sqlite(file) if file.path().is_none())
    }

    /// The file itself, where its path is a link; `None`: the ledger has none, or it cannot be told.
    pub(super) fn real(&self) -> Option<PathBuf> {
        match self {
            Self::Sqlite(file) => file.real(),
            Self::Postgres(_) => None,
        }
    }

    /// The path beside which the note of the retention is; `None`: there is none.
    pub(super) fn note_place(&self) -> Option<PathBuf> {
        match self {
            Self::Sqlite(file) => file.real(),
            Self::Postgres(database) => database.journal(),
        }
    }

    /// The database server and the schema, for people; `None`: the ledger is in no server.
    pub(super) fn server(&self) -> Option<String> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(database) => Some(database.name()),
        }
    }

    /// The ledger without credentials, for people.
    pub(super) fn name(&self) -> String {
        let file = || self.path().map(|path| path.display().to_string());
        self.server().or_else(file).unwrap_or_else(|| "memory".to_owned())
    }

    /// The journal, of several the first; `None`: the ledger is in memory, or has no place for one.
    pub(super) fn journal(&self) -> Option<PathBuf> {
        match self {
            Self::Sqlite(file) => file.journal(),
            Self::Postgres(database) => database.journal(),
        }
    }

    /// The error that a file of the ledger could not be created.
    pub(super) fn not_created(&self, source: io::Error) -> Error {
        match self {
            Self::Sqlite(file) => file.not_created(source),
            Self::Postgres(database) => {
                Error::Create { path: database.journal().unwrap_or_default(), source }
            }
        }
    }

    /// Tells whether the ledger is in a database server: several processes may own it, and it may not answer.
    pub(super) const fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// The same ledger, to be written by this owner.
    pub(super) fn owned_by(self, owner: OwnerId) -> Self {
        match self {
            Self::Sqlite(file) => Self::Sqlite(file),
            Self::Postgres(database) => Self::Postgres(database.owned_by(owner)),
        }
    }

    /// The same ledger, to be written beside its owners.
    pub(super) fn unowned(self) -> Self {
        match self {
            Self::Sqlite(file) => Self::Sqlite(file),
            Self::Postgres(database) => Self::Postgres(database.unowned()),
        }
    }

    /// Tells whether another process has declared this owner dead.
    pub(super) fn was_buried(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(database) => database.was_buried(),
        }
    }

    /// Fails while another process owns the ledger.
    pub(super) async fn must_be_free(&self, owner: OwnerId) -> Result<(), Error> {
        match self {
            Self::Sqlite(file) => file.must_be_free(owner),
            Self::Postgres(database) => database.must_be_free(owner).await,
        }
    }

    /// Creates the ledger where it is missing, and migrates the tables. The owner of a file is this process from now on; in
    /// Postgres, a connection that writes makes it one.
    pub(super) async fn take(&self, owner: OwnerId) -> Result<Taken, Error> {
        let mut taken = self.take_unfinished(owner).await?;
        copy_state::must_be_whole(&mut taken.conn).await?;
        Ok(taken)
    }

    /// The same. A database server that starts at the same time may not be there yet: it is waited for, since without it
    /// nothing can be answered. The salt of scopes, imported prices and what was spent are in the ledger.
    pub(super) async fn take_when_there(&self, owner: OwnerId) -> Result<Taken, Error> {
        let wait = match self {
            Self::Sqlite(_) => Duration::ZERO,
            Self::Postgres(database) => database.start_timeout,
        };
        let end = Instant::now() + wait;
        let mut is_told = false;
        loop {
            match self.take(owner).await {
                Err(error) if error.is_away() && Instant::now() + START_PAUSE <= end => {
                    if !std::mem::replace(&mut is_told, true) {
                        let seconds = wait.as_secs();
                        warn!(%error, seconds, "the database server is not there yet; waiting for it");
                    }
                    tokio::time::sleep(START_PAUSE).await;
                }
                taken => return taken,
            }
        }
    }

    /// The same for a ledger that may be half a copy.
    pub(super) async fn take_unfinished(&self, owner: OwnerId) -> Result<Taken, Error> {
        Ok(match self {
            Self::Sqlite(file) => {
                let sqlite::Taken { conn, lock, open } = file.take(owner).await?;
                Taken { conn: conn.into(), lock, open }
            }
            Self::Postgres(database) => {
                let conn = database.take().await?;
                Taken { conn: conn.into(), lock: None, open: None }
            }
        })
    }

    /// A connection for small writes beside the writer, such as sums for reports. It creates nothing, and waits for the
    /// writer as long as `patience`.
    pub(super) async fn beside(
        &self,
        patience: Duration,
    ) -> Result<Connection<'static>, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(file) => file.beside(patience).await?.into(),
            Self::Postgres(database) => database.beside(patience).await?.into(),
        })
    }

    /// Time that a transaction may take after so many that were not answered; `None`: no other machine has to answer.
    pub(super) fn patience(&self, unanswered: u32) -> Option<Duration> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(database) => Some(database.patience(unanswered)),
        }
    }

    /// Connections for reading, opened on demand.
    pub(super) fn readers(&self) -> Pool {
        match self {
            Self::Sqlite(file) => Pool::Sqlite(file.readers()),
            Self::Postgres(database) => Pool::Postgres(database.readers()),
        }
    }

    /// Connections to a ledger in a folder where nothing can be written; `None` where there is no such file.
    pub(super) fn readers_in_sealed_folder(&self) -> Option<Pool> {
        match self {
            Self::Sqlite(file) => file.readers_in_sealed_folder().map(Pool::Sqlite),
            Self::Postgres(_) => None,
        }
    }

    /// The file as it is at its path; `None`: the ledger has none. Fails where something else is there.
    pub(super) async fn found(&self) -> Result<Option<(PathBuf, Content)>, Error> {
        match self {
            Self::Sqlite(file) => file.found().await,
            Self::Postgres(_) => Ok(None),
        }
    }

    /// Fails unless there is a ledger. Changes nothing.
    pub(super) async fn must_be_ledger(&self) -> Result<(), Error> {
        match self {
            Self::Sqlite(file) => file.must_be_ledger().await,
            Self::Postgres(database) => database.must_be_ledger().await,
        }
    }
}

/// A ledger of which this process is an owner.
pub(super) struct Taken {
    pub(super) conn: Connection<'static>,
    /// The lock of a file; `None`: the ledger is in none.
    pub(super) lock: Option<sqlite::Lock>,
    /// `None`: it is in no file.
    pub(super) open: Option<OpenFile>,
}

/// Fails unless the tables are those of this version, and the ledger is whole.
pub(super) async fn check(conn: &mut Connection<'_>) -> Result<(), Error> {
    match conn {
        Connection::Sqlite(conn) => sqlite::check(conn.get()).await?,
        Connection::Postgres(conn) => postgres::check(conn.get()).await?,
    }
    copy_state::must_be_whole(conn).await
}

/// Measures a ledger.
pub(super) async fn size(conn: &mut Connection<'_>) -> Result<Size, sqlx::Error> {
    match conn {
        Connection::Sqlite(conn) => {
            let size = sqlite::size(conn.get()).await?;
            Ok(Size { whole: size.whole, page: size.whole / size.pages.max(1) })
        }
        Connection::Postgres(conn) => postgres::size(conn.get()).await,
    }
}

/// Bytes of a ledger that rows take: less than its size after rows were deleted.
pub(super) async fn used_bytes(conn: &mut Connection<'_>) -> Result<u64, sqlx::Error> {
    match conn {
        Connection::Sqlite(conn) => Ok(sqlite::size(conn.get()).await?.used),
        Connection::Postgres(conn) => postgres::used_bytes(conn.get()).await,
    }
}

/// Makes the commits of a connection survive the end of the process, not that of the power.
pub(super) async fn do_not_sync(conn: &mut Connection<'_>) -> Result<(), sqlx::Error> {
    match conn {
        Connection::Sqlite(conn) => sqlite::do_not_sync(conn.get()).await,
        Connection::Postgres(conn) => postgres::do_not_sync(conn.get()).await,
    }
}

/// Moves the write-ahead log of a file into it, and empties it. Returns `false` if another connection prevents it.
pub(super) async fn checkpoint(conn: &mut Connection<'_>) -> Result<bool, sqlx::Error> {
    match conn {
        Connection::Sqlite(conn) => sqlite::checkpoint(conn.get()).await,
        Connection::Postgres(_) => Ok(true),
    }
}
