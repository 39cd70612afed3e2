//! Models with settings of the operator's, and background calls, which get little of them.

use serde_json::{Value, json};

use crate::support::{
    app::{App, CHAT, Setup, ask, ask_whole, with},
    script::Script,
    sse::Answer,
    upstream::{Upstream, model},
};

const OPUS: &str = "claude-opus-5-5";
const OPEN_WEBUI: &str = "Python/3.11 aiohttp/3.14.5";
const TITLE: &str =
    "### Task:\nGenerate a concise title summarizing the chat history.\n### Guidelines:\n- Short.";
const FILE: &str = r#"
[[alias]]
id = "sage"
name = "The Sage"
model = "claude-opus-5-5"
max_tokens = 4000
system = "Be wise."

[[alias]]
id = "plain"
model = "claude-opus-5-5"
"#;

async fn start(upstream: &Upstream) -> App {
    let setup = Setup::of(upstream);
    let path = setup.folder().join("reprise.toml");
    std::fs::write(&path, FILE).expect("a settings file");
    let events = Answer::of(OPUS).text(&["Hello"]).stop("end_turn");
    upstream.always(Script::sse(events));
    setup.set("REPRISE_CONFIG", path.to_str().expect("a plain path")).start().await
}

fn for_the_sage(request: Value) -> Value {
    with(request, "model", json!("sage"))
}

#[tokio::test]
async fn aliases_are_listed_before_the_models_with_the_limits_of_what_is_behind() {
    let upstream = Upstream::start().await;
    let app = start(&upstream).await;
    upstream.models(vec![model(OPUS, "Opus"), model("plain", "A model of that name")], 100);
    let list = app.client().get("/v1/models").await.json().await;
    let data = list["data"].as_array().expect("a list");
    let ids: Vec<_> = data.iter().filter_map(|model| model["id"].as_str()).collect();
    assert_eq!(ids, ["sage", "plain", OPUS]);
    assert_eq!((&data[0]["name"], &data[1]["name"]), (&json!("The Sage"), &json!("plain")));
    for field in ["context_length", "created"] {
        assert_eq!(data[0][field], data[2][field], "{field}");
    }
    assert_eq!(data[0]["max_output_tokens"], 4000);
    assert_eq!(data[1]["max_output_tokens"], data[2]["max_output_tokens"]);
    let one = app.client().get("/v1/models/sage").await.json().await;
    assert_eq!(one, data[0]);

    // What is passed on as it is can ask for no alias.
    let native = app.client().header("anthropic-version", "2023-06-01");
    let list = native.get("/v1/models").await.json().await;
    assert_eq!((&list["first_id"], &list["last_id"]), (&json!(OPUS), &json!("plain")));
    assert_eq!(native.get("/v1/models/sage").await.status.as_u16(), 404);
    let plain = native.get("/v1/models/plain").await.json().await;
    assert_eq!(plain["display_name"], "A model of that name");
}

#[tokio::test]
async fn a_request_for_an_alias_goes_to_the_model_behind_it_with_its_settings() {
    let upstream = Upstream::start().await;
    let app = start(&upstream).await;
    let completion = app.client().post(CHAT, &for_the_sage(ask_whole("hi"))).await.json().await;
    assert_eq!(completion["choices"][0]["message"]["content"], "Hello");
    let sent = upstream.await_request(1).await.json();
    assert_eq!((&sent["model"], &sent["max_tokens"]), (&json!(OPUS), &json!(4000)));
    assert_eq!(sent["system"][0]["text"], "Be wise.");
    let notes = app.ledger().column("select notes from call").await;
    assert!(notes.iter().all(|notes| notes.contains("stands for claude-opus-5-5")), "{notes:?}");
}

#[tokio::test]
async fn errors_number_the_messages_as_the_client_does() {
    let upstream = Upstream::start().await;
    let app = start(&upstream).await;
    let odd = json!([{"role": "user", "content": [{"type": "smell"}]}]);
    let request = for_the_sage(with(ask_whole("hi"), "messages", odd));
    let error = app.client().post(CHAT, &request).await.json().await;
    assert_eq!(error["error"]["param"], "messages[0].content[0].type");
}

#[tokio::test]
async fn a_task_without_ids_is_told_by_its_prompt_and_gets_no_instructions() {
    let upstream = Upstream::start().await;
    let app = start(&upstream).await;
    let open_webui = || app.client().header("user-agent", OPEN_WEBUI);
    let task = for_the_sage(ask_whole(TITLE));
    open_webui().post(CHAT, &task).await.json().await;
    assert_eq!(upstream.await_request(1).await.json().get("system"), None);
    let tasks = async || app.ledger().column("select coalesce(task, 'chat') from call").await;
    assert_eq!(Vec::from_iter(tasks().await), ["title_generation"]);

    // The same words where they are no task: in a chat that shows its answer as it grows, in one that says so, and
    // from another client.
    open_webui().post(CHAT, &for_the_sage(ask(TITLE))).await.chunks().await;
    let chat = open_webui().header("x-owui-task", "").header("x-owui-message", "m");
    chat.post(CHAT, &task).await.json().await;
    app.client().header("cache-control", "no-cache").post(CHAT, &task).await.json().await;
    for number in 2..=4 {
        let sent = upstream.await_request(number).await.json();
        assert_eq!(sent["system"][0]["text"], "Be wise.", "{number}");
    }
    assert_eq!(Vec::from_iter(tasks().await), ["chat", "title_generation"]);
}

#[tokio::test]
async fn a_task_that_is_named_needs_no_known_prompt() {
    let upstream = Upstream::start().await;
    let app = start(&upstream).await;
    let client = app.client().header("x-owui-task", "title_generation");
    client.post(CHAT, &for_the_sage(ask_whole("Name this chat."))).await.json().await;
    assert_eq!(upstream.await_request(1).await.json().get("system"), None);
}
