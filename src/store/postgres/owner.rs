//! The owners of a ledger: the processes that write to it. Each holds an advisory lock, which ends with the connection that
//! writes, and has a row in the table `owner`.
//!
//! A connection that is lost takes the lock with it. The next one takes it again, and finds out whether another process
//! has declared this owner dead meanwhile: then its row is gone, and what it had running is lost by the ledger. The lock is
//! a shared one, since the server may hold that of the lost connection for a while; who declares an owner dead holds it
//! alone.

use std::{
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use sqlx::PgConnection;
use tracing::warn;

use crate::domain::exchange::OwnerId;

/// A process that writes. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    id: OwnerId,
    /// Set once it has a row.
    is_known: Arc<AtomicBool>,
    /// Set once another process has declared it dead.
    was_buried: Arc<AtomicBool>,
}

impl Owner {
    pub(super) fn new(id: OwnerId) -> Self {
        Self { id, is_known: Arc::default(), was_buried: Arc::default() }
    }

    /// Tells whether another process has declared it dead, and has sealed what it had running as lost.
    pub(super) fn was_buried(&self) -> bool {
        self.was_buried.load(Relaxed)
    }

    /// Takes the lock, for as long as this connection lasts, and sees to its row.
    pub(super) async fn enter(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        // The server notices within a minute that the machine of this process is gone.
        const LOCK: &str = "select pg_advisory_lock_shared(owner_lock($1)), set_config('tcp_keepalives_idle', '30', false), \
             set_config('tcp_keepalives_interval', '10', false), set_config('tcp_keepalives_count', '3', false)";
        const ROW: &str = "insert into owner (id, holder, since) \
             values ($1, $2, (extract(epoch from clock_timestamp()) * 1000)::bigint) on conflict do nothing";
        let id = self.id.to_string();
        sqlx::query(LOCK).bind(&id).execute(&mut *conn).await?;
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy();
        let holder = format!("process {} on {host}", process::id());
        let written = sqlx::query(ROW).bind(&id).bind(holder).execute(conn).await?;
        let was_known = self.is_known.swap(true, Relaxed);
        if was_known && written.rows_affected() > 0 {
            self.was_buried.store(true, Relaxed);
            warn!(
                "the connection to the ledger was lost for so long that another process took this one for dead; what was \
                 running is in the ledger again when it ends"
            );
        }
        Ok(())
    }

    /// Deletes its row, unless it leaves something running. The lock goes with the connection.
    pub(super) async fn leave(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        const CLAIMS: &str = "delete from claim where owner = $1";
        const ROW: &str =
            "delete from owner where id = $1 and not exists (select from running where owner = $1)";
        let id = self.id.to_string();
        sqlx::query(CLAIMS).bind(&id).execute(&mut *conn).await?;
        sqlx::query(ROW).bind(&id).execute(conn).await?;
        Ok(())
    }
}
