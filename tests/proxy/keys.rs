//! Client keys with names, and settings that are read again.

use std::{fs, process::Output};

use http::StatusCode;
use serde_json::{Value, json};

use super::budgets::{setup, ten_cents};
use crate::support::{
    app::{CHAT, MODEL, Setup, ask, ask_whole, with},
    binary::{Binary, command},
    script::Script,
    sse::Answer,
    until,
    upstream::Upstream,
};

const KEYS: &str = r#"
[[key]]
name = "team-a"
key = "key-of-team-a-1234"

[[key]]
name = "bot"
key_file = "FILE"
user = "the-bot"

[[budget]]
limit = 0.1
per = "week"
key = "team-a"
"#;

fn run(setup: &Setup, arguments: &[&str]) -> Output {
    command(setup).args(arguments).output().expect("the program")
}

fn stdout(setup: &Setup, arguments: &[&str]) -> String {
    String::from_utf8(run(setup, arguments).stdout).expect("text")
}

#[tokio::test]
async fn keys_with_names_tell_teams_apart_in_reports_budgets_and_answers() {
    let upstream = Upstream::start().await;
    upstream.always(Script::sse(ten_cents()));
    let setup = setup(&upstream, "").set("REPRISE_API_KEY", "key-without-a-name");
    let file = setup.folder().join("bot.key");
    fs::write(&file, "key-of-the-bot-1234\n").expect("a key file");
    let settings = KEYS.replace("FILE", file.to_str().expect("a path"));
    fs::write(setup.folder().join("reprise.toml"), settings).expect("settings");
    let app = setup.start().await;
    let holder = |key: &str| app.client().bearer(key);
    let asks = async |key: &str, user: &str| {
        let body = with(ask_whole("hi"), "user", json!(user));
        holder(key).post(CHAT, &body).await.status
    };
    assert_eq!(asks("key-of-team-b", "ann").await, StatusCode::UNAUTHORIZED);
    assert_eq!(app.client().post(CHAT, &ask("hi")).await.status, StatusCode::UNAUTHORIZED);
    for key in ["key-without-a-name", "key-of-team-a-1234", "key-of-the-bot-1234"] {
        assert_eq!(asks(key, "ann").await, StatusCode::OK, "{key}");
    }
    // Each has answers of its own, and the bot is one user whatever it says.
    assert_eq!(upstream.requests().len(), 3);
    assert_eq!(asks("key-of-the-bot-1234", "bob").await, StatusCode::OK);
    assert_eq!(asks("key-of-team-a-1234", "ann").await, StatusCode::OK);
    assert_eq!(upstream.requests().len(), 3, "these are repeats");
    let other = ask_whole("another");
    let refused = holder("key-of-team-a-1234").post(CHAT, &other).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let message = refused.json().await["error"]["message"].to_string();
    assert!(message.contains("$0.10 a week with the key team-a is spent"), "{message}");
    assert_eq!(holder("key-without-a-name").post(CHAT, &other).await.status, StatusCode::OK);
    let ledger = app.stop().await;
    let users = "select distinct user_id from call where client_key = 'bot'";
    assert_eq!(ledger.column(users).await, ["the-bot".to_owned()].into());
    let refused = "select client_key from call where outcome = 'refused'";
    assert_eq!(ledger.column(refused).await, ["team-a".to_owned()].into());

    let told: Value =
        serde_json::from_str(&stdout(&setup, &["stats", "--by", "key", "--json"])).expect("JSON");
    let groups = told["groups"].as_array().expect("groups").iter();
    let mut groups: Vec<_> = groups
        .map(|group| (group["of"]["key"].as_str().map(str::to_owned), group["calls"].as_u64()))
        .collect();
    groups.sort();
    let named = |name: &str| Some(name.to_owned());
    assert_eq!(groups, [(None, Some(2)), (named("bot"), Some(2)), (named("team-a"), Some(2))]);
    fs::remove_file(setup.folder().join("bot.key")).expect("the key file");
    let settings = fs::read(setup.folder().join("reprise.toml")).expect("settings");
    let bytes = ledger.bytes().await;
    let elsewhere = |key: &str| {
        let count =
            |bytes: &[u8]| bytes.windows(key.len()).filter(|it| *it == key.as_bytes()).count();
        count(&bytes) - count(&settings)
    };
    assert_eq!([elsewhere("key-of-team-a-1234"), elsewhere("key-of-the-bot-1234")], [0, 0]);
    fs::write(&file, "key-of-the-bot-1234").expect("the key file");
    let budgets = stdout(&setup, &["budgets"]);
    assert!(budgets.contains("$0.10 a week · team-a") && budgets.contains("spent"), "{budgets}");
    let settings = stdout(&setup, &["config"]);
    assert!(settings.contains("team-a, bot") && !settings.contains("key-of"), "{settings}");
}

