//! What fails after the head of upstream's response and before any content is asked again, as after an HTTP error, and
//! the client has seen nothing of it.

use std::time::Duration;

use futures_util::{StreamExt, future::join_all};
use serde_json::{Value, json};

use crate::{
    proxy::paused::{found, pausing},
    support::{
        app::{App, CHAT, MODEL, Setup, ask, with},
        client::{Client, Reply},
        script::{Gate, Script},
        sse::{self, Answer},
        upstream::{Outcome, Upstream},
    },
};

pub(crate) const MESSAGES: &str = "/v1/messages";

/// The ways in which a response fails, and the statuses that they have on the chat door and on the native door.
const KINDS: [(&str, u16, u16); 8] = [
    ("overloaded_error", 503, 529),
    ("rate_limit_error", 429, 429),
    ("api_error", 500, 500),
    ("timeout_error", 504, 504),
    ("unreadable", 502, 502),
    ("end", 502, 502),
    ("cut", 502, 502),
    ("closed", 502, 502),
];

/// A response of these events that then fails.
fn failing(kind: &str, events: Vec<String>) -> Script {
    let script = Script::sse(events).header("retry-after-ms", "1");
    match kind {
        "end" => script,
        "cut" => script.cut().pieces(["x"]),
        "closed" => script.until_close(),
        "unreadable" => script.pieces(["event: message_start\ndata: {\n\n"]),
        kind => script.pieces([sse::error(kind, "It failed")]),
    }
}

