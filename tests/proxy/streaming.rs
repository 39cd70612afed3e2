//! A stream goes through as it comes: at once, in order, whole, and with an end that says it is the end.

use serde_json::{Value, json};

use crate::support::{
    app::{App, CHAT, MODEL, ask, ask_whole, with},
    client::{Client, Read},
    script::{Gate, Script},
    sse::{self, Answer, Tokens},
    upstream::{Outcome, Upstream},
};

fn hello() -> Vec<String> {
    Answer::of(MODEL).text(&["Hel", "lo"]).stop("end_turn")
}

/// Asks for usage, too.
fn with_usage(request: Value) -> Value {
    with(request, "stream_options", json!({ "include_usage": true }))
}

#[tokio::test]
async fn the_first_chunk_comes_before_the_second_event_is_written() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let gate = Gate::new();
    let events = hello();
    upstream.push(Script::sse(events[..3].to_vec()).wait(&gate).pieces(events[3..].to_vec()));

    let mut reply = app.client().post(CHAT, &ask("hi")).await;
    assert_eq!(reply.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(reply.header("x-accel-buffering"), Some("no"));
    let first = reply.read_until("\"Hel\"").await;
    gate.reached(1).await;
    assert_eq!(upstream.outcome(0), Outcome::Running);
    assert!(!first.contains("[DONE]") && !reply.is_complete());
    gate.open();
    let rest = reply.text().await;
    assert_eq!(sse::openai_text(&sse::openai_sse(&(first + &rest))), "Hello");
}

#[tokio::test]
async fn what_one_write_of_upstream_brings_goes_out_in_one_piece() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let gate = Gate::new();
    let words: Vec<String> = (0..50).map(|n| format!("word {n} ")).collect();
    let deltas: String = words.iter().map(|word| sse::text_delta(0, word)).collect();
    let events = Answer::of(MODEL).text(&[]).stop("end_turn");
    let beginning = format!("{}{deltas}", events[..2].concat());
    let script = Script::sse([beginning]).wait(&gate);
    upstream.push(script.pieces([events[2..].concat()]));

    let mut reply = app.client().post(CHAT, &ask("hi")).await;
    let piece = reply.piece().await;
    assert!(piece.contains("assistant"));
    assert_eq!(sse::openai_text(&sse::openai_sse(&piece)), words.concat());
    gate.release();
    let end = reply.piece().await;
    assert!(end.contains("\"finish_reason\":\"stop\"") && end.ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn the_end_of_the_body_comes_with_done() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(Script::sse(hello()));
    for _ in 0..5 {
        let fresh = app.client().header("cache-control", "no-cache");
        let mut reply = fresh.post(CHAT, &ask("hi")).await;
        let text = reply.read_until("[DONE]").await;
        assert!(text.ends_with("data: [DONE]\n\n"));
        assert!(reply.is_complete(), "the last chunk and the end are one write");
        assert_eq!(reply.read().await, Read::End);
    }
}

#[tokio::test]
async fn the_end_does_not_wait_for_upstream_to_close_its_body() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::sse(hello()).stall());
    let chunks = app.client().post(CHAT, &ask("hi")).await.chunks().await;
    assert_eq!(chunks.last(), Some(&json!("[DONE]")));
    assert_eq!(app.ledger().exchange().await.outcome, "complete");
    upstream.await_outcome(0, Outcome::Disconnected).await;
}

#[tokio::test]
async fn all_chunks_have_one_id_one_time_and_the_model_that_answered() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::sse(
        Answer::of("claude-haiku-4-5-20251001").text(&["a", "b"]).stop("end_turn"),
    ));
    let chunks = app.client().post(CHAT, &with_usage(ask("hi"))).await.chunks().await;
    let (done, chunks) = chunks.split_last().expect("chunks");
    assert_eq!(done, "[DONE]");
    for chunk in chunks {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["model"], "claude-haiku-4-5-20251001");
        assert_eq!((&chunk["id"], &chunk["created"]), (&chunks[0]["id"], &chunks[0]["created"]));
    }
    assert!(chunks[0]["id"].as_str().is_some_and(|id| id.starts_with("chatcmpl-")));
    assert!(chunks[0]["created"].as_i64().is_some_and(|at| at > 1_700_000_000));
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
}

