//! A replay that records what is missing: asked once of upstream, in a file from then on.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::StatusCode;
use reprise::{
    config::{Config, Flags},
    domain::cassette::Scrubber,
    server::Server,
    testing::Replay,
};
use serde_json::{Value, json};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    proxy::budgets::{setup, ten_cents},
    support::{
        app::{CHAT, MODEL, OPERATORS_KEY, Setup, ask, ask_whole},
        binary::command,
        client::Client,
        script::Script,
        soon,
        sse::Answer,
        upstream::Upstream,
    },
};

struct Recording {
    client: Client,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Recording {
    async fn start(setup: &Setup) -> Self {
        let env = |name: &str| setup.variables().get(name).cloned();
        let flags = Flags::default().with("on_miss", "record");
        let config = Config::load_replay(&[folder(setup)], &flags, &env).expect("settings");
        let server = Server::start_replay(config, Scrubber::default()).await.expect("a server");
        let client = Client::new(&format!("http://{}", server.address().expect("an address")));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(server.run(stop.clone().cancelled_owned(), std::future::pending()));
        tasks.close();
        Self { client, stop, tasks }
    }

    async fn stop(self) -> Value {
        let status = self.client.get("/replay").await.json().await;
        self.stop.cancel();
        soon("the replay to stop", self.tasks.wait()).await;
        status
    }
}

fn folder(setup: &Setup) -> PathBuf {
    setup.folder().join("fixtures")
}

/// The names of all files, in their order.
fn names(setup: &Setup) -> Vec<String> {
    let entries = fs::read_dir(folder(setup)).expect("a folder");
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut names: Vec<String> = entries.map(|entry| name(entry.expect("an entry"))).collect();
    names.sort();
    names
}

fn says(text: &str) -> Script {
    Script::sse(Answer::of(MODEL).text(&[text]).stop("end_turn")).header("request-id", "req_1")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_asked_once_and_then_played_without_a_network() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let replay = Recording::start(&setup).await;
    upstream.push(says("It is noon."));
    let first = replay.client.post(CHAT, &ask("What time is it?")).await;
    assert_eq!(first.header("x-reprise-fixture"), None);
    let first = first.text().await;
    assert!(first.contains("It is noon.") && first.ends_with("data: [DONE]\n\n"), "{first}");
    assert_eq!(names(&setup), ["01-what-time-is-it.json"]);
    let path = folder(&setup).join("01-what-time-is-it.json");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let written: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(written["client"]["body"]["messages"][0]["content"], "What time is it?");
    assert_eq!(written["response"]["headers"]["request-id"], "req_1");
    assert!(!written.to_string().contains(OPERATORS_KEY));

    let again = replay.client.post(CHAT, &ask("What time is it?")).await;
    assert!(again.header("x-reprise-fixture").is_some());
    assert!(again.text().await.contains("It is noon."));
    assert_eq!(upstream.messages(), 1);

    // An error that stays is recorded as it is; one that passes is not.
    upstream.push(Script::error(400, "invalid_request_error", "no such thing"));
    upstream.push(Script::error(429, "rate_limit_error", "slow down"));
    for (question, status) in
        [("wrong", StatusCode::BAD_REQUEST), ("limited", StatusCode::TOO_MANY_REQUESTS)]
    {
        assert_eq!(replay.client.post(CHAT, &ask_whole(question)).await.status, status);
    }
    // Nor is what is broken off, or must not be kept.
    upstream.push(
        Script::sse(Answer::of(MODEL).text(&["Once"]).stop("end_turn").into_iter().take(3)).cut(),
    );
    replay.client.post(CHAT, &ask("cut")).await.text().await;
    upstream.push(says("between us"));
    let private = replay.client.clone().header("cache-control", "no-store");
    assert!(private.post(CHAT, &ask("secretly")).await.text().await.contains("between us"));
    upstream.push(says("beside"));
    let stray = replay.client.clone().header("x-reprise-scenario", "../stray");
    assert!(stray.post(CHAT, &ask("elsewhere")).await.text().await.contains("beside"));
    assert!(!setup.folder().join("stray").exists());
    assert_eq!(names(&setup), ["01-what-time-is-it.json", "02-wrong.json"]);
    upstream.push(says("a tool"));
    let scenario = replay.client.clone().header("x-reprise-scenario", "tools");
    scenario.post(CHAT, &ask("What time is it?")).await.text().await;
    assert!(folder(&setup).join("tools/01-what-time-is-it.json").exists());
    let status = replay.stop().await;
    assert_eq!(status["fixtures"].as_array().map(Vec::len), Some(3), "{status}");
    drop(upstream);

    let offline = Replay::start(folder(&setup)).await.expect("a replay");
    let client = Client::new(offline.url());
    assert!(client.post(CHAT, &ask("What time is it?")).await.text().await.contains("noon"));
    assert_eq!(client.post(CHAT, &ask_whole("wrong")).await.status, StatusCode::BAD_REQUEST);
    offline.finish().await.expect("no misses");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_taken_out_or_nothing_is_written() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let replay = Recording::start(&setup).await;
    let key = "sk-ant-api03-AbCdEf0123456789-xyzXYZ";
    upstream.push(says("I will not tell."));
    let question = format!("Is {key} a key?");
    replay.client.post(CHAT, &ask(&question)).await.text().await;
    assert_eq!(names(&setup).len(), 1);
    let written = fs::read_to_string(folder(&setup).join(&names(&setup)[0])).unwrap();
    assert!(!written.contains("AbCdEf") && written.contains("redacted"), "{written}");
    replay.client.post(CHAT, &ask(&question)).await.text().await;
    assert_eq!(upstream.messages(), 1, "the scrubbed request still finds it");

    let picture = STANDARD.encode([b"\x89PNG\r\n\x1a\n", key.as_bytes(), &[0; 40]].concat());
    let url = format!("data:image/png;base64,{picture}");
    let body = json!({"model": MODEL, "messages": [{"role": "user", "content": [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]}]});
    upstream.push(says("A key"));
    assert!(replay.client.post(CHAT, &body).await.text().await.contains("A key"));
    assert_eq!(names(&setup).len(), 1, "{:?}", names(&setup));
    replay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_counts_in_budgets_and_what_is_played_does_not() {
    let upstream = Upstream::start().await;
    upstream.always(Script::sse(ten_cents()));
    let setup = setup(&upstream, "[[budget]]\nlimit = 0.25\nper = \"day\"\n");
    let replay = Recording::start(&setup).await;
    for _ in 0..5 {
        replay.client.post(CHAT, &ask("one")).await.text().await;
    }
    let second = replay.client.post(CHAT, &ask("two")).await;
    assert_eq!(second.status, StatusCode::OK, "only one of five was paid");
    second.text().await;
    let spent = replay.client.post(CHAT, &ask("three")).await;
    assert_eq!(spent.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(upstream.messages(), 2);
    replay.stop().await;
}

#[tokio::test]
async fn nothing_is_recorded_in_ci_or_without_a_key() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let told = async |setup: &Setup, ci: &str| {
        let mut command = command(setup);
        command.env("CI", ci).args(["replay", "--on-miss", "record"]).arg(folder(setup));
        let output = tokio::task::spawn_blocking(move || command.output().expect("the program"));
        let output = output.await.expect("its output");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).expect("text")
    };
    let ci = told(&setup, "true").await;
    assert!(ci.contains("CI is set, and no fixtures are recorded in CI"), "{ci}");
    let keyless = told(&setup.clone().unset("ANTHROPIC_API_KEY"), "false").await;
    assert!(keyless.contains("needs a key: set ANTHROPIC_API_KEY"), "{keyless}");
    assert!(!folder(&setup).exists(), "nothing is created either");
    assert_eq!(upstream.connections(), 0);
}
