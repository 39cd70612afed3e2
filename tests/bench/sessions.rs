//! Times of lists and searches over a hundred thousand sessions, each with its messages.

use std::{sync::Arc, time::Instant};

use reprise::{
    domain::{
        anthropic::unfold,
        chain::{Chain, Hash},
        exchange::{Micros, OwnerId},
        recording::{Recorder, Recording},
        user_name::UserNames,
    },
    report::{Session, SessionQuery, Sessions},
    store::{self, Indexed, Ledger, Options, Reader, SessionFilter, WordIndex},
};
use serde_json::json;
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{FIRST, megabytes};

pub(super) const SESSIONS: u64 = 100_000;
const TURNS: u64 = 2;
const PAGE: usize = 50;

/// Writes the ledger, indexes it, and prints the times.
pub(super) async fn run(folder: &TempDir) {
    let url = url(folder);
    let reader = Reader::open(&url).await.unwrap();
    let index = index(&url, &reader).await;
    let filter = SessionFilter::default();
    let first = page(&reader, index, "the newest sessions", filter.clone(), None, None).await;
    page(&reader, index, "the next page", filter.clone(), None, first.next.clone()).await;
    page(&reader, index, "a page in the middle", filter.clone(), None, Some(middle())).await;
    let user = SessionFilter { user: Some("user 7".to_owned()), ..SessionFilter::default() };
    page(&reader, index, "of one of 200 users", user, None, None).await;
    let model = SessionFilter { model: Some("claude-rare".to_owned()), ..SessionFilter::default() };
    page(&reader, index, "of a rare model", model, None, None).await;
    for (name, words) in [
        ("a word of every turn", "common"),
        ("a frequent word", "word1"),
        ("a rare word", "unique77777"),
        ("two frequent words", "word1 word2"),
        ("a phrase", "\"common question\""),
        ("a beginning", "unique777*"),
        ("no such word", "absent"),
    ] {
        let found = page(&reader, index, name, filter.clone(), Some(words), None).await;
        if found.next.is_some() {
            page(&reader, index, "its next page", filter.clone(), Some(words), found.next).await;
        }
    }
    let begun = Instant::now();
    let rows = reader.sessions_like(index, "chat 77777").await.unwrap();
    let names = UserNames::default();
    let session = Session::of(&reader, &names, &rows[0]).await.unwrap();
    println!("{:>8.1?}  one session of {} turns", begun.elapsed(), session.turns.len());
}

/// A folder with the ledger, indexed.
pub(super) async fn ledger() -> TempDir {
    let folder = TempDir::new().unwrap();
    let (path, url) = (folder.path().join("ledger.db"), url(&folder));
    let owner = OwnerId::new(Uuid::from_u128(1));
    let tasks = TaskTracker::new();
    let ledger = Ledger::open(&Options::new(&url), owner, FIRST, &tasks).await.unwrap();
    ledger.close(std::time::Duration::from_secs(5)).await;
    let begun = Instant::now();
    fill(SqliteConnectOptions::new().filename(&path)).await;
    println!("{SESSIONS} sessions of {TURNS} turns, written in {:.1?}", begun.elapsed());
    println!("the file has {:.0} MB", megabytes(&path));
    index(&url, &Reader::open(&url).await.unwrap()).await;
    println!("the file has {:.0} MB", megabytes(&path));
    folder
}

pub(super) fn url(folder: &TempDir) -> String {
    format!("sqlite://{}", folder.path().join("ledger.db").display())
}

/// The place after which a page in the middle of the list begins.
pub(super) fn middle() -> String {
    format!("{}-", FIRST.0 + i64::try_from(SESSIONS * 3 / 2).unwrap() * 1_000)
}

async fn index(url: &str, reader: &Reader) -> Indexed {
    let begun = Instant::now();
    let index = store::index_sessions(url, reader, WordIndex::Kept, &mut |_, _| {}).await;
    println!("indexed in {:.1?}", begun.elapsed());
    index.unwrap()
}

async fn page(
    reader: &Reader,
    index: Indexed,
    name: &str,
    filter: SessionFilter,
    words: Option<&str>,
    after: Option<String>,
) -> Sessions {
    let query = SessionQuery { filter, words: words.map(str::to_owned), after, most: PAGE };
    let begun = Instant::now();
    let page = Sessions::of(reader, &UserNames::default(), Some(index), &query).await.unwrap();
    println!("{:>8.1?}  {name} ({} sessions)", begun.elapsed(), page.sessions.len());
    page
}

