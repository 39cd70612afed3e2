//! Names that this program had for things which have a standard name. They do not come back.

use super::{is_ours, source::Source, sources};

/// Each with the name that took its place.
const TYPES: &[(&str, &str)] = &[
    ("Desk", "Inflight"),
    ("Seat", "the guard of Inflight"),
    ("Guest", "JoinedCall"),
    ("Purse", "BudgetTracker"),
    ("Books", "Spending"),
    ("Course", "Attempt"),
    ("Earlier", "PriorParts"),
    ("Ending", "Finish"),
    ("Question", "PreparedRequest"),
    ("Asker", "Caller"),
    ("Said", "UpstreamRequest"),
    ("Spoken", "ApiHeaders"),
    ("House", "PrepareContext"),
    ("Texts", "CanonicalRequest"),
    ("Tally", "StreamSummary"),
    ("Stage", "Player"),
    ("Actor", "Slot"),
    ("Cue", "Match"),
    ("Past", "ExchangeSummary"),
    ("InVain", "Unanswered"),
    ("Door", "Api"),
    ("Dialect", "Api"),
    ("Known", "PersistedHashes"),
    ("Disbelief", "SuspendGuard"),
    ("Learned", "Quirks"),
];
const FUNCTIONS: &[(&str, &str)] = &[("survive", "catch_panic"), ("spoken", "render_rejection")];
const FILES: &[(&str, &str)] = &[
    ("desk", "inflight"),
    ("keeping", "online_prune"),
    ("lost", "recovery"),
    ("past", "lookup"),
    ("guest", "joined"),
    ("again", "retranslate"),
    ("clear", "invalidate"),
];

/// Every old name that a file has, and the line to say so.
fn old_names(source: &Source) -> Vec<(String, String)> {
    let file = &source.file;
    let stem = file.rsplit('/').next().and_then(|name| name.strip_suffix(".rs"));
    let items = source.items().into_iter().map(|(line, keyword, name)| {
        let old = match keyword.as_str() {
            "fn" => FUNCTIONS,
            "struct" | "enum" | "union" | "trait" | "type" => TYPES,
            _ => &[],
        };
        (line, name, old)
    });
    items
        .chain(stem.map(|stem| (1, stem.to_owned(), FILES)))
        .filter_map(|(line, name, old)| {
            let (_, new) = old.iter().find(|(old, _)| *old == name)?;
            let told = format!("{file}:{line}: {name} is an old name: the standard one is {new}");
            Some((name, told))
        })
        .collect()
}

#[test]
fn old_names_do_not_come_back() {
    let sources = sources();
    let found: Vec<String> = sources
        .iter()
        .filter(|source| is_ours(source))
        .flat_map(|source| old_names(source).into_iter().map(|(_, told)| told))
        .collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn an_old_name_is_found_where_it_is_defined() {
    let cases = [
        ("src/x.rs", "pub(crate) struct Desk<'a>(&'a str);", vec!["Desk"]),
        ("src/x.rs", "fn f() { enum Said {} }", vec!["Said"]),
        ("src/x.rs", "async fn survive() {}", vec!["survive"]),
        ("src/x/lost.rs", "", vec!["lost"]),
        (
            "src/x.rs",
            "// struct Desk;\nconst S: &str = \"struct Desk\"; struct Desks; fn desk() {}",
            vec![],
        ),
    ];
    for (file, text, expected) in cases {
        let found: Vec<String> =
            old_names(&Source::new(file, text)).into_iter().map(|(name, _)| name).collect();
        assert_eq!(found, expected, "{text}");
    }
}
