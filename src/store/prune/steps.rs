//! The transactions of a pruning. Each is short, and the ledger is consistent after it. Also one of a single statement begins
//! as they all do: in Postgres a statement alone does not wait for what others write, and would not see it.

use super::mark::Seen;
use crate::{
    domain::{chain::Hash, exchange::UnixMillis},
    store::{
        Error,
        connection::Connection,
        query::{QueryBuilder, query, run_all},
        recovery,
        replicas::CLEARED,
        rollup, session_index,
    },
};

/// Number of rows in one transaction.
pub(super) const BATCH: usize = 256;

/// Sets the moment from which on calls count.
pub(super) async fn count_from(conn: &mut Connection<'_>, from: UnixMillis) -> Result<(), Error> {
    const FROM: &str = "update rollup_state set version = version + 1, \
         totals_from = case when totals_from < $1 then $1 else totals_from end";
    let work = async {
        let mut tx = conn.begin_write().await?;
        query(FROM).bind(from).execute(&mut *tx).await?;
        let hours = query("delete from rollup where hour < $1");
        hours.bind(from.hour()).execute(&mut *tx).await?;
        let refusals = query("delete from refusal where hour < $1");
        refusals.bind(from.hour()).execute(&mut *tx).await?;
        tx.commit().await
    };
    work.await.map_err(Error::Write)
}

/// The sums of calls that are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sums {
    /// They are deleted by whole hours ([`count_from`]).
    Deleted,
    /// They have other calls in them, too, and are made again.
    Void,
}

/// Deletes calls. Where they are part of sums that stay, the same transaction makes these void: a report that sums up
/// meanwhile must not keep them.
pub(super) async fn delete_calls(
    conn: &mut Connection<'_>,
    sums: Sums,
    calls: &[i64],
) -> Result<u64, Error> {
    let work = async {
        let mut tx = conn.begin_write().await?;
        if sums == Sums::Void {
            rollup::void(&mut tx).await?;
        }
        let mut query = QueryBuilder::new("delete from call where seq in (");
        let done = push_all(&mut query, calls).push(")").build().execute(&mut *tx).await?;
        session_index::forget_calls(&mut tx, calls).await?;
        tx.commit().await?;
        Ok(done)
    };
    work.await.map_err(Error::Write)
}

/// Deletes exchanges, and by cascade their rows of `answer_ref`.
pub(super) async fn delete_exchanges(
    conn: &mut Connection<'_>,
    exchanges: &[i64],
) -> Result<u64, Error> {
    let work = async {
        let mut tx = conn.begin_write().await?;
        let mut rows = QueryBuilder::new("delete from exchange where rowid in (");
        let done = push_all(&mut rows, exchanges).push(")").build().execute(&mut *tx).await?;
        tell_cleared(&mut tx).await?;
        tx.commit().await?;
        Ok(done)
    };
    work.await.map_err(Error::Write)
}

/// Tells the other processes that share the ledger that answers may be gone, inside the transaction that `conn` is in.
async fn tell_cleared(conn: &mut Connection<'_>) -> Result<(), sqlx::Error> {
    match conn {
        Connection::Sqlite(_) => Ok(()),
        Connection::Postgres(_) => query(CLEARED).execute(conn).await.map(drop),
    }
}

/// Drops the clients' requests of calls.
pub(super) async fn drop_requests(conn: &mut Connection<'_>, calls: &[i64]) -> Result<u64, Error> {
    let sql = "update call set client_frame = null, client_head = null where seq in (";
    let work = async {
        let mut tx = conn.begin_write().await?;
        session_index::forget_requests(&mut tx, calls).await?;
        let mut query = QueryBuilder::new(sql);
        let done = push_all(&mut query, calls).push(")").build().execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(done)
    };
    work.await.map_err(Error::Write)
}

/// Drops the requests and answers of exchanges. The same transaction makes them unservable, so that no hit finds an
/// empty row.
///
/// In SQLite the rows are deleted and inserted again, because it does not merge the pages that an update leaves nearly
/// empty: most of the space would stay in use. Their rows of `answer_ref` go by cascade and do not come back.
pub(super) async fn drop_bodies(
    conn: &mut Connection<'_>,
    exchanges: &[i64],
) -> Result<u64, Error> {
    let work = async {
        let mut tx = conn.begin_write().await?;
        let dropped = match &*tx {
            Connection::Sqlite(_) => write_anew(&mut tx, exchanges).await?,
            Connection::Postgres(_) => update(&mut tx, exchanges).await?,
        };
        tx.commit().await?;
        Ok(dropped)
    };
    work.await.map_err(Error::Write)
}

