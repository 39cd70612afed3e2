//! The native door: a client that speaks Anthropic's dialect gets Anthropic's bytes.

use serde_json::{Value, json};

use crate::support::{
    app::{App, CHAT, MODEL, OPERATORS_KEY, Setup, ask, ask_whole, with},
    client::Reply,
    script::Script,
    sse::{self, Answer, Tokens},
    upstream::{Upstream, model},
};

const MESSAGES: &str = "/v1/messages";
const COUNT: &str = "/v1/messages/count_tokens";

fn question() -> Value {
    with(ask("hi"), "max_tokens", json!(100))
}

fn question_whole() -> Value {
    with(question(), "stream", json!(false))
}

fn answer() -> Vec<String> {
    let tokens = Tokens { cache_read: 1000, thinking: 3, ..Tokens::default() };
    Answer::counting(MODEL, tokens)
        .thinking(&["Hm"], "EqQB")
        .event(sse::ping())
        .text(&["I'll ", "look"])
        .whole(r#"{"type":"of_tomorrow","x":[1.50]}"#)
        .tool("toolu_01", "f", &["{\"a\":", "1}"])
        .event(sse::event("of_tomorrow", r#"{"type":"of_tomorrow"}"#))
        .stop("tool_use")
}

fn is_hit(reply: &Reply) -> bool {
    reply.header("cache-status").is_some_and(|status| status.starts_with("reprise; hit; ttl="))
}

#[tokio::test]
async fn the_bytes_of_both_sides_are_passed_on_as_they_are_and_a_repeat_is_the_same() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::sse(answer()));
    let client = app.client().header("anthropic-version", "2026-10-21");
    let client = client.header("anthropic-beta", "b-2,a-1").header("anthropic-beta", "c-3");
    let client = client.header("content-type", "application/json");
    let body = br#"{ "model":"claude-haiku-4-5","max_tokens":1e2, "stream": true,
        "of_tomorrow": {"b":1,"a":2}, "messages":[{"content":"h\u00e9","role":"user"}]} "#;
    for hit in [false, true, true] {
        let reply = client.send("POST", MESSAGES, body).await;
        assert_eq!((reply.status.as_u16(), is_hit(&reply)), (200, hit));
        assert_eq!(reply.header("content-type"), Some("text/event-stream; charset=utf-8"));
        assert_eq!(reply.text().await, answer().concat());
    }
    let request = upstream.await_request(1).await;
    assert_eq!((request.path.as_str(), &*request.body), (MESSAGES, &body[..]));
    assert_eq!(request.header("anthropic-version"), Some("2026-10-21"));
    assert_eq!(request.header("anthropic-beta"), Some("b-2,a-1,c-3"));
    assert_eq!(request.header("x-api-key"), Some(OPERATORS_KEY));
    assert_eq!(upstream.requests().len(), 1);
    let calls = app.stop().await.calls().await;
    assert_eq!(calls.len(), 3);
    assert_eq!(calls[2].cost, Some(0));
    assert!(calls[0].cost > Some(0), "a native call costs what it costs");
}

#[tokio::test]
async fn the_whole_message_is_what_the_api_would_give() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::sse(answer()));
    let expected = json!({
        "id": "msg_01", "type": "message", "role": "assistant", "model": MODEL,
        "content": [
            { "type": "thinking", "thinking": "Hm", "signature": "EqQB" },
            { "type": "text", "text": "I'll look" },
            { "type": "of_tomorrow", "x": [1.50] },
            { "type": "tool_use", "id": "toolu_01", "name": "f", "input": { "a": 1 } },
        ],
        "stop_reason": "tool_use", "stop_sequence": null,
    });
    for hit in [false, true] {
        let reply = app.client().post(MESSAGES, &question_whole()).await;
        assert_eq!((reply.status.as_u16(), is_hit(&reply)), (200, hit));
        assert_eq!(reply.header("content-type"), Some("application/json"));
        let mut message = reply.json().await;
        let usage = message.as_object_mut().and_then(|message| message.remove("usage"));
        let usage = usage.expect("a usage");
        assert_eq!(
            (&usage["cache_read_input_tokens"], &usage["output_tokens_details"]["thinking_tokens"]),
            (&json!(1000), &json!(3)),
            "{usage}"
        );
        assert_eq!(usage["service_tier"], "standard", "what only the beginning says stays");
        assert_ne!(usage["output_tokens"], 1, "the last count replaces the first");
        assert_eq!(message, expected);
    }
    let asked = upstream.await_request(1).await.json();
    assert_eq!(asked, question(), "upstream is always asked to stream");
}

