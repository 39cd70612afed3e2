//! Calls and ended exchanges survive the process before the writer has committed them.

use std::fs;

use reprise::{
    domain::anthropic::ApiHeaders,
    store::prune::{Limits, Whose},
};

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
    let journal = bench.journal();
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
    let journal = fs::read(bench.journal()).unwrap();
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
    let journal = bench.journal();
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
    assert!((2_000_000..5_000_000).contains(&longest), "{longest}");
    drop(ledger);
    bench.ended().await;
    let _ledger = bench.open().await;
    assert_eq!(calls(&bench).await.len(), 3_999);
}

/// Ends an exchange that has a value in every column that it can have one in.
async fn end_one(ledger: &Ledger) -> Arc<Opening> {
    let opening = Arc::new(Opening {
        breakpoints: Some("[1]".to_owned()),
        headers: Some(ApiHeaders::new("2023-06-01", ["a,b"])),
        ..opening(1, Some(chat(3)))
    });
    let sealing = sealing("kept", 1).with_call_of(&opening);
    let call = CallRecord { client_chain: Some(chat(2)), ..sealing.call.unwrap() };
    let sealing = Sealing {
        call: Some(call),
        recording: Some(recording("kept")),
        ..self::sealing("kept", 1)
    };
    assert_eq!(ledger.seal(&opening, sealing).await, Durable::Journaled);
    opening
}

/// All that the tables have of exchanges and calls.
async fn rows_of(bench: &Bench) -> Vec<String> {
    const SQL: &str = "select cast(json_array(id, hex(key), scope, hex(frame), hex(head), continues, model_asked, model_served, \
         outcome, stop_reason, error_kind, error, status, upstream_request, opened_at, ended_at, ttft_us, total_us, input, \
         cache_write_5m, cache_write_1h, cache_read, output, thinking, searches, cost, cost_is, priced_on, servable, \
         breakpoints, hex(recording), version, betas, tries, priced_as, estimate, bill) as text) from exchange \
         union all select cast(json_array(id, exchange, at, answered_by, api, stream, user_id, chat_id, message_id, \
         user_message_id, task, client, client_key, status, outcome, ttft_us, total_us, model, input, output, cost, cost_is, \
         saved, notes, hex(client_frame), hex(client_head), hex(key), error_kind, saved_is, tries, priced_as, estimate, tags, \
         reason) as text) from call \
         union all select cast(json_array(hex(hash), hex(parent), hex(body)) as text) from node \
         union all select cast(json_array(hex(hash), hex(body)) as text) from frame \
         union all select cast(json_array(scope, ref, exchange) as text) from answer_ref order by 1";
    // A function of SQLite.
    const HEX: &str = "create or replace function hex(bytes bytea) returns text language sql immutable \
         as $$ select encode(bytes, 'hex') $$";
    let mut look = bench.look().await;
    if backend::is_postgres() {
        look.run(HEX).await;
    }
    let sql = if backend::is_postgres() {
        SQL.replace("json_array(", "json_build_array(")
    } else {
        SQL.to_owned()
    };
    let rows = look.rows::<(String,)>(&sql).await;
    look.close().await;
    rows.into_iter().map(|(row,)| row).collect()
}

#[tokio::test]
async fn an_exchange_that_has_ended_does_not_wait_for_the_writer_and_is_restored_as_it_would_be_written()
 {
    if backend::skips("sealings that wait for the journal only") {
        return;
    }
    let written = Bench::new();
    let ledger = written.open().await;
    end_one(&ledger).await;
    ledger.close(GRACE).await;
    written.ended().await;
    let expected = rows_of(&written).await;
    assert!(expected.len() > 6, "{expected:?}");

    let bench = Bench::new();
    let ledger = bench.open().await;
    let holder = bench.hold().await;
    let opening = end_one(&ledger).await;
    assert!(ledger.find(&key(1), rows::LATE).await.unwrap().is_some(), "served before its commit");
    ledger.journal_opening(&opening).await;
    ledger.close(Duration::from_millis(10)).await;
    assert_eq!(ledger.state().lost, 0);
    drop(ledger);
    bench.ended().await;
    drop(holder);
    assert_eq!(rows_of(&bench).await, Vec::<String>::new());

    // A report restores it as a start does, and only once.
    let url = bench.options().url;
    for _ in 0..2 {
        store::catch_up(&url, rows::owner(9), rows::LATE).await;
        assert_eq!(rows_of(&bench).await, expected);
    }
    let ledger = bench.open().await;
    assert_eq!(rows_of(&bench).await, expected);
    let chain = chat(3);
    assert!(ledger.reader().load_chain(chain.frame.hash, chain.head()).await.is_ok());
}

