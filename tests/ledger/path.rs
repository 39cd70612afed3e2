//! The ledger's file: nothing else is touched, one process writes to it under all of its names, and what it lost is said.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use reprise::{
    domain::{
        catalog::Catalog,
        exchange::{OwnerId, UnixMillis},
        price::Price,
    },
    store::{
        Durable, Error, Ledger, Occasion, Opening, Options, Reader, checkup,
        prices::{self, PriceChange},
        prune::{self, Limits, Whose},
        roll_up,
    },
};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions,
};

use super::{Bench, GRACE, NOW, chat, exchange, opening, seal, sealing, stats};
use crate::support::{
    backend,
    rows::{self, key},
};

/// `application_id` of a ledger.
const RPRS: u32 = 0x5270_7273;

async fn database(path: &Path, sql: &'static str) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut conn = options.connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

/// Everything about the files of a folder that a program could change: kind, mode, target or content.
fn everything(folder: &Path) -> BTreeMap<PathBuf, (String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            let file = fs::symlink_metadata(&path).unwrap();
            let content = match file.file_type() {
                kind if kind.is_file() => fs::read(&path).unwrap(),
                kind if kind.is_symlink() => {
                    fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
                }
                _ => Vec::new(),
            };
            (path, (format!("{:o} {}", file.mode(), file.nlink()), content))
        })
        .collect()
}

