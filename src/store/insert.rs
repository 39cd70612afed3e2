//! Rows that a transaction of the writer writes, to either database, by one call for both.
//!
//! SQLite takes each row at once, by statements that its connection prepares once. For Postgres the rows of a table become
//! one statement, which is sent when the transaction is complete.

use rusqlite::{CachedStatement, Connection};

use super::{
    error::WriteError,
    postgres::{Column, Statement, Statements},
    value::{Bind, Value},
};

/// The target of the rows of a transaction.
pub(super) enum Sink<'s> {
    /// A connection that is in the transaction.
    Sqlite(&'s Connection),
    Postgres(&'s mut Statements),
}

/// The columns of a table, and the insert of one row by SQLite.
pub(super) struct Insert {
    pub(super) table: &'static str,
    pub(super) columns: &'static [&'static str],
    /// The statement behind the values.
    pub(super) tail: &'static str,
    pub(super) sqlite: &'static str,
}

/// Takes the values of a row, in the order of the columns.
pub(super) enum Row<'s, 'c> {
    Statement { statement: &'s mut CachedStatement<'c>, bound: usize },
    Columns { columns: &'s mut Vec<Column>, rows: usize, at: usize },
    Values(&'s mut Vec<Value<'static>>),
}

impl Row<'_, '_> {
    /// Adds the value of the next column.
    pub(super) fn add<'v>(&mut self, value: impl Bind<'v>) -> Result<(), WriteError> {
        self.add_value(value.into_value())
    }

    /// Adds a value that has its form already.
    pub(super) fn add_value(&mut self, value: Value<'_>) -> Result<(), WriteError> {
        match self {
            Self::Statement { statement, bound } => {
                *bound += 1;
                statement.raw_bind_parameter(*bound, value)?;
            }
            Self::Columns { columns, rows, at } => {
                match columns.get_mut(*at) {
                    Some(column) => column.push(value),
                    None => columns.push(Column::begin(value, *rows)),
                }
                *at += 1;
            }
            Self::Values(values) => values.push(value.into_owned()),
        }
        Ok(())
    }
}

impl Sink<'_> {
    /// Inserts rows. `bind` adds the values of a row.
    pub(super) fn insert<T>(
        &mut self,
        insert: &Insert,
        rows: &[T],
        bind: impl Fn(&mut Row<'_, '_>, &T) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        match self {
            _ if rows.is_empty() => Ok(()),
            Self::Sqlite(connection) => run_each(connection, insert.sqlite, rows, bind),
            Self::Postgres(statements) => {
                let mut columns = Vec::with_capacity(insert.columns.len());
                for row in rows {
                    bind(
                        &mut Row::Columns { columns: &mut columns, rows: rows.len(), at: 0 },
                        row,
                    )?;
                }
                let Insert { table, columns: names, tail, .. } = insert;
                statements.push(Statement::insert(table, names, columns, tail)?);
                Ok(())
            }
        }
    }

    /// Runs a statement for each of some rows. `bind` adds the values of a row.
    pub(super) fn each<T>(
        &mut self,
        sql: &'static str,
        rows: &[T],
        bind: impl Fn(&mut Row<'_, '_>, &T) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        match self {
            Self::Sqlite(connection) => run_each(connection, sql, rows, bind),
            Self::Postgres(statements) => {
                for row in rows {
                    let mut values = Vec::new();
                    bind(&mut Row::Values(&mut values), row)?;
                    statements.push(Statement::of(sql, values)?);
                }
                Ok(())
            }
        }
    }
}

fn run_each<T>(
    connection: &Connection,
    sql: &str,
    rows: &[T],
    bind: impl Fn(&mut Row<'_, '_>, &T) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(sql)?;
    for row in rows {
        bind(&mut Row::Statement { statement: &mut statement, bound: 0 }, row)?;
        statement.raw_execute()?;
    }
    Ok(())
}
