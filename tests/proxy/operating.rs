//! What an operator does beside a running server, with the program's own commands.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, pin::pin, process::Output};

use serde_json::{Value, json};
use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};

use crate::{
    proxy::chats::{of, status},
    support::{
        app::{App, CHAT, MODEL, Setup, ask, with},
        backend,
        binary::command,
        script::Script,
        sse::Answer,
        until,
        upstream::Upstream,
    },
};

pub(super) async fn start(setup: &Setup, upstream: &Upstream) -> App {
    upstream.always(Script::sse(Answer::of(MODEL).text(&["Hello"]).stop("end_turn")));
    setup.start().await
}

/// Runs the program with the settings of the server, as a person would on the same machine.
pub(super) async fn run(setup: &Setup, app: &App, arguments: &[&str]) -> Output {
    let port = app.url().rsplit(':').next().expect("a port").to_owned();
    let mut command = command(&setup.clone().set("REPRISE_PORT", &port));
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output().expect("the program"))
        .await
        .expect("its output")
}

async fn cleared(setup: &Setup, app: &App, arguments: &[&str]) -> u64 {
    let arguments = [&["cache", "clear", "--json"], arguments].concat();
    let output = run(setup, app, &arguments).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let name = if arguments.contains(&"--dry-run") { "would_clear" } else { "cleared" };
    told[name].as_u64().expect("a number")
}

