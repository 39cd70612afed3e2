//! A client that leaves stops what it asked for, at once, and what is known of the cost is kept.

use crate::support::{
    app::{App, CHAT, MODEL, ask, ask_whole},
    ledger::Exchange,
    script::Script,
    sse::{self, Answer},
    upstream::{Outcome, Upstream},
};

fn beginning() -> Vec<String> {
    let answer =
        Answer::of(MODEL).event(sse::content_block_start(0, r#"{"type":"text","text":""}"#));
    answer.event(sse::text_delta(0, "Hel")).unfinished()
}

/// The exchange as it must be left behind.
async fn stopped(app: &App, upstream: &Upstream) -> Exchange {
    upstream.await_outcome(0, Outcome::Disconnected).await;
    let exchange = app.ledger().await_exchange(1).await;
    assert_eq!((exchange.outcome.as_str(), exchange.servable), ("stopped", false));
    assert_eq!(exchange.cost_is, "at_least");
    assert_eq!(app.ledger().count("running").await, 0);
    let calls = app.ledger().calls().await;
    assert_eq!(calls.len(), 1);
    assert_eq!((calls[0].outcome.as_str(), calls[0].cost_is.as_str()), ("stopped", "at_least"));
    exchange
}

/// Nothing of it is ever served.
async fn asks_again(app: &App, upstream: &Upstream) {
    upstream.push(Script::sse(Answer::of(MODEL).text(&["whole"]).stop("end_turn")));
    let chunks = app.client().post(CHAT, &ask("hi")).await.chunks().await;
    assert_eq!(sse::openai_text(&chunks), "whole");
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn before_the_head() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::silent());
    let arrived = async { drop(upstream.await_request(1).await) };
    app.client().post_and_leave(CHAT, &ask("hi"), arrived).await;
    let exchange = stopped(&app, &upstream).await;
    assert_eq!((exchange.status, exchange.cost), (None, Some(0)));
    assert_eq!(app.ledger().calls().await[0].status, None);
    asks_again(&app, &upstream).await;
}

#[tokio::test]
async fn before_the_first_token() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let thinking = sse::thinking(0, &["Hm"], "EqQB").split_off(1);
    let block = sse::content_block_start(0, r#"{"type":"thinking","thinking":"","signature":""}"#);
    let events = [beginning().remove(0), block, thinking[0].clone()];
    upstream.push(Script::sse(events).stall());
    let mut reply = app.client().post(CHAT, &ask("hi")).await;
    reply.read_until("Hm").await;
    drop(reply);
    let exchange = stopped(&app, &upstream).await;
    // What message_start said: 12 tokens in, one out.
    assert_eq!((exchange.status, exchange.cost), (Some(200), Some(17_000)));
    assert_eq!(app.ledger().calls().await[0].status, Some(200));
    asks_again(&app, &upstream).await;
}

#[tokio::test]
async fn in_mid_stream() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::sse(beginning()).stall());
    let mut reply = app.client().post(CHAT, &ask("hi")).await;
    reply.read_until("Hel").await;
    drop(reply);
    let exchange = stopped(&app, &upstream).await;
    assert!(exchange.recording.is_some(), "what Claude said until then is kept");
    asks_again(&app, &upstream).await;
}

#[tokio::test]
async fn without_streaming() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::sse(beginning()).stall());
    let arrived = async { drop(upstream.await_request(1).await) };
    app.client().post_and_leave(CHAT, &ask_whole("hi"), arrived).await;
    stopped(&app, &upstream).await;
    asks_again(&app, &upstream).await;
}

#[tokio::test]
async fn while_many_pieces_are_on_their_way() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let long = sse::text_delta(0, &"x".repeat(64 << 10));
    upstream.push(Script::sse(beginning()).pieces(vec![long; 200]).stall());
    let mut reply = app.client().post(CHAT, &ask("hi")).await;
    reply.read_until("Hel").await;
    drop(reply);
    stopped(&app, &upstream).await;
}

#[tokio::test]
async fn a_slow_reader_holds_nobody_up() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let long = "x".repeat(64 << 10);
    upstream.push(Script::sse(Answer::of(MODEL).text(&vec![&*long; 200]).stop("end_turn")));
    let slow = app.client().post(CHAT, &ask("hi")).await;
    // Nothing is read, and yet upstream gets rid of everything and the answer is sealed.
    upstream.await_outcome(0, Outcome::Completed).await;
    assert_eq!(app.ledger().await_exchange(1).await.outcome, "complete");
    assert_eq!(sse::openai_text(&slow.chunks().await).len(), 200 * long.len());
}
