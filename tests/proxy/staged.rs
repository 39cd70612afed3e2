//! Fixtures that a person wrote by hand, with all that can be said in them: order, scenarios, faults, pace.

use std::{path::Path, sync::Arc};

use reprise::{
    config::{Config, Flags},
    domain::cassette::Scrubber,
    server::Server,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::support::{
    app::{CHAT, MODEL, ask, ask_whole},
    client::{Client, Read, Reply},
    soon,
};

/// A replay of files that a test writes.
struct Staged {
    client: Client,
    stop: CancellationToken,
    tasks: TaskTracker,
    _folder: Arc<TempDir>,
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.stop.cancel();
        self.tasks.close();
    }
}

fn folder(files: &[(&str, Value)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, fixture) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, format!("{fixture}\n")).expect("a file");
    }
    folder
}

/// Replays these files with these settings, as the environment would give them.
async fn staged(files: &[(&str, Value)], settings: &[(&str, &str)]) -> Staged {
    let folder = folder(files);
    let env = |name: &str| {
        let found = settings.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let flags = Flags::default().with("port", "0");
    let paths = [folder.path().to_owned()];
    let config = Config::load_replay(&paths, &flags, &env).expect("settings");
    let server = Server::start_replay(config, Scrubber::default()).await.expect("a server");
    let client = Client::new(&format!("http://{}", server.address().expect("an address")));
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    tasks.spawn(server.run(stop.clone().cancelled_owned(), std::future::pending()));
    Staged { client, stop, tasks, _folder: Arc::new(folder) }
}

fn fixture(question: &str, response: &Value) -> Value {
    json!({
        "schema": 1,
        "client": {"body": {"model": MODEL, "messages": [{"role": "user", "content": question}]}},
        "response": response,
    })
}

fn says(question: &str, answer: &str) -> Value {
    fixture(question, &json!({"message": {"content": answer}}))
}

async fn said(reply: Reply) -> String {
    let answer = reply.json().await;
    match answer["choices"][0]["message"]["content"].as_str() {
        Some(text) => text.to_owned(),
        None => answer["error"]["message"].as_str().expect("an error").to_owned(),
    }
}

async fn asked(client: &Client, question: &str) -> String {
    said(client.post(CHAT, &ask_whole(question)).await).await
}

/// The events of an answer of one word, each with its time.
fn events(times: [u64; 6]) -> Value {
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 1, "output_tokens": 1}});
    let events = [
        json!({"type": "message_start", "message": message}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}),
        json!({"type": "message_stop"}),
    ];
    let lines = times.iter().zip(events).map(|(at, event)| json!([at, event["type"], event]));
    lines.collect()
}

/// A file with `events` in it, each in one line, as the format wants it.
fn streamed(question: &str, events: &Value) -> Value {
    fixture(question, &json!({ "events": events }))
}

