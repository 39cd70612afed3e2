//! `/metrics`: what it counts, who may read it, and that its list in the documentation, its dashboard and Prometheus's own
//! checks agree with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    proxy::{budgets, chats::of},
    support::{
        app::{App, CHAT, MODEL, Setup, ask, with},
        client::Client,
        generated,
        script::{Gate, Script},
        sse::{Answer, Tokens},
        until,
        upstream::Upstream,
    },
};

const BUDGETS: &str = "[[budget]]\nlimit = 5\nper = \"day\"\n\
    [[budget]]\nlimit = 1\nper = \"month\"\nuser = \"*\"\nmodel = \"claude-haiku-*\"\n";

/// A model that the catalog does not have.
const STRANGE: &str = "claude-of-tomorrow";

async fn scrape(client: &Client) -> String {
    let reply = client.get("/metrics").await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    reply.text().await
}

/// The value of the series that is written so.
fn value(scraped: &str, series: &str) -> f64 {
    let value = scraped.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let value = value.unwrap_or_else(|| panic!("{series} is not in {scraped}"));
    value.parse().expect("a number")
}

/// An answer with tokens of every kind.
fn rich() -> Vec<String> {
    let tokens = Tokens {
        input: 1_000,
        cache_write_5m: 2_000,
        cache_read: 10_000,
        output: 500,
        thinking: 100,
        ..Tokens::default()
    };
    Answer::counting(MODEL, tokens).text(&["Hello"]).stop("end_turn")
}

/// An answer for which the web was searched twice.
fn searching() -> Vec<String> {
    let searches = "\"output_tokens\":7,\"server_tool_use\":{\"web_search_requests\":2}";
    let events = Answer::of(MODEL).text(&["Found"]).stop("end_turn");
    events.iter().map(|event| event.replace("\"output_tokens\":7", searches)).collect()
}

