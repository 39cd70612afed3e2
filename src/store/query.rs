//! Queries: their text, which both databases understand, and the values that are bound to it.
//!
//! The functions and methods are named after those of sqlx. Text is a constant, or is put together by a [`QueryBuilder`],
//! whose parts are constants: no value ever becomes text.

use std::{borrow::Cow, fmt::Write as _, marker::PhantomData, mem};

use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use sqlx::{
    Arguments, AssertSqlSafe, Database, Decode, FromRow, Postgres, Row, Sqlite, Type,
    postgres::{PgArguments, PgRow},
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{
    connection::{Connection, Pool},
    value::{Bind, Value},
};

/// A type that a row of either database is read as.
pub(super) trait Readable:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T> Readable for T where
    T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

/// The connection that runs a query: a given one, or any of a pool.
#[derive(Debug)]
pub(super) enum Source<'c> {
    Connection(&'c mut Connection),
    Pool(&'c Pool),
}

impl<'c> From<&'c mut Connection> for Source<'c> {
    fn from(conn: &'c mut Connection) -> Self {
        Self::Connection(conn)
    }
}

impl<'c> From<&'c Pool> for Source<'c> {
    fn from(pool: &'c Pool) -> Self {
        Self::Pool(pool)
    }
}

/// Runs `$body` for the connection of a source, of which there are two types.
macro_rules! on {
    ($source:expr, |$conn:ident: $db:ident| $body:expr) => {{
        let mut pooled;
        let conn = match $source {
            Source::Connection(conn) => conn,
            Source::Pool(pool) => {
                pooled = pool.acquire().await?;
                &mut pooled
            }
        };
        match conn {
            Connection::Sqlite(conn) => {
                type $db = Sqlite;
                let $conn = conn.get();
                $body
            }
            Connection::Postgres(conn) => {
                type $db = Postgres;
                let $conn = conn.get();
                $body
            }
        }
    }};
}

/// A statement with its values.
#[derive(Debug)]
#[must_use]
pub(super) struct Query<'q> {
    sql: Cow<'static, str>,
    values: Vec<Value<'q>>,
    is_persistent: bool,
}

/// A query whose rows are read as `T`.
#[derive(Debug)]
#[must_use]
pub(super) struct QueryAs<'q, T> {
    query: Query<'q>,
    row: PhantomData<fn() -> T>,
}

/// A query whose rows have one column, which is read as `T`.
#[derive(Debug)]
#[must_use]
pub(super) struct QueryScalar<'q, T>(QueryAs<'q, (T,)>);

/// A statement.
pub(super) const fn query<'q>(sql: &'static str) -> Query<'q> {
    Query { sql: Cow::Borrowed(sql), values: Vec::new(), is_persistent: true }
}

/// A query whose rows are read as `T`.
pub(super) const fn query_as<'q, T>(sql: &'static str) -> QueryAs<'q, T> {
    QueryAs { query: query(sql), row: PhantomData }
}

/// A query for one column.
pub(super) const fn query_scalar<'q, T>(sql: &'static str) -> QueryScalar<'q, T> {
    QueryScalar(query_as(sql))
}

/// Runs statements that are separated by semicolons and return nothing.
pub(super) async fn run_all(sql: &'static str, conn: &mut Connection) -> Result<(), sqlx::Error> {
    match conn {
        Connection::Sqlite(conn) => sqlx::raw_sql(sql).execute(conn.get()).await.map(drop),
        Connection::Postgres(conn) => sqlx::raw_sql(sql).execute(conn.get()).await.map(drop),
    }
}

/// Arguments of a database.
trait Collect: Arguments + Sized {
    fn collect(values: Vec<Value<'_>>) -> Result<Self, sqlx::Error>;
}

macro_rules! collect {
    ($arguments:ty) => {
        impl Collect for $arguments {
            fn collect(values: Vec<Value<'_>>) -> Result<Self, sqlx::Error> {
                let mut arguments = Self::default();
                for value in values {
                    arguments.add(value).map_err(sqlx::Error::Encode)?;
                }
                Ok(arguments)
            }
        }
    };
}
collect!(SqliteArguments);
collect!(PgArguments);

impl<'q> Query<'q> {
    /// Binds the value of the next parameter.
    pub(super) fn bind(mut self, value: impl Bind<'q>) -> Self {
        self.values.push(value.into_value());
        self
    }

