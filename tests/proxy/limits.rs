//! Limits on what clients and upstream can make the server hold: bodies, answers that nobody reads, lists without end.

use bytes::Bytes;
use serde_json::json;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::support::{
    app::{App, CHAT, MODEL, Setup, ask, ask_whole},
    client::Reply,
    script::Script,
    soon,
    sse::{self, Answer},
    upstream::{Upstream, model},
};

fn hello() -> Script {
    Script::sse(Answer::of(MODEL).text(&["Hello"]).stop("end_turn"))
}

/// Sends the head of a request, and all of its body but for the last byte.
async fn begin(app: &App, size: usize) -> TcpStream {
    let authority = app.url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&authority).await.expect("a connection");
    let head =
        format!("POST {CHAT} HTTP/1.1\r\nhost: {authority}\r\ncontent-length: {size}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("a head");
    stream.write_all(&vec![b' '; size - 1]).await.expect("most of a body");
    stream
}

/// Asks with a body of this size.
async fn ask_with(app: &App, size: usize) -> Reply {
    let mut body = ask_whole("hi").to_string().into_bytes();
    body.resize(size, b' ');
    app.client().send("POST", CHAT, &body).await
}

#[tokio::test]
async fn bodies_that_do_not_end_leave_room_for_small_ones_and_go_when_their_clients_do() {
    const LARGE: usize = 8 << 20;
    let upstream = Upstream::start().await;
    upstream.always(hello());
    let app = Setup::of(&upstream).set("REPRISE_MAX_BODY", "8MiB").start().await;
    assert_eq!(ask_with(&app, LARGE).await.status.as_u16(), 200);

    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(begin(&app, LARGE).await);
    }
    // They are full once the server has read what was sent.
    let refused = soon("a body that is refused", async {
        loop {
            let reply = ask_with(&app, LARGE).await;
            if reply.status.as_u16() != 200 {
                return reply;
            }
        }
    });
    let refused = refused.await;
    assert_eq!(refused.status.as_u16(), 503);
    assert!(refused.header("retry-after").is_some());
    let error = refused.json().await;
    assert_eq!(error["error"]["code"], "bodies_full");
    assert!(error["error"]["message"].as_str().expect("a message").contains("--max-body"));
    let small = ask_with(&app, 64 << 10).await;
    assert_eq!(small.status.as_u16(), 200, "small bodies are served");
    let anthropics = app.client().send("POST", "/v1/messages", &vec![b' '; LARGE]).await;
    assert_eq!(anthropics.status.as_u16(), 503);
    assert_eq!(anthropics.json().await["type"], "error");

    drop(open);
    soon("room for a body", async { while ask_with(&app, LARGE).await.status.as_u16() != 200 {} })
        .await;
}

#[tokio::test]
async fn a_long_hit_is_the_same_in_pieces() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let words: Vec<String> = (0..20_000).map(|number| format!("word {number} ")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    upstream.push(Script::sse([Answer::of(MODEL).text(&words).stop("end_turn").concat()]));
    let expected = words.concat();
    for cached in [false, true, true] {
        let reply = app.client().post(CHAT, &ask("hi")).await;
        let status = reply.header("cache-status").unwrap_or_default().to_owned();
        assert_eq!(status.contains("hit"), cached, "{status}");
        assert_eq!(sse::openai_text(&reply.chunks().await), expected);
    }
    let native = json!({ "model": MODEL, "max_tokens": 9, "stream": true,
        "messages": [{ "role": "user", "content": "native" }] });
    let events = Answer::of(MODEL).text(&words).stop("end_turn").concat();
    upstream.push(Script::sse([events.clone()]));
    for _ in 0..2 {
        assert_eq!(app.client().post("/v1/messages", &native).await.text().await, events);
    }
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_list_of_models_without_end_is_not_read() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let mut endless = model("claude-large", "Large");
    endless["description"] = "x".repeat(9 << 20).into();
    upstream.models_by(Script::json(200, &json!({ "data": [endless], "has_more": false })));
    let models = app.client().get("/v1/models").await.json().await;
    let ids: Vec<&str> = models["data"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| it["id"].as_str())
        .collect();
    assert!(!ids.is_empty() && !ids.contains(&"claude-large"), "{ids:?}");
}

#[tokio::test]
async fn a_token_count_without_end_is_an_error_that_says_so() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let endless = vec![Bytes::from(vec![b' '; 1 << 20]); 64];
    upstream.push(Script::sse(endless).header("content-type", "application/json"));
    let body = json!({ "model": MODEL, "messages": [{ "role": "user", "content": "Hi" }] });
    let reply = app.client().post("/v1/messages/count_tokens", &body).await;
    assert_eq!(reply.status.as_u16(), 502);
    let error = reply.json().await;
    let message = error["error"]["message"].as_str().expect("a message");
    assert!(message.contains("the token count from upstream is larger"), "{message}");
}
