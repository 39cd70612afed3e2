//! The architecture, held by tests (design §10 and the rules it stands on): what each part of `src` must not name.
//!
//! The sources are read as text: comments and `#[cfg(test)]` parts do not count, use-trees are taken apart, and
//! `self` and `super` are resolved. Each rule says its reason, and each is shown to fail on a snippet that breaks it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod circles;
mod links;
mod names;
mod source;

use std::{fmt, fs, path::Path};

pub(crate) use links::documents;
pub(crate) use source::texts;
use source::{Source, sources};

/// Paths that some files must not name.
struct Rule {
    says: &'static str,
    because: &'static str,
    holds_in: fn(&str) -> bool,
    forbidden: &'static [&'static str],
}

const RULES: &[Rule] = &[
    Rule {
        says: "the core does no IO and knows no clock, no environment and no chance",
        because: "it is tested without any of them, and the same input always means the same output",
        holds_in: |file| within("domain", file),
        forbidden: &[
            "anyhow",
            "axum",
            "hyper",
            "hyper_util",
            "reqwest",
            "rusqlite",
            "sqlx",
            "tokio",
            "tokio_util",
            "tracing",
            "std::env",
            "std::fs",
            "std::io",
            "std::net",
            "std::process",
            "std::thread",
            "Instant",
            "SystemTime",
            "Timestamp::now",
            "Zoned::now",
            "Uuid::now_v7",
            "Uuid::new_v4",
        ],
    },
    Rule {
        says: "cache.rs sees Anthropic's dialect only",
        because: "a key is made of the request as translated, so that both doors share answers",
        holds_in: |file| file == "src/domain/cache.rs",
        forbidden: &["openai"],
    },
    Rule {
        says: "SQL stands only in the store",
        because: "two backends are kept alike in one place",
        holds_in: |file| !within("store", file),
        forbidden: &["rusqlite", "sqlx", "QueryBuilder"],
    },
    Rule {
        says: "HTTP statuses stand only in server, upstream and the failure table",
        because: "each failure has one row, with its status for either API",
        holds_in: |file| !has_statuses(file),
        forbidden: &["StatusCode"],
    },
    Rule {
        says: "the environment is read only in config",
        because: "every setting is known in one place, and tests give their own environment",
        holds_in: |file| file != "src/config.rs",
        forbidden: &["std::env", "dotenvy"],
    },
    Rule {
        says: "tasks are spawned on the TaskTracker only",
        because: "shutdown waits for them, and the recordings they write",
        holds_in: |_| true,
        forbidden: &[
            "tokio::spawn",
            "tokio::task::spawn",
            "tokio::task::spawn_blocking",
            "task::spawn",
            "task::spawn_blocking",
            "Handle::current",
            "JoinSet",
            "thread::spawn",
        ],
    },
    Rule {
        says: "anyhow stands only in cli and main",
        because: "below them an error is matched, and so must be an enum",
        holds_in: |file| !within("cli", file) && file != "src/main.rs",
        forbidden: &["anyhow"],
    },
];

/// What each layer may use: only what is below it.
const LAYERS: &[(&str, &[&str])] = &[
    ("main", &["cli", "config"]),
    ("lib", &[]),
    (
        "cli",
        &[
            "config", "server", "report", "transfer", "answer", "upstream", "store", "fixture",
            "domain",
        ],
    ),
    ("testing", &["config", "server", "answer", "upstream", "store", "fixture", "domain"]),
    (
        "server",
        &["config", "report", "transfer", "answer", "upstream", "store", "fixture", "domain"],
    ),
    ("report", &["store", "fixture", "domain"]),
    ("transfer", &["store", "fixture", "domain"]),
    ("answer", &["upstream", "store", "fixture", "domain"]),
    ("upstream", &["domain"]),
    ("store", &["domain"]),
    ("fixture", &["domain"]),
    ("config", &["domain"]),
    ("domain", &[]),
];

