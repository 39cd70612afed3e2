//! The people who may stop a running answer: operators any, holders of a client key those of calls with it.

use http::StatusCode;
use serde_json::json;

use super::{
    guard::{cookie, log_in, page},
    live::{Events, beginning, one, path_of},
};
use crate::support::{
    app::{App, CHAT, Setup, ask, with},
    client::{Client, Reply},
    script::Script,
    upstream::{Outcome, Upstream},
};

const KEYS: &str = "[[key]]\nname = \"team-a\"\nkey = \"key-of-team-a\"\n\n[[key]]\nname = \"team-b\"\nkey = \"key-of-team-b\"\n";

/// A server with two client keys that have a name and one that has none.
async fn keyed(upstream: &Upstream) -> (Setup, App) {
    let setup = Setup::of(upstream).set("REPRISE_API_KEY", "key-without-a-name");
    let file = setup.folder().join("reprise.toml");
    std::fs::write(&file, KEYS).expect("settings");
    let setup = setup.set("REPRISE_CONFIG", file.to_str().expect("a path"));
    let app = setup.start().await;
    (setup, app)
}

/// The answer to a question of ann with this key, which does not end by itself.
async fn asked(app: &App, key: &str) -> Reply {
    let client = if key.is_empty() { app.client() } else { app.client().bearer(key) };
    let mut reply = client.post(CHAT, &with(ask("hi"), "user", json!("ann"))).await;
    reply.read_until("Hel").await;
    reply
}

/// Somebody who has signed in to the page with this key.
async fn signed_in(app: &App, key: &str) -> Client {
    page(app).header("cookie", &cookie(&log_in(&page(app), key).await))
}

#[tokio::test]
async fn with_a_client_key_only_answers_for_that_key_are_stopped() {
    let upstream = Upstream::start().await;
    let (_setup, app) = keyed(&upstream).await;
    for (own, others) in [
        ("key-of-team-a", ["key-of-team-b", "key-without-a-name"]),
        ("key-without-a-name", ["key-of-team-a", "key-of-team-b"]),
    ] {
        upstream.push(Script::sse(beginning()).stall());
        let mut reply = asked(&app, own).await;
        for other in others {
            let foreign = signed_in(&app, other).await;
            let running = one(&Events::open(&foreign, "/page/live").await.next("snapshot").await);
            assert_eq!(running["stoppable"], false, "{other} of {own}");
            let stop = format!("{}/stop", path_of(&running));
            for client in [foreign, page(&app).bearer(other)] {
                let refused = client.post(&stop, &json!({})).await;
                assert_eq!(refused.status, StatusCode::FORBIDDEN, "{other} of {own}");
                assert_eq!(refused.json().await["error"]["code"], "not_stoppable");
            }
        }
        let holder = signed_in(&app, own).await;
        let running = one(&Events::open(&holder, "/page/live").await.next("snapshot").await);
        assert_eq!(running["stoppable"], true, "{own}");
        let stop = format!("{}/stop", path_of(&running));
        assert_eq!(holder.post(&stop, &json!({})).await.status, StatusCode::NO_CONTENT);
        let (body, _) = reply.rest().await;
        assert!(String::from_utf8_lossy(&body).contains("stopped_by_operator"));
        upstream.await_outcome(upstream.requests().len() - 1, Outcome::Disconnected).await;
    }
}

#[tokio::test]
async fn with_the_admin_key_every_answer_is_stopped() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream)
        .set("REPRISE_API_KEY", "key-of-clients")
        .set("REPRISE_ADMIN_KEY", "key-of-the-operator");
    let app = setup.start().await;
    upstream.push(Script::sse(beginning()).stall());
    let _reply = asked(&app, "key-of-clients").await;
    let operator = signed_in(&app, "key-of-the-operator").await;
    let running = one(&Events::open(&operator, "/page/live").await.next("snapshot").await);
    assert_eq!(running["stoppable"], true);
    let stop = format!("{}/stop", path_of(&running));
    let by_client = page(&app).bearer("key-of-clients").post(&stop, &json!({})).await;
    assert_eq!(by_client.status, StatusCode::UNAUTHORIZED);
    assert_eq!(operator.post(&stop, &json!({})).await.status, StatusCode::NO_CONTENT);
    upstream.await_outcome(0, Outcome::Disconnected).await;
}

#[tokio::test]
async fn without_a_key_everybody_on_this_machine_stops_answers() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::sse(beginning()).stall());
    let _reply = asked(&app, "").await;
    let running = one(&Events::open(&page(&app), "/page/live").await.next("snapshot").await);
    assert_eq!(running["stoppable"], true);
}
