//! The connection that writes: it takes the rows of a transaction by table and column, and sends one statement a table.

use std::{borrow::Cow, fmt::Write as _};

use sqlx::{Arguments, AssertSqlSafe, Connection as _, PgConnection, postgres::PgArguments};

use super::{Owner, PgDatabase};
use crate::store::{
    Durability,
    connection::BEGIN_WRITE,
    value::{Value, without_zero},
};

/// The values of a column, of one type.
#[derive(Debug)]
pub(in crate::store) enum Column {
    Bool(Vec<Option<bool>>),
    Integer(Vec<Option<i64>>),
    Text(Vec<Option<String>>),
    Bytes(Vec<Option<Vec<u8>>>),
}

impl Column {
    /// A column whose first value is this.
    pub(in crate::store) fn begin(value: Value<'_>, rows: usize) -> Self {
        let mut column = match value {
            Value::Bool(_) => Self::Bool(Vec::with_capacity(rows)),
            Value::Integer(_) => Self::Integer(Vec::with_capacity(rows)),
            Value::Text(_) => Self::Text(Vec::with_capacity(rows)),
            Value::Bytes(_) => Self::Bytes(Vec::with_capacity(rows)),
        };
        column.push(value);
        column
    }

    /// Adds the value of the next row.
    pub(in crate::store) fn push(&mut self, value: Value<'_>) {
        match (self, value) {
            (Self::Bool(column), Value::Bool(value)) => column.push(value),
            (Self::Integer(column), Value::Integer(value)) => column.push(value),
            (Self::Text(column), Value::Text(text)) => {
                column.push(text.map(|text| without_zero(&text).into_owned()));
            }
            (Self::Bytes(column), Value::Bytes(bytes)) => column.push(bytes.map(Cow::into_owned)),
            (column, _) => {
                unreachable!("a value of another type in a column of {}", column.type_name())
            }
        }
    }

    const fn type_name(&self) -> &'static str {
        match self {
            Self::Bool(_) => "boolean",
            Self::Integer(_) => "bigint",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytea",
        }
    }

    fn add_to(self, arguments: &mut PgArguments) -> Result<(), sqlx::Error> {
        match self {
            Self::Bool(column) => arguments.add(column),
            Self::Integer(column) => arguments.add(column),
            Self::Text(column) => arguments.add(column),
            Self::Bytes(column) => arguments.add(column),
        }
        .map_err(sqlx::Error::Encode)
    }
}

/// A statement with its values.
#[derive(Debug)]
pub(in crate::store) struct Statement {
    sql: Cow<'static, str>,
    arguments: PgArguments,
}

impl Statement {
    /// An insert of rows: `columns` has a value of each of them.
    pub(in crate::store) fn insert(
        table: &str,
        names: &[&str],
        columns: Vec<Column>,
        tail: &str,
    ) -> Result<Self, sqlx::Error> {
        let mut sql =
            ["insert into ", table, " (", &names.join(", "), ") select * from unnest("].concat();
        let mut arguments = PgArguments::default();
        for (at, column) in columns.into_iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            let _ = write!(sql, "{comma}${}::{}[]", at + 1, column.type_name());
            column.add_to(&mut arguments)?;
        }
        sql += ")";
        sql += tail;
        Ok(Self { sql: Cow::Owned(sql), arguments })
    }

    /// A statement for one row.
    pub(in crate::store) fn of(
        sql: &'static str,
        values: Vec<Value<'_>>,
    ) -> Result<Self, sqlx::Error> {
        let mut arguments = PgArguments::default();
        for value in values {
            arguments.add(value).map_err(sqlx::Error::Encode)?;
        }
        Ok(Self { sql: Cow::Borrowed(sql), arguments })
    }
}

/// The statements of a transaction.
pub(in crate::store) type Statements = Vec<Statement>;

/// A connection that writes.
#[derive(Debug)]
pub(in crate::store) struct WriteConnection {
    conn: PgConnection,
    /// The owner whose lock it holds.
    owner: Option<Owner>,
    current: Option<Durability>,
}

impl WriteConnection {
    pub(in crate::store) async fn open(database: &PgDatabase) -> Result<Self, sqlx::Error> {
        let conn = database.connect_to_write().await?;
        Ok(Self { conn, owner: database.owner.clone(), current: None })
    }

    /// Runs statements in one transaction. After an error of the connection it is of no use any more.
    pub(in crate::store) async fn run(
        &mut self,
        durability: Durability,
        statements: Statements,
    ) -> Result<(), sqlx::Error> {
        self.set_durability(durability).await?;
        let mut tx = self.conn.begin_with(BEGIN_WRITE).await?;
        for Statement { sql, arguments } in statements {
            sqlx::query_with(AssertSqlSafe(sql), arguments).execute(&mut *tx).await?;
        }
        tx.commit().await
    }

    async fn set_durability(&mut self, wanted: Durability) -> Result<(), sqlx::Error> {
        const SET: &str = "select set_config('synchronous_commit', $1, false)";
        if self.current != Some(wanted) {
            let word = match wanted {
                Durability::Full => "on",
                Durability::Normal => "off",
            };
            sqlx::query(SET).bind(word).execute(&mut self.conn).await?;
            self.current = Some(wanted);
        }
        Ok(())
    }

    /// Closes the connection. Its owner is none any more.
    pub(in crate::store) async fn close(mut self) -> Result<(), sqlx::Error> {
        let left = match &self.owner {
            Some(owner) => owner.leave(&mut self.conn).await,
            None => Ok(()),
        };
        self.conn.close().await?;
        left
    }
}