/// What is allowed all the same: where, what, and why. One that is not needed any more fails, too.
const EXCEPT: &[(&str, &str, &str)] = &[
    ("src/cli/ping.rs", "HTTP/1.1 200", "a client of our own door, which reads one line of HTTP"),
    ("src/store/rollup/row.rs", "status >= 400", "errors are counted where the rows are"),
    ("src/store/call_condition.rs", "status >= 400", "errors are filtered as reports count them"),
    (
        "src/domain/cassette/patterns.rs",
        "static PATTERNS",
        "compiled once, and never anything else: a constant that takes a moment to make",
    ),
    (
        "src/store/columns.rs",
        "static COMPRESSOR",
        "a compressor has 1 MB of tables, and no memory of what it compressed",
    ),
    (
        "tests/ledger.rs",
        "lines",
        "one contract for every backend; to be split when the second one comes",
    ),
];

const LONGEST: usize = 500;

/// Names that say nothing of what is inside.
const EMPTY_NAMES: &[&str] =
    &["utils", "util", "helpers", "helper", "common", "types", "manager", "handler", "handlers"];

/// Where a rule is broken.
#[derive(Debug, PartialEq, Eq)]
struct Breach {
    file: String,
    line: usize,
    what: String,
    says: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, what, says } = self;
        write!(f, "{file}:{line}: {what}\n    {says}")
    }
}

fn breach(source: &Source, line: usize, what: impl Into<String>, says: &str) -> Breach {
    Breach { file: source.file.clone(), line, what: what.into(), says: says.to_owned() }
}

/// Whether a file is the module `name` of the crate, or in it.
fn within(name: &str, file: &str) -> bool {
    layer(file) == Some(name)
}

/// Files that may name HTTP statuses.
fn has_statuses(file: &str) -> bool {
    within("server", file) || within("upstream", file) || file == "src/answer/failure.rs"
}

fn layer(file: &str) -> Option<&str> {
    let first = file.strip_prefix("src/")?.split('/').next()?;
    Some(first.strip_suffix(".rs").unwrap_or(first))
}

/// Part of the program, not of its tests.
fn is_ours(source: &Source) -> bool {
    source.file.starts_with("src/") && !source.file.ends_with("/tests.rs")
}

fn names(path: &[String], forbidden: &str) -> bool {
    let forbidden: Vec<&str> = forbidden.split("::").collect();
    // A cursor is over bytes in memory.
    path != ["std", "io", "Cursor"]
        && path.windows(forbidden.len()).any(|window| window == forbidden)
}

fn broken_by_names(source: &Source) -> Vec<Breach> {
    if !is_ours(source) {
        return Vec::new();
    }
    let mut breaches = Vec::new();
    for rule in RULES.iter().filter(|rule| (rule.holds_in)(&source.file)) {
        for (line, path) in source.paths() {
            if let Some(forbidden) = rule.forbidden.iter().find(|name| names(&path, name)) {
                let says = format!("{}: {}", rule.says, rule.because);
                breaches.push(breach(source, line, format!("names {forbidden}"), &says));
            }
        }
    }
    breaches
}

fn broken_by_layers(source: &Source) -> Vec<Breach> {
    let Some(layer) = layer(&source.file) else { return Vec::new() };
    let Some((_, below)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
        let says = "every layer has its place in LAYERS: say what it may use";
        return vec![breach(source, 1, format!("is in the unknown layer {layer}"), says)];
    };
    let says =
        "the arrows point downward only: what is below can be read, tested and changed alone";
    source
        .paths()
        .into_iter()
        .filter_map(|(line, path)| match path.as_slice() {
            [root, used, ..] if matches!(root.as_str(), "crate" | "reprise") => {
                Some((line, used.clone()))
            }
            _ => None,
        })
        // Items of the crate's root are no layer.
        .filter(|(_, used)| LAYERS.iter().any(|(name, _)| name == used))
        .filter(|(_, used)| used != layer && !below.contains(&used.as_str()))
        .map(|(line, used)| breach(source, line, format!("{layer} uses {used}"), says))
        .collect()
}

