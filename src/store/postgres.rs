//! Postgres alone: the schema that has the ledger, its connections, its migrations, the processes that own it.
//!
//! - `url`: the settings in the URL.
//! - `owner`: the locks of the processes that write.
//! - `write`: the connection that writes, and its statements.
//! - `listener`: the connection that hears what other processes have written.

mod listener;
mod owner;
mod url;
mod write;

use std::time::Duration;

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection as _, PgConnection, PgPool, Row as _,
    postgres::PgPoolOptions,
};

use self::owner::Owner;
pub(super) use self::{
    listener::Listener,
    url::PgDatabase,
    write::{Column, Statement, Statements, WriteConnection},
};
use super::{
    Error,
    connection::Size,
    migrations,
    sqlite::{WRITER_BUSY, create_folder},
};
use crate::domain::exchange::OwnerId;

/// Class of the advisory locks under which a ledger is created and migrated; see also `connection`.
const MIGRATION_LOCK: i32 = 1_383_101_045;

/// Limits the time for which statements of a connection wait for locks.
async fn limit_waiting(conn: &mut PgConnection, patience: Duration) -> Result<(), sqlx::Error> {
    const PATIENCE: &str = "select set_config('lock_timeout', $1, false)";
    let patience = format!("{}ms", patience.as_millis());
    sqlx::query(PATIENCE).bind(patience).execute(conn).await?;
    Ok(())
}

