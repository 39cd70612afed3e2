//! The documentation as its readers use it: every example is run, and every message that it explains exists.
//!
//! The README's example for Rust is the last test; those for pytest and Node are in `tests/guide`, and `.ci/run` runs
//! them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod blocks;
mod schema;
mod shell;

use std::{fs, path::Path, time::Instant};

use blocks::{Example, agrees, examples};
use regex::Regex;
use reprise::testing::Replay;
use shell::Shell;

use crate::{
    house::{documents, texts},
    support::PATIENCE,
};

/// Examples that are not run here: page, beginning of the command, reason.
const NOT_RUN: &[(&str, &str, &str)] = &[
    ("README.md", "git clone", "needs the network"),
    ("README.md", "docker compose", "needs containers: tests/container/run"),
    (".github/docs/operations.md", "docker compose", "needs containers: tests/container/run"),
    (".github/docs/postgres.md", "reprise ledger copy", "tests/cli/copy.rs copies to Postgres"),
    (".github/docs/postgres.md", "echo", "is for the containers below it"),
    (".github/docs/postgres.md", "docker compose", "needs containers"),
    (".github/docs/postgres.md", "pg_", "needs a Postgres"),
    (".github/docs/postgres.md", "createdb", "needs a Postgres"),
    (".github/docs/postgres.md", "reprise ledger check", "needs a Postgres"),
    (".github/docs/install.md", "reprise --host 0.0.0.0", "listens beyond this machine"),
    (".github/docs/costs.md", "reprise calls export --follow", "goes on until it is stopped"),
    (
        ".github/docs/costs.md",
        "reprise stats --by task --since 2026-10",
        "tests/month.rs compares it",
    ),
    (".github/docs/costs.md", "reprise budgets", "tests/budgets.rs compares it"),
    (".github/docs/configuration.md", "reprise --help", "tests/cli.rs compares it"),
];

/// Commands before the examples of a page: page, commands. A command that serves goes to the background.
const BEFORE: &[(&str, &[&str])] = &[
    (
        ".github/docs/caching.md",
        &[
            "export ANTHROPIC_API_KEY=sk-ant-...",
            "reprise",
            ASK,
            "ask 'What is the weather in Paris today?'",
            "ask 'What is the weather in Paris tonight?' >~/answer",
            "key=$(sed -n 's/^cache-status:.*key=\"\\(.\\{10\\}\\).*/\\1/p' ~/answer)",
        ],
    ),
    (
        ".github/docs/costs.md",
        &[
            "export ANTHROPIC_API_KEY=sk-ant-...",
            "reprise",
            ASK,
            "ask 'Say hello.' >~/answer",
            "call=$(sed -n 's/^x-reprise-exchange: \\([^\\r]*\\).*/\\1/p' ~/answer)",
        ],
    ),
    (
        ".github/docs/fixtures.md",
        &[
            "export ANTHROPIC_API_KEY=sk-ant-...",
            "reprise",
            ASK,
            "ask 'Say hello.' -H 'X-OpenWebUI-Chat-Id: 7b0d2c1e'",
        ],
    ),
    (
        ".github/docs/operations.md",
        &[
            "export ANTHROPIC_API_KEY=sk-ant-...",
            "reprise",
            ASK,
            "ask 'Say hello.'",
            "chmod 644 ~/.local/share/reprise/reprise.db",
        ],
    ),
];

const ASK: &str = r#"ask() { curl -isN http://127.0.0.1:8000/v1/chat/completions -H 'content-type: application/json' \
    -d "{\"model\":\"claude-haiku-5-5\",\"messages\":[{\"role\":\"user\",\"content\":\"$1\"}]}" "${@:2}"; }"#;

/// Ids that a page shows, and the variables of `BEFORE` with those of the run.
const IDS: &[(&str, &str)] =
    &[("e6e297c685", "$key"), ("01a22619-5bbd-7214-921b-303fb7568d3e", "$call")];

/// Ids, keys and moments.
const VARIES: &str = r"\b[0-9a-f]{8,}(-[0-9a-f]{4,12})*\b|\b\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?\b";

/// A page as it is named in the tables.
fn name(page: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    page.strip_prefix(root).unwrap().to_str().unwrap().to_owned()
}

fn is_not_run(page: &str, command: &str) -> bool {
    NOT_RUN.iter().any(|(of, begin, _)| *of == page && command.starts_with(begin))
}

/// Tells whether a command is a server, which does not end by itself.
fn serves(command: &str) -> bool {
    let rest = command.strip_prefix("cargo run --release").or(command.strip_prefix("reprise"));
    let Some(rest) = rest else { return false };
    let rest = rest.trim_start_matches(" --").trim_start();
    let first = rest.split_whitespace().next().unwrap_or("serve");
    matches!(first, "serve" | "replay")
}