/// A server that has had calls of every kind, and two budgets.
async fn busy(upstream: &Upstream) -> App {
    let app = budgets::setup(upstream, BUDGETS).start().await;
    let client = app.client();
    let asks = async |client: &Client, body: &Value| client.post(CHAT, body).await.text().await;
    upstream.push(Script::sse(rich()));
    asks(&of(&app, "ann", "c1", "m1"), &ask("one")).await;
    asks(&of(&app, "ann", "c2", "m2"), &ask("one")).await;
    upstream.push(Script::sse(searching()));
    asks(&client, &ask("search")).await;
    // Two calls of one exchange.
    let gate = Gate::new();
    let events = Answer::of(MODEL).text(&["Hi"]).stop("end_turn");
    upstream.push(Script::sse(events[..3].to_vec()).wait(&gate).pieces(events[3..].to_vec()));
    let (first, second) =
        (client.post(CHAT, &ask("two")).await, client.post(CHAT, &ask("two")).await);
    gate.open();
    first.text().await;
    second.text().await;
    upstream.push(Script::error(400, "invalid_request_error", "no"));
    asks(&client, &ask("three")).await;
    upstream.push(Script::sse(Answer::of(MODEL).text(&["Hi"]).unfinished()));
    asks(&client, &ask("four")).await;
    upstream.push(Script::sse(Answer::of(STRANGE).text(&["Hi"]).stop("end_turn")));
    asks(&client, &ask("five")).await;
    asks(&client, &with(ask("six"), "n", json!(2))).await;
    app
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::float_cmp, reason = "counts are whole numbers")]
async fn calls_are_counted_as_they_were_answered() {
    let upstream = Upstream::start().await;
    let app = busy(&upstream).await;
    until("all calls ended", async || {
        app.client().get("/ready").await.json().await["running"]["calls"] == 0
    })
    .await;
    let scraped = scrape(&app.client()).await;
    let calls = |answered_by: &str, outcome: &str, model: &str| {
        let labels = format!(
            "api=\"chat\",answered_by=\"{answered_by}\",outcome=\"{outcome}\",task=\"none\",model=\"{model}\""
        );
        value(&scraped, &format!("reprise_calls_total{{{labels}}}"))
    };
    let id = "claude-haiku-4-5-20251001";
    assert_eq!(calls("miss", "complete", id), 3.0);
    assert_eq!(calls("hit", "complete", id), 1.0);
    assert_eq!(calls("collapsed", "complete", id), 1.0);
    assert_eq!(calls("miss", "failed", id), 1.0);
    assert_eq!(calls("miss", "cut", id), 1.0);
    assert_eq!(calls("miss", "complete", STRANGE), 1.0);
    let of = |name: &str, labels: &str| value(&scraped, &format!("reprise_{name}{{{labels}}}"));
    let paid = format!("model=\"{id}\",task=\"none\"");
    for (kind, count) in
        [("input", 1_000.0 + 3.0 * 12.0), ("cache_write_5m", 2_000.0), ("cache_read", 10_000.0)]
    {
        assert_eq!(of("tokens_total", &format!("kind=\"{kind}\",{paid}")), count, "{kind}");
    }
    assert_eq!(of("thinking_tokens_total", &paid), 100.0);
    assert_eq!(of("web_searches_total", &paid), 2.0);
    // Plain input costs $1 per million, what is written to the cache $1.25, what is read $0.10.
    let near = |told: f64, dollars: f64| assert!((told - dollars).abs() < 1e-9, "{told}");
    near(of("saved_dollars_total", &format!("by=\"prompt_cache\",{paid}")), 0.009);
    near(of("prompt_cache_surcharge_dollars_total", &paid), 0.0005);
    // In the cache of five minutes, what was written would be read.
    near(of("saved_dollars_total", &format!("by=\"ledger\",{paid}")), 0.001 + 0.0012 + 0.0025);
    near(of("saved_dollars_total", &format!("by=\"collapsed\",{paid}")), 0.000_047);
    let inexact = |cost: &str, model: &str| {
        of("calls_without_exact_cost_total", &format!("cost=\"{cost}\",model=\"{model}\""))
    };
    assert_eq!(inexact("at_least", id), 1.0);
    assert_eq!(of("failed_calls_total", "kind=\"invalid_request_error\""), 1.0);
    assert_eq!(value(&scraped, "reprise_upstream_requests_total"), 6.0);
    let took = |name: &str, answered_by: &str| {
        of(&format!("{name}_count"), &format!("answered_by=\"{answered_by}\",model=\"{id}\""))
    };
    assert_eq!(took("time_to_first_token_seconds", "hit"), 1.0);
    assert_eq!(took("call_duration_seconds", "miss"), 5.0);
    let refused = scraped.lines().find(|line| line.starts_with("reprise_refused_requests_total{"));
    assert!(refused.is_some_and(|line| line.ends_with(" 1")), "{refused:?}");
    assert_eq!(value(&scraped, "reprise_exchanges_in_flight"), 0.0);
    assert_eq!(value(&scraped, "reprise_ledger_writable"), 1.0);
    assert_eq!(of("ledger_lookups_total", "settled_by=\"memory\""), 1.0);
    assert!(value(&scraped, "reprise_ledger_commit_duration_seconds_count") >= 1.0);
    let budget = "budget=\"1\",whose=\"everyone\",per=\"day\",model=\"all\"";
    near(of("budget_limit_dollars", budget), 5.0);
    assert!(of("budget_left_dollars", budget) < 5.0);
    near(of("budget_reserved_dollars", budget), 0.0);
    for text in ["ann", "c1", "m1", "sk-ant"] {
        assert!(!scraped.contains(text), "{text} is in {scraped}");
    }
}

#[tokio::test]
async fn only_operators_read_metrics() {
    let upstream = Upstream::start().await;
    let app = Setup::of(&upstream).set("REPRISE_ADMIN_KEY", "boss").start().await;
    assert_eq!(app.client().get("/metrics").await.status, StatusCode::UNAUTHORIZED);
    scrape(&app.client().bearer("boss")).await;
    let app = App::start(&upstream).await;
    scrape(&app.client()).await;
    for (header, text) in [("x-forwarded-for", "192.0.2.1"), ("origin", "https://evil.example")] {
        let reply = app.client().header(header, text).get("/metrics").await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{header}");
    }
    let posted = app.client().post("/metrics", &json!({})).await;
    assert_eq!(posted.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn whoever_accepts_open_metrics_gets_it() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    // As Prometheus asks.
    let accepts = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3";
    let reply = app.client().header("accept", accepts).get("/metrics").await;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(reply.header("content-type"), Some(kind));
    let scraped = reply.text().await;
    assert!(scraped.contains("# TYPE reprise_ledger_late_answers counter\n"), "{scraped}");
    assert!(scraped.ends_with("\n# EOF\n"));
}

#[tokio::test]
async fn clients_cannot_make_labels() {
    let upstream = Upstream::start().await;
    upstream.always(Script::error(404, "not_found_error", "no such model"));
    let app = App::start(&upstream).await;
    for n in 0..3 {
        let client = app.client().header("x-owui-task", &format!("task-{n}"));
        let body = with(ask("hi"), "model", json!(format!("claude-made-up-{n}")));
        client.post(CHAT, &body).await.text().await;
    }
    let scraped = scrape(&app.client()).await;
    let labels =
        "api=\"chat\",answered_by=\"miss\",outcome=\"failed\",task=\"other\",model=\"other\"";
    assert!(scraped.contains(&format!("reprise_calls_total{{{labels}}} 3\n")), "{scraped}");
    assert!(!scraped.contains("made-up") && !scraped.contains("task-"), "{scraped}");
}

/// A metric, as `# HELP` and `# TYPE` tell it, and the labels of its series.
#[derive(Debug, Default)]
struct Metric {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

fn metrics(scraped: &str) -> BTreeMap<String, Metric> {
    let mut metrics = BTreeMap::<String, Metric>::new();
    let mut last = String::new();
    for line in scraped.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|it| it.split_once(' ')) {
            name.clone_into(&mut last);
            help.clone_into(&mut metrics.entry(last.clone()).or_default().help);
        } else if let Some(kind) = line.strip_prefix(&format!("# TYPE {last} ")) {
            kind.clone_into(&mut metrics.get_mut(&last).expect("a metric").kind);
        } else if let Some((_, labels)) = line.split_once('{') {
            let names = labels.split('"').step_by(2).filter_map(|name| name.strip_suffix('='));
            let names = names.map(|name| name.trim_start_matches(',').to_owned());
            let labels = names.filter(|name| name != "le");
            metrics.get_mut(&last).expect("a metric").labels.extend(labels);
        }
    }
    metrics
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/docs").join(name)
}

