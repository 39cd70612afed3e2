//! Pages of other origins: which may ask, and what their browsers are told.

use serde_json::json;

use crate::support::{
    app::{App, CHAT, MODEL, Setup, ask, ask_whole},
    client::Client,
    script::Script,
    sse::Answer,
    upstream::Upstream,
};

const PATHS: [&str; 5] =
    [CHAT, "/v1/messages", "/v1/messages/count_tokens", "/v1/models", "/v1/models/x"];

fn page(app: &App, origin: &str) -> Client {
    app.client().header("origin", origin)
}

/// Whether a preflight request from this origin is answered so that the browser sends the request.
async fn may_ask(app: &App, origin: &str, path: &str) -> bool {
    let asks = page(app, origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type,x-stainless-os")
        .header("access-control-request-private-network", "true");
    let reply = asks.send("OPTIONS", path, b"").await;
    assert!(reply.status.is_success(), "{path}: {}", reply.status);
    assert!(reply.header("vary").is_some_and(|vary| vary.contains("origin")));
    let list = |name: &str| reply.header(name).unwrap_or_default().to_ascii_lowercase();
    let headers = list("access-control-allow-headers");
    let allows = ["authorization", "content-type", "x-stainless-os"]
        .iter()
        .all(|name| headers.contains(name));
    let allows = allows && list("access-control-allow-methods").contains("post");
    allows && reply.header("access-control-allow-origin") == Some(origin)
}

#[tokio::test]
async fn pages_of_this_machine_and_listed_ones_may_ask() {
    let upstream = Upstream::start().await;
    let open = App::start(&upstream).await;
    let listed = Setup::of(&upstream)
        .set("REPRISE_ALLOW_ORIGIN", "https://chat.example, app://obsidian.md,null")
        .start()
        .await;
    let any = Setup::of(&upstream).set("REPRISE_ALLOW_ORIGIN", "*").start().await;
    let keyed = Setup::of(&upstream).set("REPRISE_API_KEY", "k").start().await;
    for path in PATHS {
        for (origin, by_open, by_listed) in [
            ("http://localhost:5173", true, true),
            ("http://127.0.0.1:8080", true, true),
            ("http://[::1]:8080", true, true),
            ("https://chat.example", false, true),
            ("app://obsidian.md", false, true),
            ("null", false, true),
            ("https://chat.example.evil", false, false),
            ("http://chat.example", false, false),
            ("https://localhost.evil", false, false),
        ] {
            assert_eq!(may_ask(&open, origin, path).await, by_open, "{origin} {path}");
            assert_eq!(may_ask(&listed, origin, path).await, by_listed, "{origin} {path}");
            assert!(may_ask(&any, origin, path).await, "{origin} {path}");
            assert!(may_ask(&keyed, origin, path).await, "{origin} {path}");
        }
    }
}

#[tokio::test]
async fn answers_streams_and_errors_can_be_read_by_an_allowed_page_only() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(Script::sse(Answer::of(MODEL).text(&["Hello"]).stop("end_turn")));
    let bodies = [ask("a"), ask_whole("a"), json!({ "model": MODEL, "messages": 3 })];
    for (body, status) in bodies.iter().zip([200, 200, 400]) {
        let reply = page(&app, "http://localhost:5173").post(CHAT, body).await;
        assert_eq!(reply.status.as_u16(), status);
        assert_eq!(reply.header("access-control-allow-origin"), Some("http://localhost:5173"));
        assert_eq!(reply.header("vary"), Some("origin"));
        let exposed = reply.header("access-control-expose-headers").unwrap_or_default();
        for name in ["x-request-id", "cache-status", "age", "x-reprise-exchange", "retry-after"] {
            assert!(exposed.split(',').any(|exposed| exposed == name), "{name} in {exposed}");
        }
        // Every header of ours is one that pages can read.
        for name in reply.headers.keys().filter(|name| name.as_str().starts_with("x-")) {
            let safe = name == "x-accel-buffering";
            assert!(safe || exposed.split(',').any(|exposed| exposed == name.as_str()), "{name}");
        }
        let foreign = page(&app, "https://evil.example").post(CHAT, body).await;
        assert_eq!(foreign.status.as_u16(), 403);
        assert_eq!(foreign.header("access-control-allow-origin"), None);
        let message = foreign.json().await["error"]["message"].to_string();
        assert!(message.contains("--allow-origin https://evil.example"), "{message}");
        let program = app.client().post(CHAT, body).await;
        assert_eq!(program.header("access-control-expose-headers"), None);
    }
    let missing = page(&app, "http://localhost:5173").get("/nowhere").await;
    assert_eq!(missing.header("access-control-allow-origin"), Some("http://localhost:5173"));
}
