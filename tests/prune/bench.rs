//! A ledger of two users and thirty days, and what must hold of it whatever is pruned.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::tz::TimeZone;
use reprise::{
    domain::{
        catalog::Catalog,
        chain::{Chain, Hash},
        exchange::{AnswerRef, AnsweredBy, Cost, Micros, NanoDollars, Outcome, Tokens, UnixMillis},
        recording::Recording,
    },
    report::{
        Stats,
        stats::{GroupBy, Period},
    },
    store::{
        self, CallRecord, Durable, Ledger, Opening, Options, Reader, Sealing,
        prune::{self, Limits, Pruned, Step, Whose},
    },
};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use crate::support::{
    backend::{self, Outside},
    rows::{self, exchange_id, key},
};

pub(crate) const DAY: i64 = 86_400_000;
/// The first of November 2026.
pub(crate) const FIRST: i64 = 1_793_491_200_000;
/// The thirtieth day of the ledger, at noon.
pub(crate) const NOW: UnixMillis = UnixMillis(FIRST + 29 * DAY + DAY / 2);
const MODEL: &str = "claude-opus-5-5";
pub(crate) const GRACE: Duration = Duration::from_secs(10);

pub(crate) fn days(days: u64) -> Duration {
    Duration::from_hours(days * 24)
}

pub(crate) fn everyone() -> Limits {
    Limits { whose: Whose::Everyone, keep_bodies: None, keep_totals: None, max_bytes: None }
}

