//! Errors of the ledger, in words for its operator.

use std::{io, path::PathBuf};

use sqlx::{error::BoxDynError, migrate::MigrateError, postgres::PgDatabaseError};

use super::sqlstate::{self, Remedy};
use crate::domain::{chain::Hash, exchange::OwnerId};

/// Errors of opening, reading and pruning. The writer handles its own.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A command that only a ledger in a file has.
    #[error("a ledger in Postgres has no such command; {instead}")]
    NotOnPostgres {
        /// The advice: what takes the place of the command.
        instead: &'static str,
    },
    /// The URL of a Postgres ledger is malformed. It is not shown: it may have a password.
    #[error(
        "the ledger's URL could not be read; give one like postgres://user:password@host/database?schema=reprise"
    )]
    PostgresUrl,
    /// A parameter of the URL has a wrong value.
    #[error("the parameter {name} of the ledger's URL is not a positive number")]
    UrlParameter {
        /// Its name.
        name: &'static str,
    },
    /// The name of a schema needs quotes.
    #[error(
        "{schema:?} is no name of a schema for a ledger; use lower-case letters, digits and underscores"
    )]
    Schema {
        /// The name.
        schema: String,
    },
    /// A URL of an unknown database.
    #[error("the ledger's URL has no known scheme; give one like sqlite://reprise.db")]
    Scheme,
    /// The URL has a parameter that the driver does not know.
    #[error("the ledger's URL could not be read: {}", in_words(.0))]
    Url(sqlx::Error),
    /// The folder or the file could not be created.
    #[error("the ledger {} could not be created; check the path and its permissions", path.display())]
    Create {
        /// The ledger.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The lock file could not be made or locked.
    #[error("the lock {} could not be taken; check its permissions", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file with the name of the lock is not one.
    #[error("{} is not the lock of the ledger, and was left as it is; move it away", path.display())]
    NotALock {
        /// The file.
        path: PathBuf,
    },
    /// The file system has no locks.
    #[error(
        "the file system of {} has no locks, so two processes could write to the ledger; put it on a local disk",
        path.display()
    )]
    NoLocks {
        /// The ledger.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Something else is at the path.
    #[error("{} is {kind}, not a file, and was left as it is; name another with --database-url", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// The kind, for people.
        kind: &'static str,
    },
    /// A symbolic link without a target.
    #[error("{} is a symbolic link to nothing; name the file itself, or create an empty one", path.display())]
    DanglingLink {
        /// The link.
        path: PathBuf,
    },
    /// Another program's database, or no database.
    #[error(
        "{} is not a ledger but another program's file, and was left as it is; name another with --database-url",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The open file was overwritten.
    #[error(
        "the ledger {} was overwritten in place while it is in use; stop the server, and put the right file there",
        path.display()
    )]
    Overwritten {
        /// The ledger.
        path: PathBuf,
    },
    /// A file beside the ledger is not one of SQLite's.
    #[error("{} belongs to the ledger but is {kind}; stop what uses it, and move it away", path.display())]
    Beside {
        /// The file.
        path: PathBuf,
        /// Its kind, for people.
        kind: &'static str,
    },
    /// Another process writes to this ledger.
    #[error("the ledger {} is in use by {holder}; stop that one, or use another ledger", path.display())]
    InUse {
        /// The ledger.
        path: PathBuf,
        /// The holder of its lock, for people.
        holder: String,
        /// The holder's id, where it is known.
        owner: Option<OwnerId>,
    },
    /// There is no file.
    #[error("there is no ledger at {}; check the path, or start the server once", path.display())]
    Missing {
        /// The path where it should be.
        path: PathBuf,
    },
    /// An empty file.
    #[error("the file is no ledger; check the path, or start the server once")]
    NoTables,
    /// The ledger has migrations that this version does not know.
    #[error(
        "the ledger is newer than this program (schema {found}, known {known}); use the newer version of reprise"
    )]
    Newer {
        /// The unknown migration.
        found: i64,
        /// The newest migration that this version knows.
        known: i64,
    },
    /// The ledger needs migrations, and readers run none.
    #[error(
        "the ledger is older than this program (schema {found}, known {known}); start the server once"
    )]
    Older {
        /// The newest migration in the ledger.
        found: i64,
        /// The newest migration that this version knows.
        known: i64,
    },
    /// A pooler gives each transaction another connection of the server.
    #[error(
        "transactions share the connections to Postgres, as behind PgBouncer with pool_mode=transaction; locks and LISTEN need \
         connections of their own: connect to Postgres itself, or use pool_mode=session"
    )]
    NoSessions,
    /// A migration failed.
    #[error("the ledger's tables could not be brought up to date: {}", migration_in_words(.0))]
    Migrate(MigrateError),
    /// The file cannot be opened as a database.
    #[error("the ledger could not be opened: {}", in_words(.0))]
    Open(sqlx::Error),
    /// The database server did not answer in time, or did not shortly before.
    #[error("the ledger could not be read: the database server does not answer")]
    NoAnswer,
    /// A query failed. Errors of the driver are taken for this one, unless they are mapped to another.
    #[error("the ledger could not be read: {}", in_words(.0))]
    Read(sqlx::Error),
    /// A change failed; the ledger is as it was before.
    #[error("the ledger could not be changed: {}", in_words(.0))]
    Write(sqlx::Error),
    /// A transaction of the connection that writes failed; the ledger is as it was before.
    #[error("the ledger could not be changed: {0}")]
    Commit(#[from] WriteError),
    /// The file of a backup is there already.
    #[error("{} exists already, and was left as it is; name another file for the backup", path.display())]
    BackupExists {
        /// The file.
        path: PathBuf,
    },
    /// The file of a backup could not be written.
    #[error("the backup {} could not be written; check its folder", path.display())]
    Backup {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The ledger is a copy that is not whole.
    #[error(
        "the ledger is an unfinished copy; run the same `reprise ledger copy` again, which goes on where it ended"
    )]
    UnfinishedCopy,
    /// A ledger would lose rows if another were copied into it.
    #[error(
        "{ledger} was left as it is: {why}; name a ledger that is empty, or a copy that no server has used"
    )]
    NoCopyTarget {
        /// The ledger.
        ledger: String,
        /// What it has, for people.
        why: &'static str,
    },
    /// A copy has other rows than its source.
    #[error(
        "{ledger} differs from its source in the table {table} after the copy; run the copy again, and if it fails \
         again, keep the source and report this"
    )]
    CopyDiffers {
        /// The copy.
        ledger: String,
        /// The table.
        table: &'static str,
    },
    /// An error of one of two ledgers.
    #[error("{ledger}: {error}")]
    OfLedger {
        /// The ledger.
        ledger: String,
        /// The error, whose text does not name it.
        error: Box<Error>,
    },
    /// Other processes that share the ledger did not make room for a prune in time.
    #[error(
        "{processes} other processes that share the ledger do not answer, so it was not pruned; try again when they do, or \
          stop them"
    )]
    NoRoom {
        /// Their number.
        processes: i64,
    },
    /// The ledger is being pruned, and one prune runs at a time.
    #[error("a prune is already running")]
    PruneRunning,
    /// A column has a value that this program never writes.
    #[error("the ledger is damaged in {column}")]
    Damaged {
        /// The column.
        column: String,
        /// The cause.
        source: BoxDynError,
    },
    /// The bodies of a request are gone or were never kept.
    #[error("the ledger does not have the whole request with frame {frame}")]
    NoBodies {
        /// The request's frame.
        frame: Hash,
    },
}

