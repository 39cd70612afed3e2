//! The ledger's file is removed, moved, replaced or overwritten while it is served, or while it is not.

use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
};

use reprise::store::{self, Error};
use serde_json::Value;
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};
use tokio_util::task::TaskTracker;

use crate::support::{
    app::{CHAT, MODEL, Setup, ask, ask_whole},
    backend,
    binary::Binary,
    rows,
    script::{Gate, Script},
    sse::{self, Answer},
    until,
    upstream::Upstream,
};

fn hello() -> Script {
    Script::sse(Answer::of(MODEL).text(&["Hel", "lo"]).stop("end_turn"))
}

fn file(setup: &Setup, end: &str) -> PathBuf {
    setup.folder().join(format!("ledger.db{end}"))
}

fn log(setup: &Setup) -> String {
    fs::read_to_string(setup.folder().join("log")).expect("a log")
}

async fn ready(binary: &Binary) -> (u16, Value) {
    let reply = binary.client().get("/ready").await;
    (reply.status.as_u16(), reply.json().await)
}

async fn is_ready_again(binary: &Binary) {
    until("/ready to be 200 again", async || ready(binary).await.0 == 200).await;
}

async fn answers(binary: &Binary, question: &str) {
    let chunks = binary.client().post(CHAT, &ask(question)).await.chunks().await;
    assert_eq!(sse::openai_text(&chunks), "Hello");
}

/// Waits until what was answered is in the file, or in the one that takes its place.
async fn is_committed(binary: &Binary) {
    until("the commit", async || ready(binary).await.1["ledger"]["queued"] == 0).await;
}

/// Another program's database.
async fn foreign(path: &Path) -> Vec<u8> {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut conn = options.connect().await.expect("a database");
    sqlx::raw_sql("create table diary (day text)").execute(&mut conn).await.expect("a table");
    conn.close().await.expect("a clean end");
    fs::read(path).expect("a file")
}

#[tokio::test]
async fn a_ledger_that_is_removed_is_told_at_ready_and_made_anew() {
    if backend::skips("a path") {
        return;
    }
    let upstream = Upstream::start().await;
    upstream.always(hello());
    let setup = Setup::of(&upstream);
    for all in [false, true] {
        let mut binary = Binary::start(&setup).await;
        answers(&binary, "one").await;
        is_committed(&binary).await;
        let asked = upstream.requests().len();
        for end in ["", "-wal", "-shm", ".lock"].into_iter().take(if all { 4 } else { 1 }) {
            fs::remove_file(file(&setup, end)).expect("a file");
        }
        let (status, told) = ready(&binary).await;
        assert_eq!((status, &told["status"]), (503, &"the ledger cannot be written".into()));
        assert_eq!(told["ledger"]["error"], "the ledger was removed");
        is_ready_again(&binary).await;
        assert_eq!(setup.ledger().count("exchange").await, 0);
        answers(&binary, "one").await;
        assert_eq!(upstream.requests().len(), asked + 1, "the answer went with the file");
        assert_eq!(setup.ledger().count("exchange").await, 1);
        assert_eq!(log(&setup).matches("was removed while it is in use").count(), 1);
        assert_eq!(log(&setup).matches("the ledger was opened anew").count(), 1);
        binary.signal("TERM");
        assert!(binary.ended().await.success());
        assert_eq!(setup.ledger().count("call").await, 1);
        assert_eq!(fs::metadata(file(&setup, "")).expect("a file").mode() & 0o777, 0o600);
        fs::remove_file(file(&setup, "")).expect("a file");
    }
}

#[tokio::test]
async fn an_answer_into_a_removed_ledger_is_in_the_next_one() {
    if backend::skips("a path") {
        return;
    }
    let upstream = Upstream::start().await;
    upstream.always(hello());
    let setup = Setup::of(&upstream);
    let mut binary = Binary::start(&setup).await;
    for round in 0..10 {
        answers(&binary, &format!("before {round}")).await;
        is_committed(&binary).await;
        if round % 2 == 0 {
            fs::remove_file(file(&setup, "")).expect("a file");
        } else {
            fs::rename(file(&setup, ""), file(&setup, ".aside")).expect("a file");
        }
        answers(&binary, &format!("after {round}")).await;
        is_committed(&binary).await;
        assert_eq!(setup.ledger().exchange().await.outcome, "complete");
    }
    assert_eq!(ready(&binary).await.1["ledger"]["lost"], 0);
    binary.kill();
    assert_eq!(setup.ledger().count("exchange").await, 1);
}