/// A chat of `user` after `turns` turns. The first message has a picture, which is everyone's.
pub(crate) fn chat(user: &str, turns: u64) -> Arc<Chain> {
    let picture = "p".repeat(20_000);
    let first = format!(r#"{{"role":"user","image":"{picture}"}}"#).into_bytes();
    let turn = |n| {
        format!(r#"{{"role":"user","n":{n},"by":"{user}","own":"{}"}}"#, user.repeat(2_000))
            .into_bytes()
    };
    let frame = format!(r#"{{"model":"claude","for":"{user}"}}"#).into_bytes();
    Arc::new(Chain::new(frame, std::iter::once(first).chain((1..turns).map(turn))))
}

pub(crate) fn recording(n: u128) -> Arc<Recording> {
    // Nothing that could be compressed.
    let noise: String = (0..400_u64)
        .map(|at| Hash::of("noise", &[&n.to_be_bytes(), &at.to_be_bytes()]).to_string())
        .collect();
    rows::recording(&noise)
}

pub(crate) fn facts(
    n: u128,
    at: i64,
    user: &str,
    answered_by: AnsweredBy,
    chain: Arc<Chain>,
) -> CallRecord {
    CallRecord {
        user: Some(user.to_owned()),
        chat: Some(format!("chat of {user}")),
        client_chain: Some(chain),
        ..rows::call(n, UnixMillis(at), answered_by, MODEL)
    }
}

pub(crate) const TOKENS: Tokens = Tokens {
    input: 3,
    cache_write_5m: 0,
    cache_write_1h: 0,
    cache_read: 4,
    output: 5,
    thinking: 1,
    searches: 0,
};

pub(crate) fn opening(n: u128, at: i64, user: &str, turns: u64) -> Opening {
    let call = facts(n, at, user, AnsweredBy::Miss, chat(user, turns));
    Opening {
        scope: user.to_owned(),
        breakpoints: Some("[1]".to_owned()),
        chain: Some(chat(user, turns)),
        ..rows::opening(n, call)
    }
}

/// A ledger in a folder of its own.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
}

impl Bench {
    /// Thirty days of two users, each with a turn and a repeat of it a day.
    pub(crate) async fn filled() -> Self {
        let bench = Self { folder: TempDir::new().unwrap() };
        let ledger = bench.open().await;
        let mut n = 0;
        for day in 0..30_u32 {
            for user in ["ann", "bob"] {
                n += 1;
                let at = FIRST + i64::from(day) * DAY + 3_600_000;
                let opening = Arc::new(opening(n, at, user, 1 + u64::from(day)));
                assert_eq!(ledger.open_exchange(&opening).await, Durable::Committed);
                assert_eq!(
                    ledger.commit_seal(&opening, sealing(n, &opening, at + 1_000)).await,
                    Durable::Committed
                );
                ledger.record(repeat(n + 1_000, at + 60_000, user, n));
            }
        }
        ledger.close(GRACE).await;
        store::roll_up(&bench.url(), &Catalog::builtin(), 1).await.unwrap();
        bench
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("ledger.db")
    }

    pub(crate) fn url(&self) -> String {
        backend::url(&self.path())
    }

    pub(crate) async fn open(&self) -> Ledger {
        let options = Options { wait: GRACE, ..Options::new(self.url()) };
        let owner = rows::owner(1);
        Ledger::open(&options, owner, NOW, &TaskTracker::new()).await.unwrap()
    }

    pub(crate) async fn look(&self) -> Outside {
        Outside::connect(&self.path()).await
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        self.look().await.count(sql).await
    }

    /// Prunes, and stops after so many transactions.
    pub(crate) async fn prune(&self, limits: &Limits, steps: usize) -> (Pruned, Vec<Step>) {
        let mut seen = Vec::new();
        let mut watch = |step| {
            seen.push(step);
            if seen.len() < steps { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let owner = rows::owner(2);
        let pruned = prune::run(&self.url(), owner, limits, NOW, &mut watch).await.unwrap();
        (pruned, seen)
    }

    /// What a report says by day: calls, what they cost, what was saved.
    pub(crate) async fn totals(&self) -> Vec<(String, u64, i64, i64)> {
        let reader = Reader::open(&self.url()).await.unwrap();
        let period = Period::ever(TimeZone::UTC);
        let catalog = Catalog::builtin();
        let stats =
            Stats::of(&reader, &catalog, &period, &[GroupBy::Day, GroupBy::User]).await.unwrap();
        let names = |of: &std::collections::BTreeMap<String, Option<String>>| {
            format!("{} {}", of["day"].as_deref().unwrap(), of["user"].as_deref().unwrap())
        };
        let mut totals: Vec<_> = stats
            .groups
            .iter()
            .map(|group| {
                let numbers = &group.numbers;
                let [cost, saved] =
                    [numbers.cost, numbers.saved.ledger].map(|money| money.nano_dollars.unwrap());
                (names(&group.of), numbers.calls, cost, saved)
            })
            .collect();
        totals.sort();
        totals
    }

    /// Everything that a ledger must hold, whatever was pruned.
    pub(crate) async fn is_sound(&self) {
        for (broken, sql) in [
            (
                "servable without recording",
                "select count(*) from exchange where servable and recording is null",
            ),
            (
                "a message without its parent",
                "select count(*) from node where parent is not null \
                and parent not in (select hash from node)",
            ),
            (
                "a piece of nothing",
                "select count(*) from piece where owner not in \
                (select hash from node union select hash from frame) or blob not in (select hash from blob)",
            ),
            (
                "a name of nothing",
                "select count(*) from answer_ref where exchange not in \
                (select id from exchange where recording is not null)",
            ),
        ] {
            assert_eq!(self.count(sql).await, 0, "{broken}");
        }
        let reader = Reader::open(&self.url()).await.unwrap();
        let requests = "select frame, head from exchange where frame is not null \
             union select client_frame, client_head from call where client_frame is not null";
        let requests: Vec<(Vec<u8>, Option<Vec<u8>>)> = self.look().await.rows(requests).await;
        let hash = |bytes: &[u8]| Hash::from_bytes(bytes.try_into().unwrap());
        for (frame, head) in requests {
            reader.load_chain(hash(&frame), head.as_deref().map(hash)).await.unwrap();
        }
        for n in 1..=60 {
            if let Some(found) = reader.find(&key(n), rows::LATE).await.unwrap() {
                assert_eq!(found.exchange, exchange_id(n));
                assert_eq!(found.recording.recording().len(), recording(n).len());
            }
        }
    }

    /// Bytes that the ledger takes: its file, or its tables.
    pub(crate) async fn size(&self) -> u64 {
        if backend::is_postgres() {
            let reader = Reader::open(&self.url()).await.unwrap();
            let nothing = Limits { max_bytes: Some(u64::MAX), ..everyone() };
            return reader.would_prune(&nothing, NOW).await.unwrap().pruned.bytes_before;
        }
        self.path().metadata().unwrap().len()
    }

    /// The same ledger once more.
    pub(crate) async fn copy(&self) -> Self {
        let copy = Self { folder: TempDir::new().unwrap() };
        if backend::is_postgres() {
            copy.open().await.close(GRACE).await;
            copy.look().await.copy_from(&self.path()).await;
            return copy;
        }
        for end in ["", "-wal"] {
            let [from, to] = [self, &copy].map(|bench| format!("{}{end}", bench.path().display()));
            if Path::new(&from).exists() {
                std::fs::copy(from, to).unwrap();
            }
        }
        copy
    }
}

/// The sealing of an exchange, and with it of its call.
pub(crate) fn sealing(n: u128, opening: &Opening, ended_at: i64) -> Sealing {
    part(n, ended_at).with_call_of(opening)
}

/// The sealing of an exchange whose call goes on.
pub(crate) fn part(n: u128, ended_at: i64) -> Sealing {
    let cost = Cost::Exact(NanoDollars(1_000));
    let time = Some(Micros(1_000_000));
    Sealing {
        stop_reason: Some("end_turn".to_owned()),
        model_served: Some(MODEL.to_owned()),
        ttft: time,
        total: time,
        servable: true,
        recording: Some(recording(n)),
        refs: vec![AnswerRef::call(&format!("call {n}"))],
        ..rows::sealing(UnixMillis(ended_at), TOKENS, cost)
    }
}

/// A call of `user` that the exchange `of` answered.
pub(crate) fn repeat(n: u128, at: i64, user: &str, of: u128) -> CallRecord {
    CallRecord {
        key: key(of),
        exchange: Some(exchange_id(of)),
        status: Some(200),
        outcome: Outcome::Complete,
        ttft: Some(Micros(10)),
        total: Some(Micros(20)),
        tokens: TOKENS,
        cost: Cost::Exact(NanoDollars(0)),
        saved: Cost::Exact(NanoDollars(1_000)),
        ..facts(n, at, user, AnsweredBy::Hit, chat(user, 1))
    }
}
