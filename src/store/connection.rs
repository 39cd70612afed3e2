//! Connections to the database of a ledger, SQLite or Postgres, and their transactions.

use std::ops::{Deref, DerefMut};

use futures_util::{FutureExt, future::BoxFuture};
use sqlx::{
    Connection as _, Database, PgConnection, PgPool, Postgres, Sqlite, SqliteConnection,
    SqlitePool, pool::PoolConnection,
};

/// Connections that are opened on demand. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Pool {
    /// Waits for a free connection.
    pub(super) async fn acquire(&self) -> Result<Connection<'static>, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(pool) => Connection::Sqlite(Held::Pooled(pool.acquire().await?)),
            Self::Postgres(pool) => Connection::Postgres(Held::Pooled(pool.acquire().await?)),
        })
    }

    /// Closes all connections, when they are free.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// A connection of one of the two drivers.
pub(super) enum Held<'c, DB: Database> {
    Own(DB::Connection),
    Pooled(PoolConnection<DB>),
    InTransaction(sqlx::Transaction<'c, DB>),
}

impl<DB: Database> Held<'_, DB> {
    /// The connection of the driver.
    pub(super) fn get(&mut self) -> &mut DB::Connection {
        match self {
            Self::Own(conn) => conn,
            Self::Pooled(conn) => conn,
            Self::InTransaction(tx) => tx,
        }
    }

    fn begin(
        &mut self,
        statement: &'static str,
    ) -> BoxFuture<'_, Result<Held<'_, DB>, sqlx::Error>> {
        async move { Ok(Held::InTransaction(self.get().begin_with(statement).await?)) }.boxed()
    }
}

impl<'c, DB: Database> Held<'c, DB> {
    fn commit(self) -> BoxFuture<'c, Result<(), sqlx::Error>> {
        async move {
            match self {
                Self::InTransaction(tx) => tx.commit().await,
                Self::Own(_) | Self::Pooled(_) => Ok(()),
            }
        }
        .boxed()
    }

    fn close(self) -> BoxFuture<'c, Result<(), sqlx::Error>> {
        async move {
            match self {
                Self::Own(conn) => conn.close().await,
                Self::Pooled(conn) => conn.close().await,
                Self::InTransaction(tx) => tx.rollback().await,
            }
        }
        .boxed()
    }
}

/// A connection, or the one that a transaction runs on.
pub(super) enum Connection<'c> {
    Sqlite(Held<'c, Sqlite>),
    Postgres(Held<'c, Postgres>),
}

impl From<SqliteConnection> for Connection<'_> {
    fn from(conn: SqliteConnection) -> Self {
        Self::Sqlite(Held::Own(conn))
    }
}

impl From<PgConnection> for Connection<'_> {
    fn from(conn: PgConnection) -> Self {
        Self::Postgres(Held::Own(conn))
    }
}

/// Begins a transaction of Postgres that writes. All of them take turns, as those of SQLite do: what one has found is true
/// until it is committed.
pub(super) const BEGIN_WRITE: &str =
    "begin; select pg_advisory_xact_lock(1383101043, hashtext(current_schema()))";

impl Connection<'_> {
    /// The statement for the database, of two that mean the same.
    pub(super) const fn pick(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self {
            Self::Sqlite(_) => sqlite,
            Self::Postgres(_) => postgres,
        }
    }

    /// Begins a transaction that writes: it takes the write lock at once, so that it cannot fail for it later.
    pub(super) async fn begin_write(&mut self) -> Result<Transaction<'_>, sqlx::Error> {
        self.begin("begin immediate", BEGIN_WRITE).await
    }

    /// Begins a transaction whose reads see one state of the ledger.
    pub(super) async fn begin_read(&mut self) -> Result<Transaction<'_>, sqlx::Error> {
        self.begin("begin", "begin isolation level repeatable read").await
    }

    async fn begin(
        &mut self,
        sqlite: &'static str,
        postgres: &'static str,
    ) -> Result<Transaction<'_>, sqlx::Error> {
        Ok(Transaction(match self {
            Self::Sqlite(conn) => Connection::Sqlite(conn.begin(sqlite).await?),
            Self::Postgres(conn) => Connection::Postgres(conn.begin(postgres).await?),
        }))
    }

    /// Closes the connection.
    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(conn) => conn.close().await,
            Self::Postgres(conn) => conn.close().await,
        }
    }
}

/// A transaction. Dropped, it is rolled back before its connection does anything else.
pub(super) struct Transaction<'c>(Connection<'c>);

impl Transaction<'_> {
    /// Commits the changes.
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        match self.0 {
            Connection::Sqlite(conn) => conn.commit().await,
            Connection::Postgres(conn) => conn.commit().await,
        }
    }

    /// Undoes the changes.
    pub(super) async fn rollback(self) -> Result<(), sqlx::Error> {
        self.0.close().await
    }
}

impl<'c> Deref for Transaction<'c> {
    type Target = Connection<'c>;

    fn deref(&self) -> &Connection<'c> {
        &self.0
    }
}

impl<'c> DerefMut for Transaction<'c> {
    fn deref_mut(&mut self) -> &mut Connection<'c> {
        &mut self.0
    }
}

/// Size of a ledger.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    /// All pages, in bytes.
    pub(super) whole: u64,
    /// Size of a page, in bytes.
    pub(super) page: u64,
}
