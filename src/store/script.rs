//! Statements that one connection runs in a row, a few of them at once.
//!
//! sqlx keeps each SQLite connection on a thread of its own, so a statement that is run alone costs two switches between
//! threads, which is more than a small insert costs itself. Statements with few rows are therefore run as one; those
//! with many are run one by one, so that few different texts are ever prepared.

use sqlx::{
    Arguments, AssertSqlSafe, Encode, Sqlite, SqliteConnection, Type, error::BoxDynError,
    sqlite::SqliteArguments,
};

/// Most rows that one statement writes, and that statements have which are run at once. A prepared statement takes memory
/// for each of its parameters, and there is one for each number of rows.
const MOST_ROWS: usize = 8;

/// A statement that inserts rows.
pub(super) struct Insert {
    /// The beginning, up to the first row.
    pub(super) into: &'static str,
    /// The parameters of a row.
    pub(super) row: &'static str,
    /// What follows the rows.
    pub(super) tail: &'static str,
}

impl Insert {
    /// Appends the statement for some rows.
    fn write(&self, rows: usize, sql: &mut String) {
        let Self { into, row, tail } = self;
        sql.reserve(into.len() + rows * (row.len() + 2) + tail.len());
        sql.push_str(into);
        for at in 0..rows {
            sql.push_str(if at == 0 { "" } else { ", " });
            sql.push_str(row);
        }
        sql.push_str(tail);
    }
}

/// Statements for a connection. Those that were not [run](Script::run) are dropped with it.
pub(super) struct Script<'c> {
    conn: &'c mut SqliteConnection,
    sql: String,
    arguments: SqliteArguments,
    rows: usize,
}

impl<'c> Script<'c> {
    pub(super) fn new(conn: &'c mut SqliteConnection) -> Self {
        Self { conn, sql: String::new(), arguments: SqliteArguments::default(), rows: 0 }
    }

    /// Adds a statement without parameters.
    pub(super) fn push(&mut self, sql: &str) {
        self.separate();
        self.sql.push_str(sql);
    }

    /// Adds the inserts of some rows. `bind` adds the values of a row, in the order of the columns.
    pub(super) async fn insert<T>(
        &mut self,
        insert: &Insert,
        rows: &[T],
        bind: impl Fn(&mut SqliteArguments, &T) -> Result<(), BoxDynError>,
    ) -> Result<(), sqlx::Error> {
        for rows in rows.chunks(MOST_ROWS) {
            self.make_room(rows.len()).await?;
            insert.write(rows.len(), &mut self.sql);
            let bound = rows.iter().try_for_each(|row| bind(&mut self.arguments, row));
            bound.map_err(sqlx::Error::Encode)?;
        }
        Ok(())
    }

    /// Adds the deletion of some rows; `delete` ends with the column of their ids.
    pub(super) async fn delete<'q, T: Encode<'q, Sqlite> + Type<Sqlite> + Copy>(
        &mut self,
        delete: &'static str,
        ids: &[T],
    ) -> Result<(), sqlx::Error> {
        for ids in ids.chunks(MOST_ROWS) {
            self.make_room(ids.len()).await?;
            let parameters = vec!["?"; ids.len()].join(", ");
            self.sql.extend([delete, " in (", &parameters, ")"]);
            let bound = ids.iter().try_for_each(|id| self.arguments.add(*id));
            bound.map_err(sqlx::Error::Encode)?;
        }
        Ok(())
    }

    /// Runs what was added.
    pub(super) async fn run(&mut self) -> Result<(), sqlx::Error> {
        self.rows = 0;
        let (sql, arguments) = (std::mem::take(&mut self.sql), std::mem::take(&mut self.arguments));
        if sql.is_empty() {
            return Ok(());
        }
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
        query.execute(&mut *self.conn).await.map(drop)
    }

    /// Runs what was added, and lends the connection for statements of another kind.
    pub(super) async fn conn(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        self.run().await?;
        Ok(self.conn)
    }

    /// Begins a statement of some rows, after having run what would make it too many.
    async fn make_room(&mut self, rows: usize) -> Result<(), sqlx::Error> {
        if self.rows + rows > MOST_ROWS {
            self.run().await?;
        }
        self.rows += rows;
        self.separate();
        Ok(())
    }

    fn separate(&mut self) {
        if !self.sql.is_empty() {
            self.sql.push_str("; ");
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};

    use super::*;

    #[tokio::test]
    async fn rows_of_several_statements_get_their_own_values() {
        let mut conn = SqliteConnectOptions::new().in_memory(true).connect().await.unwrap();
        sqlx::raw_sql("create table a (n, twice); create table b (n)")
            .execute(&mut conn)
            .await
            .unwrap();
        let a = Insert {
            into: "insert into a (n, twice) values ",
            row: "(?, ?)",
            tail: " on conflict do nothing",
        };
        let b = Insert { into: "insert into b (n) values ", row: "(?)", tail: "" };
        for count in [0, 1, 2, 4, 7, 8, 9, 16, 17, 40] {
            let rows: Vec<i64> = (0..count).collect();
            let mut script = Script::new(&mut conn);
            script.push("begin immediate");
            script.push("delete from a");
            script.push("delete from b");
            for _ in 0..2 {
                script
                    .insert(&a, &rows, |arguments, n| {
                        arguments.add(n)?;
                        arguments.add(2 * n)
                    })
                    .await
                    .unwrap();
                script.insert(&b, &rows, |arguments, n| arguments.add(-n)).await.unwrap();
            }
            script.push("commit");
            script.run().await.unwrap();
            let sums = "select (select count(*) from a), (select coalesce(sum(twice), 0) from a where twice = 2 * n), \
                 (select count(*) from b), (select coalesce(sum(n), 0) from b)";
            let found: (i64, i64, i64, i64) =
                sqlx::query_as(sums).fetch_one(&mut conn).await.unwrap();
            let sum: i64 = rows.iter().sum();
            assert_eq!(found, (2 * count, 4 * sum, 2 * count, -2 * sum));
        }
    }
}
