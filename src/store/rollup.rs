//! Sums of calls by the hour, so that a report over a million calls takes less than a second. Reports make them when
//! enough calls are waiting; requests never do.
//!
//! Calls are summed in the order of their `seq`, in which the one writer commits them, whatever hour they came in: a
//! call that is committed late is merged into its hour when its turn comes. The sums hold the calls up to the
//! watermark, and a report reads the calls after it (the tail) from `call`, in one snapshot.
//!
//! A copy of a ledger may lack calls or number them anew. So the watermark remembers the call it stands at: if another
//! call has its number, the sums are void and are made again.
//!
//! Hours are kept by quarters, because there are time zones at :30 and :45. A report that cuts finer than that reads
//! the edges from `call`.

mod bills;
mod compare;
mod format;
mod row;

use std::{collections::BTreeMap, ops::Range, time::Duration};

pub use self::bills::BilledCalls;
pub(super) use self::compare::compared;
use self::{
    format::Hour,
    row::{CallTotals, Selection, each_call},
};
use super::{
    Error, Reader,
    columns::{self, Body},
    connection::Connection,
    database::Database,
    query::{QueryBuilder, query, query_as, query_scalar},
    row::from_row,
};
use crate::domain::{
    catalog::Catalog,
    exchange::UnixMillis,
    tags::Tags,
    totals::{Key, Totals},
};

/// A quarter of an hour in milliseconds: the finest cut of the sums.
const QUARTER: i64 = 15 * 60 * 1000;
const HOUR: i64 = 4 * QUARTER;

/// Number of waiting calls from which on making sums pays: fewer are read faster than they are summed up and written.
pub const WORTH_SUMMING_UP: u32 = 5_000;

/// Limit of calls that are summed up in one transaction.
const CHUNK: i64 = 50_000;

/// Time that new sums wait for the writer; a report then goes without them.
const PATIENCE: Duration = Duration::from_secs(1);

/// The last call of the sums, and what makes them valid.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Watermark {
    /// The newest `seq` in the sums; 0: there are none, or they are void.
    upto: i64,
    version: i64,
    totals_from: UnixMillis,
    /// Set if the rows of `rollup` are void, because another call has the number of the watermark.
    void: bool,
}

struct WatermarkRow {
    upto: i64,
    upto_call: Option<String>,
    version: i64,
    totals_from: UnixMillis,
    there: Option<String>,
}

from_row!(WatermarkRow { upto, upto_call, version, totals_from, there });

