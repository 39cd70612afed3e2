//! Pruning lets go of what it is told to, of nothing else, and leaves a ledger that is right wherever it is stopped.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, too")]

mod bench;
mod deleted_chats;

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use bench::{Bench, DAY, FIRST, GRACE, NOW, chat, days, everyone, opening, part, repeat, sealing};
use reprise::{
    domain::{catalog::Catalog, exchange::AnswerRef, user_name::UserName},
    store::{
        self, Durable, Error, Opening, Reader, Sealing,
        prune::{self, Limits, Pruned, Whose},
    },
};

use crate::support::{
    backend,
    rows::{self, key},
};

#[tokio::test]
async fn totals_stay_when_bodies_go() {
    let bench = Bench::filled().await;
    let before = bench.totals().await;
    let limits = Limits { keep_bodies: Some(days(10)), ..everyone() };
    let (pruned, _) = bench.prune(&limits, usize::MAX).await;
    // Twenty days of two users.
    assert_eq!((pruned.bodies, pruned.requests), (40, 80));
    assert_eq!((pruned.calls, pruned.exchanges), (0, 0));
    // The later turns stand on the earlier ones.
    assert_eq!((pruned.messages, pruned.frames, pruned.blobs), (0, 0, 0));
    assert_eq!(bench.totals().await, before);
    bench.is_sound().await;
    let reader = Reader::open(&bench.url()).await.unwrap();
    assert!(reader.find(&key(40), rows::LATE).await.unwrap().is_none());
    assert!(reader.find(&key(41), rows::LATE).await.unwrap().is_some());
    // A table of Postgres keeps its size.
    if !backend::is_postgres() {
        assert!(bench.size().await < pruned.bytes_before);
        assert_eq!(bench.size().await, pruned.bytes_after);
    }

    let all = Limits { keep_bodies: Some(Duration::ZERO), ..everyone() };
    bench.prune(&all, usize::MAX).await;
    for sql in
        ["select count(*) from node", "select count(*) from frame", "select count(*) from blob"]
    {
        assert_eq!(bench.count(sql).await, 0, "{sql}");
    }
    assert_eq!(bench.totals().await, before);
}

#[tokio::test]
async fn a_name_goes_with_the_last_call_of_its_user() {
    let bench = Bench::filled().await;
    let ledger = bench.open().await;
    for user in ["ann", "without calls"] {
        ledger.name_user(user, &UserName::of(Some("Ann"), None).unwrap(), NOW);
    }
    ledger.close(GRACE).await;
    for (keep, gone) in [(days(10), 1), (Duration::ZERO, 1)] {
        let limits = Limits { keep_totals: Some(keep), ..everyone() };
        let reader = Reader::open(&bench.url()).await.unwrap();
        let preview = reader.would_prune(&limits, NOW).await.unwrap();
        let (pruned, _) = bench.prune(&limits, usize::MAX).await;
        assert_eq!((preview.pruned.user_names, pruned.user_names), (gone, gone), "{keep:?}");
    }
    assert_eq!(bench.count("select count(*) from user_name").await, 0);
}

#[tokio::test]
async fn totals_go_by_the_hour_and_are_not_counted_any_more() {
    let bench = Bench::filled().await;
    let before = bench.totals().await;
    let limits = Limits { keep_totals: Some(days(10)), ..everyone() };
    let (pruned, _) = bench.prune(&limits, usize::MAX).await;
    assert_eq!((pruned.calls, pruned.exchanges), (80, 40));
    assert_eq!(bench.totals().await, before[40..]);
    store::roll_up(&bench.url(), &Catalog::builtin(), 1).await.unwrap();
    assert_eq!(bench.totals().await, before[40..]);
    bench.is_sound().await;
}

