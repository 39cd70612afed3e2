//! The ledger's contract: what every backend must hold, and then what is this backend's own.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, too")]

mod before;
mod calls;
mod files;
mod journal;
mod maintenance;
mod path;
mod postgres;
mod queue;
mod shared;
mod wal;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::tz::TimeZone;
use reprise::{
    domain::{
        cache::PriorAsk,
        catalog::Catalog,
        chain::{Chain, Hash},
        exchange::{AnswerRef, AnsweredBy, Cost, Micros, NanoDollars, Outcome, Tokens, UnixMillis},
        recording::Recording,
        tags::Tags,
    },
    report::{
        Stats,
        stats::{Group, GroupBy, Money, Period},
    },
    store::{
        self, CallRecord, Durability, Durable, Error, Ledger, Opening, Options, PriorAskQuery,
        Reader, Sealing,
    },
};
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use crate::support::{
    backend::{self, Outside},
    rows::{self, key, recording},
};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const GRACE: Duration = Duration::from_secs(10);

/// What a report says of all calls.
async fn stats(ledger: &Ledger) -> Stats {
    let (catalog, period) = (Catalog::builtin(), Period::ever(TimeZone::UTC));
    Stats::of(ledger.reader(), &catalog, &period, &[GroupBy::Model]).await.unwrap()
}

fn chat(messages: usize) -> Arc<Chain> {
    let messages = (0..messages).map(|n| format!("{{\"role\":\"user\",\"n\":{n}}}").into_bytes());
    Arc::new(Chain::new(b"{\"model\":\"claude\"}".to_vec(), messages))
}

fn facts(n: u128) -> CallRecord {
    CallRecord {
        user: Some("ann".to_owned()),
        chat: Some("chat 1".to_owned()),
        message: Some("message 1".to_owned()),
        task: Some("title_generation".to_owned()),
        client: Some("open-webui".to_owned()),
        ..rows::call(n, NOW, AnsweredBy::Miss, "claude")
    }
}

fn opening(n: u128, chain: Option<Arc<Chain>>) -> Opening {
    Opening { chain, ..rows::opening(n, facts(n)) }
}

fn sealing(text: &str, ended_at: i64) -> Sealing {
    let tokens = Tokens { input: 3, cache_read: 4, output: 5, ..Tokens::default() };
    Sealing {
        stop_reason: Some("end_turn".to_owned()),
        upstream_request: Some("req_1".to_owned()),
        model_served: Some("claude-served".to_owned()),
        priced_on: Some("2026-08-01".to_owned()),
        servable: true,
        recording: Some(recording(text)),
        refs: vec![AnswerRef::call(text), AnswerRef::call(text), AnswerRef::signature("signed")],
        call: Some(facts(0)),
        ..rows::sealing(UnixMillis(ended_at), tokens, Cost::Exact(NanoDollars(1_234)))
    }
}

/// Seals an exchange, and with it its call, unless that goes on.
async fn seal(ledger: &Ledger, opening: &Arc<Opening>, sealing: Sealing) -> Durable {
    let goes_on = sealing.call.is_none();
    let sealing = if goes_on { sealing } else { sealing.with_call_of(opening) };
    ledger.commit_seal(opening, sealing).await
}

fn hit(n: u128, answered_by: AnsweredBy) -> CallRecord {
    CallRecord {
        answered_by,
        client_chain: Some(chat(2)),
        status: Some(200),
        outcome: Outcome::Complete,
        ttft: Some(Micros(10)),
        total: Some(Micros(20)),
        model: "claude-served".to_owned(),
        tokens: sealing("", 0).tokens,
        cost: Cost::Exact(NanoDollars(0)),
        saved: Cost::Exact(NanoDollars(1_234)),
        ..facts(n)
    }
}

fn bytes(recording: &Recording) -> Vec<u8> {
    recording.events().flatten().copied().collect()
}

/// A ledger in a folder of its own, and what it takes to look at it from outside.
struct Bench {
    folder: TempDir,
    tasks: TaskTracker,
}