fn broken_by_dialects(source: &Source) -> Vec<Breach> {
    let file = &source.file;
    let sees_both = ["src/domain/translate", "src/domain/prepare"];
    let sees_both = sees_both.iter().any(|part| {
        file.strip_prefix(part).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    });
    if !within("domain", file) || sees_both {
        return Vec::new();
    }
    let sees = |dialect: &str| {
        let own = file.starts_with(&format!("src/domain/{dialect}"));
        let named =
            source.paths().into_iter().find(|(_, path)| path.iter().any(|part| part == dialect));
        if own { Some(1) } else { named.map(|(line, _)| line) }
    };
    match (sees("openai"), sees("anthropic")) {
        (Some(a), Some(b)) => {
            let says =
                "only translate and prepare see both dialects: each can change without the other";
            vec![breach(source, a.max(b), "names both dialects", says)]
        }
        _ => Vec::new(),
    }
}

fn broken_by_words(source: &Source) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (line, text) in source.strings() {
        if is_ours(source) && !within("store", &source.file) && is_sql(&text) {
            let says = "SQL stands only in the store: two backends are kept alike in one place";
            breaches.push(breach(source, line, format!("says {text:?}"), says));
        }
    }
    let http = has_statuses(&source.file);
    for (line, text) in source.code_and_strings() {
        let lower = text.to_lowercase();
        if is_ours(source)
            && !http
            && (lower.contains("status") || lower.contains("http/1"))
            && has_status(&text)
        {
            let says = "HTTP statuses stand only in server, upstream and the failure table: each \
                        failure has one row";
            breaches.push(breach(source, line, format!("says {:?}", text.trim()), says));
        }
    }
    for (line, text) in source.code() {
        if text.contains("#[allow(") || text.contains("#![allow(") {
            let says =
                "#[expect(lint, reason = …)]: it says why, and goes when it is not needed any more";
            breaches.push(breach(source, line, "says allow", says));
        }
        let item = text.trim_start().trim_start_matches("pub").trim_start();
        let item = item
            .strip_prefix('(')
            .and_then(|item| item.split_once(") "))
            .map_or(item, |(_, item)| item);
        // Rust has no other place for the allocator.
        let is_allocator = item.starts_with("static ALLOCATOR: ");
        if is_ours(source) && item.starts_with("static ") && !is_allocator {
            let says = "no globals: everything enters as an argument, so tests can give their own";
            breaches.push(breach(source, line, format!("says {:?}", text.trim()), says));
        }
    }
    breaches
}

fn is_sql(text: &str) -> bool {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let begins = |word: &str| text.starts_with(word);
    (begins("select ") && text.contains(" from "))
        || (begins("update ") && text.contains(" set "))
        || (begins("with ") && text.contains(" select "))
        || [
            "insert into ",
            "insert or ",
            "delete from ",
            "create table ",
            "create index ",
            "pragma ",
        ]
        .into_iter()
        .any(begins)
}

/// Whether a line has a number that reads as a status.
fn has_status(text: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '.')
        .any(|word| word.len() == 3 && word.parse::<u16>().is_ok_and(|n| (100..600).contains(&n)))
}

fn broken_by_shape(source: &Source) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let name = Path::new(&source.file).file_stem().unwrap().to_string_lossy().into_owned();
    if EMPTY_NAMES.contains(&name.as_str()) {
        let says = "a file is named for what is in it, so that it can be found and does not collect the rest";
        breaches.push(breach(source, 1, format!("is named {name}"), says));
    }
    let lines = source.text.lines().count();
    if lines > LONGEST {
        let says = "a file past 500 lines does more than one thing: split it";
        breaches.push(breach(source, lines, format!("has {lines} lines"), says));
    }
    if is_ours(source) && !source.text.starts_with("//!") {
        let says = "a file begins with what it is for and why it stands apart";
        breaches.push(breach(source, 1, "has no header", says));
    }
    breaches
}