#[tokio::test]
async fn one_user_goes_and_the_other_keeps_what_they_shared() {
    let bench = Bench::filled().await;
    let before = bench.totals().await;
    let limits = Limits {
        whose: Whose::User("ann".to_owned()),
        keep_bodies: Some(Duration::ZERO),
        ..everyone()
    };
    let (pruned, _) = bench.prune(&limits, usize::MAX).await;
    assert_eq!((pruned.bodies, pruned.requests, pruned.calls), (30, 60, 0));
    // Ann's 29 later messages, her frame and her long string; the first message and its picture are Bob's, too.
    assert_eq!((pruned.messages, pruned.frames, pruned.blobs), (29, 1, 1));
    assert_eq!(bench.totals().await, before);
    bench.is_sound().await;
    let bobs =
        bench.count("select count(*) from exchange where servable and recording is not null");
    assert_eq!(bobs.await, 30);

    let limits = Limits { keep_bodies: None, keep_totals: Some(Duration::ZERO), ..limits };
    let (pruned, _) = bench.prune(&limits, usize::MAX).await;
    assert_eq!((pruned.calls, pruned.exchanges), (60, 30));
    let bobs: Vec<_> = before.iter().filter(|day| day.0.ends_with("bob")).cloned().collect();
    assert_eq!(bench.totals().await, bobs);
    bench.is_sound().await;
}

#[tokio::test]
async fn the_oldest_go_until_the_file_is_small_enough() {
    let bench = Bench::filled().await;
    let before = bench.totals().await;
    let size = bench.size().await;
    // In Postgres only rows count, and the pages of small tables are mostly empty.
    let share = if backend::is_postgres() { 4 } else { 2 };
    let limits = Limits { max_bytes: Some(size / share), ..everyone() };
    bench.prune(&limits, usize::MAX).await;
    let after = bench.size().await;
    let left = bench.count("select count(*) from exchange where recording is not null").await;
    assert!((1..60).contains(&left), "{left} of 60");
    if !backend::is_postgres() {
        assert!(after <= size / 2, "{after} of {size}");
        assert!(after > size / 4, "not more than was asked for: {after} of {size}");
    }
    assert_eq!(bench.totals().await, before);
    bench.is_sound().await;
    let reader = Reader::open(&bench.url()).await.unwrap();
    assert!(reader.find(&key(60), rows::LATE).await.unwrap().is_some(), "the newest stay");

    // What cannot be reached is no reason to go on for ever.
    let (pruned, _) = bench.prune(&Limits { max_bytes: Some(1), ..everyone() }, usize::MAX).await;
    assert!(pruned.bytes_after > 1);
    assert_eq!(bench.totals().await, before);
}

#[tokio::test]
async fn a_pruning_that_is_stopped_anywhere_leaves_the_ledger_right() {
    let filled = Bench::filled().await;
    let before = filled.totals().await;
    for limits in [
        Limits { keep_bodies: Some(Duration::ZERO), ..everyone() },
        Limits { keep_bodies: Some(days(5)), keep_totals: Some(days(10)), ..everyone() },
        Limits {
            whose: Whose::Chats(vec!["chat of bob".to_owned()]),
            keep_bodies: Some(days(3)),
            keep_totals: Some(days(20)),
            ..everyone()
        },
    ] {
        let whole = filled.copy().await;
        let (_, steps) = whole.prune(&limits, usize::MAX).await;
        assert!(steps.len() > 3, "{steps:?}");
        let after = whole.totals().await;
        for stop in 1..=steps.len() {
            let bench = filled.copy().await;
            let (_, seen) = bench.prune(&limits, stop).await;
            bench.is_sound().await;
            let totals = bench.totals().await;
            assert!(totals == before || totals == after, "stopped after {seen:?}: {totals:?}");
            // Whoever asks for a report now sums up what is left.
            store::roll_up(&bench.url(), &Catalog::builtin(), 1).await.unwrap();
            assert_eq!(bench.totals().await, totals);
            bench.prune(&limits, usize::MAX).await;
            assert_eq!(bench.totals().await, after);
            for table in [
                "select count(*) from exchange",
                "select count(*) from call",
                "select count(*) from node",
                "select count(*) from frame",
                "select count(*) from blob",
                "select count(*) from piece",
                "select count(*) from exchange where recording is not null",
            ] {
                assert_eq!(bench.count(table).await, whole.count(table).await, "{table}");
            }
        }
    }
}

