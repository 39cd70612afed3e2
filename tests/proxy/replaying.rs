//! What was recorded is replayed: the same answers, with no key and no upstream.

use std::path::{Path, PathBuf};

use reprise::testing::Replay;
use serde_json::{Value, json};

use crate::{
    proxy::{
        chats::{TITLE, asks_task, of, task_of},
        corpus,
        paused::{found, pausing},
    },
    support::{
        app::{CHAT, MODEL, Setup, ask, ask_whole, with},
        binary::command,
        client::{Client, Reply},
        script::Script,
        sse::{self, Answer},
        upstream::Upstream,
    },
};

const MESSAGES: &str = "/v1/messages";

/// Exports all that a ledger has, as a person would.
async fn export(setup: &Setup) -> PathBuf {
    let into = setup.folder().join("fixtures");
    let mut command = command(setup);
    command.args(["fixtures", "export", "--force", "--last", "1000", "--into"]).arg(&into);
    let output = tokio::task::spawn_blocking(move || command.output().expect("the program"));
    let output = output.await.expect("its output");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    into
}

fn client(replay: &Replay) -> Client {
    Client::new(replay.url())
}

fn fixture(reply: &Reply) -> String {
    let named = reply.header("x-reprise-fixture").expect("a fixture").to_owned();
    named.split("; ").nth(1).expect("which of how many").to_owned()
}