#[tokio::test]
async fn blocks_of_a_later_version_are_whole_and_what_is_not_counted_is_not_called_exact() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let delta = |more: &str| {
        let delta = format!(r#"{{"type":"compaction_delta","content":"{more}"}}"#);
        let data = format!(r#"{{"type":"content_block_delta","index":0,"delta":{delta}}}"#);
        sse::event("content_block_delta", &data)
    };
    let used = r#"{"type":"message_delta","delta":{},"usage":{"iterations":[{"type":"compaction"},{"type":"message"}]}}"#;
    upstream.push(Script::sse(
        Answer::of(MODEL)
            .event(sse::content_block_start(0, r#"{"type":"compaction","content":null}"#))
            .event(delta("So \\u00e9"))
            .event(delta("t\u{e9}"))
            .event(sse::content_block_stop(0))
            .event(sse::text(1, &["Hello"]).concat())
            .event(sse::event("message_delta", used))
            .stop("end_turn"),
    ));
    let message = app.client().post(MESSAGES, &question_whole()).await.json().await;
    assert_eq!(message["content"][0], json!({"type": "compaction", "content": "So \u{e9}t\u{e9}"}));
    assert_eq!(message["usage"]["iterations"][0]["type"], "compaction");
    assert_eq!(app.ledger().exchange().await.cost_is, "at_least");
}

#[tokio::test]
async fn who_asks_goes_upstream_and_into_the_key() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(Script::sse(answer()));
    let workspace = app.client().header("anthropic-workspace-id", "wrkspc_1");
    let profile = workspace.clone().header("anthropic-user-profile-id", "uprof_1");
    for (client, first) in
        [(app.client(), true), (workspace, true), (profile.clone(), true), (profile, false)]
    {
        let reply = client.post(MESSAGES, &question()).await;
        assert_eq!(is_hit(&reply), !first);
        reply.text().await;
    }
    let asked = upstream.await_request(3).await;
    assert_eq!(asked.header("anthropic-workspace-id"), Some("wrkspc_1"));
    assert_eq!(asked.header("anthropic-user-profile-id"), Some("uprof_1"));
    assert_eq!(upstream.requests()[0].header("anthropic-workspace-id"), None);
}

#[tokio::test]
async fn one_key_for_what_means_the_same_and_another_for_what_does_not() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(Script::sse(answer()));
    let hit = async |headers: &[(&str, &str)], request: Value| {
        let client =
            headers.iter().fold(app.client(), |client, (name, value)| client.header(name, value));
        let reply = client.post(MESSAGES, &request).await;
        let hit = is_hit(&reply);
        reply.text().await;
        hit
    };
    let plain = json!({"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": [
        {"type": "text", "text": "hi"}]}]});
    assert!(!hit(&[], plain.clone()).await);
    let dressed = json!({"messages": [{"content": [
        {"cache_control": {"type": "ephemeral"}, "text": "hi", "type": "text"}], "role": "user"}],
        "stream": true, "cache_control": {"type": "ephemeral"}, "metadata": {}, "max_tokens": 9, "model": MODEL});
    assert!(hit(&[], dressed).await);
    assert!(hit(&[("anthropic-version", "2023-06-01")], plain.clone()).await, "what is not said");
    assert!(!hit(&[("anthropic-version", "2026-10-21")], plain.clone()).await);
    assert!(!hit(&[("anthropic-beta", "a,b")], plain.clone()).await);
    assert!(hit(&[("anthropic-beta", "b, a")], plain.clone()).await);
    assert!(!hit(&[], with(plain.clone(), "max_tokens", json!(8))).await);
    assert!(
        !hit(&[], with(plain.clone(), "metadata", json!({"user_id": "ann"}))).await,
        "her own scope"
    );
    assert!(hit(&[], with(plain.clone(), "metadata", json!({"user_id": "ann"}))).await);
    // Claude Code, in each of its sessions.
    for (session, repeats) in [("1", false), ("2", true)] {
        let id = json!({"device_id": "d", "account_uuid": "", "session_id": session}).to_string();
        let asked = with(plain.clone(), "metadata", json!({"user_id": id}));
        assert_eq!(hit(&[], asked).await, repeats, "session {session}");
    }
    let bash = with(plain.clone(), "tools", json!([{"type": "bash_20250124", "name": "bash"}]));
    assert!(!hit(&[], bash.clone()).await && hit(&[], bash).await, "run by the client");
    let search = json!([{"type": "web_search_20260318", "name": "web_search"}]);
    for _ in 0..2 {
        assert!(!hit(&[], with(plain.clone(), "tools", search.clone())).await, "the web changes");
    }
}