#[tokio::test]
async fn a_dry_run_says_what_would_go_and_changes_nothing() {
    let bench = Bench::filled().await;
    let limits = Limits { keep_bodies: Some(days(5)), keep_totals: Some(days(10)), ..everyone() };
    let copy = bench.copy().await;
    let _server = bench.open().await;
    let reader = Reader::open(&bench.url()).await.unwrap();
    let would = reader.would_prune(&limits, NOW).await.unwrap().pruned;
    assert_eq!(bench.count("select count(*) from exchange where servable").await, 60);
    assert_eq!(bench.count("select count(*) from node").await, 59);
    let (pruned, _) = copy.prune(&limits, usize::MAX).await;
    let sizeless = |pruned: Pruned| Pruned { bytes_before: 0, bytes_after: 0, ..pruned };
    assert_eq!(sizeless(would), sizeless(pruned));
    assert!(would.bytes_after < would.bytes_before);
}

#[tokio::test]
async fn a_dry_run_of_a_size_says_what_a_prune_deletes() {
    let filled = Bench::filled().await;
    let size = filled.size().await;
    let limits = |percent: u64| Limits { max_bytes: Some(size * percent / 100), ..everyone() };
    for limits in [
        limits(100),
        limits(95),
        limits(80),
        limits(50),
        limits(20),
        limits(0),
        Limits { keep_bodies: Some(days(5)), ..limits(50) },
        Limits { keep_bodies: Some(days(25)), ..limits(50) },
        Limits { keep_totals: Some(days(20)), ..limits(60) },
    ] {
        let bench = filled.copy().await;
        let would = {
            let reader = Reader::open(&bench.url()).await.unwrap();
            reader.would_prune(&limits, NOW).await.unwrap()
        };
        let (pruned, _) = bench.prune(&limits, usize::MAX).await;
        let rows = |pruned: Pruned| Pruned { bytes_before: 0, bytes_after: 0, ..pruned };
        assert_eq!(rows(would.pruned), rows(pruned), "{limits:?}");
        let kept = "select min(ended_at) from exchange where recording is not null";
        if let (Some(before), 1..) = (
            would.bodies_before,
            bench.count("select count(*) from exchange where recording is not null").await,
        ) {
            assert!(bench.count(kept).await >= before.0, "{limits:?}");
        }
    }
}