impl Bench {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), tasks: TaskTracker::new() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("deep/er/ledger.db")
    }

    fn options(&self) -> Options {
        Options { wait: GRACE, ..Options::new(backend::url(&self.path())) }
    }

    async fn open(&self) -> Ledger {
        self.open_with(&self.options()).await.unwrap()
    }

    async fn open_with(&self, options: &Options) -> Result<Ledger, Error> {
        Ledger::open(options, rows::owner(99), NOW, &self.tasks).await
    }

    /// Another program's connection, whatever the backend is.
    async fn look(&self) -> Outside {
        Outside::connect(&self.path()).await
    }

    /// Another program's connection to the file.
    async fn outside(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.path()).connect().await.unwrap()
    }

    /// Another program's transaction, which keeps the ledger from being written.
    async fn hold(&self) -> Outside {
        let mut look = self.look().await;
        look.hold().await;
        look
    }

    async fn count(&self, sql: &'static str) -> i64 {
        let mut look = self.look().await;
        let count = look.count(sql).await;
        look.close().await;
        count
    }

    /// The journal of the open ledger.
    fn journal(&self) -> PathBuf {
        backend::journal(&self.path()).expect("a journal")
    }

    /// Leaves these lines in the journal, as a process that died.
    async fn leave_journal(&self, lines: &[u8]) {
        let ledger = self.open().await;
        let journal = self.journal();
        // A ledger that is only dropped removes its empty journal later, on a thread that nobody waits for.
        ledger.close(GRACE).await;
        drop(ledger);
        self.ended().await;
        std::fs::write(journal, lines).unwrap();
    }

    /// Waits until the writers have ended: their ledgers were dropped.
    async fn ended(&self) {
        self.tasks.close();
        tokio::time::timeout(GRACE, self.tasks.wait()).await.unwrap();
        self.tasks.reopen();
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(GRACE, waiting).await.is_ok(), "never happened: {what}");
}

async fn settled(ledger: &Ledger) {
    until("the queue is empty", || ledger.state().queued == 0).await;
}

/// Opens and seals one exchange.
async fn exchange(ledger: &Ledger, opening: Opening, sealing: Sealing) {
    let opening = Arc::new(opening);
    assert_eq!(ledger.open_exchange(&opening).await, Durable::Committed);
    assert_eq!(seal(ledger, &opening, sealing).await, Durable::Committed);
}

async fn a_sealed_exchange_is_found(ledger: &Ledger) {
    exchange(ledger, opening(1, Some(chat(3))), sealing("hello", 50)).await;
    for stored in [
        ledger.find(&key(1), rows::LATE).await.unwrap().unwrap(),
        ledger.reader().find(&key(1), rows::LATE).await.unwrap().unwrap(),
    ] {
        assert_eq!(stored.exchange, opening(1, None).exchange);
        assert_eq!(bytes(stored.recording.recording()), bytes(&recording("hello")));
        assert_eq!(stored.recording.recording().segments(0)[0].at(), Micros(7));
        assert_eq!(stored.model_served, "claude-served");
        assert_eq!(stored.tokens, sealing("", 0).tokens);
        assert_eq!(stored.cost, Cost::Exact(NanoDollars(1_234)));
        assert_eq!(stored.ended_at, UnixMillis(50));
    }
    assert!(ledger.find(&key(2), rows::LATE).await.unwrap().is_none());
    let chain = chat(3);
    let loaded = ledger.reader().load_chain(chain.frame.hash, chain.head()).await.unwrap();
    assert_eq!(loaded, *chain);
}

async fn the_newest_is_found(ledger: &Ledger) {
    for (n, ended_at) in [(10, 100), (11, 300), (12, 200)] {
        let opening = Opening { key: key(10), ..opening(n, None) };
        exchange(ledger, opening, sealing(&format!("at {ended_at}"), ended_at)).await;
    }
    let hot = ledger.find(&key(10), rows::LATE).await.unwrap().unwrap();
    let cold = ledger.reader().find(&key(10), rows::LATE).await.unwrap().unwrap();
    assert_eq!([hot.ended_at, cold.ended_at], [UnixMillis(300); 2]);
}

