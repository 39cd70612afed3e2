//! What is asked for: read with care, turned away with a reason, and sent on without anybody's secrets.

use serde_json::{Value, json};

use crate::support::{
    app::{App, CHAT, MODEL, OPERATORS_KEY, Setup, ask, ask_whole, with},
    client::{Client, Reply},
    script::Script,
    sse::{self, Answer},
    upstream::Upstream,
};

const CLIENTS_KEY: &str = "the-clients-own-secret";

fn hello() -> Script {
    Script::sse(Answer::of(MODEL).text(&["Hello"]).stop("end_turn"))
}

async fn is_alive(app: &App) {
    let reply = app.client().get("/health").await;
    assert_eq!(reply.status.as_u16(), 200);
    assert_eq!(reply.json().await["status"], "ok");
}

/// Status and error of a request that is turned away.
async fn error(reply: Reply) -> (u16, Value) {
    let status = reply.status.as_u16();
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let mut body = reply.json().await;
    assert!(body["error"]["message"].is_string(), "{body}");
    (status, body["error"].take())
}

#[tokio::test]
async fn a_body_that_is_no_request_is_turned_away() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let bodies: [&[u8]; 9] = [
        b"",
        b"  ",
        b"{",
        b"{\"model\":",
        b"[]",
        b"null",
        b"\"hi\"",
        b"{} {}",
        b"\xff\xfe{\"model\":\"\xff\"}",
    ];
    for body in bodies {
        let (status, error) = error(app.client().send("POST", CHAT, body).await).await;
        assert_eq!((status, &error["type"]), (400, &json!("invalid_request_error")), "{body:?}");
        assert!(error["param"].is_null());
    }
    assert_eq!(upstream.requests().len(), 0);
    assert_eq!(app.ledger().count("call where outcome <> 'refused'").await, 0);
    is_alive(&app).await;
}

#[tokio::test]
async fn a_wrong_type_is_named() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let role = json!([{ "role": "user", "content": "a" }, { "role": "alien", "content": "b" }]);
    for (field, value, param) in [
        ("model", json!(5), "model"),
        ("messages", json!(5), "messages"),
        ("messages", role, "messages[1].role"),
        ("messages", json!([{ "content": "a" }]), "messages[0].role"),
        (
            "messages",
            json!([{ "role": "user", "content": [{ "smell": "a" }] }]),
            "messages[0].content[0].type",
        ),
        ("temperature", json!("hot"), "temperature"),
        ("stream", json!("yes"), "stream"),
        ("tools", json!([{ "type": "function", "function": {} }]), "tools[0].function.name"),
    ] {
        let request = with(ask("hi"), field, value);
        let (status, error) = error(app.client().post(CHAT, &request).await).await;
        assert_eq!((status, &error["type"]), (400, &json!("invalid_request_error")));
        assert_eq!(error["param"], param, "{error}");
        assert!(error["message"].as_str().is_some_and(|text| text.contains(param)), "{error}");
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn what_cannot_be_translated_is_named() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    for (field, value, param) in
        [("messages", json!([]), "messages"), ("model", json!(""), "model"), ("n", json!(2), "n")]
    {
        let (status, error) =
            error(app.client().post(CHAT, &with(ask("hi"), field, value)).await).await;
        assert_eq!((status, &error["param"]), (400, &json!(param)));
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn other_paths_and_methods_are_turned_away_in_openais_words() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    for path in
        ["/v1/completions", "/v1/embeddings", "/completions", "/v2", "/v1/chat/completions/x"]
    {
        let (status, error) = error(app.client().post(path, &ask("hi")).await).await;
        assert_eq!((status, &error["code"]), (404, &json!("unknown_url")));
        assert!(error["message"].as_str().is_some_and(|text| text.contains(path)), "{error}");
    }
    for (method, path) in
        [("GET", CHAT), ("DELETE", CHAT), ("POST", "/v1/models"), ("PUT", "/health")]
    {
        let (status, error) = error(app.client().send(method, path, b"").await).await;
        assert_eq!(
            (status, &error["code"]),
            (405, &json!("method_not_supported")),
            "{method} {path}"
        );
    }
    for path in ["/v1", "/v1/", "/health", "/health/", "/ready"] {
        assert_eq!(app.client().get(path).await.status.as_u16(), 200, "{path}");
    }
}

#[tokio::test]
async fn a_base_url_may_have_a_slash_or_a_version_too_much_or_too_little() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(hello());
    for path in [
        "/v1/chat/completions/",
        "//v1//chat/completions",
        "/v1/v1/chat/completions",
        "/chat/completions",
        "/chat/completions?api-version=1",
        "/v1/v1/messages",
        "/messages/?beta=true",
    ] {
        let body = with(ask_whole("hi"), "max_tokens", json!(64));
        let reply = app.client().post(path, &body).await;
        assert_eq!(reply.status.as_u16(), 200, "{path}");
        let whole = reply.json().await;
        let is_message = whole["type"] == "message";
        assert_eq!(is_message, path.contains("messages"), "{path}: {whole}");
    }
    assert_eq!(app.client().get("/models/").await.json().await["object"], "list");
    // Errors, too, have the form of the API that is meant.
    let refused = app.client().post("/messages", &json!({})).await.json().await;
    assert_eq!(refused["type"], "error");
}

