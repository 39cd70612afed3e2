//! Told to stop, the server lets go in order: open answers finish, nobody new comes in, the ledger is closed.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{
    app::{App, CHAT, MODEL, Setup, ask, ask_whole},
    backend,
    binary::Binary,
    client::{Client, Read, Reply},
    script::{Gate, Script},
    sse::{self, Answer},
    until,
    upstream::{Outcome, Upstream},
};

/// Well under the time that open answers are given.
const AT_ONCE: Duration = Duration::from_secs(5);

fn beginning() -> Vec<String> {
    let block = sse::content_block_start(0, r#"{"type":"text","text":""}"#);
    Answer::of(MODEL).event(block).event(sse::text_delta(0, "Hel")).unfinished()
}

fn end() -> Vec<String> {
    Answer::of(MODEL).text(&["Hel", "lo"]).stop("end_turn").split_off(3)
}

/// The names of the files of a closed ledger, if it is in a file, and others.
fn ledger_and(others: &[&'static str]) -> Vec<&'static str> {
    let ledger: &[&str] =
        if backend::is_postgres() { &[] } else { &["ledger.db", "ledger.db.lock"] };
    [ledger, others].concat()
}

/// The names of the files in the folder of the ledger, sorted.
fn files(setup: &Setup) -> Vec<String> {
    let entries = std::fs::read_dir(setup.folder()).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string());
    let mut names: Vec<_> = names.map(|name| name.expect("text")).collect();
    names.sort();
    names
}

/// The rest of an answer in the chat is an error that says why it ended.
async fn is_cut(mut reply: Reply) {
    let (body, end) = reply.rest().await;
    let chunks = sse::openai_sse(str::from_utf8(&body).expect("text"));
    let error = chunks.last().map(|chunk| &chunk["error"]).expect("an error");
    assert_eq!((&error["code"], end), (&json!("shutting_down"), Read::End));
    assert!(error["message"].as_str().is_some_and(|text| text.contains("shut")), "{error}");
}

/// Waits for a line of the program's log.
async fn logged(setup: &Setup, what: &str) -> String {
    let (file, mut line) = (setup.folder().join("log"), None);
    until("a line of the log", async || {
        let log = std::fs::read_to_string(&file).expect("a log");
        line = log.lines().find(|line| line.contains(what)).map(str::to_owned);
        line.is_some()
    })
    .await;
    line.expect("a line")
}

async fn refuses_connections(client: &Client) {
    let request = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
    until("connections to be refused", async || client.try_raw(request).await.is_none()).await;
}

#[tokio::test]
async fn an_open_answer_finishes_and_nobody_new_comes_in() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let gate = Gate::new();
    upstream.push(Script::sse(beginning()).wait(&gate).pieces(end()));
    let mut reply = app.client().post(CHAT, &ask("hi")).await;
    reply.read_until("Hel").await;
    app.signal();
    refuses_connections(&app.client()).await;
    gate.open();
    let rest = sse::openai_sse(&reply.text().await);
    assert_eq!((sse::openai_text(&rest).as_str(), rest.last()), ("lo", Some(&json!("[DONE]"))));
    let ledger = app.stop().await;
    let exchange = ledger.exchange().await;
    assert_eq!((exchange.outcome.as_str(), exchange.servable), ("complete", true));
    assert_eq!(ledger.count("running").await, 0);
}

#[tokio::test]
async fn an_answer_that_nobody_sees_yet_finishes_too() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let gate = Gate::new();
    upstream.push(Script::sse(beginning()).hold(&gate).pieces(end()));
    let (client, question) = (app.client(), ask_whole("hi"));
    let (reply, ()) = tokio::join!(client.post(CHAT, &question), async {
        upstream.await_request(1).await;
        app.signal();
        refuses_connections(&app.client()).await;
        gate.open();
    });
    assert_eq!(reply.json().await["choices"][0]["message"]["content"], "Hello");
    assert_eq!(app.stop().await.exchange().await.outcome, "complete");
}

#[tokio::test]
async fn idle_connections_do_not_hold_it_up() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::sse(beginning()).pieces(end()));
    let pooled = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = pooled.post(format!("{}{CHAT}", app.url())).body(ask("hi").to_string());
    request.send().await.expect("an answer").bytes().await.expect("a whole answer");
    let began = Instant::now();
    app.stop().await;
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
}

#[tokio::test]
async fn the_ledger_is_closed_and_can_be_served_again() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    for round in 1..=3 {
        let app = setup.start().await;
        upstream.push(Script::sse(beginning()).pieces(end()));
        app.client().post(CHAT, &ask(&format!("round {round}"))).await.text().await;
        let ledger = app.stop().await;
        assert_eq!(files(&setup), ledger_and(&[]), "no WAL is left behind");
        assert_eq!(ledger.count("exchange").await, round);
    }
}

#[tokio::test]
async fn what_a_client_left_just_before_is_still_written() {
    for _ in 0..10 {
        let upstream = Upstream::start().await;
        let app = App::start(&upstream).await;
        upstream.push(Script::sse(beginning()).stall());
        let mut reply = app.client().post(CHAT, &ask("hi")).await;
        reply.read_until("Hel").await;
        drop(reply);
        upstream.await_outcome(0, Outcome::Disconnected).await;
        let ledger = app.stop().await;
        assert_eq!(ledger.exchange().await.outcome, "stopped");
        assert_eq!(ledger.count("running").await, 0);
    }
}

