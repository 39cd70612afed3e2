//! An answer that pauses, because Anthropic's own tools took long, is asked to go on. The client sees one answer.

use serde_json::{Value, json};

use crate::{
    proxy::streaming::assembled,
    support::{
        app::{App, CHAT, MODEL, ask, ask_whole, with},
        script::Script,
        sse::{Answer, Tokens},
        upstream::Upstream,
    },
};

fn tokens(input: u64, output: u64) -> Tokens {
    Tokens { input, output, ..Tokens::default() }
}

pub(crate) fn pausing() -> Script {
    let searching =
        r#"{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}"#;
    let answer = Answer::counting(MODEL, tokens(10, 5)).text(&["I search. "]).whole(searching);
    Script::sse(answer.stop("pause_turn"))
}

/// Anthropic may say what it refuses to be told: text with nothing in it.
fn pausing_blankly() -> Script {
    let searching =
        r#"{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}"#;
    Script::sse(Answer::of(MODEL).text(&["\n\n"]).whole(searching).stop("pause_turn"))
}

#[tokio::test]
async fn blank_text_is_not_sent_back() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(pausing_blankly());
    upstream.push(found());
    app.client().post(CHAT, &ask_whole("hi")).await.text().await;
    let sent = upstream.requests()[1].json();
    let said = sent["messages"].as_array().and_then(|messages| messages.last()).cloned();
    let kinds: Vec<Value> = said
        .iter()
        .filter_map(|said| said["content"].as_array())
        .flatten()
        .map(|block| block["type"].clone())
        .collect();
    assert_eq!(kinds, ["server_tool_use"]);
}

pub(crate) fn found() -> Script {
    let answer = Answer::counting(MODEL, tokens(30, 7));
    Script::sse(answer.text(&["Found."]).tool("toolu_01", "f", &["{}"]).stop("tool_use"))
}

async fn usage_and_message(app: &App, body: &Value) -> (Value, Value) {
    let request = with(body.clone(), "stream_options", json!({"include_usage": true}));
    let chunks = app.client().post(CHAT, &request).await.chunks().await;
    let (message, finish_reason, usage) = assembled(&chunks);
    assert_eq!(finish_reason, "tool_calls");
    (usage, message)
}

#[tokio::test]
async fn a_paused_answer_goes_on_and_is_one() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(pausing());
    upstream.push(found());
    let (usage, message) = usage_and_message(&app, &ask("hi")).await;
    assert_eq!(message["content"], "I search. Found.");
    assert_eq!(message["tool_calls"][0]["id"], "toolu_01");
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(40), &json!(12)));

    let sent = upstream.requests()[1].json();
    let said = sent["messages"].as_array().expect("a value").last().expect("a value").clone();
    assert_eq!(said["role"], "assistant");
    assert_eq!(said["content"][1]["id"], "srvtoolu_1", "what was said goes back as it was");

    let exchanges = app.ledger().exchanges().await;
    let stops: Vec<_> = exchanges.iter().filter_map(|it| it.stop_reason.as_deref()).collect();
    assert_eq!(stops, ["pause_turn", "tool_use"]);
    assert!(exchanges.iter().all(|exchange| !exchange.servable));
    let linked = "select continues from exchange where continues is not null";
    assert_eq!(app.ledger().column(linked).await.first(), Some(&exchanges[0].id));
    let calls = app.ledger().calls().await;
    assert_eq!(calls.len(), 1, "one call, however many exchanges it took");
    assert_eq!(calls[0].exchange.as_ref(), Some(&exchanges[1].id));
    let sum: i64 = exchanges.iter().filter_map(|exchange| exchange.cost).sum();
    assert_eq!((calls[0].cost, calls[0].cost_is.as_str()), (Some(sum), "exact"));
    assert_eq!(app.ledger().count("running").await, 0);
}

#[tokio::test]
async fn a_client_that_does_not_stream_gets_the_same() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(pausing());
    upstream.push(found());
    let whole = app.client().post(CHAT, &ask_whole("hi")).await.json().await;
    assert_eq!(whole["choices"][0]["message"]["content"], "I search. Found.");
    assert_eq!(whole["usage"]["total_tokens"], 52);
}

#[tokio::test]
async fn an_answer_that_never_ends_is_asked_to_go_on_only_so_often() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(pausing());
    let whole = app.client().post(CHAT, &ask_whole("hi")).await.json().await;
    assert_eq!(whole["choices"][0]["finish_reason"], "length");
    assert_eq!(upstream.requests().len(), 6);
    assert_eq!(app.ledger().calls().await.len(), 1);
}

#[tokio::test]
async fn a_failure_in_a_later_part_is_told_and_what_was_paid_is_kept() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(pausing());
    upstream
        .push(Script::error(400, "invalid_request_error", "no").header("x-should-retry", "false"));
    let text = app.client().post(CHAT, &ask("hi")).await.text().await;
    assert!(
        text.contains("I search. ") && text.contains("Anthropic refused the request: no"),
        "{text}"
    );
    assert!(!text.contains("[DONE]"));
    let calls = app.ledger().calls().await;
    let exchanges = app.ledger().exchanges().await;
    assert_eq!((calls.len(), exchanges.len()), (1, 2));
    assert_eq!(calls[0].cost, exchanges[0].cost, "the part that was answered was paid");
}

#[tokio::test]
async fn the_next_turn_gets_back_all_parts() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(pausing());
    upstream.push(found());
    let answer = app.client().post(CHAT, &ask_whole("hi")).await.json().await;
    let messages = json!([
        {"role": "user", "content": "hi"},
        answer["choices"][0]["message"],
        {"role": "tool", "tool_call_id": "toolu_01", "content": "ok"},
    ]);
    upstream.push(Script::sse(Answer::of(MODEL).text(&["Done."]).stop("end_turn")));
    app.client().post(CHAT, &with(ask_whole("hi"), "messages", messages)).await.text().await;
    let sent = upstream.requests()[2].json();
    let kinds: Vec<&str> = sent["messages"][1]["content"]
        .as_array()
        .expect("a value")
        .iter()
        .map(|block| block["type"].as_str().expect("a value"))
        .collect();
    assert_eq!(kinds, ["text", "server_tool_use", "text", "tool_use"]);
}