/// The clock was ahead by 100 days on the tenth day, and was then set right.
#[tokio::test]
async fn what_a_clock_was_ahead_for_is_deleted_in_the_order_of_commits() {
    let filled = Bench::filled().await;
    for (table, time) in [("exchange", "ended_at"), ("call", "at")] {
        let to_the_future = format!(
            "update {table} set {time} = {time} + {} where {time} between {} and {}",
            100 * DAY,
            FIRST + 9 * DAY,
            FIRST + 10 * DAY - 1,
        );
        filled.look().await.run(&to_the_future).await;
    }
    let ahead =
        "select count(*) from exchange where ended_at > 1796083200000 and recording is not null";
    assert_eq!(filled.count(ahead).await, 2);
    let pruned = async |limits: Limits| {
        let bench = filled.copy().await;
        let would = Reader::open(&bench.url()).await.unwrap().would_prune(&limits, NOW).await;
        let (pruned, _) = bench.prune(&limits, usize::MAX).await;
        bench.is_sound().await;
        assert_eq!(would.unwrap().pruned.bodies, pruned.bodies);
        (pruned.bodies, pruned.calls, bench.count(ahead).await)
    };
    let bodies = |age| Limits { keep_bodies: Some(age), ..everyone() };
    // Of thirty days, and the ninth and the eleventh day tell where the tenth belongs.
    assert_eq!(pruned(bodies(days(15))).await, (30, 0, 0));
    assert_eq!(pruned(bodies(days(25))).await, (10, 0, 2));
    assert_eq!(pruned(bodies(Duration::ZERO)).await, (60, 0, 0), "0 deletes all");
    let ann = Limits { whose: Whose::User("ann".to_owned()), ..bodies(Duration::ZERO) };
    assert_eq!(pruned(ann).await, (30, 0, 1));
    let totals = Limits { keep_totals: Some(days(15)), ..everyone() };
    assert_eq!(pruned(totals.clone()).await, (0, 60, 0));
    assert_eq!(pruned(Limits { max_bytes: Some(1), ..everyone() }).await, (60, 0, 0));
    // Sums are those of the calls that are left.
    let bench = filled.copy().await;
    bench.prune(&totals, usize::MAX).await;
    let left: u64 = bench.totals().await.iter().map(|day| day.1).sum();
    assert_eq!(left, 60);

    let reader = Reader::open(&filled.url()).await.unwrap();
    let older = |age| store::Clearing {
        ended_before: Some(NOW.before(age)),
        now: Some(NOW),
        ..store::Clearing::default()
    };
    assert_eq!(reader.count(&older(days(15))).await.unwrap(), 30);
    assert_eq!(reader.count(&older(days(25))).await.unwrap(), 10);
}

#[tokio::test]
async fn an_exchange_that_still_answers_stays() {
    let bench = Bench::filled().await;
    let ledger = bench.open().await;
    // Today Bob was answered with what Ann was told on the first day.
    ledger.record(repeat(5_000, NOW.0 - 60_000, "bob", 1));
    // On the second day an answer of Ann's took two exchanges.
    let at = FIRST + DAY;
    let first = opening(71, at, "ann", 2);
    let second = Opening {
        exchange: rows::exchange_id(72),
        continues: Some(first.exchange),
        ..first.clone()
    };
    let part = Sealing { servable: false, ..part(71, at) };
    let rest = sealing(72, &second, at);
    for (opening, sealing) in [(first, part), (second, rest)] {
        let opening = Arc::new(opening);
        assert_eq!(ledger.open_exchange(&opening).await, Durable::Committed);
        assert_eq!(ledger.commit_seal(&opening, sealing).await, Durable::Committed);
    }
    ledger.record(repeat(5_001, NOW.0 - 60_000, "bob", 72));
    ledger.close(GRACE).await;

    let limits = Limits { keep_totals: Some(days(10)), ..everyone() };
    let (pruned, _) = bench.prune(&limits, usize::MAX).await;
    // Forty of both users' twenty days, but for the first one.
    assert_eq!((pruned.calls, pruned.exchanges), (81, 39));
    bench.is_sound().await;
    let reader = Reader::open(&bench.url()).await.unwrap();
    assert!(reader.find(&key(1), rows::LATE).await.unwrap().is_some());
    let found = reader.answers("ann", &[AnswerRef::call("call 72")]).await.unwrap();
    assert_eq!(found[0].1.events().count(), 2, "with the part before it");

    let ann =
        Limits { whose: Whose::User("ann".to_owned()), keep_bodies: Some(days(0)), ..everyone() };
    bench.prune(&ann, usize::MAX).await;
    bench.is_sound().await;
}

#[tokio::test]
async fn a_ledger_in_use_is_not_pruned() {
    if backend::skips("one owner") {
        return;
    }
    let bench = Bench::filled().await;
    let server = bench.open().await;
    let limits = Limits { keep_bodies: Some(Duration::ZERO), ..everyone() };
    let owner = rows::owner(2);
    let refused =
        prune::run(&bench.url(), owner, &limits, NOW, &mut |_| ControlFlow::Continue(())).await;
    assert!(matches!(refused, Err(Error::InUse { .. })));
    assert_eq!(bench.count("select count(*) from exchange where servable").await, 60);
    server.close(GRACE).await;
}

