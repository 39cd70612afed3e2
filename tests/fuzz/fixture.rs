//! Fixture files: each is read whole, or what is wrong with it is said with its line; and one that was read is written so
//! that it reads as the same.

use std::collections::HashMap;

use reprise::domain::{
    anthropic::assemble,
    cassette::{Blob, Cassette, FileFinding, Rendered, Scrubber, Shape, read},
};
use serde_json::Value;

use super::edit::edit;

/// A file; after a zero, changes to its structure.
pub(super) fn check(data: &[u8]) {
    let split = data.iter().position(|byte| *byte == 0);
    let (text, edits) = split.map_or((data, &[][..]), |at| (&data[..at], &data[at + 1..]));
    let Ok(text) = std::str::from_utf8(text) else { return };
    let read_text = read_checked(text, &[]);
    let changed =
        serde_json::from_str::<Value>(text).ok().filter(|_| !edits.is_empty()).map(|mut value| {
            edit(&mut value, edits);
            format!("{value:#}")
        });
    let read_changed = changed.and_then(|text| read_checked(&text, &[]));
    for cassette in [read_text, read_changed].into_iter().flatten() {
        check_cassette(&cassette);
        let mut clean = cassette.clone();
        let scrubber = Scrubber::default();
        let remaining = scrubber.cassette(&mut clean);
        let mut again = clean.clone();
        assert_eq!(scrubber.cassette(&mut again), remaining, "scrubbed twice");
        assert_eq!(again, clean, "scrubbed twice");
        check_cassette(&clean);
    }
}

/// Reads a file. Without a cassette there is a finding that says why.
fn read_checked(text: &str, blobs: &[Blob]) -> Option<Cassette> {
    let blobs: HashMap<&str, &[u8]> =
        blobs.iter().map(|blob| (blob.name.as_str(), blob.bytes.as_slice())).collect();
    let (cassette, findings) = read(text, &|name| blobs.get(name).map(|bytes| bytes.to_vec()));
    let lines = text.lines().count().max(1);
    for FileFinding { line, what, harmless: _ } in &findings {
        assert!(
            (1..=lines + 1).contains(line) && !what.is_empty(),
            "line {line} of {lines}: {what}"
        );
    }
    assert_eq!(
        cassette.is_none(),
        findings.iter().any(|finding| !finding.harmless),
        "{findings:?}"
    );
    cassette
}

fn check_cassette(cassette: &Cassette) {
    let Rendered { text, blobs } = cassette.render();
    let again = read_checked(&text, &blobs);
    assert_eq!(again.as_ref(), Some(cassette), "written and read:\n{text}");
    assert_eq!(cassette.render(), Rendered { text, blobs }, "written twice");
    // All that a replay and a report make of it.
    let recording = cassette.recording();
    let _ = (assemble(&recording), cassette.last_user_text(), cassette.response.is_complete());
    let shape = Shape::of(&cassette.response, &cassette.model());
    assert_eq!(shape.changes(&shape).len(), 0, "no answer differs from itself");
    if let Some(request) = &cassette.upstream {
        let scrubber = Scrubber::default();
        assert_eq!(request.key(&scrubber), request.key(&scrubber));
        assert!(request.changed(request, &scrubber).is_none(), "no request differs from itself");
    }
}