    /// Sets whether the connection keeps the prepared statement.
    pub(super) const fn persistent(mut self, is_persistent: bool) -> Self {
        self.is_persistent = is_persistent;
        self
    }

    /// Runs the statement and returns the number of rows that it changed.
    pub(super) async fn execute(self, source: impl Into<Source<'_>>) -> Result<u64, sqlx::Error> {
        let Self { sql, values, is_persistent } = self;
        on!(source.into(), |conn: DB| {
            let arguments = <DB as Database>::Arguments::collect(values)?;
            let query = sqlx::query_with(AssertSqlSafe(sql), arguments).persistent(is_persistent);
            Ok(query.execute(conn).await?.rows_affected())
        })
    }
}

impl<'q, T> QueryAs<'q, T> {
    /// Binds the value of the next parameter.
    pub(super) fn bind(mut self, value: impl Bind<'q>) -> Self {
        self.query = self.query.bind(value);
        self
    }
}

impl<T: Readable> QueryAs<'_, T> {
    /// Reads all rows.
    pub(super) async fn fetch_all(
        self,
        source: impl Into<Source<'_>>,
    ) -> Result<Vec<T>, sqlx::Error> {
        let Query { sql, values, is_persistent } = self.query;
        on!(source.into(), |conn: DB| {
            let arguments = <DB as Database>::Arguments::collect(values)?;
            let query = sqlx::query_as_with(AssertSqlSafe(sql), arguments);
            query.persistent(is_persistent).fetch_all(conn).await
        })
    }

    /// Reads the first row, if there is one.
    pub(super) async fn fetch_optional(
        self,
        source: impl Into<Source<'_>>,
    ) -> Result<Option<T>, sqlx::Error> {
        let Query { sql, values, is_persistent } = self.query;
        on!(source.into(), |conn: DB| {
            let arguments = <DB as Database>::Arguments::collect(values)?;
            let query = sqlx::query_as_with(AssertSqlSafe(sql), arguments);
            query.persistent(is_persistent).fetch_optional(conn).await
        })
    }

    /// Reads the first row.
    pub(super) async fn fetch_one(self, source: impl Into<Source<'_>>) -> Result<T, sqlx::Error> {
        self.fetch_optional(source).await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// Reads the rows one after another.
    pub(super) fn fetch<'c>(self, conn: &'c mut Connection) -> BoxStream<'c, Result<T, sqlx::Error>>
    where
        T: 'c,
    {
        let rows = self.query.fetch(conn);
        rows.and_then(async |row| row.read()).boxed()
    }
}

impl<'q, T> QueryScalar<'q, T> {
    /// Binds the value of the next parameter.
    pub(super) fn bind(self, value: impl Bind<'q>) -> Self {
        Self(self.0.bind(value))
    }
}

impl<T> QueryScalar<'_, T>
where
    (T,): Readable,
{
    /// Reads the column of all rows.
    pub(super) async fn fetch_all(
        self,
        source: impl Into<Source<'_>>,
    ) -> Result<Vec<T>, sqlx::Error> {
        Ok(self.0.fetch_all(source).await?.into_iter().map(|(value,)| value).collect())
    }

    /// Reads the column of the first row, if there is one.
    pub(super) async fn fetch_optional(
        self,
        source: impl Into<Source<'_>>,
    ) -> Result<Option<T>, sqlx::Error> {
        Ok(self.0.fetch_optional(source).await?.map(|(value,)| value))
    }

    /// Reads the column of the first row.
    pub(super) async fn fetch_one(self, source: impl Into<Source<'_>>) -> Result<T, sqlx::Error> {
        self.0.fetch_one(source).await.map(|(value,)| value)
    }
}

/// A row of either database.
pub(super) enum AnyRow {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl AnyRow {
    /// Reads the row.
    pub(super) fn read<T: Readable>(&self) -> Result<T, sqlx::Error> {
        match self {
            Self::Sqlite(row) => T::from_row(row),
            Self::Postgres(row) => T::from_row(row),
        }
    }

