//! `reprise ledger copy`: from file to file, and where there is a Postgres for tests, from a file to Postgres and back.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use reprise::{
    domain::{
        chain::Chain,
        exchange::{AnswerRef, AnsweredBy, Cost, NanoDollars, Tokens, UnixMillis},
        tags::Tags,
        user_name::UserName,
    },
    store::{
        CallRecord, Durable, Error, Ledger, Opening, Options, Sealing, copy,
        prune::{self, Limits},
    },
};
use rusqlite::Connection;
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::*;
use crate::support::{
    backend,
    rows::{self, key, recording},
};

/// The ninth of November 2026, after all of the old ledger.
const NOW: UnixMillis = UnixMillis(1_794_182_400_000);
const GRACE: Duration = Duration::from_secs(20);
/// Number of exchanges that are added: more than a page.
const MANY: u128 = 150;

impl Home {
    fn file(&self, name: &str) -> String {
        format!("sqlite://{}", self.path(name))
    }

    /// Ledgers that a ledger in a file may be copied to.
    fn targets(&self) -> Vec<String> {
        let schema = backend::schema_url(&self.0.path().join("copy"));
        [Some(self.file("copy.db")), schema].into_iter().flatten().collect()
    }

    /// What reports say of a ledger.
    fn reports(&self, url: &str) -> [String; 4] {
        let reports: [&[&str]; 4] = [
            &["stats", "--json"],
            &["sessions", "list", "--json"],
            &["calls", "export"],
            &["prices", "--json"],
        ];
        reports.map(|report| {
            let told = self.told(&[report, &["--database-url", url]].concat());
            assert!(told.starts_with("exit code: 0"), "{report:?}: {told}");
            told
        })
    }

