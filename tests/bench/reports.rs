//! Times of reports over a ledger with a million calls, of lists of sessions, and of the page: `cargo bench --bench reports`,
//! or `cargo bench --bench reports page` for the page alone.
//! The benchmark takes minutes, prints its figures and asserts nothing of time.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for whoever works on reports"
)]

mod page;
mod sessions;
#[path = "../stats/traffic.rs"]
mod traffic;

use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use reprise::{
    domain::{
        catalog::Catalog,
        exchange::{Cost, OwnerId, UnixMillis},
    },
    report::{
        Stats,
        stats::{GroupBy, Period, TimeSpec},
    },
    store::{self, Ledger, Options, Reader},
};
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;
use traffic::{Event, Traffic};
use uuid::Uuid;

/// The first of October 2026.
const FIRST: UnixMillis = UnixMillis(1_790_812_800_000);

const CALLS: usize = 1_000_000;

#[tokio::main]
async fn main() {
    let sessions = sessions::ledger().await;
    if std::env::args().any(|argument| argument == "page") {
        page::run(&sessions).await;
        return;
    }
    sessions::run(&sessions).await;
    page::run(&sessions).await;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    let url = format!("sqlite://{}", path.display());
    let owner = OwnerId::new(Uuid::from_u128(1));
    let tasks = TaskTracker::new();
    let ledger = Ledger::open(&Options::new(&url), owner, FIRST, &tasks).await.unwrap();
    ledger.close(Duration::from_secs(5)).await;

    let begun = Instant::now();
    let written = fill(SqliteConnectOptions::new().filename(&path), CALLS).await;
    println!("{written} calls of 60 days, 200 users, written in {:.1?}", begun.elapsed());
    println!("the file has {:.0} MB", megabytes(&path));

    let catalog = Catalog::builtin();
    let reader = Reader::open(&url).await.unwrap();
    let report = async |by: &[GroupBy], since: Option<&str>, zone: &str| {
        let zone = TimeZone::get(zone).unwrap();
        let now = jiff::Timestamp::from_millisecond(FIRST.0 + 60 * 86_400_000).unwrap();
        let since: Option<TimeSpec> = since.map(|since| since.parse().unwrap());
        let period = Period::new(since.as_ref(), None, &now.to_zoned(zone)).unwrap();
        let begun = Instant::now();
        let stats = Stats::of(&reader, &catalog, &period, by).await.unwrap();
        let computed = begun.elapsed();
        let text = stats.to_string();
        println!(
            "{:>8.0?} to compute, {:>8.0?} with the table  by {:<24} {:<12} {} groups, {} calls, {} bytes",
            computed,
            begun.elapsed(),
            by.iter().map(GroupBy::as_str).collect::<Vec<_>>().join(","),
            since.map_or_else(String::new, |_| "since 7d".to_owned()),
            stats.groups.len(),
            stats.total.calls,
            text.len(),
        );
    };
    println!("\nwithout sums");
    report(&[GroupBy::Model], None, "UTC").await;
    report(&[GroupBy::Day, GroupBy::User, GroupBy::Model], None, "UTC").await;

    let begun = Instant::now();
    let summed = store::roll_up(&url, &catalog, store::WORTH_SUMMING_UP).await.unwrap();
    println!("\n{summed} calls summed up, once, in {:.1?}", begun.elapsed());
    println!("the file has {:.0} MB", megabytes(&path));
    let begun = Instant::now();
    let summed = store::roll_up(&url, &catalog, store::WORTH_SUMMING_UP).await.unwrap();
    println!("{summed} calls summed up in {:.1?}\n", begun.elapsed());
    report(&[GroupBy::Model], None, "UTC").await;
    report(&[GroupBy::Day], None, "Asia/Kolkata").await;
    report(&[GroupBy::Day, GroupBy::User, GroupBy::Model], None, "Europe/Berlin").await;
    report(&[GroupBy::Task, GroupBy::AnsweredBy], None, "UTC").await;
    report(&[GroupBy::Chat], None, "UTC").await;
    report(&[GroupBy::Model], Some("7d"), "Asia/Kolkata").await;
    report(&[GroupBy::User], Some("90m"), "UTC").await;
}

async fn fill(options: SqliteConnectOptions, calls: usize) -> usize {
    let mut conn: SqliteConnection = options.connect().await.unwrap();
    let chats = u64::try_from(calls).unwrap() / 250;
    let mut traffic = Traffic::new(7, 200);
    let events = traffic::days(&mut traffic, FIRST, 60, chats);
    let mut tx = conn.begin().await.unwrap();
    for (n, event) in events.iter().take(calls).enumerate() {
        insert(&mut tx, n as u128, event).await;
    }
    tx.commit().await.unwrap();
    events.len().min(calls)
}

async fn insert(conn: &mut SqliteConnection, n: u128, event: &Event) {
    const SQL: &str = "insert into call (id, at, answered_by, api, stream, user_id, chat_id, task, client, status, \
         outcome, error_kind, ttft_us, total_us, model, input, cache_write_5m, cache_write_1h, cache_read, output, \
         thinking, searches, cost, cost_is, saved) \
         values ($1, $2, $3, 'chat', 1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, \
         $20, $21, $22, $23)";
    let (cost, is) = match event.cost {
        Cost::Exact(amount) => (Some(amount.0), "exact"),
        Cost::AtLeast(amount) => (Some(amount.0), "at_least"),
        Cost::Unpriced => (None, "unpriced"),
    };
    let tokens = &event.tokens;
    let mut query = sqlx::query(SQL)
        .bind(Uuid::from_u128(n).to_string())
        .bind(event.at.0)
        .bind(event.answered_by.into_str())
        .bind(&event.user)
        .bind(&event.chat)
        .bind(event.task)
        .bind(event.client)
        .bind(event.status.map(i64::from))
        .bind(event.outcome.into_str())
        .bind(event.error)
        .bind(event.ttft_us)
        .bind(event.total_us)
        .bind(event.model);
    for count in [
        tokens.input,
        tokens.cache_write_5m,
        tokens.cache_write_1h,
        tokens.cache_read,
        tokens.output,
        tokens.thinking,
        tokens.searches,
    ] {
        query = query.bind(i64::try_from(count).unwrap());
    }
    query.bind(cost).bind(is).bind(event.saved).execute(conn).await.unwrap();
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn megabytes(path: &std::path::Path) -> f64 {
    path.metadata().unwrap().len() as f64 / 1e6
}
