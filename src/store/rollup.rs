//! Sums of calls, so that a report over a million of them takes no second: by hour, made when a report finds that there
//! is something to sum up. Nothing of it is on the way of a request.
//!
//! Calls are summed in the order of their `rowid`, in which the one writer commits them, and whichever hour they came
//! in at: a call that is committed late is merged into its hour when its turn comes. What is behind the watermark is
//! in the sums, what is after it (the tail) is read from `call`; a report sees both in one snapshot.
//!
//! `rowid`s are not for ever: `vacuum` may number them anew. So the watermark remembers which call it stands at, and
//! when another one is there, the sums are void and are made again.
//!
//! Hours are kept by quarters, because there are time zones at :30 and :45. What a report cuts finer than that is read
//! from `call`.

mod bills;
mod format;
mod row;

use std::{collections::BTreeMap, ops::Range, time::Duration};

use sqlx::{Connection, FromRow, QueryBuilder, Sqlite, SqliteConnection};

use self::{
    format::Hour,
    row::{CallTotals, Selection, each_call},
};
use super::{
    Error, Reader,
    columns::{self, Body},
    sqlite::{self, DatabaseFile},
};
use crate::domain::{
    catalog::Catalog,
    exchange::UnixMillis,
    totals::{Key, Totals},
};

/// Milliseconds of a quarter of an hour: what sums can be cut into.
const QUARTER: i64 = 15 * 60 * 1000;
const HOUR: i64 = 4 * QUARTER;

/// Fewer calls than this are read faster than they are summed up and written.
pub const WORTH_SUMMING_UP: u32 = 5_000;

/// So many calls are summed up in one transaction.
const CHUNK: i64 = 50_000;

/// How long new sums wait for whoever writes: a report then goes without them.
const PATIENCE: Duration = Duration::from_secs(1);

/// How far the sums go.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Watermark {
    /// The newest `rowid` that is in the sums; 0: there are none, or they are void.
    upto: i64,
    version: i64,
    totals_from: UnixMillis,
    /// Whether what stands in `rollup` must go: the calls were numbered anew.
    void: bool,
}

#[derive(FromRow)]
struct WatermarkRow {
    upto: i64,
    upto_call: Option<String>,
    version: i64,
    totals_from: UnixMillis,
    there: Option<String>,
}