fn write(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

fn beside(path: &Path, end: &str) -> PathBuf {
    PathBuf::from(format!("{}{end}", path.display()))
}

/// Every way in which a program comes to a ledger: each must refuse it.
async fn refusals(url: &str) -> Vec<Error> {
    let everything = Limits {
        whose: Whose::Everyone,
        keep_bodies: Some(std::time::Duration::ZERO),
        keep_totals: None,
        max_bytes: None,
    };
    let tasks = tokio_util::task::TaskTracker::new();
    let mut watch = |_| std::ops::ControlFlow::Continue(());
    let owner = rows::owner(99);
    vec![
        Ledger::open(&Options::new(url), owner, NOW, &tasks).await.unwrap_err(),
        Reader::open(url).await.unwrap_err(),
        prune::run(url, owner, &everything, NOW, &mut watch).await.unwrap_err(),
        changed(url, owner, Some(&[])).await.unwrap_err(),
        changed(url, owner, None).await.unwrap_err(),
        roll_up(url, &Catalog::builtin(), 1).await.unwrap_err(),
        checkup::files(url).await.unwrap_err(),
    ]
}

/// Puts something at the path; returns what the refusals must name.
async fn place(kind: &str, path: &Path) -> PathBuf {
    let target = path.with_file_name("target");
    match kind {
        "text" => write(path, "Dear diary, this is no database."),
        "short text" => write(path, "x"),
        "a database" => database(path, "create table diary (day text)").await,
        "a database with an id" => {
            database(path, "pragma journal_mode = wal; pragma application_id = 7").await;
        }
        "a database with a version" => database(path, "pragma user_version = 3").await,
        "a database of sqlx" => {
            let sql = "pragma journal_mode = wal; create table _sqlx_migrations (version bigint); \
                 create table exchange (rate real)";
            database(path, sql).await;
        }
        "a folder" => fs::create_dir(path).unwrap(),
        "a pipe" => {
            mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
        }
        "a socket" => drop(UnixListener::bind(path).unwrap()),
        "a link to text" => {
            write(&target, "Dear diary");
            symlink(&target, path).unwrap();
            return target;
        }
        "a link to a device" => {
            symlink("/dev/null", path).unwrap();
            return "/dev/null".into();
        }
        "a link to nothing" => symlink(&target, path).unwrap(),
        other => panic!("{other}"),
    }
    path.to_owned()
}

#[tokio::test]
async fn what_is_no_ledger_is_refused_by_everyone_and_stays_as_it_is() {
    if backend::skips("a path") {
        return;
    }
    for kind in [
        "text",
        "short text",
        "a database",
        "a database with an id",
        "a database with a version",
        "a database of sqlx",
        "a folder",
        "a pipe",
        "a socket",
        "a link to text",
        "a link to a device",
        "a link to nothing",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let named = place(kind, &path).await;
        let before = everything(folder.path());
        for error in refusals(&format!("sqlite://{}", path.display())).await {
            assert!(error.to_string().contains(named.to_str().unwrap()), "{kind}: {error}");
            let expected = match kind {
                "a link to nothing" => matches!(error, Error::DanglingLink { .. }),
                "a link to a device" | "a folder" | "a pipe" | "a socket" => {
                    matches!(error, Error::NotAFile { .. })
                }
                _ => matches!(error, Error::Foreign { .. }),
            };
            assert!(expected, "{kind}: {error:?}");
        }
        assert_eq!(everything(folder.path()), before, "{kind}");
    }
    let device = fs::metadata("/dev/null").unwrap();
    let null = refusals("sqlite:///dev/null").await;
    assert!(null.iter().all(|error| matches!(error, Error::NotAFile { .. })), "{null:?}");
    assert_eq!(fs::metadata("/dev/null").unwrap().mode(), device.mode());
    assert!(device.file_type().is_char_device());
}

#[tokio::test]
async fn what_is_beside_a_ledger_and_not_ours_is_refused_and_stays_as_it_is() {
    if backend::skips("a path") {
        return;
    }
    for (end, kind) in [
        ("-wal", "a link"),
        ("-wal", "a folder"),
        ("-shm", "a link"),
        ("-shm", "a pipe"),
        (".lock", "a link"),
        (".lock", "a pipe"),
        (".lock", "text"),
    ] {
        let bench = Bench::new();
        bench.open().await.close(GRACE).await;
        let path = beside(&bench.path(), end);
        let target = bench.path().with_file_name("target");
        // The lock of the ledger, which is closed.
        let _ = fs::remove_file(&path);
        match kind {
            "a link" => {
                write(&target, "Dear diary");
                symlink(&target, &path).unwrap();
            }
            other => drop(place(other, &path).await),
        }
        let before = everything(bench.path().parent().unwrap());
        let error = bench.open_with(&bench.options()).await.unwrap_err();
        let expected = match kind {
            "text" => matches!(error, Error::NotALock { .. }),
            _ => matches!(error, Error::Beside { .. }),
        };
        assert!(expected, "{end} {kind}: {error:?}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{end} {kind}: {error}");
        if end != ".lock" {
            let url = bench.options().url;
            assert!(matches!(Reader::open(&url).await, Err(Error::Beside { .. })), "{end} {kind}");
        }
        assert_eq!(everything(bench.path().parent().unwrap()), before, "{end} {kind}");
    }
}

/// The ids in the header of the file itself.
fn ids(path: &Path) -> (u32, u32) {
    let header = fs::read(path).unwrap();
    let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
    (number(68), number(60))
}

#[tokio::test]
async fn a_ledger_says_in_its_header_what_it_is_and_one_without_gets_it() {
    if backend::skips("a path") {
        return;
    }
    let bench = Bench::new();
    let ledger = bench.open().await;
    assert_eq!(ids(&bench.path()).0, RPRS, "before anything is checkpointed");
    ledger.close(GRACE).await;
    assert_eq!(ids(&bench.path()), (RPRS, 14));

    let mut outside = bench.outside().await;
    let older = "pragma application_id = 0; pragma user_version = 0";
    sqlx::raw_sql(older).execute(&mut outside).await.unwrap();
    outside.close().await.unwrap();
    assert_eq!(ids(&bench.path()), (0, 0));
    Reader::open(&bench.options().url).await.unwrap();
    let ledger = bench.open().await;
    assert_eq!(ids(&bench.path()), (RPRS, 14));
    ledger.close(GRACE).await;
}

#[tokio::test]
async fn a_ledger_behind_a_link_is_opened_and_its_files_are_beside_the_target() {
    if backend::skips("a path") {
        return;
    }
    let bench = Bench::new();
    bench.open().await.close(GRACE).await;
    let link = bench.folder.path().join("link.db");
    symlink(bench.path(), &link).unwrap();
    let options = Options { wait: GRACE, ..Options::new(format!("sqlite://{}", link.display())) };
    let ledger = bench.open_with(&options).await.unwrap();
    exchange(&ledger, opening(1, None), sealing("x", 1)).await;
    assert!(beside(&bench.path(), "-wal").exists() && !beside(&link, "-wal").exists());
    assert!(!beside(&link, ".lock").exists());
    let refused = bench.open_with(&bench.options()).await;
    assert!(matches!(refused, Err(Error::InUse { owner: Some(_), .. })), "{refused:?}");
    ledger.close(GRACE).await;
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[tokio::test]
async fn whatever_is_in_running_stops_no_start() {
    const COLUMNS: [&str; 10] = [
        "exchange",
        "owner",
        "opened_at",
        "key",
        "scope",
        "model",
        "continues",
        "frame",
        "head",
        "call",
    ];
    if backend::skips("a path") {
        return;
    }
    let id = |n: u128| rows::exchange_id(n).to_string();
    let mut garbage: Vec<String> = [
        "null",
        "''",
        "'garbage'",
        "-1",
        "0",
        "9223372036854775807",
        "-9223372036854775808",
        "1e300",
        "x''",
        "x'ff00'",
        "zeroblob(32)",
        "zeroblob(300000)",
        "cast(x'fffe00' as text)",
        "'{\"id\":'",
        "'{}'",
    ]
    .map(str::to_owned)
    .into();
    garbage.push(format!("'{}'", "[".repeat(5000)));
    // An exchange that is sealed, and one that runs.
    garbage.push(format!("'{}'", id(1)));
    garbage.push(format!("'{}'", id(100)));
    let bench = Bench::new();
    let mut ledger = bench.open().await;
    exchange(&ledger, opening(1, None), sealing("x", 1)).await;
    ledger.close(GRACE).await;
    for column in COLUMNS {
        let mut outside = bench.outside().await;
        // Without the types of the columns, everything can be in them.
        let loose =
            format!("drop table if exists running; create table running ({})", COLUMNS.join(", "));
        sqlx::raw_sql(AssertSqlSafe(loose)).execute(&mut outside).await.unwrap();
        let clean = "delete from exchange where id not like '%0001'; \
             delete from call where exchange not like '%0001'";
        sqlx::raw_sql(clean).execute(&mut outside).await.unwrap();
        for (n, value) in (100..).zip(&garbage) {
            let row = format!(
                "insert into running (exchange, owner, opened_at, key, scope, model, call) \
                 values ('{}', '{}', 5, zeroblob(32), 'user', 'claude', '{{}}'); \
                 update running set {column} = {value} where exchange = '{}'",
                id(n),
                rows::owner(1),
                id(n),
            );
            sqlx::raw_sql(AssertSqlSafe(row)).execute(&mut outside).await.unwrap();
        }
        outside.close().await.unwrap();
        ledger = bench.open().await;
        assert_eq!(bench.count("select count(*) from running").await, 0, "{column}");
        let lost =
            bench.count("select count(distinct id) from exchange where outcome = 'lost'").await;
        let expected = if column == "exchange" {
            let complete = "select count(*) from exchange where outcome = 'complete'";
            assert_eq!(bench.count(complete).await, 1, "what is sealed stays so");
            // And the empty ones are one exchange.
            garbage.len() - 3
        } else {
            garbage.len()
        };
        assert!(usize::try_from(lost).unwrap() >= expected, "{column}: {lost}");
        let calls = bench.count("select count(*) from call where outcome = 'lost'").await;
        assert_eq!(calls, lost, "{column}: each still counts");
        stats(&ledger).await;
        exchange(&ledger, opening(1000, Some(chat(2))), sealing("y", 2)).await;
        ledger.close(GRACE).await;
    }
}

#[tokio::test]
async fn a_removed_file_is_made_anew_and_what_comes_next_is_whole() {
    if backend::skips("a path") {
        return;
    }
    let bench = Bench::new();
    let ledger = bench.open().await;
    exchange(&ledger, opening(1, Some(chat(3))), sealing("one", 1)).await;
    assert!(ledger.find(&key(1), rows::LATE).await.unwrap().is_some());
    let running = Arc::new(opening(2, Some(chat(4))));
    assert_eq!(ledger.open_exchange(&running).await, Durable::Committed);
    let dying = opening(3, None);
    assert_eq!(ledger.open_exchange(&Arc::new(dying)).await, Durable::Committed);

    fs::remove_file(bench.path()).unwrap();
    let state = ledger.state();
    assert!(!state.writable && state.error.unwrap().contains("was removed"));
    // It refers to messages of the removed file.
    let next = Arc::new(Opening { chain: Some(chat(5)), ..opening(4, None) });
    assert_eq!(ledger.open_exchange(&next).await, Durable::Committed);
    assert!(ledger.state().writable);
    assert!(
        ledger.find(&key(1), rows::LATE).await.unwrap().is_none(),
        "it was in the removed file"
    );
    assert_eq!(seal(&ledger, &running, sealing("two", 2)).await, Durable::Committed);
    assert_eq!(seal(&ledger, &next, sealing("four", 4)).await, Durable::Committed);
    assert_eq!(ledger.state().lost, 0);
    for (n, messages) in [(2, 4), (4, 5)] {
        assert!(ledger.reader().find(&key(n), rows::LATE).await.unwrap().is_some());
        let chain = chat(messages);
        let loaded = ledger.reader().load_chain(chain.frame.hash, chain.head()).await.unwrap();
        assert_eq!(loaded, *chain);
    }
    let left = "select count(*) from running where exchange like '%3'";
    assert_eq!(bench.count(left).await, 1, "it still runs");
    ledger.close(GRACE).await;
    let mode = fs::metadata(bench.path()).unwrap().mode() & 0o777;
    assert_eq!((mode, ids(&bench.path()).0), (0o600, RPRS));
    assert!(!beside(&bench.path(), "-wal").exists());
}

#[tokio::test]
async fn a_moved_file_keeps_everything_and_may_come_back() {
    if backend::skips("a path") {
        return;
    }
    let bench = Bench::new();
    let ledger = bench.open().await;
    exchange(&ledger, opening(1, Some(chat(3))), sealing("one", 1)).await;
    let aside = bench.path().with_file_name("aside.db");
    fs::rename(bench.path(), &aside).unwrap();
    exchange(&ledger, opening(2, Some(chat(3))), sealing("two", 2)).await;

    // Whole without a write-ahead log, which has the other name.
    let mut moved = SqliteConnectOptions::new().filename(&aside).connect().await.unwrap();
    let ids: Vec<String> =
        sqlx::query_scalar("select id from exchange").fetch_all(&mut moved).await.unwrap();
    assert_eq!(ids, [rows::exchange_id(1).to_string()]);
    moved.close().await.unwrap();

    fs::rename(&aside, bench.path()).unwrap();
    exchange(&ledger, opening(3, Some(chat(4))), sealing("three", 3)).await;
    assert!(ledger.find(&key(1), rows::LATE).await.unwrap().is_some());
    assert!(
        ledger.find(&key(2), rows::LATE).await.unwrap().is_none(),
        "it was in the file in between"
    );
    ledger.close(GRACE).await;
    let mut outside: SqliteConnection = bench.outside().await;
    let ids: Vec<String> = sqlx::query_scalar("select id from exchange order by id")
        .fetch_all(&mut outside)
        .await
        .unwrap();
    assert_eq!(
        ids.into_iter().collect::<HashSet<_>>(),
        [1, 3].map(|n| rows::exchange_id(n).to_string()).into()
    );
    let check: String =
        sqlx::query_scalar("pragma integrity_check").fetch_one(&mut outside).await.unwrap();
    assert_eq!(check, "ok");
}

#[tokio::test]
async fn rows_that_are_refused_for_their_bodies_keep_their_totals() {
    if backend::skips("a path") {
        return;
    }
    let bench = Bench::new();
    let ledger = bench.open().await;
    let mut outside = bench.outside().await;
    // As with a blob that is missing: the reference to it is refused.
    let sql = "create trigger refuse before insert on node begin select raise(abort, 'no'); end";
    sqlx::query(sql).execute(&mut outside).await.unwrap();
    outside.close().await.unwrap();
    exchange(&ledger, opening(1, Some(chat(2))), sealing("x", 1)).await;
    assert_eq!((ledger.state().lost, ledger.state().bodies_dropped), (0, 2));
    assert_eq!(stats(&ledger).await.total.calls, 1);
    ledger.close(GRACE).await;
}

/// A kill in a checkpoint leaves a file whose first page is newer than its others, and some of them are missing. What is
/// missing is in the write-ahead log.
#[tokio::test]
async fn a_file_that_a_checkpoint_has_not_finished_is_a_ledger() {
    if backend::skips("a path") {
        return;
    }
    for application_id in [RPRS, 0] {
        let bench = Bench::new();
        let ledger = bench.open().await;
        for n in 1..=20 {
            exchange(&ledger, opening(n, Some(chat(3))), sealing(&"long ".repeat(2_000), 1)).await;
        }
        // The whole file, and the log that has all of its pages again.
        let mut outside = bench.outside().await;
        sqlx::raw_sql("pragma wal_checkpoint").execute(&mut outside).await.unwrap();
        let copy = Bench::new();
        fs::create_dir_all(copy.path().parent().unwrap()).unwrap();
        let mut file = fs::read(bench.path()).unwrap();
        file[68..72].copy_from_slice(&application_id.to_be_bytes());
        let pages = file.len() / 4096;
        for kept in [1, 2, pages / 2, pages - 1] {
            fs::write(copy.path(), &file[..kept * 4096]).unwrap();
            fs::copy(beside(&bench.path(), "-wal"), beside(&copy.path(), "-wal")).unwrap();
            let ledger = copy.open().await;
            let found = copy.count("select count(*) from exchange").await;
            assert_eq!(found, 20, "{kept} of {pages} pages, id {application_id}");
            ledger.close(GRACE).await;
            drop(ledger);
            copy.ended().await;
            let _ = fs::remove_file(beside(&copy.path(), ".lock"));
        }
    }
}

async fn changed(url: &str, owner: OwnerId, prices: Option<&[Price]>) -> Result<(), Error> {
    let catalog = &Catalog::builtin();
    let change = PriceChange { prices, before: catalog, after: catalog, from: None };
    let occasion = Occasion { at: UnixMillis(0), cause: "a test", operator: "ann" };
    prices::change(url, owner, change, occasion).await.map(drop)
}
