//! From the ledger into files and back, as a person does it: commands, their output, and the files that they write.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

pub(crate) mod recorded;
mod session_index;
mod session_turns;
mod sessions;

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use assert_cmd::Command;
use base64::{Engine, engine::general_purpose::STANDARD};
use recorded::{Call, asks, record, record_from};
use serde_json::{Value, json};
use tempfile::TempDir;

const KEY: &str = "sk-ant-api03-AbCdEf0123456789-xyzXYZ";
const CHAT: &str = "5b1f2c3d-0001-4000-8000-000000000001";

/// A folder of its own to live and work in.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn ledger(&self) -> String {
        format!("sqlite://{}", self.0.path().join(".local/share/reprise/reprise.db").display())
    }

    fn reprise(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reprise"));
        command
            .env_clear()
            .env("HOME", self.0.path())
            .env("COLUMNS", "100")
            .env("NO_COLOR", "1")
            .current_dir(self.0.path())
            .args(line.split(' '))
            .timeout(Duration::from_secs(20));
        command
    }

    fn told(&self, line: &str) -> String {
        told(&mut self.reprise(line))
    }

    /// All files below a folder, by their names.
    fn files(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let root = self.0.path().join(folder);
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&root).unwrap().display().to_string();
                    files.insert(name, fs::read(&path).unwrap());
                }
            }
        }
        files
    }

    fn edit(&self, file: &str, change: impl Fn(&str) -> String) {
        let path = self.0.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        let changed = change(&text);
        assert_ne!(text, changed);
        fs::write(path, changed).unwrap();
    }
}

fn told(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    format!(
        "exit code: {}\n== stdout\n{}== stderr\n{}",
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr)
    )
}