#[tokio::test]
async fn a_report_has_the_calls_of_repeats_that_a_dead_process_did_not_write() {
    let bench = Bench::new();
    let ledger = bench.open().await;
    exchange(&ledger, opening(1, None), sealing("a", 1)).await;
    let (finished, joins) = (hit(10, AnsweredBy::Hit), joined(11, 1));
    for call in [&finished, &joins] {
        ledger.journal(call).await;
    }
    drop(ledger);
    bench.ended().await;
    assert_eq!(bench.count("select count(*) from call").await, 1);

    let url = bench.options().url;
    for _ in 0..2 {
        store::catch_up(&url, rows::owner(9), rows::LATE).await;
        let found = calls(&bench).await;
        assert_eq!(found.len(), 3, "{found:?}");
        for expected in [row(&finished, "complete", 1_234), row(&joins, "complete", 1_234)] {
            assert!(found.contains(&expected), "{expected:?} in {found:?}");
        }
    }
}

#[tokio::test]
async fn a_large_exchange_and_one_that_cannot_be_journaled_wait_for_their_commit() {
    let bench = Bench::new();
    let ledger = bench.open().await;
    let large: String = (0..40_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_string().into_bytes())
        .map(char::from)
        .collect();
    let opening_of = |n| Arc::new(opening(n, None));
    let sealing = sealing(&large, 1).with_call_of(&opening_of(1));
    assert_eq!(ledger.seal(&opening_of(1), sealing).await, Durable::Committed);
    assert_eq!(bench.count("select count(*) from exchange").await, 1);
    drop(ledger);
    bench.ended().await;

    let options = Options { url: "sqlite::memory:".to_owned(), ..bench.options() };
    let ledger = bench.open_with(&options).await.unwrap();
    let sealing = self::sealing("x", 1).with_call_of(&opening_of(1));
    assert_eq!(ledger.seal(&opening_of(1), sealing).await, Durable::Committed);
}

#[tokio::test]
async fn a_damaged_line_restores_nothing_and_a_request_whose_rows_are_elsewhere_is_left_out() {
    let bench = Bench::new();
    let ledger = bench.open().await;
    let journal = bench.journal();
    let first = Arc::new(opening(1, Some(chat(3))));
    assert_eq!(seal(&ledger, &first, sealing("a", 1)).await, Durable::Committed);
    let holder = bench.hold().await;
    let second = Arc::new(opening(2, Some(chat(4))));
    let sealing = sealing("b", 2).with_call_of(&second);
    assert_eq!(ledger.seal(&second, sealing).await, Durable::Journaled);
    ledger.close(Duration::from_millis(10)).await;
    let line = fs::read(&journal).unwrap();
    drop(ledger);
    bench.ended().await;
    drop(holder);

    // In a ledger that lacks the first three messages.
    let other = Bench::new();
    other.leave_journal(&line).await;
    let ledger = other.open().await;
    let kept = "select count(*) from exchange where recording is not null and head is null";
    assert_eq!(other.count(kept).await, 1);
    assert_eq!(other.count("select count(*) from node").await, 0);
    drop(ledger);
    other.ended().await;

    let damaged = Bench::new();
    for at in (0..line.len() - 1).step_by(7) {
        let mut line = line.clone();
        line[at] ^= 1;
        damaged.leave_journal(&line).await;
        drop(damaged.open().await);
        damaged.ended().await;
        assert_eq!(damaged.count("select count(*) from exchange").await, 0, "byte {at}");
    }
}