/// The targets of a dashboard's panels, in the language of Prometheus.
fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().expect("an expression").to_owned()).collect()
}

/// Has promtool check a text; `None` where it is not installed, which is said.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn promtool(arguments: &[&str], input: &str) -> Option<(bool, String)> {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("skipped: promtool is not installed (apt-get install prometheus)");
            return None;
        }
        child => child.expect("promtool"),
    };
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("promtool reads all");
    drop(stdin);
    let output = child.wait_with_output().expect("its output");
    let told = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&told).into_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_of_metrics_is_complete() {
    let upstream = Upstream::start().await;
    let app = busy(&upstream).await;
    let scraped = scrape(&app.client()).await;
    let mut list = String::from(
        "# Metrics\n\nThe metrics of `GET /metrics`. Labels have a limited number of values; none names a user, a chat or a \
         key.\n\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n",
    );
    for (name, Metric { kind, help, labels }) in metrics(&scraped) {
        let labels = labels.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
        writeln!(list, "| `{name}` | {kind} | {} | {help} |", labels.join(", "))
            .expect("a string takes any text");
    }
    generated::page("metrics.md", &list, "metrics");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_names_of_metrics_are_those_that_prometheus_asks_for() {
    let upstream = Upstream::start().await;
    let app = busy(&upstream).await;
    let scraped = scrape(&app.client()).await;
    let Some((passed, told)) = promtool(&["check", "metrics"], &scraped) else { return };
    assert!(passed && told.is_empty(), "{told}");
    let wrong = promtool(&["check", "metrics"], "# TYPE calls counter\ncalls 1\n");
    assert!(wrong.is_some_and(|(passed, _)| !passed), "promtool finds mistakes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dashboard_shows_only_metrics_that_there_are() {
    let upstream = Upstream::start().await;
    let app = busy(&upstream).await;
    let metrics = metrics(&scrape(&app.client()).await);
    let text = fs::read_to_string(file("grafana.json")).expect("a dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let expressions = expressions(&dashboard);
    assert!(expressions.len() > 10);
    let mut shown = BTreeSet::new();
    for expression in &expressions {
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("reprise_")) {
            let of_histogram = ["_bucket", "_sum", "_count"];
            let bare = of_histogram.iter().find_map(|suffix| word.strip_suffix(suffix));
            let histogram =
                bare.filter(|name| metrics.get(*name).is_some_and(|it| it.kind == "histogram"));
            let name = histogram.unwrap_or(word);
            assert!(metrics.contains_key(name), "{word} in {expression}");
            shown.insert(name.to_owned());
        }
    }
    let unseen: Vec<_> = metrics.keys().filter(|name| !shown.contains(*name)).collect();
    assert!(unseen.is_empty(), "the dashboard does not show {unseen:?}");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    let rules: Vec<Value> = expressions
        .iter()
        .enumerate()
        .map(|(n, expression)| {
            let expression = expression.replace("$__rate_interval", "5m").replace("$__range", "1h");
            json!({ "record": format!("panel:{n}"), "expr": expression })
        })
        .collect();
    let rules = json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("rules.yml");
    // JSON is YAML.
    fs::write(&path, rules.to_string()).expect("rules");
    if let Some((passed, told)) = promtool(&["check", "rules", path.to_str().expect("a path")], "")
    {
        assert!(passed, "{told}");
    }
}