/// Everything that is wrong with a file.
fn breaches(source: &Source) -> Vec<Breach> {
    let checks =
        [broken_by_names, broken_by_layers, broken_by_dialects, broken_by_words, broken_by_shape];
    checks.iter().flat_map(|check| check(source)).collect()
}

#[test]
fn the_house_keeps_its_rules() {
    let found: Vec<Breach> = sources().iter().flat_map(breaches).collect();
    let excepted = |breach: &Breach| {
        EXCEPT.iter().any(|(file, what, _)| breach.file == *file && breach.what.contains(what))
    };
    let broken: Vec<String> =
        found.iter().filter(|breach| !excepted(breach)).map(ToString::to_string).collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
    for (file, what, _) in EXCEPT {
        let needed = found.iter().any(|breach| breach.file == *file && breach.what.contains(what));
        assert!(needed, "{file} needs no exception for {what:?} any more: take it out of EXCEPT");
    }
}

#[test]
fn every_table_of_the_migrations_is_used_by_the_store() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tables = Vec::new();
    for file in fs::read_dir(root.join("migrations/sqlite")).unwrap() {
        let sql = fs::read_to_string(file.unwrap().path()).unwrap();
        let created = sql.lines().filter_map(|line| line.strip_prefix("create table "));
        tables.extend(created.map(|rest| rest.split_whitespace().next().unwrap().to_owned()));
    }
    assert!(tables.contains(&"exchange".to_owned()), "no tables found: {tables:?}");
    let spoken: Vec<String> = sources()
        .iter()
        .filter(|source| within("store", &source.file))
        .flat_map(Source::strings)
        .flat_map(|(_, text)| {
            text.split(|c: char| !c.is_alphanumeric() && c != '_')
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    let unused: Vec<&String> = tables.iter().filter(|table| !spoken.contains(table)).collect();
    assert!(
        unused.is_empty(),
        "no SQL in src/store names {unused:?}: a table that nobody writes is a promise broken"
    );
}

/// Cargo gives them to the program that it runs, too, which would warn of them.
#[test]
fn the_build_sets_no_variable_that_looks_like_a_setting() {
    let build = fs::read_to_string("build.rs").unwrap();
    let variables: Vec<_> = build.split("cargo:rustc-env=").skip(1).collect();
    assert!(!variables.is_empty());
    assert!(variables.iter().all(|name| !name.starts_with("REPRISE_")), "{build}");
}

#[test]
fn each_rule_fails_on_what_breaks_it() {
    let cases = [
        ("src/domain/x.rs", "use tokio::sync;", "names tokio"),
        ("src/domain/x.rs", "use std::io::{Cursor, Read};", "names std::io"),
        ("src/domain/x.rs", "use std::{fmt, fs::{self, File}};", "names std::fs"),
        ("src/domain/x.rs", "fn f() { let _ = std::env::var(\"X\"); }", "names std::env"),
        ("src/domain/x.rs", "fn f() { Instant::now(); }", "names Instant"),
        ("src/domain/x.rs", "fn f() { uuid::Uuid::now_v7(); }", "names Uuid::now_v7"),
        ("src/domain.rs", "use tracing as t;", "names tracing"),
        ("src/domain/cache.rs", "use super::openai;", "names openai"),
        ("src/report/x.rs", "use sqlx::query;", "names sqlx"),
        ("src/report/x.rs", "fn f() { q(\"select a \\\n  from call\"); }", "says \"select a"),
        ("src/report/x.rs", "const SQL: &str = r#\"insert into call\"#;", "says \"insert into"),
        ("src/answer/x.rs", "use http::{HeaderMap, StatusCode};", "names StatusCode"),
        ("src/answer/x.rs", "fn f(status: u16) -> bool { status == 529 }", "529"),
        ("src/cli/x.rs", "use std::{env, fs};", "names std::env"),
        ("src/answer.rs", "fn f() { tokio::spawn(async {}); }", "names tokio::spawn"),
        ("src/answer.rs", "fn f() { tokio::task::spawn(async {}); }", "names tokio::task::spawn"),
        ("src/store.rs", "use anyhow::Context;", "names anyhow"),
        ("src/domain/x.rs", "use crate::{domain::cache, store::Ledger};", "domain uses store"),
        ("src/store/x.rs", "use super::super::answer;", "store uses answer"),
        (
            "src/answer/x.rs",
            "fn f() { crate::config::ProcessEnv.get(\"X\"); }",
            "answer uses config",
        ),
        ("src/main.rs", "use reprise::store;", "main uses store"),
        ("src/middle/x.rs", "", "is in the unknown layer middle"),
        ("src/domain/x.rs", "use super::{anthropic, openai};", "names both dialects"),
        ("src/domain/openai/x.rs", "use crate::domain::anthropic::Usage;", "names both dialects"),
        ("src/domain/anthropic.rs", "fn f() -> super::openai::Chunk {}", "names both dialects"),
        ("src/cli.rs", "#[allow(dead_code)] fn f() {}", "says allow"),
        ("tests/x.rs", "#![allow(clippy::pedantic)]", "says allow"),
        (
            "src/answer.rs",
            "pub(crate) static SEEN: Mutex<u8> = Mutex::new(0);",
            "says \"pub(crate) static",
        ),
        ("src/server/utils.rs", "", "is named utils"),
        ("tests/proxy/helpers.rs", "", "is named helpers"),
        ("tests/x.rs", &"\n".repeat(LONGEST + 1), "has 501 lines"),
        ("src/server/x.rs", "// nothing", "has no header"),
    ];
    for (file, text, expected) in cases {
        let header = if expected == "has no header" { "" } else { "//! For a test.\n" };
        let text =
            if file.starts_with("src/") { format!("{header}{text}") } else { text.to_owned() };
        let found = breaches(&Source::new(file, &*text));
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(
            found.iter().any(|breach| breach.what.contains(expected)),
            "{file}: {text}\n{told:#?}"
        );
    }
    let told = breaches(&Source::new("src/domain/x.rs", "//! For a test.\n\nuse sqlx::query;"))[0]
        .to_string();
    assert!(told.starts_with("src/domain/x.rs:3: names sqlx\n    the core does no IO"), "{told}");
}

#[test]
fn what_breaks_no_rule_is_let_pass() {
    let cases = [
        ("src/domain/x.rs", "// tokio::spawn, /* select a from b */\n/* use sqlx; */ /// std::fs"),
        (
            "src/domain/x.rs",
            "const S: &str = \"use tokio::spawn; \\\" use sqlx;\"; const C: char = '\"';",
        ),
        ("src/domain/x.rs", "const S: &str = r#\"use \"tokio\";\"#; fn f<'a>(x: &'a str) {}"),
        (
            "src/domain/x.rs",
            "#[cfg(test)]\nmod tests { use std::fs; fn f() { tokio::spawn(g()) } }",
        ),
        ("src/domain.rs", "pub mod anthropic;\npub mod openai;"),
        ("src/domain/translate/x.rs", "use crate::domain::{anthropic, openai};"),
        ("src/server/x.rs", "use http::StatusCode; use crate::{answer::Answers, domain::openai};"),
        ("src/answer/failure.rs", "fn f(status: u16) -> bool { status == 529 }"),
        ("src/store/x.rs", "use super::Error; const S: &str = \"select a from b\";"),
        ("src/cli/x.rs", "const V: &str = env!(\"CARGO_PKG_VERSION\"); use anyhow::Context;"),
        ("src/report/x.rs", "const S: &str = \"select a model\"; fn f<T: 'static>(status: u16) {}"),
        ("src/answer/x.rs", "#[expect(dead_code, reason = \"why\")] fn f() { tasks.spawn(g()); }"),
        ("tests/x.rs", "use std::env; use reprise::domain::{openai, anthropic};"),
    ];
    for (file, text) in cases {
        let text = format!("//! For a test.\n{text}");
        assert_eq!(breaches(&Source::new(file, &*text)), [], "{file}: {text}");
    }
}
