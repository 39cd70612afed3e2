//! The figures of the page are those of the commands, and each has the calls behind it.

use std::process::Output;

use serde_json::{Value, json};

use super::{month, setup};
use crate::support::{
    app::{App, Setup},
    binary::command,
};

/// The output of a command, as JSON.
pub(super) async fn told(setup: &Setup, arguments: &[&str]) -> Value {
    let mut command = command(setup);
    command.args(arguments);
    let run = move || command.output().expect("the program");
    let output: Output = tokio::task::spawn_blocking(run).await.expect("its output");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

pub(super) async fn get(app: &App, path: &str) -> Value {
    let reply = app.client().get(path).await;
    assert_eq!(reply.status, 200, "{path}");
    reply.json().await
}

/// The number of calls behind a figure, counted page by page.
async fn counted(app: &App, filter: &str) -> usize {
    let (mut ids, mut before) = (Vec::new(), String::new());
    loop {
        let page = get(app, &format!("/page/calls?limit=40&{filter}{before}")).await;
        let calls = page["calls"].as_array().expect("calls");
        ids.extend(calls.iter().map(|call| call["id"].as_str().expect("an id").to_owned()));
        let Some(older) = page["older"].as_i64() else { break };
        assert_eq!(calls.len(), 40);
        before = format!("&before={older}");
    }
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "no call is on two pages");
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_are_those_of_the_commands() {
    let setup = setup(month().await);
    let budgets = setup.folder().join("reprise.toml");
    std::fs::write(&budgets, "[[budget]]\nlimit = 5\nper = \"month\"\n").expect("a file");
    let setup = setup.set("REPRISE_CONFIG", budgets.to_str().expect("a path"));
    let app = setup.start().await;
    for (query, arguments) in [
        ("", &[][..]),
        ("?by=day&since=7d", &["--by", "day", "--since", "7d"]),
        ("?by=user,model&until=yesterday", &["--by", "user,model", "--until", "yesterday"]),
        ("?by=task&since=&until=", &["--by", "task"]),
        (
            "?by=month&since=2020-01&until=today",
            &["--by", "month", "--since", "2020-01", "--until", "today"],
        ),
    ] {
        let zone = ["stats", "--json", "--timezone", "UTC"];
        let by_command = told(&setup, &[&zone[..], arguments].concat()).await;
        assert_eq!(get(&app, &format!("/page/stats{query}")).await, by_command, "{query}");
        assert!(by_command["total"]["calls"].as_u64().expect("a count") > 100);
    }
    let by_command = told(&setup, &["budgets", "--json"]).await;
    assert_eq!(get(&app, "/page/budgets").await, by_command);
    assert_eq!(by_command["budgets"].as_array().map(Vec::len), Some(1));
    let one = get(&app, "/page/calls?limit=1").await["calls"][0]["id"].clone();
    let id = one.as_str().expect("an id");
    let by_command = told(&setup, &["calls", "show", "--json", id]).await;
    assert_eq!(get(&app, &format!("/page/calls/{id}")).await, by_command);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_figure_leads_to_as_many_calls() {
    let app = setup(month().await).start().await;
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap_or(0)).expect("a count");
    for span in ["since=", "since=7d", "since=yesterday&until=yesterday"] {
        for by in ["model", "user", "task", "day"] {
            let stats = get(&app, &format!("/page/stats?{span}&by={by}")).await;
            let total = &stats["total"];
            let upstream: usize = ["miss", "refresh", "bypass"]
                .iter()
                .map(|how| number(&total["answered_by"][how]))
                .sum();
            assert_eq!(counted(&app, span).await, number(&total["calls"]));
            assert_eq!(counted(&app, &format!("{span}&answered_by=upstream")).await, upstream);
            for how in ["hit", "collapsed", "refresh"] {
                let calls = counted(&app, &format!("{span}&answered_by={how}")).await;
                assert_eq!(calls, number(&total["answered_by"][how]), "{span} {how}");
            }
            let errors = total["errors"].as_object().expect("errors");
            let failed = counted(&app, &format!("{span}&error=")).await;
            assert_eq!(failed, errors.values().map(number).sum::<usize>());
            for (kind, count) in errors {
                assert_eq!(counted(&app, &format!("{span}&error={kind}")).await, number(count));
            }
            for group in stats["groups"].as_array().expect("groups") {
                let of = group["of"][by].as_str();
                let filter = match (by, of) {
                    ("day", of) => format!("since={0}&until={0}", of.expect("a day")),
                    (_, of) => format!("{span}&{by}={}", of.unwrap_or_default()),
                };
                assert_eq!(counted(&app, &filter).await, number(&group["calls"]), "{filter}");
            }
        }
    }
    assert!(counted(&app, "since=&error=").await > 0);
}

#[tokio::test]
async fn an_empty_ledger_says_how_to_connect() {
    let app = setup(tempfile::tempdir().expect("a folder")).start().await;
    let told = get(&app, "/page/setup").await;
    assert_eq!(told["has_calls"], json!(false));
    assert_eq!(told["requires_key"], json!(false));
    assert_eq!(told["has_upstream_key"], json!(true));
    assert_eq!(told["timezone"], json!("UTC"));
    let headers: Value =
        serde_json::from_str(told["headers"].as_str().expect("a line")).expect("JSON");
    assert_eq!(headers["X-OWUI-Chat"], json!("{{CHAT_ID}}"));
    assert_eq!(get(&app, "/page/stats").await["total"]["calls"], json!(0));
    assert_eq!(get(&app, "/page/calls").await, json!({ "calls": [], "older": null }));
}
