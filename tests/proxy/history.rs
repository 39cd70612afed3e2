//! Earlier answers go upstream as Claude gave them, whatever the client can say of them (design §8).

use serde_json::{Value, json};

use crate::support::{
    app::{App, CHAT, MODEL, Setup, with},
    client::Client,
    script::Script,
    sse::Answer,
    upstream::Upstream,
};

const ADAPTIVE: &str = "claude-opus-5-5";

/// Thinking, text and calls that alternate: OpenAI's messages cannot say so.
fn interleaved(model: &str) -> Vec<String> {
    Answer::of(model)
        .thinking(&["First ", "thought."], "c2lnMQ==")
        .text(&["I look. "])
        .whole(r#"{"type":"redacted_thinking","data":"c2VjcmV0"}"#)
        .thinking(&["Second thought."], "c2lnMg==")
        .tool("toolu_01", "weather", &[r#"{"city": "#, r#""Paris"}"#])
        .stop("tool_use")
}

fn question(model: &str) -> Value {
    json!({
        "model": model,
        "messages": [{"role": "user", "content": "Weather?"}],
        "tools": [{"type": "function", "function": {"name": "weather"}}],
        "reasoning_effort": "high",
        "max_tokens": 8000,
    })
}

/// Asks, calls the tool, and gives what went upstream with the result. `edit` is what the client makes of the answer.
async fn second_round(
    upstream: &Upstream,
    model: &str,
    (first, second): (Client, Client),
    edit: impl FnOnce(&mut Value),
) -> Value {
    upstream.push(Script::sse(interleaved(model)));
    let answer = first.post(CHAT, &question(model)).await.json().await;
    let mut said = answer["choices"][0]["message"].clone();
    edit(&mut said);
    let messages = json!([
        {"role": "user", "content": "Weather?"},
        said,
        {"role": "tool", "tool_call_id": "toolu_01", "content": "sunny"},
    ]);
    upstream.push(Script::sse(Answer::of(model).text(&["Sunny."]).stop("end_turn")));
    let round = with(question(model), "messages", messages);
    second.post(CHAT, &round).await.text().await;
    last(upstream)
}

/// What a client keeps that knows nothing of thinking.
fn plain(said: &mut Value) {
    *said = json!({
        "role": said["role"],
        "content": said["content"],
        "tool_calls": said["tool_calls"],
    });
}

/// What went upstream last.
fn last(upstream: &Upstream) -> Value {
    upstream.requests().pop().expect("a request").json()
}

fn kinds(body: &Value) -> Vec<&str> {
    let blocks = body["messages"][1]["content"].as_array().expect("blocks");
    blocks.iter().filter_map(|block| block["type"].as_str()).collect()
}

#[tokio::test]
async fn a_turn_that_is_repeated_unchanged_is_sent_as_it_was() {
    for model in [ADAPTIVE, MODEL] {
        let upstream = Upstream::start().await;
        let app = App::start(&upstream).await;
        let clients = (app.client(), app.client());
        let sent = second_round(&upstream, model, clients, plain).await;
        let expected = json!([
            {"type": "thinking", "thinking": "First thought.", "signature": "c2lnMQ=="},
            {"type": "text", "text": "I look. "},
            {"type": "redacted_thinking", "data": "c2VjcmV0"},
            {"type": "thinking", "thinking": "Second thought.", "signature": "c2lnMg=="},
            {"type": "tool_use", "id": "toolu_01", "name": "weather", "input": {"city": "Paris"}},
        ]);
        assert_eq!(sent["messages"][1]["content"], expected, "{model}");
        let binding = &sent["thinking"]["block_binding"]["prefix_mismatch_behavior"];
        assert_eq!(binding, "drop_block", "{model}");
        let betas = upstream.requests().pop().expect("a request");
        assert_eq!(betas.header("anthropic-beta"), Some("thinking-binding-controls-2026-08-01"));
    }
}

#[tokio::test]
async fn a_turn_is_restored_while_the_ledger_is_late() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let lock = app.ledger().lock().await;
    let sent = second_round(&upstream, ADAPTIVE, (app.client(), app.client()), plain).await;
    assert_eq!(app.ledger().committed("answer_ref").await, 0);
    assert_eq!(kinds(&sent), ["thinking", "text", "redacted_thinking", "thinking", "tool_use"]);
    lock.release().await;
}

#[tokio::test]
async fn what_open_webui_makes_of_the_text_is_no_change() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let trim = |said: &mut Value| {
        plain(said);
        said["content"] = json!("I look.");
    };
    let sent = second_round(&upstream, ADAPTIVE, (app.client(), app.client()), trim).await;
    assert_eq!(kinds(&sent), ["thinking", "text", "redacted_thinking", "thinking", "tool_use"]);
}

#[tokio::test]
async fn an_edited_turn_is_sent_as_it_was_edited() {
    let edits: [fn(&mut Value); 4] = [
        |said| said["content"] = json!("I look elsewhere."),
        |said| said["tool_calls"][0]["function"]["name"] = json!("climate"),
        |said| said["tool_calls"][0]["function"]["arguments"] = json!("{\"city\": \"Rome\"}"),
        |said| {
            let call = said["tool_calls"][0].clone();
            said["tool_calls"] = json!([call, with(call.clone(), "id", json!("toolu_02"))]);
        },
    ];
    for (number, edit) in edits.into_iter().enumerate() {
        let upstream = Upstream::start().await;
        let app = App::start(&upstream).await;
        let clients = (app.client(), app.client());
        let sent = second_round(&upstream, ADAPTIVE, clients, |said| {
            plain(said);
            edit(said);
        })
        .await;
        assert!(!kinds(&sent).contains(&"thinking"), "{number}: {sent}");
        assert_eq!(sent["messages"][1]["content"][0]["type"], "text");
    }
}

#[tokio::test]
async fn an_edited_turn_keeps_the_thinking_that_the_client_kept() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let clients = (app.client(), app.client());
    let sent = second_round(&upstream, ADAPTIVE, clients, |said| {
        said["content"] = json!("Edited.");
    })
    .await;
    assert_eq!(kinds(&sent), ["thinking", "redacted_thinking", "thinking", "text", "tool_use"]);
    assert_eq!(sent["messages"][1]["content"][0]["signature"], "c2lnMQ==");
    assert_eq!(sent["messages"][1]["content"][1]["data"], "c2VjcmV0");
}

