//! What goes wrong before the first byte: upstream's errors become OpenAI's, and what may work is asked again.

use serde_json::{Value, json};

use crate::support::{
    app::{App, CHAT, MODEL, Setup, ask, ask_whole, with},
    script::Script,
    sse::{self, Answer},
    upstream::Upstream,
};

fn hello() -> Script {
    Script::sse(Answer::of(MODEL).text(&["Hello"]).stop("end_turn"))
}

/// An error that must not be asked again.
fn once(status: u16, kind: &str, message: &str) -> Script {
    Script::error(status, kind, message).header("x-should-retry", "false")
}

#[tokio::test]
async fn each_error_of_upstream_has_its_status_type_and_code() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let (auth, invalid, server) = ("upstream_auth_error", "invalid_request_error", "server_error");
    let spent = "You have reached your specified API usage limits.";
    let cases: [(u16, &str, &str, u16, &str, Value); 13] = [
        (400, invalid, "max_tokens: too many", 400, invalid, Value::Null),
        (400, invalid, "prompt is too long: 3 > 2", 400, invalid, json!("context_length_exceeded")),
        (401, "authentication_error", "invalid x-api-key", 401, auth, json!(auth)),
        (402, "billing_error", "pay", 402, auth, json!(auth)),
        (403, "permission_error", "no", 403, auth, json!(auth)),
        (404, "not_found_error", "model: claude-x", 404, invalid, json!("model_not_found")),
        (413, "request_too_large", "too large", 413, invalid, json!("request_too_large")),
        (429, "rate_limit_error", "slow", 429, "rate_limit_error", json!("rate_limit_exceeded")),
        (400, invalid, spent, 400, "insufficient_quota", json!("insufficient_quota")),
        (500, "api_error", "Internal", 500, server, Value::Null),
        (504, "timeout_error", "Timed out", 504, server, json!("timeout")),
        (529, "overloaded_error", "Overloaded", 503, server, json!("server_is_overloaded")),
        (503, "an_error_of_tomorrow", "?", 502, server, Value::Null),
    ];
    for (number, (status, kind, message, ours, our_kind, code)) in cases.iter().enumerate() {
        upstream.push(once(*status, kind, message));
        // Streaming or not, it is an HTTP error, and never one as SSE.
        let request = if number % 2 == 0 { ask("hi") } else { ask_whole("hi") };
        let reply = app.client().post(CHAT, &request).await;
        assert_eq!(reply.status.as_u16(), *ours, "{kind}");
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.header("x-request-id"), Some(&*format!("req_{number:03}")));
        let error = reply.json().await["error"].clone();
        assert_eq!((&error["type"], &error["code"]), (&json!(our_kind), code), "{kind}: {message}");
        assert_eq!(error["param"], Value::Null);
        let told = error["message"].as_str().expect("a message").to_lowercase();
        let message = message.trim_end_matches('.').to_lowercase();
        assert!(told.contains("anthropic") && told.contains(&message), "{error}");

        let exchanges = app.ledger().exchanges().await;
        assert_eq!(exchanges.len(), number + 1);
        let exchange = &exchanges[number];
        assert_eq!((exchange.outcome.as_str(), exchange.servable), ("failed", false));
        assert_eq!(exchange.error_kind.as_deref(), Some(*kind));
        assert_eq!(exchange.status, Some(i64::from(*status)));
        assert_eq!((exchange.cost, exchange.cost_is.as_str()), (Some(0), "exact"));
        assert_eq!(app.ledger().calls().await[number].status, Some(i64::from(*ours)));
    }
    assert_eq!(upstream.requests().len(), cases.len());
}

