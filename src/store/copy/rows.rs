//! Rows of a ledger that is read for a copy: by pages, in the order of their keys.

use std::borrow::Cow;

use futures_util::TryStreamExt;

use super::tables::{Kind, Table};
use crate::store::{
    Error,
    connection::Connection,
    query::{QueryBuilder, query_scalar},
    row::AnyRow,
    value::{Value, without_zero},
};

/// Limits of a page: rows, and their bytes.
const MOST_ROWS: usize = 2_000;
const MOST_BYTES: usize = 4 << 20;
/// Rows of the first page, before anything is known of their size.
const FIRST_ROWS: usize = 64;

/// The values of a row in the order of the table's columns, the key first.
pub(super) type Row = Vec<Value<'static>>;

/// The first columns of a row.
pub(super) type Key = [Value<'static>];

/// The columns that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Columns {
    /// Those that are unique.
    Identity,
    All,
}

/// A place between the rows of a table.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound<'k> {
    /// Before the first row, or behind the last one.
    End,
    /// Behind the row with this key.
    After(&'k Key),
}

/// The rows of a table, read by pages of limited size.
pub(super) struct Pages {
    table: &'static Table,
    columns: Columns,
    after: Option<Row>,
    limit: usize,
    is_done: bool,
}

impl Pages {
    /// All rows behind a key; `None`: all.
    pub(super) const fn new(table: &'static Table, columns: Columns, after: Option<Row>) -> Self {
        Self { table, columns, after, limit: FIRST_ROWS, is_done: false }
    }

    /// Reads the next page; `None`: there is none. With it comes the place where it ends: behind its last row, or at the
    /// end of the table.
    pub(super) async fn next(&mut self, conn: &mut Connection<'_>) -> Result<Option<Page>, Error> {
        if self.is_done {
            return Ok(None);
        }
        let after = self.after.take();
        let from = after.as_deref().map_or(Bound::End, Bound::After);
        let limited = Limit { rows: self.limit, bytes: MOST_BYTES };
        let rows = read(conn, self.table, self.columns, [from, Bound::End], Some(limited)).await?;
        self.is_done = rows.is_last;
        // A database sends the whole page, also what is not read of it.
        self.limit = match rows.rows.len() {
            read if read < self.limit && !rows.is_last => read.max(1),
            read => (read * 2).min(MOST_ROWS),
        };
        let last = rows.rows.last().map(|row| row[..self.table.key].to_vec());
        self.after.clone_from(&last);
        let to = if self.is_done { None } else { last };
        Ok(Some(Page { rows: rows.rows, from: after, to }))
    }
}

/// Rows in the order of their keys.
pub(super) struct Page {
    pub(super) rows: Vec<Row>,
    from: Option<Row>,
    to: Option<Row>,
}

impl Page {
    /// Reads what another ledger has between the ends of this page.
    pub(super) async fn same_range(
        &self,
        conn: &mut Connection<'_>,
        table: &'static Table,
        columns: Columns,
    ) -> Result<Vec<Row>, Error> {
        let [from, to] =
            [&self.from, &self.to].map(|key| key.as_deref().map_or(Bound::End, Bound::After));
        Ok(read(conn, table, columns, [from, to], None).await?.rows)
    }
}

struct Limit {
    rows: usize,
    bytes: usize,
}

struct Read {
    rows: Vec<Row>,
    is_last: bool,
}

/// Reads the rows between two places.
async fn read(
    conn: &mut Connection<'_>,
    table: &'static Table,
    columns: Columns,
    [from, to]: [Bound<'_>; 2],
    limit: Option<Limit>,
) -> Result<Read, Error> {
    let (select, kinds) = match columns {
        Columns::Identity => (table.select_identity, &table.kinds[..table.identity]),
        Columns::All => (table.select, table.kinds),
    };
    let mut query = QueryBuilder::new(select);
    let mut joint = " where (";
    for (bound, is) in [(from, ") > ("), (to, ") <= (")] {
        if let Bound::After(key) = bound {
            query.push(joint).push(table.key_columns).push(is);
            for (at, value) in key.iter().enumerate() {
                query.push(if at == 0 { "" } else { ", " }).push_value(value.clone());
            }
            query.push(")");
            joint = " and (";
        }
    }
    query.push(" order by ").push(table.key_columns);
    if let Some(Limit { rows, .. }) = limit {
        query.push(" limit ").push_bind(i64::try_from(rows).unwrap_or(i64::MAX));
    }
    let mut stream = query.build().fetch(conn);
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = stream.try_next().await? {
        let row = values(&row, kinds)?;
        bytes += row.iter().map(size).sum::<usize>();
        rows.push(row);
        if limit.as_ref().is_some_and(|limit| bytes >= limit.bytes) {
            return Ok(Read { rows, is_last: false });
        }
    }
    let is_last = limit.is_none_or(|limit| rows.len() < limit.rows);
    Ok(Read { rows, is_last })
}

/// The greatest key of a table; `None`: it is empty.
pub(super) async fn greatest_key(
    conn: &mut Connection<'_>,
    table: &'static Table,
) -> Result<Option<Row>, Error> {
    let mut query = QueryBuilder::new(table.select_identity);
    for (at, column) in table.insert.columns[..table.key].iter().enumerate() {
        query.push(if at == 0 { " order by " } else { ", " }).push(column).push(" desc");
    }
    query.push(" limit 1");
    let row = query.build().fetch(conn).try_next().await?;
    Ok(row.map(|row| values(&row, &table.kinds[..table.key])).transpose()?)
}

/// Number of rows of a table.
pub(super) async fn count(conn: &mut Connection<'_>, table: &'static Table) -> Result<u64, Error> {
    let count: i64 = query_scalar(table.count).fetch_one(conn).await?;
    Ok(u64::try_from(count).unwrap_or(0))
}

fn values(row: &AnyRow, kinds: &[Kind]) -> Result<Row, sqlx::Error> {
    let value = |(at, kind): (usize, &Kind)| {
        Ok::<_, sqlx::Error>(match kind {
            Kind::Bool => Value::Bool(row.get(at)?),
            Kind::Integer => Value::Integer(row.get(at)?),
            Kind::Text => Value::Text(row.get::<Option<String>, _>(at)?.map(Cow::Owned)),
            Kind::Bytes => Value::Bytes(row.get::<Option<Vec<u8>>, _>(at)?.map(Cow::Owned)),
        })
    };
    kinds.iter().enumerate().map(value).collect()
}

/// Size of a value, about.
fn size(value: &Value<'_>) -> usize {
    match value {
        Value::Text(Some(text)) => text.len(),
        Value::Bytes(Some(bytes)) => bytes.len(),
        Value::Text(None) | Value::Bytes(None) | Value::Bool(_) | Value::Integer(_) => 8,
    }
}

/// Replaces what Postgres cannot hold, zero characters in texts; returns the number of texts that had some.
pub(super) fn replace_zeros(row: &mut Row) -> u64 {
    let mut replaced = 0;
    for value in row {
        if let Value::Text(Some(text)) = value
            && let Cow::Owned(other) = without_zero(text)
        {
            *text = Cow::Owned(other);
            replaced += 1;
        }
    }
    replaced
}