async fn a_chat_is_known_to_have_asked_whatever_came_of_it(ledger: &Ledger) {
    let asks = |n, chat: &str, message: Option<&str>| {
        let call = CallRecord {
            chat: Some(chat.to_owned()),
            message: message.map(str::to_owned),
            ..facts(n)
        };
        Opening { key: key(40), call, ..opening(n, None) }
    };
    let failed = Sealing { outcome: Outcome::Failed, servable: false, ..sealing("no", 1) };
    exchange(ledger, asks(40, "a", Some("m1")), failed).await;
    exchange(ledger, asks(41, "b", None), sealing("yes", 1)).await;
    let asked = async |n, chat, message: Option<&str>, user_message: Option<&str>| {
        let query = PriorAskQuery {
            key: &key(n),
            chat,
            message,
            user_message,
            scope: "client 0",
            model: "claude",
        };
        ledger.reader().prior_ask(&query).await.unwrap()
    };
    assert_eq!(asked(40, "a", Some("m1"), None).await, PriorAsk::Unanswered);
    assert_eq!(asked(40, "a", Some("m2"), None).await, PriorAsk::OtherMessage);
    assert_eq!(asked(40, "b", Some("m1"), None).await, PriorAsk::OtherMessage);
    assert_eq!(asked(40, "c", Some("m1"), None).await, PriorAsk::Never);
    assert_eq!(asked(39, "a", Some("m1"), None).await, PriorAsk::Never);
    // Another answer to the same message of the user, whatever the request looks like by now.
    let call = CallRecord {
        chat: Some("d".to_owned()),
        user_message: Some("u1".to_owned()),
        task: None,
        ..facts(43)
    };
    exchange(ledger, Opening { key: key(43), call, ..opening(43, None) }, sealing("d", 1)).await;
    assert_eq!(asked(44, "d", Some("m9"), Some("u1")).await, PriorAsk::OtherMessage);
    assert_eq!(
        asked(44, "d", Some("message 1"), Some("u1")).await,
        PriorAsk::Never,
        "a step of it"
    );
    assert_eq!(asked(44, "d", Some("m9"), Some("u2")).await, PriorAsk::Never);
    let other = PriorAskQuery {
        key: &key(44),
        chat: "d",
        message: Some("m9"),
        user_message: Some("u1"),
        scope: "client 0",
        model: "another",
    };
    assert_eq!(
        ledger.reader().prior_ask(&other).await.unwrap(),
        PriorAsk::Never,
        "two models side by side"
    );
    assert_eq!(
        asked(44, "e", Some("m9"), Some("u1")).await,
        PriorAsk::OtherMessage,
        "a clone of the chat"
    );
    let other = PriorAskQuery { scope: "client 1", model: "claude", ..other };
    assert_eq!(ledger.reader().prior_ask(&other).await.unwrap(), PriorAsk::Never, "another's");
    let call = CallRecord { chat: Some("c".to_owned()), key: key(40), ..hit(42, AnsweredBy::Hit) };
    ledger.record(CallRecord { client_chain: None, ..call });
    settled(ledger).await;
    assert_eq!(asked(40, "c", Some("message 2"), None).await, PriorAsk::OtherMessage);
}

async fn what_is_not_servable_is_never_found(ledger: &Ledger) {
    let unservable = Sealing { servable: false, ..sealing("no", 1) };
    exchange(ledger, opening(20, None), unservable).await;
    let bodiless = Sealing { recording: None, ..sealing("no", 1) };
    exchange(ledger, opening(21, None), bodiless).await;
    for n in [20, 21] {
        assert!(ledger.find(&key(n), rows::LATE).await.unwrap().is_none());
        assert!(ledger.reader().find(&key(n), rows::LATE).await.unwrap().is_none());
    }
}

async fn totals_tell_money_spent_from_money_saved(ledger: &Ledger) {
    exchange(ledger, opening(30, None), sealing("paid", 1)).await;
    let stopped = Sealing {
        outcome: Outcome::Stopped,
        cost: Cost::AtLeast(NanoDollars(1_000)),
        servable: false,
        status: None,
        ..sealing("part", 1)
    };
    exchange(ledger, opening(31, None), stopped).await;
    let unpriced =
        Sealing { model_served: None, cost: Cost::Unpriced, status: Some(500), ..sealing("", 1) };
    exchange(ledger, opening(32, None), unpriced).await;
    ledger.record(hit(33, AnsweredBy::Hit));
    ledger.record(hit(34, AnsweredBy::Collapsed));
    settled(ledger).await;

    let stats = stats(ledger).await;
    let [served, asked] = &stats.groups[..] else { panic!("{stats:?}") };
    let model = |group: &Group| group.of["model"].clone().unwrap();
    assert_eq!((&*model(served), &*model(asked)), ("claude-served", "claude"));
    let (served, asked) = (&served.numbers, &asked.numbers);
    let answered = [(AnsweredBy::Hit, 1), (AnsweredBy::Miss, 2), (AnsweredBy::Collapsed, 1)].into();
    assert_eq!((served.calls, &served.answered_by), (4, &answered));
    assert_eq!((served.tokens.prompt(), served.tokens.output), (14, 10));
    let money = |money: Money| (money.nano_dollars, money.at_least, money.unpriced);
    assert_eq!(money(served.cost), (Some(2_234), 1, 0));
    assert_eq!(money(served.saved.ledger), (Some(1_234), 0, 0));
    assert_eq!(money(served.saved.collapsed), (Some(1_234), 0, 0));
    assert!(served.errors.is_empty());
    assert_eq!((money(asked.cost), asked.errors.len()), ((None, 0, 1), 1));
}

