//! The connection that writes, to either database.

use rusqlite::Connection;

use super::{
    Durability,
    database::Database,
    error::WriteError,
    insert::Sink,
    postgres::{self, Statements},
    sqlite,
};

/// A connection that writes.
pub(super) enum WriteConnection {
    Sqlite {
        connection: sqlite::WriteConnection,
        /// The durability that is set; `None`: unknown.
        current: Option<Durability>,
        is_broken: bool,
    },
    Postgres {
        connection: postgres::WriteConnection,
        is_broken: bool,
    },
}

impl WriteConnection {
    /// Opens the database, which must be there.
    pub(super) async fn open(database: &Database) -> Result<Self, WriteError> {
        Ok(match database {
            Database::Sqlite(file) => Self::Sqlite {
                connection: sqlite::WriteConnection::open(file).await?,
                current: None,
                is_broken: false,
            },
            Database::Postgres(database) => Self::Postgres {
                connection: postgres::WriteConnection::open(database).await?,
                is_broken: false,
            },
        })
    }

    /// Writes the rows of `work` in one transaction.
    pub(super) async fn transaction(
        &mut self,
        wanted: Durability,
        work: impl FnOnce(&mut Sink<'_>) -> Result<(), WriteError> + Send + 'static,
    ) -> Result<(), WriteError> {
        match self {
            Self::Sqlite { connection, current, is_broken } => {
                let sets = current.replace(wanted) != Some(wanted);
                let run = connection.run(move |connection| {
                    let durable =
                        if sets { sqlite::set_durability(connection, wanted) } else { Ok(()) };
                    let written = durable.map_err(WriteError::from).and_then(|()| {
                        sqlite::transaction(connection, |connection| {
                            work(&mut Sink::Sqlite(connection))
                        })
                    });
                    Ok::<_, WriteError>((written, connection.is_autocommit()))
                });
                let (written, is_usable) = run.await.inspect_err(|_| *is_broken = true)?;
                if written.is_err() {
                    *current = None;
                }
                *is_broken = !is_usable;
                written
            }
            Self::Postgres { connection, is_broken } => {
                let mut statements = Statements::new();
                work(&mut Sink::Postgres(&mut statements))?;
                let written = connection.run(wanted, statements).await.map_err(WriteError::from);
                // A transaction that could not begin for want of the lock is open and of no use.
                *is_broken = written.as_ref().is_err_and(|error| !error.is_refusal());
                written
            }
        }
    }

    /// Tells whether it is of no use after a failure.
    pub(super) const fn is_broken(&self) -> bool {
        match self {
            Self::Sqlite { is_broken, .. } | Self::Postgres { is_broken, .. } => *is_broken,
        }
    }

    /// Runs `job` on the thread of a connection of SQLite; `None`: there is none.
    pub(super) async fn run<T, E>(
        &self,
        job: impl FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    ) -> Option<Result<T, WriteError>>
    where
        T: Send + 'static,
        E: Send + 'static,
        WriteError: From<E>,
    {
        match self {
            Self::Sqlite { connection, .. } => Some(connection.run(job).await),
            Self::Postgres { .. } => None,
        }
    }

    /// Moves the write-ahead log of a file into it, and empties it. Returns `false` if another connection prevents it.
    pub(super) async fn checkpoint(&self) -> Result<bool, WriteError> {
        match self {
            Self::Sqlite { connection, .. } => connection.checkpoint().await,
            Self::Postgres { .. } => Ok(true),
        }
    }

    /// Closes the connection.
    pub(super) async fn close(self) -> Result<(), WriteError> {
        match self {
            Self::Sqlite { connection, .. } => connection.close().await,
            Self::Postgres { connection, .. } => Ok(connection.close().await?),
        }
    }

    /// Leaves the connection open for as long as the process lives, where closing it would write.
    pub(super) fn forget(self) {
        if let Self::Sqlite { connection, .. } = self {
            connection.forget();
        }
    }
}