fn check(name: &str, told: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("fixtures/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.add_filter(r"/tmp/[^/ ]+/", "[HOME]/");
    settings.bind(|| insta::assert_snapshot!(name, told));
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn says(text: &str) -> Value {
    let usage = json!({"input_tokens": 20, "output_tokens": 9});
    json!({"content": [{"type": "text", "text": text}], "usage": usage})
}

/// A chat that was regenerated and edited, a client without chats, and an error.
fn day() -> Vec<Call> {
    let weather = || json!([user("What is the weather in Paris?")]);
    let thinking = json!({"content": [
        {"type": "thinking", "thinking": "They ask about now.", "signature": "EqQB"},
        {"type": "text", "text": "I will look."},
        {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}},
    ]});
    let title = "### Task:\nGenerate a concise title summarizing the chat history.";
    let followed = json!([user("Say hi"), {"role": "assistant", "content": "Hi"}, user("Again")]);
    vec![
        asks(weather(), thinking).chat(CHAT),
        asks(json!([user(title)]), says(r#"{"title": "Weather in Paris"}"#))
            .chat(CHAT)
            .task("title_generation"),
        asks(weather(), says("It is 14 °C.\nTake a coat.")).chat(CHAT),
        asks(json!([user("What is the weather in London?")]), says("It rains.")).chat(CHAT),
        asks(json!([user("Say hi")]), says("Hi")),
        asks(followed, says("Hi again")),
        asks(json!([user("Hurry")]), says("")).refused(529, "overloaded_error", "Overloaded"),
        asks(json!([user("Tell me a long story")]), says("Once upon a time")).cut(3),
    ]
}

#[test]
fn help_is_there_for_every_command() {
    let home = Home::new();
    for command in ["sessions", "fixtures"] {
        check(&format!("help_{command}"), &home.told(&format!("{command} --help")));
    }
    for command in ["list", "show", "search", "export"] {
        check(
            &format!("help_sessions_{command}"),
            &home.told(&format!("sessions {command} --help")),
        );
    }
    for command in ["export", "import", "list", "lint", "verify", "fmt"] {
        check(
            &format!("help_fixtures_{command}"),
            &home.told(&format!("fixtures {command} --help")),
        );
    }
}

#[tokio::test]
async fn the_ledger_is_read_as_chats() {
    let home = Home::new();
    record(&home.ledger(), &day()).await;
    let listed = home.told("sessions list");
    check("sessions_list", &listed);
    assert!(listed.lines().all(|line| line.chars().count() <= 100), "{listed}");
    check("sessions_list_json", &home.told("sessions list --json --last 2"));
    check("sessions_show", &home.told("sessions show 5b1f"));
    check("sessions_show_json", &home.told(&format!("sessions show {CHAT} --json")));
    check("sessions_show_markdown", &home.told("sessions show 5b1f --markdown"));
    check("sessions_search", &home.told("sessions search COAT"));
    check("sessions_search_nothing", &home.told("sessions search unicorn"));
    check("sessions_unknown", &home.told("sessions show nowhere"));
    check("sessions_ambiguous", &home.told("sessions show 0000"));
    check("sessions_since", &home.told("sessions list --since soon"));
}

#[tokio::test]
async fn sessions_become_files_that_read_back_alike() {
    let home = Home::new();
    record(&home.ledger(), &day()).await;
    check("export_which", &home.told("fixtures export"));
    check("export", &home.told("fixtures export --since 2026-11-01"));
    let first = home.files("fixtures");
    let text = |name: &str| String::from_utf8(first[name].clone()).unwrap();
    check("export_file", &text("weather-in-paris/01-what-is-the-weather-in-paris.json"));
    check("export_file_error", &text("hurry/01-hurry.json"));
    check("export_again", &home.told("fixtures export --since 2026-11-01"));
    assert_eq!(home.files("fixtures"), first);
    home.told("fixtures export --since 2026-11-01 --into other");
    assert_eq!(home.files("other"), first, "two recordings are the same files");
    check("fixtures_list", &home.told("fixtures list"));
    check("fixtures_list_json", &home.told("fixtures list fixtures/hurry --json"));
    check("fixtures_lint", &home.told("fixtures lint"));
    check("fixtures_fmt", &home.told("fixtures fmt"));
    let export = "sessions export 5b1f --into chosen";
    check("sessions_export", &home.told(export));
    check("export_search", &home.told("fixtures export --search coat --last 1 --into found"));
    assert_eq!(home.files("found"), home.files("chosen"));
}

#[tokio::test]
async fn a_file_that_a_hand_changed_is_not_written_over() {
    let home = Home::new();
    record(&home.ledger(), &day()).await;
    home.told("fixtures export --session 5b1f");
    let file = "fixtures/weather-in-paris/03-what-is-the-weather-in-paris.json";
    home.edit(file, |text| text.replace("\"text\":\"It is 14", "\"text\":\"It is 40"));
    assert!(home.told("fixtures lint").starts_with("exit code: 1"));
    check("edited_lint", &home.told("fixtures lint"));
    check("edited_export", &home.told("fixtures export --session 5b1f"));
    check("edited_fmt_check", &home.told("fixtures fmt --check"));
    assert!(home.told("fixtures fmt").starts_with("exit code: 0"));
    assert!(home.told("fixtures lint").starts_with("exit code: 0"), "the summary is made anew");
    home.edit(file, |text| text.replace("\"message_stop\"}]", "\"message_stop\"}"));
    check("broken_lint", &home.told("fixtures lint"));
    check("broken_lint_json", &home.told("fixtures lint --json"));
    check("broken_fmt", &home.told("fixtures fmt"));
    check("broken_import", &home.told("fixtures import"));
    assert!(home.told("fixtures export --session 5b1f --force").starts_with("exit code: 0"));
    assert!(home.told("fixtures lint").starts_with("exit code: 0"));
}

#[tokio::test]
async fn no_file_is_written_in_ci() {
    let home = Home::new();
    record(&home.ledger(), &day()).await;
    check("ci", &told(home.reprise("fixtures export --last 1").env("CI", "true")));
    assert!(!home.0.path().join("fixtures").exists());
    let forced = told(home.reprise("fixtures export --session 5b1f --force").env("CI", "true"));
    assert!(forced.starts_with("exit code: 0"), "{forced}");
}

#[tokio::test]
async fn no_secret_reaches_a_file() {
    let home = Home::new();
    let picture = STANDARD.encode([b"\x89PNG\r\n\x1a\n", KEY.as_bytes(), &[0; 40]].concat());
    let image = json!([{"role": "user", "content": [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{picture}")}},
    ]}]);
    let link = "https://ann:hunter2@db.example.com/?api_key=AbCdEf42";
    let asked = format!("Use {KEY} and the password correct-horse/battery for {link}");
    let coded = STANDARD.encode(format!("me:{KEY}"));
    let calls = [
        asks(
            json!([user(&asked)]),
            says(&format!("I used Basic {coded} and correct-horse%2Fbattery")),
        ),
        asks(image, says("A key")),
    ];
    record(&home.ledger(), &calls).await;
    let mut command = home.reprise("fixtures export --last 9");
    let written = told(command.env("DB_PASSWORD", "correct-horse/battery"));
    check("secrets", &written);
    let files = home.files("fixtures");
    for (name, bytes) in &files {
        let text = String::from_utf8_lossy(bytes);
        for secret in ["AbCdEf", "correct-horse", "hunter2", &coded] {
            assert!(!text.contains(secret), "{name}: {text}");
            assert!(!name.contains(&secret.to_lowercase()), "{name}");
        }
    }
    assert_eq!(files.len(), 1, "{:?}", files.keys());
    check("secrets_file", &String::from_utf8(files.into_values().next().unwrap()).unwrap());
}

#[tokio::test]
async fn a_secret_that_a_hand_put_in_is_named_by_its_line_and_kind() {
    let home = Home::new();
    record(&home.ledger(), &[asks(json!([user("Hi")]), says("Hello"))]).await;
    home.told("fixtures export --last 1");
    assert!(home.told("fixtures lint").starts_with("exit code: 0"));
    let token = ["gl", "pat-", "q7Zt3XbP9kLm2RvW8nYd"].concat();
    home.edit("fixtures/hi/01-hi.json", |text| {
        text.replace("\"Hi\"", &format!("\"Use {token}\""))
            .replace("\"Hello\"", "\"postgres://ann:hunter2@db/x\"")
    });
    for (name, line) in
        [("secret_lint", "fixtures lint"), ("secret_lint_json", "fixtures lint --json")]
    {
        let told = home.told(line);
        assert!(told.starts_with("exit code: 1"), "{told}");
        assert!(!told.contains("q7Zt3XbP") && !told.contains("hunter2"), "{told}");
        check(name, &told);
    }
    // Nor is it told where the file cannot be read, or by a replay.
    home.edit("fixtures/hi/01-hi.json", |text| {
        text.replace("\"complete\": true", "\"complete\" true")
    });
    let told = home.told("fixtures lint");
    assert!(told.contains("01-hi.json:6: this line: there is a gitlab token in it"), "{told}");
    assert!(!told.contains("q7Zt3XbP") && !told.contains("hunter2"), "{told}");
}

#[tokio::test]
async fn what_the_operator_says_is_taken_out_too() {
    let home = Home::new();
    let calls = [asks(json!([user("Where is customer 4711?")]), says("Customer 4711 is out."))];
    record(&home.ledger(), &calls).await;
    let settings = home.0.path().join("reprise.toml");
    let rule = "[[scrub]]\nfind = '(?i)(customer) \\d+'\nreplace = '$1 N'\n";
    fs::write(&settings, rule).unwrap();
    let told = home.told("fixtures export --last 1 --config reprise.toml");
    assert!(told.starts_with("exit code: 0"), "{told}");
    let files = home.files("fixtures");
    let (name, bytes) = files.first_key_value().unwrap();
    let text = String::from_utf8_lossy(bytes);
    assert!(!name.contains("4711") && !text.contains("4711"), "{name}: {text}");
    assert!(text.contains("Where is customer N?"), "{text}");
    assert!(home.told("fixtures lint --config reprise.toml").starts_with("exit code: 0"));
    fs::write(&settings, "\n[[scrub]]\nfind = '('\nreplace = ''\n").unwrap();
    let told = home.told("fixtures lint --config reprise.toml");
    assert!(told.contains("reprise.toml: line 3: find is no regular expression"), "{told}");
}

#[tokio::test]
async fn fixtures_go_into_a_ledger_and_come_out_of_it_alike() {
    let home = Home::new();
    record(&home.ledger(), &day()).await;
    home.told("fixtures export --since 2026-11-01");
    let other = format!("--database-url sqlite://{}", home.0.path().join("other.db").display());
    check("import", &home.told(&format!("fixtures import {other}")));
    check("import_again", &home.told(&format!("fixtures import {other}")));
    check("import_listed", &home.told(&format!("sessions list {other}")));
    home.told(&format!("fixtures export --session weather-in-paris --into again {other}"));
    let plain = |files: BTreeMap<String, Vec<u8>>| {
        let without_ids = |bytes: &Vec<u8>| {
            let text = String::from_utf8(bytes.clone()).unwrap();
            // What stands in the head of a response is not imported.
            text.lines()
                .filter(|line| !line.contains("request-id"))
                .collect::<Vec<_>>()
                .join("\n")
                .replace("    \"headers\": {\n    },\n", "")
        };
        files
            .iter()
            .map(|(name, bytes)| (name.clone(), without_ids(bytes)))
            .collect::<BTreeMap<_, _>>()
    };
    assert_eq!(
        plain(home.files("again/weather-in-paris")),
        plain(home.files("fixtures/weather-in-paris"))
    );
}

#[test]
fn what_is_not_there_is_said() {
    let home = Home::new();
    check("no_ledger", &home.told("sessions list"));
    check("no_folder", &home.told("fixtures list"));
    fs::create_dir(Path::new(home.0.path()).join("fixtures")).unwrap();
    check("empty_folder", &home.told("fixtures list"));
    fs::write(home.0.path().join("fixtures/package.json"), "{\"name\": \"x\"}").unwrap();
    check("no_fixture", &home.told("fixtures lint"));
}

fn by_hand(home: &Home, name: &str, recorded: Option<&str>, response: &str) {
    let folder = home.0.path().join("fixtures");
    fs::create_dir_all(&folder).unwrap();
    let recorded = recorded.map(|day| format!(" \"recorded\": \"{day}\",\n")).unwrap_or_default();
    let client = r#"{"body": {"model": "claude-haiku-5-5", "messages": [{"role": "user", "content": "Hi"}]}}"#;
    let text = format!(
        "{{\n \"schema\": 1,\n{recorded} \"client\": {client},\n \"response\": {response}\n}}\n"
    );
    fs::write(folder.join(name), text).unwrap();
}

#[test]
fn fixtures_have_an_age() {
    let home = Home::new();
    let says = r#"{"message": {"content": "Hi"}}"#;
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    by_hand(&home, "1-new.json", Some(&today), says);
    by_hand(&home, "2-undated.json", None, says);
    let recent = home.told("fixtures verify --older-than 90d");
    assert!(recent.starts_with("exit code: 0"), "{recent}");
    let undated = "no date  fixtures/2-undated.json: written by hand, without \"recorded\"\n";
    assert!(recent.contains(undated), "{recent}");
    by_hand(&home, "3-old.json", Some("2020-02-29"), says);
    by_hand(&home, "4-future.json", Some("2999-01-01"), says);
    by_hand(&home, "5-wrong.json", Some("last week"), says);
    by_hand(&home, "6-broken.json", Some(&today), r#"{"message": {"content": ""}}"#);
    let told = home.told("fixtures verify --older-than 6mo");
    assert!(told.starts_with("exit code: 1"), "{told}");
    for line in [
        "old      fixtures/3-old.json: recorded on 2020-02-29, ",
        "wrong    fixtures/4-future.json: recorded on 2999-01-01, which is in the future\n",
        "wrong    fixtures/5-wrong.json: recorded is no date: \"last week\"\n",
        "wrong    fixtures/6-broken.json:5: content is empty; for an answer without any, write []\n",
        "1 recorded before ",
        ", 1 since, 4 of unknown age\n",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    assert!(!told.contains("1-new.json"), "{told}");
    let json = told_json(&home.told("fixtures verify --older-than 6mo --json"));
    let verdicts: Vec<&str> = json["fixtures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fixture| fixture["verdict"].as_str().unwrap())
        .collect();
    assert_eq!(verdicts, ["recent", "undated", "old", "future", "undated", "broken"]);
    let linted = home.told("fixtures lint");
    for line in [
        "fixtures/4-future.json:3: recorded is 2999-01-01, which is in the future\n",
        "fixtures/5-wrong.json:3: recorded must be a date such as 2026-11-24, not \"last week\"\n",
    ] {
        assert!(linted.contains(line), "{linted}");
    }
    for unclear in ["90", "90m", "0d", "soon"] {
        let refused = home.told(&format!("fixtures verify --older-than {unclear}"));
        assert!(refused.contains("expected an age in days or more"), "{refused}");
    }
}

fn told_json(told: &str) -> Value {
    let text = told.split("== stdout\n").nth(1).unwrap().split("== stderr").next().unwrap();
    serde_json::from_str(text).unwrap()
}

#[test]
fn all_mistakes_of_all_files_are_told_where_they_would_be_played() {
    let home = Home::new();
    by_hand(
        &home,
        "1.json",
        None,
        "{\"message\": {\"content\": [\n {\"type\": \"txt\"}],\n \"stop_reason\": \"stop\"}}",
    );
    by_hand(&home, "2.json", None, r#"{"cut_after": 9, "message": {"content": "Hi"}}"#);
    by_hand(&home, "3.json", None, r#"{"message": {"content": "Hi"}}"#);
    home.edit("fixtures/3.json", |text| text.replace("\"user\"", "\"usr\""));
    let mistakes = [
        "fixtures/1.json:5: there is no type of block \"txt\"; did you mean \"text\"?\n",
        "fixtures/1.json:6: there is no stop_reason \"stop\"; did you mean \"end_turn\"?\n",
        "fixtures/2.json:4: cut_after 9 cuts nothing: the answer has 6 events\n",
    ];
    let untranslatable =
        "fixtures/3.json:3: its request cannot be translated, so it is never played: ";
    for command in ["replay --port 0", "fixtures lint", "fixtures import", "fixtures fmt"] {
        let told = home.told(command);
        assert!(told.starts_with("exit code: 1"), "{told}");
        for mistake in mistakes {
            assert!(told.contains(mistake), "{command}: {mistake}\n{told}");
        }
        if command.contains("replay") || command.contains("lint") {
            assert!(told.contains(untranslatable), "{command}\n{told}");
        }
    }
    let verified = told(
        home.reprise("fixtures verify")
            .env("ANTHROPIC_API_KEY", "sk-ant-x")
            .env("ANTHROPIC_BASE_URL", "http://127.0.0.1:9"),
    );
    assert!(verified.starts_with("exit code: 1") && verified.contains(mistakes[2]), "{verified}");
}
