//! Command lines that cannot be meant, and what each is told.

use std::{fs, os::unix::fs::PermissionsExt};

use super::{Books, Home, paid};

/// Wrong usage, with exit code 2: the arguments, and what the message must contain.
const MISUSES: &[(&[&str], &[&str])] = &[
    (&["serv"], &["unrecognized subcommand 'serv'", "'serve'"]),
    (&["session", "list"], &["'sessions'"]),
    (&["sessions", "sho"], &["'show'"]),
    (&["help", "nothing"], &["unrecognized subcommand 'nothing'"]),
    (&["man", "nothing"], &["there is no command \"nothing\""]),
    (&["man", "sessions", "nothing"], &["there is no command \"sessions nothing\""]),
    (&["completions", "tcsh"], &["bash, elvish, fish, powershell, zsh"]),
    (&["explain"], &["explain needs a request", "- for standard input", "--key"]),
    (&["explain", "--open-webui"], &["explain needs a request"]),
    (&["explain", "--key", "zz"], &["--key <KEY>", "hexadecimal digits"]),
    (&["sessions", "list", "--last", "x"], &["--last <N>", "a whole number, or 0 for all"]),
    (&["sessions", "list", "--last", "-1"], &["--last <N>", "a whole number, or 0 for all"]),
    (&["sessions", "list", "--since", "soon"], &["--since <WHEN>", "7d, 12h, today"]),
    (&["sessions", "list", "--since", "-7d"], &["'-7d'", "7d, 12h, today"]),
    (&["sessions", "show", ""], &["a value is required", "<ID>"]),
    (&["sessions", "search", ""], &["a value is required", "<WORDS>"]),
    (&["sessions", "export", ""], &["a value is required", "<ID>"]),
    (&["stats", "--top", "0"], &["--top <COUNT>", "a whole number, 1 or more"]),
    (&["stats", "--top", "-1"], &["--top <COUNT>", "a whole number, 1 or more"]),
    (&["stats", "--tag", ""], &["a value is required", "--tag"]),
    (&["stats", "--by", "colour"], &["--by <FIELD>", "model, user, chat"]),
    (&["stats", "--timezone", "Mars"], &["--timezone <ZONE>", "Europe/Berlin"]),
    (&["stats", "--until", "-7d"], &["'-7d'", "7d, 12h, today"]),
    (&["stats", "--json", "--csv"], &["--json", "cannot be used with", "--csv"]),
    (
        &["stats", "--since", "2026-12-01", "--until", "2026-11-01", "--timezone", "UTC"],
        &["--until ends at 2026-11-02 00:00", "not after --since, 2026-12-01 00:00", "exchange"],
    ),
    (&["stats", "--since", "30d", "--until", "60d"], &["not after --since"]),
    (&["stats", "--since", "1h", "--until", "2h"], &["not after --since"]),
    (
        &["calls", "export", "--since", "2026-12-01", "--until", "2026-11-01"],
        &["not after --since"],
    ),
    (&["calls", "export", "--last", "0"], &["--last <N>", "a whole number, 1 or more"]),
    (&["calls", "export", "--outcome", "odd"], &["--outcome", "complete, failed"]),
    (&["calls", "export", "--format", "xml"], &["--format", "jsonl, csv"]),
    (&["calls", "show"], &["<ID>"]),
    (&["fixtures", "export", "--last", "0"], &["--last <N>", "a whole number, 1 or more"]),
    (&["fixtures", "export", "--search", ""], &["a value is required", "--search"]),
    (&["prices", "import"], &["<FILE>"]),
    (&["cache", "clear", "--key", "x"], &["--key <KEY>", "hexadecimal digits"]),
    (&["stats", "--frobnicate"], &["unexpected argument '--frobnicate'"]),
    (&["stats", "more"], &["unexpected argument 'more'"]),
];

