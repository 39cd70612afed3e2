//! A look into a ledger from outside, as another process has it.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use jiff::tz::TimeZone;
use reprise::{
    domain::catalog::Catalog,
    report::{
        Stats,
        stats::{GroupBy, Period},
    },
    store::Reader,
};
use serde_json::Value;
use sqlx::{FromRow, Row, postgres::PgRow, sqlite::SqliteRow};
use tempfile::TempDir;

use super::{
    backend::{self, Outside},
    until,
};

/// Reads a struct from the columns of the names of its fields.
macro_rules! from_row {
    ($type:ty { $($field:ident),+ $(,)? }) => {
        from_row!(SqliteRow: $type { $($field),+ });
        from_row!(PgRow: $type { $($field),+ });
    };
    ($row:ident: $type:ty { $($field:ident),+ }) => {
        impl FromRow<'_, $row> for $type {
            fn from_row(row: &$row) -> sqlx::Result<Self> {
                Ok(Self { $($field: row.try_get(stringify!($field))?,)+ })
            }
        }
    };
}

/// A ledger; every look is a connection of its own.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    folder: Arc<TempDir>,
}

/// What the tests ask of a row in `exchange`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub(crate) id: String,
    pub(crate) outcome: String,
    pub(crate) stop_reason: Option<String>,
    pub(crate) error_kind: Option<String>,
    pub(crate) status: Option<i64>,
    pub(crate) upstream_request: Option<String>,
    pub(crate) tries: i64,
    pub(crate) input: i64,
    pub(crate) output: i64,
    pub(crate) cost: Option<i64>,
    pub(crate) cost_is: String,
    pub(crate) servable: bool,
    pub(crate) frame: Option<Vec<u8>>,
    pub(crate) recording: Option<Vec<u8>>,
}

from_row!(Exchange {
    id,
    outcome,
    stop_reason,
    error_kind,
    status,
    upstream_request,
    tries,
    input,
    output,
    cost,
    cost_is,
    servable,
    frame,
    recording,
});

/// What the tests ask of a row in `call`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) exchange: Option<String>,
    pub(crate) answered_by: String,
    pub(crate) status: Option<i64>,
    pub(crate) outcome: String,
    pub(crate) cost: Option<i64>,
    pub(crate) cost_is: String,
    pub(crate) saved: i64,
    pub(crate) client_frame: Option<Vec<u8>>,
}

from_row!(Call { exchange, answered_by, status, outcome, cost, cost_is, saved, client_frame });

impl Ledger {
    /// The ledger in this folder, which is there as long as somebody holds it.
    pub(super) fn new(folder: &Arc<TempDir>) -> Self {
        Self { folder: Arc::clone(folder) }
    }

    pub(crate) fn url(&self) -> String {
        backend::url(&self.path())
    }

    /// In the order they began.
    pub(crate) async fn exchanges(&self) -> Vec<Exchange> {
        self.rows("select * from exchange order by id").await
    }

    /// In the order they came in.
    pub(crate) async fn calls(&self) -> Vec<Call> {
        self.rows("select * from call order by id").await
    }

    /// The one exchange there is.
    pub(crate) async fn exchange(&self) -> Exchange {
        let mut exchanges = self.exchanges().await;
        assert_eq!(exchanges.len(), 1, "{exchanges:?}");
        exchanges.remove(0)
    }

    /// Waits until so many exchanges have ended, and returns the last of them.
    pub(crate) async fn await_exchange(&self, count: i64) -> Exchange {
        until(&format!("exchange {count} in the ledger"), async || {
            self.count("exchange").await >= count
        })
        .await;
        self.exchanges().await.pop().expect("at least one")
    }

    /// How many rows a table has.
    pub(crate) async fn count(&self, table: &str) -> i64 {
        drop(self.read().await);
        self.committed(table).await
    }

    /// How many rows of a table are committed.
    pub(crate) async fn committed(&self, table: &str) -> i64 {
        let mut outside = Outside::connect(&self.path()).await;
        let count = outside.count(&format!("select count(*) from {table}")).await;
        outside.close().await;
        count
    }

    /// One column of text.
    pub(crate) async fn column(&self, sql: &'static str) -> BTreeSet<String> {
        self.rows::<(String,)>(sql).await.into_iter().map(|(text,)| text).collect()
    }

