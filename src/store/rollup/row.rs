//! One row of `call` as a report sees it.

use std::{borrow::Cow, ops::Range};

use futures_util::TryStreamExt;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection, sqlite::SqliteRow};

use crate::{
    domain::{
        catalog::{Catalog, day_of},
        exchange::{AnsweredBy, Cost, Micros, NanoDollars, UnixMillis},
        totals::{Key, Totals},
    },
    store::{Error, read},
};

/// Which calls.
pub(super) enum Which {
    /// Those after this `rowid` that came in within the span.
    After(i64, Range<i64>),
    /// All that came in within the span.
    Within(Range<i64>),
    /// Those after this `rowid`, in its order, so many at most.
    Next(i64, i64),
}

/// Where a call stands.
pub(super) struct Place<'a> {
    pub(super) rowid: i64,
    pub(super) id: &'a str,
    pub(super) at: UnixMillis,
}

/// What is read of a call, in the order in which it is read.
pub(super) const COLUMNS: &str = "select call.rowid, call.id, call.at, call.model, call.user_id, call.chat_id, \
     call.task, call.client, call.answered_by, call.status, call.outcome, call.error_kind, \
     call.ttft_us, call.total_us, \
     call.input, call.cache_write_5m, call.cache_write_1h, call.cache_read, call.output, call.thinking, \
     call.searches, call.cost, call.cost_is, call.saved, call.saved_is ";

/// Shows each call to `visit`, as sums of one. `catalog` says what the prompt cache saved.
pub(super) async fn each_call(
    conn: &mut SqliteConnection,
    which: Which,
    catalog: &Catalog,
    mut visit: impl FnMut(&Place<'_>, &Key<'_>, &Totals),
) -> Result<(), Error> {
    let mut query = QueryBuilder::<Sqlite>::new(COLUMNS);
    query.push("from call where ");
    match which {
        // The plus keeps SQLite from going through all calls of the span instead of the few after the watermark.
        Which::After(rowid, span) => query
            .push("rowid > ")
            .push_bind(rowid)
            .push(" and +at >= ")
            .push_bind(span.start)
            .push(" and +at < ")
            .push_bind(span.end),
        Which::Within(span) => {
            query.push("at >= ").push_bind(span.start).push(" and at < ").push_bind(span.end)
        }
        Which::Next(rowid, most) => {
            query.push("rowid > ").push_bind(rowid).push(" order by rowid limit ").push_bind(most)
        }
    };
    let mut rows = query.build().fetch(conn);
    let mut totals = Totals::default();
    while let Some(row) = rows.try_next().await.map_err(Error::Read)? {
        let key = key(&row)?;
        let place = Place {
            rowid: row.try_get(0).map_err(Error::Read)?,
            id: row.try_get(1).map_err(Error::Read)?,
            at: UnixMillis(row.try_get(2).map_err(Error::Read)?),
        };
        sum(&row, &key, place.at, catalog, &mut totals)?;
        visit(&place, &key, &totals);
    }
    Ok(())
}

pub(super) fn key(row: &SqliteRow) -> Result<Key<'_>, Error> {
    let text =
        |column: usize| -> Result<Option<&str>, Error> { row.try_get(column).map_err(Error::Read) };
    let answered_by = text(8)?.and_then(|word| word.parse::<AnsweredBy>().ok());
    let status: Option<i64> = row.try_get(9).map_err(Error::Read)?;
    let outcome = text(10)?.unwrap_or_default();
    let refused = status.filter(|&status| status >= 400);
    let is_error = refused.is_some() || matches!(outcome, "failed" | "cut" | "lost");
    let kind = || match (text(11)?, refused) {
        (Some(kind), _) => Ok::<_, Error>(Cow::Borrowed(kind)),
        (None, Some(status)) if outcome == "complete" => Ok(format!("http {status}").into()),
        (None, _) => Ok(Cow::Borrowed(outcome)),
    };
    Ok(Key {
        model: text(3)?.unwrap_or_default().into(),
        user: text(4)?.map(Cow::Borrowed),
        chat: text(5)?.map(Cow::Borrowed),
        task: text(6)?.map(Cow::Borrowed),
        client: text(7)?.map(Cow::Borrowed),
        answered_by: answered_by.ok_or(Error::Damaged { table: "call", column: "answered_by" })?,
        error: if is_error { Some(kind()?) } else { None },
    })
}

fn sum(
    row: &SqliteRow,
    key: &Key<'_>,
    at: UnixMillis,
    catalog: &Catalog,
    totals: &mut Totals,
) -> Result<(), Error> {
    let tokens = read::tokens(row).map_err(Error::Read)?;
    let cost = read::cost(row)?;
    let saved_is: &str = row.try_get("saved_is").map_err(Error::Read)?;
    totals.calls = 1;
    totals.tokens = tokens;
    totals.cost = cost.amount().unwrap_or_default();
    totals.at_least = u64::from(matches!(cost, Cost::AtLeast(_)));
    totals.unpriced = u64::from(cost == Cost::Unpriced);
    totals.saved = NanoDollars(row.try_get("saved").map_err(Error::Read)?);
    totals.saved_unpriced = u64::from(saved_is == "unpriced");
    let cached = tokens.cache_write_5m + tokens.cache_write_1h + tokens.cache_read > 0;
    // What was not billed saved nothing either.
    let billed = key.answered_by.asks() && cost != Cost::Exact(NanoDollars(0));
    let cache =
        (cached && billed).then(|| catalog.cache_saving_on(&key.model, &tokens, day_of(at)));
    totals.cache_saved = cache.flatten().unwrap_or_default();
    totals.cache_unpriced = u64::from(cache == Some(None));
    for (histogram, column) in [(&mut totals.ttft, 12), (&mut totals.total, 13)] {
        histogram.clear();
        if let Some(time) = row.try_get(column).map_err(Error::Read)? {
            histogram.record(Micros(time));
        }
    }
    Ok(())
}