    /// Copies by the command; returns its report.
    fn copied(&self, from: &str, to: &str) -> Value {
        let output = self.reprise(&["ledger", "copy", from, to, "--json"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A ledger with rows of all kinds: one of an earlier version, and what came later.
    async fn varied(&self, name: &str) -> String {
        let url = self.file(name);
        let old = include_str!("../ledger/before_0006.sql");
        Connection::open(self.path(name)).unwrap().execute_batch(old).unwrap();
        let ledger = open(&url).await;
        add(&ledger, 1_000, MANY).await;
        ledger.name_user("ann", &UserName::of(Some("Ann"), Some("ann@example.org")).unwrap(), NOW);
        ledger.count_refusal(NOW, "invalid_api_key");
        ledger.close(GRACE).await;
        let price = "insert into price (model, since, above, input, output, cache_write_5m, cache_write_1h, cache_read) \
             values ('claude-experimental', '2026-10-01', 0, 3000000, 15000000, 3750000, 6000000, 300000)";
        Connection::open(self.path(name)).unwrap().execute_batch(price).unwrap();
        url
    }
}

async fn open(url: &str) -> Ledger {
    let options = Options { wait: GRACE, ..Options::new(url) };
    Ledger::open(&options, rows::owner(7), NOW, &TaskTracker::new()).await.unwrap()
}

async fn pruned(url: &str, limits: &Limits) {
    let onward = &mut |_| ControlFlow::Continue(());
    prune::run(url, rows::owner(9), limits, NOW, onward).await.unwrap();
}

/// Adds exchanges, each with its call, and a hit.
async fn add(ledger: &Ledger, first: u128, number: u128) {
    for n in first..first + number {
        let picture = format!("{{\"role\":\"user\",\"content\":\"{}\"}}", "x".repeat(5_000));
        let messages = [picture, format!("{{\"role\":\"user\",\"content\":\"say {n}\"}}")];
        let chain =
            Chain::new(b"{\"model\":\"claude\"}".to_vec(), messages.map(String::into_bytes));
        let chain = Arc::new(chain);
        let call = CallRecord {
            user: Some("ann".to_owned()),
            chat: (n % 3 > 0).then(|| format!("chat {}", n % 7)),
            tags: Tags::of_header([format!("team {}", n % 2).as_bytes()].into_iter()).unwrap(),
            client_chain: Some(Arc::clone(&chain)),
            ..rows::call(
                n,
                UnixMillis(NOW.0 + i64::try_from(n).unwrap()),
                AnsweredBy::Miss,
                "claude",
            )
        };
        let key = key(n);
        let opening = Arc::new(Opening { key, chain: Some(chain), ..rows::opening(n, call) });
        let tokens = Tokens { input: 3, output: 5, ..Tokens::default() };
        let text = format!("answer {n}");
        let sealing = Sealing {
            servable: true,
            recording: Some(recording(&text)),
            refs: vec![AnswerRef::call(&text)],
            ..rows::sealing(NOW, tokens, Cost::Exact(NanoDollars(17)))
        };
        let sealing = sealing.with_call_of(&opening);
        assert_eq!(ledger.open_exchange(&opening).await, Durable::Committed);
        assert_eq!(ledger.commit_seal(&opening, sealing).await, Durable::Committed);
    }
    ledger.record(rows::call(first + number, NOW, AnsweredBy::Hit, "claude"));
}

/// Rows, written and deleted ones, by table.
fn tables(report: &Value) -> BTreeMap<String, [u64; 3]> {
    let table = |table: &Value| {
        let number = |name: &str| table[name].as_u64().unwrap();
        let name = table["name"].as_str().unwrap().to_owned();
        (name, ["rows", "written", "deleted"].map(number))
    };
    report["tables"].as_array().unwrap().iter().map(table).collect()
}

#[tokio::test]
async fn a_copy_reports_the_same_and_takes_what_is_new() {
    let home = Home::new();
    let from = home.varied("books.db").await;
    for to in home.targets() {
        let first = home.copied(&from, &to);
        let changed = tables(&first);
        // A new ledger has the same state of prices.
        let is_whole = |(table, [rows, written, deleted]): (&String, &[u64; 3])| {
            *deleted == 0 && (rows == written || table == "price_state")
        };
        assert!(changed.iter().all(is_whole), "{changed:?}");
        assert!(
            [
                "call",
                "exchange",
                "node",
                "blob",
                "piece",
                "price",
                "refusal",
                "user_name",
                "rollup"
            ]
            .iter()
            .all(|table| changed[*table][0] > 0),
            "{changed:?}"
        );
        assert_eq!(home.reports(&from), home.reports(&to));
        // Copied once more, nothing is written.
        let second = home.copied(&from, &to);
        let nothing = |[_, written, deleted]: &[u64; 3]| written + deleted == 0;
        assert!(tables(&second).values().all(nothing), "{second}");
        let hashes = |report: &Value| {
            let tables = report["tables"].as_array().unwrap().iter();
            tables.map(|table| table["hash"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(hashes(&first), hashes(&second));
        // And from there into a file.
        let back = home.file(&format!("back {}.db", to.len()));
        assert_eq!(hashes(&home.copied(&to, &back)), hashes(&first));
        assert_eq!(home.reports(&from), home.reports(&back));
    }
    // What came since, what was deleted, and what was priced anew.
    let ledger = open(&from).await;
    add(&ledger, 2_000, 2).await;
    ledger.close(GRACE).await;
    home.told(&["prices", "reset", "--database-url", &from]);
    // The calls of the old ledger came in more than three days before.
    let limits = Limits { keep_totals: Some(Duration::from_hours(72)), ..Limits::none() };
    pruned(&from, &limits).await;
    for to in home.targets() {
        let changed = tables(&home.copied(&from, &to));
        assert_eq!(changed["call"][1..], [3, 19], "{changed:?}");
        assert_eq!(changed["exchange"][1], 2);
        assert_eq!(changed["price"], [0, 0, 1]);
        assert_eq!(home.reports(&from), home.reports(&to));
    }
}

#[tokio::test]
async fn new_rows_of_a_copy_follow_the_copied_ones_and_are_not_lost() {
    let home = Home::new();
    let from = home.varied("books.db").await;
    for to in home.targets() {
        home.copied(&from, &to);
        let ledger = open(&to).await;
        assert!(ledger.find(&key(1_000), rows::LATE).await.unwrap().is_some());
        add(&ledger, 3_000, 2).await;
        ledger.close(GRACE).await;
        let calls = home.told(&["calls", "export", "--database-url", &to]);
        let newest = calls.lines().rfind(|line| line.starts_with('{')).unwrap();
        let newest: Value = serde_json::from_str(newest).unwrap();
        assert_eq!(newest["id"], rows::call(3_002, NOW, AnsweredBy::Hit, "").id.to_string());
        let refused = home.told(&["ledger", "copy", &from, &to]);
        assert!(refused.contains("a server has used it since it was copied"), "{refused}");
        assert_eq!(calls, home.told(&["calls", "export", "--database-url", &to]));
    }
}

/// Copies until `rows` has been told this often, and leaves the copy there, as a kill does.
async fn broken_off(from: &str, to: &str, after: usize) {
    let (mut told, enough) = (0, Notify::new());
    let mut watch = |_, _, _| {
        told += 1;
        if told >= after {
            enough.notify_one();
        }
    };
    let copying = copy::run(from, to, rows::owner(8), NOW, &mut watch);
    tokio::select! {
        biased;
        () = enough.notified() => {}
        copied = copying => panic!("it ended before: {copied:?}"),
    }
}

/// Copies again as soon as the process before has lost the ledger.
async fn copied_after_a_kill(from: &str, to: &str) -> copy::Copied {
    let again = async {
        loop {
            match copy::run(from, to, rows::owner(9), NOW, &mut |_, _, _| {}).await {
                Err(Error::InUse { .. }) => tokio::task::yield_now().await,
                copied => break copied.unwrap(),
            }
        }
    };
    tokio::time::timeout(GRACE, again).await.unwrap()
}

#[tokio::test]
async fn a_copy_that_was_broken_off_goes_on() {
    let home = Home::new();
    let from = home.varied("books.db").await;
    for (n, to) in home.targets().into_iter().enumerate() {
        for after in [1, 4, 9, 15] {
            let to = to.replace("copy.db", &format!("copy {after}.db"));
            let to = match backend::schema_url(&home.0.path().join(format!("copy {after}"))) {
                Some(schema) if n > 0 => schema,
                _ => to,
            };
            broken_off(&from, &to, after).await;
            let told = home.told(&["stats", "--database-url", &to]);
            assert!(told.contains("unfinished copy"), "{told}");
            let copied = copied_after_a_kill(&from, &to).await;
            let written: u64 = copied.tables.iter().map(|table| table.written).sum();
            let rows: u64 = copied.tables.iter().map(|table| table.rows).sum();
            assert!(after == 1 || written < rows, "{after}: {written} of {rows}");
            assert_eq!(home.reports(&from), home.reports(&to), "{after}");
        }
    }
}

#[tokio::test]
async fn what_changes_while_a_copy_is_broken_off_is_in_it() {
    let home = Home::new();
    let from = home.varied("books.db").await;
    for (n, to) in home.targets().into_iter().enumerate() {
        broken_off(&from, &to, 12).await;
        let ledger = open(&from).await;
        add(&ledger, 4_000 + 100 * n as u128, 3).await;
        ledger.close(GRACE).await;
        let limits = Limits { keep_bodies: Some(Duration::ZERO), ..Limits::none() };
        pruned(&from, &limits).await;
        copied_after_a_kill(&from, &to).await;
        assert_eq!(home.reports(&from), home.reports(&to));
    }
}

#[tokio::test]
async fn a_ledger_with_rows_of_its_own_is_no_target() {
    let home = Home::new();
    let from = home.varied("books.db").await;
    let other = home.file("other.db");
    let books = Books::open(&other).await;
    books.write(&[paid("claude-opus-5-5")]).await;
    let told = home.told(&["ledger", "copy", &from, &other]);
    assert!(told.contains("is in use by process"), "{told}");
    books.close().await;
    home.check("ledger_copy_used", &home.told(&["ledger", "copy", &from, &other]));
    let itself = home.told(&["ledger", "copy", &from, &from]);
    assert!(itself.starts_with("exit code: 2"), "{itself}");
    let copy = home.file("copy.db");
    home.check("ledger_copy", &home.told(&["ledger", "copy", &from, &copy]));
    let told = home.told(&["ledger", "copy", &other, &copy]);
    assert!(told.contains("it is a copy of another ledger"), "{told}");
    home.check("ledger_copy_missing", &home.told(&["ledger", "copy", "sqlite:none.db", &copy]));
}

/// A server goes on while its ledger is copied; what it has not committed, it commits before.
#[tokio::test]
async fn a_ledger_in_use_is_copied() {
    let home = Home::new();
    let from = home.varied("books.db").await;
    let ledger = open(&from).await;
    let running =
        Arc::new(rows::opening(5_000, rows::call(5_000, NOW, AnsweredBy::Miss, "claude")));
    assert_eq!(ledger.open_exchange(&running).await, Durable::Committed);
    for to in home.targets() {
        let report = home.copied(&from, &to);
        assert_eq!(report["running_exchanges"], 1);
        assert!(report["unflushed"].is_string(), "this process answers no requests");
    }
    let sealing = rows::sealing(NOW, Tokens::default(), Cost::Exact(NanoDollars(3)));
    let sealing = sealing.with_call_of(&running);
    assert_eq!(ledger.commit_seal(&running, sealing).await, Durable::Committed);
    for to in home.targets() {
        let changed = tables(&home.copied(&from, &to));
        assert_eq!((changed["call"][1], changed["exchange"][1]), (1, 1), "{changed:?}");
        assert_eq!(home.reports(&from), home.reports(&to));
    }
    ledger.close(GRACE).await;
}

/// What a process has left in its journal when it died is in the copy.
#[tokio::test]
async fn the_journal_of_a_dead_process_is_restored_first() {
    let home = Home::new();
    let from = home.varied("books.db").await;
    let ledger = open(&from).await;
    ledger.journal(&rows::call(6_000, NOW, AnsweredBy::Hit, "claude")).await;
    let journal = fs::read(home.path("books.db.journal")).unwrap();
    ledger.close(GRACE).await;
    fs::write(home.path("books.db.journal"), journal).unwrap();
    let to = home.targets().pop().unwrap();
    home.copied(&from, &to);
    let calls = home.told(&["calls", "export", "--database-url", &to]);
    assert!(calls.contains(&rows::call(6_000, NOW, AnsweredBy::Hit, "").id.to_string()), "{calls}");
}

#[tokio::test]
async fn postgres_gets_another_character_for_zero() {
    let home = Home::new();
    let Some(to) = backend::schema_url(&home.0.path().join("copy")) else { return };
    let from = home.file("books.db");
    let ledger = open(&from).await;
    let call = CallRecord {
        user: Some("an\0n".to_owned()),
        chat: Some("\0".to_owned()),
        ..rows::call(1, NOW, AnsweredBy::Hit, "claude")
    };
    ledger.record(call);
    ledger.close(GRACE).await;
    let report = home.copied(&from, &to);
    assert_eq!(report["replaced_texts"], 2);
    assert_eq!(tables(&home.copied(&from, &to))["call"], [1, 0, 0]);
    let calls = home.told(&["calls", "export", "--database-url", &to]);
    assert!(calls.contains("an\u{FFFD}n"), "{calls}");
}