#[tokio::test]
async fn wrong_usage_is_told_and_exits_with_2() {
    let home = Home::new();
    Books::open(&home.ledger()).await.close().await;
    for (arguments, expected) in MISUSES {
        let told = home.told(arguments);
        assert!(told.starts_with("exit code: 2\n== stdout\n== stderr\nerror: "), "{told}");
        for text in *expected {
            assert!(told.contains(text), "{arguments:?} does not say {text:?}: {told}");
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let home = Home::new();
    Books::open(&home.ledger()).await.close().await;
    let folder = home.path("");
    let gone = home.path("gone.json");
    let empty = home.path("empty");
    fs::create_dir(&empty).unwrap();
    let cases: &[(&[&str], &[&str])] = &[
        (&["explain", &gone], &["cannot read", "gone.json", "No such file"]),
        (&["explain", &folder], &["cannot read", "Is a directory"]),
        (&["explain", "--key", "00ff00"], &["00ff00", "Cache-Status"]),
        (&["sessions", "show", "nope"], &["no session \"nope\"", "reprise sessions list"]),
        (&["sessions", "export", "nope"], &["no session \"nope\""]),
        (&["calls", "show", "nope"], &["\"nope\" is not the id of a call"]),
        (&["calls", "show", "00ff"], &["no call and no exchange 00ff"]),
        (&["calls", "export", "--output", "/nowhere/x"], &["cannot write /nowhere/x"]),
        (&["replay", &gone], &["cannot read", "gone.json"]),
        (&["replay", &empty, "--port", "0"], &["no fixtures in", "reprise fixtures export"]),
        (&["fixtures", "lint", &gone], &["cannot read", "gone.json"]),
        (&["fixtures", "import", &gone], &["cannot read", "gone.json"]),
        (&["prices", "import", &gone], &["cannot read", "gone.json"]),
        (&["budgets", "--config", &gone], &["cannot read the settings file", "gone.json"]),
        (&["reload"], &["no server uses the ledger"]),
        (&["man", "--into", "/proc/nowhere"], &["cannot write manual pages into /proc/nowhere"]),
    ];
    for (arguments, expected) in cases {
        let told = home.told(arguments);
        assert!(told.starts_with("exit code: 1\n"), "{arguments:?}: {told}");
        for text in *expected {
            assert!(told.contains(text), "{arguments:?} does not say {text:?}: {told}");
        }
    }
    let told = home.told(&["stats", "--tag", "team=blue"]);
    assert!(told.contains("No calls with these tags."), "{told}");
}

/// The commands that read the ledger.
const READERS: [&[&str]; 8] = [
    &["stats"],
    &["stats", "--reprice"],
    &["sessions", "list"],
    &["calls", "export"],
    &["budgets"],
    &["prices"],
    &["prune", "--keep-bodies", "1d", "--dry-run"],
    &["cache", "clear", "--dry-run"],
];

#[tokio::test]
async fn an_error_of_sqlite_is_told_once_in_words_and_with_the_file() {
    let home = Home::new();
    let books = Books::open(&home.ledger()).await;
    books.write(&vec![paid("claude-opus-5-5"); 40]).await;
    books.close().await;
    let file = home.path(".local/share/reprise/reprise.db");
    let whole = fs::read(&file).unwrap();
    // Every page but the first, which has the header and the list of tables.
    let mut torn = whole.clone();
    torn[4096..].fill(0xff);
    fs::write(&file, torn).unwrap();
    let mut failed = 0;
    for arguments in READERS {
        let told = home.told(arguments);
        if told.starts_with("exit code: 0") {
            continue;
        }
        failed += 1;
        assert!(told.contains("reprise.db: "), "{arguments:?}: {told}");
        assert_eq!(told.matches("the file is damaged").count(), 1, "{arguments:?}: {told}");
        assert_eq!(told.matches("disk image").count(), 1, "{arguments:?}: {told}");
        assert!(!told.contains("returned from database"), "{arguments:?}: {told}");
    }
    assert!(failed >= 4, "{failed} of them read what is damaged");
    let told = home.told(&["doctor"]);
    assert!(told.contains("the file is damaged"), "{told}");
    assert!(!told.contains("returned from database"), "{told}");
    fs::write(&file, &whole[..2048]).unwrap();
    for arguments in READERS {
        let told = home.told(arguments);
        assert!(!told.contains("returned from database"), "{arguments:?}: {told}");
        assert!(told.starts_with("exit code: 0") || told.contains("reprise.db"), "{told}");
    }
}

#[tokio::test]
async fn a_port_that_is_in_use_is_told_with_the_remedy() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    fs::create_dir(home.path("fixtures")).unwrap();
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");
    for arguments in [&["serve", "--port", &port][..], &["replay", fixture, "--port", &port]] {
        let told = home.told(arguments);
        assert!(told.contains(&format!("cannot listen on 127.0.0.1:{port}: another program")));
        assert!(told.contains("--port or REPRISE_PORT"), "{told}");
    }
    let told = home.told(&["serve", "--host", "192.0.2.1", "--port", "0", "--no-auth"]);
    assert!(told.contains("does not have the address") && told.contains("--host"), "{told}");
}

#[tokio::test]
async fn doctor_finds_a_missing_key_and_files_that_others_can_read() {
    let home = Home::new();
    Books::open(&home.ledger()).await.close().await;
    let key = home.write("team.key", "a-long-client-key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let folder = home.path(".local/share/reprise");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let settings = format!("[[key]]\nname = \"team\"\nkey_file = {key:?}\n");
    let file = home.write("reprise.toml", &settings);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let report = |arguments: &[&str]| {
        let mut command = home.reprise(arguments);
        let output = command.args(["doctor", "--json"]).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = report["findings"].as_array().unwrap().clone();
        move |what: &str| -> Vec<String> {
            let of = findings.iter().filter(|found| found["what"] == what);
            of.map(|found| format!("{}: {}", found["state"], found["found"])).collect()
        }
    };
    let found = report(&["--config", &file]);
    assert!(found("key")[0].starts_with("\"wrong\": \"none for Anthropic"), "{:?}", found("key"));
    assert!(found("settings")[0].contains("holds a key, and other users can read it"));
    let permissions = found("permissions").join("\n");
    assert!(permissions.contains("team.key, which has a client key"), "{permissions}");
    assert!(permissions.contains("exchange files in"), "{permissions}");
    for path in [&key, &file] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    let found = report(&["--config", &file]);
    assert!(found("settings")[0].starts_with("\"ok\""), "{:?}", found("settings"));
    assert_eq!(found("permissions"), ["\"ok\": \"only the owner can read the ledger\""]);
    // Without keys of the server, clients may send their own.
    let found = report(&[]);
    assert!(found("key")[0].starts_with("\"note\": \"none for Anthropic"), "{:?}", found("key"));
}