/// A failure of a transaction that writes.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// SQLite failed.
    #[error("{}", write_in_words(.0))]
    Sqlite(#[from] rusqlite::Error),
    /// A statement beside it failed.
    #[error("{}", in_words(.0))]
    Beside(#[from] sqlx::Error),
    /// What is around the database failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The database server did not answer in time.
    #[error("the database server does not answer")]
    NoAnswer,
}

impl WriteError {
    /// What is to be done: an operation itself may be at fault, or the database.
    pub(super) fn remedy(&self) -> Remedy {
        match self {
            // Too large, a broken constraint, a value of a wrong type, too many parameters (sqlite.org/rescode.html).
            Self::Sqlite(rusqlite::Error::SqliteFailure(error, _))
                if matches!(error.extended_code & 0xff, 18 | 19 | 20 | 25) =>
            {
                Remedy::Refuse
            }
            Self::Sqlite(rusqlite::Error::ToSqlConversionFailure(_))
            | Self::Beside(sqlx::Error::Encode(_)) => Remedy::Refuse,
            Self::Beside(sqlx::Error::Database(error)) => {
                let code = error.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::code);
                code.map_or(Remedy::Retry, sqlstate::remedy)
            }
            Self::Sqlite(_) | Self::Beside(_) | Self::Io(_) | Self::NoAnswer => Remedy::Retry,
        }
    }

    /// Tells whether an operation itself is at fault.
    pub(super) fn is_refusal(&self) -> bool {
        self.remedy() == Remedy::Refuse
    }
}

