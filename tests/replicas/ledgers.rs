//! Several ledgers in one process, as several processes have them.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use reprise::{
    domain::{
        catalog::Catalog,
        chain::Chain,
        exchange::{AnsweredBy, Cost, NanoDollars, Outcome, Tokens, UnixMillis},
    },
    store::{
        self, CallRecord, Durable, Ledger, Opening, Options, Sealing,
        prune::{self, Limits},
        roll_up,
    },
};
use tokio_util::task::TaskTracker;

use super::Shared;
use crate::support::{
    rows::{self, key, recording},
    until,
};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const GRACE: Duration = Duration::from_secs(10);

impl Shared {
    async fn open(&self, owner: u128, tasks: &TaskTracker) -> Ledger {
        let options = Options { wait: GRACE, ..Options::new(self.url()) };
        Ledger::open(&options, rows::owner(owner), NOW, tasks).await.expect("a ledger")
    }
}

fn call(n: u128) -> CallRecord {
    CallRecord {
        outcome: Outcome::Complete,
        ..rows::call(n, NOW, AnsweredBy::Miss, "claude-haiku-4-5")
    }
}

fn opening(n: u128) -> Arc<Opening> {
    Arc::new(rows::opening(n, call(n)))
}

fn sealing(text: &str, opening: &Opening) -> Sealing {
    let cost = Cost::Exact(NanoDollars(7));
    let sealing = rows::sealing(NOW, Tokens { output: 1, ..Tokens::default() }, cost);
    let recording = Some(recording(text));
    Sealing { servable: true, recording, ..sealing }.with_call_of(opening)
}

async fn seal(ledger: &Ledger, text: &str, opening: &Arc<Opening>) {
    let sealed = ledger.commit_seal(opening, sealing(text, opening)).await;
    assert_eq!(sealed, Durable::Committed);
}

#[tokio::test]
async fn what_a_dead_owner_had_running_is_lost_and_what_a_live_one_has_is_not() {
    let Some(shared) = Shared::new() else { return };
    let [one, other] = [1, 2].map(|_| TaskTracker::new());
    let dies = shared.open(1, &one).await;
    let lives = shared.open(2, &other).await;
    for (ledger, n) in [(&dies, 1), (&lives, 2)] {
        assert_eq!(ledger.open_exchange(&opening(n)).await, Durable::Committed);
    }
    drop(dies);
    one.close();
    one.wait().await;
    let lost = "select count(*) from exchange where outcome = 'lost'";
    until("a burial by the one that lives", async || shared.count(lost).await == 1).await;
    assert_eq!(shared.count("select count(*) from running").await, 1);
    assert_eq!(shared.count("select count(*) from owner").await, 1);
    let next = shared.open(3, &other).await;
    assert_eq!(shared.count(lost).await, 1);
    assert_eq!(shared.count("select count(*) from running").await, 1);
    seal(&lives, "x", &opening(2)).await;
    assert_eq!(shared.count("select count(*) from exchange").await, 2);
    lives.close(GRACE).await;
    next.close(GRACE).await;
}

#[tokio::test]
async fn who_was_taken_for_dead_is_right_about_its_exchanges() {
    const LOCKS: &str = "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objsubid = 1 \
         and classid::bigint = (owner_lock('00000000-0000-0000-0000-000000000001') >> 32) & 4294967295";
    let Some(shared) = Shared::new() else { return };
    let tasks = TaskTracker::new();
    let ledger = shared.open(1, &tasks).await;
    assert_eq!(ledger.open_exchange(&opening(1)).await, Durable::Committed);
    let mut look = shared.look().await;
    look.run(LOCKS).await;
    let alive = "select count(*) from owner where owner_is_alive(id)";
    until("the end of the connection", async || look.count(alive).await == 0).await;
    let other = shared.open(2, &tasks).await;
    let outcomes = async |outcome: &str| {
        let exchanges = format!("select count(*) from exchange where outcome = '{outcome}'");
        let calls = format!("select count(*) from call where outcome = '{outcome}'");
        [shared.count(&exchanges).await, shared.count(&calls).await]
    };
    assert_eq!(outcomes("lost").await, [1, 1]);
    assert_eq!(roll_up(&shared.url(), &Catalog::builtin(), 1).await.unwrap(), 1);
    seal(&ledger, "x", &opening(1)).await;
    assert_eq!(outcomes("lost").await, [0, 0]);
    assert_eq!(outcomes("complete").await, [1, 1]);
    assert_eq!(roll_up(&shared.url(), &Catalog::builtin(), 1).await.unwrap(), 1, "once, and anew");
    // It is an owner again, and another exchange of it is left alone.
    assert_eq!(look.count(alive).await, 2);
    assert_eq!(ledger.open_exchange(&opening(2)).await, Durable::Committed);
    shared.open(3, &tasks).await.close(GRACE).await;
    assert_eq!(shared.count("select count(*) from running").await, 1);
    look.close().await;
    ledger.close(GRACE).await;
    other.close(GRACE).await;
}

