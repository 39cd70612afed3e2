//! Chats that are deleted in Open WebUI, by a `webui.db` that the test makes.

use std::time::Duration;

use reprise::store::{
    Reader,
    open_webui::{Compared, Error},
    prune::{Limits, Whose},
};
use sqlx::{AssertSqlSafe, ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};

use super::bench::{Bench, DAY, FIRST, NOW, everyone};
use crate::support::backend;

/// The newest moment in Open WebUI's database, in seconds, unless a test says otherwise.
const UNTIL: i64 = NOW.0 / 1000;

/// The columns of Open WebUI 0.12.4 that count.
const TABLES: &str = "create table chat (id text primary key, archived boolean, updated_at bigint); \
     create table channel (id text primary key); \
     create table user (id text primary key, last_active_at bigint);";

/// A ledger of two chats of Open WebUI, the last calls of which were made half a day ago.
async fn ledger() -> Bench {
    let bench = Bench::filled().await;
    bench.look().await.run("update call set client = 'open-webui'").await;
    bench
}

async fn write(conn: &mut SqliteConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.unwrap();
}

/// Open WebUI's database with these rows, in use; returns its path.
async fn webui(bench: &Bench, rows: &str) -> (String, SqliteConnection) {
    let path = bench.folder.path().join("webui.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut conn = options.pragma("journal_mode", "wal").connect().await.unwrap();
    write(&mut conn, TABLES).await;
    write(&mut conn, &format!("insert into user values ('u', {UNTIL}); {rows}")).await;
    (path.display().to_string(), conn)
}

async fn compare(bench: &Bench, file: &str) -> Result<Compared, Error> {
    Reader::open(&bench.url()).await.unwrap().compare_chats(file, NOW).await
}

#[tokio::test]
async fn what_was_said_in_a_deleted_chat_goes() {
    let bench = ledger().await;
    let before = bench.totals().await;
    let (file, _open) = webui(&bench, "insert into chat values ('chat of bob', 1, 0)").await;
    let url = format!("sqlite://{file}");
    for file in [&*file, &*url] {
        let Compared { deleted, all } = compare(&bench, file).await.unwrap();
        assert_eq!((&*deleted, all), (&["chat of ann".to_owned()][..], 2));
    }
    let whose = Whose::Chats(vec!["chat of ann".to_owned(), "chat of nobody".to_owned()]);
    let limits = Limits { whose, keep_bodies: Some(Duration::ZERO), ..everyone() };
    let (pruned, _) = bench.prune(&limits, usize::MAX).await;
    assert_eq!((pruned.bodies, pruned.requests, pruned.calls), (30, 60, 0));
    assert_eq!(bench.totals().await, before);
    bench.is_sound().await;
    let none = Limits { whose: Whose::Chats(Vec::new()), ..limits };
    let (pruned, _) = bench.prune(&none, usize::MAX).await;
    assert!(!pruned.has_deleted(), "{pruned:?}");
}

#[tokio::test]
async fn only_a_chat_that_the_file_would_have_is_taken_for_deleted() {
    const BOB: &str = "insert into chat values ('chat of bob', 0, 0);";
    let last = (FIRST + 29 * DAY + 3_660_000) / 1000;
    let filled = ledger().await;
    for (change, rows, expected) in [
        ("select 1", "insert into chat values ('chat of ann', 0, 0)".to_owned(), 0),
        ("select 1", String::new(), 1),
        // A copy that was made before the last call, and one from after it.
        ("select 1", format!("update user set last_active_at = {last}"), 0),
        ("select 1", format!("update user set last_active_at = {last} + 1"), 1),
        (
            "select 1",
            format!(
                "update user set last_active_at = null; update chat set updated_at = {last} + 1"
            ),
            1,
        ),
        // Other clients, and calls outside of chats.
        ("update call set client = 'curl' where user_id = 'ann'", String::new(), 0),
        ("update call set chat_id = null where user_id = 'ann'", String::new(), 0),
        // Within the last hour.
        ("update call set at = at + 41000000 where user_id = 'ann'", String::new(), 0),
        ("update call set chat_id = 'temporary:x' where user_id = 'ann'", String::new(), 0),
        ("update call set chat_id = 'channel:x' where user_id = 'ann'", String::new(), 1),
        (
            "update call set chat_id = 'channel:x' where user_id = 'ann'",
            "insert into channel values ('x')".to_owned(),
            0,
        ),
    ] {
        let bench = filled.copy().await;
        bench.look().await.run(change).await;
        let (file, _open) = webui(&bench, &format!("{BOB} {rows}")).await;
        let deleted = compare(&bench, &file).await.unwrap().deleted;
        assert_eq!(deleted.len(), expected, "{change}; {rows}: {deleted:?}");
    }
}

#[tokio::test]
async fn a_file_that_would_delete_everything_is_refused() {
    let bench = ledger().await;
    let (file, mut open) = webui(&bench, "").await;
    let told = async |file: &str| {
        let refused = compare(&bench, file).await.unwrap_err().to_string();
        refused.replace(&bench.folder.path().display().to_string(), "")
    };
    assert_eq!(
        told(&file).await,
        "/webui.db has no chats, and all in the ledger would be deleted; nothing was"
    );
    write(&mut open, "insert into chat values ('another', 0, 0)").await;
    assert_eq!(
        told(&file).await,
        "/webui.db has none of the 2 chats of Open WebUI in the ledger, so it seems to be another one's; nothing was \
         deleted"
    );
    if !backend::is_postgres() {
        assert_eq!(
            told(&bench.path().display().to_string()).await,
            "/ledger.db is no database of Open WebUI; nothing was deleted"
        );
    }
    let text = bench.folder.path().join("notes.txt");
    std::fs::write(&text, "not a database, but long enough to be looked at ".repeat(20)).unwrap();
    assert_eq!(
        told(&text.display().to_string()).await,
        "/notes.txt is no database of Open WebUI; nothing was deleted"
    );
    assert!(told("/nowhere/webui.db").await.starts_with("there is no file /nowhere/webui.db"));
    assert!(told("postgresql://db/openwebui").await.contains("not supported yet"));
    assert!(told("https://chat.example").await.contains("name its file webui.db"));
}