/// The lines that a command prints, without empty ones around them.
fn printed(shell: &mut Shell, at: &str, command: &str) -> Vec<String> {
    let text = if serves(command) {
        shell.serve(command)
    } else {
        let with_ids = |text: String, (id, variable): &(&str, &str)| text.replace(id, variable);
        let (text, code) = shell.try_run(&IDS.iter().fold(command.to_owned(), with_ids));
        // `doctor` finds what the page says that it finds.
        let may_fail = text.contains(" wrong.\n");
        assert!(code == "0" || may_fail, "{at}: {command}\nended with {code}:\n{text}");
        text
    };
    text.trim_matches('\n').lines().map(str::to_owned).collect()
}

fn run(shell: &mut Shell, page: &str, Example { line, command, output }: &Example) {
    let at = format!("{page}:{line}");
    // Ids and moments on a page are examples.
    let varies = Regex::new(VARIES).unwrap();
    let shown: Vec<String> =
        output.iter().map(|line| varies.replace_all(line, "...").into_owned()).collect();
    let since = Instant::now();
    loop {
        let lines = printed(shell, &at, command);
        // A page that shows no output leaves it out.
        if shown.is_empty() || agrees(&shown, &lines.iter().map(String::as_str).collect::<Vec<_>>())
        {
            return;
        }
        // A report reads what is committed, and that of a repeat is soon after its answer.
        let may_change = command.starts_with("reprise stats") && since.elapsed() < PATIENCE;
        let (shown, printed) = (shown.join("\n"), lines.join("\n"));
        assert!(may_change, "{at}: {command}\nshown:\n{shown}\nprinted:\n{printed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_does_what_its_page_shows() {
    let claude = Replay::start("tests/guide/claude").await.unwrap();
    let upstream = claude.url().trim_end_matches("/v1").to_owned();
    let ran = tokio::task::spawn_blocking(move || {
        let mut ran = 0;
        for page in documents() {
            let (text, page) = (fs::read_to_string(&page).unwrap(), name(&page));
            let examples = examples(&text);
            if examples.iter().all(|example| is_not_run(&page, &example.command)) {
                continue;
            }
            let mut shell = Shell::start(&upstream);
            let before = BEFORE.iter().find(|(of, _)| *of == page).map_or(&[][..], |(_, all)| *all);
            for command in before {
                if serves(command) {
                    shell.serve(command);
                } else {
                    shell.run(command);
                }
            }
            for example in examples.iter().filter(|example| !is_not_run(&page, &example.command)) {
                run(&mut shell, &page, example);
                ran += 1;
            }
        }
        ran
    });
    assert!(ran.await.unwrap() > 20, "the examples are found");
}

#[test]
fn the_tables_name_only_what_is_on_the_pages() {
    let pages: Vec<_> =
        documents().iter().map(|page| (name(page), fs::read_to_string(page).unwrap())).collect();
    let text = |of: &str| pages.iter().find(|(name, _)| name == of).map(|(_, text)| text.as_str());
    for (page, begin, _) in NOT_RUN {
        let examples = examples(text(page).unwrap());
        assert!(
            examples.iter().any(|example| example.command.starts_with(begin)),
            "{page}: {begin}"
        );
    }
    assert!(BEFORE.iter().all(|(page, _)| text(page).is_some()));
    for (id, _) in IDS {
        assert!(pages.iter().any(|(_, text)| text.contains(id)), "{id}");
    }
}

#[test]
fn servers_are_told_from_other_commands() {
    for server in ["reprise", "cargo run --release", "reprise serve --port 8001"] {
        assert!(serves(server), "{server}");
    }
    assert!(serves("cargo run --release -- replay fixtures/demo --port 8001"));
    for other in ["reprise stats", "cargo run --release -- stats", "curl -s x", "reprised"] {
        assert!(!serves(other), "{other}");
    }
}

/// Text without what a formatter puts between the parts of a message.
fn joined(source: &str) -> String {
    source.replace("\\\n", "").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_message_of_the_troubleshooting_page_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = texts();
    let all =
        joined(&(sources.concat() + &fs::read_to_string(root.join("docker-compose.yml")).unwrap()));
    let page = fs::read_to_string(root.join(".github/docs/troubleshooting.md")).unwrap();
    let mut checked = 0;
    for line in
        page.lines().filter(|line| line.starts_with("| `") || line.contains("the log says `"))
    {
        let cell = line.split(" | ").next().unwrap();
        for message in cell.split('`').skip(1).step_by(2) {
            // Figures and statuses are filled in when a message is printed.
            let begin =
                message.split(['$', '4', '≥']).next().unwrap().trim_start_matches("+?").trim();
            assert!(begin.is_empty() || all.contains(begin), "{message}");
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked}");
}

#[tokio::test]
async fn a_greeting_is_answered() -> Result<(), Box<dyn std::error::Error>> {
    let replay = Replay::start("fixtures/demo").await?;
    let question =
        r#"{"model":"claude-haiku-5-5","messages":[{"role":"user","content":"Hello!"}]}"#;
    let url = format!("{}/chat/completions", replay.url());
    let request = reqwest::Client::builder().no_proxy().build()?.post(url).body(question);
    let answer = request.header("content-type", "application/json").send().await?.text().await?;
    assert!(answer.contains("I am a recording"), "{answer}");
    replay.finish().await?; // fails if a request found no fixture
    Ok(())
}
