//! Queries: their text, which both databases understand, and the values that are bound to it.
//!
//! The functions and methods are named after those of sqlx. Text is a constant, or is put together by a [`QueryBuilder`],
//! whose parts are constants: no value ever becomes text.

use std::{borrow::Cow, fmt::Write as _, marker::PhantomData, mem};

use futures_util::{
    FutureExt, StreamExt, TryFutureExt, TryStreamExt, future::BoxFuture, stream::BoxStream,
};
use sqlx::{
    Arguments, AssertSqlSafe, PgConnection, SqliteConnection, postgres::PgArguments,
    sqlite::SqliteArguments,
};

use super::{
    connection::{Connection, Pool},
    row::{AnyRow, FromRow},
    value::{Bind, Value},
};

/// The connection that runs a query: a given one, or any of a pool.
pub(super) enum Source<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
    Pool(&'c Pool),
}

impl<'c> From<&'c mut Connection<'_>> for Source<'c> {
    fn from(conn: &'c mut Connection<'_>) -> Self {
        match conn {
            Connection::Sqlite(conn) => Self::Sqlite(conn.get()),
            Connection::Postgres(conn) => Self::Postgres(conn.get()),
        }
    }
}

impl<'c> From<&'c Pool> for Source<'c> {
    fn from(pool: &'c Pool) -> Self {
        Self::Pool(pool)
    }
}

/// The future that binds the values of `$query` to its text, as a statement of sqlx, and runs `$body` with it, the connection
/// of `$source`, and the form of its rows.
macro_rules! run {
    ($query:expr, $source:expr, |$statement:ident, $conn:ident, $row:pat_param| $body:expr) => {{
        let (Query { sql, values, is_persistent }, source) = ($query, $source);
        async move {
            let mut pooled;
            let source = match source {
                Source::Pool(pool) => {
                    pooled = pool.acquire().await?;
                    Source::from(&mut pooled)
                }
                source => source,
            };
            macro_rules! with {
                ($arguments:ty, $conn_of:expr, $form:path) => {{
                    let arguments = <$arguments>::collect(values)?;
                    let $statement = sqlx::query_with(AssertSqlSafe(sql), arguments);
                    let ($statement, $conn, $row) =
                        ($statement.persistent(is_persistent), $conn_of, $form);
                    $body
                }};
            }
            match source {
                Source::Sqlite(conn) => with!(SqliteArguments, conn, AnyRow::Sqlite),
                Source::Postgres(conn) => with!(PgArguments, conn, AnyRow::Postgres),
                Source::Pool(_) => unreachable!("a connection of the pool was taken"),
            }
        }
        .boxed()
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
pub(super) async fn run_all(
    sql: &'static str,
    conn: &mut Connection<'_>,
) -> Result<(), sqlx::Error> {
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
    pub(super) fn execute<'e>(
        self,
        source: impl Into<Source<'e>>,
    ) -> BoxFuture<'e, Result<u64, sqlx::Error>>
    where
        'q: 'e,
    {
        run!(self, source.into(), |statement, conn, _| {
            Ok(statement.execute(conn).await?.rows_affected())
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

impl<'q, T: FromRow + Send> QueryAs<'q, T> {
    /// Reads all rows.
    pub(super) fn fetch_all<'e>(
        self,
        source: impl Into<Source<'e>>,
    ) -> BoxFuture<'e, Result<Vec<T>, sqlx::Error>>
    where
        'q: 'e,
        T: 'e,
    {
        let rows = self.query.all_rows(source.into());
        rows.map(|rows| rows?.iter().map(T::from_row).collect()).boxed()
    }

    /// Reads the first row, if there is one.
    pub(super) fn fetch_optional<'e>(
        self,
        source: impl Into<Source<'e>>,
    ) -> BoxFuture<'e, Result<Option<T>, sqlx::Error>>
    where
        'q: 'e,
        T: 'e,
    {
        let row = self.query.first_row(source.into());
        row.map(|row| row?.as_ref().map(T::from_row).transpose()).boxed()
    }

    /// Reads the first row.
    pub(super) fn fetch_one<'e>(
        self,
        source: impl Into<Source<'e>>,
    ) -> BoxFuture<'e, Result<T, sqlx::Error>>
    where
        'q: 'e,
        T: 'e,
    {
        let row = self.query.first_row(source.into());
        row.map(|row| T::from_row(&row?.ok_or(sqlx::Error::RowNotFound)?)).boxed()
    }

    /// Reads the rows one after another.
    pub(super) fn fetch<'c>(
        self,
        conn: &'c mut Connection<'_>,
    ) -> BoxStream<'c, Result<T, sqlx::Error>>
    where
        T: 'c,
    {
        let rows = self.query.fetch(conn);
        rows.map(|row| T::from_row(&row?)).boxed()
    }
}

impl<'q, T> QueryScalar<'q, T> {
    /// Binds the value of the next parameter.
    pub(super) fn bind(self, value: impl Bind<'q>) -> Self {
        Self(self.0.bind(value))
    }
}

impl<'q, T: Send> QueryScalar<'q, T>
where
    (T,): FromRow,
{
    /// Reads the column of all rows.
    pub(super) fn fetch_all<'e>(
        self,
        source: impl Into<Source<'e>>,
    ) -> BoxFuture<'e, Result<Vec<T>, sqlx::Error>>
    where
        'q: 'e,
        T: 'e,
    {
        let rows = self.0.fetch_all(source);
        rows.map_ok(|rows| rows.into_iter().map(|(value,)| value).collect()).boxed()
    }

    /// Reads the column of the first row, if there is one.
    pub(super) fn fetch_optional<'e>(
        self,
        source: impl Into<Source<'e>>,
    ) -> BoxFuture<'e, Result<Option<T>, sqlx::Error>>
    where
        'q: 'e,
        T: 'e,
    {
        self.0.fetch_optional(source).map_ok(|row| row.map(|(value,)| value)).boxed()
    }

    /// Reads the column of the first row.
    pub(super) fn fetch_one<'e>(
        self,
        source: impl Into<Source<'e>>,
    ) -> BoxFuture<'e, Result<T, sqlx::Error>>
    where
        'q: 'e,
        T: 'e,
    {
        self.0.fetch_one(source).map_ok(|(value,)| value).boxed()
    }
}

impl<'q> Query<'q> {
    /// Reads all rows.
    fn all_rows<'e>(self, source: Source<'e>) -> BoxFuture<'e, Result<Vec<AnyRow>, sqlx::Error>>
    where
        'q: 'e,
    {
        run!(self, source, |statement, conn, row| {
            Ok(statement.fetch_all(conn).await?.into_iter().map(row).collect())
        })
    }

    /// Reads the first row, if there is one.
    fn first_row<'e>(self, source: Source<'e>) -> BoxFuture<'e, Result<Option<AnyRow>, sqlx::Error>>
    where
        'q: 'e,
    {
        run!(self, source, |statement, conn, row| {
            Ok(statement.fetch_optional(conn).await?.map(row))
        })
    }
}

impl Query<'_> {
    /// Reads the rows one after another.
    pub(super) fn fetch<'c>(
        self,
        conn: &'c mut Connection<'_>,
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
        self.push_value(value.into_value())
    }

    /// Adds a parameter with a value that has its form already.
    pub(super) fn push_value(&mut self, value: Value<'q>) -> &mut Self {
        self.values.push(value);
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
        if !mem::replace(&mut self.is_first, false) {
            self.builder.push(", ");
        }
        self.builder.push_bind(value);
        self
    }
}
