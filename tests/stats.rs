//! Reports say what the ledger holds: whatever was summed up before, whoever writes meanwhile, wherever a day begins.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, too")]

pub(crate) mod books;
pub(crate) mod traffic;

use std::collections::BTreeMap;

use books::Books;
use jiff::{Timestamp, civil::date, tz::TimeZone};
use proptest::prelude::*;
use reprise::{
    domain::{
        catalog::{Catalog, Terms},
        exchange::{AnsweredBy, Cost, Outcome, Tokens, UnixMillis},
    },
    report::{
        Stats,
        stats::{GroupBy, NewPrices, Numbers, Period, Repriced, TimeSpec},
    },
    store::{self, Ledger, Options, Reader},
};
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};
use tokio_util::task::TaskTracker;
use traffic::{Event, Traffic};

use crate::support::{
    backend::{self, Outside},
    rows,
};

/// The twelfth of October 2026, a Monday.
const MONDAY: UnixMillis = UnixMillis(1_791_763_200_000);

/// The Monday before, when Sonnet 5.5 read its cache at twice the price.
const DEARER: UnixMillis = UnixMillis(1_791_158_400_000);

fn period(since: &str, until: &str, zone: &str) -> Period {
    let now: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
    let [since, until] = [since, until].map(|when| when.parse::<TimeSpec>().ok());
    let zone = TimeZone::get(zone).unwrap();
    Period::new(since.as_ref(), until.as_ref(), &now.to_zoned(zone)).unwrap()
}

fn ever(zone: &str) -> Period {
    Period::ever(TimeZone::get(zone).unwrap())
}

async fn stats(reader: &Reader, period: &Period, by: &[GroupBy]) -> Stats {
    Stats::of(reader, &Catalog::builtin(), period, by).await.unwrap()
}

async fn reader_of(books: &Books) -> Reader {
    Reader::open(&books.url()).await.unwrap()
}

async fn roll_up(books: &Books) -> u64 {
    store::roll_up(&books.url(), &Catalog::builtin(), 1).await.unwrap()
}

/// What a report says of a group, as far as it can be reckoned in a line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Known {
    calls: u64,
    hits: u64,
    errors: u64,
    tokens: Tokens,
    nanos: i64,
    at_least: u64,
    unpriced: u64,
    saved: i64,
    saved_unpriced: u64,
}

/// Reckoned from the events, one by one.
fn by_hand(
    events: &[Event],
    period: &Period,
    by: &[GroupBy],
) -> BTreeMap<Vec<Option<String>>, Known> {
    let mut groups: BTreeMap<Vec<Option<String>>, Known> = BTreeMap::new();
    for event in events.iter().filter(|event| period.span.contains(&event.at)) {
        let at = Timestamp::from_millisecond(event.at.0).unwrap();
        let day = at.to_zoned(period.zone.clone()).date();
        let names = by.iter().map(|by| match by {
            GroupBy::Day => Some(day.to_string()),
            GroupBy::Month => Some(day.to_string()[..7].to_owned()),
            GroupBy::Model => Some(event.model.to_owned()),
            GroupBy::User => event.user.clone(),
            GroupBy::Chat => event.chat.clone(),
            GroupBy::Task => event.task.map(str::to_owned),
            GroupBy::Client => Some(event.client.to_owned()),
            GroupBy::AnsweredBy => Some(event.answered_by.to_string()),
            GroupBy::Week | GroupBy::Key | GroupBy::Tag | GroupBy::TagOf(_) => {
                unreachable!("not asked for here")
            }
        });
        let known = groups.entry(names.collect()).or_default();
        known.calls += 1;
        known.hits += u64::from(event.answered_by == AnsweredBy::Hit);
        known.errors += u64::from(event.error.is_some());
        if event.answered_by.asks() {
            known.tokens += event.tokens;
        }
        match event.cost {
            Cost::Exact(amount) => known.nanos += amount.0,
            Cost::AtLeast(amount) => {
                known.nanos += amount.0;
                known.at_least += 1;
            }
            Cost::Unpriced => known.unpriced += 1,
        }
        known.saved += event.saved;
        known.saved_unpriced += u64::from(!event.answered_by.asks() && event.saved == 0);
    }
    groups
}