#[tokio::test]
async fn settings_that_are_wrong_are_told_with_their_line_and_without_a_key() {
    let upstream = Upstream::start().await;
    let setup = setup(&upstream, "");
    let file = setup.folder().join("reprise.toml");
    for (settings, why) in [
        ("[[key]]\nname = \"a\"\n", "line 2: a must have either key or key_file"),
        ("[[key]]\nname = \" \"\nkey = \"hush-1\"\n", "line 2: a key needs a name"),
        ("[[key]]\nkey = \"hush-1\"\n", "line 1: missing field `name`"),
        ("[[key]]\nname = \"a\"\nkey = 471100000\n", "which are texts"),
        ("[[key]]\nname = \"a\"\nkey = \" \"\n", "line 2: the key of a is not"),
        (
            "[[key]]\nname = \"a\"\nkey_file = \"/nowhere\"\n",
            "line 2: the key of a cannot be read from /nowhere",
        ),
        (
            "[[key]]\nname = \"a\"\nkey = \"hush-1\"\nuser = \"\"\n",
            "line 2: the user of a must be an id",
        ),
        (
            "[[key]]\nname = \"a\"\nkey = \"hush-1\"\n[[key]]\nname = \"a\"\nkey = \"hush-2\"\n",
            "line 5: there are two keys with the name a",
        ),
        (
            "[[key]]\nname = \"a\"\nkey = \"hush-1\"\n[[key]]\nname = \"b\"\nkey = \"hush-1\"\n",
            "line 5: b has the same key as a",
        ),
        (
            "\n[[budget]]\nlimit = 1\nper = \"day\"\nkey = \"c\"\n",
            "line 2: there is no [[key]] with the name c",
        ),
        ("[key]\nname = \"a\"\n", "each key begins with [[key]]"),
        ("budget_webhook = \"hush://x\"\n", "budget_webhook in"),
        (
            "api_key = \"hush-1\"\n[[key]]\nname = \"a\"\nkey = \"hush-1\"\n",
            "it is the [[key]] a, too",
        ),
    ] {
        fs::write(&file, settings).expect("settings");
        let output = run(&setup, &["config"]);
        let told = String::from_utf8(output.stderr).expect("text");
        assert!(!output.status.success() && told.contains(why), "{settings}\n{told}");
        assert!(!told.contains("hush") && !told.contains("4711"), "{told}");
    }
}

#[tokio::test]
async fn settings_are_read_again_at_a_hangup_and_by_a_command_and_a_bad_file_changes_nothing() {
    let upstream = Upstream::start().await;
    upstream.always(Script::sse(Answer::of(MODEL).text(&["Hello"]).stop("end_turn")));
    let setup =
        setup(&upstream, "max_body = \"1MiB\"\n[[key]]\nname = \"a\"\nkey = \"key-of-team-a\"\n");
    let mut binary = Binary::start(&setup).await;
    let port = binary.url().rsplit(':').next().expect("a port").to_owned();
    let setup = setup.set("REPRISE_PORT", &port);
    let file = setup.folder().join("reprise.toml");
    let log = || fs::read_to_string(setup.folder().join("log")).expect("a log");
    let asks = async |key: &str, text: &str| {
        binary.client().bearer(key).post(CHAT, &ask_whole(text)).await.status
    };
    assert_eq!(asks("key-of-team-a", "one").await, StatusCode::OK);
    assert_eq!(asks("key-of-team-b", "one").await, StatusCode::UNAUTHORIZED);

    let next = "max_body = \"2MiB\"\n[[key]]\nname = \"b\"\nkey = \"key-of-team-b\"\n\
                [[budget]]\nlimit = 0.000001\nper = \"day\"\nwarn_at = 1\n\
                [[alias]]\nid = \"quick\"\nmodel = \"claude-haiku-4-5\"\n";
    fs::write(&file, next).expect("settings");
    binary.signal("HUP");
    until("the settings to be read", async || log().contains("the settings were read again")).await;
    assert!(log().contains("max_body"), "what needs a restart is named: {}", log());
    assert_eq!(asks("key-of-team-a", "two").await, StatusCode::UNAUTHORIZED);
    assert_eq!(asks("key-of-team-b", "two").await, StatusCode::TOO_MANY_REQUESTS);

    fs::write(&file, "[[budget]]\nlimit = 0\nper = \"day\"\n").expect("settings");
    binary.signal("HUP");
    until("the file to be refused", async || log().contains("nothing has changed")).await;
    assert_eq!(asks("key-of-team-b", "two").await, StatusCode::TOO_MANY_REQUESTS);

    fs::write(&file, next.replace("0.000001", "5")).expect("settings");
    let told = stdout(&setup, &["reload"]);
    assert!(told.starts_with("The settings are in force: budgets 1, keys 1, aliases 1."), "{told}");
    // The port is given by the test only to the command.
    assert!(told.contains("max_body"), "{told}");
    assert_eq!(asks("key-of-team-b", "two").await, StatusCode::OK);
    let quick = with(ask_whole("three"), "model", json!("quick"));
    assert_eq!(
        binary.client().bearer("key-of-team-b").post(CHAT, &quick).await.status,
        StatusCode::OK
    );
    binary.signal("TERM");
    assert!(binary.ended().await.success());
    let none = run(&setup, &["reload"]);
    assert!(
        String::from_utf8_lossy(&none.stderr).contains("no server uses the ledger"),
        "{none:?}"
    );
}
