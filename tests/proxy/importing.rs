//! Imported fixtures answer live calls, whatever settings a key depends on.

use reprise::domain::catalog::Catalog;
use serde_json::{Value, json};

use crate::{
    proxy::chats::{TITLE, asks_task},
    support::{
        app::{CHAT, Setup, ask_whole, with},
        binary::command,
        client::Client,
        upstream::Upstream,
    },
};

const TASK: &str = "title_generation";

/// Imports the fixture of a server's folder, as a person would.
async fn import(setup: &Setup) -> String {
    let mut import = command(setup);
    import.current_dir(setup.folder()).args(["fixtures", "import", "1.json"]);
    let output = tokio::task::spawn_blocking(move || import.output().expect("the program"));
    String::from_utf8(output.await.expect("its output").stdout).expect("text")
}

fn write(setup: &Setup, task: Option<&str>, body: &Value) {
    let client = match task {
        Some(task) => json!({"program": "open-webui", "task": task, "body": body}),
        None => json!({"body": body}),
    };
    let response = json!({"message": {"content": "From a file"}});
    let fixture = json!({"schema": 1, "client": client, "response": response});
    std::fs::write(setup.folder().join("1.json"), fixture.to_string()).expect("a file");
}

/// Imports one fixture with these settings, then sends the same request live: the ledger answers, and upstream is not
/// asked.
async fn hits(settings: &[(&'static str, &str)], task: Option<&str>, body: &Value) {
    let upstream = Upstream::start().await;
    let setup = settings
        .iter()
        .fold(Setup::of(&upstream), |setup, (variable, value)| setup.set(variable, value));
    write(&setup, task, body);
    assert_eq!(import(&setup).await, "1 exchange imported, 0 there already\n");
    let app = setup.start().await;
    let client: Client = match task {
        Some(task) => app.client().header("x-owui-task", task),
        None => app.client(),
    };
    let reply = client.post(CHAT, body).await;
    let status = reply.header("cache-status").unwrap_or_default().to_owned();
    assert!(status.starts_with("reprise; hit"), "{settings:?} {task:?}: {status}");
    assert_eq!(reply.json().await["choices"][0]["message"]["content"], "From a file");
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_imported_fixture_answers_the_user_whom_its_request_names() {
    let body = with(ask_whole("hi"), "user", json!("ann"));
    hits(&[], None, &body).await;
    hits(&[("REPRISE_CACHE_SCOPE", "shared")], None, &body).await;
    hits(&[("REPRISE_USER_JWT_SECRET", "a secret of Open WebUI's own")], None, &body).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_imported_task_answers_under_a_task_model() {
    let body = asks_task(TITLE);
    let model = ("REPRISE_TASK_MODEL", "claude-haiku-5-5");
    hits(&[model], Some(TASK), &body).await;
    let body = with(body, "user", json!("ann"));
    hits(&[model, ("REPRISE_CACHE_SCOPE", "shared")], Some(TASK), &body).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fixture_imported_again_under_other_settings_answers_there_too() {
    let body = with(ask_whole("hi"), "user", json!("ann"));
    let setup = Setup::at("http://127.0.0.1:9");
    write(&setup, None, &body);
    assert_eq!(import(&setup).await, "1 exchange imported, 0 there already\n");
    assert_eq!(import(&setup).await, "0 exchanges imported, 1 there already\n");
    let shared = setup.clone().set("REPRISE_CACHE_SCOPE", "shared");
    assert_eq!(import(&shared).await, "1 exchange imported, 0 there already\n");
    let app = shared.start().await;
    let reply = app.client().post(CHAT, &with(body, "user", json!("bob"))).await;
    assert!(reply.header("cache-status").is_some_and(|status| status.starts_with("reprise; hit")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_know_that_no_client_made_the_call_of_a_fixture() {
    let body = with(ask_whole("hi"), "user", json!("ann"));
    let setup = Setup::at("http://127.0.0.1:9");
    write(&setup, None, &body);
    import(&setup).await;
    let ledger = setup.ledger();
    assert_eq!(ledger.count("call").await, 1, "a session shows it");
    for _ in 0..2 {
        let stats = ledger.stats().await;
        assert_eq!((stats.total.calls, stats.groups.len()), (0, 0));
        reprise::store::roll_up(&ledger.url(), &Catalog::builtin(), 1).await.expect("sums");
    }
    let app = setup.start().await;
    app.client().post(CHAT, &body).await.text().await;
    let stats = app.stop().await.stats().await;
    assert_eq!((stats.total.calls, stats.total.hit_rate), (1, 1.0));
    assert_eq!(stats.total.cost.nano_dollars, Some(0));
}
