//! The models: as Anthropic lists them, remembered, and never missing.

use serde_json::{Value, json};

use crate::support::{
    app::{App, CHAT, OPERATORS_KEY, Setup, ask_whole, with},
    script::Script,
    sse::Answer,
    upstream::{Upstream, model},
};

const MODELS: &str = "/v1/models";

async fn ids(app: &App) -> Vec<String> {
    let list = app.client().get(MODELS).await.json().await;
    assert_eq!(list["object"], "list");
    let data = list["data"].as_array().expect("a list");
    data.iter().map(|model| model["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn all_pages_of_upstream_are_one_list() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let names = ["claude-e", "claude-d", "claude-c", "claude-b", "claude-a"];
    upstream.models(names.iter().map(|id| model(id, &id.to_uppercase())).collect(), 2);
    assert_eq!(ids(&app).await, names);
    let asked = upstream.model_requests();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|request| request.header("x-api-key") == Some(OPERATORS_KEY)));

    let one = app.client().get("/v1/models/claude-c").await.json().await;
    let expected = json!({
        "id": "claude-c", "object": "model", "created": 1_767_225_600, "owned_by": "anthropic",
        "name": "CLAUDE-C", "context_length": 200_000, "max_output_tokens": 64_000,
    });
    assert_eq!(one, expected);
}

#[tokio::test]
async fn a_burst_of_page_loads_asks_upstream_once() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.models(vec![model("claude-a", "A")], 100);
    let (a, b, c) = tokio::join!(ids(&app), ids(&app), ids(&app));
    assert_eq!((a, b), (c, vec!["claude-a".to_owned()]));
    for _ in 0..5 {
        ids(&app).await;
    }
    assert_eq!(upstream.model_requests().len(), 1);
}

#[tokio::test]
async fn the_last_list_stays_while_upstream_is_away() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.models(vec![model("claude-a", "A")], 100);
    assert_eq!(ids(&app).await, ["claude-a"]);
    upstream.down().await;
    assert_eq!(ids(&app).await, ["claude-a"]);
}

#[tokio::test]
async fn without_any_list_the_built_in_catalog_stands_in() {
    let down = Setup::at(&Upstream::nowhere().await).start().await;
    let upstream = Upstream::start().await;
    upstream.models_by(Script::error(500, "api_error", "Internal server error"));
    let failing = App::start(&upstream).await;
    let keyless = Setup::of(&upstream).unset("ANTHROPIC_API_KEY").start().await;
    let garbled = Upstream::start().await;
    garbled.models_by(Script::respond(200).body("<html>"));
    let garbled_app = App::start(&garbled).await;
    let silent = Upstream::start().await;
    silent.models_by(Script::silent());
    let silent_app = Setup::of(&silent).set("REPRISE_UPSTREAM_IDLE_TIMEOUT", "300ms").start().await;
    for app in [&down, &failing, &keyless, &garbled_app, &silent_app] {
        let ids = ids(app).await;
        assert!(ids.len() > 10 && ids.iter().all(|id| id.starts_with("claude-")), "{ids:?}");
        let list = app.client().get(MODELS).await.json().await;
        for model in list["data"].as_array().expect("a list") {
            assert!(model["context_length"].as_u64().is_some_and(|tokens| tokens >= 200_000));
            assert!(model["created"].as_i64().is_some_and(|at| at > 1_700_000_000), "{model}");
        }
    }
    assert_eq!(upstream.model_requests().len(), 1, "a failing upstream is left alone for a while");
}

#[tokio::test]
async fn one_model_is_found_by_its_id_or_its_alias() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.models(vec![model("claude-haiku-4-5-20251001", "Claude Haiku 4.5")], 100);
    let get = async |id: &str| app.client().get(&format!("{MODELS}/{id}")).await;
    for id in [
        "claude-haiku-4-5-20251001",
        "claude-haiku-4-5",
        "claude-haiku-4.5",
        "anthropic/claude-haiku-4.5",
        "Claude-Haiku-4-5",
        "claude-haiku-4-5:beta",
        "claude-haiku-4-5-latest",
    ] {
        let found = get(id).await;
        assert_eq!(found.status.as_u16(), 200);
        let found = found.json().await;
        assert_eq!((&found["id"], &found["name"]), (&json!(id), &json!("Claude Haiku 4.5")));
    }
    let names = ["anthropic%2Fclaude-haiku-4-5", "claude-haiku-4-5%5B1m%5D", "claude-haiku-4-5/"];
    for (path, id) in names.into_iter().zip([
        "anthropic/claude-haiku-4-5",
        "claude-haiku-4-5[1m]",
        "claude-haiku-4-5",
    ]) {
        assert_eq!(get(path).await.json().await["id"], id, "{path}");
    }
    for id in ["gpt-4o", "claude-sonnet-5-5", "claude%20x", "x/y"] {
        let missing = get(id).await;
        assert_eq!(missing.status.as_u16(), 404, "{id}");
        let error = missing.json().await["error"].take();
        assert_eq!(error["type"], "invalid_request_error");
    }
    let error = get("gpt-4o").await.json().await["error"].take();
    assert_eq!((&error["code"], &error["param"]), (&json!("model_not_found"), &json!("model")));
}

#[tokio::test]
async fn clients_with_keys_of_their_own_see_their_own_models() {
    let upstream = Upstream::start().await;
    let app = Setup::of(&upstream).unset("ANTHROPIC_API_KEY").start().await;
    let list = async |key: &str| {
        let list = app.client().bearer(key).get(MODELS).await.json().await;
        list["data"][0]["id"].clone()
    };
    upstream.models(vec![model("claude-of-ann", "A")], 100);
    assert_eq!(list("sk-ant-ann").await, "claude-of-ann");
    upstream.models(vec![model("claude-of-bob", "B")], 100);
    assert_eq!(list("sk-ant-bob").await, "claude-of-bob");
    assert_eq!(list("sk-ant-ann").await, "claude-of-ann");
    let keys = upstream.model_requests();
    let keys: Vec<_> = keys.iter().filter_map(|request| request.header("x-api-key")).collect();
    assert_eq!(keys, ["sk-ant-ann", "sk-ant-bob"]);
}

#[tokio::test]
async fn a_model_that_is_newer_than_the_catalog_can_be_used_once_it_is_listed() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let mut newer = model("claude-opus-9", "Claude Opus 9");
    newer["max_tokens"] = json!(4321);
    upstream.models(vec![newer], 100);
    ids(&app).await;
    upstream.push(Script::sse(Answer::of("claude-opus-9").text(&["Hello"]).stop("end_turn")));
    let request = with(ask_whole("hi"), "model", json!("claude-opus-9"));
    let completion = app.client().post(CHAT, &request).await.json().await;
    assert_eq!(completion["choices"][0]["message"]["content"], "Hello");
    assert_eq!(completion["usage"].get("cost"), None::<&Value>, "unpriced, never a silent zero");
    assert!(upstream.await_request(1).await.json()["max_tokens"].as_u64() <= Some(4321));
    assert_eq!(app.ledger().exchange().await.cost_is, "unpriced");
}
