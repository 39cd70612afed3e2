//! The lock of the process that writes: an advisory lock of a session, which ends with its connection. The table `owner` has
//! a note of its holder for people and commands.

use std::process;

use sqlx::{Connection as _, PgConnection};

use crate::{domain::exchange::OwnerId, store::Error};

/// Class of the advisory locks of owners. The other part of a lock is the schema.
const OWNER_LOCK: i32 = 1_383_101_044;

/// The lock of a ledger, held until this is dropped, or the process dies.
#[derive(Debug)]
pub(in crate::store) struct Lock {
    session: PgConnection,
}

impl Lock {
    /// Takes the lock. The tables must be there.
    pub(super) async fn take(
        mut session: PgConnection,
        owner: OwnerId,
        name: String,
    ) -> Result<Self, Error> {
        const NOTE: &str = "insert into owner (one, id, holder) values (1, $1, $2) \
             on conflict (one) do update set id = excluded.id, holder = excluded.holder";
        if !try_lock(&mut session).await? {
            return Err(in_use(&mut session, name).await);
        }
        // The lock lasts as long as the session, however long that is idle.
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy();
        let holder = format!("process {} on {host}", process::id());
        let noted = sqlx::query(NOTE).bind(owner.to_string()).bind(holder);
        noted.execute(&mut session).await.map_err(Error::Write)?;
        Ok(Self { session })
    }

    /// Fails while another process holds the lock.
    pub(super) async fn must_be_free(
        session: &mut PgConnection,
        name: String,
    ) -> Result<(), Error> {
        const UNLOCK: &str = "select pg_advisory_unlock($1, hashtext(current_schema()))";
        if !try_lock(session).await? {
            return Err(in_use(session, name).await);
        }
        sqlx::query(UNLOCK).bind(OWNER_LOCK).execute(session).await.map_err(Error::Open)?;
        Ok(())
    }

    /// Gives the lock back before the connection is closed.
    pub(in crate::store) async fn release(self) {
        // It ends with the connection in any case.
        let _ = self.session.close().await;
    }
}

async fn try_lock(session: &mut PgConnection) -> Result<bool, Error> {
    const LOCK: &str = "select pg_try_advisory_lock($1, hashtext(current_schema()))";
    sqlx::query_scalar(LOCK).bind(OWNER_LOCK).fetch_one(session).await.map_err(Error::Open)
}

/// The error that names the holder of the lock.
async fn in_use(session: &mut PgConnection, name: String) -> Error {
    const HOLDER: &str = "select id, holder from owner";
    let found: Result<Option<(String, String)>, _> =
        sqlx::query_as(HOLDER).fetch_optional(session).await;
    let (owner, holder) = found.ok().flatten().unzip();
    Error::InUse {
        path: name.into(),
        holder: holder.unwrap_or_else(|| "another process".to_owned()),
        owner: owner.and_then(|owner| owner.parse().ok()),
    }
}
