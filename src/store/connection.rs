//! Connections to the database of a ledger, SQLite or Postgres, and their transactions.

use std::ops::{Deref, DerefMut};

use sqlx::{
    Connection as _, Database, PgConnection, PgPool, Postgres, Sqlite, SqliteConnection,
    SqlitePool, TransactionManager, pool::PoolConnection,
};

/// Connections that are opened on demand. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Pool {
    /// Waits for a free connection.
    pub(super) async fn acquire(&self) -> Result<Connection, sqlx::Error> {
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
#[derive(Debug)]
pub(super) enum Held<DB: Database> {
    Own(DB::Connection),
    Pooled(PoolConnection<DB>),
}

impl<DB: Database> Held<DB> {
    pub(super) fn get(&mut self) -> &mut DB::Connection {
        match self {
            Self::Own(conn) => conn,
            Self::Pooled(conn) => conn,
        }
    }

    async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Own(conn) => sqlx::Connection::close(conn).await,
            Self::Pooled(conn) => conn.close().await,
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) enum Connection {
    Sqlite(Held<Sqlite>),
    Postgres(Held<Postgres>),
}

impl From<SqliteConnection> for Connection {
    fn from(conn: SqliteConnection) -> Self {
        Self::Sqlite(Held::Own(conn))
    }
}

impl From<PgConnection> for Connection {
    fn from(conn: PgConnection) -> Self {
        Self::Postgres(Held::Own(conn))
    }
}

/// Begins a transaction of Postgres that writes. All of them take turns, as those of SQLite do: what one has found is true
/// until it is committed.
pub(super) const BEGIN_WRITE: &str =
    "begin; select pg_advisory_xact_lock(1383101043, hashtext(current_schema()))";

impl Connection {
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
        match self {
            Self::Sqlite(conn) => begin::<Sqlite>(conn.get(), sqlite).await?,
            Self::Postgres(conn) => begin::<Postgres>(conn.get(), postgres).await?,
        }
        Ok(Transaction { conn: self, is_open: true })
    }

    /// Closes the connection.
    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(conn) => conn.close().await,
            Self::Postgres(conn) => conn.close().await,
        }
    }
}

async fn begin<DB: Database>(
    conn: &mut DB::Connection,
    statement: &'static str,
) -> Result<(), sqlx::Error> {
    use sqlx::SqlSafeStr;

    DB::TransactionManager::begin(conn, Some(statement.into_sql_str())).await
}

/// A transaction. Dropped, it is rolled back.
#[derive(Debug)]
pub(super) struct Transaction<'c> {
    conn: &'c mut Connection,
    is_open: bool,
}

impl Transaction<'_> {
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        match &mut *self.conn {
            Connection::Sqlite(conn) => commit::<Sqlite>(conn.get()).await?,
            Connection::Postgres(conn) => commit::<Postgres>(conn.get()).await?,
        }
        self.is_open = false;
        Ok(())
    }

    pub(super) async fn rollback(mut self) -> Result<(), sqlx::Error> {
        match &mut *self.conn {
            Connection::Sqlite(conn) => rollback::<Sqlite>(conn.get()).await?,
            Connection::Postgres(conn) => rollback::<Postgres>(conn.get()).await?,
        }
        self.is_open = false;
        Ok(())
    }
}

async fn commit<DB: Database>(conn: &mut DB::Connection) -> Result<(), sqlx::Error> {
    DB::TransactionManager::commit(conn).await
}

async fn rollback<DB: Database>(conn: &mut DB::Connection) -> Result<(), sqlx::Error> {
    DB::TransactionManager::rollback(conn).await
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.conn
    }
}

impl DerefMut for Transaction<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.conn
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.is_open {
            // It is rolled back before the connection does anything else.
            match &mut *self.conn {
                Connection::Sqlite(conn) => {
                    <Sqlite as Database>::TransactionManager::start_rollback(conn.get());
                }
                Connection::Postgres(conn) => {
                    <Postgres as Database>::TransactionManager::start_rollback(conn.get());
                }
            }
        }
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
