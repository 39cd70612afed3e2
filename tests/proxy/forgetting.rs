//! What is deleted is gone: from the file of the ledger, and from what SQLite keeps beside it.

use std::fs;

use serde_json::{Value, json};

use crate::support::{
    app::{CHAT, MODEL, Setup, ask_whole},
    backend,
    binary::command,
    script::Script,
    sse::Answer,
    upstream::Upstream,
};

/// Texts that do not compress, so that they stand in the file as they are.
const QUESTION: &str = "qZ7vKp2XwT9sLr4MnB8cYd3FgH6jUe1A";
const ANSWER: &str = "Rk5tWq8ZxJ2nVb7LmC4yPd9SgF3hUa6E";
const INSTRUCTION: &str = "Nw3eXr6TzQ9uIo1PaS4dFg7HjK2lZc8V";

/// How often each text stands in the files of the ledger.
fn copies(setup: &Setup) -> usize {
    let files =
        fs::read_dir(setup.folder()).expect("a folder").map(|file| file.expect("a file").path());
    let bytes: Vec<u8> = files.flat_map(|file| fs::read(file).expect("a file")).collect();
    let count =
        |text: &str| bytes.windows(text.len()).filter(|part| *part == text.as_bytes()).count();
    [QUESTION, ANSWER, INSTRUCTION].map(count).iter().sum()
}

/// A question of Ann's, many times over in one chat, and one of Bob's.
async fn fill(setup: &Setup) -> crate::support::app::App {
    let upstream = Upstream::start().await;
    let app = Setup::of(&upstream)
        .set("REPRISE_DATABASE_URL", &setup.variables()["REPRISE_DATABASE_URL"])
        .start()
        .await;
    let client = |user: &str| app.client().header("x-owui-user", user).header("x-owui-chat", user);
    let mut messages = vec![json!({ "role": "system", "content": INSTRUCTION })];
    for turn in 0..8 {
        messages.push(json!({ "role": "user", "content": format!("{turn} {QUESTION}") }));
        upstream.push(Script::sse(Answer::of(MODEL).text(&[ANSWER]).stop("end_turn")));
        let question = json!({ "model": MODEL, "messages": messages });
        let reply: Value = client("ann").post(CHAT, &question).await.json().await;
        messages.push(reply["choices"][0]["message"].clone());
    }
    upstream.push(Script::sse(Answer::of(MODEL).text(&["Hello"]).stop("end_turn")));
    client("bob").post(CHAT, &ask_whole("hi")).await.json().await;
    app
}

#[tokio::test]
async fn what_is_pruned_stands_in_no_file_any_more() {
    if backend::skips("unused space") {
        return;
    }
    for limits in [&["--user", "ann"][..], &["--keep-bodies", "0s"]] {
        for serving in [true, false] {
            let setup = Setup::at("http://127.0.0.1:9");
            let app = fill(&setup).await;
            let mut prune = command(&setup);
            prune.arg("prune").args(limits);
            if serving {
                let address = app.url().trim_start_matches("http://").to_owned();
                let port = address.rsplit(':').next().expect("a port").to_owned();
                prune.env("REPRISE_PORT", port);
                assert!(copies(&setup) > 0, "they can be found");
                let run = tokio::task::spawn_blocking(move || prune.output().expect("the program"));
                let output = run.await.expect("an end");
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                assert_eq!(copies(&setup), 0, "{limits:?} while serving");
                app.stop().await;
            } else {
                app.stop().await;
                assert!(copies(&setup) > 0, "they can be found");
                assert!(prune.output().expect("the program").status.success());
            }
            assert_eq!(copies(&setup), 0, "{limits:?} {serving}");
        }
    }
}

/// SQLite leaves copies of rows in the pages that it moves them out of, as when it splits a page that is full.
#[tokio::test]
async fn no_page_keeps_a_copy_of_what_is_pruned() {
    const USERS: [&str; 2] = ["ann", "bob"];
    const ROUND: usize = 24;
    if backend::skips("unused space") {
        return;
    }
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let question = |number: usize| format!("{} asks {number:05}.", USERS[number % 2]);
    for round in 0..8 {
        let app = setup.start().await;
        for number in round * ROUND..(round + 1) * ROUND {
            upstream.push(Script::sse(Answer::of(MODEL).text(&["Yes"]).stop("end_turn")));
            let client = app.client().header("x-owui-user", USERS[number % 2]);
            let text = format!("{} {}", question(number), "?".repeat(number * 97 % 300));
            client.post(CHAT, &ask_whole(&text)).await.json().await;
        }
        app.stop().await;
        let mut prune = command(&setup);
        prune.args(["prune", "--user", "ann"]);
        assert!(prune.output().expect("the program").status.success());
        let bytes = setup.ledger().bytes().await;
        let stands =
            |number: &usize| memchr::memmem::find(&bytes, question(*number).as_bytes()).is_some();
        let left: Vec<usize> = (0..(round + 1) * ROUND).filter(stands).collect();
        let bobs: Vec<usize> = (1..(round + 1) * ROUND).step_by(2).collect();
        assert_eq!(left, bobs, "round {round}");
    }
}
