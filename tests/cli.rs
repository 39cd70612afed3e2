//! The commands as a person meets them: exit code, stdout and stderr, word for word.
//!
//! A table or a message that reads badly in a snapshot reads badly in a terminal.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod books;
mod calls;
mod copy;
mod ledger;
mod prices;
mod terminal;
mod units;
mod usage;

use std::{fs, path::Path, process::Stdio, time::Duration};

use assert_cmd::Command;
use books::{Books, hit, paid};
use reprise::domain::exchange::{Cost, NanoDollars, Outcome};
use serde_json::json;
use tempfile::TempDir;

use crate::support::generated;

/// A home of its own, so that nothing of this machine is seen.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// Where `reprise` keeps its ledger when nobody says otherwise.
    fn ledger(&self) -> String {
        format!("sqlite://{}", self.path(".local/share/reprise/reprise.db"))
    }

    fn reprise(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reprise"));
        command
            .env_clear()
            .env("HOME", self.0.path())
            .env("COLUMNS", "100")
            .env("NO_COLOR", "1")
            .current_dir(self.0.path())
            .args(arguments)
            .timeout(Duration::from_secs(20));
        command
    }

    /// What the command says, with what differs from run to run taken out.
    fn told(&self, arguments: &[&str]) -> String {
        told(&mut self.reprise(arguments))
    }

    fn check(&self, name: &str, told: &str) {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("cli/snapshots");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.add_filter(&regex(self.0.path()), "[HOME]");
        settings.add_filter(&regex(Path::new(env!("CARGO_PKG_VERSION"))), "[VERSION]");
        settings.add_filter(r"process \d+", "process [PID]");
        settings.add_filter(r", before \d{4}-\d\d-\d\d \d\d:\d\d", ", before [MOMENT]");
        settings.bind(|| insta::assert_snapshot!(name, told));
    }
}

fn regex(literal: &Path) -> String {
    literal.to_str().unwrap().replace('.', r"\.")
}

fn told(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let code = output.status.code().map_or("none".to_owned(), |code| code.to_string());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    format!(
        "exit code: {code}\n== stdout\n{}== stderr\n{}",
        text(&output.stdout),
        text(&output.stderr)
    )
}

#[test]
fn help_and_version() {
    let home = Home::new();
    home.check("help", &home.told(&["--help"]));
    home.check("help_serve", &home.told(&["serve", "--help"]));
    home.check("help_stats", &home.told(&["stats", "--help"]));
    home.check("help_calls_export", &home.told(&["calls", "export", "--help"]));
    home.check("help_calls_show", &home.told(&["calls", "show", "--help"]));
    home.check("help_explain", &home.told(&["explain", "--help"]));
    home.check("help_prices", &home.told(&["prices", "--help"]));
    home.check("help_prune", &home.told(&["prune", "--help"]));
    home.check("help_prices_import", &home.told(&["prices", "import", "--help"]));
    home.check("help_cache_clear", &home.told(&["cache", "clear", "--help"]));
    home.check("version", &home.told(&["--version"]));
    assert_eq!(home.told(&["help", "stats"]), home.told(&["stats", "--help"]));
    assert_eq!(home.told(&["-h"]), home.told(&["--help"]));
}

#[test]
fn wrong_usage_exits_with_2() {
    let home = Home::new();
    home.check("unknown_flag", &home.told(&["stats", "--frobnicate"]));
    home.check("unknown_command", &home.told(&["start"]));
    home.check("settings_before_a_command", &home.told(&["--port", "1", "stats"]));
}

#[tokio::test]
async fn global_options_stand_before_or_after_the_command() {
    let home = Home::new();
    let ledger = format!("sqlite://{}", home.path("other.db"));
    Books::open(&ledger).await.close().await;
    let after = home.told(&["stats", "--database-url", &ledger]);
    assert_eq!(home.told(&["--database-url", &ledger, "stats"]), after);
    let file = home.write("reprise.toml", &format!("database_url = {ledger:?}"));
    assert_eq!(home.told(&["--config", &file, "stats"]), after);
    assert_eq!(told(home.reprise(&["stats"]).env("REPRISE_DATABASE_URL", &ledger)), after);
    assert_eq!(told(home.reprise(&["stats"]).env("REPRISE_CONFIG", &file)), after);
}