#[tokio::test]
async fn the_clients_key_must_be_right() {
    let upstream = Upstream::start().await;
    let app = Setup::of(&upstream).set("REPRISE_API_KEY", CLIENTS_KEY).start().await;
    upstream.always(hello());
    let wrong = [
        app.client(),
        app.client().bearer("wrong"),
        app.client().bearer(""),
        app.client().bearer(&CLIENTS_KEY[1..]),
        app.client().bearer(OPERATORS_KEY),
        app.client().header("x-api-key", "wrong"),
        app.client().header("authorization", CLIENTS_KEY),
        app.client().header("authorization", &format!("Basic {CLIENTS_KEY}")),
    ];
    for client in wrong {
        for reply in [client.post(CHAT, &ask("hi")).await, client.get("/v1/models").await] {
            let (status, error) = error(reply).await;
            assert_eq!((status, &error["code"]), (401, &json!("invalid_api_key")));
        }
    }
    assert_eq!((upstream.requests().len(), upstream.model_requests().len()), (0, 0));
    let right = [app.client().bearer(CLIENTS_KEY), app.client().header("x-api-key", CLIENTS_KEY)];
    for client in right {
        assert_eq!(client.post(CHAT, &ask("hi")).await.status.as_u16(), 200);
    }
    is_alive(&app).await;
}