impl Error {
    /// True if a database server cannot be reached, or does not take connections yet.
    pub(super) fn is_away(&self) -> bool {
        match self {
            Self::Open(sqlx::Error::Io(_)) => true,
            Self::Open(sqlx::Error::Database(error)) => {
                let code = error.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::code);
                code.is_some_and(sqlstate::is_away)
            }
            _ => false,
        }
    }

    /// The error of one of two ledgers, with its name.
    pub(super) fn of_ledger(self, ledger: &str) -> Self {
        if self.lacks_file() {
            Self::OfLedger { ledger: ledger.to_owned(), error: Box::new(self) }
        } else {
            self
        }
    }

    /// True if the text does not name the file, as the place of the failure does not know it.
    pub const fn lacks_file(&self) -> bool {
        match self {
            Self::NoTables
            | Self::Newer { .. }
            | Self::Older { .. }
            | Self::NoSessions
            | Self::Migrate(_)
            | Self::Open(_)
            | Self::NoAnswer
            | Self::Read(_)
            | Self::Write(_)
            | Self::Commit(_)
            | Self::Damaged { .. }
            | Self::UnfinishedCopy
            | Self::NoBodies { .. } => true,
            Self::NotOnPostgres { .. }
            | Self::PostgresUrl
            | Self::UrlParameter { .. }
            | Self::Schema { .. }
            | Self::Scheme
            | Self::Url(_)
            | Self::Create { .. }
            | Self::Lock { .. }
            | Self::NotALock { .. }
            | Self::NoLocks { .. }
            | Self::NotAFile { .. }
            | Self::DanglingLink { .. }
            | Self::Foreign { .. }
            | Self::Overwritten { .. }
            | Self::Beside { .. }
            | Self::InUse { .. }
            | Self::Missing { .. }
            | Self::BackupExists { .. }
            | Self::Backup { .. }
            | Self::NoCopyTarget { .. }
            | Self::CopyDiffers { .. }
            | Self::OfLedger { .. }
            | Self::NoRoom { .. }
            | Self::PruneRunning => false,
        }
    }
}

/// An error of the driver in words. Its own text has the code and the message twice.
pub(super) fn in_words(error: &sqlx::Error) -> String {
    let database = match error {
        sqlx::Error::Database(database) => database,
        sqlx::Error::PoolTimedOut => return "no connection became free in time".to_owned(),
        sqlx::Error::Io(error) => return error.to_string(),
        other => return other.to_string(),
    };
    if let Some(error) = database.try_downcast_ref::<PgDatabaseError>() {
        let hint = match error.code() {
            // A prepared statement is there already, or is not there.
            "42P05" | "26000" => "; behind PgBouncer it needs pool_mode=session",
            _ => "",
        };
        return format!("{} (Postgres {}){hint}", error.message(), error.code());
    }
    let code = database.code().and_then(|code| code.parse().ok()).unwrap_or_default();
    code_in_words(code, database.message())
}

/// An error of SQLite in words.
fn code_in_words(code: i32, message: &str) -> String {
    // The lower byte is the kind (sqlite.org/rescode.html).
    let what = match code & 0xff {
        3 | 23 => "access is denied",
        5 | 6 => "another process has been writing to it for too long; try again",
        8 => "it cannot be written; check the permissions of the file and of its folder",
        10 => "the disk failed to read or write it",
        11 => "the file is damaged; restore a backup, or recover it with `sqlite3 FILE .recover`",
        13 => "the disk is full",
        14 => "the file cannot be opened; check the permissions of it and of its folder",
        26 => "the file is no database of SQLite",
        _ => return format!("{message} (SQLite {code})"),
    };
    format!("{what} (SQLite {code}: {message})")
}

/// An error of the driver that writes in words.
fn write_in_words(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(code, Some(message)) => {
            code_in_words(code.extended_code, message)
        }
        other => other.to_string(),
    }
}

fn migration_in_words(error: &MigrateError) -> String {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => in_words(error),
        other => other.to_string(),
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::ColumnDecode { index, source } => Self::Damaged { column: index, source },
            error => Self::Read(error),
        }
    }
}
