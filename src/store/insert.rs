//! Inserts of rows, by statements that a connection prepares once.

use rusqlite::{CachedStatement, Connection, ToSql};

/// The values of a row, in the order of the columns.
pub(super) struct Values<'s, 'c> {
    statement: &'s mut CachedStatement<'c>,
    bound: usize,
}

impl Values<'_, '_> {
    /// Adds the value of the next column.
    pub(super) fn add(&mut self, value: impl ToSql) -> rusqlite::Result<()> {
        self.bound += 1;
        self.statement.raw_bind_parameter(self.bound, value)
    }
}

/// Runs a statement for each of some rows. `bind` adds the values of a row.
pub(super) fn each<T>(
    connection: &Connection,
    sql: &str,
    rows: &[T],
    bind: impl Fn(&mut Values<'_, '_>, &T) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(sql)?;
    for row in rows {
        bind(&mut Values { statement: &mut statement, bound: 0 }, row)?;
        statement.raw_execute()?;
    }
    Ok(())
}