fn told(stats: &Stats, by: &[GroupBy]) -> BTreeMap<Vec<Option<String>>, Known> {
    let known = |numbers: &Numbers| Known {
        calls: numbers.calls,
        hits: numbers.answered_by.get(&AnsweredBy::Hit).copied().unwrap_or(0),
        errors: numbers.errors.values().sum(),
        tokens: numbers.tokens,
        nanos: numbers.cost.nano_dollars.unwrap_or(0),
        at_least: numbers.cost.at_least,
        unpriced: numbers.cost.unpriced,
        saved: numbers.saved.ledger.nano_dollars.unwrap_or(0)
            + numbers.saved.collapsed.nano_dollars.unwrap_or(0),
        saved_unpriced: numbers.saved.ledger.unpriced + numbers.saved.collapsed.unpriced,
    };
    let names = |of: &BTreeMap<String, Option<String>>| {
        by.iter().map(|by| of[by.as_str()].clone()).collect()
    };
    stats.groups.iter().map(|group| (names(&group.of), known(&group.numbers))).collect()
}

/// Many different questions, each answered as by hand.
async fn all_agree(books: &Books, events: &[Event]) {
    let reader = reader_of(books).await;
    let periods = [
        ever("UTC"),
        ever("Asia/Kathmandu"),
        period("2026-10-13", "2026-10-13", "Asia/Kolkata"),
        period("2026-10-12T08:07:30", "2026-10-13T13:59:59", "America/St_Johns"),
        period("2026-10-12T09:01", "2026-10-12T09:02", "UTC"),
    ];
    for period in &periods {
        for by in [
            &[GroupBy::Model][..],
            &[GroupBy::Day, GroupBy::User],
            &[GroupBy::Month, GroupBy::Task, GroupBy::AnsweredBy],
            &[GroupBy::Chat],
            &[GroupBy::Client],
        ] {
            let stats = stats(&reader, period, by).await;
            assert_eq!(told(&stats, by), by_hand(events, period, by), "{period:?} by {by:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Whatever is written in whatever order, and summed up whenever: the sums are those of the calls.
    #[test]
    fn reports_agree_with_the_calls_themselves(
        seed: u64,
        writes in prop::collection::vec((1..120_usize, any::<bool>()), 1..5),
        shuffle: bool,
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut events = traffic::days(&mut Traffic::new(seed, 4), MONDAY, 2, 25);
            if shuffle {
                // Committed long after they came in.
                events.sort_by_key(|event| (event.total_us, event.at));
            }
            let mut books = Books::open().await;
            let mut written = 0;
            for (calls, sum_up) in writes {
                let end = (written + calls).min(events.len());
                books.write(&events[written..end]).await;
                written = end;
                if sum_up {
                    roll_up(&books).await;
                }
            }
            all_agree(&books, &events[..written]).await;
        });
    }
}

#[tokio::test]
async fn a_call_that_is_committed_late_is_counted_in_its_hour() {
    let mut books = Books::open().await;
    let mut events = traffic::days(&mut Traffic::new(3, 4), MONDAY, 1, 20);
    let late = events.remove(2);
    books.write(&events).await;
    assert_eq!(roll_up(&books).await, events.len() as u64);
    books.write(std::slice::from_ref(&late)).await;
    events.push(late);
    all_agree(&books, &events).await;
    assert_eq!(roll_up(&books).await, 1);
    all_agree(&books, &events).await;
}

#[tokio::test]
async fn two_that_sum_up_at_once_count_nothing_twice() {
    let mut books = Books::open().await;
    let events = traffic::days(&mut Traffic::new(5, 4), MONDAY, 2, 40);
    books.write(&events).await;
    let reports = (0..4).map(|_| roll_up(&books));
    futures_util::future::join_all(reports).await;
    all_agree(&books, &events).await;
}

#[tokio::test]
async fn sums_are_made_anew_when_calls_were_numbered_anew() {
    let mut books = Books::open().await;
    let events = traffic::days(&mut Traffic::new(7, 4), MONDAY, 2, 20);
    books.write(&events).await;
    roll_up(&books).await;
    let mut outside = Outside::connect(&books.path()).await;
    // As a copy may have it that was made of the newer calls.
    for sql in ["delete from call where seq <= 20", "update call set seq = seq - 20"] {
        outside.run(sql).await;
    }
    outside.close().await;
    all_agree(&books, &events[20..]).await;
    roll_up(&books).await;
    all_agree(&books, &events[20..]).await;
}

#[tokio::test]
async fn a_ledger_that_cannot_be_written_is_reported_on() {
    let mut books = Books::open().await;
    let events = traffic::days(&mut Traffic::new(9, 4), MONDAY, 2, 10);
    books.write(&events).await;
    let url = backend::read_only_url(&books.path());
    assert!(store::roll_up(&url, &Catalog::builtin(), 1).await.is_err());
    let reader = Reader::open(&url).await.unwrap();
    let stats = stats(&reader, &ever("UTC"), &[GroupBy::Model]).await;
    assert_eq!(told(&stats, &[GroupBy::Model]), by_hand(&events, &ever("UTC"), &[GroupBy::Model]));
}

#[tokio::test]
async fn quantiles_of_sums_are_those_of_the_calls() {
    let mut books = Books::open().await;
    let events = traffic::days(&mut Traffic::new(11, 4), MONDAY, 2, 40);
    books.write(&events[..events.len() / 2]).await;
    roll_up(&books).await;
    books.write(&events[events.len() / 2..]).await;
    let stats = stats(&reader_of(&books).await, &ever("UTC"), &[]).await;
    let asked = events.iter().filter(|event| event.answered_by.asks());
    let mut times: Vec<i64> = asked.map(|event| event.ttft_us).collect();
    times.sort_unstable();
    let told = stats.total.ttft_ms.unwrap();
    for (percent, told) in [(50, told.p50), (95, told.p95), (99, told.p99)] {
        let exact = times[(times.len() * percent).div_ceil(100) - 1];
        #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
        let off = (told * 1e3 - exact as f64).abs() / exact as f64;
        assert!(off < 0.017, "p{percent}: {told} ms for {exact} µs");
    }
}

#[tokio::test]
async fn the_prompt_cache_may_cost_more_than_it_saves() {
    let mut books = Books::open().await;
    let events = traffic::days(&mut Traffic::new(13, 4), MONDAY, 1, 5);
    let mut event = events[0].clone();
    event.model = "claude-opus-5-5";
    event.answered_by = AnsweredBy::Miss;
    event.cost = Cost::Exact(reprise::domain::exchange::NanoDollars(1));
    event.tokens = Tokens { cache_write_5m: 1_000, ..Tokens::default() };
    books.write(std::slice::from_ref(&event)).await;
    let total = stats(&reader_of(&books).await, &ever("UTC"), &[]).await.total;
    // A write costs $1 per million more than plain input.
    assert_eq!(total.saved.prompt_cache.nano_dollars, Some(-1_000_000));
    event.tokens = Tokens { cache_read: 1_000, ..Tokens::default() };
    books.write(std::slice::from_ref(&event)).await;
    roll_up(&books).await;
    let total = stats(&reader_of(&books).await, &ever("UTC"), &[]).await.total;
    assert_eq!(total.saved.prompt_cache.nano_dollars, Some(3_800_000 - 1_000_000));
}

#[tokio::test]
async fn what_another_model_would_have_cost_is_what_the_same_tokens_cost_at_its_prices() {
    let mut books = Books::open().await;
    let events = traffic::days(&mut Traffic::new(19, 4), DEARER, 3, 40);
    books.write(&events).await;
    let reader = reader_of(&books).await;
    let (catalog, today) = (Catalog::builtin(), date(2026, 11, 25));
    let what_if = async |model| {
        let prices = (NewPrices::Of(model), today);
        Repriced::of(&reader, &catalog, &ever("UTC"), &[GroupBy::Model], prices).await.unwrap()
    };
    let haiku = what_if("claude-haiku-5-5").await;
    let by_hand = |event: &&Event| {
        let tokens = &event.tokens;
        catalog.cost_on("claude-haiku-5-5", tokens, Terms::default(), today).amount().unwrap().0
    };
    let asked: Vec<&Event> = events.iter().filter(|event| event.answered_by.asks()).collect();
    let expected: i64 = asked.iter().map(by_hand).sum();
    assert_eq!(haiku.total.repriced.nano_dollars, Some(expected));
    assert_eq!(haiku.total.repriced.unpriced, 0, "also what had no price of its own");
    assert!(asked.iter().any(|event| event.cost == Cost::Unpriced), "there was some");
    let stopped = asked.iter().filter(|event| event.outcome == Outcome::Stopped).count();
    assert_eq!(haiku.total.repriced.at_least, stopped as u64);
    let own =
        haiku.groups.iter().find(|group| group.of["model"].as_deref() == Some("claude-haiku-5-5"));
    assert_eq!(own.unwrap().comparison.difference.nano_dollars, Some(0), "as it was");
    let json = serde_json::to_value(&haiku).unwrap();
    assert_eq!(
        (&json["what_if"], &json["is_estimate"]),
        (&"claude-haiku-5-5".into(), &true.into())
    );
    let opus = what_if("claude-opus-5-5").await;
    assert!(opus.total.repriced.nano_dollars > haiku.total.repriced.nano_dollars);
}

#[tokio::test]
async fn what_was_paid_is_reckoned_anew_at_its_own_terms() {
    let mut books = Books::open().await;
    let events = traffic::days(&mut Traffic::new(15, 4), DEARER, 3, 40);
    books.write(&events).await;
    let reader = reader_of(&books).await;
    let reprice = async |day| {
        let catalog = Catalog::builtin();
        let prices = (NewPrices::Own, day);
        Repriced::of(&reader, &catalog, &ever("UTC"), &[GroupBy::Model], prices).await.unwrap()
    };
    let now = reprice(date(2026, 11, 25)).await;
    assert_eq!(now.total.unexplained, 0);
    for group in &now.groups {
        let differs = group.comparison.difference.nano_dollars < Some(0);
        assert_eq!(differs, group.of["model"].as_deref() == Some("claude-sonnet-5-5"));
    }
    let then = by_hand(&events, &ever("UTC"), &[]);
    assert_eq!(now.total.cost.nano_dollars, Some(then[&vec![]].nanos));
    let reads = |event: &&Event| {
        event.model == "claude-sonnet-5-5"
            && event.answered_by.asks()
            && event.at.0 < DEARER.0 + 2 * 86_400_000
    };
    // $0.20 became $0.10 per million.
    let spared: u64 = events.iter().filter(reads).map(|event| event.tokens.cache_read * 100).sum();
    assert_eq!(now.total.difference.nano_dollars, Some(-i64::try_from(spared).unwrap()));
}

#[tokio::test]
async fn reports_may_be_made_while_the_server_writes() {
    let mut books = Books::open().await;
    let events = traffic::days(&mut Traffic::new(17, 4), MONDAY, 2, 40);
    let url = books.url();
    let (done, mut writing) = tokio::sync::oneshot::channel();
    let reports = async {
        let reader = Reader::open(&url).await.unwrap();
        let mut seen = 0;
        while writing.try_recv().is_err() {
            store::roll_up(&url, &Catalog::builtin(), 1).await.unwrap();
            let calls = stats(&reader, &ever("UTC"), &[GroupBy::Day]).await.total.calls;
            assert!(calls >= seen, "what was counted once stays counted");
            seen = calls;
        }
    };
    let write = async {
        for events in events.chunks(50) {
            books.write(events).await;
        }
        done.send(()).unwrap();
    };
    tokio::join!(reports, write);
    let state = books.ledger.state();
    assert_eq!((state.lost, state.bodies_dropped, state.writable), (0, 0, true));
    all_agree(&books, &events).await;
}

/// A ledger as an earlier version left it: what was not known then is not made up, and what was is kept.
#[tokio::test]
async fn an_older_ledger_is_brought_up_to_date() {
    if backend::skips("files of an earlier version") {
        return;
    }
    let folder = tempfile::TempDir::new().unwrap();
    let older = folder.path().join("migrations");
    std::fs::create_dir(&older).unwrap();
    let ours = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
    for file in std::fs::read_dir(ours).unwrap().map(|file| file.unwrap()) {
        if file.file_name().to_str().unwrap() < "0004" {
            std::fs::copy(file.path(), older.join(file.file_name())).unwrap();
        }
    }
    let path = folder.path().join("ledger.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut conn = options.connect().await.unwrap();
    sqlx::migrate::Migrator::new(older).await.unwrap().run(&mut conn).await.unwrap();
    for sql in [
        "insert into exchange (id, key, scope, model_asked, outcome, error_kind, opened_at, ended_at, input, \
         cache_write_5m, cache_write_1h, cache_read, output, thinking, searches, cost, cost_is, servable) \
         values ('e', x'00', 's', 'm', 'failed', 'overloaded_error', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 'exact', 0)",
        "insert into call (id, exchange, at, answered_by, door, stream, status, outcome, model, input, \
         cache_write_5m, cache_write_1h, cache_read, output, thinking, searches, cost, cost_is, saved) values \
         ('1', 'e', 5, 'miss', 'chat', 1, 529, 'failed', 'm', 0, 0, 0, 0, 0, 0, 0, 0, 'exact', 0), \
         ('2', null, 5, 'hit', 'chat', 1, 200, 'complete', 'm', 1, 0, 0, 0, 1, 0, 0, 0, 'exact', 0), \
         ('3', null, 5, 'hit', 'chat', 1, 200, 'complete', 'm', 1, 0, 0, 0, 1, 0, 0, 0, 'exact', 7)",
    ] {
        sqlx::query(sql).execute(&mut conn).await.unwrap();
    }
    conn.close().await.unwrap();

    let url = format!("sqlite://{}", path.display());
    let owner = rows::owner(1);
    let tasks = TaskTracker::new();
    let ledger = Ledger::open(&Options::new(&url), owner, MONDAY, &tasks).await.unwrap();
    let total = stats(ledger.reader(), &ever("UTC"), &[]).await.total;
    assert_eq!(total.errors, BTreeMap::from([("overloaded_error".to_owned(), 1)]));
    assert_eq!((total.saved.ledger.nano_dollars, total.saved.ledger.unpriced), (Some(7), 1));
}
