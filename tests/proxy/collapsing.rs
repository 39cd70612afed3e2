//! Who asks for what is being asked already reads along: one call upstream, as many answers as there are readers.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    proxy::{
        chats::{TITLE, asks_task, of, status, task_of},
        streaming::without_ids,
    },
    support::{
        app::{App, CHAT, MODEL, ask, ask_whole, with},
        client::Reply,
        script::{Gate, Script},
        sse::{self, Answer},
        until,
        upstream::{Outcome, Upstream},
    },
};

const MANY: usize = 50;

/// A title, streamed.
fn title() -> Value {
    with(asks_task(TITLE), "stream", json!(true))
}

/// The head of an answer to each of so many equal calls of one chat's task, while upstream holds its own back.
async fn tasks(app: &App, body: &Value, count: usize) -> Vec<Reply> {
    let call = || async { task_of(app, "ann", "c1", "title_generation").post(CHAT, body).await };
    join_all((0..count).map(|_| call())).await
}

/// Waits until so many calls wait for upstream or read what it says.
async fn calls_run(app: &App, calls: usize) {
    until(&format!("{calls} calls at once"), async || {
        app.client().get("/ready").await.json().await["running"]["calls"] == calls
    })
    .await;
}

fn slow(gate: &Gate) -> Script {
    let events = Answer::of(MODEL).text(&["Hel", "lo", " there"]).stop("end_turn");
    Script::sse(events[..3].to_vec()).wait(gate).pieces(events[3..].to_vec())
}

#[tokio::test]
async fn fifty_equal_streams_are_one_call_and_fifty_answers() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let gate = Gate::new();
    upstream.push(slow(&gate));
    let replies = tasks(&app, &title(), MANY).await;
    let mut ways: Vec<_> = replies.iter().map(status).collect();
    ways.sort();
    ways.dedup();
    assert_eq!(ways, ["fwd=miss; collapsed", "fwd=miss; stored"]);
    gate.open();
    let texts = join_all(replies.into_iter().map(Reply::text)).await;
    let costs = |text: &str| {
        let cost = "\"cost\":0.000047";
        (text.contains(cost), without_ids(text).replace(cost, "\"cost\":0.0,\"saved\":0.000047"))
    };
    let (paid, rest): (Vec<_>, Vec<_>) = texts.iter().map(|text| costs(text)).unzip();
    assert_eq!(paid.iter().filter(|paid| **paid).count(), 1, "one pays");
    assert!(rest.iter().all(|text| text == &rest[0] && text.ends_with("[DONE]\n\n")));
    assert_eq!(upstream.requests().len(), 1);
    let ledger = app.stop().await;
    assert_eq!(ledger.count("exchange").await, 1);
    let calls = ledger.calls().await;
    assert_eq!(calls.len(), MANY);
    let joined: Vec<_> = calls.iter().filter(|call| call.answered_by == "collapsed").collect();
    assert_eq!(joined.len(), MANY - 1);
    for call in joined {
        assert_eq!((call.cost, call.saved, call.status), (Some(0), 47_000, Some(200)));
        assert_eq!((call.outcome.as_str(), &call.exchange), ("complete", &calls[0].exchange));
    }
}

#[tokio::test]
async fn the_first_may_leave_while_others_stay() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let gate = Gate::new();
    upstream.push(slow(&gate));
    let first = app.client().post(CHAT, &ask("hi")).await;
    assert_eq!(status(&first), "fwd=miss; stored");
    let others =
        join_all((1..MANY).map(|_| async { app.client().post(CHAT, &ask("hi")).await })).await;
    drop(first);
    gate.open();
    for other in others {
        assert_eq!(status(&other), "fwd=miss; collapsed");
        assert_eq!(sse::openai_text(&other.chunks().await), "Hello there");
    }
    assert_eq!(upstream.requests().len(), 1);
    upstream.await_outcome(0, Outcome::Completed).await;
    let exchange = app.ledger().exchange().await;
    assert_eq!((exchange.outcome.as_str(), exchange.servable), ("complete", true));
}

