//! Burial of owners that share a ledger and have died. Who buries an owner holds its lock alone meanwhile, so that nobody else
//! does, and that an owner who comes back waits until it is over and finds itself buried.

use crate::store::{
    Error,
    connection::Connection,
    query::{query, query_scalar},
};

/// Owners whose lock nobody holds: they have a row, or have left something.
pub(in crate::store) async fn dead(conn: &mut Connection<'_>) -> Result<Vec<String>, Error> {
    const SQL: &str = "select id from (select id from owner union select owner from running union select owner from claim) \
         as listed where not owner_is_alive(id) order by id";
    Ok(query_scalar(SQL).fetch_all(conn).await?)
}

/// Owners that are being buried. Their locks are held by the session that began it, until it ends.
pub(in crate::store) struct Burial(Vec<String>);

impl Burial {
    /// Takes the locks of those who are dead in truth, and strikes them off the list.
    pub(in crate::store) async fn begin(
        conn: &mut Connection<'_>,
        dead: Vec<String>,
    ) -> Result<Self, Error> {
        const LOCK: &str = "select pg_try_advisory_lock(owner_lock($1))";
        const STRIKE: &str = "delete from owner where id = $1";
        let mut owners = Vec::new();
        for owner in dead {
            if query_scalar(LOCK).bind(&owner).fetch_one(&mut *conn).await? {
                query(STRIKE).bind(&owner).execute(&mut *conn).await.map_err(Error::Write)?;
                owners.push(owner);
            }
        }
        Ok(Self(owners))
    }

    /// The owners.
    pub(in crate::store) fn owners(&self) -> &[String] {
        &self.0
    }

    /// Ends it. What they had running must be sealed.
    pub(in crate::store) async fn end(self, conn: &mut Connection<'_>) -> Result<(), Error> {
        const CLAIMS: &str = "delete from claim where owner = $1";
        const UNLOCK: &str = "select pg_advisory_unlock(owner_lock($1))";
        for owner in self.0 {
            query(CLAIMS).bind(&owner).execute(&mut *conn).await.map_err(Error::Write)?;
            query(UNLOCK).bind(&owner).execute(&mut *conn).await.map_err(Error::Write)?;
        }
        Ok(())
    }
}