impl PgDatabase {
    /// Opens a connection, or fails after the time that the URL sets.
    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let connect = self.options.connect();
        tokio::time::timeout(self.connect_timeout, connect)
            .await
            .unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))
    }

    /// A connection without a limit of the time that statements take: for migrations, recovery, pruning.
    async fn connect_for_long_work(&self) -> Result<PgConnection, sqlx::Error> {
        let mut conn = self.connect().await?;
        sqlx::query("select set_config('statement_timeout', '0', false)")
            .execute(&mut conn)
            .await?;
        Ok(conn)
    }

    /// A connection beside the writer, which waits for its lock as long as `patience`.
    pub(super) async fn beside(&self, patience: Duration) -> Result<PgConnection, sqlx::Error> {
        let mut conn = self.connect_for_long_work().await?;
        limit_waiting(&mut conn, patience).await?;
        Ok(conn)
    }

    /// The connection of the writer, which waits for a lock as long as that of a file does. It holds the lock of the owner.
    async fn connect_to_write(&self) -> Result<PgConnection, sqlx::Error> {
        let mut conn = self.connect().await?;
        limit_waiting(&mut conn, WRITER_BUSY).await?;
        if let Some(owner) = &self.owner {
            owner.enter(&mut conn).await?;
        }
        Ok(conn)
    }

    /// Connections for reading, opened on demand.
    pub(super) fn readers(&self) -> PgPool {
        self.pool(self.max_connections)
    }

    /// Connections for claims, which are short, opened on demand.
    pub(super) fn pool_for_claims(&self) -> PgPool {
        self.pool(2)
    }

    fn pool(&self, most: u32) -> PgPool {
        PgPoolOptions::new()
            .max_connections(most)
            .acquire_timeout(self.connect_timeout)
            .connect_lazy_with(self.options.clone())
    }

    /// Fails while another process than `owner` owns the ledger. Its id is not told: it admits an operator of that one only.
    pub(super) async fn must_be_free(&self, owner: OwnerId) -> Result<(), Error> {
        const HOLDER: &str = "select holder from owner where owner_is_alive(id) and id <> $1 order by since, id limit 1";
        let mut conn = self.connect().await.map_err(Error::Open)?;
        if check(&mut conn).await.is_err() {
            // Whoever owned it would have made its tables.
            return Ok(());
        }
        let holder: Option<String> = sqlx::query_scalar(HOLDER)
            .bind(owner.to_string())
            .fetch_optional(&mut conn)
            .await
            .map_err(Error::Open)?;
        match holder {
            Some(holder) => Err(Error::InUse { path: self.name().into(), holder, owner: None }),
            None => Ok(()),
        }
    }

    /// The same ledger, to be written by this owner.
    pub(super) fn owned_by(mut self, owner: OwnerId) -> Self {
        self.owner = Some(Owner::new(owner));
        self
    }

    /// Tells whether another process has declared its owner dead.
    pub(super) fn was_buried(&self) -> bool {
        self.owner.as_ref().is_some_and(Owner::was_buried)
    }

    /// The same ledger, to be written beside its owners.
    pub(super) fn unowned(mut self) -> Self {
        self.owner = None;
        self
    }

    /// Creates the ledger where it is missing, and migrates the tables.
    pub(super) async fn take(&self) -> Result<PgConnection, Error> {
        self.must_have_sessions().await?;
        let mut conn = self.connect_for_long_work().await.map_err(Error::Open)?;
        self.migrate(&mut conn).await?;
        if let Some(journal) = self.journal() {
            create_folder(&journal).map_err(|source| Error::Create { path: journal, source })?;
        }
        Ok(conn)
    }

    /// Fails where two connections are the same one of the server's in turns: what belongs to a connection gets lost there.
    async fn must_have_sessions(&self) -> Result<(), Error> {
        let mut one = self.connect().await.map_err(Error::Open)?;
        let first = server_process(&mut one).await.map_err(Error::Open)?;
        let mut other = self.connect().await.map_err(Error::Open)?;
        let second = server_process(&mut other).await.map_err(Error::Open)?;
        for conn in [one, other] {
            conn.close().await.map_err(Error::Open)?;
        }
        if first == second { Err(Error::NoSessions) } else { Ok(()) }
    }

    /// Creates the schema, and runs the migrations that the ledger does not have yet. Processes that start together take
    /// turns.
    async fn migrate(&self, conn: &mut PgConnection) -> Result<(), Error> {
        const LOCK: &str = "select pg_advisory_lock($1, hashtext($2))";
        const UNLOCK: &str = "select pg_advisory_unlock($1, hashtext($2))";
        let locked = sqlx::query(LOCK).bind(MIGRATION_LOCK).bind(&self.schema);
        locked.execute(&mut *conn).await.map_err(Error::Open)?;
        let migrated = self.create_and_migrate(conn).await;
        let unlocked = sqlx::query(UNLOCK).bind(MIGRATION_LOCK).bind(&self.schema);
        unlocked.execute(conn).await.map_err(Error::Open)?;
        migrated
    }

    async fn create_and_migrate(&self, conn: &mut PgConnection) -> Result<(), Error> {
        const EXISTS: &str = "select to_regnamespace($1) is not null";
        let exists: bool = sqlx::query_scalar(EXISTS)
            .bind(&self.schema)
            .fetch_one(&mut *conn)
            .await
            .map_err(Error::Open)?;
        if !exists {
            // Its name is letters, digits and underscores.
            let create = AssertSqlSafe(["create schema ", &self.schema].concat());
            sqlx::raw_sql(create).execute(&mut *conn).await.map_err(Error::Open)?;
        }
        // `run` takes anything that gives a connection, which a spawned task cannot prove to be `Send`.
        let run = migrations::POSTGRES.migrator();
        run.run_direct(None, conn, false).await.map_err(|error| migrations::POSTGRES.error(error))
    }

    /// Fails unless there is a ledger. Changes nothing.
    pub(super) async fn must_be_ledger(&self) -> Result<(), Error> {
        let mut conn = self.connect().await.map_err(Error::Open)?;
        match check(&mut conn).await {
            Err(Error::Older { .. } | Error::Newer { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The process of the server that answers now, asked without a prepared statement.
async fn server_process(conn: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::raw_sql("select pg_backend_pid()").fetch_one(conn).await?.try_get(0)
}

/// Fails unless the tables are those of this version.
pub(super) async fn check(conn: &mut PgConnection) -> Result<(), Error> {
    const TABLES: &str = "select to_regclass('_sqlx_migrations') is not null";
    const NEWEST: &str = "select max(version) from _sqlx_migrations where success";
    let has_tables: bool =
        sqlx::query_scalar(TABLES).fetch_one(&mut *conn).await.map_err(Error::Open)?;
    let found: Option<i64> = if has_tables {
        sqlx::query_scalar(NEWEST).fetch_one(conn).await.map_err(Error::Open)?
    } else {
        None
    };
    migrations::POSTGRES.check(found)
}

/// Makes the commits of a connection survive the end of this process, not that of the database server's power.
pub(super) async fn do_not_sync(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("select set_config('synchronous_commit', 'off', false)")
        .execute(conn)
        .await
        .map(drop)
}

/// Measures the tables of the ledger, with their indexes.
pub(super) async fn size(conn: &mut PgConnection) -> Result<Size, sqlx::Error> {
    const SQL: &str = "select coalesce(sum(pg_total_relation_size(oid)), 0)::bigint, \
         current_setting('block_size')::bigint from pg_class \
         where relkind = 'r' and relnamespace = current_schema()::regnamespace";
    let (whole, page): (i64, i64) = sqlx::query_as(SQL).fetch_one(conn).await?;
    let [whole, page] = [whole, page].map(|bytes| u64::try_from(bytes).unwrap_or(0));
    Ok(Size { whole, page })
}

/// Bytes that the rows of the ledger take, about. The space of deleted rows counts in the size of a table until other rows
/// take it.
pub(super) async fn used_bytes(conn: &mut PgConnection) -> Result<u64, sqlx::Error> {
    // Long values are not read for it: their size stands in the row. The rest of a row is about as long as its index entries.
    const SQL: &str = "select ((select coalesce(sum(700 + coalesce(pg_column_size(recording), 0)), 0) from exchange) \
         + (select coalesce(sum(150 + pg_column_size(body)), 0) from node) \
         + (select coalesce(sum(150 + pg_column_size(body)), 0) from frame) \
         + (select coalesce(sum(150 + pg_column_size(body)), 0) from blob) \
         + (select coalesce(sum(250 + pg_column_size(said.body) + pg_column_size(said_index.body)), 0) \
             from said join said_index on said_index.rowid = said.seq) \
         + (select 600 * count(*) from call) + (select 200 * count(*) from answer_ref))::bigint";
    let bytes: i64 = sqlx::query_scalar(SQL).fetch_one(conn).await?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}
