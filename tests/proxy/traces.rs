//! Traces: which spans a collector gets, and that nothing that was said is in them.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    proxy::chats::of,
    support::{
        app::{App, CHAT, MODEL, Setup, ask, with},
        script::Script,
        sse::{Answer, Tokens},
        upstream::Upstream,
    },
};

/// The attributes of a span, by name.
fn attributes(span: &Value) -> Value {
    let attributes = span["attributes"].as_array().expect("attributes").iter();
    let named = attributes.map(|attribute| {
        let value = attribute["value"].as_object().expect("a value").values().next();
        (attribute["key"].as_str().expect("a key").to_owned(), value.expect("one").clone())
    });
    named.collect::<serde_json::Map<_, _>>().into()
}

/// The spans that a collector got, by their beginning.
fn spans(collector: &Upstream) -> Vec<Value> {
    let mut spans = Vec::new();
    for request in collector.requests() {
        assert_eq!(request.path, "/v1/traces");
        assert_eq!(request.header("content-type"), Some("application/json"));
        let message = request.json();
        let resource = &message["resourceSpans"][0];
        let service = &resource["resource"]["attributes"][0];
        assert_eq!(service, &json!({"key": "service.name", "value": {"stringValue": "reprise"}}));
        spans.extend(resource["scopeSpans"][0]["spans"].as_array().expect("spans").clone());
    }
    let start = |span: &Value| span["startTimeUnixNano"].as_str().map(str::to_owned);
    spans.sort_by_key(|span| (start(span), span["parentSpanId"].is_string()));
    spans
}

async fn traced(upstream: &Upstream, collector: &Upstream) -> App {
    collector.always(Script::json(200, &json!({})));
    Setup::of(upstream).set("REPRISE_OTLP_ENDPOINT", &collector.url()).start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_and_its_exchange_are_a_trace_without_what_was_said() {
    let (upstream, collector) = (Upstream::start().await, Upstream::start().await);
    let app = traced(&upstream, &collector).await;
    let tokens = Tokens { input: 20, cache_write_5m: 300, cache_read: 4_000, ..Tokens::default() };
    let answer = Answer::counting(MODEL, tokens).text(&["an answer"]).stop("end_turn");
    upstream.push(Script::sse(answer));
    for chat in ["c-1", "c-2"] {
        let client = of(&app, "ann", chat, "m-1").header("x-owui-user-name", "Ann Example");
        client.post(CHAT, &ask("a question")).await.text().await;
    }
    app.stop().await;
    let spans = spans(&collector);
    let [asked, exchange, hit] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(asked["traceId"], exchange["traceId"]);
    assert_ne!(asked["traceId"], hit["traceId"]);
    assert_eq!(asked["spanId"], exchange["parentSpanId"]);
    assert_eq!((&asked["kind"], &exchange["kind"]), (&json!(2), &json!(3)));
    assert_eq!(asked["name"], "POST /v1/chat/completions");
    assert_eq!(exchange["name"], format!("chat {MODEL}"));
    let time = |span: &Value, name: &str| -> u64 {
        span[name].as_str().expect("a time").parse().expect("a number")
    };
    for span in &spans {
        assert!(time(span, "startTimeUnixNano") < time(span, "endTimeUnixNano"), "{span}");
        assert_eq!(span["status"], json!({}), "{span}");
    }
    let asked = attributes(asked);
    let id = asked["reprise.call"].as_str().expect("an id").replace('-', "");
    assert_eq!(id, exchange["traceId"].as_str().expect("an id"), "the call is found by its trace");
    assert_eq!(asked["reprise.answered_by"], "miss");
    assert_eq!(asked["http.response.status_code"], "200");
    assert_eq!(attributes(hit)["reprise.answered_by"], "hit");
    assert_eq!(attributes(hit)["reprise.exchange"], asked["reprise.exchange"]);
    let exchange = attributes(exchange);
    for (name, value) in [
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.provider.name", json!("anthropic")),
        ("gen_ai.request.model", json!(MODEL)),
        ("gen_ai.response.model", json!(MODEL)),
        ("gen_ai.response.finish_reasons", json!({"values": [{"stringValue": "end_turn"}]})),
        ("gen_ai.usage.input_tokens", json!("4320")),
        ("gen_ai.usage.output_tokens", json!("7")),
        ("gen_ai.usage.cache_read.input_tokens", json!("4000")),
        ("gen_ai.usage.cache_write.input_tokens", json!("300")),
        ("server.address", json!("127.0.0.1")),
    ] {
        assert_eq!(exchange[name], value, "{name}");
    }
    let sent: String = collector.requests().iter().map(|it| it.json().to_string()).collect();
    for said in ["question", "an answer", "ann", "Ann Example", "c-1", "m-1", "sk-ant"] {
        assert!(!sent.contains(said), "{said}: {sent}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_call_is_a_failed_span_with_its_kind_of_error() {
    let (upstream, collector) = (Upstream::start().await, Upstream::start().await);
    let app = traced(&upstream, &collector).await;
    upstream.push(Script::error(404, "not_found_error", "a model of someone"));
    let body = with(ask("hi"), "model", json!(format!("claude-{}", "x".repeat(150))));
    let reply = app.client().post(CHAT, &body).await;
    let status = reply.status;
    assert_eq!(status, StatusCode::NOT_FOUND, "{}", reply.text().await);
    app.stop().await;
    let spans = spans(&collector);
    assert_eq!(spans.len(), 2);
    for span in &spans {
        assert_eq!(span["status"], json!({ "code": 2 }));
        assert_eq!(attributes(span)["error.type"], "not_found_error");
        let long = span.to_string();
        assert!(!long.contains(&"x".repeat(130)) && !long.contains("someone"), "{long}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_costs_no_answer() {
    let upstream = Upstream::start().await;
    upstream.always(Script::sse(Answer::of(MODEL).text(&["Hello"]).stop("end_turn")));
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = nobody.local_addr().expect("its number").port();
    drop(nobody);
    let setup = Setup::of(&upstream);
    let setup = setup.set("REPRISE_OTLP_ENDPOINT", &format!("http://127.0.0.1:{port}"));
    let app = setup.start().await;
    for text in ["one", "two", "one"] {
        let reply = app.client().post(CHAT, &ask(text)).await;
        assert_eq!(reply.status, StatusCode::OK);
        assert!(reply.text().await.contains("Hello"));
    }
    assert_eq!(app.stop().await.calls().await.len(), 3);
}
