//! The transactions of a pruning. Each is short, and the ledger is consistent after it.

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::mark::Seen;
use crate::{
    domain::{chain::Hash, exchange::UnixMillis},
    store::{Error, recovery, rollup, session_index, sqlite},
};

/// Number of rows in one transaction.
pub(super) const BATCH: usize = 256;

/// Sets the moment from which on calls count.
pub(super) async fn count_from(conn: &mut SqliteConnection, from: UnixMillis) -> Result<(), Error> {
    const FROM: &str = "update rollup_state set version = version + 1, \
         totals_from = case when totals_from < $1 then $1 else totals_from end";
    let work = async {
        let mut tx = sqlite::begin_write(conn).await?;
        sqlx::query(FROM).bind(from).execute(&mut *tx).await?;
        let hours = sqlx::query("delete from rollup where hour < $1");
        hours.bind(from.hour()).execute(&mut *tx).await?;
        let refusals = sqlx::query("delete from refusal where hour < $1");
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
    conn: &mut SqliteConnection,
    sums: Sums,
    calls: &[i64],
) -> Result<u64, Error> {
    let work = async {
        let mut tx = sqlite::begin_write(conn).await?;
        if sums == Sums::Void {
            rollup::void(&mut tx).await?;
        }
        let mut query = QueryBuilder::<Sqlite>::new("delete from call where seq in (");
        let done = push_all(&mut query, calls).push(")").build().execute(&mut *tx).await?;
        session_index::forget_calls(&mut tx, calls).await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    };
    work.await.map_err(Error::Write)
}

/// Deletes exchanges, and by cascade their rows of `answer_ref`.
pub(super) async fn delete_exchanges(
    conn: &mut SqliteConnection,
    exchanges: &[i64],
) -> Result<u64, Error> {
    let mut query = QueryBuilder::<Sqlite>::new("delete from exchange where rowid in (");
    let done = push_all(&mut query, exchanges).push(")").build().execute(conn).await;
    Ok(done.map_err(Error::Write)?.rows_affected())
}

/// Drops the clients' requests of calls.
pub(super) async fn drop_requests(
    conn: &mut SqliteConnection,
    calls: &[i64],
) -> Result<u64, Error> {
    let sql = "update call set client_frame = null, client_head = null where seq in (";
    let work = async {
        let mut tx = sqlite::begin_write(conn).await?;
        session_index::forget_requests(&mut tx, calls).await?;
        let mut query = QueryBuilder::<Sqlite>::new(sql);
        let done = push_all(&mut query, calls).push(")").build().execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    };
    work.await.map_err(Error::Write)
}

/// Drops the requests and answers of exchanges. The same transaction makes them unservable, so that no hit finds an
/// empty row.
///
/// The rows are deleted and inserted again, because SQLite does not merge the pages that an update leaves nearly empty:
/// most of the space would stay in use. Their rows of `answer_ref` go by cascade and do not come back.
pub(super) async fn drop_bodies(
    conn: &mut SqliteConnection,
    exchanges: &[i64],
) -> Result<u64, Error> {
    const BODILESS: &str = "update temp.moved set servable = 0, recording = null, frame = null, head = null, \
         breakpoints = null";
    let work = async {
        let mut tx = sqlite::begin_write(conn).await?;
        sqlx::query("drop table if exists temp.moved").execute(&mut *tx).await?;
        let mut taken = QueryBuilder::<Sqlite>::new(
            "create temp table moved as select * from exchange where rowid in (",
        );
        push_all(&mut taken, exchanges).push(")").build().execute(&mut *tx).await?;
        sqlx::query(BODILESS).execute(&mut *tx).await?;
        let mut out = QueryBuilder::<Sqlite>::new("delete from exchange where rowid in (");
        push_all(&mut out, exchanges).push(")").build().execute(&mut *tx).await?;
        let back = sqlx::query("insert into exchange select * from temp.moved");
        let done = back.execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    };
    work.await.map_err(Error::Write)
}

/// Deletes messages, unless a row that was written after the marking refers to them, and their rows of `piece`.
pub(super) async fn delete_nodes(
    conn: &mut SqliteConnection,
    nodes: &[Hash],
    seen: &Seen,
) -> Result<u64, Error> {
    unless_revived(conn, "delete from node where hash in (", nodes, seen).await
}

/// Deletes frames, unless a row that was written after the marking refers to them.
pub(super) async fn delete_frames(
    conn: &mut SqliteConnection,
    frames: &[Hash],
    seen: &Seen,
) -> Result<u64, Error> {
    unless_revived(conn, "delete from frame where hash in (", frames, seen).await
}

/// Deletes blobs, unless a row of `piece` refers to them.
pub(super) async fn delete_blobs(
    conn: &mut SqliteConnection,
    blobs: &[Hash],
) -> Result<u64, Error> {
    let mut query = QueryBuilder::<Sqlite>::new("delete from blob where hash in (");
    push_hashes(&mut query, blobs);
    query.push(") and not exists (select 1 from piece where piece.blob = blob.hash)");
    let done = query.build().execute(conn).await.map_err(Error::Write)?;
    Ok(done.rows_affected())
}

async fn unless_revived(
    conn: &mut SqliteConnection,
    delete: &'static str,
    hashes: &[Hash],
    seen: &Seen,
) -> Result<u64, Error> {
    const REVIVED: &str = "insert or ignore into revived (hash) with recursive line (hash) as ( \
         select frame from exchange where rowid > $1 and frame is not null \
         union select head from exchange where rowid > $1 and head is not null \
         union select client_frame from call where seq > $2 and client_frame is not null \
         union select client_head from call where seq > $2 and client_head is not null \
         union select frame from running where frame is not null \
         union select head from running where head is not null \
         union select hash from revived \
         union select node.parent from line join node on node.hash = line.hash \
         where node.parent is not null) select hash from line";
    let running = recovery::client_hashes(conn).await?;
    let work = async {
        let mut tx = sqlite::begin_write(conn).await?;
        sqlx::raw_sql(
            "create temp table if not exists revived (hash blob primary key) without rowid; \
             delete from temp.revived;",
        )
        .execute(&mut *tx)
        .await?;
        for hash in &running {
            let keep = sqlx::query("insert or ignore into revived (hash) values ($1)");
            keep.bind(hash).execute(&mut *tx).await?;
        }
        sqlx::query(REVIVED).bind(seen.exchanges).bind(seen.calls).execute(&mut *tx).await?;
        let mut pieces = QueryBuilder::<Sqlite>::new("delete from piece where owner in (");
        push_hashes(&mut pieces, hashes);
        pieces.push(") and owner not in (select hash from revived)");
        pieces.build().execute(&mut *tx).await?;
        let mut rows = QueryBuilder::<Sqlite>::new(delete);
        push_hashes(&mut rows, hashes);
        rows.push(") and hash not in (select hash from revived)");
        let done = rows.build().execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    };
    work.await.map_err(Error::Write)
}

fn push_all<'a>(query: &'a mut QueryBuilder<Sqlite>, rows: &[i64]) -> &'a mut QueryBuilder<Sqlite> {
    let mut list = query.separated(", ");
    for row in rows {
        list.push_bind(*row);
    }
    query
}

fn push_hashes(query: &mut QueryBuilder<Sqlite>, hashes: &[Hash]) {
    let mut list = query.separated(", ");
    for hash in hashes {
        list.push_bind(hash);
    }
}
