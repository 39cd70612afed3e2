//! Ids of users and chats: kept byte by byte, or refused by the name of their header. No two users share answers.

use serde_json::json;

use crate::{
    proxy::chats::status,
    support::{
        app::{App, CHAT, MODEL, Setup, ask, ask_whole, with},
        client::Reply,
        script::Script,
        sse::Answer,
        upstream::Upstream,
    },
};

async fn start(upstream: &Upstream) -> App {
    upstream.always(Script::sse(Answer::of(MODEL).text(&["Hello"]).stop("end_turn")));
    App::start(upstream).await
}

/// Asks as a user whose id has these bytes, given in as many headers.
async fn as_user(app: &App, header: &str, ids: &[&[u8]]) -> Reply {
    let body = ask("hi").to_string();
    let mut request =
        format!("POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len())
            .into_bytes();
    for id in ids {
        request.extend([header.as_bytes(), b":", id, b"\r\n"].concat());
    }
    request.extend([b"\r\n", body.as_bytes()].concat());
    app.client().send_raw(&request).await
}

#[tokio::test]
async fn ids_that_differ_by_a_byte_are_of_different_users() {
    let upstream = Upstream::start().await;
    let app = start(&upstream).await;
    let long = |end: &str| format!("{}{end}", "x".repeat(1000));
    let users = [
        "ann",
        "Ann",
        "\u{a0}ann",
        "ann\u{a0}",
        "ann\u{2003}",
        "\u{feff}ann",
        "J\u{f6}rg",
        "Jo\u{308}rg",
        "J\u{c3}\u{b6}rg",
        "a{{b",
        "a{{USER_ID}}",
        "{{a}}{{b}}",
        "{{}",
        "a b",
        &long("1"),
        &long("2"),
    ];
    for user in users {
        for (how, padding) in [("fwd=miss; stored", ""), ("hit", " "), ("hit", " \t ")] {
            let written = format!("{padding}{user}{padding}");
            let reply = as_user(&app, "x-owui-user", &[written.as_bytes()]).await;
            assert_eq!(status(&reply), how, "{user:?}");
            reply.text().await;
        }
    }
    // The same header twice says nothing else; an empty one, and a template, say nothing.
    for ids in [&[&b"ann"[..], b"ann"][..], &[b" ann\t", b"ann"]] {
        assert_eq!(status(&as_user(&app, "x-owui-user", ids).await), "hit");
    }
    for (number, nobody) in ["", " \t", "{{USER_ID}}", "{{ user }}", "{{}}"].into_iter().enumerate()
    {
        let reply = as_user(&app, "x-owui-user", &[nobody.as_bytes()]).await;
        let expected = if number == 0 { "fwd=miss; stored" } else { "hit" };
        assert_eq!(status(&reply), expected, "{nobody:?}");
        reply.text().await;
    }
}

#[tokio::test]
async fn an_id_that_cannot_be_kept_is_refused_by_the_name_of_its_header() {
    let upstream = Upstream::start().await;
    let app = start(&upstream).await;
    let long = [b'x'; 1025];
    for header in
        ["x-owui-user", "x-owui-chat", "x-owui-message", "x-owui-user-message", "x-owui-task"]
    {
        for (ids, word) in [
            (&[&b"J\xf6rg"[..]][..], "not text in UTF-8"),
            (&[b"\xc2"], "not text in UTF-8"),
            (&["\u{fffd}".as_bytes()], "not text in UTF-8"),
            (&[b"a\tb"], "control characters"),
            (&["\u{9b}31m".as_bytes()], "control characters"),
            (&["\u{85}".as_bytes()], "control characters"),
            (&[&long], "longer than 1024 bytes"),
            (&[b"ann", b"bob"], "several times"),
        ] {
            let reply = as_user(&app, header, ids).await;
            assert_eq!(reply.status.as_u16(), 400, "{header} {ids:?}");
            let error = reply.json().await["error"].clone();
            assert_eq!((&error["code"], &error["param"]), (&json!("invalid_id"), &json!(header)));
            let message = error["message"].as_str().expect("a message");
            assert!(message.contains(header) && message.contains(word), "{message}");
        }
    }
    // A client's name is no id: it may be anything.
    let reply = as_user(&app, "user-agent", &[b"caf\xe9"]).await;
    assert_eq!(reply.status.as_u16(), 200);
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn users_that_a_body_names_are_kept_apart_likewise() {
    let upstream = Upstream::start().await;
    let app = start(&upstream).await;
    let door = |field: &str, user: &str| match field {
        "metadata.user_id" => {
            let body = json!({
                "model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}],
                "metadata": {"user_id": user},
            });
            ("/v1/messages", body)
        }
        field => (CHAT, with(ask_whole("hi"), field, json!(user))),
    };
    for field in ["user", "safety_identifier", "metadata.user_id"] {
        for user in ["ann", "\u{a0}ann", "ann ", "J\u{f6}rg", "Jo\u{308}rg"] {
            let user = format!("{field} {user}");
            for hit in [false, true] {
                let (path, body) = door(field, &user);
                let reply = app.client().post(path, &body).await;
                assert_eq!(status(&reply) == "hit", hit, "{user:?}");
                reply.text().await;
            }
        }
        let written = door(field, "LONE").1.to_string();
        let long = "x".repeat(1025);
        for user in ["\\ud800", "a\\u0000b", "\\n", &long] {
            let (path, _) = door(field, "");
            let body = written.replace("LONE", user);
            let client = app.client().header("content-type", "application/json");
            let reply = client.send("POST", path, body.as_bytes()).await;
            assert_eq!(reply.status.as_u16(), 400, "{user}");
            assert!(reply.text().await.contains(field), "{user}");
        }
    }
}

#[tokio::test]
async fn a_host_is_named_once_and_is_no_foreign_one() {
    let upstream = Upstream::start().await;
    let app = start(&upstream).await;
    let keyed = Setup::of(&upstream).set("REPRISE_API_KEY", "k").start().await;
    for path in ["/health", "/ready", "/v1/models", "/v1", "/nothing"] {
        let asks = async |app: &App, version: &str, hosts: &str| {
            let request =
                format!("GET {path} HTTP/{version}\r\n{hosts}authorization: Bearer k\r\n\r\n");
            app.client().send_raw(request.as_bytes()).await.status.as_u16()
        };
        let well = asks(&app, "1.1", "host: localhost:8000\r\n").await;
        assert!([200, 404].contains(&well), "{path}");
        for host in ["127.0.0.1", "[::1]:80", "reprise:8000", "host.docker.internal:8000"] {
            assert_eq!(asks(&app, "1.1", &format!("host: {host}\r\n")).await, well, "{host}");
        }
        assert_eq!(asks(&app, "1.0", "").await, well, "the health check of a load balancer");
        for none in
            ["", "host: a\r\nhost: b\r\n", "host:\r\n", "host: a/b\r\n", "host: a@localhost\r\n"]
        {
            let expected = if none == "host:\r\n" { 403 } else { 400 };
            assert_eq!(asks(&app, "1.1", none).await, expected, "{path} {none:?}");
        }
        assert_eq!(asks(&app, "1.1", "host: evil.example:8000\r\n").await, 403, "{path}");
        assert_eq!(asks(&keyed, "1.1", "host: chat.example\r\n").await, well, "{path}");
        assert_eq!(asks(&keyed, "1.1", "").await, 400, "{path}");
    }
    let foreign = b"GET /v1/models HTTP/1.1\r\nhost: evil.example\r\n\r\n";
    let error = app.client().send_raw(foreign).await.json().await["error"].clone();
    assert_eq!(error["code"], "foreign_host");
    assert!(
        error["message"]
            .as_str()
            .expect("a message")
            .contains("--allow-origin http://evil.example")
    );
}