impl Reader {
    /// Shows the calls that came in within `span` to `visit`, added up by quarters of an hour at most, each with a
    /// moment of its quarter. Returns the moment before which nothing is counted, because it was pruned.
    ///
    /// `catalog` says what the prompt cache saved those calls that are in no sum yet.
    pub async fn calls(
        &self,
        span: Range<UnixMillis>,
        catalog: &Catalog,
        mut visit: impl FnMut(UnixMillis, &Key<'_>, &Totals),
    ) -> Result<UnixMillis, Error> {
        let mut tx = self.pool.begin().await?;
        let mark = watermark(&mut tx).await?;
        let start = span.start.max(mark.totals_from).0;
        let end = span.end.0.max(start);
        // Whole quarters are in the sums, what sticks out on both sides is not.
        let first = start.saturating_add(QUARTER - 1).div_euclid(QUARTER).saturating_mul(QUARTER);
        let last = end.div_euclid(QUARTER).saturating_mul(QUARTER);
        let mut one = |call: &CallTotals<'_>, key: &Key<'_>, totals: &Totals| {
            visit(call.at, key, totals);
        };
        if first >= last {
            each_call(&mut tx, Selection::Within(start..end), catalog, one).await?;
            return Ok(mark.totals_from);
        }
        for edge in [start..first, last..end].into_iter().filter(|edge| !edge.is_empty()) {
            each_call(&mut tx, Selection::Within(edge), catalog, &mut one).await?;
        }
        each_call(&mut tx, Selection::After(mark.upto, first..last), catalog, &mut one).await?;
        if mark.upto > 0 {
            summed(&mut tx, first..last, visit).await?;
        }
        Ok(mark.totals_from)
    }
}

/// Sums up what is not summed up yet, if that is `worth` so many calls; returns how many calls that were. Where it
/// fails a report is right all the same, only slower. May run beside the process that owns the ledger: its transactions
/// are short.
pub async fn roll_up(url: &str, catalog: &Catalog, worth: u32) -> Result<u64, Error> {
    let mut conn = DatabaseFile::parse(url)?.beside(PATIENCE).await.map_err(Error::Open)?;
    let mut calls = 0;
    let summed = loop {
        match next(&mut conn, catalog, worth.max(1)).await {
            Ok(0) => break Ok(calls),
            Ok(more) => calls += more,
            Err(error) => break Err(error),
        }
    };
    // Where no server runs, the last connection to close puts the WAL away.
    conn.close().await.map_err(Error::Write)?;
    summed
}

/// Sums up the next calls. Everything is read before the transaction that writes, so that it is short; if another
/// report, or pruning, was faster, nothing is written.
async fn next(conn: &mut SqliteConnection, catalog: &Catalog, worth: u32) -> Result<u64, Error> {
    const WAITING: &str = "select count(*) from (select 1 from call where rowid > $1 limit $2)";
    let mark = watermark(conn).await?;
    let waiting: i64 =
        sqlx::query_scalar(WAITING).bind(mark.upto).bind(worth).fetch_one(&mut *conn).await?;
    if waiting < i64::from(worth) {
        return Ok(0);
    }
    let mut news: BTreeMap<i64, Hour> = BTreeMap::new();
    let mut newest = (mark.upto, String::new());
    let mut calls = 0;
    each_call(conn, Selection::Next(mark.upto, CHUNK), catalog, |call, key, totals| {
        let at = call.at.0;
        let quarter = at.rem_euclid(HOUR) / QUARTER;
        let quarter = u8::try_from(quarter).expect("an hour has four quarters");
        news.entry(at.div_euclid(HOUR)).or_default().add(quarter, key, totals);
        newest.0 = call.rowid;
        call.id.clone_into(&mut newest.1);
        calls += 1;
    })
    .await?;
    let mut hours = Vec::with_capacity(news.len());
    for (hour, news) in news {
        const OLD: &str = "select totals from rollup where hour = $1";
        let old: Option<Body> =
            sqlx::query_scalar(OLD).bind(hour).fetch_optional(&mut *conn).await?;
        let mut sums = news;
        if let Some(Body(old)) = old.filter(|_| !mark.void) {
            sums.merge(&old).ok_or_else(damaged)?;
        }
        hours.push((hour, columns::compress(&sums.encode())));
    }
    let written = write(conn, &mark, &newest, &hours).await.map_err(Error::Write)?;
    Ok(if written { calls } else { 0 })
}

/// One transaction. `false`: another was faster.
async fn write(
    conn: &mut SqliteConnection,
    mark: &Watermark,
    (upto, call): &(i64, String),
    hours: &[(i64, Vec<u8>)],
) -> Result<bool, sqlx::Error> {
    const MOVE: &str = "update rollup_state set upto = $1, upto_call = $2, version = version + 1 where version = $3";
    const KEEP: &str = "insert into rollup (hour, totals) values ($1, $2) \
         on conflict (hour) do update set totals = excluded.totals";
    let mut tx = sqlite::begin_write(conn).await?;
    let moved =
        sqlx::query(MOVE).bind(upto).bind(call).bind(mark.version).execute(&mut *tx).await?;
    if moved.rows_affected() == 0 {
        return Ok(false);
    }
    if mark.void {
        sqlx::query("delete from rollup").execute(&mut *tx).await?;
    }
    for (hour, totals) in hours {
        sqlx::query(KEEP).bind(hour).bind(totals).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(true)
}

async fn watermark(conn: &mut SqliteConnection) -> Result<Watermark, Error> {
    const SQL: &str = "select upto, upto_call, version, totals_from, \
         (select id from call where call.rowid = rollup_state.upto) as there from rollup_state";
    let WatermarkRow { upto, upto_call, version, totals_from, there } =
        sqlx::query_as(SQL).fetch_one(conn).await?;
    let void = upto > 0 && upto_call != there;
    Ok(Watermark { upto: if void { 0 } else { upto }, version, totals_from, void })
}

/// What is summed up of the whole quarters in `span`.
async fn summed(
    conn: &mut SqliteConnection,
    span: Range<i64>,
    mut visit: impl FnMut(UnixMillis, &Key<'_>, &Totals),
) -> Result<(), Error> {
    use futures_util::TryStreamExt;

    let mut query = QueryBuilder::<Sqlite>::new("select hour, totals from rollup where hour >= ");
    query.push_bind(span.start.div_euclid(HOUR)).push(" and hour <= ");
    query.push_bind(span.end.div_euclid(HOUR)).push(" order by hour");
    let mut rows = query.build_query_as::<(i64, Body)>().fetch(conn);
    while let Some((hour, Body(totals))) = rows.try_next().await? {
        format::read(&totals, |quarter, key, totals| {
            let at = hour * HOUR + i64::from(quarter) * QUARTER;
            if span.contains(&at) {
                visit(UnixMillis(at), key, totals);
            }
        })
        .ok_or_else(damaged)?;
    }
    Ok(())
}

fn damaged() -> Error {
    Error::Damaged { column: "totals".to_owned(), source: "these are no sums".into() }
}
