//! The database of the ledgers in tests: files, or schemas of a Postgres, if `REPRISE_TEST_POSTGRES` has its address. So
//! the contract of ledgers is tested on both by the same tests.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
    str::FromStr,
};

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, FromRow, PgConnection, SqliteConnection,
    postgres::{PgConnectOptions, PgRow},
    sqlite::{SqliteConnectOptions, SqliteRow},
};

/// The address of a Postgres for tests.
fn postgres() -> Option<String> {
    std::env::var("REPRISE_TEST_POSTGRES").ok().filter(|address| !address.is_empty())
}

/// Tells whether ledgers are in Postgres. What only a file has is not tested then.
pub(crate) fn is_postgres() -> bool {
    postgres().is_some()
}

/// Tells, and says, that a test is skipped: only a ledger in a file has what it is about.
#[expect(
    clippy::print_stderr,
    reason = "a test that is skipped must not look like one that passed"
)]
pub(crate) fn skips(what: &str) -> bool {
    if is_postgres() {
        eprintln!("skipped: only a ledger in a file has {what}");
    }
    is_postgres()
}

/// The URL of the ledger that stands for this path, which is unique: the file itself, or a schema named after it.
pub(crate) fn url(path: &Path) -> String {
    schema_url(path).unwrap_or_else(|| format!("sqlite://{}", path.display()))
}

/// The URL of a schema that is named after this path; `None`: there is no Postgres.
pub(crate) fn schema_url(path: &Path) -> Option<String> {
    let folder = path.parent().expect("a folder").display().to_string();
    Some(format!("{}?schema={}&journal={folder}", postgres()?, schema(path)))
}

/// The same for those who may not write.
pub(crate) fn read_only_url(path: &Path) -> String {
    let read_only =
        if is_postgres() { "&options[default_transaction_read_only]=on" } else { "?mode=ro" };
    url(path) + read_only
}

/// The journal of the ledger that stands for this path, which must be the only one in its folder; `None`: there is none.
pub(crate) fn journal(path: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(path.parent()?).ok()?;
    files
        .filter_map(|file| Some(file.ok()?.path()))
        .find(|file| file.extension().is_some_and(|end| end == "journal"))
}

fn schema(path: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    format!("t{:016x}", hasher.finish())
}

/// The tables of a ledger in Postgres.
const TABLES: &str = "select tablename::text from pg_tables \
     where schemaname = current_schema() and tablename <> '_sqlx_migrations'";

/// A connection of another program to a ledger.
#[derive(Debug)]
pub(crate) enum Outside {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Outside {
    /// A connection to the ledger that stands for this path.
    pub(crate) async fn connect(path: &Path) -> Self {
        match postgres() {
            None => {
                let options = SqliteConnectOptions::new().filename(path);
                Self::Sqlite(options.connect().await.expect("the ledger"))
            }
            Some(address) => {
                let options = PgConnectOptions::from_str(&address).expect("an address");
                let options = options.options([("search_path", schema(path))]);
                Self::Postgres(options.connect().await.expect("the ledger"))
            }
        }
    }

    /// A connection to a schema of the Postgres at this address.
    #[cfg(target_os = "linux")]
    pub(crate) async fn at(address: &str, schema: &str) -> Self {
        let options = PgConnectOptions::from_str(address).expect("an address");
        let options = options.options([("search_path", schema)]);
        Self::Postgres(options.connect().await.expect("the ledger"))
    }

    /// Rows of a query.
    pub(crate) async fn rows<T>(&mut self, sql: &str) -> Vec<T>
    where
        T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(conn) => sqlx::query_as(sql).fetch_all(conn).await,
            Self::Postgres(conn) => sqlx::query_as(sql).fetch_all(conn).await,
        }
        .expect("rows")
    }

    /// Tells whether a process owns the ledger, which stands for this path.
    pub(crate) async fn is_owned(&mut self, path: &Path) -> bool {
        const ALIVE: &str = "select count(*) from owner where owner_is_alive(id)";
        if let Self::Postgres(_) = self {
            return self.count(ALIVE).await > 0;
        }
        let mut lock = path.as_os_str().to_owned();
        lock.push(".lock");
        // Released at once.
        fs::File::open(lock).is_ok_and(|lock| lock.try_lock_shared().is_err())
    }

    /// All rows of a ledger in Postgres as text.
    pub(crate) async fn text(&mut self) -> Vec<u8> {
        let Self::Postgres(_) = self else { return Vec::new() };
        let mut text = Vec::new();
        for (table,) in self.rows::<(String,)>(TABLES).await {
            let rows = format!("select row_to_json({table})::text from {table}");
            for (row,) in self.rows::<(String,)>(&rows).await {
                text.extend(row.into_bytes());
            }
        }
        text
    }

    /// A number.
    pub(crate) async fn count(&mut self, sql: &str) -> i64 {
        self.rows::<(i64,)>(sql).await.first().expect("a row").0
    }

    /// Runs statements.
    pub(crate) async fn run(&mut self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(conn) => sqlx::raw_sql(sql).execute(conn).await.map(drop),
            Self::Postgres(conn) => sqlx::raw_sql(sql).execute(conn).await.map(drop),
        }
        .expect("a change");
    }

    /// Takes the lock that every writer needs, until the transaction ends.
    pub(crate) async fn hold(&mut self) {
        let hold = match self {
            Self::Sqlite(_) => "begin immediate",
            Self::Postgres(_) => {
                "begin; select pg_advisory_xact_lock(1383101043, hashtext(current_schema()))"
            }
        };
        self.run(hold).await;
    }

    /// Fills the empty tables of a ledger in Postgres with the rows of the one that stands for this path.
    pub(crate) async fn copy_from(&mut self, path: &Path) {
        const NUMBERED: [(&str, &str); 3] =
            [("exchange", "rowid"), ("call", "seq"), ("repricing", "id")];
        let from = schema(path);
        // Foreign keys are not looked at.
        self.run("set session_replication_role = replica").await;
        for (table,) in self.rows::<(String,)>(TABLES).await {
            self.run(&format!(
                "delete from {table}; insert into {table} overriding system value select * from {from}.{table}"
            ))
            .await;
        }
        for (table, column) in NUMBERED {
            self.run(&format!(
                "select setval(pg_get_serial_sequence('{table}', '{column}'), \
                 (select coalesce(max({column}), 0) + 1 from {table}), false)"
            ))
            .await;
        }
    }

    pub(crate) async fn close(self) {
        match self {
            Self::Sqlite(conn) => conn.close().await,
            Self::Postgres(conn) => conn.close().await,
        }
        .expect("a clean end");
    }
}