async fn one_bad_row_does_not_take_others_along(ledger: &Ledger) {
    let first = Arc::new(opening(40, Some(chat(2))));
    let second = Arc::new(opening(40, None));
    let third = Arc::new(opening(42, None));
    let outcomes = tokio::join!(
        ledger.open_exchange(&first),
        ledger.open_exchange(&second),
        ledger.open_exchange(&third),
    );
    // Two may not run under one id.
    assert_eq!(outcomes, (Durable::Committed, Durable::Lost, Durable::Committed));
    assert_eq!((ledger.state().lost, ledger.state().writable), (1, true));
    for opening in [&first, &third] {
        assert_eq!(seal(ledger, opening, sealing("fine", 1)).await, Durable::Committed);
    }
    assert_eq!(ledger.open_exchange(&second).await, Durable::Committed, "the id is free again");
}

async fn opening_and_sealing_share_a_commit(ledger: &Ledger) {
    let before = ledger.state().commits;
    let opening = Arc::new(opening(50, Some(chat(2))));
    let both =
        tokio::join!(ledger.open_exchange(&opening), seal(ledger, &opening, sealing("x", 1)));
    assert_eq!(both, (Durable::Committed, Durable::Committed));
    assert_eq!(ledger.state().commits, before + 1);
    assert!(ledger.reader().find(&key(50), rows::LATE).await.unwrap().is_some());
}

async fn many_share_a_commit(ledger: &Ledger) {
    let before = ledger.state().commits;
    let all = (0..200_u32).map(|n| async move {
        let opening = opening(n.into(), Some(chat(n as usize % 7)));
        exchange(ledger, opening, sealing(&format!("{n}"), 1)).await;
    });
    futures_util::future::join_all(all).await;
    let commits = ledger.state().commits - before;
    assert!(commits < 40, "400 operations took {commits} commits");
    for n in 0..200 {
        let stored = ledger.reader().find(&key(n), rows::LATE).await.unwrap().unwrap();
        assert_eq!(bytes(stored.recording.recording()), bytes(&recording(&format!("{n}"))));
    }
}

/// Runs each part of the contract on a ledger of its own.
macro_rules! contract {
    ($($name:ident,)+) => {
        mod file {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let bench = Bench::new();
                let ledger = bench.open().await;
                super::$name(&ledger).await;
                ledger.close(GRACE).await;
            })+
        }

        mod memory {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let bench = Bench::new();
                let options = Options { wait: GRACE, ..Options::new("sqlite::memory:") };
                let ledger = bench.open_with(&options).await.unwrap();
                super::$name(&ledger).await;
                ledger.close(GRACE).await;
            })+
        }
    };
}

