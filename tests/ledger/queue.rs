//! Rows that wait for the writer: they are late, dropped only in part, and written at the end.

use super::*;

#[tokio::test]
async fn what_cannot_be_written_yet_is_late_and_then_written() {
    let bench = Bench::new();
    let options = Options { wait: Duration::from_millis(30), ..bench.options() };
    let ledger = bench.open_with(&options).await.unwrap();
    let mut holder = bench.hold().await;

    let opening = Arc::new(opening(1, Some(chat(3))));
    assert_eq!(ledger.open_exchange(&opening).await, Durable::Late);
    assert_eq!(seal(&ledger, &opening, sealing("kept", 1)).await, Durable::Late);
    assert!(ledger.find(&key(1), rows::LATE).await.unwrap().is_some(), "served before its commit");
    assert!(ledger.reader().find(&key(1), rows::LATE).await.unwrap().is_none());
    until("the ledger says so", || !ledger.state().writable).await;
    let state = ledger.state();
    assert_eq!((state.queued, state.late), (2, 2));
    assert!(state.error.unwrap().contains("lock"));

    holder.run("rollback").await;
    settled(&ledger).await;
    assert!(ledger.state().writable);
    assert_eq!(ledger.state().queued_bytes, 0);
    assert!(ledger.reader().find(&key(1), rows::LATE).await.unwrap().is_some());
    let chain = chat(3);
    assert!(ledger.reader().load_chain(chain.frame.hash, chain.head()).await.is_ok());
}

#[tokio::test]
async fn a_full_queue_drops_bodies_and_keeps_rows() {
    let bench = Bench::new();
    let options = Options {
        wait: Duration::from_millis(10),
        queue_bytes: 4096,
        hot_bytes: 0,
        ..bench.options()
    };
    let ledger = bench.open_with(&options).await.unwrap();
    let mut holder = bench.hold().await;
    for n in 0..8 {
        let opening = Arc::new(opening(n, Some(chat(3))));
        assert_eq!(ledger.open_exchange(&opening).await, Durable::Late);
        assert_eq!(seal(&ledger, &opening, sealing("x", 1)).await, Durable::Late);
    }
    assert!(ledger.state().bodies_dropped >= 12);
    holder.run("rollback").await;
    settled(&ledger).await;
    let count = async |sql| bench.count(sql).await;
    assert_eq!(count("select count(*) from exchange").await, 8);
    assert_eq!(count("select count(*) from call").await, 8);
    let dropped = "select count(*) from exchange where recording is null and head is null";
    assert!((6..8).contains(&count(dropped).await), "the first ones still had room");
    let broken = "select count(*) from exchange where recording is null and servable";
    assert_eq!(count(broken).await, 0);
    assert!(ledger.find(&key(7), rows::LATE).await.unwrap().is_none());
}

#[tokio::test]
async fn a_close_writes_what_is_queued_and_then_takes_nothing() {
    let bench = Bench::new();
    let options = Options { durability: Durability::Normal, ..bench.options() };
    let ledger = bench.open_with(&options).await.unwrap();
    (0..1000).for_each(|n| ledger.record(hit(n, AnsweredBy::Hit)));
    ledger.close(GRACE).await;
    assert_eq!(bench.count("select count(*) from call").await, 1000);
    assert_eq!(ledger.state().queued, 0);
    assert_eq!(ledger.open_exchange(&Arc::new(opening(1, None))).await, Durable::Lost);
}

#[tokio::test]
async fn a_close_does_not_wait_for_ever() {
    let bench = Bench::new();
    let options = Options { wait: Duration::from_millis(10), ..bench.options() };
    let ledger = bench.open_with(&options).await.unwrap();
    let _holder = bench.hold().await;
    assert_eq!(ledger.open_exchange(&Arc::new(opening(1, None))).await, Durable::Late);
    ledger.close(Duration::from_millis(10)).await;
    assert_eq!(ledger.state().lost, 1);
    bench.ended().await;
}
