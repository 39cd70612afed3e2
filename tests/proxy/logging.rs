//! One log line a call, at its end, whatever answered it.

use std::{collections::BTreeMap, fs};

use serde_json::Value;

use crate::support::{
    app::{CHAT, MODEL, Setup, ask, ask_whole},
    binary::Binary,
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

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