#[tokio::test]
async fn anthropics_errors_come_in_its_own_words() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let written = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded","details":null},"request_id":"req_x", "y": 1}"#;
    for (status, path) in [(529, MESSAGES), (429, MESSAGES), (400, COUNT)] {
        let script =
            Script::respond(status).header("content-type", "application/json").body(written);
        let script = script.header("request-id", "req_x").header("x-should-retry", "false");
        upstream.push(script.header("retry-after", "7").header("retry-after-ms", "6500"));
        let reply = app.client().post(path, &question()).await;
        assert_eq!(reply.status.as_u16(), status);
        assert_eq!(reply.header("request-id"), Some("req_x"));
        assert_eq!(reply.header("retry-after"), Some("7"));
        assert_eq!(reply.header("retry-after-ms"), Some("6500"));
        assert_eq!(reply.header("x-should-retry"), Some("false"));
        assert_eq!(reply.text().await, written);
    }
    let calls = app.ledger().calls().await;
    assert_eq!(calls[0].status, Some(529), "as the client got it");
    let key = json!({"type": "error", "error": {"type": "api_error", "message": OPERATORS_KEY}});
    upstream.push(Script::json(400, &key));
    let told = app.client().post(MESSAGES, &question()).await.text().await;
    assert!(told.contains("[key]") && !told.contains(OPERATORS_KEY), "{told}");
    let page = Script::respond(502).header("content-type", "text/html").body("<html>");
    upstream.push(page.header("x-should-retry", "false"));
    let reply = app.client().post(MESSAGES, &question()).await;
    assert_eq!(reply.status.as_u16(), 502);
    assert_eq!(reply.json().await["error"]["type"], "api_error");
}