/// Every file of a folder, with its text.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push((path.clone(), std::fs::read(&path).expect("a file")));
        }
    }
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_chat_is_replayed_with_tools_errors_and_regenerates_in_order() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let app = setup.start().await;
    let tool = Answer::of(MODEL)
        .thinking(&["Hm"], "EqQB")
        .text(&["Let me look. "])
        .tool("toolu_01", "clock", &["{}"])
        .stop("tool_use");
    upstream.push(Script::sse(tool));
    for text in ["It is noon.", "Twelve.", "{\"title\":\"Time\"}"] {
        upstream.push(Script::sse(Answer::of(MODEL).text(&[text]).stop("end_turn")));
    }
    upstream.push(Script::error(400, "invalid_request_error", "no such thing"));
    let tools = json!([{"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}]);
    let question = with(
        with(ask("What time is it?"), "tools", tools),
        "stream_options",
        json!({"include_usage": true}),
    );
    let mut texts = Vec::new();
    let chat = async |at: &dyn Fn(&str) -> Client, task: Client, texts: &mut Vec<String>| {
        let first = at("m1").post(CHAT, &question).await.text().await;
        let chunks = sse::openai_sse(&first);
        let details: Vec<Value> = chunks
            .iter()
            .filter_map(|chunk| {
                chunk["choices"][0]["delta"]["reasoning_details"].as_array().cloned()
            })
            .flatten()
            .collect();
        assert!(!details.is_empty());
        let call = json!({"id": "toolu_01", "type": "function", "function": {"name": "clock", "arguments": "{}"}});
        let mut next = question.clone();
        let turn = json!({"role": "assistant", "content": "Let me look. ", "tool_calls": [call]});
        let result = json!({"role": "tool", "tool_call_id": "toolu_01", "content": "12:00"});
        next["messages"].as_array_mut().expect("messages").extend([turn, result]);
        texts.push(first);
        for message in ["m1", "m2"] {
            texts.push(at(message).post(CHAT, &next).await.text().await);
        }
        texts.push(task.post(CHAT, &asks_task(TITLE)).await.text().await);
        texts.push(at("m3").post(CHAT, &ask("fail")).await.text().await);
    };
    let title = task_of(&app, "ann", "c1", "title_generation");
    chat(&|message| of(&app, "ann", "c1", message), title, &mut texts).await;
    app.stop().await;
    drop(upstream);

    let folder = export(&setup).await;
    let first_export = files(&folder);
    assert_eq!(files(&export(&setup).await), first_export, "twice is once");
    let replay = Replay::start(&folder).await.expect("a replay");
    let mut replayed = Vec::new();
    let at = |_: &str| client(&replay).header("user-agent", "Python/3.12 aiohttp/3.14");
    chat(&at, at(""), &mut replayed).await;
    for (one, other) in texts.iter().zip(&replayed) {
        assert_eq!(corpus::of_the_answer(one), corpus::of_the_answer(other));
    }
    let costs = |text: &String| text.matches("\"cost\":0.0}").count();
    assert_eq!(texts.iter().map(costs).sum::<usize>(), 0);
    assert!(replayed.iter().map(costs).sum::<usize>() > 2, "a fixture costs nothing");
    assert!(replay.status().expect("a status").fixtures.iter().all(|line| line.given == 1));
    let again = at("").post(CHAT, &question).await;
    assert_eq!(fixture(&again), "n=1/1", "the last again");
    replay.reset();
    assert!(replay.status().expect("a status").fixtures.iter().all(|line| line.given == 0));
    replay.finish().await.expect("no misses");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_twice_it_is_the_same_files() {
    let mut both = Vec::new();
    for _ in 0..2 {
        let upstream = Upstream::start().await;
        let setup = Setup::of(&upstream);
        let app = setup.start().await;
        let answer = Answer::of(MODEL).thinking(&["Hm"], "EqQB").text(&["Zażółć ", "gęślą"]);
        upstream.push(Script::sse(answer.stop("end_turn")).header("request-id", "req_1"));
        upstream.push(Script::error(400, "invalid_request_error", "no such thing"));
        of(&app, "ann", "c1", "m1").post(CHAT, &ask("Sing")).await.text().await;
        app.client().post(CHAT, &ask_whole("fail")).await.text().await;
        app.stop().await;
        let folder = export(&setup).await;
        let plain = |(path, bytes): (PathBuf, Vec<u8>)| {
            let text = String::from_utf8(bytes).expect("a file of text");
            let lines = text.lines().filter(|line| !line.starts_with("  \"recorded\""));
            let name = path.strip_prefix(&folder).expect("within").to_owned();
            (name, lines.map(str::to_owned).collect::<Vec<_>>())
        };
        both.push(files(&folder).into_iter().map(plain).collect::<Vec<_>>());
    }
    assert_eq!(both[0].len(), 2);
    assert_eq!(both[0], both[1]);
}

/// An error without what is told of tries: a replay makes one, and has no header that says when to try again.
fn without_tries(body: &str) -> String {
    let end = |text: &str| [" (tried ", "; try again "].iter().filter_map(|it| text.find(it)).min();
    match (end(body), body.find("\",\"type\"")) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &body[..from], &body[to..]),
        _ => body.to_owned(),
    }
}

/// Live, each was asked for three times; a fixture says the same every time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_before_any_content_is_replayed_as_it_was_recorded() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let app = setup.start().await;
    let error = sse::error("overloaded_error", "Overloaded");
    let beginnings = [vec![], Answer::of(MODEL).event(sse::ping()).unfinished()];
    let questions = [(CHAT, ask("first")), (MESSAGES, with(ask("then"), "max_tokens", json!(9)))];
    let mut recorded = Vec::new();
    for (beginning, (path, question)) in beginnings.into_iter().zip(&questions) {
        let script = Script::sse(beginning).pieces([error.clone()]).header("retry-after-ms", "1");
        for _ in 0..3 {
            upstream.push(script.clone());
        }
        let reply = app.client().post(path, question).await;
        recorded.push((reply.status, without_tries(&reply.text().await)));
    }
    assert_eq!(upstream.requests().len(), 6);
    app.stop().await;
    drop(upstream);
    let folder = export(&setup).await;
    let replay = Replay::start(&folder).await.expect("a replay");
    for ((path, question), recorded) in questions.iter().zip(recorded) {
        let again = client(&replay).post(path, question).await;
        assert_eq!((again.status, without_tries(&again.text().await)), recorded);
    }
    assert!(replay.status().expect("a status").fixtures.iter().all(|line| line.given == 1));
    replay.finish().await.expect("no misses");
}

