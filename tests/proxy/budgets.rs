//! Budgets: who is warned, who is refused, what stays free, and what a restart remembers.

use std::fs;

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    proxy::chats::of,
    support::{
        app::{CHAT, MODEL, Setup, ask, ask_whole, with},
        binary::command,
        client::Client,
        script::{Gate, Script},
        sse::{self, Answer, Tokens},
        until,
        upstream::{Outcome, Upstream},
    },
};

/// 10,000 tokens of input at $1 and 18,000 of output at $5 per million: ten cents.
pub(crate) fn ten_cents() -> Vec<String> {
    let tokens = Tokens { input: 10_000, output: 18_000, ..Tokens::default() };
    Answer::counting(MODEL, tokens).text(&["Hello"]).stop("end_turn")
}

/// Until a model has answered, one call may reserve all of a small budget.
async fn learn_from_a_short_answer(upstream: &Upstream, client: &Client) {
    upstream.push(Script::sse(Answer::of(MODEL).text(&["Hi"]).stop("end_turn")));
    let body = with(ask_whole("short"), "user", json!("eve"));
    assert_eq!(client.post(CHAT, &body).await.status, StatusCode::OK);
}

/// A server whose settings file has these budgets.
pub(crate) fn setup(upstream: &Upstream, budgets: &str) -> Setup {
    let setup = Setup::of(upstream).set("REPRISE_TIMEZONE", "Europe/Berlin");
    let file = setup.folder().join("reprise.toml");
    fs::write(&file, budgets).expect("a settings file");
    setup.set("REPRISE_CONFIG", file.to_str().expect("a path"))
}

pub(crate) const DAY: &str = "[[budget]]\nlimit = 0.2\nper = \"day\"\nwarn_at = 0.5\n";

async fn refused(client: &Client, path: &str, body: &Value) -> (StatusCode, Value) {
    let reply = client.post(path, body).await;
    let status = reply.status;
    if status == StatusCode::TOO_MANY_REQUESTS {
        assert_eq!(reply.header("x-should-retry"), Some("false"));
        assert_eq!(reply.header("retry-after"), None);
    }
    (status, reply.json().await)
}

