//! What only a ledger in Postgres has: a schema, migrations of processes that start together. Without
//! a Postgres these are skipped.

use super::*;

#[tokio::test]
async fn processes_that_start_together_share_the_ledger() {
    if !backend::is_postgres() {
        return;
    }
    let bench = Bench::new();
    let options = bench.options();
    let opens = (0..6).map(|n| Ledger::open(&options, rows::owner(n), NOW, &bench.tasks));
    let ledgers: Vec<Ledger> =
        futures_util::future::join_all(opens).await.into_iter().collect::<Result<_, _>>().unwrap();
    assert_eq!(bench.count("select count(*) from owner where owner_is_alive(id)").await, 6);
    match Ledger::must_be_free(&options.url, rows::owner(9)).await {
        Err(Error::InUse { owner: None, .. }) => {}
        other => panic!("{other:?}"),
    }
    for (n, ledger) in (0..).zip(&ledgers) {
        exchange(ledger, opening(n, None), sealing("x", 1)).await;
        ledger.close(GRACE).await;
    }
    assert_eq!(bench.count("select count(*) from exchange").await, 6);
    assert_eq!(bench.count("select count(*) from owner").await, 0);
    Ledger::must_be_free(&options.url, rows::owner(9)).await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    if !backend::is_postgres() {
        return;
    }
    let bench = Bench::new();
    bench.open().await.close(GRACE).await;
    let later = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
        values (99, 'later', true, '', 0)";
    bench.look().await.run(later).await;
    let opened = bench.open_with(&bench.options()).await.map(drop);
    assert!(matches!(opened, Err(Error::Newer { found: 99, .. })), "{opened:?}");
    let read = Reader::open(&bench.options().url).await.map(drop);
    assert!(matches!(read, Err(Error::Newer { found: 99, .. })), "{read:?}");
}

#[tokio::test]
async fn a_zero_character_costs_no_row() {
    if !backend::is_postgres() {
        return;
    }
    let bench = Bench::new();
    let ledger = bench.open().await;
    let call = CallRecord { user: Some("an\0n".to_owned()), ..facts(1) };
    exchange(&ledger, Opening { call, ..opening(1, Some(chat(2))) }, sealing("x", 1)).await;
    let users = "select count(*) from call where user_id = 'an' || chr(65533) || 'n'";
    assert_eq!(bench.count(users).await, 1);
    ledger.close(GRACE).await;
}