#[tokio::test]
async fn the_cache_is_cleared_without_a_server_too() {
    let home = Home::new();
    home.check("cache_clear_missing", &home.told(&["cache", "clear"]));
    home.check("cache_clear_bad_key", &home.told(&["cache", "clear", "--key", "x"]));
    let ledger = format!("sqlite://{}", home.path("ledger.db"));
    Books::open(&ledger).await.close().await;
    let clear =
        |more: &[&str]| home.told(&[&["cache", "clear", "--database-url", &ledger], more].concat());
    home.check("cache_clear_bad_time", &clear(&["--older-than", "soon"]));
    assert!(clear(&["--dry-run"]).contains("no answers to clear\n"));
    assert!(clear(&[]).contains("no answers to clear\n"));
    let busy = Books::open(&ledger).await;
    home.check(
        "cache_clear_server_elsewhere",
        &told(
            home.reprise(&["cache", "clear", "--database-url", &ledger]).env("REPRISE_PORT", "1"),
        ),
    );
    busy.close().await;
}

#[tokio::test]
async fn stats_without_anything_to_tell() {
    let home = Home::new();
    home.check("stats_missing", &home.told(&["stats"]));
    home.check("stats_homeless", &told(home.reprise(&["stats"]).env_remove("HOME")));
    let postgres = ["stats", "--database-url", "postgres://ann:secret@127.0.0.1:1/reprise"];
    home.check("stats_postgres", &home.told(&postgres));
    let other = home.write("notes.txt", "Not a database, just some notes.");
    home.check(
        "stats_no_database",
        &home.told(&["stats", "--database-url", &format!("sqlite://{other}")]),
    );
    let empty = home.write("empty.db", "");
    home.check(
        "stats_no_ledger",
        &home.told(&["stats", "--database-url", &format!("sqlite://{empty}")]),
    );

    Books::open(&home.ledger()).await.close().await;
    home.check("stats_empty", &home.told(&["stats"]));
    home.check("stats_empty_json", &home.told(&["stats", "--json"]));
}

#[tokio::test]
async fn stats_of_a_ledger() {
    let home = Home::new();
    let books = Books::open(&home.ledger()).await;
    books
        .write(&[
            paid("claude-opus-5-5")
                .tokens(12_000, 3_400)
                .cost(Cost::Exact(NanoDollars(145_000_000))),
            hit("claude-opus-5-5", 145_000_000),
            hit("claude-opus-5-5", 145_000_000),
            paid("claude-haiku-5-5").tokens(900, 120).cost(Cost::Exact(NanoDollars(1_500_000))),
            paid("claude-haiku-5-5").tokens(30, 4).cost(Cost::Exact(NanoDollars(35_000))),
            paid("claude-haiku-5-5")
                .ended(Outcome::Failed, 529)
                .tokens(0, 0)
                .cost(Cost::Exact(NanoDollars(0))),
            paid("claude-sonnet-5-5")
                .ended(Outcome::Stopped, 200)
                .tokens(700, 50)
                .cost(Cost::AtLeast(NanoDollars(2_850_000))),
            paid("claude-experimental").tokens(10, 10).cost(Cost::Unpriced),
            paid("tiny").tokens(4, 1).cost(Cost::Exact(NanoDollars(9_000))),
        ])
        .await;
    books.close().await;
    home.check("stats", &home.told(&["stats"]));
    home.check("stats_json", &home.told(&["stats", "--json"]));
}

#[tokio::test]
async fn the_table_fits_a_terminal() {
    let home = Home::new();
    let usual = Books::open(&home.ledger()).await;
    usual
        .write(&[
            paid("claude-haiku-5-5")
                .tokens(1_234_567, 65_432)
                .cost(Cost::Exact(NanoDollars(12_345_678_900))),
            paid("claude-sonnet-5-5")
                .tokens(34_567, 5_432)
                .cost(Cost::Exact(NanoDollars(9_876_543_210))),
        ])
        .await;
    usual.close().await;
    let told = home.told(&["stats"]);
    assert!(widest(&told) <= 100, "{told}");
    assert!(told.contains('█'), "there is room for bars: {told}");

    let home = Home::new();
    let extreme = Books::open(&home.ledger()).await;
    let long = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
    let cost = NanoDollars(1_234_567_891_234_567);
    extreme
        .write(&[
            paid(long).tokens(98_765_432_109, 1_234_567_890).cost(Cost::AtLeast(cost)),
            paid(long).cost(Cost::Unpriced),
            hit(long, cost.0),
            paid("claude-3-5-haiku-20241022")
                .tokens(9_999_999, 9_999_999)
                .cost(Cost::Exact(NanoDollars(99_999_900_000))),
        ])
        .await;
    extreme.close().await;
    let told = home.told(&["stats"]);
    home.check("stats_extreme", &told);
    assert!(widest(&told) <= 100, "{told}");
}