impl Reader {
    /// Shows the calls that came in within `span` to `visit`, added up by quarters of an hour at most, each with a
    /// moment of its quarter. Returns the moment before which nothing is counted, because it was pruned.
    ///
    /// `catalog` gives the savings of the prompt cache for calls that are in no sum yet.
    pub async fn calls(
        &self,
        span: Range<UnixMillis>,
        catalog: &Catalog,
        mut visit: impl FnMut(UnixMillis, &Key<'_>, &Totals),
    ) -> Result<UnixMillis, Error> {
        let mut conn = self.pool().acquire().await?;
        let mut tx = conn.begin_read().await?;
        let mark = watermark(&mut tx).await?;
        let start = span.start.max(mark.totals_from).0;
        let end = span.end.0.max(start);
        // The sums have whole quarters; the edges on both sides are read from the calls.
        let first = start.saturating_add(QUARTER - 1).div_euclid(QUARTER).saturating_mul(QUARTER);
        let last = end.div_euclid(QUARTER).saturating_mul(QUARTER);
        let mut one = |call: &CallTotals<'_>, key: &Key<'_>, totals: &Totals, _: &Tags| {
            if !call.imported {
                visit(call.at, key, totals);
            }
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

    /// Shows the calls that came in within `span` and have tags, all of `tags`, to `visit` with their tags, one by one.
    /// The sums do not have tags, so it takes longer than [`Reader::calls`] where many calls do. Returns the same.
    pub async fn tagged_calls(
        &self,
        span: Range<UnixMillis>,
        tags: &[String],
        catalog: &Catalog,
        mut visit: impl FnMut(UnixMillis, &Key<'_>, &Totals, &Tags),
    ) -> Result<UnixMillis, Error> {
        let mut conn = self.pool().acquire().await?;
        let mut tx = conn.begin_read().await?;
        let from = watermark(&mut tx).await?.totals_from;
        let span = span.start.max(from).0..span.end.0;
        let one = |call: &CallTotals<'_>, key: &Key<'_>, totals: &Totals, tags: &Tags| {
            visit(call.at, key, totals, tags);
        };
        each_call(&mut tx, Selection::Tagged(span, tags), catalog, one).await?;
        Ok(from)
    }
}

/// Voids all sums, inside the transaction that `conn` is in; the next report makes them again.
pub(super) async fn void(conn: &mut Connection<'_>) -> Result<(), sqlx::Error> {
    const VOID: &str = "update rollup_state set version = version + 1, upto = 0, upto_call = null";
    query(VOID).execute(&mut *conn).await?;
    query("delete from rollup").execute(conn).await?;
    Ok(())
}

/// Sums up the calls after the watermark if there are at least `worth`; returns their number. If it fails, reports stay
/// right, only slower. May run beside the process that owns the ledger: its transactions are short.
pub async fn roll_up(url: &str, catalog: &Catalog, worth: u32) -> Result<u64, Error> {
    let file = Database::parse(url)?;
    file.must_be_ledger().await?;
    let mut conn = file.beside(PATIENCE).await.map_err(Error::Open)?;
    let mut calls = 0;
    let summed = loop {
        match next(&mut conn, catalog, worth.max(1)).await {
            Ok(0) => break Ok(calls),
            Ok(more) => calls += more,
            Err(error) => break Err(error),
        }
    };
    // Without a server, the last connection to close removes the WAL.
    conn.close().await.map_err(Error::Write)?;
    summed
}

/// Sums up the next calls. Everything is read before the transaction that writes, so that it is short. If another
/// report or a pruning has moved the watermark meanwhile, nothing is written.
async fn next(conn: &mut Connection<'_>, catalog: &Catalog, worth: u32) -> Result<u64, Error> {
    const WAITING: &str =
        "select count(*) from (select 1 from call where seq > $1 limit $2) as waiting";
    let mark = watermark(conn).await?;
    let waiting: i64 =
        query_scalar(WAITING).bind(mark.upto).bind(worth).fetch_one(&mut *conn).await?;
    if waiting < i64::from(worth) {
        return Ok(0);
    }
    let mut news: BTreeMap<i64, Hour> = BTreeMap::new();
    let mut newest = (mark.upto, String::new());
    let mut calls = 0;
    each_call(conn, Selection::Next(mark.upto, CHUNK), catalog, |call, key, totals, _| {
        let at = call.at.0;
        let quarter = at.rem_euclid(HOUR) / QUARTER;
        let quarter = u8::try_from(quarter).expect("an hour has four quarters");
        if !call.imported {
            news.entry(at.div_euclid(HOUR)).or_default().add(quarter, key, totals);
        }
        newest.0 = call.seq;
        call.id.clone_into(&mut newest.1);
        calls += 1;
    })
    .await?;
    let mut hours = Vec::with_capacity(news.len());
    for (hour, news) in news {
        const OLD: &str = "select totals from rollup where hour = $1";
        let old: Option<Body> = query_scalar(OLD).bind(hour).fetch_optional(&mut *conn).await?;
        let mut sums = news;
        if let Some(Body(old)) = old.filter(|_| !mark.void) {
            sums.merge(&old).ok_or_else(damaged)?;
        }
        hours.push((hour, columns::compress(&sums.encode())));
    }
    let written = write(conn, &mark, &newest, &hours).await.map_err(Error::Write)?;
    Ok(if written { calls } else { 0 })
}

/// Writes sums in one transaction. `false`: the watermark has moved meanwhile.
async fn write(
    conn: &mut Connection<'_>,
    mark: &Watermark,
    (upto, call): &(i64, String),
    hours: &[(i64, Vec<u8>)],
) -> Result<bool, sqlx::Error> {
    const MOVE: &str = "update rollup_state set upto = $1, upto_call = $2, version = version + 1 where version = $3";
    const KEEP: &str = "insert into rollup (hour, totals) values ($1, $2) \
         on conflict (hour) do update set totals = excluded.totals";
    let mut tx = conn.begin_write().await?;
    let moved = query(MOVE).bind(upto).bind(call).bind(mark.version).execute(&mut *tx).await?;
    if moved == 0 {
        return Ok(false);
    }
    if mark.void {
        query("delete from rollup").execute(&mut *tx).await?;
    }
    for (hour, totals) in hours {
        query(KEEP).bind(hour).bind(totals).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(true)
}

async fn watermark(conn: &mut Connection<'_>) -> Result<Watermark, Error> {
    const SQL: &str = "select upto, upto_call, version, totals_from, \
         (select id from call where call.seq = rollup_state.upto) as there from rollup_state";
    let WatermarkRow { upto, upto_call, version, totals_from, there } =
        query_as(SQL).fetch_one(conn).await?;
    let void = upto > 0 && upto_call != there;
    Ok(Watermark { upto: if void { 0 } else { upto }, version, totals_from, void })
}

/// Shows the sums of the whole quarters in `span` to `visit`.
async fn summed(
    conn: &mut Connection<'_>,
    span: Range<i64>,
    mut visit: impl FnMut(UnixMillis, &Key<'_>, &Totals),
) -> Result<(), Error> {
    use futures_util::TryStreamExt;

    let mut query = QueryBuilder::new("select hour, totals from rollup where hour >= ");
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