/// Everything that a response can say without any content.
fn beginnings() -> Vec<Vec<String>> {
    let start = || Answer::of(MODEL).unfinished();
    let block = |block: &str| [start(), vec![sse::content_block_start(0, block)]].concat();
    let tool = r#"{"type":"tool_use","id":"toolu_00","name":"f","input":{}}"#;
    let no_input = sse::tool(0, "toolu_00", "f", &[]);
    vec![
        vec![],
        vec![sse::ping()],
        start(),
        vec![sse::ping(), start().concat(), sse::ping()],
        vec![": a comment\n\n".to_owned(), sse::event("of_tomorrow", r#"{"type":"of_tomorrow"}"#)],
        block(r#"{"type":"text","text":""}"#),
        block(r#"{"type":"thinking","thinking":"","signature":""}"#),
        block(r#"{"type":"server_tool_use","id":"srvtoolu_0","name":"web_search","input":{}}"#),
        block(tool),
        // With a first delta that has nothing in it.
        [start(), no_input].concat(),
    ]
}

pub(crate) fn hello() -> Vec<String> {
    Answer::of(MODEL).text(&["Hel", "lo"]).stop("end_turn")
}

/// The four ways of asking the same: path, and streamed or not.
pub(crate) fn ways() -> [(&'static str, bool); 4] {
    [(CHAT, true), (CHAT, false), (MESSAGES, true), (MESSAGES, false)]
}

pub(crate) fn question(text: &str, streams: bool) -> Value {
    with(with(ask(text), "stream", json!(streams)), "max_tokens", json!(100))
}

/// The text of an answer that is whole, and nothing else.
pub(crate) async fn text_of(path: &str, streams: bool, reply: Reply) -> String {
    assert_eq!(reply.status.as_u16(), 200);
    match (path, streams) {
        (CHAT, true) => {
            let body = reply.text().await;
            assert!(!body.contains("error") && body.ends_with("data: [DONE]\n\n"), "{body}");
            assert_eq!(body.matches(r#""role":"assistant""#).count(), 1, "{body}");
            sse::openai_text(&sse::openai_sse(&body))
        }
        (CHAT, false) => {
            let completion = reply.json().await;
            completion["choices"][0]["message"]["content"].as_str().expect("text").to_owned()
        }
        (_, true) => {
            assert_eq!(reply.text().await, hello().concat(), "the bytes of the answer alone");
            "Hello".to_owned()
        }
        (_, false) => {
            let message = reply.json().await;
            assert_eq!(message["content"].as_array().map(Vec::len), Some(1), "{message}");
            message["content"][0]["text"].as_str().expect("text").to_owned()
        }
    }
}

/// Makes calls, some of them at once.
async fn some_at_once(calls: Vec<impl Future<Output = ()>>) {
    futures_util::stream::iter(calls).for_each_concurrent(48, |call| call).await;
}

/// Number of requests that upstream got with this text, and the id of the last one.
pub(crate) fn asked(upstream: &Upstream, marker: &str) -> (usize, String) {
    let marker = format!("{marker:?}");
    let requests = upstream.requests();
    let of_it = |body: &[u8]| str::from_utf8(body).expect("text").contains(&marker);
    let positions: Vec<usize> =
        (0..requests.len()).filter(|&at| of_it(&requests[at].body)).collect();
    (positions.len(), format!("req_{:03}", positions.last().expect("a request")))
}

/// Holds that the ledger counts the requests that upstream got, in sum and for each exchange.
async fn tries_are_counted(app: &App, upstream: &Upstream, markers: &[String]) {
    let exchanges = app.ledger().exchanges().await;
    assert_eq!(exchanges.len(), markers.len());
    for marker in markers {
        let (count, last) = asked(upstream, marker);
        let exchange = exchanges
            .iter()
            .find(|it| it.upstream_request.as_deref() == Some(&*last))
            .unwrap_or_else(|| panic!("{marker}: no exchange has {last}"));
        assert_eq!(exchange.tries, i64::try_from(count).expect("few"), "{marker}");
        assert_eq!(exchange.cost_is, "at_least", "{marker}: what failed may have been billed");
    }
    let total = app.ledger().stats().await.total;
    assert_eq!(total.upstream_requests, upstream.requests().len() as u64);
    assert_eq!(app.ledger().count("running").await, 0);
}

#[tokio::test]
async fn what_fails_before_any_content_is_asked_again_and_nobody_sees_it() {
    let upstream = &Upstream::start().await;
    let app = &App::start(upstream).await;
    let (mut markers, mut calls) = (Vec::new(), Vec::new());
    for (position, beginning) in beginnings().into_iter().enumerate() {
        for (kind, ..) in KINDS {
            for (path, streams) in ways() {
                let marker = format!("{kind} {position} {path} {streams}");
                let quoted = format!("{marker:?}");
                upstream.push(failing(kind, beginning.clone()).only_for(&quoted));
                upstream.push(Script::sse(hello()).only_for(&quoted));
                markers.push(marker.clone());
                calls.push(async move {
                    let reply = app.client().post(path, &question(&marker, streams)).await;
                    assert_eq!(reply.status.as_u16(), 200, "{marker}");
                    assert_eq!(text_of(path, streams, reply).await, "Hello", "{marker}");
                    assert_eq!(asked(upstream, &marker).0, 2, "{marker}");
                });
            }
        }
    }
    some_at_once(calls).await;
    tries_are_counted(app, upstream, &markers).await;
    assert!(app.ledger().exchanges().await.iter().all(|it| it.outcome == "complete"));
}

#[tokio::test]
async fn what_always_fails_before_any_content_is_an_http_error() {
    let upstream = &Upstream::start().await;
    let app = &App::start(upstream).await;
    let (mut markers, mut calls) = (Vec::new(), Vec::new());
    for (position, beginning) in beginnings().into_iter().enumerate() {
        for (kind, chat_status, native_status) in KINDS {
            for (path, streams) in ways() {
                let marker = format!("{kind} {position} {path} {streams}");
                let script = failing(kind, beginning.clone()).only_for(&format!("{marker:?}"));
                let tries = 3;
                for _ in 0..tries {
                    upstream.push(script.clone());
                }
                markers.push(marker.clone());
                calls.push(async move {
                    let reply = app.client().post(path, &question(&marker, streams)).await;
                    let status = if path == CHAT { chat_status } else { native_status };
                    assert_eq!(reply.status.as_u16(), status, "{marker}");
                    assert_eq!(reply.header("content-type"), Some("application/json"), "{marker}");
                    let is_event = kind.ends_with("_error");
                    assert_eq!(reply.header("retry-after-ms"), is_event.then_some("1"), "{marker}");
                    let body = reply.json().await;
                    if path == MESSAGES {
                        let expected = if is_event { kind } else { "api_error" };
                        assert_eq!(body["error"]["type"], expected, "{marker}");
                    }
                    assert!(body["error"]["message"].is_string(), "{marker}");
                    assert_eq!(asked(upstream, &marker).0, tries, "{marker}");
                });
            }
        }
    }
    some_at_once(calls).await;
    tries_are_counted(app, upstream, &markers).await;
    for exchange in app.ledger().exchanges().await {
        let expected = match exchange.error_kind.as_deref() {
            Some("cut") => "cut",
            _ => "failed",
        };
        assert_eq!((exchange.outcome.as_str(), exchange.status), (expected, Some(200)));
        let is_event = exchange.error_kind.as_deref().is_some_and(|kind| kind.ends_with("_error"));
        assert!(!is_event || exchange.recording.is_some(), "a fixture of it can say the same");
    }
}

#[tokio::test]
async fn a_silence_before_any_content_is_a_timeout_and_asked_once() {
    let upstream = Upstream::start().await;
    let app = Setup::of(&upstream).set("REPRISE_UPSTREAM_IDLE_TIMEOUT", "500ms").start().await;
    let (app, upstream) = (&app, &upstream);
    let mut calls = Vec::new();
    for (position, beginning) in beginnings().into_iter().enumerate() {
        for (path, streams) in ways() {
            let marker = format!("stall {position} {path} {streams}");
            let script = Script::sse(beginning.clone()).stall();
            upstream.push(script.only_for(&format!("{marker:?}")));
            calls.push(async move {
                let reply = app.client().post(path, &question(&marker, streams)).await;
                assert_eq!(reply.status.as_u16(), 504, "{marker}");
                assert_eq!(asked(upstream, &marker).0, 1, "{marker}");
            });
        }
    }
    some_at_once(calls).await;
    assert!(app.ledger().exchanges().await.iter().all(|exchange| exchange.tries == 1));
}

#[tokio::test]
async fn what_fails_after_the_first_content_is_told_and_not_asked_again() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let start = || Answer::of(MODEL).unfinished();
    let block = |block: &str| [start(), vec![sse::content_block_start(0, block)]].concat();
    let told = [
        [start(), sse::text(0, &["Hel"])].concat(),
        [start(), sse::thinking(0, &[], "EqQB")].concat(),
        [start(), sse::tool(0, "toolu_01", "f", &["{"])].concat(),
        block(r#"{"type":"text","text":"Hel"}"#),
        block(r#"{"type":"tool_use","id":"toolu_01","name":"f","input":{"a":1}}"#),
        block(r#"{"type":"redacted_thinking","data":"Em"}"#),
        block(r#"{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[]}"#),
        block(r#"{"type":"fallback","from":{"model":"a"},"to":{"model":"b"}}"#),
        [start(), vec![sse::message_delta("end_turn", None, sse::Tokens::default())]].concat(),
    ];
    let last = told.len() - 1;
    for (position, events) in told.into_iter().enumerate() {
        // Behind the reason for the end, the end of the body is one.
        let kinds =
            KINDS.iter().filter(|(kind, ..)| position < last || !["end", "closed"].contains(kind));
        for (kind, ..) in kinds {
            for (path, streams) in ways() {
                let marker = format!("{kind} {position} {path} {streams}");
                upstream.push(failing(kind, events.clone()).only_for(&format!("{marker:?}")));
                let reply = app.client().post(path, &question(&marker, streams)).await;
                let status = reply.status.as_u16();
                assert!(if streams { status == 200 } else { status >= 400 }, "{marker}: {status}");
                let body = reply.text().await;
                assert!(body.contains("error") && !body.contains("[DONE]"), "{marker}: {body}");
                assert_eq!(asked(&upstream, &marker).0, 1, "{marker}");
            }
        }
    }
    assert!(app.ledger().exchanges().await.iter().all(|exchange| exchange.tries == 1));
}

#[tokio::test]
async fn statuses_events_and_cuts_share_one_budget_and_all_of_them_cost() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let overloaded = || {
        let script = Script::error(529, "overloaded_error", "Overloaded");
        script.header("retry-after-ms", "1")
    };
    let start = || Answer::of(MODEL).unfinished();
    upstream.push(overloaded());
    upstream.push(failing("overloaded_error", start()));
    upstream.push(failing("end", vec![]));
    let reply = app.client().post(CHAT, &ask("hi")).await;
    assert_eq!((reply.status.as_u16(), upstream.requests().len()), (502, 3));

    upstream.push(failing("overloaded_error", start()));
    upstream.push(overloaded());
    upstream.push(Script::sse(hello()));
    let reply = app.client().post(CHAT, &ask("again")).await;
    assert_eq!(text_of(CHAT, true, reply).await, "Hello");
    let exchanges = app.ledger().exchanges().await;
    // 12 tokens in at $1 and one out at $5, by the million; and 7 out in the answer.
    let costs: Vec<_> =
        exchanges.iter().map(|it| (it.tries, it.input, it.output, it.cost)).collect();
    assert_eq!(costs, [(3, 12, 1, Some(17_000)), (3, 24, 8, Some(17_000 + 47_000))]);
    assert!(exchanges.iter().all(|exchange| exchange.cost_is == "at_least"));

    upstream.push(overloaded());
    upstream.push(Script::sse(hello()));
    app.client().post(CHAT, &ask("once more")).await.text().await;
    let exchange = app.ledger().exchanges().await.pop().expect("an exchange");
    assert_eq!((exchange.tries, exchange.cost_is.as_str()), (2, "exact"), "no status is billed");
}

#[tokio::test]
async fn what_is_no_use_or_takes_long_is_not_asked_again() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let spent = r#"{"type":"error","error":{"type":"rate_limit_error","message":"spent","details":{"error_code":"enforced_spend_limit_reached"}}}"#;
    for (number, (script, chat_status, native_status)) in [
        (Script::sse([sse::error("authentication_error", "no")]), 401, 401),
        (Script::sse([sse::error("request_too_large", "no")]), 413, 413),
        (Script::sse([sse::event("error", spent)]), 429, 429),
        (Script::sse([sse::error("overloaded_error", "x")]).header("retry-after", "60"), 503, 529),
        (Script::sse([sse::error("api_error", "x")]).header("x-should-retry", "false"), 500, 500),
        (Script::sse([sse::text_delta(0, "before the beginning")]), 502, 502),
    ]
    .into_iter()
    .enumerate()
    {
        for (path, streams) in ways() {
            upstream.push(script.clone());
            let before = upstream.requests().len();
            let text = format!("{number} {path} {streams}");
            let reply = app.client().post(path, &question(&text, streams)).await;
            let status = if path == CHAT { chat_status } else { native_status };
            assert_eq!(reply.status.as_u16(), status, "{text}");
            if number == 3 {
                assert_eq!(reply.header("retry-after"), Some("60"));
            }
            let body = reply.text().await;
            if number == 2 && path == MESSAGES {
                assert_eq!(body, spent, "the error as it was written");
            }
            assert_eq!(upstream.requests().len(), before + 1, "{text}");
        }
    }
}

#[tokio::test]
async fn a_refusal_as_an_event_is_healed_as_one_with_a_status() {
    for streams in [true, false] {
        let upstream = Upstream::start().await;
        let app = App::start(&upstream).await;
        let refusal = sse::error("invalid_request_error", "top_p: Extra inputs are not permitted");
        upstream.push(Script::sse(Answer::of(MODEL).event(refusal).unfinished()));
        upstream.push(Script::sse(hello()));
        let request = with(question("hi", streams), "top_p", json!(0.5));
        let reply = app.client().post(CHAT, &request).await;
        assert_eq!(text_of(CHAT, streams, reply).await, "Hello");
        let sent = upstream.requests();
        assert_eq!((sent.len(), sent[1].json().get("top_p")), (2, None));
        assert_eq!(app.ledger().exchange().await.tries, 2);
    }
}

#[tokio::test]
async fn who_joins_an_answer_that_is_held_gets_the_same() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    for (fails, status, asked) in [(1, 200, 2), (3, 503, 3)] {
        let gate = Gate::new();
        let text = format!("fails {fails} times");
        let held = Script::sse(Answer::of(MODEL).event(sse::ping()).unfinished());
        let error = sse::error("overloaded_error", "Overloaded");
        upstream.push(held.header("retry-after-ms", "1").wait(&gate).pieces([error]));
        for _ in 1..fails {
            upstream.push(failing("overloaded_error", vec![]));
        }
        if status == 200 {
            upstream.push(Script::sse(hello()));
        }
        let before = upstream.requests().len();
        let body = question(&text, true);
        let call = async |client: Client| client.post(CHAT, &body).await;
        let (replies, ()) = tokio::join!(join_all((0..5).map(|_| call(app.client()))), async {
            gate.reached(1).await;
            let calls =
                async || app.client().get("/ready").await.json().await["running"]["calls"] == 5;
            crate::support::until("five calls", calls).await;
            gate.open();
        });
        for reply in replies {
            assert_eq!(reply.status.as_u16(), status);
            if status == 200 {
                assert_eq!(text_of(CHAT, true, reply).await, "Hello");
            }
        }
        assert_eq!(upstream.requests().len() - before, asked);
    }
    let ledger = app.stop().await;
    let exchanges = ledger.exchanges().await;
    assert_eq!(exchanges.iter().map(|it| it.tries).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(ledger.stats().await.total.upstream_requests, 5, "who joins asks for nothing");
    let statuses: Vec<_> = ledger.calls().await.iter().map(|call| call.status).collect();
    assert_eq!(statuses, [[Some(200); 5], [Some(503); 5]].concat());
}

#[tokio::test]
async fn who_leaves_while_nothing_was_told_stops_it() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let gate = Gate::new();
    let held = Script::sse(Answer::of(MODEL).event(sse::ping()).unfinished());
    upstream.push(held.wait(&gate));
    app.client().post_and_leave(CHAT, &ask("hi"), gate.reached(1)).await;
    upstream.await_outcome(0, Outcome::Disconnected).await;
    let exchange = app.ledger().await_exchange(1).await;
    assert_eq!((exchange.outcome.as_str(), exchange.tries), ("stopped", 1));
    assert_eq!(exchange.cost_is, "at_least");
    assert_eq!(app.ledger().calls().await[0].status, None, "nobody got a 200");

    // While it waits to ask again.
    let began = std::time::Instant::now();
    let event = sse::error("overloaded_error", "Overloaded");
    upstream.push(Script::sse([event]).header("retry-after", "3"));
    let failed = upstream.await_outcome(1, Outcome::Completed);
    app.client().post_and_leave(CHAT, &ask("again"), failed).await;
    let exchange = app.ledger().await_exchange(2).await;
    assert_eq!((exchange.outcome.as_str(), exchange.tries), ("stopped", 1));
    assert!(began.elapsed() < Duration::from_secs(3), "it did not wait for the next try");
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_part_after_a_pause_is_asked_again_as_long_as_nothing_of_it_was_told() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(pausing());
    upstream.push(failing("overloaded_error", Answer::of(MODEL).unfinished()));
    upstream.push(failing("end", vec![]));
    upstream.push(found());
    let chunks = app.client().post(CHAT, &ask("hi")).await.chunks().await;
    assert_eq!(sse::openai_text(&chunks), "I search. Found.");
    assert_eq!(chunks.last(), Some(&json!("[DONE]")));
    let exchanges = app.ledger().exchanges().await;
    assert_eq!(exchanges.iter().map(|it| it.tries).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(app.ledger().stats().await.total.upstream_requests, 4);

    // What always fails is told after the first part.
    upstream.push(pausing());
    for _ in 0..3 {
        upstream.push(failing("overloaded_error", Answer::of(MODEL).unfinished()));
    }
    let text = app.client().post(CHAT, &ask("again")).await.text().await;
    assert!(text.contains("I search. ") && text.contains("server_is_overloaded"), "{text}");
    assert!(!text.contains("[DONE]"));
    assert_eq!(upstream.requests().len(), 8);
}
