//! The write-ahead log is bounded, although a reader keeps SQLite from emptying it.

use reprise::store::prune::{Limits, Whose};

use super::*;

const LIMIT: u64 = 2 << 20;

impl Bench {
    fn wal_bytes(&self) -> u64 {
        self.path().with_extension("db-wal").metadata().unwrap().len()
    }

    /// Another program's transaction that has read, and goes on.
    async fn read_on(&self) -> SqliteConnection {
        let mut outside = self.outside().await;
        sqlx::raw_sql("begin; select count(*) from call").execute(&mut outside).await.unwrap();
        outside
    }
}

/// An answer that takes some 100 kB however it is compressed.
fn long_answer(n: u128) -> Sealing {
    let text: String = (0..2_000).map(|part| key(n * 10_000 + part).to_string()).collect();
    Sealing { refs: Vec::new(), ..sealing(&text, 1) }
}

#[tokio::test]
async fn a_long_reader_lets_rows_wait_and_neither_fills_the_disk_nor_loses_one() {
    if backend::skips("a write-ahead log") {
        return;
    }
    let bench = Bench::new();
    let options = Options { wal_bytes: LIMIT, wait: Duration::from_millis(1), ..bench.options() };
    let ledger = bench.open_with(&options).await.unwrap();
    let reader = bench.read_on().await;
    let mut written = 0;
    while ledger.state().writable {
        written += 1;
        let opening = Arc::new(opening(written, None));
        let _ = ledger.open_exchange(&opening).await;
        let _ = seal(&ledger, &opening, long_answer(written)).await;
        assert!(written < 1_000, "the log has no limit");
    }
    let state = ledger.state();
    let error = state.error.unwrap();
    assert!(
        error.contains("limit of 2.0 MiB") && error.contains("end that transaction"),
        "{error}"
    );
    assert_eq!(state.wal_bytes, bench.wal_bytes());
    // One commit may take it over the limit.
    assert!((LIMIT..2 * LIMIT).contains(&state.wal_bytes), "{}", state.wal_bytes);

    reader.close().await.unwrap();
    until("the ledger can be written again", || ledger.state().writable).await;
    settled(&ledger).await;
    assert_eq!(ledger.state().lost, 0);
    assert_eq!(bench.count("select count(*) from exchange").await, i64::try_from(written).unwrap());
    assert_eq!(
        bench.count("select count(*) from exchange where servable").await,
        bench.count("select count(*) from call").await
    );
    ledger.close(GRACE).await;
}

#[tokio::test]
async fn a_log_that_a_reader_let_grow_is_emptied_when_it_has_left() {
    if backend::skips("a write-ahead log") {
        return;
    }
    let bench = Bench::new();
    let ledger = bench.open().await;
    let reader = bench.read_on().await;
    let mut n = 0;
    while bench.wal_bytes() < 20 << 20 {
        n += 1;
        exchange(&ledger, opening(n, None), long_answer(n)).await;
    }
    reader.close().await.unwrap();
    while bench.wal_bytes() > 16 << 20 {
        n += 1;
        exchange(&ledger, opening(n, None), long_answer(n)).await;
        assert!(n < 1_000, "the log stays long");
    }
}

#[tokio::test]
async fn the_size_limit_of_a_prune_counts_the_log() {
    if backend::skips("a write-ahead log") {
        return;
    }
    let bench = Bench::new();
    let ledger = bench.open().await;
    for n in 1..=100 {
        exchange(&ledger, opening(n, None), long_answer(n)).await;
    }
    let reader = bench.read_on().await;
    for n in 101..=150 {
        exchange(&ledger, opening(n, None), long_answer(n)).await;
    }
    let file = bench.path().metadata().unwrap().len();
    let most = file + bench.wal_bytes() / 2;
    let limits = Limits {
        whose: Whose::Everyone,
        keep_bodies: None,
        keep_totals: None,
        max_bytes: Some(most),
    };
    let pruning = ledger.clone();
    let pruning = bench.tasks.spawn(async move { pruning.prune(&limits, NOW).await });
    let servable = "select count(*) from exchange where servable";
    let pruned = async {
        while bench.count(servable).await == 150 {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(GRACE, pruned).await.is_ok(), "{file} + {}", bench.wal_bytes());
    // The emptying of the log waits for it.
    reader.close().await.unwrap();
    assert!(pruning.await.unwrap().unwrap().unwrap().bodies > 0);
}