#[tokio::test]
async fn a_spent_budget_is_told_in_both_dialects_and_survives_a_restart() {
    let upstream = Upstream::start().await;
    upstream.always(Script::sse(ten_cents()));
    let setup = setup(&upstream, DAY);
    let app = setup.start().await;

    let first = app.client().post(CHAT, &ask("one")).await;
    assert_eq!(first.header("x-reprise-budget"), None);
    first.text().await;
    let second = of(&app, "ann", "c1", "m1").post(CHAT, &ask("two")).await;
    assert_eq!(second.header("x-reprise-budget"), Some("spent=0.1; limit=0.2; per=day"));
    let told = second.text().await;
    let line = r#"data: {"event":{"type":"status","data":{"description":"Budget: $0.10 of $0.20 a day spent","done":true}}}"#;
    assert!(told.starts_with(line), "{told}");

    let sentence = "the budget of $0.20 a day is spent ($0.20): no request goes to Claude before ";
    let is_told = async |client: &Client| {
        let (status, body) = refused(client, CHAT, &ask("three")).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        let error = &body["error"];
        assert_eq!([&error["type"], &error["code"]], ["insufficient_quota"; 2]);
        assert!(error["message"].as_str().expect("a message").starts_with(sentence), "{error}");
        let native = json!({"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]});
        let client = client.clone().header("anthropic-version", "2023-06-01");
        let (status, body) = refused(&client, "/v1/messages", &native).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!([&body["type"], &body["error"]["type"]], ["error", "rate_limit_error"]);
        let message = body["error"]["message"].as_str().expect("a message");
        assert!(message.starts_with(sentence), "{message}");
        // What was asked before is free.
        let hit = client.post(CHAT, &ask("one")).await;
        assert_eq!(hit.status, StatusCode::OK);
        assert!(hit.text().await.contains("Hello"));
    };
    is_told(&app.client()).await;
    app.stop().await;
    let app = setup.start().await;
    is_told(&app.client()).await;
    app.stop().await;
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_budget_that_is_to_be_shown_tells_what_is_left_from_the_first_question_on() {
    let upstream = Upstream::start().await;
    let budget = "[[budget]]\nlimit = 2\nper = \"day\"\nuser = \"*\"\nshow = true\n";
    let app = setup(&upstream, budget).start().await;
    let line = async |message: &str| {
        let reply = of(&app, "ann", "c1", message).post(CHAT, &ask(message)).await;
        let header = reply.header("x-reprise-budget").map(str::to_owned);
        let text = reply.text().await;
        let line = text.split_once("\"description\":\"").expect("a line").1;
        (line.split('"').next().expect("its end").to_owned(), header.expect("a header"))
    };
    upstream.push(Script::sse(ten_cents()));
    let (told, header) = line("m1").await;
    assert_eq!(told, "Your budget: $2.00 of $2.00 a day left");
    assert_eq!(header, "spent=0; limit=2; per=day");
    // The first try may have been billed.
    upstream.push(Script::sse(Answer::of(MODEL).unfinished()));
    upstream.push(Script::sse(ten_cents()));
    let (told, _) = line("m2").await;
    assert_eq!(told, "Your budget: $1.90 of $2.00 a day left");
    upstream.push(Script::sse(ten_cents()));
    let (told, header) = line("m3").await;
    assert!(told.starts_with("Your budget: ≤ $1.80"), "{told}");
    assert!(header.ends_with("; limit=2; per=day; at_least"), "{header}");
}

#[tokio::test]
async fn running_calls_may_overshoot_those_who_join_are_free_and_reports_say_so() {
    let upstream = Upstream::start().await;
    let setup = setup(&upstream, "[[budget]]\nlimit = 0.15\nper = \"month\"\nuser = \"*\"\n");
    let app = setup.start().await;
    learn_from_a_short_answer(&upstream, &app.client()).await;
    let gate = Gate::new();
    for text in ["one", "two"] {
        upstream.push(Script::sse(ten_cents()).hold(&gate).only_for(text));
    }
    let ann = app.client().header("x-user", "ann");
    let user = |body: Value, user: &str| with(body, "user", json!(user));
    let (one, two) = (user(ask_whole("one"), "ann"), user(ask_whole("two"), "ann"));
    let both = async { tokio::join!(ann.post(CHAT, &one), ann.post(CHAT, &two)) };
    let opens = async {
        gate.reached(2).await;
        gate.open();
    };
    let ((first, second), ()) = tokio::join!(both, opens);
    assert_eq!([first.status, second.status], [StatusCode::OK; 2]);
    let (status, body) = refused(&ann, CHAT, &user(ask("three"), "ann")).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    let message = body["error"]["message"].as_str().expect("a message");
    assert!(message.starts_with("your budget of $0.15 a month is spent ($0.20)"), "{message}");

    // Another user has an own one, and a hit in a spent one stays free.
    upstream.push(Script::sse(ten_cents()));
    let bob = app.client().post(CHAT, &user(ask_whole("one"), "bob")).await;
    assert_eq!(bob.status, StatusCode::OK);
    assert_eq!(ann.post(CHAT, &one).await.status, StatusCode::OK);
    app.stop().await;

    let output = command(&setup).args(["budgets"]).output().expect("the program");
    let told = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<_> =
        told.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(lines[2][..8], ["ann", "$0.15", "a", "month", "$0.20", "133%", "spent,", "$0.05"]);
    assert_eq!(lines[3][..7], ["bob", "$0.15", "a", "month", "$0.10", "66%", "fine"]);
    let output = command(&setup).args(["budgets", "--json"]).output().expect("the program");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(told["budgets"][0]["over"]["nano_dollars"], json!(50_000_000));
    assert_eq!(told["budgets"][0]["state"], json!("spent"));
}

#[tokio::test]
async fn a_call_that_waits_in_a_spent_budget_may_still_join() {
    let upstream = Upstream::start().await;
    let app = setup(&upstream, DAY).start().await;
    learn_from_a_short_answer(&upstream, &app.client()).await;
    let gate = Gate::new();
    upstream.push(Script::sse(ten_cents()).hold(&gate).only_for("slow"));
    upstream.push(Script::sse(ten_cents()).only_for("fast"));
    upstream.push(Script::sse(ten_cents()).only_for("next"));
    let client = app.client();
    let slow = ask_whole("slow");
    let asks = async { client.post(CHAT, &slow).await.status };
    let joins = async {
        gate.reached(1).await;
        client.post(CHAT, &ask_whole("fast")).await.text().await;
        client.post(CHAT, &ask_whole("next")).await.text().await;
        assert_eq!(refused(&client, CHAT, &ask("more")).await.0, StatusCode::TOO_MANY_REQUESTS);
        let joined = async { client.post(CHAT, &slow).await };
        let opens = async { gate.open() };
        tokio::join!(joined, opens).0.status
    };
    assert_eq!(tokio::join!(asks, joins), (StatusCode::OK, StatusCode::OK));
    assert_eq!(upstream.requests().len(), 4);
}

#[tokio::test]
async fn a_model_without_a_price_is_not_asked() {
    let upstream = Upstream::start().await;
    let app = setup(&upstream, DAY).start().await;
    let body = with(ask("hi"), "model", json!("claude-next-7"));
    let (status, body) = refused(&app.client(), CHAT, &body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(body["error"]["code"], "model_unpriced");
    let message = body["error"]["message"].as_str().expect("a message");
    assert!(message.contains("no price is known for claude-next-7"), "{message}");
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn what_was_stopped_counts_as_far_as_it_is_known() {
    let upstream = Upstream::start().await;
    let app = setup(&upstream, "[[budget]]\nlimit = 0.01\nper = \"day\"\n").start().await;
    let tokens = Tokens { input: 10_000, ..Tokens::default() };
    let block = sse::content_block_start(0, r#"{"type":"text","text":"Hel"}"#);
    let beginning = Answer::counting(MODEL, tokens).event(block).unfinished();
    upstream.push(Script::sse(beginning).stall());
    let client = of(&app, "ann", "c1", "m1");
    let mut stopped = client.post(CHAT, &ask("hi")).await;
    stopped.read_until("Hel").await;
    drop(stopped);
    upstream.await_outcome(0, Outcome::Disconnected).await;
    until("the call to be sealed", async || app.ledger().calls().await.len() == 1).await;
    let (status, body) = refused(&client, CHAT, &ask("more")).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    let message = body["error"]["message"].as_str().expect("a message");
    assert!(message.starts_with("the budget of $0.01 a day is spent (≥ $0.01"), "{message}");
}