#[tokio::test]
async fn usage_comes_once_and_only_to_those_who_want_it() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let tokens = Tokens { cache_write_5m: 100, cache_read: 1000, thinking: 3, ..Tokens::default() };
    upstream.always(Script::sse(Answer::counting(MODEL, tokens).text(&["a"]).stop("end_turn")));
    let usages = async |client: Client, request: Value| -> Vec<Value> {
        let client = client.header("cache-control", "no-cache");
        let chunks = client.post(CHAT, &request).await.chunks().await;
        chunks.iter().filter(|it| it["usage"].is_object()).cloned().collect()
    };
    let aiohttp = app.client().header("user-agent", "Python/3.12 aiohttp/3.14.1");
    let box_of_headers = app.client().header("x-owui-task", "");
    let asking =
        [(app.client(), with_usage(ask("hi"))), (aiohttp, ask("hi")), (box_of_headers, ask("hi"))];
    for (client, request) in asking {
        let usages = usages(client, request).await;
        assert_eq!(usages.len(), 1);
        assert_eq!(usages[0]["choices"], json!([]));
        let usage = &usages[0]["usage"];
        assert_eq!(usage["prompt_tokens"], 1112);
        assert_eq!(
            (&usage["completion_tokens"], &usage["total_tokens"]),
            (&json!(7), &json!(1119))
        );
        assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 1000);
        assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 3);
        // 12 at $1, 100 at $1.25, 1000 at $0.10, 7 at $5, each by the million.
        assert_eq!(usage["cost"], json!(0.000_272));
    }
    assert_eq!(usages(app.client(), ask("hi")).await, Vec::<Value>::new());
}