#[tokio::test]
async fn what_broke_before_a_refusal_may_have_been_billed() {
    let refusal = || {
        let refusal = "temperature: Extra inputs are not permitted";
        Script::error(400, "invalid_request_error", refusal)
    };
    // Refused in the end, or answered once that had been healed.
    for (scripts, least) in [(vec![refusal(), refusal()], 0), (vec![refusal(), hello()], 47_000)] {
        let upstream = Upstream::start().await;
        let app = App::start(&upstream).await;
        upstream.push(Script::hang_up());
        for script in scripts {
            upstream.push(script);
        }
        app.client().post(CHAT, &with(ask("hi"), "temperature", json!(0.5))).await.text().await;
        assert_eq!(upstream.requests().len(), 3);
        let exchange = app.ledger().exchange().await;
        assert_eq!((exchange.cost, exchange.cost_is.as_str()), (Some(least), "at_least"));
    }
}

#[tokio::test]
async fn a_spent_limit_is_not_asked_again_by_sdks() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let details = json!({ "error_code": "enforced_spend_limit_reached" });
    let error = json!({ "type": "rate_limit_error", "message": "spent", "details": details });
    upstream.push(Script::json(429, &json!({ "type": "error", "error": error })));
    let reply = app.client().post(CHAT, &ask("hi")).await;
    assert_eq!((reply.status.as_u16(), reply.header("x-should-retry")), (429, Some("false")));
    assert_eq!(reply.json().await["error"]["code"], "insufficient_quota");
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn an_error_that_is_no_anthropic_json_is_told_all_the_same() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let html = "<html><body><h1>502 Bad Gateway</h1></body></html>";
    let page = |status| {
        let script = Script::respond(status).header("content-type", "text/html").body(html);
        script.header("x-should-retry", "false")
    };
    let edge = json!({ "error": { "type": "request_too_large", "message": "Request too large" } });
    upstream.push(page(502));
    upstream.push(page(413));
    upstream.push(Script::json(413, &edge));
    upstream.push(Script::respond(500).header("x-should-retry", "false"));
    for (status, kind) in [
        (502, "server_error"),
        (413, "invalid_request_error"),
        (413, "invalid_request_error"),
        (500, "server_error"),
    ] {
        let reply = app.client().post(CHAT, &ask("hi")).await;
        assert_eq!(reply.status.as_u16(), status);
        let error = reply.json().await;
        assert_eq!(error["error"]["type"], kind);
        assert!(!error.to_string().contains("html"), "{error}");
    }
}

#[tokio::test]
async fn what_may_work_is_asked_again_and_the_client_sees_one_answer() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    for first in [
        Script::error(529, "overloaded_error", "Overloaded"),
        Script::error(500, "api_error", "Internal server error"),
        Script::error(429, "rate_limit_error", "slow").header("retry-after", "0"),
        Script::error(400, "invalid_request_error", "odd").header("x-should-retry", "true"),
        Script::error(503, "api_error", "soon").header("retry-after-ms", "1"),
        Script::hang_up(),
    ] {
        let before = upstream.requests().len();
        upstream.push(first);
        upstream.push(hello());
        let client = app.client().header("cache-control", "no-cache");
        let chunks = client.post(CHAT, &ask("hi")).await.chunks().await;
        assert_eq!(sse::openai_text(&chunks), "Hello");
        let asked = upstream.requests().split_off(before);
        assert_eq!(asked.len(), 2);
        assert_eq!(asked[0].body, asked[1].body);
    }
    let exchanges = app.ledger().exchanges().await;
    assert_eq!(exchanges.len(), 6, "retries are part of their exchange");
    assert!(exchanges.iter().all(|exchange| exchange.outcome == "complete" && exchange.servable));
}

#[tokio::test]
async fn upstream_is_asked_three_times_and_no_more() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(Script::error(529, "overloaded_error", "Overloaded"));
    assert_eq!(app.client().post(CHAT, &ask("hi")).await.status.as_u16(), 503);
    assert_eq!(upstream.requests().len(), 3);
    assert_eq!(app.ledger().exchange().await.upstream_request.as_deref(), Some("req_002"));
}