#[tokio::test]
async fn without_any_anthropic_key_the_client_is_told_what_to_do() {
    let upstream = Upstream::start().await;
    let app = Setup::of(&upstream).unset("ANTHROPIC_API_KEY").start().await;
    for client in [app.client(), app.client().bearer("sk-openai")] {
        let (status, error) = error(client.post(CHAT, &ask("hi")).await).await;
        assert_eq!((status, &error["code"]), (401, &json!("invalid_api_key")));
        assert!(error["message"].as_str().is_some_and(|text| text.contains("ANTHROPIC_API_KEY")));
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn clients_with_keys_of_their_own_never_share_an_answer() {
    let upstream = Upstream::start().await;
    let app = Setup::of(&upstream).unset("ANTHROPIC_API_KEY").start().await;
    upstream.always(hello());
    let ann = app.client().bearer("sk-ant-of-ann");
    let bob = app.client().header("x-api-key", "sk-ant-of-bob");
    for client in [&ann, &bob, &ann, &bob] {
        client.post(CHAT, &ask("hi")).await.text().await;
    }
    let asked = upstream.requests();
    let keys: Vec<_> = asked.iter().filter_map(|request| request.header("x-api-key")).collect();
    assert_eq!(keys, ["sk-ant-of-ann", "sk-ant-of-bob"], "each repeat is a hit of its own");
}

#[tokio::test]
async fn upstream_sees_its_own_key_and_nothing_else_of_the_client() {
    let upstream = Upstream::start().await;
    let app = Setup::of(&upstream).set("REPRISE_API_KEY", CLIENTS_KEY).start().await;
    upstream.push(hello());
    let client =
        app.client().bearer(CLIENTS_KEY).header("x-owui-user", "ann").header("cookie", "c=1");
    client.post(CHAT, &ask("hi")).await.text().await;
    let request = upstream.await_request(1).await;
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/messages"));
    assert_eq!(request.header("x-api-key"), Some(OPERATORS_KEY));
    assert_eq!(request.header("anthropic-version"), Some("2026-10-21"));
    assert_eq!(request.json()["stream"], true);
    for name in ["authorization", "cookie", "x-owui-user"] {
        assert_eq!(request.header(name), None);
    }
    assert!(!format!("{:?}", request.headers).contains(CLIENTS_KEY));
}

#[tokio::test]
async fn no_key_is_ever_written_or_told() {
    const OWN: &str = "sk-ant-somebodys-own";
    let mut bodies = Vec::new();
    let begun = Answer::of(MODEL).text(&["Hel"]).unfinished().concat();
    for sent in [OPERATORS_KEY, OWN] {
        let upstream = Upstream::start().await;
        let setup = Setup::of(&upstream).set("REPRISE_API_KEY", CLIENTS_KEY);
        let setup = if sent == OWN { setup.unset("ANTHROPIC_API_KEY") } else { setup };
        let repeated = format!("{sent} and {sent}");
        let app = setup.start().await;
        let shown: [fn(Client) -> Client; 3] = [
            |client| client.bearer(CLIENTS_KEY).header("x-api-key", OWN),
            |client| client.bearer(OWN).header("x-api-key", CLIENTS_KEY),
            |client| client.bearer(OWN),
        ];
        for show in shown {
            for script in [
                hello(),
                Script::error(401, "authentication_error", "invalid x-api-key"),
                Script::error(400, "invalid_request_error", "no"),
                Script::sse([sse::error("api_error", "broken")]),
                // A gateway that repeats what it got.
                Script::error(400, "invalid_request_error", &repeated),
                Script::sse([sse::error("api_error", &repeated)]),
                Script::sse([begun.clone(), sse::error("api_error", &repeated)]),
                Script::sse(Answer::of(MODEL).text(&[&repeated]).stop("end_turn")),
            ] {
                upstream.push(script);
                let client = show(app.client()).header("cache-control", "no-cache");
                bodies.push(client.post(CHAT, &ask("hi")).await.text().await);
                bodies.push(client.get("/v1/models").await.text().await);
                bodies.push(client.send("POST", CHAT, b"{").await.text().await);
            }
        }
        bodies.push(app.client().get("/ready").await.text().await);
        let open = (app.ledger().bytes().await, app.ledger().bodies().await);
        let ledger = app.stop().await;
        assert!(ledger.count("exchange").await > 0);
        for bytes in [open.0, open.1, ledger.bytes().await, bodies.concat().into_bytes()] {
            for key in [CLIENTS_KEY, OPERATORS_KEY, OWN] {
                let found = bytes.windows(key.len()).any(|window| window == key.as_bytes());
                assert!(!found, "{key} is on disk or in a response");
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_turned_away_and_the_server_lives() {
    let upstream = Upstream::start().await;
    let app = Setup::of(&upstream).set("REPRISE_MAX_BODY", "64KiB").start().await;
    upstream.push(hello());
    let large = ask(&"x".repeat(1 << 20)).to_string();
    let (status, told) = error(app.client().send("POST", CHAT, large.as_bytes()).await).await;
    assert_eq!((status, &told["code"]), (413, &json!("request_too_large")));
    assert!(told["message"].as_str().is_some_and(|text| text.contains("--max-body")));

    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = format!("{:x}\r\n{}\r\n", 32 << 10, "x".repeat(32 << 10));
    let chunked = [head, chunk.repeat(4), "0\r\n\r\n".to_owned()].concat();
    let (status, _) = error(app.client().send_raw(chunked.as_bytes()).await).await;
    assert_eq!(status, 413);

    let fits = ask(&"x".repeat(60 << 10));
    assert_eq!(app.client().post(CHAT, &fits).await.status.as_u16(), 200);
    assert_eq!(upstream.requests().len(), 1);
    is_alive(&app).await;
}

#[tokio::test]
async fn a_body_that_is_not_what_its_head_says_hurts_nobody() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let head = |more: &str| format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\n{more}\r\n\r\n");
    // Longer than it says: what follows is no request.
    let long = head("content-length: 2") + "{}{}{}\r\n\r\n";
    assert_eq!(app.client().send_raw(long.as_bytes()).await.status.as_u16(), 400);
    let broken = head("transfer-encoding: chunked") + "zz\r\n{}\r\n0\r\n\r\n";
    assert_eq!(app.client().send_raw(broken.as_bytes()).await.status.as_u16(), 400);
    for nonsense in
        ["content-length: many", "content-length: -1", "content-length: 2\r\ncontent-length: 3"]
    {
        let reply = app.client().send_raw((head(nonsense) + "{}").as_bytes()).await;
        assert_eq!(reply.status.as_u16(), 400, "{nonsense}");
    }
    // Shorter than it says, and then the client leaves.
    let short = head("content-length: 1000000000") + "{";
    let client = app.client();
    for _ in 0..3 {
        tokio::select! {
            biased;
            reply = client.try_raw(short.as_bytes()) => assert!(reply.is_none()),
            () = is_alive(&app) => {}
        }
    }
    is_alive(&app).await;
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn a_large_request_is_answered_and_kept() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(hello());
    let long = "long \u{1f600} \"text\" ".repeat(200_000);
    let reply = app.client().post(CHAT, &ask_whole(&long)).await;
    assert_eq!(reply.json().await["choices"][0]["message"]["content"], "Hello");
    let sent = upstream.await_request(1).await.json();
    assert_eq!(sent["messages"][0]["content"][0]["text"], long);
    let exchange = app.ledger().exchange().await;
    assert!(exchange.servable && exchange.frame.is_some());
    let repeat = app.client().post(CHAT, &ask_whole(&long)).await;
    assert!(repeat.header("cache-status").is_some_and(|status| status.contains("hit")));
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(hello());
    let client =
        reqwest::Client::builder().no_proxy().pool_max_idle_per_host(1).build().expect("a client");
    for number in 0..5 {
        let body = ask(&format!("question {}", number / 2)).to_string();
        let request = client.post(format!("{}{CHAT}", app.url())).body(body);
        let text = request.send().await.expect("an answer").text().await.expect("a whole answer");
        assert_eq!(sse::openai_text(&sse::openai_sse(&text)), "Hello");
    }
    assert_eq!(upstream.requests().len(), 3);
}
