//! What Claude says besides text reaches the client as OpenAI says it.

use serde_json::{Value, json};

use crate::{
    proxy::streaming::assembled,
    support::{
        app::{App, CHAT, MODEL, ask, ask_whole, with},
        script::Script,
        sse::{self, Answer, Tokens},
        upstream::Upstream,
    },
};

/// What a streaming client makes of these events; one that does not stream must get the same message and reason.
async fn read(events: Vec<String>) -> (Value, Value, Vec<Value>) {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(Script::sse(events));
    let client = app.client().header("cache-control", "no-cache");
    let chunks = client.post(CHAT, &ask("hi")).await.chunks().await;
    let (message, finish_reason, _) = assembled(&chunks);
    let whole = client.post(CHAT, &ask_whole("hi")).await.json().await;
    assert_eq!(whole["choices"][0]["message"], message);
    assert_eq!(whole["choices"][0]["finish_reason"], finish_reason);
    (message, finish_reason, chunks)
}

fn call(id: &str, name: &str, arguments: &str) -> Value {
    let function = json!({ "name": name, "arguments": arguments });
    json!({ "id": id, "type": "function", "function": function })
}

#[tokio::test]
async fn parallel_tool_calls_are_numbered_densely_among_other_blocks() {
    let events = Answer::of(MODEL)
        .thinking(&["Hm."], "EqQB")
        .text(&["Both."])
        .tool("toolu_01", "weather", &[r#"{"city": "#, r#""Paris"}"#])
        .whole(r#"{"type":"redacted_thinking","data":"Em"}"#)
        .tool("toolu_02", "time", &[r#"{"zone":"CET"}"#])
        .stop("tool_use");
    let (message, finish_reason, _) = read(events).await;
    assert_eq!(finish_reason, "tool_calls");
    assert_eq!(
        (&message["content"], &message["reasoning_content"]),
        (&json!("Both."), &json!("Hm."))
    );
    let calls = [
        call("toolu_01", "weather", r#"{"city": "Paris"}"#),
        call("toolu_02", "time", r#"{"zone":"CET"}"#),
    ];
    assert_eq!(message["tool_calls"], json!(calls));
}

#[tokio::test]
async fn tool_calls_that_come_interleaved_keep_their_own_arguments() {
    let (first, second) = (
        sse::tool(0, "toolu_01", "a", &["{\"n\":", "1}"]),
        sse::tool(1, "toolu_02", "b", &["{\"n\":", "2}"]),
    );
    let mut events = vec![sse::message_start("msg_01", MODEL, Tokens::default())];
    events.extend(first.into_iter().zip(second).flat_map(|(first, second)| [first, second]));
    events.push(sse::message_delta("tool_use", None, Tokens::default()));
    events.push(sse::message_stop());
    let (message, ..) = read(events).await;
    let calls = [call("toolu_01", "a", "{\"n\":1}"), call("toolu_02", "b", "{\"n\":2}")];
    assert_eq!(message["tool_calls"], json!(calls));
}

#[tokio::test]
async fn a_tool_call_without_arguments_has_an_empty_object_once() {
    let bare = Answer::of(MODEL).tool("toolu_01", "now", &[]).tool("toolu_02", "here", &[]);
    let (message, _, chunks) = read(bare.stop("tool_use")).await;
    let calls = [call("toolu_01", "now", "{}"), call("toolu_02", "here", "{}")];
    assert_eq!(message["tool_calls"], json!(calls));
    let arguments = chunks.iter().filter_map(|chunk| {
        chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str()
    });
    assert_eq!(arguments.filter(|text| !text.is_empty()).collect::<Vec<_>>(), ["{}", "{}"]);
}

#[tokio::test]
async fn a_tool_call_may_come_whole_in_its_first_event() {
    let block = r#"{"type":"tool_use","id":"toolu_01","name":"f","input":{"a":1}}"#;
    let (message, finish_reason, _) = read(Answer::of(MODEL).whole(block).stop("tool_use")).await;
    assert_eq!(message["tool_calls"], json!([call("toolu_01", "f", "{\"a\":1}")]));
    assert_eq!(finish_reason, "tool_calls");
}

#[tokio::test]
async fn an_answer_may_come_whole_in_its_first_event() {
    let start = json!({ "type": "message_start", "message": {
        "id": "msg_01", "type": "message", "role": "assistant", "model": MODEL,
        "content": [
            { "type": "text", "text": "Calling." },
            { "type": "tool_use", "id": "toolu_01", "name": "f", "input": { "a": 1 } },
            { "type": "tool_use", "id": "toolu_02", "name": "g", "input": {} },
        ],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": { "input_tokens": 5, "output_tokens": 9 },
    }});
    let events = vec![sse::event("message_start", &start.to_string()), sse::message_stop()];
    let (message, finish_reason, _) = read(events).await;
    assert_eq!(message["content"], "Calling.");
    let calls = [call("toolu_01", "f", "{\"a\":1}"), call("toolu_02", "g", "{}")];
    assert_eq!(message["tool_calls"], json!(calls));
    assert_eq!(finish_reason, "tool_calls");
}

#[tokio::test]
async fn a_refusal_is_told_as_one() {
    let delta = json!({
        "type": "message_delta",
        "delta": {
            "stop_reason": "refusal", "stop_sequence": null,
            "stop_details": { "type": "refusal", "category": "bio", "explanation": "Not this." },
        },
        "usage": { "output_tokens": 3 },
    });
    let events = Answer::of(MODEL)
        .text(&["I can"])
        .event(sse::event("message_delta", &delta.to_string()))
        .event(sse::message_stop());
    let (message, finish_reason, _) = read(events.unfinished()).await;
    assert_eq!(finish_reason, "content_filter");
    assert_eq!((&message["content"], &message["refusal"]), (&json!("I can"), &json!("Not this.")));
}

#[tokio::test]
async fn reasons_to_stop_are_openais() {
    let reasons = [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "length"),
        ("a_reason_of_tomorrow", "stop"),
    ];
    for (theirs, ours) in reasons {
        let (_, finish_reason, _) = read(Answer::of(MODEL).text(&["a"]).stop(theirs)).await;
        assert_eq!(finish_reason, ours, "{theirs}");
    }
}

#[tokio::test]
async fn what_is_not_known_is_passed_over() {
    let events = Answer::of(MODEL)
        .event(sse::ping())
        .event(": a comment\n\n")
        .event(sse::event("message_hint", r#"{"type":"message_hint","hint":[1]}"#))
        .whole(r#"{"type":"hologram","light":{"text":"no"}}"#)
        .text(&["a"])
        .event(sse::event(
            "content_block_delta",
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{"cited_text":"c"}}}"#,
        ))
        .event(sse::ping())
        .whole(r#"{"type":"server_tool_use","id":"srvtoolu_01","name":"web_search","input":{}}"#)
        .event(sse::event(
            "content_block_delta",
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"query\":1}"}}"#,
        ))
        .text(&["b"]);
    let (message, finish_reason, _) = read(events.stop("end_turn")).await;
    assert_eq!(message, json!({ "role": "assistant", "content": "ab", "refusal": null }));
    assert_eq!(finish_reason, "stop");
}

#[tokio::test]
async fn events_without_a_name_are_known_by_their_type() {
    let events = Answer::of(MODEL).text(&["a", "b"]).stop("end_turn");
    let nameless = events.iter().map(|event| {
        let data = event.find("data:").expect("data");
        event[data..].to_owned()
    });
    let (message, ..) = read(nameless.collect()).await;
    assert_eq!(message["content"], "ab");
}

#[tokio::test]
async fn a_ping_keeps_the_client_awake() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::sse(Answer::of(MODEL).event(sse::ping()).text(&["a"]).stop("end_turn")));
    let text = app.client().post(CHAT, &ask("hi")).await.text().await;
    assert!(text.contains("\n\n: ping\n\n"), "{text}");
}

#[tokio::test]
async fn a_blank_stop_sequence_ends_only_the_view_of_the_client_that_wants_it() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let pieces = ["One.", "\n", "\nTwo."];
    upstream.push(Script::sse(
        Answer::of(MODEL).text(&pieces).tool("toolu_1", "f", &[]).stop("tool_use"),
    ));
    let ask = with(ask("hi"), "stream_options", json!({"include_usage": true}));
    let stopped = with(ask, "stop", json!(["\n\n", ""]));
    let chunks = app.client().post(CHAT, &stopped).await.chunks().await;
    let (message, finish_reason, usage) = assembled(&chunks);
    assert_eq!((&message["content"], &message["tool_calls"]), (&json!("One."), &Value::Null));
    assert_eq!(finish_reason, "stop");
    assert_eq!(usage["completion_tokens"], 7, "all that was generated is counted");
    assert!(upstream.requests()[0].json().get("stop_sequences").is_none());

    let cut = with(ask_whole("hi"), "stop", json!("\n\n"));
    let cut = app.client().post(CHAT, &cut).await.json().await;
    assert_eq!(cut["choices"][0]["message"], message);
    assert_eq!(cut["choices"][0]["finish_reason"], "stop");
    let whole = app.client().post(CHAT, &ask_whole("hi")).await.json().await;
    assert_eq!(whole["choices"][0]["message"]["content"], "One.\n\nTwo.");
    assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(upstream.requests().len(), 1, "all have one answer");
}
