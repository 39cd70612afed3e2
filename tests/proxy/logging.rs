//! One log line a call, at its end, whatever answered it.

use std::{collections::BTreeMap, fs, io, net::TcpListener};

use serde_json::Value;

use crate::support::{
    app::{CHAT, MODEL, Setup, ask, ask_whole},
    binary::{self, Binary},
    script::{Gate, Script},
    sse::{self, Answer},
    until,
    upstream::Upstream,
};

#[tokio::test]
async fn a_call_has_one_line_whatever_answered_it() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let mut program = Binary::start(&setup).await;
    let client = program.client();

    // A miss, and a call that joins it: both have begun before the answer goes on.
    let gate = Gate::new();
    let block = sse::content_block_start(0, r#"{"type":"text","text":""}"#);
    let first = Answer::of(MODEL).event(block).event(sse::text_delta(0, "Hel")).unfinished();
    let rest = Answer::of(MODEL).text(&["Hel", "lo"]).stop("end_turn").split_off(3);
    upstream.push(Script::sse(first).wait(&gate).pieces(rest));
    let miss = client.post(CHAT, &ask("hi")).await;
    let joined = client.post(CHAT, &ask("hi")).await;
    until("both calls to run", async || {
        client.get("/ready").await.json().await["running"]["calls"] == 2
    })
    .await;
    gate.open();
    assert!(miss.text().await.ends_with("[DONE]\n\n"));
    assert!(joined.text().await.ends_with("[DONE]\n\n"));
    // A hit, and a call that fails.
    let hit = client.post(CHAT, &ask_whole("hi")).await;
    assert_eq!(hit.json().await["choices"][0]["message"]["content"], "Hello");
    upstream.push(Script::error(400, "invalid_request_error", "no"));
    assert_eq!(client.post(CHAT, &ask_whole("no")).await.status, 400);

    program.signal("TERM");
    assert!(program.ended().await.success());
    let log = fs::read_to_string(setup.folder().join("log")).expect("a log");
    let mut lines = BTreeMap::<String, usize>::new();
    let mut calls = Vec::new();
    for line in log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")) {
        if line["message"] == "call answered" {
            let how = format!("{} {}", text(&line["answered_by"]), text(&line["outcome"]));
            *lines.entry(how).or_default() += 1;
            calls.push(text(&line["call"]));
        }
    }
    let expected =
        [("collapsed complete", 1), ("hit complete", 1), ("miss complete", 1), ("miss failed", 1)];
    assert_eq!(lines, expected.map(|(how, count)| (how.to_owned(), count)).into(), "{log}");
    calls.sort_unstable();
    calls.dedup();
    assert_eq!(calls.len(), 4, "each line is of another call");
}

#[tokio::test]
async fn a_replay_logs_no_content_of_what_it_misses() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let app = setup.start().await;
    upstream.push(Script::sse(Answer::of(MODEL).text(&["Hello"]).stop("end_turn")));
    let question = |word: &str| {
        ask_whole(&format!("Tell me one of the long stories that are told of a {word}"))
    };
    app.client().post(CHAT, &question("hedgehog")).await.json().await;
    app.stop().await;
    let into = setup.folder().join("fixtures");
    let mut export = binary::command(&setup);
    export.args(["fixtures", "export", "--force", "--last", "1", "--into"]).arg(&into);
    assert!(export.output().expect("the program").status.success());

    let mut replay = binary::command(&setup);
    replay.arg("replay").arg(&into);
    let mut program = Binary::try_start(&setup, replay).await.expect("a replay");
    let client = program.client();
    let missed = client.post(CHAT, &question("porcupine")).await;
    assert_eq!(missed.status, 404);
    let told = missed.text().await;
    assert!(told.contains("hedgehog") && told.contains("porcupine"), "the client is told: {told}");
    let unknown = client.header("x-reprise-scenario", "nowhere");
    let told = unknown.post(CHAT, &question("hedgehog")).await.text().await;
    assert!(told.contains("no scenario") && told.contains("nowhere"), "{told}");
    let reset = unknown.post("/replay/reset", &Value::Null).await;
    assert_eq!(reset.status, 404);
    let told = reset.text().await;
    assert!(told.contains("unknown_scenario") && told.contains("tell-me-one"), "{told}");

    program.signal("TERM");
    program.ended().await;
    let log = fs::read_to_string(setup.folder().join("log")).expect("a log");
    assert!(
        log.contains("no fixture matches") && log.contains("different in messages[0]"),
        "{log}"
    );
    assert!(!log.contains("hedgehog") && !log.contains("porcupine"), "{log}");
}

#[tokio::test]
async fn a_misspelt_variable_is_named_at_the_start_and_stops_nothing() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream).set("REPRISE_KEPT_BODIES", "90d").set("REPRISE_FUTURE", "1");
    let _program = Binary::start(&setup).await;
    let log = fs::read_to_string(setup.folder().join("log")).expect("a log");
    let warned = |text: &str| log.lines().any(|line| line.contains("WARN") && line.contains(text));
    assert!(warned(
        "REPRISE_KEPT_BODIES is no setting and has no effect; did you mean REPRISE_KEEP_BODIES?"
    ));
    assert!(warned("REPRISE_FUTURE is no setting and has no effect"), "{log}");
    assert!(!log.contains("REPRISE_PORT is no setting"), "{log}");
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound socket").port()
}

/// Serves with this log, answers, seals and stops.
async fn serves_with(log: io::PipeWriter) {
    let upstream = Upstream::start().await;
    let port = free_port();
    let setup = Setup::of(&upstream).set("REPRISE_PORT", &port.to_string());
    let mut command = binary::command(&setup);
    command.env("REPRISE_LOG", "debug").arg("serve");
    let mut program = Binary::start_with(command, port, log).await;
    for question in ["a", "b", "c"] {
        upstream.push(Script::sse(Answer::of(MODEL).text(&["Hel", "lo"]).stop("end_turn")));
        let answer = program.client().post(CHAT, &ask(question)).await;
        assert!(answer.text().await.ends_with("[DONE]\n\n"));
    }
    program.signal("TERM");
    assert!(program.ended().await.success());
    assert_eq!(setup.ledger().count("exchange").await, 3);
    assert_eq!(setup.ledger().count("running").await, 0);
}

#[tokio::test]
async fn a_log_whose_reader_is_gone_costs_no_answer() {
    let (reader, log) = io::pipe().expect("a pipe");
    drop(reader);
    serves_with(log).await;
}

#[tokio::test]
async fn a_log_that_nobody_reads_costs_no_answer() {
    let (_reader, mut log) = io::pipe().expect("a pipe");
    let room = rustix::pipe::fcntl_getpipe_size(&log).expect("a size");
    io::Write::write_all(&mut log, &vec![b'x'; room]).expect("room in the pipe");
    serves_with(log).await;
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
