//! Calls as an operator sees them: labels, refusals, the export, and all about one.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    proxy::{
        early::MESSAGES,
        paused::{found, pausing},
    },
    support::{
        app::{App, CHAT, MODEL, Setup, ask, ask_whole, with},
        binary::command,
        client::Client,
        script::Script,
        sse::Answer,
        until,
        upstream::Upstream,
    },
};

const QUESTION: &str = "a question that is asked in confidence";
const ANSWER: &str = "an answer \u{1b}]0;title\u{7} in confidence";

/// A server with an answer for each question.
async fn start(setup: impl FnOnce(Setup) -> Setup) -> (Setup, App, Upstream) {
    let upstream = Upstream::start().await;
    upstream.always(Script::sse(Answer::of(MODEL).text(&[ANSWER]).stop("end_turn")));
    let setup = setup(Setup::of(&upstream));
    let app = setup.start().await;
    (setup, app, upstream)
}

/// The program's answer to a command that ends well.
async fn told(setup: &Setup, arguments: &[&str]) -> String {
    let mut command = command(setup);
    command.args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    let output = output.expect("a thread").expect("the program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The lines of `calls export`, once there are so many.
async fn exported(setup: &Setup, arguments: &[&str], count: usize) -> Vec<Value> {
    let arguments = [&["calls", "export"], arguments].concat();
    let mut lines = Vec::new();
    until("so many calls", async || {
        let text = told(setup, &arguments).await;
        lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        lines.len() >= count
    })
    .await;
    assert_eq!(lines.len(), count, "{lines:?}");
    lines
}

async fn post(client: &Client, body: &Value) -> (u16, Option<String>) {
    let reply = client.post(CHAT, body).await;
    let (status, how) =
        (reply.status.as_u16(), reply.header("cache-status").map(ToOwned::to_owned));
    reply.text().await;
    (status, how)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_are_kept_and_do_not_change_the_answer() {
    let (setup, app, upstream) = start(|setup| setup).await;
    let labelled = |list: &str| app.client().header("x-reprise-tag", list);
    let metadata = json!({"project": "apollo", "run": 7, "list": []});
    let first = with(ask_whole(QUESTION), "metadata", metadata.clone());
    assert_eq!(post(&labelled("team=blue, nightly"), &first).await.0, 200);
    let (_, how) = post(&labelled("team=red"), &ask_whole(QUESTION)).await;
    assert!(how.expect("a status").starts_with("reprise; hit"));
    assert_eq!(upstream.requests().len(), 1);
    // Of a temporary chat only what its headers say is kept, as its ids are.
    let temporary = labelled("secret=no").header("x-owui-chat", "temporary:1");
    assert_eq!(post(&temporary, &first).await.0, 200);
    let native = json!({"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "x"}],
        "metadata": {"user_id": "u"}});
    labelled("native").post("/v1/messages", &native).await.text().await;

    let calls = exported(&setup, &[], 4).await;
    let tags: Vec<&Value> = calls.iter().map(|call| &call["tags"]).collect();
    let pairs = json!(["team=blue", "nightly", "project=apollo", "run=7"]);
    assert_eq!(tags, [&pairs, &json!(["team=red"]), &json!(["secret=no"]), &json!(["native"])]);
    assert_eq!(exported(&setup, &["--tag", "team"], 2).await, calls[..2]);
    let stats = told(&setup, &["stats", "--by", "tag:team", "--json"]).await;
    let stats: Value = serde_json::from_str(&stats).expect("JSON");
    assert_eq!(stats["groups"][0]["of"], json!({"tag:team": "blue"}));
    assert_eq!((&stats["total"]["calls"], &stats["groups"][1]["calls"]), (&json!(4), &json!(1)));
    let shown = told(&setup, &["calls", "show", calls[0]["id"].as_str().expect("an id")]).await;
    assert!(shown.contains("note      metadata: has pairs that are not kept as tags"), "{shown}");

    for bad in ["x".repeat(129), (0..17).map(|n| n.to_string()).collect::<Vec<_>>().join(",")] {
        let reply = labelled(&bad).post(CHAT, &ask("hi")).await;
        assert_eq!(reply.status.as_u16(), 400);
        let error = &reply.json().await["error"];
        assert_eq!(
            (&error["code"], &error["param"]),
            (&json!("invalid_tag"), &json!("X-Reprise-Tag"))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_known_callers_have_rows_and_those_of_strangers_a_count() {
    let (setup, app, upstream) = start(|setup| setup.set("REPRISE_API_KEY", "k")).await;
    let client = |key: &str| app.client().header("authorization", &format!("Bearer {key}"));
    let bad = json!({ "model": "gpt-9", "messages": [] });
    for _ in 0..70 {
        assert_eq!(post(&client("k").header("x-owui-user", "ann"), &bad).await.0, 400);
    }
    for _ in 0..5 {
        assert_eq!(post(&client("wrong"), &ask("hi")).await.0, 401);
    }
    let only = client("k").header("cache-control", "only-if-cached");
    assert_eq!(post(&only, &ask("hi")).await.0, 504);
    // It is no earlier call of the chat, and no other path counts.
    app.client().get("/v1/nothing").await.text().await;
    assert_eq!(post(&client("k"), &ask("hi")).await.0, 200);

    let expected = json!({"missing_required_parameter": 70, "invalid_api_key": 5, "not_cached": 1});
    let mut stats = Value::Null;
    until("all refusals counted", async || {
        let text = told(&setup, &["stats", "--json", "--by", "user"]).await;
        stats = serde_json::from_str(&text).expect("JSON");
        stats["total"]["refused"] == expected && stats["total"]["calls"] == 1
    })
    .await;
    assert_eq!(stats["total"]["errors"], json!({}));
    let of_ann = stats["groups"].as_array().expect("groups").iter();
    let of_ann = of_ann.clone().find(|group| group["of"]["user"] == "ann").expect("her group");
    assert_eq!(of_ann["refused"], json!({"missing_required_parameter": 60}));
    assert_eq!(of_ann["calls"], 0);
    let rows = exported(&setup, &["--outcome", "refused"], 61).await;
    assert_eq!(
        (
            &rows[0]["user"],
            &rows[0]["model"],
            &rows[0]["error"],
            &rows[0]["status"],
            &rows[0]["cost"]["nano_dollars"]
        ),
        (
            &json!("ann"),
            &json!("gpt-9"),
            &json!("missing_required_parameter"),
            &json!(400),
            &json!(0)
        )
    );
    assert_eq!(
        (&rows[60]["error"], &rows[60]["reason"]),
        (&json!("not_cached"), &json!("no-answer"))
    );
    let table = told(&setup, &["stats"]).await;
    let line = "refused  missing_required_parameter 70, invalid_api_key 5, not_cached 1\n";
    assert!(table.contains(line) && !table.contains("gpt-9"), "{table}");
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_about_a_call_is_shown_by_the_id_in_its_response() {
    let (setup, app, upstream) = start(|setup| setup).await;
    let request = with(ask_whole(QUESTION), "seed", json!(7));
    let reply = app.client().post(CHAT, &request).await;
    let exchange = reply.header("x-reprise-exchange").expect("an id").to_owned();
    let completion = reply.json().await["id"].as_str().expect("an id").to_owned();
    post(&app.client(), &request).await;
    let calls = exported(&setup, &[], 2).await;
    let ids: Vec<&str> = calls.iter().map(|call| call["id"].as_str().expect("an id")).collect();

    let shown = told(&setup, &["calls", "show", &exchange]).await;
    for line in [
        &*format!("call      {}\n", ids[0]),
        "answered  miss: by Claude, because the ledger had no answer\n",
        "outcome   complete, HTTP 200\n",
        "note      seed: is left out, because Claude has no counterpart\n",
        &*format!("shared    with 1 other call: {}\n", ids[1]),
        &*format!("exchange  {exchange}\n"),
        "upstream  1 request, the last req_000\n",
        "per million tokens: input $1, output $5,",
    ] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    assert!(!shown.contains("confidence"), "{shown}");
    for id in [&*completion, ids[0], &ids[0].to_uppercase(), &exchange[..exchange.len() - 1]] {
        assert_eq!(told(&setup, &["calls", "show", id]).await, shown, "{id}");
    }
    let hit = told(&setup, &["calls", "show", ids[1]]).await;
    assert!(
        hit.contains("answered  hit: from the ledger\n") && hit.contains("saved     $"),
        "{hit}"
    );

    let with_body = told(&setup, &["calls", "show", &exchange, "--body"]).await;
    assert!(with_body.contains(QUESTION), "{with_body}");
    // Nothing in it speaks to the terminal.
    assert!(with_body.contains("an answer \\u001b]0;title\\u0007 in confidence"), "{with_body}");
    let json = told(&setup, &["calls", "show", &exchange, "--json", "--body"]).await;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["bodies"]["client"], request);
    assert_eq!(json["bodies"]["answers"][0]["content"][0]["text"], ANSWER);
    assert_eq!(json["call"], calls[0]);
    assert_eq!(json["exchanges"][0]["bill"]["explains_cost"], true);

    // An answer that paused is named by its first exchange, and has all of them.
    for script in [pausing(), found()] {
        upstream.push(script);
    }
    let reply = app.client().post(CHAT, &ask("more")).await;
    let first = reply.header("x-reprise-exchange").expect("an id").to_owned();
    reply.text().await;
    let json = told(&setup, &["calls", "show", &first, "--json"]).await;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let parts = json["exchanges"].as_array().expect("parts");
    assert_eq!((parts.len(), &parts[0]["id"]), (2, &json!(first)));
    assert_eq!(parts[1]["continues"], json!(first));
    assert_eq!(json["call"]["exchange"], parts[1]["id"]);

    let unknown = |id: &str| {
        let output = command(&setup).args(["calls", "show", id]).output().expect("the program");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).expect("text")
    };
    assert!(unknown("ffff").contains("there is no call and no exchange ffff"));
    assert!(unknown("req_000").contains("is not the id of a call or an exchange"));
    assert!(unknown(&exchange[..2]).contains("several ids begin with"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_upstream_names_the_exchange_that_failed() {
    let (setup, app, upstream) = start(|setup| setup).await;
    for (path, request) in [(CHAT, ask("whole")), (CHAT, ask_whole("streamed"))]
        .into_iter()
        .chain([true, false].map(|streams| (MESSAGES, native(streams))))
    {
        upstream.push(Script::error(401, "authentication_error", "invalid x-api-key"));
        let reply = app.client().post(path, &request).await;
        assert_eq!(reply.status.as_u16(), 401);
        let exchange = reply.header("x-reprise-exchange").expect("an id").to_owned();
        reply.text().await;
        let shown = told(&setup, &["calls", "show", &exchange]).await;
        assert!(shown.contains("outcome   failed") && shown.contains(&exchange), "{shown}");
    }
    let reply = app.client().post(CHAT, &json!({"model": MODEL})).await;
    assert_eq!((reply.status.as_u16(), reply.header("x-reprise-exchange")), (400, None));
}

/// A request in Anthropic's API.
fn native(streams: bool) -> Value {
    let messages = json!([{"role": "user", "content": format!("streams: {streams}")}]);
    json!({"model": MODEL, "max_tokens": 9, "stream": streams, "messages": messages})
}

/// A running export, and its lines.
struct Follower {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Follower {
    fn start(setup: &Setup, arguments: &[&str]) -> Self {
        let mut command = command(setup);
        command.args(["calls", "export", "--follow"]).args(arguments).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, lines }
    }

    /// Waits for the next line.
    async fn line(self) -> (Self, String) {
        let read = tokio::task::spawn_blocking(move || {
            let (mut this, mut line) = (self, String::new());
            this.lines.read_line(&mut line).expect("a line");
            (this, line)
        });
        read.await.expect("a thread")
    }

    /// Waits for the end of the program, which says nothing more; with its reader gone if `leaves`.
    async fn end(self, leaves: bool) {
        let Self { mut child, mut lines } = self;
        let ended = tokio::task::spawn_blocking(move || {
            let mut rest = String::new();
            if !leaves {
                lines.read_to_string(&mut rest).expect("text");
            }
            drop(lines);
            let status = child.wait().expect("its end");
            let mut stderr = String::new();
            child.stderr.take().expect("a pipe").read_to_string(&mut stderr).expect("text");
            (status.code(), rest, stderr)
        });
        assert_eq!(ended.await.expect("a thread"), (Some(0), String::new(), String::new()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_follows_the_server_until_a_signal_or_until_nobody_reads() {
    let (setup, app, _upstream) = start(|setup| setup).await;
    let user = |name: &str| with(ask_whole(name), "user", json!(name));
    post(&app.client(), &user("ann")).await;
    let (follower, line) = Follower::start(&setup, &[]).line().await;
    assert!(line.contains("\"user\":\"ann\""), "{line}");
    let of_cleo = Follower::start(&setup, &["--user", "cleo", "--format", "csv"]);
    let (of_cleo, header) = of_cleo.line().await;
    assert!(header.starts_with("id,at,user,") && header.ends_with("\r\n"), "{header:?}");
    post(&app.client(), &user("bob")).await;
    post(&app.client(), &user("cleo")).await;
    let (follower, bob) = follower.line().await;
    let (follower, cleo) = follower.line().await;
    assert!(bob.contains("\"user\":\"bob\"") && cleo.contains("\"user\":\"cleo\""));
    let (of_cleo, line) = of_cleo.line().await;
    assert!(line.contains(",cleo,"), "{line}");
    let interrupt = format!("kill -INT {}", follower.child.id());
    assert!(Command::new("sh").args(["-c", &interrupt]).status().expect("a shell").success());
    follower.end(false).await;
    of_cleo.end(true).await;
}