#[tokio::test]
async fn what_is_no_use_or_takes_long_is_not_asked_again() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let far = "Fri, 31 Dec 2100 23:59:59 GMT";
    for (script, status, retry_after) in [
        (once(529, "overloaded_error", "Overloaded"), 503, None),
        (Script::error(529, "overloaded_error", "x").header("retry-after", "60"), 503, Some("60")),
        (Script::error(429, "rate_limit_error", "x").header("retry-after", far), 429, Some(far)),
        (Script::error(429, "rate_limit_error", "x"), 429, None),
        (Script::error(400, "invalid_request_error", "x"), 400, None),
        (Script::error(401, "authentication_error", "x"), 401, None),
    ] {
        let before = upstream.requests().len();
        let should_retry = (before == 0).then_some("false");
        upstream.push(script);
        let reply = app.client().post(CHAT, &ask("hi")).await;
        assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (status, retry_after));
        assert_eq!(reply.header("x-should-retry"), should_retry);
        assert_eq!(upstream.requests().len(), before + 1);
    }
}

#[tokio::test]
async fn a_stale_connection_is_noticed_by_nobody() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    for round in 1..=5 {
        upstream.push(Script::sse(Answer::of(MODEL).text(&["warm"]).stop("end_turn")).then_stale());
        upstream.push(hello());
        for text in ["warm", "Hello"] {
            let question = ask(&format!("{text} {round}"));
            let chunks = app.client().post(CHAT, &question).await.chunks().await;
            assert_eq!(sse::openai_text(&chunks), text);
        }
        assert_eq!(upstream.requests().len(), 2 * round);
    }
    assert!(upstream.stale() > 0, "no pooled connection was ever used");
}

#[tokio::test]
async fn connections_upstream_are_used_again() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(hello());
    for round in 0..5 {
        app.client().post(CHAT, &ask(&format!("round {round}"))).await.text().await;
        upstream.await_outcome(round, crate::support::upstream::Outcome::Completed).await;
    }
    assert!(upstream.connections() < 5, "{} connections for 5 answers", upstream.connections());
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_a_bad_gateway() {
    let app = Setup::at(&Upstream::nowhere().await).start().await;
    let reply = app.client().post(CHAT, &ask("hi")).await;
    assert_eq!(reply.status.as_u16(), 502);
    let error = reply.json().await["error"].clone();
    assert_eq!(
        (&error["type"], &error["code"]),
        (&json!("server_error"), &json!("upstream_unavailable"))
    );
    let exchange = app.ledger().exchange().await;
    assert_eq!(
        (exchange.outcome.as_str(), exchange.error_kind.as_deref()),
        ("failed", Some("connect"))
    );
    assert_eq!(exchange.status, None);
}

#[tokio::test]
async fn a_silent_upstream_is_a_timeout_and_asked_once() {
    let upstream = Upstream::start().await;
    let app = Setup::of(&upstream).set("REPRISE_UPSTREAM_IDLE_TIMEOUT", "300ms").start().await;
    upstream.push(Script::silent());
    let reply = app.client().post(CHAT, &ask("hi")).await;
    assert_eq!(reply.status.as_u16(), 504);
    assert_eq!(reply.json().await["error"]["code"], "upstream_timeout");
    assert_eq!(upstream.requests().len(), 1);
    let exchange = app.ledger().exchange().await;
    assert_eq!(
        (exchange.outcome.as_str(), exchange.error_kind.as_deref()),
        ("failed", Some("timeout"))
    );
    assert_eq!(exchange.cost_is, "at_least");
}

#[tokio::test]
async fn a_success_that_is_no_stream_is_a_bad_gateway() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::json(200, &json!({ "type": "message", "content": [] })));
    upstream.push(Script::respond(200).header("content-type", "text/html").body("<html>"));
    upstream.push(Script::respond(302).header("location", "http://127.0.0.1:1/"));
    upstream.push(Script::respond(200));
    for _ in 0..4 {
        let reply = app.client().post(CHAT, &ask_whole("hi")).await;
        assert_eq!(reply.status.as_u16(), 502);
        assert_eq!(reply.json().await["error"]["type"], "server_error");
    }
    assert_eq!(upstream.requests().len(), 4);
    assert!(app.ledger().exchanges().await.iter().all(|it| it.outcome == "failed" && !it.servable));
}