#[tokio::test]
async fn answers_that_one_clears_are_gone_for_the_other() {
    let Some(shared) = Shared::new() else { return };
    let tasks = TaskTracker::new();
    let [one, other] = [shared.open(1, &tasks).await, shared.open(2, &tasks).await];
    seal(&one, "x", &opening(1)).await;
    let found = async |ledger: &Ledger| {
        let found = ledger.find(&key(1), rows::LATE).await.unwrap();
        found.map(|found| found.exchange)
    };
    // Twice: from the database, and from memory.
    for ledger in [&one, &other, &other] {
        assert_eq!(found(ledger).await, Some(rows::exchange_id(1)));
    }
    assert_eq!(one.clear(store::Clearing::default()).await, Some(1));
    until("the news", async || found(&other).await.is_none()).await;
    one.close(GRACE).await;
    other.close(GRACE).await;
}

#[tokio::test]
async fn sums_miss_no_call_of_two_that_write_at_once() {
    const CALLS: u128 = 400;
    const OF_BOTH: u64 = 800;
    let Some(shared) = Shared::new() else { return };
    let tasks = TaskTracker::new();
    let [one, other] = [shared.open(1, &tasks).await, shared.open(2, &tasks).await];
    let write = async |ledger: &Ledger, from: u128| {
        for n in from..from + CALLS {
            ledger.record(call(n));
            if n % 7 == 0 {
                assert!(ledger.flush().await);
            }
        }
        assert!(ledger.flush().await);
    };
    let summed = async {
        let mut summed = 0;
        while summed < OF_BOTH {
            // Who comes second finds that the sums have moved, and takes the next.
            summed += roll_up(&shared.url(), &Catalog::builtin(), 1).await.unwrap();
            tokio::task::yield_now().await;
        }
        summed
    };
    let bounded = tokio::time::timeout(GRACE * 3, async {
        tokio::join!(write(&one, 1), write(&other, 10_000), summed).2
    });
    assert_eq!(bounded.await.expect("all calls in the sums"), OF_BOTH);
    assert_eq!(shared.count("select count(*) from call").await, 800);
    one.close(GRACE).await;
    other.close(GRACE).await;
}

#[tokio::test]
async fn others_rely_on_no_row_that_a_prune_deletes() {
    let Some(shared) = Shared::new() else { return };
    let tasks = TaskTracker::new();
    let [one, other] = [shared.open(1, &tasks).await, shared.open(2, &tasks).await];
    let chain =
        Arc::new(Chain::new(b"{}".to_vec(), [b"{\"n\":1}".to_vec(), b"{\"n\":2}".to_vec()]));
    let asks = |n| {
        let chain = Some(Arc::clone(&chain));
        Arc::new(Opening { chain, ..rows::opening(n, call(n)) })
    };
    let (limits, now) =
        (Limits { keep_bodies: Some(Duration::ZERO), ..Limits::none() }, UnixMillis(NOW.0 + 1));
    seal(&other, "x", &asks(1)).await;
    let pruned = one.prune(&limits, now).await.unwrap().expect("a prune");
    assert_eq!((pruned.bodies, pruned.messages, pruned.frames), (1, 2, 1));
    // It had written these messages, and writes them again.
    seal(&other, "x", &asks(2)).await;
    let loaded = one.reader().load_chain(chain.frame.hash, chain.head()).await.unwrap();
    assert_eq!(loaded, *chain);
    let onward = &mut |_| ControlFlow::Continue(());
    let pruned = prune::run(&shared.url(), rows::owner(3), &limits, now, onward).await.unwrap();
    assert_eq!((pruned.bodies, pruned.messages, pruned.frames), (1, 2, 1));
    seal(&other, "x", &asks(3)).await;
    let loaded = other.reader().load_chain(chain.frame.hash, chain.head()).await.unwrap();
    assert_eq!(loaded, *chain);
    until("the end of the prune", async || {
        shared.count("select count(*) from owner where has_made_room").await == 0
    })
    .await;
    one.close(GRACE).await;
    other.close(GRACE).await;
}
