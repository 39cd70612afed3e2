//! What upstream refuses by name is left out, once, with a note.

use serde_json::{Value, json};

use crate::support::{
    app::{App, CHAT, MODEL, ask_whole, with},
    script::Script,
    sse::Answer,
    upstream::{Request, Upstream},
};

const INVALID: &str = "invalid_request_error";

fn hello() -> Script {
    Script::sse(Answer::of(MODEL).text(&["Hello"]).stop("end_turn"))
}

fn warm(text: &str) -> Value {
    with(ask_whole(text), "temperature", json!(0.5))
}

#[tokio::test]
async fn a_refused_parameter_is_left_out_and_remembered() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::error(400, INVALID, "`temperature` is deprecated for this model."));
    upstream.push(hello());
    let completion = app.client().post(CHAT, &warm("hi")).await.json().await;
    assert_eq!(completion["choices"][0]["message"]["content"], "Hello");
    let sent: Vec<Value> = upstream.requests().iter().map(Request::json).collect();
    assert_eq!((sent.len(), &sent[0]["temperature"]), (2, &json!(0.5)));
    assert_eq!(sent[1].get("temperature"), None);
    let notes = app.ledger().column("select notes from call").await;
    let notes = notes.first().expect("notes");
    assert!(notes.contains("temperature") && notes.contains("Anthropic refused it"), "{notes}");

    upstream.push(hello());
    app.client().post(CHAT, &warm("again")).await.text().await;
    assert_eq!(upstream.requests().len(), 3, "the second time it is known");
    assert_eq!(upstream.requests()[2].json().get("temperature"), None);

    let repeat = app.client().post(CHAT, &warm("hi")).await;
    assert!(
        repeat.header("cache-status").is_some_and(|how| how.contains("hit")),
        "the key is of the request as translated"
    );
}

#[tokio::test]
async fn the_ledger_keeps_the_request_that_went_upstream() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::error(400, INVALID, "temperature: Extra inputs are not permitted"));
    upstream.always(hello());
    for question in ["healed", "known from the start"] {
        app.client().post(CHAT, &warm(question)).await.text().await;
    }
    let frames = "select cast(frame.body as text) from exchange join frame on frame.hash = frame";
    let frames = app.ledger().column(frames).await;
    assert_eq!((app.ledger().count("exchange").await, frames.len()), (2, 1), "{frames:?}");
    assert!(frames.iter().all(|frame| !frame.contains("temperature")), "{frames:?}");
}

#[tokio::test]
async fn a_refusal_that_was_healed_is_not_the_end() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::error(400, INVALID, "temperature: Extra inputs are not permitted"));
    upstream.push(Script::json(200, &json!({})));
    let reply = app.client().post(CHAT, &warm("hi")).await;
    assert_eq!(reply.status.as_u16(), 502);
    let exchange = app.ledger().exchange().await;
    assert_eq!((exchange.status, exchange.upstream_request), (None, None));
}

#[tokio::test]
async fn another_model_is_still_asked_as_the_client_wants() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::error(400, INVALID, "temperature: Extra inputs are not permitted"));
    upstream.push(hello());
    app.client().post(CHAT, &warm("hi")).await.text().await;
    upstream.push(hello());
    let other = with(warm("hi"), "model", json!("claude-sonnet-4-6"));
    app.client().post(CHAT, &other).await.text().await;
    assert_eq!(upstream.requests()[2].json()["temperature"], 0.5);
}

#[tokio::test]
async fn what_is_still_refused_is_passed_on() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let refusal = "temperature: Extra inputs are not permitted";
    upstream.push(Script::error(400, INVALID, refusal));
    upstream.push(Script::error(400, INVALID, refusal));
    let reply = app.client().post(CHAT, &warm("hi")).await;
    assert_eq!(reply.status.as_u16(), 400);
    assert_eq!(reply.json().await["error"]["message"], refusal);
    assert_eq!(upstream.requests().len(), 2);

    // What did not help is not remembered.
    upstream.push(hello());
    app.client().post(CHAT, &warm("again")).await.text().await;
    assert_eq!(upstream.requests()[2].json()["temperature"], 0.5);
}

#[tokio::test]
async fn what_is_wrong_with_one_request_is_not_held_against_the_next() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let hard = |text| with(ask_whole(text), "reasoning_effort", json!("high"));
    upstream.push(Script::error(
        400,
        INVALID,
        "`max_tokens` must be greater than `thinking.budget_tokens`.",
    ));
    upstream.push(hello());
    app.client().post(CHAT, &hard("hi")).await.text().await;
    assert_eq!(upstream.requests()[1].json().get("thinking"), None);
    upstream.push(hello());
    app.client().post(CHAT, &hard("again")).await.text().await;
    assert_eq!(upstream.requests()[2].json()["thinking"]["type"], "enabled");
}

#[tokio::test]
async fn thinking_that_is_refused_never_costs_the_answer() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::error(
        400,
        INVALID,
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    ));
    upstream.push(hello());
    let details = json!([{"type": "reasoning.text", "text": "Hm.", "signature": "c2ln"}]);
    let request = json!({
        "model": "claude-opus-5-5",
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b", "reasoning_details": details},
            {"role": "user", "content": "c"},
        ],
    });
    let completion = app.client().post(CHAT, &request).await.json().await;
    assert_eq!(completion["choices"][0]["message"]["content"], "Hello");
    let sent = upstream.requests();
    assert_eq!(sent[0].json()["messages"][1]["content"][0]["signature"], "c2ln");
    let text = json!([{"type": "text", "text": "b"}]);
    assert_eq!(sent[1].json()["messages"][1]["content"], text);
}
