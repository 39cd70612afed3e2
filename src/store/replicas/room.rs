//! Room for a prune. A process relies on rows that it has written: it does not write them again. So a prune, of which one
//! runs at a time, waits until every other process has forgotten what it has written, and has committed what it packed
//! before. They make room until the lock of the prune is free.

use std::time::{Duration, Instant};

use super::{
    Replicas,
    news::{NOBODY, PRUNE},
};
use crate::{
    domain::exchange::OwnerId,
    store::{
        Error,
        connection::Connection,
        query::{query, query_scalar},
    },
};

/// Time that the others have to make room.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pause between two looks whether they have.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest pause between two looks whether a prune has ended.
const LOOK: Duration = Duration::from_secs(1);

/// Waits until the other owners of a shared ledger have made room. Fails if another prune is running. The room is there until
/// [`give_back`], or the end of the connection. `pruner`: the owner that prunes; `None`: it is none.
pub(in crate::store) async fn take(
    conn: &mut Connection<'_>,
    pruner: Option<OwnerId>,
) -> Result<(), Error> {
    const LOCK: &str = "select pg_try_advisory_lock(1383101046, hashtext(current_schema()))";
    const WITHOUT: &str = "select count(*) from owner \
         where not has_made_room and id is distinct from $1 and owner_is_alive(id)";
    if !is_shared(conn) {
        return Ok(());
    }
    let is_free: bool = query_scalar(LOCK).fetch_one(&mut *conn).await?;
    if !is_free {
        return Err(Error::PruneRunning);
    }
    let pruner = pruner.map(|pruner| pruner.to_string());
    tell(conn, pruner.as_deref()).await?;
    let until = Instant::now() + PATIENCE;
    loop {
        let without: i64 =
            query_scalar(WITHOUT).bind(pruner.as_deref()).fetch_one(&mut *conn).await?;
        if without == 0 {
            return Ok(());
        }
        if Instant::now() >= until {
            give_back(conn).await?;
            return Err(Error::NoRoom { processes: without });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Ends a prune: the others need no longer make room.
pub(in crate::store) async fn give_back(conn: &mut Connection<'_>) -> Result<(), Error> {
    const UNLOCK: &str = "select pg_advisory_unlock(1383101046, hashtext(current_schema()))";
    if is_shared(conn) {
        query(UNLOCK).execute(&mut *conn).await?;
        tell(conn, None).await?;
    }
    Ok(())
}

fn is_shared(conn: &Connection<'_>) -> bool {
    matches!(conn, Connection::Postgres(_))
}

async fn tell(conn: &mut Connection<'_>, sender: Option<&str>) -> Result<(), Error> {
    const TELL: &str = "select tell($1)";
    let news = [sender.unwrap_or(NOBODY), PRUNE].join(" ");
    query(TELL).bind(news).execute(conn).await?;
    Ok(())
}

impl Replicas {
    /// Makes room for the prune that runs, if there is one.
    pub(super) fn make_room(&self) {
        // At once: nothing that is committed from now on is relied on.
        self.0.shared.persisted.lock().suspend();
        let replicas = self.clone();
        self.0.tasks.spawn(async move {
            let done = replicas.0.shared.done.clone();
            let _ = done.run_until_cancelled(replicas.hold_room()).await;
            replicas.0.shared.persisted.lock().resume();
        });
    }

    /// Returns when no prune runs any more.
    async fn hold_room(&self) {
        const RUNS: &str = "select exists (select from pg_locks where locktype = 'advisory' and objsubid = 2 and granted \
             and database = (select oid from pg_database where datname = current_database()) \
             and classid::bigint = 1383101046 and objid::bigint = hashtext(current_schema())::bigint & 4294967295)";
        const ROOM: &str = "update owner set has_made_room = $2 where id = $1";
        let (pool, owner) = (self.pool(), self.0.owner.to_string());
        let mut is_told = false;
        loop {
            let ended = self.0.pruned.notified();
            let runs: Result<bool, _> = query_scalar(RUNS).fetch_one(pool).await;
            match runs {
                Ok(true) if !is_told => {
                    // What was packed before relies on rows that were written before.
                    let Some(queue) = self.0.queue.upgrade() else { return };
                    if !self.0.shared.flush(&queue).await {
                        return;
                    }
                    drop(queue);
                    is_told = query(ROOM).bind(&owner).bind(true).execute(pool).await.is_ok();
                }
                // It must be known before anything is relied on again.
                Ok(false) if !is_told => return,
                Ok(false) => {
                    is_told = query(ROOM).bind(&owner).bind(false).execute(pool).await.is_err();
                }
                Ok(true) | Err(_) => {}
            }
            if !matches!(runs, Ok(false)) || is_told {
                let _ = tokio::time::timeout(LOOK, ended).await;
            }
        }
    }
}
