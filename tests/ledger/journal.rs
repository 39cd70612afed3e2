//! Calls that reuse an answer survive the process before the writer has committed them.

use std::fs;

use reprise::store::prune::{Limits, Whose};

use super::*;

/// What another program sees of the calls: id, source, outcome, saved money.
async fn calls(bench: &Bench) -> Vec<(String, String, String, i64)> {
    const SQL: &str = "select id, answered_by, outcome, saved from call order by id";
    let mut look = bench.look().await;
    let calls = look.rows(SQL).await;
    look.close().await;
    calls
}

fn row(call: &CallRecord, outcome: &str, saved: i64) -> (String, String, String, i64) {
    (call.id.to_string(), call.answered_by.to_string(), outcome.to_owned(), saved)
}

/// A call that joins the exchange `n`, begun only.
fn joined(n: u128, exchange: u128) -> CallRecord {
    let exchange = Some(rows::exchange_id(exchange));
    CallRecord { answered_by: AnsweredBy::Collapsed, exchange, ..facts(n) }
}

#[tokio::test]
async fn calls_that_the_writer_never_got_are_restored_at_the_next_start_and_only_once() {
    let bench = Bench::new();
    let ledger = bench.open().await;
    let (first, second) = (Arc::new(opening(1, None)), opening(2, None));
    assert_eq!(ledger.open_exchange(&first).await, Durable::Committed);
    let (finished, joins) = (hit(10, AnsweredBy::Hit), joined(11, 1));
    let (joins_last_part, joins_lost) = (joined(12, 1), joined(13, 3));
    for call in [&finished, &joins, &joins_last_part, &joins_lost] {
        ledger.journal(call).await;
    }
    // The answer paused and went on in another exchange, with which its call ended.
    let part =
        Sealing { call: None, stop_reason: Some("pause_turn".to_owned()), ..sealing("a", 1) };
    assert_eq!(seal(&ledger, &first, part).await, Durable::Committed);
    let second = Opening { continues: Some(first.exchange), ..second };
    exchange(&ledger, second, sealing("b", 2)).await;
    drop(ledger);
    bench.ended().await;
    assert_eq!(bench.count("select count(*) from call").await, 1);

    for _ in 0..2 {
        let ledger = bench.open().await;
        let found = calls(&bench).await;
        let asked = found.iter().filter(|(_, by, ..)| by == "miss").count();
        assert_eq!((found.len(), asked), (5, 1), "{found:?}");
        for expected in [
            row(&finished, "complete", 1_234),
            row(&joins, "complete", 1_234),
            row(&joins_last_part, "complete", 1_234),
            row(&joins_lost, "lost", 0),
        ] {
            assert!(found.contains(&expected), "{expected:?} in {found:?}");
        }
        drop(ledger);
        bench.ended().await;
    }
}

#[tokio::test]
async fn an_exchange_that_had_only_begun_is_lost_and_one_that_has_ended_is_not() {
    let bench = Bench::new();
    let ledger = bench.open().await;
    let [begun, ended, shown] = [1, 2, 3].map(|n| {
        let mut opening = opening(n, Some(chat(3)));
        opening.call = facts(10 + n);
        Arc::new(opening)
    });
    // It goes on with the answer of the one that has a row: one call, which ends with it.
    let next = Opening {
        exchange: rows::exchange_id(4),
        continues: Some(shown.exchange),
        ..Opening::clone(&shown)
    };
    for opening in [&begun, &ended, &shown] {
        ledger.journal_opening(opening).await;
    }
    assert_eq!(seal(&ledger, &ended, sealing("x", 1)).await, Durable::Committed);
    assert_eq!(ledger.open_exchange(&shown).await, Durable::Committed);
    ledger.journal_opening(&next).await;
    drop(ledger);
    bench.ended().await;

    for _ in 0..2 {
        let ledger = bench.open().await;
        let lost = "select count(*) from exchange where outcome = 'lost' and key is not null \
             and scope = 'client 0' and cost_is = 'at_least' and (head is not null) = (id like '%3')";
        assert_eq!(bench.count(lost).await, 3);
        assert_eq!(bench.count("select count(*) from exchange").await, 4);
        let found = calls(&bench).await;
        let outcomes: Vec<_> = found.iter().map(|(_, _, outcome, _)| &**outcome).collect();
        assert_eq!(outcomes, ["lost", "complete", "lost"]);
        drop(ledger);
        bench.ended().await;
    }
}

#[tokio::test]
async fn a_journal_with_nothing_to_restore_is_removed_and_a_damaged_one_stops_no_start() {
    let bench = Bench::new();
    let ledger = bench.open().await;
    let journal = bench.path().with_extension("db.journal");
    let committed = hit(1, AnsweredBy::Hit);
    ledger.journal(&committed).await;
    assert!(fs::metadata(&journal).unwrap().len() > 0);
    ledger.record(committed);
    settled(&ledger).await;
    ledger.close(GRACE).await;
    drop(ledger);
    bench.ended().await;
    assert!(!journal.exists());

    let ledger = bench.open().await;
    ledger.journal(&hit(2, AnsweredBy::Hit)).await;
    drop(ledger);
    bench.ended().await;
    let mut lines = fs::read(&journal).unwrap();
    let whole = lines.clone();
    let cut = &whole[..whole.len() - 9];
    for piece in [b"\xff\xfe\n{}\n[]\n\"call\"\n{\"call\":{}}\n".as_slice(), &[0; 4096], b"\n", cut]
    {
        lines.extend_from_slice(piece);
    }
    fs::write(&journal, lines).unwrap();
    let ledger = bench.open().await;
    assert_eq!(calls(&bench).await.len(), 2);
    drop(ledger);
}

#[tokio::test]
async fn a_call_that_was_pruned_is_not_restored() {
    let bench = Bench::new();
    let ledger = bench.open().await;
    for n in 1..=2 {
        let call = CallRecord { user: Some(format!("user {n}")), ..hit(n, AnsweredBy::Hit) };
        ledger.journal(&call).await;
        ledger.record(call);
    }
    settled(&ledger).await;
    let limits = Limits {
        whose: Whose::User("user 1".to_owned()),
        keep_bodies: None,
        keep_totals: Some(Duration::ZERO),
        max_bytes: None,
    };
    let later = UnixMillis(NOW.0 + 1);
    assert_eq!(ledger.prune(&limits, later).await.unwrap().unwrap().calls, 1);
    let journal = fs::read(bench.path().with_extension("db.journal")).unwrap();
    assert!(!String::from_utf8_lossy(&journal).contains("user 1"));
    drop(ledger);
    bench.ended().await;
    let _ledger = bench.open().await;
    assert_eq!(calls(&bench).await.len(), 1);
}

#[tokio::test]
async fn the_journal_stays_short_however_many_calls_come() {
    let bench = Bench::new();
    let ledger = bench.open().await;
    let journal = bench.path().with_extension("db.journal");
    let mut longest = 0;
    let never_written = hit(1, AnsweredBy::Hit);
    ledger.journal(&never_written).await;
    for n in 2..4_000 {
        let notes = Some("x".repeat(2_000));
        let call = CallRecord { notes, client_chain: None, ..hit(n, AnsweredBy::Hit) };
        ledger.journal(&call).await;
        ledger.record(call);
        if n % 100 == 0 {
            settled(&ledger).await;
            longest = longest.max(fs::metadata(&journal).unwrap().len());
        }
    }
    assert!((800_000..1_500_000).contains(&longest), "{longest}");
    drop(ledger);
    bench.ended().await;
    let _ledger = bench.open().await;
    assert_eq!(calls(&bench).await.len(), 3_999);
}