#[tokio::test]
async fn who_joins_late_gets_the_beginning_at_once_and_then_the_live_tail() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let gate = Gate::new();
    upstream.push(slow(&gate));
    let mut first = app.client().post(CHAT, &ask("hi")).await;
    first.read_until("Hel").await;
    let mut late = app.client().post(CHAT, &ask("hi")).await;
    late.read_until("Hel").await;
    let whole = async { app.client().post(CHAT, &ask_whole("hi")).await.json().await };
    let all_read = async {
        calls_run(&app, 3).await;
        gate.open();
    };
    let (whole, ()) = tokio::join!(whole, all_read);
    let content = &whole["choices"][0]["message"]["content"];
    assert_eq!(content, "Hello there");
    assert!(late.read_until("[DONE]").await.contains("lo"));
    assert!(first.read_until("[DONE]").await.contains("lo"));
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn when_the_last_leaves_upstream_is_cancelled() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let gate = Gate::new();
    upstream.push(slow(&gate));
    let mut replies = Vec::new();
    for _ in 0..3 {
        replies.push(app.client().post(CHAT, &ask("hi")).await);
    }
    while let Some(reply) = replies.pop() {
        assert_eq!(upstream.outcome(0), Outcome::Running);
        drop(reply);
    }
    gate.open();
    let exchange = app.ledger().await_exchange(1).await;
    assert_eq!((exchange.outcome.as_str(), exchange.servable), ("stopped", false));
    until("all three calls in the ledger", async || app.ledger().calls().await.len() == 3).await;
    assert!(app.ledger().calls().await.iter().all(|call| call.outcome == "stopped"));
    // Nobody joins what is given up.
    upstream.push(Script::sse(Answer::of(MODEL).text(&["anew"]).stop("end_turn")));
    let chunks = app.client().post(CHAT, &ask("hi")).await.chunks().await;
    assert_eq!(sse::openai_text(&chunks), "anew");
}

#[tokio::test]
async fn a_failure_reaches_all_of_them_and_is_not_stored() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let gate = Gate::new();
    let refusal =
        Script::error(429, "rate_limit_error", "slow down").header("x-should-retry", "false");
    upstream.push(refusal.header("retry-after", "7").hold(&gate));
    let body = asks_task(TITLE);
    let all_wait = async {
        calls_run(&app, 10).await;
        gate.open();
    };
    let (replies, ()) = tokio::join!(tasks(&app, &body, 10), all_wait);
    let asked = upstream.requests().len();
    for reply in replies {
        assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (429, Some("7")));
        assert!(reply.text().await.contains("slow down"));
    }
    assert_eq!(asked, 1);
    upstream.push(Script::sse(Answer::of(MODEL).text(&["fine"]).stop("end_turn")));
    let again = tasks(&app, &asks_task(TITLE), 1).await.pop().unwrap();
    assert_eq!(again.json().await["choices"][0]["message"]["content"], "fine");
    let calls = app.stop().await.calls().await;
    let refused = calls.iter().filter(|call| call.status == Some(429) && call.outcome == "failed");
    assert_eq!((calls.len(), refused.count()), (11, 10));
}

#[tokio::test]
async fn a_failure_in_mid_stream_reaches_all_of_them() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let gate = Gate::new();
    let events = Answer::of(MODEL).text(&["Hel"]).unfinished();
    let error = sse::error("overloaded_error", "Overloaded");
    upstream.push(Script::sse(events).wait(&gate).pieces([error]));
    let replies = tasks(&app, &title(), 5).await;
    gate.open();
    for reply in replies {
        let text = reply.text().await;
        assert!(text.contains("Hel") && text.contains("overloaded") && !text.contains("[DONE]"));
    }
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn fifty_messages_of_a_chat_are_fifty_calls() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let gate = Gate::new();
    upstream.always(slow(&gate));
    let calls = (0..MANY).map(|n| {
        let client = of(&app, "ann", "c1", &format!("m{n}"));
        async move { client.post(CHAT, &ask("hi")).await }
    });
    let replies = join_all(calls).await;
    assert_eq!(upstream.requests().len(), MANY);
    gate.open();
    for reply in replies {
        assert!(!status(&reply).contains("collapsed"));
        assert_eq!(sse::openai_text(&reply.chunks().await), "Hello there");
    }
}

#[tokio::test]
async fn the_same_message_sent_twice_is_one_call() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let gate = Gate::new();
    upstream.push(slow(&gate));
    let first = of(&app, "ann", "c1", "m1").post(CHAT, &ask("hi")).await;
    let second = of(&app, "ann", "c1", "m1").post(CHAT, &ask("hi")).await;
    assert_eq!(status(&second), "fwd=miss; collapsed");
    gate.open();
    for reply in [first, second] {
        assert_eq!(sse::openai_text(&reply.chunks().await), "Hello there");
    }
}
