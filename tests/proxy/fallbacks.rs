//! Fallbacks: a model that declines, and another that answers in its place.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::support::{
    app::{App, CHAT, Setup, ask, ask_whole, with},
    script::Script,
    sse::{self, Answer},
    upstream::Upstream,
};

const MESSAGES: &str = "/v1/messages";
const ASKED: &str = "claude-fable-5";
const SERVED: &str = "claude-opus-4-8";
/// Only the second attempt is billed: 412 tokens at $5 and 264 at $25 per million.
const COST: i64 = 8_660_000;

/// A stream that is also played back by itself.
fn recorded(name: &str) -> Script {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/playback");
    Script::sse([fs::read(folder.join(name)).expect("a stream")])
}

fn fable(request: Value) -> Value {
    with(request, "model", json!(ASKED))
}

#[tokio::test]
async fn the_model_and_the_cost_are_those_of_the_fallback_on_both_doors() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(recorded("fallback_at_once.sse"));
    let native = json!({
        "model": ASKED, "max_tokens": 100, "fallbacks": "default",
        "messages": [{"role": "user", "content": "native"}],
    });

    for hit in [false, true] {
        let whole = app.client().post(CHAT, &fable(ask_whole("whole"))).await.json().await;
        assert_eq!(
            (&whole["model"], &whole["choices"][0]["message"]["content"]),
            (&json!(SERVED), &json!("Hi! How can I help?"))
        );
        let money = if hit { "saved" } else { "cost" };
        assert_eq!(whole["usage"][money], 0.008_66);
        assert_eq!(whole["usage"]["prompt_tokens"], 412);

        let usage = json!({"include_usage": true});
        let asked = with(fable(ask("streamed")), "stream_options", usage);
        let chunks = sse::openai_sse(&app.client().post(CHAT, &asked).await.text().await);
        let chunks = &chunks[..chunks.len() - 1];
        assert_eq!(
            (&chunks[0]["model"], sse::openai_text(chunks)),
            (&json!(ASKED), "Hi! How can I help?".to_owned())
        );
        assert!(chunks[1..].iter().all(|chunk| chunk["model"] == SERVED), "{chunks:?}");
        assert_eq!(chunks[chunks.len() - 1]["usage"][money], 0.008_66);

        let message = app.client().post(MESSAGES, &native).await.json().await;
        assert_eq!(
            (&message["model"], &message["content"][0]["type"]),
            (&json!(SERVED), &json!("fallback"))
        );
        assert_eq!(message["usage"]["iterations"][0]["model"], ASKED);
    }
    assert_eq!(upstream.requests().len(), 3);

    let ledger = app.stop().await;
    for exchange in ledger.exchanges().await {
        assert_eq!((exchange.cost, exchange.cost_is.as_str()), (Some(COST), "exact"));
    }
    for call in ledger.calls().await {
        let expected = if call.answered_by == "hit" { (0, COST) } else { (COST, 0) };
        assert_eq!((call.cost.unwrap_or(-1), call.saved), expected, "{call:?}");
    }
    let stats = ledger.stats().await;
    assert_eq!(stats.total.cost.nano_dollars, Some(3 * COST));
    assert_eq!(stats.total.saved.ledger.nano_dollars, Some(3 * COST));
    let report = serde_json::to_string(&stats).expect("a report");
    assert!(report.contains(SERVED) && !report.contains(ASKED), "{report}");
}

#[tokio::test]
async fn an_attempt_that_said_something_is_billed_and_counts_against_the_budget() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let file = setup.folder().join("reprise.toml");
    fs::write(&file, "[[budget]]\nlimit = 0.017\nper = \"day\"\n").expect("a settings file");
    let app = setup.set("REPRISE_CONFIG", file.to_str().expect("a path")).start().await;
    upstream.always(recorded("fallback_midway.sse"));
    // Short answers, as far as the budget knows.
    let fable = |request| with(fable(request), "max_tokens", json!(100));
    let reply = app.client().post(CHAT, &fable(ask_whole("one"))).await.json().await;
    // 1000 and 20 tokens at $10 and $50, 1100 and 50 at $5 and $25.
    assert_eq!(reply["usage"]["cost"], 0.017_75);
    assert_eq!(reply["choices"][0]["message"]["content"], "One, two.");
    let refused = app.client().post(CHAT, &fable(ask_whole("two"))).await;
    assert_eq!(refused.status.as_u16(), 429);
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn the_chat_door_passes_fallbacks_on() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(recorded("fallback_at_once.sse"));
    let fallbacks =
        json!(["anthropic/claude-opus-4.8", {"model": "claude-sonnet-5", "max_tokens": 50}]);
    let asked = with(fable(ask_whole("hi")), "fallbacks", fallbacks);
    app.client().post(CHAT, &asked).await.text().await;
    app.client().post(CHAT, &fable(ask_whole("hi"))).await.text().await;
    let sent = upstream.requests();
    let expected = json!([{"model": SERVED}, {"model": "claude-sonnet-5", "max_tokens": 50}]);
    assert_eq!(sent[0].json()["fallbacks"], expected);
    let betas = |request: usize| sent[request].header("anthropic-beta").unwrap_or_default();
    assert!(betas(0).contains("server-side-fallback-2026-07-01"));
    assert_eq!(sent.len(), 2, "another question");
    assert_eq!(sent[1].json().get("fallbacks"), None);
    assert!(!betas(1).contains("fallback"));
}

#[tokio::test]
async fn fallbacks_that_are_refused_are_left_out() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let refusal = "fallbacks: Extra inputs are not permitted";
    upstream.push(Script::error(400, "invalid_request_error", refusal));
    upstream.push(Script::sse(Answer::of(ASKED).text(&["Hello"]).stop("end_turn")));
    let asked = with(fable(ask_whole("hi")), "fallbacks", json!("default"));
    let reply = app.client().post(CHAT, &asked).await.json().await;
    assert_eq!(reply["choices"][0]["message"]["content"], "Hello");
    assert_eq!(upstream.requests()[1].json().get("fallbacks"), None);
}

#[tokio::test]
async fn the_next_turn_has_the_text_of_both_models_and_no_thinking_of_the_one_that_declined() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(recorded("fallback_midway.sse"));
    upstream.always(Script::sse(Answer::of(SERVED).text(&["Hello"]).stop("end_turn")));
    let first = with(fable(ask_whole("hi")), "reasoning_effort", json!("high"));
    let said = app.client().post(CHAT, &first).await.json().await;
    let asked = |said: Value| {
        let messages =
            json!([{"role": "user", "content": "hi"}, said, {"role": "user", "content": "more"}]);
        with(with(first.clone(), "messages", messages), "model", json!(SERVED))
    };
    let restored = asked(said["choices"][0]["message"].clone());
    app.client().post(CHAT, &restored).await.text().await;
    let parts = json!({"role": "assistant", "content": [
        {"type": "text", "text": "One, "},
        {"type": "fallback", "from": {"model": ASKED}, "to": {"model": SERVED}},
        {"type": "text", "text": "two."},
    ]});
    let repeat = app.client().post(CHAT, &asked(parts)).await;
    assert!(repeat.header("cache-status").is_some_and(|how| how.contains("hit")), "the same");
    let blocks = upstream.requests()[1].json()["messages"][1]["content"].clone();
    let texts = json!([{"type": "text", "text": "One, "}, {"type": "text", "text": "two."}]);
    assert_eq!(blocks, texts);
}