async fn write_anew(conn: &mut Connection<'_>, exchanges: &[i64]) -> Result<u64, sqlx::Error> {
    const BODILESS: &str = "update temp.moved set servable = 0, recording = null, frame = null, head = null, \
         breakpoints = null";
    query("drop table if exists temp.moved").execute(&mut *conn).await?;
    let mut taken =
        QueryBuilder::new("create temp table moved as select * from exchange where rowid in (");
    push_all(&mut taken, exchanges).push(")").build().execute(&mut *conn).await?;
    query(BODILESS).execute(&mut *conn).await?;
    let mut out = QueryBuilder::new("delete from exchange where rowid in (");
    push_all(&mut out, exchanges).push(")").build().execute(&mut *conn).await?;
    query("insert into exchange select * from temp.moved").execute(conn).await
}

async fn update(conn: &mut Connection<'_>, exchanges: &[i64]) -> Result<u64, sqlx::Error> {
    let mut refs = QueryBuilder::new(
        "delete from answer_ref using exchange where exchange.id = answer_ref.exchange and exchange.rowid in (",
    );
    push_all(&mut refs, exchanges).push(")").build().execute(&mut *conn).await?;
    let mut bodiless = QueryBuilder::new(
        "update exchange set servable = false, recording = null, frame = null, head = null, breakpoints = null \
         where rowid in (",
    );
    let done = push_all(&mut bodiless, exchanges).push(")").build().execute(&mut *conn).await?;
    tell_cleared(conn).await?;
    Ok(done)
}

/// Deletes messages, unless a row that was written after the marking refers to them, and their rows of `piece`.
pub(super) async fn delete_nodes(
    conn: &mut Connection<'_>,
    nodes: &[Hash],
    seen: &Seen,
) -> Result<u64, Error> {
    unless_revived(conn, "delete from node where hash in (", nodes, seen).await
}

/// Deletes frames, unless a row that was written after the marking refers to them.
pub(super) async fn delete_frames(
    conn: &mut Connection<'_>,
    frames: &[Hash],
    seen: &Seen,
) -> Result<u64, Error> {
    unless_revived(conn, "delete from frame where hash in (", frames, seen).await
}

/// Deletes blobs, unless a row of `piece` refers to them.
pub(super) async fn delete_blobs(conn: &mut Connection<'_>, blobs: &[Hash]) -> Result<u64, Error> {
    let work = async {
        let mut tx = conn.begin_write().await?;
        let mut query = QueryBuilder::new("delete from blob where hash in (");
        push_hashes(&mut query, blobs);
        query.push(") and not exists (select 1 from piece where piece.blob = blob.hash)");
        let done = query.build().execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(done)
    };
    work.await.map_err(Error::Write)
}

async fn unless_revived(
    conn: &mut Connection<'_>,
    delete: &'static str,
    hashes: &[Hash],
    seen: &Seen,
) -> Result<u64, Error> {
    const REVIVED: &str = "insert into revived (hash) with recursive line (hash) as ( \
         select frame from exchange where rowid > $1 and frame is not null \
         union select head from exchange where rowid > $1 and head is not null \
         union select client_frame from call where seq > $2 and client_frame is not null \
         union select client_head from call where seq > $2 and client_head is not null \
         union select frame from running where frame is not null \
         union select head from running where head is not null \
         union select hash from revived \
         union select node.parent from line join node on node.hash = line.hash \
         where node.parent is not null) select hash from line where hash not in (select hash from revived)";
    let running = recovery::client_hashes(conn).await?;
    let work = async {
        let mut tx = conn.begin_write().await?;
        let table = tx.pick(
            "create temp table if not exists revived (hash blob primary key) without rowid; \
             delete from revived",
            "create temp table if not exists revived (hash bytea primary key); delete from revived",
        );
        run_all(table, &mut tx).await?;
        for hash in &running {
            let keep = query("insert into revived (hash) values ($1) on conflict do nothing");
            keep.bind(hash).execute(&mut *tx).await?;
        }
        query(REVIVED).bind(seen.exchanges).bind(seen.calls).execute(&mut *tx).await?;
        let mut pieces = QueryBuilder::new("delete from piece where owner in (");
        push_hashes(&mut pieces, hashes);
        pieces.push(") and owner not in (select hash from revived)");
        pieces.build().execute(&mut *tx).await?;
        let mut rows = QueryBuilder::new(delete);
        push_hashes(&mut rows, hashes);
        rows.push(") and hash not in (select hash from revived)");
        let done = rows.build().execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(done)
    };
    work.await.map_err(Error::Write)
}

fn push_all<'q, 'v>(query: &'q mut QueryBuilder<'v>, rows: &[i64]) -> &'q mut QueryBuilder<'v> {
    query.push_list(rows.iter().copied())
}

fn push_hashes<'v>(query: &mut QueryBuilder<'v>, hashes: &'v [Hash]) {
    query.push_list(hashes);
}
