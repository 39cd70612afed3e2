//! What goes wrong after the first byte is told as an error, never as a silent end, and never served again.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    app::{App, CHAT, MODEL, Setup, ask, ask_whole},
    client::Read,
    script::{Gate, Script},
    sse::{self, Answer, Tokens},
    upstream::Upstream,
};

/// How an answer broke, seen by both kinds of clients.
struct Broken {
    /// What the stream had said before.
    text: String,
    /// The error in the stream.
    streamed: Value,
    /// The status without streaming, and its error.
    status: u16,
    whole: Value,
}

/// Lets upstream answer by this script; holds that the break is told, recorded as such, and never served.
async fn broken(script: Script, outcome: &str, error_kind: &str) -> Broken {
    let upstream = Upstream::start().await;
    let patience = if error_kind == "timeout" { "500ms" } else { "60s" };
    let app = Setup::of(&upstream).set("REPRISE_UPSTREAM_IDLE_TIMEOUT", patience).start().await;
    upstream.push(script.clone());
    let mut reply = app.client().post(CHAT, &ask("hi")).await;
    assert_eq!(reply.status.as_u16(), 200);
    let (body, end) = reply.rest().await;
    assert_eq!(end, Read::End, "the response itself is in order");
    let mut chunks = sse::openai_sse(str::from_utf8(&body).expect("text"));
    let streamed = chunks.pop().expect("a last chunk")["error"].clone();
    assert!(streamed["message"].is_string(), "no error at the end of {body:?}");
    assert!(chunks.iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null()));

    upstream.push(script);
    let reply = app.client().post(CHAT, &ask_whole("hi")).await;
    let status = reply.status.as_u16();
    assert!(status >= 400, "{status}");
    let whole = reply.json().await["error"].clone();

    app.ledger().await_exchange(2).await;
    for exchange in app.ledger().exchanges().await {
        assert_eq!(
            (exchange.outcome.as_str(), exchange.servable),
            (outcome, false),
            "{exchange:?}"
        );
        assert_eq!(exchange.error_kind.as_deref(), Some(error_kind));
        assert_eq!((exchange.status, exchange.cost_is.as_str()), (Some(200), "at_least"));
    }
    upstream.push(Script::sse(Answer::of(MODEL).text(&["whole"]).stop("end_turn")));
    let again = app.client().post(CHAT, &ask("hi")).await;
    assert_eq!(sse::openai_text(&again.chunks().await), "whole");
    assert_eq!(upstream.requests().len(), 3, "what broke is asked again by the client, not by us");
    Broken { text: sse::openai_text(&chunks), streamed, status, whole }
}