contract! {
    a_sealed_exchange_is_found,
    the_newest_is_found,
    a_chat_is_known_to_have_asked_whatever_came_of_it,
    what_is_not_servable_is_never_found,
    totals_tell_money_spent_from_money_saved,
    one_bad_row_does_not_take_others_along,
    opening_and_sealing_share_a_commit,
    many_share_a_commit,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_threads_share_the_writer() {
    let bench = Bench::new();
    let ledger = bench.open().await;
    for n in 0..200 {
        let ledger = ledger.clone();
        bench.tasks.spawn(async move {
            exchange(&ledger, opening(n, Some(chat(3))), sealing("x", 1)).await;
        });
    }
    // Of a shared ledger also what hears and looks after others.
    let own = if backend::is_postgres() { 4 } else { 2 };
    until("only the ledger's own tasks are left", || bench.tasks.len() == own).await;
    assert_eq!(bench.count("select count(*) from exchange").await, 200);
    assert_eq!(bench.count("select count(*) from running").await, 0);
    ledger.close(GRACE).await;
}

#[tokio::test]
async fn a_chat_takes_space_once() {
    let bench = Bench::new();
    let ledger = bench.open().await;
    for turn in 1..=10_u32 {
        let chain = chat(turn as usize * 2 - 1);
        let opening = opening(turn.into(), Some(Arc::clone(&chain)));
        exchange(&ledger, opening, sealing("x", 1)).await;
        let loaded = ledger.reader().load_chain(chain.frame.hash, chain.head()).await.unwrap();
        assert_eq!(loaded, *chain);
    }
    assert_eq!(bench.count("select count(*) from node").await, 19);
    assert_eq!(bench.count("select count(*) from frame").await, 1);
    assert_eq!(bench.count("select count(*) from answer_ref").await, 20);

    // What was known goes with the process; the rows are still there once.
    ledger.close(GRACE).await;
    let ledger = bench.open().await;
    exchange(&ledger, opening(11, Some(chat(21))), sealing("x", 1)).await;
    assert_eq!(bench.count("select count(*) from node").await, 21);
}

#[tokio::test]
async fn a_long_string_is_kept_once() {
    let bench = Bench::new();
    let ledger = bench.open().await;
    let image = "iVBORw0KGgo\\/\\\"".repeat(30_000);
    for n in 0..3 {
        let messages = [
            format!("{{\"n\":{n},\"data\":\"{image}\",\"again\":\"{image}\"}}").into_bytes(),
            format!("{{\"m\":\"{image}\"}}").into_bytes(),
        ];
        let chain = Chain::new(format!("{{\"system\":\"{image}\"}}").into_bytes(), messages);
        let (frame, head) = (chain.frame.hash, chain.head());
        exchange(&ledger, opening(n, Some(Arc::new(chain.clone()))), sealing("x", 1)).await;
        assert_eq!(ledger.reader().load_chain(frame, head).await.unwrap(), chain);
    }
    assert_eq!(bench.count("select count(*) from blob").await, 1);
    assert_eq!(bench.count("select count(*) from piece").await, 10);
    assert_eq!(bench.count("select count(*) from node").await, 6);
}

#[tokio::test]
async fn a_request_that_was_not_kept_is_an_error() {
    let bench = Bench::new();
    let ledger = bench.open().await;
    exchange(&ledger, opening(1, Some(chat(2))), sealing("x", 1)).await;
    let missing = ledger.reader().load_chain(chat(2).frame.hash, chat(3).head()).await;
    assert!(matches!(missing, Err(Error::NoBodies { .. })));
    let missing = ledger.reader().load_chain(Hash::of("frame", &[]), chat(2).head()).await;
    assert!(matches!(missing, Err(Error::NoBodies { .. })));
}

#[tokio::test]
async fn what_a_dead_process_left_running_is_lost() {
    let bench = Bench::new();
    let ledger = bench.open().await;
    let mut left = opening(1, Some(chat(3)));
    left.call.client_chain = Some(chat(5));
    assert_eq!(ledger.open_exchange(&Arc::new(left)).await, Durable::Committed);
    drop(ledger);
    bench.ended().await;
    assert_eq!(bench.count("select count(*) from running").await, 1);

    let ledger = bench.open().await;
    assert_eq!(bench.count("select count(*) from running").await, 0);
    let found = bench.count(
        "select count(*) from exchange join call on call.exchange = exchange.id \
         where exchange.outcome = 'lost' and call.outcome = 'lost' \
         and exchange.cost = 0 and exchange.cost_is = 'at_least' and call.cost_is = 'at_least' \
         and exchange.total_us is null and call.status is null \
         and frame is not null and head is not null \
         and client_frame is not null and client_head is not null \
         and user_id = 'ann' and chat_id = 'chat 1' and task = 'title_generation'",
    );
    assert_eq!(found.await, 1);
    let lost = stats(&ledger).await.total;
    assert_eq!(lost.answered_by, [(AnsweredBy::Miss, 1)].into());
    assert_eq!((lost.cost.at_least, lost.errors), (1, [("lost".to_owned(), 1)].into()));
    assert!(ledger.find(&key(1), rows::LATE).await.unwrap().is_none());
}

/// The second exchange goes on with the answer of the first: one call, which ends with it.
fn continuation(before: &Opening, n: u128) -> Opening {
    Opening { exchange: rows::exchange_id(n), continues: Some(before.exchange), ..before.clone() }
}

/// What the books say once they are closed of a call whose parts may have been paid.
async fn lost_call(bench: &Bench) -> (i64, i64, i64) {
    let mut look = bench.look().await;
    let sql = "select call.cost, call.output, (select count(*) from exchange where outcome = 'lost') \
        from call join exchange on exchange.id = call.exchange \
        where call.outcome = 'lost' and call.cost_is = 'at_least' and exchange.continues is not null";
    let mut found: Vec<(i64, i64, i64)> = look.rows(sql).await;
    look.close().await;
    assert_eq!((found.len(), bench.count("select count(*) from call").await), (1, 1));
    found.remove(0)
}

#[tokio::test]
async fn a_call_that_dies_between_two_parts_of_its_answer_is_one() {
    let bench = Bench::new();
    let ledger = bench.open().await;
    let first = opening(1, None);
    for left in [&first, &continuation(&first, 2)] {
        assert_eq!(ledger.open_exchange(&Arc::new(left.clone())).await, Durable::Committed);
    }
    drop(ledger);
    bench.ended().await;
    assert_eq!(bench.count("select count(*) from running").await, 2);

    let _ledger = bench.open().await;
    assert_eq!(lost_call(&bench).await, (0, 0, 2));
}

#[tokio::test]
async fn what_the_earlier_parts_of_a_lost_answer_cost_is_counted() {
    let bench = Bench::new();
    let ledger = bench.open().await;
    let first = opening(1, None);
    let (second, third) = (continuation(&first, 2), continuation(&continuation(&first, 2), 3));
    for ended in [first, second] {
        let part = Sealing { call: None, servable: false, ..sealing("part", 1) };
        exchange(&ledger, ended, part).await;
    }
    assert_eq!(ledger.open_exchange(&Arc::new(third)).await, Durable::Committed);
    drop(ledger);
    bench.ended().await;

    let ledger = bench.open().await;
    assert_eq!(lost_call(&bench).await, (2_468, 10, 1));
    let cost = stats(&ledger).await.total.cost;
    assert_eq!((cost.nano_dollars, cost.at_least), (Some(2_468), 1));
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_costs_only_itself() {
    let bench = Bench::new();
    let ledger = bench.open().await;
    let part = || Sealing { servable: false, refs: Vec::new(), ..sealing("part", 1) };
    for n in [1, 4] {
        exchange(&ledger, opening(n, None), part()).await;
    }
    for (n, text) in [(2, "torn"), (3, "fine")] {
        exchange(&ledger, opening(n, None), sealing(text, 1)).await;
    }
    for (before, n, text) in [(1, 5, "gone before"), (4, 6, "whole")] {
        let rest = continuation(&opening(before, None), n);
        let rest = Opening { call: facts(n), ..rest };
        exchange(&ledger, rest, sealing(text, 1)).await;
    }
    let mut look = bench.look().await;
    let torn = match &look {
        Outside::Sqlite(_) => "x'28b52ffd00'",
        Outside::Postgres(_) => "'\\x28b52ffd00'",
    };
    look.run(&format!("update exchange set recording = {torn} where id like '%2'")).await;
    look.run("update exchange set recording = null where id like '%1'").await;
    look.close().await;

    let names: Vec<AnswerRef> =
        ["torn", "fine", "gone before", "whole"].map(AnswerRef::call).into();
    let found = ledger.reader().answers("client 0", &names).await.unwrap();
    let found: Vec<_> = found.iter().map(|(name, whole)| (name, whole.events().count())).collect();
    assert_eq!(found, [(&names[1], 1), (&names[3], 2)]);
}

#[tokio::test]
async fn a_repeat_is_found_by_its_index() {
    if backend::skips("a plan that names its index") {
        return;
    }
    let bench = Bench::new();
    let _ledger = bench.open().await;
    let sql = "explain query plan select recording from exchange \
        where key = x'00' and servable and ended_at >= 0 order by ended_at desc limit 1";
    let plan: Vec<(i64, i64, i64, String)> =
        sqlx::query_as(sql).fetch_all(&mut bench.outside().await).await.unwrap();
    assert_eq!(plan.len(), 1, "no sorting: {plan:?}");
    assert!(plan[0].3.contains("USING INDEX exchange_servable"), "{plan:?}");
}
