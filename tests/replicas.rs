//! Several processes that share a ledger in Postgres. Without a Postgres (`tests/postgres/server`) these are skipped.

mod budgets;
mod joining;
mod ledgers;

use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::{
    app::Setup,
    backend::{self, Outside},
    binary::Binary,
    upstream::Upstream,
};

/// A ledger for several processes.
struct Shared(TempDir);

impl Shared {
    /// `None`: there is no Postgres.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn new() -> Option<Self> {
        if !backend::is_postgres() {
            eprintln!("skipped: REPRISE_TEST_POSTGRES has no address of a Postgres");
            return None;
        }
        Some(Self(tempfile::tempdir().expect("a temporary folder")))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("ledger.db")
    }

    fn url(&self) -> String {
        backend::url(&self.path())
    }

    async fn look(&self) -> Outside {
        Outside::connect(&self.path()).await
    }

    async fn count(&self, sql: &str) -> i64 {
        let mut look = self.look().await;
        let count = look.count(sql).await;
        look.close().await;
        count
    }

    /// A process, with settings and a log of its own.
    async fn start(&self, upstream: &Upstream) -> Replica {
        self.start_with(Setup::of(upstream)).await
    }

    /// A process with these settings.
    async fn start_with(&self, setup: Setup) -> Replica {
        let setup = setup.set("REPRISE_DATABASE_URL", &self.url());
        Replica { binary: Binary::start(&setup).await, _setup: setup }
    }
}

/// A running process.
struct Replica {
    binary: Binary,
    _setup: Setup,
}
