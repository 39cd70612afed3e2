//! A ledger of the version before, which `before_0006.sql` holds: two users, four days, sums, and a call that never ended.

use std::time::Duration;

use reprise::{
    domain::{
        cache::{Holders, KeyHolder},
        exchange::{AnsweredBy, UnixMillis},
    },
    store::{
        CallFilter, Reader,
        prune::{self, Limits, Whose},
    },
};
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};

use super::{Bench, GRACE, bytes, stats};
use crate::support::{
    backend,
    rows::{self, key, recording},
};

#[tokio::test]
async fn a_ledger_of_the_version_before_is_opened_and_goes_on() {
    if backend::skips("files of an earlier version") {
        return;
    }
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path().parent().unwrap()).unwrap();
    let options = SqliteConnectOptions::new().filename(bench.path()).create_if_missing(true);
    let mut outside = options.connect().await.unwrap();
    sqlx::raw_sql(include_str!("before_0006.sql")).execute(&mut outside).await.unwrap();
    let scope = format!("user {} ann of accounts", KeyHolder::of("old key").as_str());
    sqlx::query("update exchange set scope = $1").bind(scope).execute(&mut outside).await.unwrap();
    outside.close().await.unwrap();

    let ledger = bench.open().await;
    let total = stats(&ledger).await.total;
    let answered = [(AnsweredBy::Hit, 9), (AnsweredBy::Miss, 10)].into();
    assert_eq!((total.calls, total.answered_by), (19, answered));
    assert_eq!(total.upstream_requests, 10, "one for each exchange, as far as is known");
    assert_eq!(
        (total.cost.nano_dollars, total.saved.ledger.nano_dollars),
        (Some(10_000), Some(9_000))
    );
    let stored = ledger.find(&key(1), rows::LATE).await.unwrap().unwrap();
    assert_eq!(bytes(stored.recording.recording()), bytes(&recording("answer 1")));
    let holders = ledger.reader().holders().await.unwrap();
    for name in [Holders::of, Holders::of_client_key] {
        assert_eq!(name(&holders, "old key"), KeyHolder::of("old key"), "its answers are found");
        assert_ne!(name(&holders, "new key"), KeyHolder::of("new key"));
    }
    let sessions = ledger.reader().sessions(UnixMillis(0)).await.unwrap();
    let sessions: Vec<_> = sessions.iter().map(|it| (&*it.id, it.calls.len())).collect();
    assert_eq!(sessions, [("chat of ann", 9), ("chat of bob", 10)]);
    let everything = CallFilter {
        span: UnixMillis(0)..UnixMillis(i64::MAX),
        user: None,
        chat: None,
        model: None,
        task: None,
        outcome: None,
        answered_by: None,
        tags: Vec::new(),
        conditions: Vec::new(),
    };
    let exported = ledger.reader().call_page(&everything, 0, i64::MAX).await.unwrap();
    assert_eq!(exported.len(), 19);
    assert!(exported.iter().all(|call| call.tags().is_empty() && call.reason.is_none()));
    // The record of the call that never ended has the field names of the version before.
    let lost = "select count(*) from call where outcome = 'lost' and api = 'messages'";
    assert_eq!(bench.count(lost).await, 1);
    let valid = "select count(*) from rollup_state join call on seq = upto and id = upto_call";
    assert_eq!(bench.count(valid).await, 1, "the sums stay");
    ledger.close(GRACE).await;

    let limits = Limits {
        whose: Whose::Everyone,
        keep_bodies: Some(Duration::ZERO),
        keep_totals: None,
        max_bytes: None,
    };
    let (url, owner) = (bench.options().url, rows::owner(99));
    let later = UnixMillis(1_793_491_200_000 + 30 * 86_400_000);
    let mut watch = |_| std::ops::ControlFlow::Continue(());
    let pruned = prune::run(&url, owner, &limits, later, &mut watch).await.unwrap();
    assert_eq!((pruned.bodies, pruned.messages, pruned.frames, pruned.blobs), (11, 10, 2, 1));
    assert!(Reader::open(&url).await.unwrap().find(&key(1), rows::LATE).await.unwrap().is_none());
}