fn widest(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

#[tokio::test]
async fn a_reader_that_has_enough_is_no_failure() {
    let home = Home::new();
    let books = Books::open(&home.ledger()).await;
    books.write(&[paid("claude-opus-5-5").cost(Cost::Unpriced)]).await;
    books.close().await;
    for arguments in [&["stats"][..], &["stats", "--json"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_reprise"));
        command
            .env_clear()
            .env("HOME", home.0.path())
            .args(arguments)
            .stdout(writer)
            .stderr(Stdio::piped());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*said), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn prices_are_listed_and_imported() {
    let home = Home::new();
    home.check("prices", &home.told(&["prices", "--all"]));
    let prices = "since = \"2026-11-01\"\ninput = 3\noutput = 15\ncache_write_5m = 3.75\n\
        cache_write_1h = 6\ncache_read = 0.3\n";
    let own =
        home.write("own.toml", &format!("[[price]]\nmodel = \"claude-experimental\"\n{prices}"));
    home.check("prices_import", &home.told(&["prices", "import", &own]));
    home.check("prices_import_again", &home.told(&["prices", "import", &own]));
    let told = home.told(&["prices"]);
    assert!(told.contains("claude-experimental") && told.contains("*  imported"), "{told}");
    let torn = home.write("torn.toml", "[[price]]\nmodel = \"m\"\n");
    home.check("prices_torn", &home.told(&["prices", "import", &torn]));
    let litellm =
        home.write("litellm.json", r#"{"claude-half": {"litellm_provider": "anthropic"}}"#);
    home.check("prices_empty", &home.told(&["prices", "import", &litellm]));
    home.check("prices_reset", &home.told(&["prices", "reset"]));
    assert!(!home.told(&["prices"]).contains("claude-experimental"));
}

#[tokio::test]
async fn prune_says_what_it_deletes() {
    let home = Home::new();
    home.check("prune_nothing_said", &home.told(&["prune"]));
    home.check("prune_missing", &home.told(&["prune", "--keep-bodies", "90d"]));
    let books = Books::open(&home.ledger()).await;
    books.write(&[paid("claude-opus-5-5").cost(Cost::Exact(NanoDollars(5)))]).await;
    let limits = home.write("limits.toml", "keep_bodies = \"90d\"\n");
    assert_eq!(
        home.told(&["prune", "--dry-run", "--config", &limits]),
        home.told(&["prune", "--dry-run", "--keep-bodies", "90d"]),
    );
    let mut beside = home.reprise(&["prune", "--keep-totals", "1d"]);
    home.check("prune_in_use", &told(beside.env("REPRISE_PORT", "1")));
    let own = home.write(
        "own.toml",
        "[[price]]\nmodel = \"m\"\nsince = \"2026-11-01\"\ninput = 3\noutput = 15\n\
         cache_write_5m = 3.75\ncache_write_1h = 6\ncache_read = 0.3\n",
    );
    let told = home.told(&["prices", "import", &own]);
    assert!(told.starts_with("exit code: 0"), "a server that runs is no hindrance: {told}");
    books.close().await;
    home.check("prune_dry_run", &home.told(&["prune", "--keep-totals", "1d", "--dry-run"]));
    home.check("prune", &home.told(&["prune", "--keep-totals", "1d"]));
    home.check("prune_again", &home.told(&["prune", "--keep-totals", "1d"]));
    home.check("prune_size_dry", &home.told(&["prune", "--max-size", "1MiB", "--dry-run"]));
    home.check("prune_bad_size", &home.told(&["prune", "--max-size", "huge"]));
    home.check("prune_bad_time", &home.told(&["prune", "--keep-bodies", "long"]));
}

#[tokio::test]
async fn budgets_are_told_before_and_after_something_is_spent() {
    let home = Home::new();
    home.check("budgets_none", &home.told(&["budgets"]));
    let budgets = "timezone = \"UTC\"\n[[budget]]\nlimit = 20\nper = \"month\"\n\n\
         [[budget]]\nlimit = 0.5\nper = \"day\"\nuser = \"*\"\n";
    let file = home.write("reprise.toml", budgets);
    let asked = || home.told(&["budgets", "--config", &file]);
    let dated = |told: String| {
        let day =
            |word: &str| if word.starts_with("20") { "[DAY]".to_owned() } else { word.to_owned() };
        told.split(' ').map(day).collect::<Vec<_>>().join(" ")
    };
    home.check("budgets_unspent", &dated(asked()));
    home.check("help_budgets", &home.told(&["budgets", "--help"]));
}

#[test]
fn settings_are_told_with_where_they_came_from() {
    let home = Home::new();
    let file = home.write(
        "reprise.toml",
        "max_body = \"1MiB\"\nadmin_key = \"hush-admin\"\n[[alias]]\nid = \"sage\"\nmodel = \"m\"\n\
         [[budget]]\nlimit = 2\nper = \"day\"\nuser = \"*\"\n",
    );
    let arguments = ["config", "--config", &file, "--port", "9000", "--api-key", "hush-client"];
    let mut command = home.reprise(&arguments);
    // The length of paths differs, and so would the layout.
    let command = command.env_remove("COLUMNS");
    let command = command.env("REPRISE_CACHE_TTL", "2h").env("ANTHROPIC_API_KEY", "sk-ant-hush");
    let told =
        told(command.env("REPRISE_DATABASE_URL", "sqlite:x.db").env("REPRISE_TIMEZONE", "UTC"));
    assert!(!told.contains("hush"), "{told}");
    home.check("config", &told);
    let json = self::told(command.arg("--json"));
    assert!(!json.contains("hush") && json.contains("\"from\": \"flag\""), "{json}");
    home.check("config_invalid", &home.told(&["config", "--port", "http"]));
    home.check(
        "help_config",
        home.told(&["config", "--help"]).split("\nSettings:").next().unwrap(),
    );
    home.check("help_doctor", &home.told(&["doctor", "--help"]));
}

#[test]
fn shells_can_complete_commands() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let told = home.told(&["completions", shell]);
        assert!(told.starts_with("exit code: 0") && told.contains("keep-bodies"), "{told}");
    }
}

#[tokio::test]
async fn serve_refuses_what_cannot_be_meant() {
    let home = Home::new();
    let refused = |name: &str, arguments: &[&str]| {
        let arguments = [&["serve", "--port", "0"], arguments].concat();
        let told = home.told(&arguments);
        assert!(told.starts_with("exit code: 1\n== stdout\n== stderr\nerror: "), "{name}: {told}");
        home.check(name, &told);
    };
    let file = home.write("reprise.toml", "host = \"127.0.0.1\"\nmax-body = \"1MiB\"\n");
    refused("serve_unknown_setting", &["--config", &file]);
    let torn = home.write("torn.toml", "port = [");
    refused("serve_torn_file", &["--config", &torn]);
    let refused_file = |name: &str, text: &str| {
        let file = home.write(&format!("{name}.toml"), text);
        refused(name, &["--config", &file]);
    };
    refused_file("alias_unknown_key", "[[alias]]\nid = \"a\"\nmodel = \"m\"\ncolour = \"red\"\n");
    refused_file("alias_without_model", "port = 1\n\n[[alias]]\nid = \"a\"\n");
    refused_file("alias_no_list", "[alias]\nid = \"a\"\nmodel = \"m\"\n");
    refused_file("alias_no_tokens", "[[alias]]\nid = \"a\"\nmodel = \"m\"\nmax_tokens = 0\n");
    refused_file("alias_of_a_model", "[[alias]]\nid = \"claude-opus-5-5\"\nmodel = \"m\"\n");
    refused_file("budget_no_limit", "port = 1\n\n[[budget]]\nper = \"day\"\n");
    refused_file("budget_no_list", "[budget]\nlimit = 1\nper = \"day\"\n");
    refused_file("budget_bad_part", "[[budget]]\nlimit = 1\nper = \"day\"\nwarn_at = 80\n");
    let budget = "keep_totals = \"7d\"\n[[budget]]\nlimit = 1\nper = \"month\"\n";
    refused_file("budget_outlives_totals", budget);
    refused("serve_bad_zone", &["--timezone", "Berlin"]);
    refused("serve_missing_file", &["--config", &home.path("nowhere.toml")]);
    refused("serve_open_to_all", &["--host", "0.0.0.0"]);
    refused("serve_blank_key", &["--api-key", ""]);
    refused("serve_bad_host", &["--host", "localhost"]);
    refused("serve_bad_size", &["--max-body", "32 parsecs"]);
    refused("serve_bad_time", &["--cache-ttl", "soon"]);
    refused("serve_bad_durability", &["--durability", "high"]);
    refused("serve_bad_log", &["--log", "=,="]);
    refused("serve_bad_upstream", &["--anthropic-base-url", "api.anthropic.com"]);
    let away = "postgres://ann:secret@127.0.0.1:1/reprise?start_timeout=0.1";
    refused("serve_postgres", &["--database-url", away]);
    refused("serve_no_scheme", &["--database-url", "reprise.db"]);

    let first = Books::open(&home.ledger()).await;
    refused("serve_second", &[]);
    first.close().await;

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let told = told(home.reprise(&["serve"]).env("REPRISE_PORT", &port));
    home.check("serve_port_taken", &told.replace(&port, "[PORT]"));
    home.check("serve_bad_port", &home.told(&["--port", "http"]));
    home.check(
        "serve_bad_port_in_the_environment",
        &self::told(home.reprise(&["serve"]).env("REPRISE_PORT", "70000")),
    );
}

#[test]
fn explain_tells_what_would_become_of_a_request() {
    let home = Home::new();
    let config = home.write(
        "reprise.toml",
        "[[alias]]\nid = \"sage\"\nmodel = \"claude-opus-5-5\"\nmax_tokens = 4000\nsystem = \"Be wise.\"\n",
    );
    let long = "So it goes on. ".repeat(100);
    let picture = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let request = json!({
        "model": "sage", "temperature": 0.3, "seed": 7, "user": "ann",
        "messages": [
            {"role": "system", "content": long},
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": picture}},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            ]},
        ],
    });
    let file = home.write("request.json", &request.to_string());
    let text = home.told(&["explain", &file, "--config", &config]);
    home.check("explain", &text);
    assert!(widest(&text) <= 130, "{text}");
    home.check("explain_json", &home.told(&["explain", &file, "--json", "--config", &config]));
    home.check("explain_task", &home.told(&["explain", &file, "--task", "--config", &config]));
    let title = "### Task:\nGenerate a concise title summarizing the chat history.";
    let body =
        json!({"model": "claude-of-tomorrow", "messages": [{"role": "user", "content": title}]});
    let mut command = home.reprise(&["explain", "-", "--open-webui"]);
    home.check("explain_open_webui", &told(command.write_stdin(body.to_string())));
}

#[test]
fn explain_tells_why_a_request_would_be_refused() {
    let home = Home::new();
    let file = home.write("request.json", r#"{"model": "claude-opus-5-5", "n": 2}"#);
    home.check("explain_refused", &home.told(&["explain", &file]));
    home.check("explain_refused_json", &home.told(&["explain", &file, "--json"]));
    let torn = home.write("torn.json", "{\"model\": ");
    home.check("explain_torn", &home.told(&["explain", &torn]));
    home.check("explain_missing_file", &home.told(&["explain", &home.path("nowhere.json")]));
    home.check("explain_nothing", &home.told(&["explain"]));
    home.check("explain_both", &home.told(&["explain", &file, "--task", "--open-webui"]));
}

#[test]
fn the_documentation_shows_the_help_as_it_is() {
    let output = Home::new().reprise(&["--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let block = format!("```console\n$ reprise --help\n{help}```\n");
    generated::part("configuration.md", "help", &block, "documentation_shows");
}
