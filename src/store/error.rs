//! What can go wrong with a ledger, in words for whoever runs it.

use std::{io, path::PathBuf};

use sqlx::migrate::MigrateError;

use crate::domain::{chain::Hash, exchange::OwnerId, recording::DecodeError};

/// Why the ledger could not be opened or read. Failures to write are the writer's to handle.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not yet.
    #[error("a postgres ledger is not supported yet; give a sqlite:// URL")]
    Postgres,
    /// No database that we know.
    #[error("the ledger's URL has no known scheme; give one like sqlite://reprise.db")]
    Scheme,
    /// The URL has a parameter that the driver does not know.
    #[error("the ledger's URL could not be read")]
    Url(#[source] sqlx::Error),
    /// No folder, or no file.
    #[error("the ledger {} could not be created; check the path and its permissions", path.display())]
    Create {
        /// The ledger.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The lock file could not be made or locked.
    #[error("the lock {} could not be taken; check its permissions", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process writes to this ledger.
    #[error("the ledger {} is in use by {holder}; stop that one, or use another ledger", path.display())]
    InUse {
        /// The ledger.
        path: PathBuf,
        /// Who holds its lock.
        holder: String,
        /// The same for programs, where it is known.
        owner: Option<OwnerId>,
    },
    /// There is nothing to report on.
    #[error("there is no ledger at {}; check the path, or start the server once", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// An empty file, or another program's database.
    #[error("the file is no ledger; check the path, or start the server once")]
    NoTables,
    /// This program is too old.
    #[error(
        "the ledger is newer than this program (schema {found}, known {known}); use the newer version of reprise"
    )]
    Newer {
        /// A migration that this version does not know.
        found: i64,
        /// The newest that it knows.
        known: i64,
    },
    /// Reports change nothing, so they cannot bring it up to date.
    #[error(
        "the ledger is older than this program (schema {found}, known {known}); start the server once"
    )]
    Older {
        /// The newest migration in the ledger.
        found: i64,
        /// The newest that this version knows.
        known: i64,
    },
    /// A migration failed.
    #[error("the ledger's tables could not be brought up to date")]
    Migrate(#[source] MigrateError),
    /// The file cannot be opened as a database.
    #[error("the ledger could not be opened")]
    Open(#[source] sqlx::Error),
    /// A query failed.
    #[error("the ledger could not be read")]
    Read(#[source] sqlx::Error),
    /// A change failed; the ledger is as it was before.
    #[error("the ledger could not be changed")]
    Write(#[source] sqlx::Error),
    /// The ledger is being pruned, and one prune runs at a time.
    #[error("a prune is already running")]
    PruneRunning,
    /// A body is no zstd.
    #[error("a stored body is damaged")]
    Zstd(#[source] io::Error),
    /// A recording is none.
    #[error("the ledger could not be read")]
    Recording(#[source] DecodeError),
    /// A column has a value that this program never writes.
    #[error("the ledger is damaged in {table}.{column}")]
    Damaged {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// The bodies of a request are gone or were never kept.
    #[error("the ledger does not have the whole request with frame {frame}")]
    NoBodies {
        /// The request's frame.
        frame: Hash,
    },
}