#[tokio::test]
async fn our_errors_have_the_shape_of_the_dialect_that_is_spoken() {
    let upstream = Upstream::start().await;
    let app = Setup::of(&upstream).set("REPRISE_API_KEY", "k").start().await;
    let (client, stranger) = (app.client().header("x-api-key", "k"), app.client());
    let native = client.clone().header("anthropic-version", "2023-06-01");
    let (no_model, invalid) = (json!({"messages": []}), "invalid_request_error");
    let post = async |body: &Value| client.post(MESSAGES, body).await;
    for (reply, status, kind) in [
        (stranger.post(MESSAGES, &question()).await, 401, "authentication_error"),
        (stranger.post(COUNT, &question()).await, 401, "authentication_error"),
        (post(&no_model).await, 400, invalid),
        (post(&json!([])).await, 400, invalid),
        (client.get(MESSAGES).await, 405, invalid),
        (client.get("/v1/messages/batches").await, 404, "not_found_error"),
        (native.get("/v1/nothing").await, 404, "not_found_error"),
        (native.get("/v1/models/gpt-4o").await, 404, "not_found_error"),
    ] {
        assert_eq!(reply.status.as_u16(), status);
        let body = reply.json().await;
        assert_eq!(
            (&body["type"], &body["error"]["type"]),
            (&json!("error"), &json!(kind)),
            "{body}"
        );
        assert!(body["error"]["message"].is_string());
    }
    let named = post(&no_model).await.json().await;
    assert_eq!(named["error"]["message"], "model: Field required");
    let openai = client.get("/v1/nothing").await.json().await;
    assert_eq!(openai["error"]["code"], "unknown_url");
    let openai = native.post(CHAT, &json!({})).await.json().await;
    assert_eq!(openai["error"]["param"], "model");
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn a_break_in_mid_stream_is_told_once() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let block = sse::content_block_start(0, r#"{"type":"text","text":""}"#);
    let beginning = || Answer::of(MODEL).event(block.clone()).event(sse::text_delta(0, "Hel"));
    let said = beginning().event(sse::error("overloaded_error", "Overloaded")).unfinished();
    upstream.push(Script::sse(said.clone()));
    let reply = app.client().post(MESSAGES, &question()).await;
    assert_eq!((reply.status.as_u16(), reply.text().await), (200, said.concat()));

    upstream.push(Script::sse(said));
    let reply = app.client().post(MESSAGES, &question_whole()).await;
    assert_eq!(reply.status.as_u16(), 529);
    let body = reply.json().await;
    assert_eq!(body["error"], json!({"type": "overloaded_error", "message": "Overloaded"}));

    upstream.push(Script::sse(beginning().unfinished()).cut());
    let told = app.client().post(MESSAGES, &question()).await.text().await;
    let error = told.strip_prefix(&*beginning().unfinished().concat()).expect("what came, first");
    let data = error.strip_prefix("event: error\ndata: ").expect("an error");
    let data: Value = serde_json::from_str(data.trim_end()).expect("JSON");
    assert_eq!((&data["type"], &data["error"]["type"]), (&json!("error"), &json!("api_error")));
}

#[tokio::test]
async fn a_failure_in_mid_stream_has_the_kind_that_its_status_would_have() {
    let upstream = Upstream::start().await;
    let app = Setup::of(&upstream).set("REPRISE_UPSTREAM_IDLE_TIMEOUT", "500ms").start().await;
    let block = sse::content_block_start(0, r#"{"type":"text","text":"Hel"}"#);
    let beginning = Answer::of(MODEL).event(block).unfinished();
    upstream.push(Script::sse(beginning.clone()).stall());
    let told = app.client().post(MESSAGES, &question()).await.text().await;
    let error = told.strip_prefix(&*beginning.concat()).expect("what came, first");
    let data = error.strip_prefix("event: error\ndata: ").expect("an error");
    let data: Value = serde_json::from_str(data.trim_end()).expect("JSON");
    assert_eq!(data["error"]["type"], "timeout_error");
}

#[tokio::test]
async fn tokens_are_counted_upstream_and_not_recorded() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let counted = r#"{ "input_tokens": 14 }"#;
    upstream.push(Script::respond(200).header("content-type", "application/json").body(counted));
    let reply =
        app.client().header("anthropic-version", "2026-10-21").post(COUNT, &question()).await;
    assert_eq!((reply.status.as_u16(), reply.header("request-id")), (200, Some("req_000")));
    assert_eq!(reply.text().await, counted);
    let asked = upstream.await_request(1).await;
    assert_eq!((asked.path.as_str(), asked.json()), (COUNT, question()));
    assert_eq!(asked.header("anthropic-version"), Some("2026-10-21"));
    assert_eq!(app.stop().await.count("call").await, 0);
}

#[tokio::test]
async fn models_are_listed_in_the_dialect_that_is_spoken() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let said = vec![model("claude-b", "B"), model("claude-haiku-4-5-20251001", "Haiku")];
    upstream.models(said.clone(), 100);
    let native = app.client().header("anthropic-version", "2023-06-01");
    let page = native.get("/v1/models").await.json().await;
    assert_eq!(
        page,
        json!({
            "data": said, "has_more": false, "first_id": "claude-b", "last_id": "claude-haiku-4-5-20251001",
        })
    );
    let first = native.get("/v1/models?limit=1").await.json().await;
    assert_eq!((&first["data"], &first["has_more"]), (&json!([said[0]]), &json!(true)));
    let next = native.get("/v1/models?limit=1&after_id=claude-b").await.json().await;
    assert_eq!((&next["data"], &next["has_more"]), (&json!([said[1]]), &json!(false)));
    assert_eq!(native.get("/v1/models/claude-b").await.json().await, said[0]);
    let resolved = native.get("/v1/models/claude-haiku-4-5").await.json().await;
    assert_eq!(resolved, said[1], "under its own id");
    assert_eq!(app.client().get("/v1/models/claude-b").await.json().await["object"], "model");

    let alone = Setup::at(&Upstream::nowhere().await).start().await;
    let native = alone.client().header("anthropic-version", "2023-06-01");
    let page = native.get("/v1/models").await.json().await;
    let model = &page["data"][0];
    assert_eq!(model["type"], "model");
    assert!(model["created_at"].as_str().is_some_and(|at| at.ends_with("T00:00:00Z")), "{model}");
    assert!(model["max_input_tokens"].as_u64() >= Some(200_000), "{model}");
}

#[tokio::test]
async fn a_ledger_without_an_answer_says_so_in_both_dialects() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let client = app.client().header("cache-control", "only-if-cached");
    let native = client.post(MESSAGES, &question()).await;
    assert_eq!(native.status.as_u16(), 504);
    assert_eq!(native.header("x-should-retry"), Some("false"), "no SDK asks again");
    assert_eq!(native.json().await["error"]["type"], "timeout_error");
    let openai = client.post(CHAT, &ask_whole("hi")).await;
    assert_eq!(openai.header("x-should-retry"), Some("false"));
    assert_eq!(openai.json().await["error"]["code"], "not_cached");
}