    /// The exchanges that have begun and not ended: those with a row, and those that stand in the journal.
    pub(crate) async fn begun(&self) -> BTreeSet<String> {
        let mut begun = self.column("select exchange from running").await;
        begun.extend(self.journaled("opening"));
        let mut ended = self.column("select id from exchange").await;
        ended.extend(self.journaled("sealing"));
        begun.retain(|exchange| !ended.contains(exchange));
        begun
    }

    /// Waits until no process owns it: Postgres notices the end of one a moment later.
    pub(crate) async fn is_left(&self) {
        let mut outside = Outside::connect(&self.path()).await;
        until("the ledger to be left", async || !outside.is_owned(&self.path()).await).await;
        outside.close().await;
    }

    /// Takes the lock that every writer needs, until it is released.
    pub(crate) async fn lock(&self) -> WriteLock {
        let mut outside = Outside::connect(&self.path()).await;
        outside.hold().await;
        WriteLock(outside)
    }

    /// What a report says of all calls.
    pub(crate) async fn stats(&self) -> Stats {
        let reader = self.reader().await;
        let (catalog, period) = (Catalog::builtin(), Period::ever(TimeZone::UTC));
        Stats::of(&reader, &catalog, &period, &[GroupBy::Model]).await.expect("a report")
    }

    /// A reader that sees all that has ended.
    pub(crate) async fn reader(&self) -> Reader {
        drop(self.read().await);
        Reader::open(&self.url()).await.expect("a reader")
    }

    /// Changes what no program would change: the past.
    pub(crate) async fn run(&self, sql: &'static str) {
        let mut outside = Outside::connect(&self.path()).await;
        outside.run(sql).await;
        outside.close().await;
    }

    /// Everything that is on disk of it, the WAL included.
    pub(crate) async fn bytes(&self) -> Vec<u8> {
        let entries = std::fs::read_dir(self.folder.path()).expect("the folder of the ledger");
        let in_files = entries
            .flat_map(|entry| std::fs::read(entry.expect("an entry").path()).expect("a file"));
        let mut bytes: Vec<u8> = in_files.collect();
        bytes.extend(Outside::connect(&self.path()).await.text().await);
        bytes
    }

    /// All bodies, unpacked.
    pub(crate) async fn bodies(&self) -> Vec<u8> {
        const SQL: &str = "select body from frame union all select body from node union all \
             select body from blob union all \
             select recording from exchange where recording is not null";
        let packed: Vec<(Vec<u8>,)> = self.rows(SQL).await;
        // Short bodies are plain.
        let unpack = |body: &[u8]| match body {
            [0x28, 0xB5, 0x2F, 0xFD, ..] => zstd::decode_all(body).expect("zstd"),
            plain => plain.to_vec(),
        };
        packed.iter().flat_map(|(body,)| unpack(body)).collect()
    }

    pub(crate) async fn rows<T>(&self, sql: &'static str) -> Vec<T>
    where
        T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut outside = self.read().await;
        let rows = outside.rows(sql).await;
        outside.close().await;
        rows
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("ledger.db")
    }

    /// A connection that sees all that has ended: what a server has answered is committed a moment later.
    async fn read(&self) -> Outside {
        let mut outside = Outside::connect(&self.path()).await;
        until("what has ended to be committed", async || {
            for exchange in self.journaled("sealing") {
                let known = format!("select count(*) from exchange where id = '{exchange}'");
                if outside.count(&known).await == 0 && outside.is_owned(&self.path()).await {
                    return false;
                }
            }
            true
        })
        .await;
        outside
    }

    /// The lines of a kind in the journal.
    pub(crate) fn journal(&self, kind: &str) -> Vec<Value> {
        let journal = backend::journal(&self.path()).map(std::fs::read_to_string);
        let lines = journal.and_then(Result::ok).unwrap_or_default();
        let read = |line: &str| {
            // The checksum stands after a tab.
            let line: Value = serde_json::from_str(line.split('\t').next()?).ok()?;
            line.get(kind).cloned()
        };
        lines.lines().filter_map(read).collect()
    }

    /// The exchanges of the lines of a kind in the journal.
    pub(crate) fn journaled(&self, kind: &str) -> Vec<String> {
        let lines = self.journal(kind).into_iter();
        lines.filter_map(|line| line["exchange"].as_str().map(str::to_owned)).collect()
    }
}

/// Nobody else can write while this is held.
#[derive(Debug)]
pub(crate) struct WriteLock(Outside);

impl WriteLock {
    pub(crate) async fn release(self) {
        let mut outside = self.0;
        outside.run("rollback").await;
        outside.close().await;
    }
}
