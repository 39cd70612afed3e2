//! What the world really sends, held against the translation: recorded answers of Claude, and requests of real clients.
//!
//! The corpus is other people's, so it is not part of the repository. `REPRISE_CORPUS` names the folder it is in;
//! without it these tests say that they are skipped, and pass.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod answers;
mod cassettes;
mod heard;
mod pairs;
mod requests;
pub(crate) mod streams;

use std::{fs, path::Path};

use serde_json::Value;

/// Every line of a file of the corpus; none, and a word on it, without a corpus.
fn lines(file: &str) -> Vec<Value> {
    let Some(folder) = std::env::var_os("REPRISE_CORPUS").filter(|folder| !folder.is_empty())
    else {
        say("skipped: REPRISE_CORPUS is not set");
        return Vec::new();
    };
    let path = Path::new(&folder).join(file);
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!lines.is_empty(), "{} has nothing in it", path.display());
    lines
}

/// Tells whoever runs the tests.
#[expect(
    clippy::print_stderr,
    reason = "a test that is skipped must not look like one that passed"
)]
fn say(line: &str) {
    eprintln!("{line}");
}