pub(super) async fn how(app: &App, body: &Value) -> String {
    let reply = app.client().post(CHAT, body).await;
    let how = status(&reply);
    reply.text().await;
    how
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_cleared_by_what_they_are_also_in_memory() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let app = start(&setup, &upstream).await;
    let opus = with(ask("hi"), "model", json!("claude-opus-5-5"));
    let of_chat = async || {
        let reply = of(&app, "ann", "c1", "m1").post(CHAT, &ask("in a chat")).await;
        reply.text().await;
    };
    let key = async |body: &Value| {
        let reply = app.client().post(CHAT, body).await;
        let told = reply.header("cache-status").expect("a status").to_owned();
        reply.text().await;
        told.split("key=\"").nth(1).expect("a key")[..12].to_owned()
    };
    for body in [&ask("hi"), &ask("there"), &opus] {
        how(&app, body).await;
    }
    of_chat().await;
    assert_eq!(cleared(&setup, &app, &["--dry-run"]).await, 4);
    assert_eq!(cleared(&setup, &app, &["--older-than", "1h"]).await, 0);
    assert_eq!(cleared(&setup, &app, &["--session", "c1"]).await, 1);
    assert_eq!(cleared(&setup, &app, &["--model", "claude-opus-5-5"]).await, 1);
    assert_eq!(how(&app, &opus).await, "fwd=miss; stored");
    assert_eq!(how(&app, &ask("hi")).await, "hit");
    let of_hi = key(&ask("hi")).await;
    assert_eq!(cleared(&setup, &app, &["--key", &of_hi]).await, 1);
    assert_eq!(how(&app, &ask("hi")).await, "fwd=miss; stored");
    assert_eq!(how(&app, &ask("there")).await, "hit");
    assert_eq!(cleared(&setup, &app, &[]).await, 3);
    assert_eq!(how(&app, &ask("there")).await, "fwd=miss; stored");
    let ledger = app.stop().await;
    assert!(ledger.exchanges().await.iter().all(|exchange| exchange.recording.is_some()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_server_prunes_what_a_person_asks_it_to() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let app = start(&setup, &upstream).await;
    of(&app, "ann", "c1", "m1").post(CHAT, &ask("a secret of Ann's")).await.text().await;
    of(&app, "bob", "c2", "m2").post(CHAT, &ask("hi")).await.text().await;
    let output = run(&setup, &app, &["prune", "--user", "ann"]).await;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.starts_with("Deleted\n  bodies  1 exchange"), "{told}");
    assert!(told.contains("Stays\n  totals  1 call: times, models"), "{told}");
    let asks = async |user: &str| {
        let reply = of(&app, user, "c3", "m3").post(CHAT, &ask("hi")).await;
        let how = status(&reply);
        reply.text().await;
        how
    };
    assert_eq!(asks("bob").await, "hit", "what was said by others stays");
    until("all three calls in the ledger: totals stay", async || {
        app.ledger().calls().await.len() == 3
    })
    .await;
    let bodies = app.ledger().bodies().await;
    assert!(!bodies.windows(8).any(|window| window == b"a secret"));
    let again = run(&setup, &app, &["prune", "--user", "ann", "--json"]).await;
    let again: Value = serde_json::from_slice(&again.stdout).expect("JSON");
    assert_eq!(again["bodies"], 0);
    assert_eq!(again["kept"], json!({ "calls": 1, "answers": 0 }));
    // Bob's second answer stays as that of the first.
    let preview = run(&setup, &app, &["prune", "--chat", "c3", "--dry-run"]).await;
    let told = String::from_utf8_lossy(&preview.stdout).into_owned();
    assert!(told.contains("bodies  1 answer: newer, or asked for by another"), "{told}");
    let gone = run(&setup, &app, &["prune", "--user", "ann", "--keep-totals", "0s"]).await;
    let told = String::from_utf8_lossy(&gone.stdout).into_owned();
    assert!(told.contains("Nothing of them stays in the ledger."), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_in_chats_that_open_webui_deleted_goes_from_a_running_server() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let app = start(&setup, &upstream).await;
    of(&app, "ann", "c1", "m1").post(CHAT, &ask("a secret of Ann's")).await.text().await;
    of(&app, "ann", "c2", "m2").post(CHAT, &ask("hi")).await.text().await;
    let setup = setup.clone();
    app.stop().await.run("update call set at = at - 7200000").await;
    let app = setup.start().await;
    let file = setup.folder().join("webui.db");
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let mut webui = options.connect().await.expect("a database");
    let tables = "create table chat (id text, updated_at bigint); create table channel (id text); \
         create table user (last_active_at bigint); insert into user values (9e9); \
         insert into chat values ('c2', 0)";
    sqlx::raw_sql(tables).execute(&mut webui).await.expect("tables");
    let file = file.to_str().expect("a path of text");
    let prune = async |more: &[&str]| {
        let output = run(&setup, &app, &[&["prune", "--chats-not-in", file], more].concat()).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let told = prune(&["--dry-run"]).await;
    let counts = "Deleted in Open WebUI: 1 of 2 chats\n";
    assert!(told.starts_with(&format!("{counts}Would delete\n  bodies  1 exchange")), "{told}");
    let told = prune(&[]).await;
    assert!(told.starts_with(&format!("{counts}Deleted\n  bodies  1 exchange")), "{told}");
    let bodies = app.ledger().bodies().await;
    assert!(!bodies.windows(8).any(|window| window == b"a secret"));
    let again: Value = serde_json::from_str(&prune(&["--json"]).await).expect("JSON");
    assert_eq!((&again["chats"], &again["bodies"]), (&json!({"deleted": 1, "all": 2}), &json!(0)));
    assert_eq!(again["kept"], json!({ "calls": 1, "answers": 0 }));
    let reply = of(&app, "ann", "c3", "m3").post(CHAT, &ask("hi")).await;
    assert_eq!(status(&reply), "hit", "the other chat stays");
    reply.text().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prune_while_another_runs_is_refused_with_the_reason() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let app = start(&setup, &upstream).await;
    how(&app, &ask("hi")).await;
    let prune = async || run(&setup, &app, &["prune", "--keep-bodies", "0s"]).await;
    // Holds up the prune that comes first.
    let lock = app.ledger().lock().await;
    let (mut one, mut other) = (pin!(prune()), pin!(prune()));
    let (refused, running) = tokio::select! {
        refused = &mut one => (refused, other),
        refused = &mut other => (refused, one),
    };
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success(), "{told}");
    assert!(told.contains("a prune is already running, and this one did not start"), "{told}");
    let again = app.client().post("/prune", &json!({ "whose": "everyone" })).await;
    assert_eq!((again.status.as_u16(), again.header("retry-after")), (409, Some("10")));
    assert_eq!(again.json().await["error"]["code"], "prune_running");
    lock.release().await;
    let pruned = running.await;
    assert!(pruned.status.success(), "{}", String::from_utf8_lossy(&pruned.stderr));
    assert!(String::from_utf8_lossy(&pruned.stdout).starts_with("Deleted\n"));
    assert!(app.ledger().bodies().await.is_empty());
    assert!(prune().await.status.success(), "the next one runs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_operators_clear() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream).set("REPRISE_ADMIN_KEY", "the admin's");
    let app = start(&setup, &upstream).await;
    how(&app, &ask("hi")).await;
    for client in [app.client(), app.client().bearer("wrong")] {
        for path in ["/cache/clear", "/prune"] {
            let refused = client.post(path, &json!({})).await;
            assert_eq!(refused.status.as_u16(), 401);
            assert_eq!(refused.json().await["error"]["code"], "invalid_admin_key");
        }
    }
    assert_eq!(how(&app, &ask("hi")).await, "hit");
    let wrong =
        app.client().bearer("the admin's").post("/cache/clear", &json!({"modle": "x"})).await;
    assert_eq!(wrong.status.as_u16(), 400);
    assert!(wrong.text().await.contains("modle"));
    let admin = app.client().bearer("the admin's").header("x-reprise-owner", "somebody else");
    let another = admin.post("/cache/clear", &json!({})).await;
    assert_eq!((another.status.as_u16(), how(&app, &ask("hi")).await), (409, "hit".to_owned()));
    assert_eq!(cleared(&setup, &app, &[]).await, 1);
    app.stop().await;

    let open = Setup::of(&upstream).start().await;
    let page = open.client().header("origin", "https://evil.example");
    assert_eq!(page.post("/cache/clear", &json!({})).await.status.as_u16(), 403);
    assert_eq!(open.client().post("/cache/clear", &json!({})).await.status.as_u16(), 200);
}

/// Every client has the client key: it does not delete. Who can read the ledger can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_of_clients_deletes_nothing_and_the_commands_of_the_operator_need_none() {
    if backend::skips("a lock beside it") {
        return;
    }
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream).set("REPRISE_API_KEY", "the clients'");
    let app = start(&setup, &upstream).await;
    let asks = async || {
        let reply = app.client().bearer("the clients'").post(CHAT, &ask("hi")).await;
        let how = status(&reply);
        reply.text().await;
        how
    };
    assert_eq!((asks().await, asks().await), ("fwd=miss; stored".to_owned(), "hit".to_owned()));
    let everyone = json!({ "whose": "everyone", "keep_bodies": { "secs": 0, "nanos": 0 } });
    for client in [app.client(), app.client().bearer("the clients'")] {
        for (path, body) in [("/cache/clear", &json!({})), ("/prune", &everyone)] {
            let refused = client.post(path, body).await;
            assert_eq!(refused.status.as_u16(), 403);
            let error = refused.json().await["error"].clone();
            assert_eq!(error["code"], "not_an_operator");
            assert!(error["message"].as_str().expect("a message").contains("--admin-key"));
            let guessed =
                client.clone().header("x-reprise-owner", "01a20a3f-0000-7000-8000-000000000000");
            assert_eq!(guessed.post(path, body).await.status.as_u16(), 409);
        }
    }
    assert_eq!(asks().await, "hit");
    // The secret of the lock file is told nowhere else.
    let lock = setup.folder().join("ledger.db.lock");
    let note = std::fs::read_to_string(&lock).expect("a lock");
    let owner = note.split("owner ").nth(1).expect("an owner").trim_end().trim_end_matches(')');
    let mode = std::fs::metadata(&lock).expect("a lock").permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    for path in ["/ready", "/health", "/v1/models"] {
        let told = app.client().bearer("the clients'").get(path).await.text().await;
        assert!(!told.contains(owner), "{told}");
    }
    let mut second = command(&setup);
    second.arg("serve");
    let second = tokio::task::spawn_blocking(move || second.output().expect("the program"));
    let second = second.await.expect("its output");
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(told.contains("is in use by process") && !told.contains(owner), "{told}");

    assert_eq!(cleared(&setup, &app, &[]).await, 1);
    let unkeyed = setup.clone().unset("REPRISE_API_KEY");
    assert_eq!(cleared(&unkeyed, &app, &[]).await, 0);
    let pruned = run(&unkeyed, &app, &["prune", "--keep-bodies", "0"]).await;
    assert!(pruned.status.success(), "{}", String::from_utf8_lossy(&pruned.stderr));
    assert!(app.ledger().bodies().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_an_answer_did_not_come_from_the_ledger_is_explained() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let app = start(&setup, &upstream).await;
    let asks = |text: &str| {
        let system = json!({"role": "system", "content": "You are a helpful assistant."});
        let messages = json!([system, {"role": "user", "content": text}]);
        with(ask(""), "messages", messages)
    };
    let post = async |client: crate::support::client::Client, body: &Value| {
        let reply = client.post(CHAT, body).await;
        let told = reply.header("cache-status").expect("a status").to_owned();
        reply.text().await;
        told.split('"').nth(1).expect("a key").to_owned()
    };
    let explained = async |key: &str| {
        let output = run(&setup, &app, &["explain", "--key", key]).await;
        let told = if output.status.success() { output.stdout } else { output.stderr };
        String::from_utf8(told).expect("text")
    };
    let first = post(app.client(), &asks("What is the weather in Paris today?")).await;
    post(app.client(), &ask("Something else entirely")).await;
    let second = post(app.client(), &asks("What is the weather in Paris tonight?")).await;
    let told = explained(&second[..16]).await;
    assert!(told.contains(&format!("key      {second}\n")), "{told}");
    assert!(told.contains("complete (end_turn): answers repeats"), "{told}");
    assert!(told.contains(&format!("key {first}, ")), "{told}");
    assert!(
        told.contains("differs  messages[0].content[0].text") && told.contains("tonight"),
        "{told}"
    );

    let ann = app.client().header("x-owui-user", "ann");
    let other = post(ann, &asks("What is the weather in Paris today?")).await;
    let told = explained(&other).await;
    assert!(told.contains("100 % alike\ndiffers  in the scope: it was client "), "{told}");
    assert!(explained(&first).await.contains("nearest  nothing was asked before it"));
    assert!(explained("abcd").await.contains("nothing was asked of Claude under a key"));
    assert!(explained("xyz").await.contains("up to 64 hexadecimal digits"));

    let quiet = app.client().header("cache-control", "no-store");
    let unkept = post(quiet, &ask("a secret")).await;
    assert!(explained(&unkept).await.contains("or nothing of it was kept"));
}

/// What the doctor finds, by what was looked at.
async fn findings(
    setup: &Setup,
    app: &App,
    arguments: &[&str],
) -> (bool, BTreeMap<String, String>) {
    let arguments = [&["doctor", "--json"], arguments].concat();
    let output = run(setup, app, &arguments).await;
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(!told.to_string().contains("operators-own"), "{told}");
    let findings = told["findings"].as_array().expect("findings").iter().map(|finding| {
        let text = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(finding["advice"].is_null(), text("state") == "ok", "{finding}");
        (text("what"), format!("{}: {}", text("state"), text("found")))
    });
    (output.status.success(), findings.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_finds_what_is_well_and_what_is_not() {
    if backend::skips("permissions") {
        return;
    }
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let app = start(&setup, &upstream).await;
    of(&app, "ann", "c1", "m1").post(CHAT, &ask("hi")).await.text().await;
    let listed = json!({"data": [], "has_more": false});
    let dated = |text: &str| Script::json(200, &listed).header("date", text);
    let now = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    upstream.models_by(dated(&now));
    let (well, found) = findings(&setup, &app, &["--online"]).await;
    assert!(well, "{found:#?}");
    assert_eq!(found["key"], "ok: is set and well-formed");
    assert!(found["upstream"].ends_with("accepts the key"), "{found:#?}");
    assert_eq!(found["clock"], "ok: within 60 s of upstream's");
    assert!(found["ledger"].ends_with(", intact"), "{found:#?}");
    assert_eq!(found["permissions"], "ok: only the owner can read the ledger");
    let ids = "ok: 1 call in 7 days, 0 of them tasks; with a chat 1, with a message or task 1, with a user 1";
    assert_eq!(found["open webui"], ids);
    assert!(found["port"].starts_with("ok: reprise "), "{found:#?}");

    // Without `--online` the key stays at home; the clock is behind.
    app.client().header("user-agent", "aiohttp/3").post(CHAT, &ask("anonymous")).await.text().await;
    upstream
        .models_by(Script::json(401, &json!({})).header("date", "Wed, 25 Nov 2020 12:00:00 GMT"));
    let (well, found) = findings(&setup, &app, &[]).await;
    assert!(!well);
    assert!(found["upstream"].starts_with("ok: "), "{found:#?}");
    assert!(found["clock"].starts_with("wrong: is "), "{found:#?}");
    assert!(found["open webui"].starts_with("note: 2 calls"), "{found:#?}");
    let asked = upstream.model_requests();
    assert!(asked.last().expect("a request").headers.get("x-api-key").is_none());

    upstream.models_by(Script::json(401, &json!({})));
    let (well, found) = findings(&setup, &app, &["--online"]).await;
    assert!(!well);
    assert!(found["upstream"].starts_with("wrong: "), "{found:#?}");
    app.stop().await;

    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let unwell = setup
        .set("REPRISE_PORT", &port)
        .set("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")
        .set("ANTHROPIC_API_KEY", "sk-ant-operators-own \"");
    std::fs::set_permissions(unwell.folder().join("ledger.db"), PermissionsExt::from_mode(0o644))
        .expect("permissions");
    let output = tokio::task::spawn_blocking(move || {
        command(&unwell).args(["doctor"]).output().expect("the program")
    });
    let output = output.await.expect("its output");
    let told = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(1));
    for wrong in
        ["key          WRONG", "upstream     WRONG", "permissions  WRONG", "port         WRONG"]
    {
        assert!(told.contains(wrong), "{told}");
    }
    assert!(told.contains("→ chmod 600 "), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_deletes_what_the_settings_do_not_keep() {
    if backend::skips("a note of the retention in its lock") {
        return;
    }
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let app = start(&setup, &upstream).await;
    assert_eq!(how(&app, &ask("hi")).await, "fwd=miss; stored");
    assert_eq!(how(&app, &ask("hi")).await, "hit");
    app.stop().await;
    let small = setup.clone().set("REPRISE_MAX_SIZE", "1B").set("REPRISE_KEEP_TOTALS", "30d");
    // Limits that are stricter than before wait, so that a mistake can be corrected.
    let note = setup.folder().join("ledger.db.lock");
    let announced = || {
        let note = std::fs::read_to_string(&note).expect("a note");
        let at = note.split("\"at\":").nth(1)?.split('}').next()?.to_owned();
        Some((note, at))
    };
    let app = start(&small, &upstream).await;
    until("the announcement", async || announced().is_some()).await;
    assert!(!app.ledger().bodies().await.is_empty());
    let doctor = run(&small, &app, &["doctor"]).await;
    let told =
        String::from_utf8_lossy(&doctor.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    let stricter = "is stricter than before: the next run deletes the bodies of 1 exchange and 2 client requests";
    assert!(told.contains(stricter), "{told}");
    app.stop().await;
    // A restart does not begin the time anew, and keeps what it said.
    let app = start(&small, &upstream).await;
    assert_eq!(how(&app, &ask("hi")).await, "hit");
    app.stop().await;
    let (text, at) = announced().expect("it waits still");
    let earlier = at.parse::<i64>().expect("a moment") - 3_600_000;
    std::fs::write(&note, text.replace(&at, &earlier.to_string())).expect("a note");
    let app = start(&small, &upstream).await;
    until("the bodies to go", async || app.ledger().bodies().await.is_empty()).await;
    assert_eq!(app.ledger().calls().await.len(), 3, "what it cost stays");
    assert_eq!(announced(), None);
    // What is said from now on is kept until the next time.
    assert_eq!(how(&app, &ask("hi")).await, "fwd=miss; stored");
    assert_eq!(how(&app, &ask("hi")).await, "hit");
    app.stop().await;
    let app = start(&setup, &upstream).await;
    assert_eq!(how(&app, &ask("hi")).await, "hit");
    assert!(!app.ledger().bodies().await.is_empty());
    assert_eq!(app.stop().await.calls().await.len(), 6);

    // The first start has nothing to delete.
    let new = Setup::of(&upstream).set("REPRISE_KEEP_BODIES", "90d");
    assert_eq!(how(&start(&new, &upstream).await, &ask("hi")).await, "fwd=miss; stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_tells_the_key_that_open_webui_s_call_has() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let app = start(&setup, &upstream).await;
    let file = setup.folder().join("request.json");
    std::fs::write(&file, ask("hi").to_string()).expect("a file");
    let file = file.to_str().expect("a path of text");
    for (user, stated) in [("ann", vec!["--user", "ann"]), ("", Vec::new())] {
        let reply = of(&app, user, "c1", "m1").post(CHAT, &ask("hi")).await;
        let status = reply.header("cache-status").expect("a status").to_owned();
        reply.text().await;
        let common = ["explain", file, "--open-webui", "--chat", "c1", "--json"];
        let output = run(&setup, &app, &[&common[..], &stated].concat()).await;
        let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let key = told["key"].as_str().expect("a key");
        assert!(status.contains(key), "{status} is not {key}");
    }
}