#[tokio::test]
async fn another_programs_file_in_its_place_stays_as_it_is_and_costs_no_answer() {
    if backend::skips("a path") {
        return;
    }
    let upstream = Upstream::start().await;
    upstream.always(hello());
    let setup = Setup::of(&upstream);
    let mut binary = Binary::start(&setup).await;
    answers(&binary, "one").await;
    is_committed(&binary).await;
    let other = file(&setup, ".other");
    let bytes = foreign(&other).await;
    fs::rename(&other, file(&setup, "")).expect("a file");
    answers(&binary, "two").await;
    answers(&binary, "three").await;
    until("/ready to tell whose file it is", async || {
        let (status, told) = ready(&binary).await;
        let error = told["ledger"]["error"].as_str().unwrap_or_default();
        status == 503 && error.contains("another program's file")
    })
    .await;
    assert_eq!(fs::read(file(&setup, "")).expect("a file"), bytes);
    assert!(!file(&setup, "-wal").exists() && !file(&setup, "-shm").exists());

    fs::remove_file(file(&setup, "")).expect("a file");
    is_ready_again(&binary).await;
    let wrote = async || setup.ledger().count("exchange").await == 2;
    until("what waited to be written", wrote).await;
    assert_eq!(ready(&binary).await.1["ledger"]["lost"], 0);
    binary.signal("TERM");
    assert!(binary.ended().await.success());
}

