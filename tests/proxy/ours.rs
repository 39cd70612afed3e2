//! Our own fixtures: each is asked for as its client asked, and answers, without a key and without a network.

use std::path::{Path, PathBuf};

use reprise::testing::Replay;
use serde_json::{Value, json};

use crate::support::{
    app::{CHAT, Setup},
    binary::command,
    client::Client,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// All fixtures, in the order in which they are given.
fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            into.push(path);
        }
    }
}

/// What the reader of an answer must find in it: the texts and calls of the summary.
fn promised(response: &Value) -> Vec<String> {
    let lines = response["summary"].as_array().expect("a summary");
    let lines = lines.iter().map(|line| line.as_str().expect("a text"));
    let texts = lines.filter_map(|line| line.strip_prefix("text "));
    texts.map(|text| text.trim_matches('"').to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_we_recorded_is_answered() {
    let replay = Replay::start(root()).await.expect("a replay");
    let mut paths = Vec::new();
    files(&root(), &mut paths);
    for path in &paths {
        let text = std::fs::read_to_string(path).expect("a file");
        let fixture: Value = serde_json::from_str(&text).expect("JSON");
        let (asked, response) = (&fixture["client"], &fixture["response"]);
        let scenario = path.parent().expect("a folder").strip_prefix(root()).expect("ours");
        let mut client = Client::new(replay.url())
            .header("x-reprise-scenario", &scenario.display().to_string())
            .header(
                "anthropic-version",
                fixture["upstream"]["version"].as_str().expect("a version"),
            );
        if asked["program"] == "open-webui" {
            let task = asked["task"].as_str().unwrap_or_default();
            client = client.header("x-owui-chat", "another").header("x-owui-task", task);
        }
        let door = if asked["door"] == "messages" { "/v1/messages" } else { CHAT };
        let answered = client.post(door, &asked["body"]).await;
        let told = answered.header("x-reprise-fixture").map(str::to_owned);
        let file = path.display().to_string();
        assert!(told.is_some_and(|told| told.starts_with(&format!("{file}; "))), "{file}");
        assert_eq!(answered.status == 200, response["status"] == 200, "{file}");
        let streams = asked["body"]["stream"] == true;
        let answer = answered.text().await;
        if !streams && door == CHAT {
            let answer: Value = serde_json::from_str(&answer).expect("JSON");
            let said = answer["choices"][0]["message"]["content"].as_str().unwrap_or_default();
            // A summary shows the beginning of what is long.
            for text in promised(response) {
                let begins: String = text.trim_end_matches('…').chars().take(60).collect();
                assert!(said.contains(&begins), "{file}: {begins}: {said}");
            }
        }
    }
    let status = replay.status().expect("a status");
    assert_eq!(status.fixtures.len(), paths.len());
    for line in status.fixtures {
        assert_eq!((line.given, line.plays), (1, true), "{}", line.file);
        assert_eq!(line.translator_changed, None, "{}", line.file);
    }
    replay.finish().await.expect("no misses");
}

/// As the README says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_answers_what_a_person_would_try() {
    let replay = Replay::start(root().join("demo")).await.expect("a replay");
    for question in
        ["Hello!", "What is Reprise?", "Write a haiku about a ledger.", "Tell me a joke."]
    {
        let client = Client::new(replay.url());
        for stream in [false, true, false] {
            let body = json!({"model": "claude-haiku-5-5", "stream": stream,
                "messages": [{"role": "user", "content": question}]});
            let answered = client.post(CHAT, &body).await;
            assert_eq!(answered.status, 200, "{question}");
        }
    }
    replay.finish().await.expect("no misses");
}

/// The documentation's fixture that is written by hand, as it stands there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hand_written_form_of_the_documentation_plays() {
    let page = include_str!("../../.github/docs/fixtures.md");
    let (_, rest) = page.split_once("<!-- hand-written -->\n```json\n").expect("the marker");
    let (fixture, _) = rest.split_once("```").expect("its end");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("late.json"), fixture).expect("a file");
    let replay = Replay::start(folder.path()).await.expect("a replay");
    let body = json!({"model": "claude-haiku-5-5", "messages": [{"role": "user", "content": "Is it late?"}]});
    let answer = Client::new(replay.url()).post(CHAT, &body).await.json().await;
    assert_eq!(answer["choices"][0]["message"]["content"], "It is never too late.");
    replay.finish().await.expect("no misses");
}

#[test]
fn nothing_is_wrong_with_them() {
    for what in [&["lint"][..], &["fmt", "--check"]] {
        let mut command = command(&Setup::at("http://127.0.0.1:9").unset("ANTHROPIC_API_KEY"));
        let output = command.arg("fixtures").args(what).arg(root()).output().expect("the program");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
