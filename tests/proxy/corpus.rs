//! A hit is what a miss was but for what is the call's own and, in the chat API, where chunks are cut (promise 3), for all
//! answers of the corpus: texts, tools, thinking and usage, streamed and whole, through both doors. Needs `REPRISE_CORPUS`, as `tests/corpus.rs`
//! does.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    corpus::streams,
    support::{
        app::{App, CHAT, MODEL, ask, with},
        client::Reply,
        script::Script,
        sse,
        upstream::Upstream,
    },
};

const MESSAGES: &str = "/v1/messages";

/// What upstream said, as a stream; nothing, and a word on it, without a corpus.
#[expect(
    clippy::print_stderr,
    reason = "a test that is skipped must not look like one that passed"
)]
pub(crate) fn answers() -> Vec<String> {
    let Some(folder) = std::env::var_os("REPRISE_CORPUS").filter(|folder| !folder.is_empty())
    else {
        eprintln!("skipped: REPRISE_CORPUS is not set");
        return Vec::new();
    };
    let text = fs::read_to_string(Path::new(&folder).join("anthropic-exchanges.jsonl"));
    let text = text.expect("the exchanges of the corpus");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let answers: Vec<String> = lines
        .filter(|line| line["status"] == 200)
        .map(|line| match line["response_sse"].as_str() {
            Some(sse) => sse.to_owned(),
            None => streams::streamed(&line["response_json"]),
        })
        .collect();
    assert!(answers.len() > 30, "{}", answers.len());
    answers
}

/// Whether an answer may be served again, read off its bytes.
fn is_good(sse: &str) -> bool {
    let says = |text: &str| sse.contains(text) || sse.contains(&text.replace("\":\"", "\": \""));
    let ends = ["end_turn", "stop_sequence", "tool_use"];
    let ends_well = ends.iter().any(|reason| says(&format!("\"stop_reason\":\"{reason}\"")));
    let is_said = says("\"type\":\"text_delta\"") || says("\"type\":\"tool_use\"");
    let on_its_own = !says("\"type\":\"server_tool_use\"") && !sse.contains("_tool_result\"");
    let is_whole = says("\"type\":\"message_stop\"") && !says("\"type\":\"error\"");
    ends_well && is_said && on_its_own && is_whole
}

/// Without what is the call's own: id, time, and what it cost and saved.
pub(crate) fn of_the_answer(text: &str) -> String {
    let mut rest = text.to_owned();
    for name in
        ["\"id\":\"chatcmpl-", "\"created\":", ",\"cost\":", ",\"chat_cost\":", ",\"saved\":"]
    {
        while let Some(at) = rest.find(name) {
            let value = at + name.len();
            let end = rest[value..].find(['"', ',', '}']).expect("the end of a value");
            rest.replace_range(at..value + end, "");
        }
    }
    rest
}

/// The chunks of an answer, wherever they are cut, without what is the call's own.
fn joined(body: &str) -> Vec<Value> {
    let mut chunks = sse::joined(body);
    for usage in chunks.iter_mut().filter_map(|chunk| chunk.get_mut("usage")?.as_object_mut()) {
        usage.retain(|name, _| !["cost", "saved"].contains(&&**name));
    }
    chunks
}

fn is_hit(reply: &Reply) -> bool {
    reply.header("cache-status").is_some_and(|status| status.starts_with("reprise; hit; "))
}

#[tokio::test]
async fn hits_are_what_misses_were() {
    let (mut hits, mut others) = (0, 0);
    for sse in answers() {
        let upstream = Upstream::start().await;
        let app = App::start(&upstream).await;
        upstream.always(Script::sse([sse.clone()]));
        let with_usage = with(ask("hi"), "stream_options", json!({ "include_usage": true }));
        let native = json!({ "model": MODEL, "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] });
        for (path, body) in [(CHAT, with_usage), (MESSAGES, with(native, "stream", json!(true)))] {
            let whole = match path {
                CHAT => with(without(&body, "stream_options"), "stream", json!(false)),
                _ => with(body.clone(), "stream", json!(false)),
            };
            let client = app.client().header("anthropic-version", "2023-06-01");
            let first = client.post(path, &body).await;
            assert!(!is_hit(&first), "{sse}");
            let first = first.text().await;
            let repeat = client.post(path, &body).await;
            assert_eq!(is_hit(&repeat), is_good(&sse), "{sse}");
            let repeat = repeat.text().await;
            if !is_good(&sse) {
                others += 1;
                continue;
            }
            hits += 1;
            match path {
                // A hit is told in few large chunks.
                CHAT => assert_eq!(joined(&repeat), joined(&first)),
                _ => assert_eq!(of_the_answer(&repeat), of_the_answer(&first)),
            }
            let one = client.post(path, &whole).await;
            assert!(is_hit(&one), "streamed and whole share a recording");
            let two = client.post(path, &whole).await;
            assert_eq!(of_the_answer(&one.text().await), of_the_answer(&two.text().await));
            if path == MESSAGES {
                assert_eq!(first, sse, "the native door passes bytes on");
            }
        }
    }
    if hits > 0 {
        assert!(hits > 20 && others > 4, "{hits} and {others}");
    }
}

fn without(body: &Value, field: &str) -> Value {
    let mut body = body.clone();
    body.as_object_mut().expect("an object").remove(field);
    body
}