#[tokio::test]
async fn answers_that_take_too_long_are_ended_with_a_word_and_written() {
    const ANSWERS: usize = 32;
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream).set("REPRISE_SHUTDOWN_GRACE", "500ms");
    let mut binary = Binary::start(&setup).await;
    upstream.always(Script::sse(beginning()).stall());
    let mut replies = Vec::new();
    for number in 0..ANSWERS {
        let mut reply = binary.client().post(CHAT, &ask(&format!("question {number}"))).await;
        reply.read_until("Hel").await;
        replies.push(reply);
    }
    binary.signal("TERM");
    for reply in replies {
        is_cut(reply).await;
    }
    assert_eq!(binary.ended().await.code(), Some(0));
    let ledger = setup.ledger();
    let exchanges = ledger.exchanges().await;
    assert_eq!((exchanges.len(), ledger.count("running").await), (ANSWERS, 0));
    for exchange in exchanges {
        assert_eq!((exchange.outcome.as_str(), exchange.cost_is.as_str()), ("stopped", "at_least"));
        assert_eq!(exchange.error_kind.as_deref(), Some("shutdown"));
    }
}

#[tokio::test]
async fn the_program_ends_well_at_sigterm_and_sigint() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    for (signal, count) in [("TERM", 1), ("INT", 2)] {
        let mut binary = Binary::start(&setup).await;
        let gate = Gate::new();
        upstream.push(Script::sse(beginning()).wait(&gate).pieces(end()));
        let question = ask(signal);
        let mut reply = binary.client().post(CHAT, &question).await;
        reply.read_until("Hel").await;
        binary.signal(signal);
        refuses_connections(&binary.client()).await;
        gate.open();
        assert!(reply.text().await.ends_with("data: [DONE]\n\n"));
        assert_eq!(binary.ended().await.code(), Some(0));
        assert_eq!(setup.ledger().count("exchange").await, count);
    }
}

#[tokio::test]
async fn a_terminal_that_closes_is_a_signal_to_stop() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let mut program = Binary::start(&setup).await;
    let gate = Gate::new();
    upstream.push(Script::sse(beginning()).wait(&gate).pieces(end()));
    let mut reply = program.client().post(CHAT, &ask("hi")).await;
    reply.read_until("Hel").await;
    program.signal("HUP");
    refuses_connections(&program.client()).await;
    gate.open();
    assert!(reply.text().await.ends_with("[DONE]\n\n"));
    assert!(program.ended().await.success());
}

#[tokio::test]
async fn a_second_signal_cuts_open_answers_at_once_and_closes_the_ledger() {
    let upstream = Upstream::start().await;
    for (first, second) in [("INT", "INT"), ("TERM", "INT"), ("HUP", "TERM")] {
        let setup = Setup::of(&upstream);
        let mut program = Binary::start(&setup).await;
        upstream.push(Script::sse(beginning()).stall());
        let mut reply = program.client().post(CHAT, &ask(first)).await;
        reply.read_until("Hel").await;
        program.signal(first);
        let line = logged(&setup, "stopping; open answers").await;
        assert!(
            line.contains(r#""open_answers":1"#) && line.contains(r#""seconds":30.0"#),
            "{line}"
        );
        let began = Instant::now();
        program.signal(second);
        is_cut(reply).await;
        assert_eq!(program.ended().await.code(), Some(0));
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
        assert_eq!(files(&setup), ledger_and(&["log"]), "closed");
        let ledger = setup.ledger();
        let exchange = ledger.exchange().await;
        assert_eq!(
            (&*exchange.outcome, exchange.error_kind.as_deref()),
            ("stopped", Some("shutdown"))
        );
        assert_eq!((ledger.count("running").await, ledger.calls().await.len()), (0, 1));
    }
}

#[tokio::test]
async fn a_third_signal_ends_without_a_ledger_that_can_be_closed() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let mut program = Binary::start(&setup).await;
    upstream.push(Script::sse(beginning()).stall());
    let mut reply = program.client().post(CHAT, &ask("hi")).await;
    reply.read_until("Hel").await;
    let lock = setup.ledger().lock().await;
    program.signal("TERM");
    logged(&setup, "stopping; open answers").await;
    program.signal("TERM");
    logged(&setup, "cutting open answers").await;
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(1));
    lock.release().await;
    // The journal has it.
    let mut next = Binary::start(&setup).await;
    next.signal("TERM");
    assert!(next.ended().await.success());
    assert_eq!(setup.ledger().calls().await.len(), 1);
}

#[tokio::test]
async fn a_limit_on_the_size_of_files_costs_no_answer() {
    if backend::skips("a size") {
        return;
    }
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let mut program = Binary::start_under(&setup, "ulimit -f 2048").await;
    upstream.always(Script::sse(Answer::of(MODEL).text(&["Hel", "lo"]).stop("end_turn")));
    // Text that does not compress, in a chat that grows beyond the limit.
    let mut state = 1_u64;
    for _ in 0..6 {
        let text: String = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from_u32(0x4e00 + (state >> 50) as u32).unwrap_or('x')
        })
        .take(300_000)
        .collect();
        let answer = program.client().post(CHAT, &ask(&text)).await;
        assert!(answer.text().await.ends_with("[DONE]\n\n"));
    }
    assert_eq!(program.client().get("/ready").await.status.as_u16(), 503);
    program.signal("TERM");
    program.ended().await;
}