#[tokio::test]
async fn a_chat_goes_on_after_its_bodies_went() {
    let bench = Bench::filled().await;
    bench.prune(&Limits { keep_bodies: Some(Duration::ZERO), ..everyone() }, usize::MAX).await;
    let ledger = bench.open().await;
    let opening = Arc::new(opening(61, NOW.0, "ann", 31));
    assert_eq!(ledger.open_exchange(&opening).await, Durable::Committed);
    assert_eq!(
        ledger.commit_seal(&opening, sealing(61, &opening, NOW.0)).await,
        Durable::Committed
    );
    let chain = chat("ann", 31);
    let loaded = ledger.reader().load_chain(chain.frame.hash, chain.head()).await.unwrap();
    assert_eq!(loaded, *chain);
    ledger.close(GRACE).await;
    bench.is_sound().await;
}

#[tokio::test]
async fn what_a_dead_process_left_running_keeps_its_words() {
    let bench = Bench::filled().await;
    let ledger = bench.open().await;
    let left = Arc::new(opening(61, NOW.0, "eve", 3));
    assert_eq!(ledger.open_exchange(&left).await, Durable::Committed);
    let copy = bench.copy().await;
    let url = copy.url();
    let limits = Limits { keep_bodies: Some(days(1)), ..everyone() };
    let owner = rows::owner(2);
    prune::run(&url, owner, &limits, NOW, &mut |_| ControlFlow::Continue(())).await.unwrap();
    let chain = chat("eve", 3);
    let reader = Reader::open(&url).await.unwrap();
    assert!(reader.load_chain(chain.frame.hash, chain.head()).await.is_ok());
}

/// Requests that stand on what is being pruned, while it is: whatever the order, each keeps all that it needs.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_written_while_a_server_prunes_keeps_its_bodies() {
    let bench = Bench::filled().await;
    let ledger = bench.open().await;
    let before = bench.totals().await;
    let write = async |n: u128, at: i64, user: &str| {
        let opening = Arc::new(opening(n, at, user, 20));
        assert_eq!(ledger.open_exchange(&opening).await, Durable::Committed);
        assert_eq!(
            ledger.commit_seal(&opening, sealing(n, &opening, at + 1)).await,
            Durable::Committed
        );
    };
    let limits = Limits { keep_bodies: Some(Duration::ZERO), ..everyone() };
    for round in 1..=6_u128 {
        let user = |n: u128| format!("eve {round} {n}");
        // The ledger is believed to have what these stand on, and then it goes.
        for n in 0..10 {
            write(round * 100_000 + n, FIRST, &user(n)).await;
        }
        let writes = async {
            for n in 0..10 {
                write(round * 100_000 + 100 + n, NOW.0, &user(n)).await;
                let of = round * 100_000 + 100 + n;
                ledger.record(repeat(round * 100_000 + 200 + n, NOW.0, &user(n), of));
            }
        };
        let prunes = async {
            let pruned = ledger.prune(&limits, NOW).await.unwrap();
            assert!(pruned.is_some_and(|pruned| pruned.bodies >= 10), "{pruned:?}");
        };
        tokio::join!(prunes, writes);
        for n in 0..10 {
            // What is believed afterwards is true, too.
            write(round * 100_000 + 300 + n, NOW.0, &user(n)).await;
            let found =
                async |n: u128| ledger.find(&key(round * 100_000 + n), rows::LATE).await.unwrap();
            assert!(found(n).await.is_none(), "what went answers nothing");
            assert!(found(100 + n).await.is_some(), "what is new answers repeats");
        }
    }
    ledger.close(GRACE).await;
    bench.is_sound().await;
    assert_eq!(bench.count("select count(*) from exchange where head is not null").await, 120);
    let calls = |totals: &[(String, u64, i64, i64)]| totals.iter().map(|day| day.1).sum::<u64>();
    assert_eq!(calls(&bench.totals().await), calls(&before) + 240);
}