/// The beginning of an answer, up to and with "Hel".
fn beginning() -> Answer {
    let block = sse::content_block_start(0, r#"{"type":"text","text":""}"#);
    Answer::of(MODEL).event(block).event(sse::text_delta(0, "Hel"))
}

#[tokio::test]
async fn an_error_in_mid_stream_is_the_last_chunk() {
    let events = beginning().event(sse::error("overloaded_error", "Overloaded")).unfinished();
    let broken = broken(Script::sse(events), "failed", "overloaded_error").await;
    assert_eq!(broken.text, "Hel");
    let expected = json!({
        "message": "Anthropic is overloaded; try again in a moment",
        "type": "server_error", "param": null, "code": "server_is_overloaded",
    });
    assert_eq!((&broken.streamed, &broken.whole), (&expected, &expected));
    assert_eq!(broken.status, 503);
}

#[tokio::test]
async fn errors_in_mid_stream_have_the_status_they_would_have_had() {
    for (kind, status) in [
        ("rate_limit_error", 429),
        ("timeout_error", 504),
        ("invalid_request_error", 400),
        ("api_error", 502),
        ("an_error_of_tomorrow", 502),
    ] {
        let events = beginning().event(sse::error(kind, "Broken")).unfinished();
        assert_eq!(broken(Script::sse(events), "failed", kind).await.status, status, "{kind}");
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_in_an_error() {
    let whole = Answer::of(MODEL).text(&["Hel", "lo"]).stop("end_turn");
    let complete = whole.len();
    // Behind every event but the last, by a broken connection as by an end of the body that looks proper. Before the
    // third, nothing was told: see `early`. Behind the reason for the end, a proper end is one: see `gateways`.
    for until in 3..complete {
        let events = whole[..until].to_vec();
        let broken_connection = Script::sse(events.clone()).cut().pieces(["x"]);
        let looks_proper = [Script::sse(events.clone()), Script::sse(events).until_close()];
        let looks_proper = looks_proper.into_iter().filter(|_| until < complete - 1);
        for script in std::iter::once(broken_connection).chain(looks_proper) {
            let broken = broken(script, "cut", "cut").await;
            assert_eq!(
                (broken.status, &broken.whole["code"]),
                (502, &json!("upstream_unavailable"))
            );
            assert_eq!(broken.streamed, broken.whole);
            assert!("Hello".starts_with(&broken.text));
        }
    }
}

#[tokio::test]
async fn a_torn_event_is_a_cut() {
    let whole = Answer::of(MODEL).text(&["Hello"]).stop("end_turn").concat();
    for missing in [3, 10, 60] {
        let torn = whole[..whole.len() - missing].to_owned();
        let broken = broken(Script::sse([torn]), "cut", "cut").await;
        assert_eq!((broken.text.as_str(), broken.status), ("Hello", 502));
    }
}

#[tokio::test]
async fn silence_in_mid_stream_is_a_timeout() {
    let script = Script::sse(beginning().unfinished()).stall();
    let broken = broken(script, "cut", "timeout").await;
    assert_eq!((broken.text.as_str(), broken.status), ("Hel", 504));
    assert_eq!(broken.streamed["code"], "upstream_timeout");
}

#[tokio::test]
async fn pings_keep_a_thinking_answer_alive() {
    let upstream = Upstream::start().await;
    let app = Setup::of(&upstream).set("REPRISE_UPSTREAM_IDLE_TIMEOUT", "1500ms").start().await;
    let gate = Gate::new();
    let mut script = Script::sse([Answer::of(MODEL).unfinished().concat()]);
    for _ in 0..8 {
        script = script.wait(&gate).pieces([sse::ping()]);
    }
    let rest = Answer::of(MODEL).text(&["done"]).stop("end_turn").split_off(1);
    upstream.push(script.wait(&gate).pieces(rest));
    let question = ask("hi");
    let (text, ()) =
        tokio::join!(async { app.client().post(CHAT, &question).await.text().await }, async {
            // Silence before every ping; together it is longer than the limit.
            let mut ticks = tokio::time::interval(Duration::from_millis(250));
            for arrivals in 1..=9 {
                gate.reached(arrivals).await;
                ticks.tick().await;
                gate.release();
            }
        });
    assert_eq!(sse::openai_text(&sse::openai_sse(&text)), "done");
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_an_error() {
    let garbage = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"ind\n\n";
    let rest = Answer::of(MODEL).text(&[]).stop("end_turn").split_off(2);
    let mut in_delta = beginning().event(garbage).unfinished();
    in_delta.extend(rest.clone());
    let mut in_stop = beginning().event("event: message_delta\ndata: [\n\n").unfinished();
    in_stop.extend(rest);
    for events in [in_delta, in_stop] {
        // Event by event, and all at once.
        for script in [Script::sse([events.concat()]), Script::sse(events)] {
            let broken = broken(script, "failed", "unreadable").await;
            assert_eq!((broken.text.as_str(), broken.status), ("Hel", 502));
        }
    }
}

#[tokio::test]
async fn an_event_out_of_order_is_an_error() {
    let again = sse::message_start("msg_02", MODEL, Tokens::default());
    let mut twice = beginning().event(again).unfinished();
    twice.extend(Answer::of(MODEL).text(&[]).stop("end_turn").split_off(2));
    for script in [Script::sse([twice.concat()]), Script::sse(twice)] {
        let broken = broken(script, "failed", "unreadable").await;
        assert_eq!((broken.text.as_str(), broken.status), ("Hel", 502));
    }
}

#[tokio::test]
async fn an_answer_that_does_not_begin_with_its_beginning_is_an_http_error() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let mut events = Answer::of(MODEL).text(&["Hello"]).stop("end_turn");
    events.remove(0);
    upstream.push(Script::sse(events));
    upstream.push(Script::sse([sse::message_stop()]));
    for number in 1..=2 {
        let reply = app.client().post(CHAT, &ask("hi")).await;
        assert_eq!(reply.status.as_u16(), 502);
        let exchange = app.ledger().await_exchange(number).await;
        assert_eq!((exchange.outcome.as_str(), exchange.servable), ("failed", false));
        assert_eq!(exchange.error_kind.as_deref(), Some("unreadable"));
    }
    assert_eq!(upstream.requests().len(), 2, "the next answer would be the same");
}

#[tokio::test]
async fn what_comes_after_the_end_changes_nothing() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let mut events = Answer::of(MODEL).text(&["Hello"]).stop("end_turn");
    events.push(sse::error("api_error", "too late"));
    events.push("event: message_start\ndata: {\n\n".to_owned());
    upstream.push(Script::sse([events.concat()]));
    let chunks = app.client().post(CHAT, &ask("hi")).await.chunks().await;
    assert_eq!(sse::openai_text(&chunks), "Hello");
    assert_eq!(chunks.last(), Some(&json!("[DONE]")));
    assert_eq!(app.ledger().exchange().await.outcome, "complete");
    let hit = app.client().post(CHAT, &ask("hi")).await.chunks().await;
    assert_eq!(sse::openai_text(&hit), "Hello");
    assert_eq!(upstream.requests().len(), 1);
}
