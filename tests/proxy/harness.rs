//! The upstream and the client that the other tests stand on do what they say.

use serde_json::{Value, json};

use crate::support::{
    client::{Client, Read},
    script::{Gate, Script},
    sse::{self, Answer, Tokens},
    upstream::{Outcome, Upstream, model},
};

const MESSAGES: &str = "/v1/messages";

fn hello() -> Vec<String> {
    Answer::of("claude-haiku-4-5").text(&["Hel", "lo"]).stop("end_turn")
}

fn pooled() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

#[tokio::test]
async fn a_request_is_recorded_and_answered_by_the_next_script() {
    let upstream = Upstream::start().await;
    upstream.push(Script::json(200, &json!({"n": 1})).header("x-more", "yes"));
    upstream.push(Script::error(529, "overloaded_error", "Overloaded"));
    let client = Client::new(&upstream.url()).header("x-api-key", "sk-ant-test");

    let first = client.post("/v1/messages?beta=true", &json!({"model": "m"})).await;
    assert_eq!((first.status.as_u16(), first.header("x-more")), (200, Some("yes")));
    assert_eq!(first.header("request-id"), Some("req_000"));
    assert_eq!(first.json().await, json!({"n": 1}));
    let second = client.post(MESSAGES, &json!({})).await;
    assert_eq!(second.status.as_u16(), 529);
    assert_eq!(second.json().await["error"]["type"], "overloaded_error");
    let unscripted = client.post(MESSAGES, &json!({})).await;
    assert_eq!(unscripted.status.as_u16(), 500);

    let requests = upstream.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!((requests[0].method.as_str(), requests[0].path.as_str()), ("POST", MESSAGES));
    assert_eq!(requests[0].query, "beta=true");
    assert_eq!(requests[0].header("x-api-key"), Some("sk-ant-test"));
    assert_eq!(requests[0].json(), json!({"model": "m"}));
    assert_eq!(upstream.await_request(2).await.json(), json!({}));
    assert_eq!(upstream.outcome(2), Outcome::Completed);
}

#[tokio::test]
async fn a_script_may_wait_for_its_own_request_or_stay_for_all() {
    let upstream = Upstream::start().await;
    upstream.push(Script::json(200, &json!("title")).only_for("Generate a title"));
    upstream.always(Script::json(200, &json!("chat")));
    let client = Client::new(&upstream.url());
    let ask = async |text: &str| client.post(MESSAGES, &json!(text)).await.json().await;
    assert_eq!(ask("hello").await, "chat");
    assert_eq!(ask("Generate a title for it").await, "title");
    assert_eq!(ask("Generate a title for it").await, "chat");
}