async fn fill(options: SqliteConnectOptions) {
    let mut conn: SqliteConnection = options.connect().await.unwrap();
    let mut tx = conn.begin().await.unwrap();
    for n in 0..SESSIONS * TURNS {
        let (turn, session) = (n / SESSIONS, n % SESSIONS);
        insert(&mut tx, n, turn, session).await;
    }
    tx.commit().await.unwrap();
}

/// Words of which small numbers are frequent, the same for the same seed.
fn words(seed: u64) -> String {
    let word = |n: u64| {
        let mixed = (seed * 64 + n).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31);
        let mixed = mixed.wrapping_mul(0xD1B5_4A32_D192_ED03) >> 40;
        format!("word{}", mixed % (mixed / 7 % 5_000 + 1))
    };
    (0..40).map(word).collect::<Vec<_>>().join(" ")
}

async fn insert(conn: &mut SqliteConnection, n: u64, turn: u64, session: u64) {
    const NODE: &str = "insert or ignore into node (hash, parent, body) values ($1, $2, $3)";
    const FRAME: &str = "insert or ignore into frame (hash, body) values ($1, $2)";
    const EXCHANGE: &str = "insert into exchange (id, key, scope, model_asked, outcome, opened_at, ended_at, input, \
         cache_write_5m, cache_write_1h, cache_read, output, thinking, searches, cost, cost_is, servable, recording) \
         values ($1, $2, 'user', 'claude-haiku-4-5', 'complete', $3, $3, 20, 0, 0, 0, 40, 0, 0, 1000, 'exact', 0, $4)";
    const CALL: &str = "insert into call (id, exchange, at, answered_by, api, stream, user_id, chat_id, status, outcome, \
         model, input, cache_write_5m, cache_write_1h, cache_read, output, thinking, searches, cost, cost_is, saved, \
         client_frame, client_head) values ($1, $2, $3, 'miss', 'chat', 1, $4, $5, 200, 'complete', $6, 20, 0, 0, 0, 40, \
         0, 0, 1000, 'exact', 0, $7, $8)";
    let user = |turn: u64| {
        let n = turn * SESSIONS + session;
        json!({"role": "user", "content": format!("common question unique{n} {}", words(n))})
    };
    let answer = |turn: u64| words(1_000_000 + turn * SESSIONS + session);
    let mut messages = vec![user(0)];
    for turn in 1..=turn {
        messages.push(json!({"role": "assistant", "content": answer(turn - 1)}));
        messages.push(user(turn));
    }
    let messages = messages.iter().map(|message| message.to_string().into_bytes());
    let chain = Chain::new(br#"{"model":"claude-haiku-4-5"}"#.to_vec(), messages);
    for node in chain.nodes.iter().rev().take(2).rev() {
        let parent = node.parent.map(|parent| parent.as_bytes().to_vec());
        let hash = &node.hash.as_bytes()[..];
        let row = sqlx::query(NODE).bind(hash).bind(parent).bind(&node.body);
        row.execute(&mut *conn).await.unwrap();
    }
    let frame = &chain.frame.hash.as_bytes()[..];
    sqlx::query(FRAME).bind(frame).bind(&chain.frame.body).execute(&mut *conn).await.unwrap();
    let message = json!({"content": [{"type": "text", "text": answer(turn)}], "usage": {}});
    let at = FIRST.0 + i64::try_from(n).unwrap() * 1_000;
    let exchange = Uuid::from_u128(u128::from(n)).to_string();
    let key = Hash::of("bench", &[&n.to_be_bytes()]);
    let row = sqlx::query(EXCHANGE).bind(&exchange).bind(&key.as_bytes()[..]).bind(at);
    row.bind(recorded(&message)).execute(&mut *conn).await.unwrap();
    let model = if session % 10_000 == 77 { "claude-rare" } else { "claude-haiku-4-5" };
    let head = chain.head().map(|head| head.as_bytes().to_vec());
    let row = sqlx::query(CALL).bind(Uuid::from_u128(1 << 80 | u128::from(n)).to_string());
    let row = row.bind(&exchange).bind(at).bind(format!("user {}", session % 200));
    let row = row.bind(format!("chat {session}")).bind(model).bind(frame).bind(head);
    row.execute(conn).await.unwrap();
}

fn recorded(message: &serde_json::Value) -> Vec<u8> {
    let (mut recorder, mut recording) = (Recorder::default(), Recording::default());
    for event in unfold(message, "claude-haiku-4-5") {
        recorder.push(&event);
    }
    recording.append(Arc::new(recorder.cut(Micros(1_000)).unwrap()));
    recording.encode()
}