/// Each part is a file of its own, and the replay asks for the next as a live answer does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_paused_is_replayed_as_one() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let app = setup.start().await;
    upstream.push(pausing());
    upstream.push(found());
    let recorded = app.client().post(CHAT, &ask("hi")).await.text().await;
    app.stop().await;
    drop(upstream);
    let folder = export(&setup).await;
    assert_eq!(files(&folder).len(), 2);
    let replay = Replay::start(&folder).await.expect("a replay");
    let replayed = client(&replay).post(CHAT, &ask("hi")).await.text().await;
    assert_eq!(corpus::of_the_answer(&recorded), corpus::of_the_answer(&replayed));
    assert!(replay.status().expect("a status").fixtures.iter().all(|line| line.given == 1));
    replay.finish().await.expect("no misses");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miss_is_a_404_that_says_what_is_nearest_and_nobody_asks_again() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let app = setup.start().await;
    upstream.push(Script::sse(Answer::of(MODEL).text(&["Hello"]).stop("end_turn")));
    app.client().post(CHAT, &ask("What is the weather in Paris today?")).await.text().await;
    app.stop().await;
    let replay = Replay::start(export(&setup).await).await.expect("a replay");
    let miss = client(&replay).post(CHAT, &ask("What is the weather in Paris tonight?")).await;
    assert_eq!((miss.status.as_u16(), miss.header("x-should-retry")), (404, Some("false")));
    let error = miss.json().await["error"].clone();
    assert_eq!(error["code"], "replay_miss");
    let told = error["message"].as_str().expect("a message");
    for part in ["messages[0].content[0].text", "tonight", "fixtures export --last 1 --into"] {
        assert!(told.contains(part), "{told}");
    }
    let chat = client(&replay).header("x-owui-chat", "c").header("x-owui-message", "m");
    let miss = chat.post(CHAT, &ask("What is the weather in Paris tonight?")).await;
    let error = miss.json().await["error"].clone();
    let told = error["message"].as_str().expect("a message");
    assert_eq!(
        (&error["code"], told.lines().count()),
        (&json!("replay_miss"), 1),
        "a person sees {told}"
    );
    assert!(told.contains(".json (") && told.contains("messages[0].content[0].text"), "{told}");
    let native = json!({"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "Something else"}]});
    let miss =
        client(&replay).header("anthropic-version", "2023-06-01").post(MESSAGES, &native).await;
    assert_eq!(miss.status.as_u16(), 404);
    let error = miss.json().await["error"].clone();
    assert_eq!(error["type"], "not_found_error");
    assert!(
        error["message"].as_str().expect("a message").starts_with("no fixture is similar"),
        "{error}"
    );
    let models = client(&replay).get("/v1/models").await.json().await;
    let named = json!({"id": MODEL, "name": "Claude Haiku 4.5"});
    let is_named = |model: &&Value| model["id"] == named["id"] && model["name"] == named["name"];
    assert!(models["data"].as_array().expect("models").iter().any(|model| is_named(&model)));
    let ready = client(&replay).get("/ready").await.json().await;
    assert_eq!((&ready["mode"], &ready["upstream"]["url"]), (&json!("replay"), &json!("replay")));
    let missed = replay.finish().await.expect_err("misses");
    assert_eq!(missed.0.len(), 3);
}

fn bare(client: Client) -> Client {
    client.header("cache-control", "no-cache")
}

fn betas(client: Client) -> Client {
    bare(client).header("anthropic-version", "2023-06-01").header("anthropic-beta", "one,two")
}

/// For all answers of the corpus, streamed and whole, through both doors.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn record_and_replay_give_the_same_bytes() {
    let answers = corpus::answers();
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let app = setup.start().await;
    let asks = |number: usize| {
        let text = format!("question {number}");
        let native = json!({"model": MODEL, "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": text}]});
        [
            (
                bare as fn(Client) -> Client,
                CHAT,
                with(ask(&text), "stream_options", json!({"include_usage": true})),
            ),
            (bare, CHAT, ask_whole(&text)),
            (betas, MESSAGES, native.clone()),
            (betas, MESSAGES, with(native, "stream", json!(false))),
        ]
    };
    let mut recorded = Vec::new();
    for (number, answer) in answers.iter().enumerate() {
        for (dressed, path, body) in asks(number) {
            upstream.push(Script::sse([answer.clone()]));
            recorded.push(dressed(app.client()).post(path, &body).await.text().await);
        }
    }
    app.stop().await;
    drop(upstream);
    if recorded.is_empty() {
        return;
    }
    let replay = Replay::start(export(&setup).await).await.expect("a replay");
    let mut recorded = recorded.iter();
    let mut same = 0;
    for (number, answer) in answers.iter().enumerate() {
        for (dressed, path, body) in asks(number) {
            let recorded = recorded.next().expect("as many");
            let replayed = dressed(client(&replay)).post(path, &body).await;
            // Recordings without an end are not exported.
            if replayed.status.as_u16() == 404 {
                assert!(!answer.contains("message_stop"), "{number}: {}", replayed.text().await);
                continue;
            }
            same += 1;
            assert_eq!(
                corpus::of_the_answer(recorded),
                corpus::of_the_answer(&replayed.text().await)
            );
        }
    }
    assert!(same > 100, "{same}");
}

