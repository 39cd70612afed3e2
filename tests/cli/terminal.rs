//! Output on a terminal: its width, its colours, manual pages.

use std::{
    fs::File,
    io::Read,
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use super::{Books, Cost, Home, NanoDollars, hit, paid};

/// Both outputs of a command on a terminal of this width.
fn on_terminal(home: &Home, width: u16, vars: &[(&str, &str)], arguments: &[&str]) -> String {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let size = Winsize { ws_col: width, ws_row: 24, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&master, size).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let terminal: OwnedFd =
        open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let (out, error) = (terminal.try_clone().unwrap(), terminal);
    let mut child = Command::new(env!("CARGO_BIN_EXE_reprise"))
        .args(arguments)
        .env_clear()
        .env("HOME", home.path(""))
        .envs(vars.iter().copied())
        .current_dir(home.path(""))
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(error)
        .spawn()
        .unwrap();
    let mut text = Vec::new();
    // When the last writer is gone, a terminal fails to be read.
    let _ = File::from(master).read_to_end(&mut text);
    child.wait().unwrap();
    String::from_utf8(text).unwrap().replace("\r\n", "\n")
}

const LONG: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

async fn home_with_calls() -> Home {
    let home = Home::new();
    let books = Books::open(&home.ledger()).await;
    let cost = NanoDollars(1_234_567_891_234_567);
    books
        .write(&[
            paid(LONG).tokens(98_765_432_109, 1_234_567_890).cost(Cost::AtLeast(cost)),
            paid(LONG).cost(Cost::Unpriced),
            hit(LONG, cost.0),
            paid("量子糾纏-claude-👩‍👩‍👧").tokens(9_999_999, 9).cost(Cost::Exact(NanoDollars(9_000))),
        ])
        .await;
    books.close().await;
    home
}

#[tokio::test]
async fn every_table_fits_the_terminal_and_breaks_no_id() {
    let home = home_with_calls().await;
    let file = home.write(
        "reprise.toml",
        "timezone = \"UTC\"\n[[budget]]\nlimit = 20\nper = \"month\"\n\
         [[budget]]\nlimit = 0.5\nper = \"day\"\nuser = \"a-user-with-a-rather-long-name@example.com\"\n",
    );
    let id = "00000000-0000-0000-0000-000000000001";
    let commands: [&[&str]; 10] = [
        &["stats"],
        &["stats", "--by", "model,day"],
        &["stats", "--reprice"],
        &["stats", "--what-if", "claude-haiku-5-5"],
        &["sessions", "list"],
        &["sessions", "show", id],
        &["prices", "--all"],
        &["prices", "history"],
        &["budgets", "--config", &file],
        &["calls", "show", id],
    ];
    for width in [50, 80, 100, 132] {
        for arguments in commands {
            let text = on_terminal(&home, width, &[], arguments);
            // In a text, an id that is longer than the room stays whole, such as a key of 64 digits.
            let is_long = |word: &str| word.width() + "exchange  ".len() > width.into();
            let is_id = |line: &&str| arguments[0] == "calls" && line.split(' ').any(is_long);
            let lines = text.lines().filter(|line| !is_id(line));
            let widest = lines.map(UnicodeWidthStr::width).max().unwrap();
            assert!(widest <= width.into(), "{width} {arguments:?}\n{text}");
            if arguments[0] == "sessions" {
                assert!(text.contains(id), "{width} {arguments:?}\n{text}");
            }
            if arguments == ["stats"] {
                assert!(text.contains(LONG) && text.contains("≥ $1,234,567.89 +?"), "{text}");
            }
        }
    }
    let shown = [50, 80].map(|width| on_terminal(&home, width, &[], &["stats"]));
    home.check("stats_narrow", &shown.join("\n"));
    let listed = [50, 80].map(|width| on_terminal(&home, width, &[], &["sessions", "list"]));
    home.check("sessions_narrow", &listed.join("\n"));
}

#[tokio::test]
async fn a_pipe_gets_the_same_whatever_the_terminal() {
    let home = home_with_calls().await;
    let piped = |columns: Option<&str>| {
        let mut command = home.reprise(&["stats"]);
        match columns {
            Some(columns) => command.env("COLUMNS", columns),
            None => command.env_remove("COLUMNS"),
        };
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let text = piped(None);
    assert!(text.contains("share") && text.contains(LONG), "{text}");
    for odd in ["", "0", "wide"] {
        assert_eq!(piped(Some(odd)), text, "{odd:?} is no width");
    }
    assert!(piped(Some("60")).lines().all(|line| line.width() <= 60));
}

#[test]
fn colours_of_the_log_are_the_terminals_or_the_users_choice() {
    let home = Home::new();
    // The log begins, and then the port cannot be bound.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let arguments = ["serve", "--port", &port, "--log", "trace"];
    let colored = |vars: &[(&str, &str)]| {
        let text = on_terminal(&home, 80, vars, &arguments);
        assert!(text.contains("cannot listen on"), "{text}");
        (text.contains("\u{1b}["), text.contains("DEBUG") || text.contains("TRACE"))
    };
    let term = ("TERM", "xterm-256color");
    assert_eq!(colored(&[term]), (true, true));
    assert_eq!(colored(&[term, ("NO_COLOR", "1")]), (false, true));
    assert_eq!(colored(&[("TERM", "dumb")]), (false, true));
    assert_eq!(colored(&[term, ("CLICOLOR", "0")]), (false, true));
    assert_eq!(colored(&[("TERM", "dumb"), ("CLICOLOR_FORCE", "1")]), (true, true));
    assert_eq!(colored(&[term, ("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]), (false, true));
}

#[test]
fn every_command_has_a_manual_page() {
    let home = Home::new();
    let page = home.told(&["man"]);
    assert!(page.starts_with("exit code: 0") && page.contains(".TH reprise 1"), "{page}");
    let page = home.told(&["man", "sessions", "list"]);
    assert!(page.contains("reprise\\-sessions\\-list") && page.contains("\\-\\-last"), "{page}");
    let told = home.told(&["man", "--into", "pages"]);
    assert_eq!(told, "exit code: 0\n== stdout\n== stderr\n");
    let mut pages: Vec<String> = std::fs::read_dir(home.path("pages"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort_unstable();
    home.check("man_pages", &pages.join("\n"));
}

/// Every object in a report that is named as an amount of money.
fn amounts(path: &str, value: &Value, found: &mut Vec<(String, Value)>) {
    const NAMES: [&str; 9] =
        ["cost", "spent", "reserved", "over", "repriced", "difference", "before", "after", "saved"];
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                let is_amount = NAMES.contains(&&**name) || name.ends_with("_cost");
                // What was saved is told by the way in which.
                if is_amount && value.get("ledger").is_none() {
                    found.push((path, value.clone()));
                } else {
                    amounts(&path, value, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| amounts(path, item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn money_and_moments_have_one_shape_in_the_json_of_all_commands() {
    let home = home_with_calls().await;
    let request = home.write(
        "request.json",
        r#"{"model": "claude-opus-5-5", "messages": [{"role": "user", "content": "Hi"}]}"#,
    );
    let file = home.write("reprise.toml", "[[budget]]\nlimit = 20\nper = \"month\"\n");
    let id = "00000000-0000-0000-0000-000000000001";
    let commands: [&[&str]; 8] = [
        &["stats", "--json"],
        &["stats", "--reprice", "--json"],
        &["sessions", "list", "--json"],
        &["sessions", "show", id, "--json"],
        &["calls", "export", "--last", "1"],
        &["calls", "show", id, "--json"],
        &["budgets", "--config", &file, "--json"],
        &["explain", &request, "--json"],
    ];
    for arguments in commands {
        let output = home.reprise(arguments).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"));
        let mut found = Vec::new();
        amounts("", &report, &mut found);
        assert!(!found.is_empty(), "{arguments:?}: {report:#}");
        for (path, amount) in found.iter().filter(|(_, amount)| !amount.is_null()) {
            let names: Vec<&str> =
                amount.as_object().into_iter().flatten().map(|(name, _)| &**name).collect();
            let expected = ["dollars", "nano_dollars", "at_least", "unpriced"];
            assert_eq!(names, expected, "{arguments:?} {path}: {amount}");
        }
        let moments = ["at", "began", "from", "until", "opened_at", "ended_at"];
        check_moments(&report, &moments);
    }
}

fn check_moments(value: &Value, names: &[&str]) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if names.contains(&&**name) {
                    let moment = value.as_str().unwrap_or_else(|| panic!("{name}: {value}"));
                    assert!(moment.len() == 24 && moment.ends_with('Z'), "{name}: {moment}");
                }
                check_moments(value, names);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| check_moments(item, names)),
        _ => {}
    }
}