#[tokio::test]
async fn it_does_not_matter_where_upstream_is_cut() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let client = app.client().header("cache-control", "no-cache");
    let events = Answer::of(MODEL)
        .thinking(&["h\u{e9}"], "EqQB")
        .text(&["\u{1f600} \"a\"\n", "b"])
        .tool("toolu_01", "f", &[r#"{"a":"#, "1}"])
        .stop("tool_use");
    let get = async || {
        let reply = client.post(CHAT, &with_usage(ask("hi"))).await;
        without_ids(&reply.text().await)
    };
    upstream.push(Script::sse([events.concat()]));
    let whole = get().await;
    for length in [1, 2, 3, 5, 7, 16, 64, 255, 1000] {
        upstream.push(Script::sse(sse::cut_every(&events, length)));
        assert_eq!(get().await, whole, "cut every {length} bytes");
    }
    for offset in (1..events.concat().len()).step_by(7) {
        upstream.push(Script::sse(sse::cut_at(&events, &[offset])));
        assert_eq!(get().await, whole, "cut at {offset}");
    }
    upstream.push(Script::sse([events.concat().replace('\n', "\r\n")]));
    assert_eq!(get().await, whole, "with CRLF");
    upstream.push(Script::sse(events).until_close());
    assert_eq!(get().await, whole, "without framing");
}

#[tokio::test]
async fn streamed_and_whole_say_the_same() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let tokens = Tokens { cache_read: 50, thinking: 2, ..Tokens::default() };
    let answers = [
        hello(),
        Answer::of(MODEL).text(&["a END"]).stop_sequence("END"),
        Answer::of(MODEL).text(&["too lon"]).stop("max_tokens"),
        Answer::counting(MODEL, tokens)
            .thinking(&["Let ", "me"], "EqQB")
            .text(&["I'll check. "])
            .whole(r#"{"type":"redacted_thinking","data":"Em"}"#)
            .text(&["Now."])
            .tool("toolu_01", "get_weather", &[r#"{"location": "#, r#""Paris"}"#])
            .tool("toolu_02", "get_time", &[])
            .stop("tool_use"),
        Answer::of(MODEL).tool("toolu_01", "f", &["{}"]).stop("tool_use"),
        Answer::of(MODEL).stop("end_turn"),
    ];
    for events in answers {
        upstream.push(Script::sse(events.clone()));
        upstream.push(Script::sse(events));
        let client = app.client().header("cache-control", "no-cache");
        let chunks = client.post(CHAT, &with_usage(ask("hi"))).await.chunks().await;
        let whole = client.post(CHAT, &ask_whole("hi")).await;
        assert_eq!(whole.header("content-type"), Some("application/json"));
        let whole = whole.json().await;
        assert_eq!(whole["object"], "chat.completion");
        let (message, finish_reason, usage) = assembled(&chunks);
        assert_eq!(whole["choices"][0]["message"], message);
        assert_eq!(whole["choices"][0]["finish_reason"], finish_reason);
        assert_eq!(whole["usage"], usage);
    }
}

/// What an SDK makes of the chunks: message, `finish_reason`, usage.
pub(crate) fn assembled(chunks: &[Value]) -> (Value, Value, Value) {
    let mut message = json!({ "role": "assistant", "content": null, "refusal": null });
    let (mut finish_reason, mut usage) = (Value::Null, Value::Null);
    let add = |to: &mut Value, more: &Value| {
        let text = format!("{}{}", to.as_str().unwrap_or(""), more.as_str().expect("a string"));
        *to = text.into();
    };
    for chunk in chunks.iter().filter(|chunk| chunk.is_object()) {
        if chunk["usage"].is_object() {
            usage = chunk["usage"].clone();
        }
        let choice = &chunk["choices"][0];
        if choice["finish_reason"].is_string() {
            assert!(finish_reason.is_null(), "finished twice");
            finish_reason = choice["finish_reason"].clone();
        }
        for field in ["content", "reasoning_content", "refusal"] {
            if choice["delta"][field].is_string() {
                add(&mut message[field], &choice["delta"][field]);
            }
        }
        for part in choice["delta"]["reasoning_details"].as_array().into_iter().flatten() {
            if message["reasoning_details"].is_null() {
                message["reasoning_details"] = json!([]);
            }
            let details = message["reasoning_details"].as_array_mut().expect("an array");
            match details.iter_mut().find(|detail| detail["index"] == part["index"]) {
                None => details.push(part.clone()),
                Some(detail) => {
                    for field in ["text", "signature", "data"] {
                        if part[field].is_string() {
                            add(&mut detail[field], &part[field]);
                        }
                    }
                }
            }
        }
        for part in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let at = part["index"].as_u64().and_then(|at| usize::try_from(at).ok());
            let at = at.expect("an index");
            if message["tool_calls"].is_null() {
                message["tool_calls"] = json!([]);
            }
            let calls = message["tool_calls"].as_array_mut().expect("an array");
            if part["id"].is_string() {
                assert_eq!(calls.len(), at, "numbers are dense, and each call begins once");
                let function = json!({ "name": part["function"]["name"], "arguments": "" });
                calls.push(json!({ "id": part["id"], "type": part["type"], "function": function }));
            }
            add(&mut calls[at]["function"]["arguments"], &part["function"]["arguments"]);
        }
    }
    if message["tool_calls"].is_array() && message["content"] == "" {
        message["content"] = Value::Null;
    }
    (message, finish_reason, usage)
}

/// A stream's text without what differs from call to call.
pub(crate) fn without_ids(body: &str) -> String {
    let strip = |line: &str| match line.strip_prefix("data: {\"id\":\"chatcmpl-") {
        Some(rest) => {
            let model = rest.find(",\"model\":").expect("a model after id and time");
            rest[model..].to_owned()
        }
        None => line.to_owned(),
    };
    body.split('\n').map(strip).collect::<Vec<_>>().join("\n")
}