#[tokio::test]
async fn the_first_piece_comes_before_the_second_is_written() {
    let upstream = Upstream::start().await;
    let (first, second) = (Gate::new(), Gate::new());
    let script = Script::sse(["one"]).wait(&first).pieces(["two", "three"]).wait(&second);
    upstream.push(script.pieces(["four"]));

    let mut reply = Client::new(&upstream.url()).post(MESSAGES, &json!({})).await;
    assert_eq!(reply.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(reply.piece().await, "one");
    first.reached(1).await;
    assert_eq!(upstream.outcome(0), Outcome::Running);
    first.release();
    assert_eq!(reply.read_until("three").await, "twothree");
    assert!(!reply.is_complete());
    second.open();
    assert_eq!(reply.piece().await, "four");
    assert_eq!(reply.read().await, Read::End);
    upstream.await_outcome(0, Outcome::Completed).await;
}

#[tokio::test]
async fn a_held_head_comes_when_the_gate_opens() {
    let upstream = Upstream::start().await;
    let gate = Gate::new();
    upstream.push(Script::sse(hello()).hold(&gate));
    let client = Client::new(&upstream.url());
    let request = json!({});
    let (reply, ()) = tokio::join!(client.post(MESSAGES, &request), async {
        gate.reached(1).await;
        gate.open();
    });
    assert_eq!(reply.text().await, hello().concat());
}

#[tokio::test]
async fn a_client_that_goes_away_is_noticed_while_nothing_is_said() {
    let upstream = Upstream::start().await;
    let gate = Gate::new();
    let client = Client::new(&upstream.url());

    upstream.push(Script::sse(["one"]).stall());
    let mut reply = client.post(MESSAGES, &json!({})).await;
    assert_eq!(reply.piece().await, "one");
    drop(reply);
    upstream.await_outcome(0, Outcome::Disconnected).await;

    upstream.push(Script::sse(["one"]).wait(&gate).pieces(["two"]));
    drop(client.post(MESSAGES, &json!({})).await);
    upstream.await_outcome(1, Outcome::Disconnected).await;

    upstream.push(Script::silent());
    let arrived = async { drop(upstream.await_request(3).await) };
    client.post_and_leave(MESSAGES, &json!({}), arrived).await;
    upstream.await_outcome(2, Outcome::Disconnected).await;
}

#[tokio::test]
async fn a_client_that_reads_no_more_and_leaves_is_noticed_while_pieces_are_written() {
    let upstream = Upstream::start().await;
    upstream.push(Script::sse(vec![vec![b'x'; 1 << 20]; 64]));
    let mut reply = Client::new(&upstream.url()).post(MESSAGES, &json!({})).await;
    assert!(matches!(reply.read().await, Read::Piece(_)));
    drop(reply);
    upstream.await_outcome(0, Outcome::Disconnected).await;
}

#[tokio::test]
async fn a_connection_is_cut_where_the_script_says() {
    let upstream = Upstream::start().await;
    let client = Client::new(&upstream.url());

    upstream.push(Script::hang_up());
    let request = b"POST /v1/messages HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}";
    assert!(client.try_raw(request).await.is_none());
    upstream.await_outcome(0, Outcome::Cut).await;

    upstream.push(Script::sse(["one"]).cut().pieces(["two"]));
    let (body, end) = client.post(MESSAGES, &json!({})).await.rest().await;
    assert_eq!((&body[..], end), (&b"one"[..], Read::Cut));

    upstream.push(Script::respond(500).body("{\"type\"").cut().body(":\"error\"}"));
    let mut reply = client.send_raw(request).await;
    assert_eq!(reply.header("content-length"), Some("16"));
    assert_eq!(reply.rest().await.1, Read::Cut);
    upstream.await_outcome(2, Outcome::Cut).await;
}

#[tokio::test]
async fn a_body_may_end_with_its_connection() {
    let upstream = Upstream::start().await;
    upstream.push(Script::sse(["one", "two"]).until_close());
    let reply = Client::new(&upstream.url()).post(MESSAGES, &json!({})).await;
    assert_eq!(reply.header("transfer-encoding"), None);
    assert_eq!(reply.text().await, "onetwo");
}

#[tokio::test]
async fn connections_are_kept_closed_or_go_stale() {
    let upstream = Upstream::start().await;
    let client = pooled();
    let ask = async || {
        let request = client.post(format!("{}{MESSAGES}", upstream.url())).body("{}");
        request.send().await?.bytes().await
    };
    upstream.push(Script::sse(hello()));
    upstream.push(Script::json(200, &json!({})).then_stale());
    upstream.push(Script::json(200, &json!({})).until_close());
    upstream.push(Script::json(200, &json!({})));

    assert_eq!(ask().await.expect("an answer"), hello().concat());
    ask().await.expect("an answer on the same connection");
    assert_eq!(upstream.connections(), 1);
    assert!(ask().await.is_err(), "the connection was closed under this request");
    assert_eq!((upstream.stale(), upstream.requests().len()), (1, 2));
    ask().await.expect("an answer on a new connection");
    let connections: Vec<_> = upstream.requests().iter().map(|it| it.connection).collect();
    assert_eq!(connections, [0, 0, 1]);
}

#[tokio::test]
async fn models_are_listed_in_pages() {
    let upstream = Upstream::start().await;
    let client = Client::new(&upstream.url());
    assert_eq!(client.get("/v1/models").await.status.as_u16(), 404);

    upstream.models(vec![model("c", "C"), model("b", "B"), model("a", "A")], 2);
    let page = client.get("/v1/models?limit=1000").await.json().await;
    assert_eq!(ids(&page), ["c", "b"]);
    assert_eq!((&page["last_id"], &page["has_more"]), (&json!("b"), &json!(true)));
    let page = client.get("/v1/models?limit=1000&after_id=b").await.json().await;
    assert_eq!(ids(&page), ["a"]);
    assert_eq!(page["has_more"], false);
    assert_eq!(client.get("/v1/models/b").await.json().await, model("b", "B"));
    assert_eq!(client.get("/v1/models/x").await.status.as_u16(), 404);

    upstream.models_by(Script::error(500, "api_error", "Internal server error"));
    assert_eq!(client.get("/v1/models").await.status.as_u16(), 500);
    assert_eq!((upstream.model_requests().len(), upstream.requests().len()), (6, 0));
}

#[tokio::test]
async fn an_upstream_that_is_down_refuses_connections() {
    let upstream = Upstream::start().await;
    upstream.push(Script::sse(["one"]).stall());
    let mut reply = Client::new(&upstream.url()).post(MESSAGES, &json!({})).await;
    assert_eq!(reply.piece().await, "one");
    let url = upstream.down().await;
    assert_eq!(reply.read().await, Read::Cut);
    for url in [url, Upstream::nowhere().await] {
        assert!(Client::new(&url).try_raw(b"GET / HTTP/1.1\r\n\r\n").await.is_none());
    }
}

#[test]
fn an_answer_is_the_events_of_the_wire() {
    let tokens = Tokens { cache_read: 1800, thinking: 3, ..Tokens::default() };
    let events = Answer::counting("claude-opus-5-5", tokens)
        .thinking(&["Let me"], "EqQB")
        .event(sse::ping())
        .whole(r#"{"type":"redacted_thinking","data":"Em"}"#)
        .text(&["I'll \"check\" \u{1f600}"])
        .tool("toolu_01", "get_weather", &[r#"{"location": "#, r#""Paris"}"#])
        .stop("tool_use");
    let expected = [
        r#"message_start {"type":"message_start","message":{"id":"msg_01","type":"message","role":"assistant","model":"claude-opus-5-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":12,"cache_creation_input_tokens":0,"cache_read_input_tokens":1800,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"output_tokens":1,"service_tier":"standard"}}}"#,
        r#"content_block_start {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        r#"content_block_delta {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Let me"}}"#,
        r#"content_block_delta {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQB"}}"#,
        r#"content_block_stop {"type":"content_block_stop","index":0}"#,
        r#"ping {"type":"ping"}"#,
        r#"content_block_start {"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"Em"}}"#,
        r#"content_block_stop {"type":"content_block_stop","index":1}"#,
        r#"content_block_start {"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}"#,
        r#"content_block_delta {"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"I'll \"check\" 😀"}}"#,
        r#"content_block_stop {"type":"content_block_stop","index":2}"#,
        r#"content_block_start {"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_01","name":"get_weather","input":{}}}"#,
        r#"content_block_delta {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":""}}"#,
        r#"content_block_delta {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"location\": "}}"#,
        r#"content_block_delta {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"\"Paris\"}"}}"#,
        r#"content_block_stop {"type":"content_block_stop","index":3}"#,
        r#"message_delta {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":12,"cache_creation_input_tokens":0,"cache_read_input_tokens":1800,"output_tokens":7,"output_tokens_details":{"thinking_tokens":3}}}"#,
        r#"message_stop {"type":"message_stop"}"#,
    ];
    let expected = expected.map(|line| {
        let (name, data) = line.split_once(' ').expect("a name and data");
        serde_json::from_str::<Value>(data).expect("data is JSON");
        format!("event: {name}\ndata: {data}\n\n")
    });
    assert_eq!(events, expected);

    let stopped = Answer::of("m").text(&["a END"]).stop_sequence("END").concat();
    assert!(stopped.contains(r#""stop_reason":"stop_sequence","stop_sequence":"END""#));
    let failed = Answer::of("m").event(sse::error("overloaded_error", "Overloaded")).unfinished();
    assert!(failed[1].starts_with("event: error\ndata: {\"type\":\"error\",\"error\":{"));
}

#[tokio::test]
async fn a_body_is_cut_into_pieces_anywhere() {
    let upstream = Upstream::start().await;
    let events = Answer::of("m").text(&["h\u{e9}llo"]).stop("end_turn");
    let pieces = sse::cut_every(&events, 1);
    assert_eq!(pieces.len(), events.concat().len());
    upstream.push(Script::sse(pieces));
    upstream.push(Script::sse(sse::cut_at(&events, &[1, 7, 7])));
    for _ in 0..2 {
        let reply = Client::new(&upstream.url()).bearer("k").post(MESSAGES, &json!({})).await;
        assert_eq!(reply.text().await, events.concat());
    }
}

#[tokio::test]
async fn an_openai_stream_is_read_into_its_documents() {
    let upstream = Upstream::start().await;
    let chunk = |text: &str| json!({"choices": [{"delta": {"content": text}}]});
    let body =
        format!("data: {}\n\n: ping\n\ndata: {}\n\ndata: [DONE]\n\n", chunk("a"), chunk("b"));
    upstream.push(Script::respond(200).header("content-type", "text/event-stream").body(body));
    let chunks = Client::new(&upstream.url()).get("/v1/chat").await.chunks().await;
    assert_eq!(chunks, [chunk("a"), chunk("b"), json!("[DONE]")]);
    assert_eq!(sse::openai_text(&chunks), "ab");
}

fn ids(page: &Value) -> Vec<&str> {
    let data = page["data"].as_array().expect("a list");
    data.iter().map(|model| model["id"].as_str().expect("an id")).collect()
}
