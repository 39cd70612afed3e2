//! Rows of `running` that go from a file that was removed or replaced into the next one.

use std::collections::HashSet;

use rusqlite::{Connection, params_from_iter, types::Value};

use super::connection;
use crate::domain::exchange::ExchangeId;

/// A row of `running` that this process has written, without its request.
pub(in crate::store) struct Carried {
    exchange: String,
    /// The columns of [`CARRIED`].
    values: Vec<Value>,
}

/// The columns that are carried over, after that of the exchange.
const CARRIED: &str = "owner, opened_at, key, scope, model, continues, call";

/// The rows of `running`, for the next file: their process lives.
pub(in crate::store) fn carried(connection: &mut Connection) -> rusqlite::Result<Vec<Carried>> {
    let mut statement =
        connection.prepare(&["select exchange, ", CARRIED, " from running"].concat())?;
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let values = (1..columns).map(|column| row.get(column));
        Ok(Carried { exchange: row.get(0)?, values: values.collect::<rusqlite::Result<_>>()? })
    })?;
    rows.collect()
}

/// Writes the rows of the file before, except those of `written`, which are written next; returns their number.
pub(in crate::store) fn carry_over(
    mut rows: Vec<Carried>,
    connection: &mut Connection,
    written: &HashSet<ExchangeId>,
) -> rusqlite::Result<usize> {
    let into = [
        "insert into running (exchange, ",
        CARRIED,
        ") values (?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
    ];
    rows.retain(|row| !row.exchange.parse().is_ok_and(|exchange| written.contains(&exchange)));
    connection::transaction(connection, |connection| {
        let mut insert = connection.prepare(&into.concat())?;
        for Carried { exchange, values } in &rows {
            let exchange = Value::Text(exchange.clone());
            insert.execute(params_from_iter([&exchange].into_iter().chain(values)))?;
        }
        Ok::<_, rusqlite::Error>(())
    })?;
    Ok(rows.len())
}