#[tokio::test]
async fn what_runs_while_the_file_goes_is_sealed_in_the_next_one_or_lost_there() {
    if backend::skips("a path") {
        return;
    }
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let mut binary = Binary::start(&setup).await;
    let gate = Gate::new();
    let block = sse::content_block_start(0, r#"{"type":"text","text":""}"#);
    let beginning = Answer::of(MODEL).event(block).event(sse::text_delta(0, "Hel")).unfinished();
    let end = Answer::of(MODEL).text(&[]).stop("end_turn").split_off(2);
    upstream.push(Script::sse(beginning.clone()).wait(&gate).pieces(end));
    upstream.push(Script::sse(beginning).stall());
    let mut ends = binary.client().post(CHAT, &ask("ends")).await;
    ends.read_until("Hel").await;
    let mut dies = binary.client().post(CHAT, &ask("dies")).await;
    dies.read_until("Hel").await;
    let dying = dies.header("x-reprise-exchange").map(str::to_owned).expect("an exchange");
    until("two rows", async || setup.ledger().count("running").await == 2).await;
    fs::remove_file(file(&setup, "")).expect("a file");
    assert_eq!(ready(&binary).await.0, 503);
    is_ready_again(&binary).await;
    assert_eq!(setup.ledger().count("running").await, 2);
    gate.open();
    ends.rest().await;
    assert_eq!(setup.ledger().exchange().await.outcome, "complete");
    binary.kill();
    let _binary = Binary::start(&setup).await;
    let lost = setup.ledger().column("select id from exchange where outcome = 'lost'").await;
    assert_eq!(lost, [dying].into());
}

#[tokio::test]
async fn a_ledger_that_is_overwritten_in_place_is_left_alone() {
    if backend::skips("a path") {
        return;
    }
    let upstream = Upstream::start().await;
    upstream.always(hello());
    let setup = Setup::of(&upstream);
    let mut binary = Binary::start(&setup).await;
    answers(&binary, "one").await;
    let bytes = foreign(&file(&setup, ".other")).await;
    fs::write(file(&setup, ""), &bytes).expect("a file");
    answers(&binary, "two").await;
    let (status, told) = ready(&binary).await;
    let error = told["ledger"]["error"].as_str().expect("an error");
    assert!(status == 503 && error.contains("overwritten in place"), "{told}");
    binary.signal("TERM");
    binary.ended().await;
    assert_eq!(fs::read(file(&setup, "")).expect("a file"), bytes);
    assert!(!file(&setup, "-wal").exists(), "its owner would take it for its own");
}

#[tokio::test]
async fn a_second_writer_comes_in_under_no_name() {
    if backend::skips("a path") {
        return;
    }
    let upstream = Upstream::start().await;
    upstream.always(hello());
    let setup = Setup::of(&upstream);
    let binary = Binary::start(&setup).await;
    answers(&binary, "one").await;
    let (link, hard) = (setup.folder().join("link.db"), setup.folder().join("hard.db"));
    symlink(file(&setup, ""), &link).expect("a link");
    fs::hard_link(file(&setup, ""), &hard).expect("a link");
    let second = async |path: &Path| {
        let options = store::Options::new(format!("sqlite://{}", path.display()));
        let (tasks, now) = (TaskTracker::new(), reprise::domain::exchange::UnixMillis(1));
        let opened = store::Ledger::open(&options, rows::owner(9), now, &tasks).await;
        match opened {
            Err(Error::InUse { owner, .. }) => owner,
            other => panic!("{}: {other:?}", path.display()),
        }
    };
    assert!(second(&file(&setup, "")).await.is_some());
    assert!(second(&link).await.is_some(), "its lock is that of the target");
    assert_eq!(second(&hard).await, None);
    fs::remove_file(file(&setup, ".lock")).expect("a lock");
    for path in [file(&setup, ""), link, hard] {
        assert_eq!(second(&path).await, None);
        // What the refused one left must not help the next one.
        assert_eq!(second(&path).await, None);
    }
    assert_eq!(ready(&binary).await.0, 200);
    answers(&binary, "two").await;
    is_committed(&binary).await;
    assert_eq!(setup.ledger().count("exchange").await, 2);
}

#[tokio::test]
async fn a_write_ahead_log_that_is_removed_while_it_is_in_use_is_saved() {
    if backend::skips("a path") {
        return;
    }
    let upstream = Upstream::start().await;
    upstream.always(hello());
    let setup = Setup::of(&upstream);
    for (round, end) in (1..).zip(["-wal", "-shm", "-wal"]) {
        let mut binary = Binary::start(&setup).await;
        answers(&binary, &format!("before {round}")).await;
        is_committed(&binary).await;
        fs::remove_file(file(&setup, end)).expect("a file");
        if round < 3 {
            assert_eq!(ready(&binary).await.0, 503);
            is_ready_again(&binary).await;
        }
        answers(&binary, &format!("after {round}")).await;
        is_committed(&binary).await;
        assert!(file(&setup, end).exists());
        binary.kill();
        let complete = "select id from exchange where outcome = 'complete'";
        assert_eq!(setup.ledger().column(complete).await.len(), 2 * round, "{end}");
        let binary = Binary::start(&setup).await;
        assert!(!log(&setup).contains("newest rows"));
        assert_eq!(ready(&binary).await.0, 200);
    }
}

#[tokio::test]
async fn a_write_ahead_log_that_is_lost_is_told_at_the_next_start() {
    const TOLD: &str = "newest rows";
    if backend::skips("a path") {
        return;
    }
    let upstream = Upstream::start().await;
    upstream.always(hello());
    let setup = Setup::of(&upstream);
    let mut binary = Binary::start(&setup).await;
    let wal = file(&setup, "-wal");
    for (round, harm) in ["removed", "cut", "of another"].into_iter().enumerate() {
        answers(&binary, &format!("round {round}")).await;
        is_committed(&binary).await;
        binary.kill();
        match harm {
            "removed" => fs::remove_file(&wal).expect("a log"),
            "cut" => {
                let file = fs::File::options().write(true).open(&wal).expect("a log");
                file.set_len(file.metadata().expect("a size").len() / 2).expect("a cut");
            }
            _ => {
                let other = Setup::of(&upstream);
                let mut binary = Binary::start(&other).await;
                binary.kill();
                fs::copy(file(&other, "-wal"), &wal).expect("a copy");
            }
        }
        binary = Binary::start(&setup).await;
        assert!(log(&setup).contains(TOLD), "{harm}: {}", log(&setup));
        if harm != "of another" {
            let missing = log(&setup).contains("log of the ledger is missing");
            assert_eq!(missing, harm == "removed");
        }
    }
    binary.kill();
    for end in ["", "-wal", "-shm"] {
        fs::remove_file(file(&setup, end)).expect("a file");
    }

    // Nothing is lost, and nothing is told: killed, and another program empties the log; killed; stopped; pruned.
    for how in ["new", "killed", "emptied", "killed again", "stopped", "pruned"] {
        binary = Binary::start(&setup).await;
        assert!(!log(&setup).contains(TOLD), "{how}: {}", log(&setup));
        let question = ask_whole(how);
        binary.client().post(CHAT, &question).await.text().await;
        match how {
            "stopped" => {
                binary.signal("TERM");
                binary.ended().await;
            }
            _ => binary.kill(),
        }
        match how {
            "killed" => {
                setup.ledger().run("pragma wal_checkpoint(truncate)").await;
                assert!(!wal.exists());
            }
            "pruned" => {
                let limits = store::prune::Limits {
                    whose: store::prune::Whose::Everyone,
                    keep_bodies: Some(std::time::Duration::ZERO),
                    keep_totals: Some(std::time::Duration::ZERO),
                    max_bytes: None,
                };
                let now = reprise::domain::exchange::UnixMillis(i64::MAX / 2);
                let mut watch = |_| std::ops::ControlFlow::Continue(());
                let (url, owner) = (setup.ledger().url(), rows::owner(9));
                store::prune::run(&url, owner, &limits, now, &mut watch).await.expect("a pruning");
                assert_eq!(setup.ledger().count("call").await, 0);
            }
            _ => {}
        }
    }
    binary = Binary::start(&setup).await;
    assert!(!log(&setup).contains(TOLD), "{}", log(&setup));
    drop(binary);
}