/// Three answers to one question, in the order of their files.
fn three() -> Vec<(&'static str, Value)> {
    vec![
        ("1.json", says("Hi", "one")),
        ("2.json", says("Hi", "two")),
        ("3.json", says("Hi", "three")),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_answer_is_given_in_turn_and_then_as_the_operator_says() {
    for (policy, fourth, fifth) in [
        ("last", "three", "three"),
        ("cycle", "one", "two"),
        ("error", "all answers", "all answers"),
    ] {
        let stage = staged(&three(), &[("REPRISE_AT_THE_END", policy)]).await;
        for expected in ["one", "two", "three", fourth, fifth] {
            let answer = asked(&stage.client, "Hi").await;
            assert!(answer.starts_with(expected), "{policy}: {expected}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_says_itself_what_comes_after_it() {
    let mut files = three();
    files[2].1["at_the_end"] = json!("cycle");
    files.push(("other.json", says("Other", "once")));
    let stage = staged(&files, &[("REPRISE_AT_THE_END", "error")]).await;
    for expected in ["one", "two", "three", "one", "two"] {
        assert_eq!(asked(&stage.client, "Hi").await, expected);
    }
    assert_eq!(asked(&stage.client, "Other").await, "once");
    assert!(asked(&stage.client, "Other").await.starts_with("all answers"), "as for all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_requests_at_one_time_get_each_answer_once() {
    const MANY: usize = 50;
    let names: Vec<String> = (0..MANY).map(|n| format!("{n:02}.json")).collect();
    let files: Vec<(&str, Value)> = names
        .iter()
        .enumerate()
        .map(|(n, name)| (name.as_str(), says("Roll", &format!("rolled {n:02}"))))
        .chain([("other.json", says("Other", "the other"))])
        .collect();
    let stage = staged(&files, &[("REPRISE_AT_THE_END", "error")]).await;
    let tasks: Vec<_> = (0..MANY * 2)
        .map(|n| {
            let client = stage.client.clone();
            let question = if n % 2 == 0 { "Roll" } else { "Other" };
            stage.tasks.spawn(async move { (question, asked(&client, question).await) })
        })
        .collect();
    let mut rolled = Vec::new();
    for task in tasks {
        match soon("an answer", task).await.expect("a task") {
            ("Roll", answer) => rolled.push(answer),
            (_, answer) => {
                assert!(answer == "the other" || answer.starts_with("all answers"), "{answer}");
            }
        }
    }
    rolled.sort();
    assert_eq!(rolled, (0..MANY).map(|n| format!("rolled {n:02}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_chooses_the_scenario_and_each_is_begun_again_by_itself() {
    let files = [("calm/1.json", says("Hi", "calm")), ("storm/at/sea/1.json", says("Hi", "storm"))];
    let stage = staged(&files, &[("REPRISE_AT_THE_END", "error")]).await;
    let within = |scenario| stage.client.clone().header("x-reprise-scenario", scenario);
    assert_eq!(asked(&within("storm"), "Hi").await, "storm");
    assert!(asked(&within("storm"), "Hi").await.starts_with("all answers"));
    assert_eq!(asked(&within("calm"), "Hi").await, "calm");
    let none = asked(&within("none"), "Hi").await;
    assert!(
        none.starts_with("there is no scenario \"none\" (X-Reprise-Scenario); there are calm"),
        "{none}"
    );
    let status = within("storm").send("POST", "/replay/reset", b"").await.json().await;
    let given: Vec<u64> = status["fixtures"]
        .as_array()
        .expect("fixtures")
        .iter()
        .map(|line| line["given"].as_u64().expect("a count"))
        .collect();
    assert_eq!(given, [1, 0], "only the storm begins again");
    assert_eq!(status["misses"], 2, "a miss of one is not forgotten for the other");
    assert_eq!(asked(&within("storm"), "Hi").await, "storm");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kinds_of_a_miss_are_told_apart() {
    let stage = staged(
        &[("1.json", says("What is the weather in Paris today?", "Fine"))],
        &[("REPRISE_AT_THE_END", "error")],
    )
    .await;
    let differs = asked(&stage.client, "What is the weather in Paris tonight?").await;
    assert!(differs.starts_with("no fixture matches this request"), "{differs}");
    assert!(differs.contains("tonight"), "{differs}");
    assert_eq!(asked(&stage.client, "What is the weather in Paris today?").await, "Fine");
    let used_up = asked(&stage.client, "What is the weather in Paris today?").await;
    assert!(used_up.starts_with("all answers to this request were given: "), "{used_up}");
    let native = json!({"model": "claude-opus-5-5", "max_tokens": 7, "system": "Quite another thing",
        "messages": [{"role": "user", "content": "Sing"}]});
    let nothing = stage.client.clone().header("anthropic-version", "2023-06-01");
    let nothing = nothing.post("/v1/messages", &native).await;
    assert_eq!((nothing.status.as_u16(), nothing.header("x-should-retry")), (404, Some("false")));
    let told = nothing.json().await["error"]["message"].as_str().expect("a message").to_owned();
    assert!(told.starts_with("no fixture is similar to this request"), "{told}");
    let status = stage.client.get("/replay").await.json().await;
    assert_eq!(status["misses"], 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_faults_of_a_fixture_are_played() {
    let overloaded =
        json!({"type": "error", "error": {"type": "overloaded_error", "message": "Too much"}});
    let mut cut = events([0; 6]);
    let mut told = cut.clone();
    told.as_array_mut().expect("events").truncate(3);
    told.as_array_mut().expect("events").push(json!([0, "error", overloaded]));
    let files = [
        (
            "busy.json",
            fixture(
                "Busy",
                &json!({"status": 529, "headers": {"retry-after": "7"}, "error": overloaded}),
            ),
        ),
        ("cut.json", fixture("Cut", &json!({"events": cut.take(), "cut_after": 3}))),
        ("told.json", streamed("Told", &told)),
        ("late.json", fixture("Late", &json!({"delay": 1, "message": {"content": "At last"}}))),
        ("never.json", fixture("Never", &json!({"delay": 60_000, "message": {"content": "x"}}))),
    ];
    let stage = staged(&files, &[("REPRISE_UPSTREAM_IDLE_TIMEOUT", "20ms")]).await;
    let busy = stage.client.post(CHAT, &ask("Busy")).await;
    assert_eq!((busy.status.as_u16(), busy.header("retry-after")), (503, Some("7")));
    assert!(said(busy).await.contains("Too much"));
    for (question, why) in [("Cut", "broke off"), ("Told", "Too much")] {
        let body = stage.client.post(CHAT, &ask(question)).await.text().await;
        assert!(body.contains("word") && body.contains("\"error\":"), "{body}");
        assert!(body.contains(why) || question == "Cut", "{body}");
        assert!(!body.contains("[DONE]"), "{body}");
    }
    assert_eq!(asked(&stage.client, "Late").await, "At last");
    let never = stage.client.post(CHAT, &ask("Never")).await;
    assert_eq!(never.status.as_u16(), 504, "kept back for longer than anybody waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pace_is_as_recorded_or_faster_and_no_gap_is_longer_than_the_longest() {
    const HOUR: u64 = 3_600_000;
    let file = [("1.json", streamed("Hi", &events([0, 0, 0, HOUR, HOUR, HOUR])))];
    let fast = |speed: &'static str, gap| [("REPRISE_SPEED", speed), ("REPRISE_LONGEST_GAP", gap)];
    for settings in [fast("0", "2h"), fast("1", "1ms"), fast("1e9", "2h")] {
        let stage = staged(&file, &settings).await;
        let body = stage.client.post(CHAT, &ask("Hi")).await.text().await;
        assert!(body.ends_with("data: [DONE]\n\n"), "{body}");
    }
    let mut settings = fast("1", "2h").to_vec();
    settings.push(("REPRISE_UPSTREAM_IDLE_TIMEOUT", "3h"));
    let stage = staged(&file, &settings).await;
    let mut reply = stage.client.post(CHAT, &ask("Hi")).await;
    reply.read_until("word").await;
    let waits = futures_util::FutureExt::now_or_never(reply.read());
    assert_eq!(waits, None, "the rest comes in an hour");
    settings.last_mut().expect("a setting").1 = "20ms";
    let stage = staged(&file, &settings).await;
    let mut reply = stage.client.post(CHAT, &ask("Hi")).await;
    let (body, end) = reply.rest().await;
    assert_eq!(end, Read::End);
    assert!(
        !String::from_utf8_lossy(&body).contains("[DONE]"),
        "silence is a failure, as it is live"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_translator_is_told_and_is_no_miss() {
    let mut old = says("Hi", "as ever");
    old["upstream"] = json!({"version": "2023-06-01", "body": {"model": MODEL, "max_tokens": 77,
        "messages": [{"role": "user", "content": "Hi"}]}});
    let stage = staged(&[("old.json", old)], &[]).await;
    assert_eq!(asked(&stage.client, "Hi").await, "as ever");
    let status = stage.client.get("/replay").await.json().await;
    assert_eq!((&status["misses"], &status["fixtures"][0]["given"]), (&json!(0), &json!(1)));
    let changed = status["fixtures"][0]["translator_changed"].to_string();
    assert!(changed.contains("max_tokens"), "{changed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_operators_see_the_stage_and_begin_again() {
    let file = [("1.json", says("Hi", "there"))];
    let stage = staged(&file, &[]).await;
    let page = stage.client.clone().header("origin", "https://evil.example");
    assert_eq!(page.get("/replay").await.status.as_u16(), 403);
    let forwarded = stage.client.clone().header("x-forwarded-for", "203.0.113.9");
    assert_eq!(forwarded.send("POST", "/replay/reset", b"").await.status.as_u16(), 403);
    assert_eq!(stage.client.get("/replay").await.status.as_u16(), 200);
    let stage = staged(&file, &[("REPRISE_ADMIN_KEY", "the admin's")]).await;
    assert_eq!(stage.client.get("/replay").await.status.as_u16(), 401);
    let admin = stage.client.clone().bearer("the admin's");
    assert_eq!(asked(&stage.client, "Hi").await, "there");
    let status = admin.send("POST", "/replay/reset", b"").await.json().await;
    assert_eq!(status["fixtures"][0]["given"], 0);
}

/// The process that a test suite in any language starts.
mod process {
    use std::{
        fs::File,
        io::{BufRead, BufReader},
        process::{Child, Command, Output, Stdio},
    };

    use super::{CHAT, Client, Path, ask, ask_whole, asked, folder, says};
    use crate::support::{app::Setup, binary::command};

    /// Starts it and reads from its output where it listens, as a program would.
    fn started(
        mut command: Command,
        setup: &Setup,
    ) -> (Child, Client, BufReader<std::process::ChildStdout>) {
        let log = File::create(setup.folder().join("log")).expect("a log");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("the program");
        let mut out = BufReader::new(child.stdout.take().expect("its output"));
        let mut line = String::new();
        out.read_line(&mut line).expect("a line");
        let url = line.trim().strip_suffix("/v1").expect("a base URL").to_owned();
        (child, Client::new(&url), out)
    }

    /// Tells it to stop; its exit code, and what it says at the end.
    fn ended(mut child: Child, mut out: BufReader<std::process::ChildStdout>) -> (i32, String) {
        let line = format!("kill -TERM {}", child.id());
        assert!(Command::new("sh").args(["-c", &line]).status().expect("a shell").success());
        let mut told = String::new();
        std::io::Read::read_to_string(&mut out, &mut told).expect("text");
        let status = child.wait().expect("the end of the process");
        (status.code().expect("an exit code"), told)
    }

    /// Settings without a key, a ledger or an upstream.
    fn nothing() -> Setup {
        let setup = Setup::at("http://127.0.0.1:9").unset("ANTHROPIC_API_KEY");
        setup.unset("REPRISE_DATABASE_URL").unset("REPRISE_PORT")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn strict_fails_on_what_is_missed_or_unused_and_says_what() {
        let files = folder(&[("1.json", says("Hi", "one")), ("2.json", says("There", "two"))]);
        let setup = nothing();
        for (questions, strict, code, report) in [
            (
                &["Hi", "There"][..],
                "true",
                0,
                "2 of 2 fixtures were given; 0 requests found none\n",
            ),
            (&["Hi"], "true", 1, "unused "),
            (&["Hi", "There", "Nothing"], "true", 1, "miss   no fixture "),
            (&["Hi", "Nothing"], "false", 0, "1 of 2 fixtures were given; 1 request found none\n"),
        ] {
            let mut command = command(&setup);
            command.env("REPRISE_STRICT", strict).arg("replay").arg(files.path());
            command.args(["--port", "0"]);
            let (child, client, out) = started(command, &setup);
            for question in questions {
                client.post(CHAT, &ask(question)).await.text().await;
            }
            let (exit, told) = ended(child, out);
            assert_eq!(exit, code, "{told}");
            assert!(told.contains(report), "{told}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn serve_replays_where_the_environment_says_so() {
        let (first, second) =
            (folder(&[("1.json", says("Hi", "one"))]), folder(&[("2.json", says("There", "two"))]));
        let setup = nothing();
        let mut command = command(&setup);
        let both = format!("{}:{}", first.path().display(), second.path().display());
        command
            .env("REPRISE_MODE", "replay")
            .env("REPRISE_FIXTURES", both)
            .env("REPRISE_PORT", "0");
        command.arg("serve");
        let (child, client, out) = started(command, &setup);
        assert_eq!(client.get("/ready").await.json().await["mode"], "replay");
        assert_eq!(asked(&client, "Hi").await, "one");
        assert_eq!(asked(&client, "There").await, "two");
        assert_eq!(
            ended(child, out),
            (0, "2 of 2 fixtures were given; 0 requests found none\n".to_owned())
        );
    }

    /// A shell with no network but loopback, or `None` where the system does not allow that.
    fn without_network(script: &str, program: &Path, folder: &Path) -> Option<Output> {
        let run = |script: &str| {
            let mut command = Command::new("unshare");
            command.args(["-rn", "sh", "-c", script]).env_clear();
            let path = std::env::var_os("PATH").unwrap_or_default();
            command.env("PATH", path).env("PROGRAM", program).env("FOLDER", folder).output().ok()
        };
        run("ip link set lo up").filter(|output| output.status.success())?;
        run(script)
    }

    /// The whole program in a namespace in which nothing can be reached.
    #[test]
    #[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
    fn a_replay_needs_no_network() {
        const SCRIPT: &str = r#"set -eu
            ip link set lo up
            [ "$(ip -o link | wc -l)" = 1 ]
            "$PROGRAM" replay "$FOLDER" --port 0 --strict >"$FOLDER/out" 2>"$FOLDER/log" &
            until grep -q http "$FOLDER/out"; do kill -0 $!; done
            curl -sS --fail --noproxy '*' -H content-type:application/json -d "$(cat "$FOLDER/body")" \
                "$(head -n 1 "$FOLDER/out")/chat/completions"
            kill -TERM $!
            wait $!"#;
        let files = folder(&[("1.json", says("Hi", "from nowhere"))]);
        std::fs::write(files.path().join("body"), ask_whole("Hi").to_string()).expect("a file");
        let program = Path::new(env!("CARGO_BIN_EXE_reprise"));
        let Some(output) = without_network(SCRIPT, program, files.path()) else {
            println!("skipped: this system makes no empty network (unshare -rn, ip)");
            return;
        };
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("from nowhere"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wildcards_in_a_clients_request_are_those_of_its_translation() {
    let like = |question: Value, answer: &str| {
        let mut file = says("", answer);
        file["client"]["body"]["messages"][0]["content"] = question;
        file
    };
    let files = [
        ("1.json", like(json!({"$like": "What is * in Paris?"}), "rain")),
        ("2.json", like(json!([{"type": "text", "text": {"$like": "Two \\* *"}}]), "stars")),
        ("3.json", says("What is it in Paris?", "it")),
        ("4.json", like(json!({"$any": true}), "anything")),
    ];
    let stage = staged(&files, &[]).await;
    let picture = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII=";
    for (question, answer) in [
        (json!("What is the weather in Paris?"), "rain"),
        (json!("What is it in Paris?"), "it"),
        (json!("Two * of them"), "stars"),
        (json!("Two of them"), "anything"),
        (json!([{"type": "image_url", "image_url": {"url": picture}}]), "anything"),
    ] {
        let body = json!({"model": MODEL, "messages": [{"role": "user", "content": question}]});
        assert_eq!(said(stage.client.post(CHAT, &body).await).await, answer, "{body}");
    }
    let two = json!({"model": MODEL, "messages": [
        {"role": "user", "content": "What is the weather in Rome?"},
        {"role": "assistant", "content": "Sun"},
        {"role": "user", "content": "And now?"},
    ]});
    let miss = stage.client.post(CHAT, &two).await;
    assert_eq!(miss.status.as_u16(), 404);
    assert!(said(miss).await.contains("messages[2]"));
}