#[tokio::test]
async fn nobody_gets_another_users_thinking() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let user = |id: &str| app.client().header("x-owui-user", id);
    let clients = (user("ann"), user("bob"));
    let sent = second_round(&upstream, ADAPTIVE, clients, plain).await;
    assert_eq!(kinds(&sent), ["text", "tool_use"]);
}

#[tokio::test]
async fn the_manual_mode_does_not_think_where_nothing_can_be_restored() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let user = |id: &str| app.client().header("x-owui-user", id);
    let sent = second_round(&upstream, MODEL, (user("ann"), user("bob")), plain).await;
    assert_eq!(sent.get("thinking"), None);
    assert_eq!(kinds(&sent), ["text", "tool_use"]);
}

#[tokio::test]
async fn answers_are_restored_after_a_restart() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let app = setup.start().await;
    upstream.push(Script::sse(interleaved(ADAPTIVE)));
    let answer = app.client().post(CHAT, &question(ADAPTIVE)).await.json().await;
    app.stop().await;

    let app = setup.start().await;
    let mut said = answer["choices"][0]["message"].clone();
    plain(&mut said);
    let messages = json!([
        {"role": "user", "content": "Weather?"},
        said,
        {"role": "tool", "tool_call_id": "toolu_01", "content": "sunny"},
    ]);
    upstream.push(Script::sse(Answer::of(ADAPTIVE).text(&["Sunny."]).stop("end_turn")));
    let round = with(question(ADAPTIVE), "messages", messages);
    app.client().post(CHAT, &round).await.text().await;
    let sent = last(&upstream);
    assert_eq!(kinds(&sent).first(), Some(&"thinking"));
}

#[tokio::test]
async fn what_is_not_kept_is_not_restored() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let unkept = || app.client().header("cache-control", "no-store");
    let sent = second_round(&upstream, ADAPTIVE, (unkept(), unkept()), plain).await;
    assert_eq!(kinds(&sent), ["text", "tool_use"]);
    assert_eq!(app.ledger().count("answer_ref").await, 0);
}