    /// Reads a column, which may borrow from the row.
    pub(super) fn get<'r, T, I>(&'r self, index: I) -> Result<T, sqlx::Error>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
        I: sqlx::ColumnIndex<SqliteRow> + sqlx::ColumnIndex<PgRow>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(index),
            Self::Postgres(row) => row.try_get(index),
        }
    }
}

impl Query<'_> {
    /// Reads the rows one after another.
    pub(super) fn fetch<'c>(
        self,
        conn: &'c mut Connection,
    ) -> BoxStream<'c, Result<AnyRow, sqlx::Error>> {
        let Self { sql, values, is_persistent } = self;
        macro_rules! rows {
            ($conn:expr, $arguments:ty, $row:path) => {
                match <$arguments>::collect(values) {
                    Ok(arguments) => {
                        let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
                        query.persistent(is_persistent).fetch($conn).map_ok($row).boxed()
                    }
                    Err(error) => futures_util::stream::iter([Err(error)]).boxed(),
                }
            };
        }
        match conn {
            Connection::Sqlite(conn) => rows!(conn.get(), SqliteArguments, AnyRow::Sqlite),
            Connection::Postgres(conn) => rows!(conn.get(), PgArguments, AnyRow::Postgres),
        }
    }

    /// Reads all rows.
    pub(super) async fn fetch_all(self, pool: &Pool) -> Result<Vec<AnyRow>, sqlx::Error> {
        self.fetch(&mut pool.acquire().await?).try_collect().await
    }
}

/// A query that is put together.
#[derive(Debug)]
pub(super) struct QueryBuilder<'q> {
    sql: String,
    values: Vec<Value<'q>>,
}

impl<'q> QueryBuilder<'q> {
    pub(super) fn new(sql: &'static str) -> Self {
        Self { sql: sql.to_owned(), values: Vec::new() }
    }

    /// Adds text.
    pub(super) fn push(&mut self, sql: &'static str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// Adds a parameter with its value.
    pub(super) fn push_bind(&mut self, value: impl Bind<'q>) -> &mut Self {
        self.values.push(value.into_value());
        let number = self.values.len();
        write!(self.sql, "${number}").expect("a string takes any text");
        self
    }

    /// Adds parameters with their values, separated by commas.
    pub(super) fn push_list<T: Bind<'q>>(
        &mut self,
        values: impl IntoIterator<Item = T>,
    ) -> &mut Self {
        for (at, value) in values.into_iter().enumerate() {
            if at > 0 {
                self.sql.push_str(", ");
            }
            self.push_bind(value);
        }
        self
    }

    /// Adds `values` with a row for each item, of which `add` gives the values.
    pub(super) fn push_rows<T>(
        &mut self,
        items: &'q [T],
        add: impl Fn(&mut ValuesRow<'_, 'q>, &'q T),
    ) -> &mut Self {
        for (at, item) in items.iter().enumerate() {
            self.sql.push_str(if at == 0 { "values (" } else { "), (" });
            add(&mut ValuesRow { builder: self, is_first: true }, item);
        }
        self.push(")")
    }

    fn take(&mut self) -> Query<'q> {
        let (sql, values) = (mem::take(&mut self.sql), mem::take(&mut self.values));
        Query { sql: Cow::Owned(sql), values, is_persistent: true }
    }

    /// The statement. The builder is empty afterwards.
    pub(super) fn build(&mut self) -> Query<'q> {
        self.take()
    }

    /// The query, with rows that are read as `T`. The builder is empty afterwards.
    pub(super) fn build_query_as<T>(&mut self) -> QueryAs<'q, T> {
        QueryAs { query: self.take(), row: PhantomData }
    }

    /// The query for one column. The builder is empty afterwards.
    pub(super) fn build_query_scalar<T>(&mut self) -> QueryScalar<'q, T> {
        QueryScalar(self.build_query_as())
    }
}

/// A row of [`QueryBuilder::push_rows`].
#[derive(Debug)]
pub(super) struct ValuesRow<'b, 'q> {
    builder: &'b mut QueryBuilder<'q>,
    is_first: bool,
}

impl<'q> ValuesRow<'_, 'q> {
    /// Adds the value of the next column.
    pub(super) fn value(&mut self, value: impl Bind<'q>) -> &mut Self {
        if !std::mem::replace(&mut self.is_first, false) {
            self.builder.push(", ");
        }
        self.builder.push_bind(value);
        self
    }
}