/// What is accepted and recorded can be exported, linted, loaded and replayed, however deep its JSON is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_recorded_is_replayed_however_deep_it_is() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let app = setup.start().await;
    upstream.always(Script::sse(Answer::of(MODEL).text(&["Hello"]).stop("end_turn")));
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let chat = |depth: usize| {
        let properties = format!(r#"{{"a":{{"default":{}}}}}"#, nested(depth));
        let tool = format!(
            r#"{{"type":"function","function":{{"name":"f","parameters":{{"type":"object","properties":{properties}}}}}}}"#
        );
        let messages = format!(r#"[{{"role":"user","content":"{depth} levels"}}]"#);
        (CHAT, format!(r#"{{"model":"{MODEL}","messages":{messages},"tools":[{tool}]}}"#))
    };
    let native = |depth: usize| {
        let block = format!(r#"{{"type":"text","text":"{depth}","deep":{}}}"#, nested(depth));
        let messages = format!(r#"[{{"role":"user","content":[{block}]}}]"#);
        (MESSAGES, format!(r#"{{"model":"{MODEL}","max_tokens":9,"messages":{messages}}}"#))
    };
    let mut asked = Vec::new();
    for depth in [1, 60, 110, 112, 113, 114, 115, 116, 117, 118, 119, 120, 121, 122, 125, 128] {
        asked.extend([chat(depth), native(depth)]);
    }
    asked.extend([200, 240].map(native));
    let post = async |client: Client, (path, body): &(&'static str, String)| {
        let client = client.header("content-type", "application/json");
        client.send("POST", path, body.as_bytes()).await
    };
    let mut recorded = Vec::new();
    for request in &asked {
        let reply = post(app.client(), request).await;
        if reply.status.as_u16() == 200 {
            recorded.push((request.clone(), reply.text().await));
        } else {
            assert_eq!(reply.status.as_u16(), 400, "{request:?}");
        }
    }
    assert!(recorded.len() > 25, "{}", recorded.len());
    // Deeper than any file is.
    let too_deep = native(600);
    assert_eq!(post(app.client(), &too_deep).await.status.as_u16(), 200);
    app.stop().await;

    let folder = export(&setup).await;
    let mut lint = command(&setup);
    lint.args(["fixtures", "lint"]).arg(&folder);
    let lint = tokio::task::spawn_blocking(move || lint.output().expect("the program")).await;
    let lint = lint.expect("its output");
    assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
    let played = Replay::start(&folder).await.expect("a replay");
    for (request, answer) in &recorded {
        let reply = post(client(&played), request).await;
        assert_eq!(reply.status.as_u16(), 200, "{request:?}");
        assert_eq!(
            corpus::of_the_answer(&reply.text().await),
            corpus::of_the_answer(answer),
            "{request:?}"
        );
    }
    assert_eq!(post(client(&played), &too_deep).await.status.as_u16(), 404);
}
