//! Secrets in the text of a fixture file, by line: those that scrubbing would remove, and those that it could not.

use std::borrow::Cow;

use super::{Scrubber, described, fields::Names, is_sealed};
use crate::domain::{
    cassette::{
        Event,
        layout::resolve_blob,
        patterns::Announced,
        tree::{JsonNode, Tree, decode},
    },
    diff::{PathStep, within},
};

/// A secret in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSecret {
    /// One-based line.
    pub line: usize,
    /// The path of its text in the file; empty if the file is no JSON.
    pub path: String,
    /// The kind of secret, never its value.
    pub what: String,
}

/// The search in one file.
struct Search<'a> {
    scrubber: &'a Scrubber,
    blobs: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    /// Byte offset, path and kind.
    found: Vec<(usize, String, String)>,
}

impl Scrubber {
    /// Finds the secrets in the text of a file, in its blobs, and in the deltas of its events together. `blobs` reads a
    /// blob by its name.
    pub fn find(&self, text: &str, blobs: &dyn Fn(&str) -> Option<Vec<u8>>) -> Vec<FoundSecret> {
        let mut search = Search { scrubber: self, blobs, found: Vec::new() };
        // Of the same length, so that offsets stay.
        let json = text.replacen('\u{feff}', "   ", usize::from(text.starts_with('\u{feff}')));
        if let Ok(tree) = Tree::parse(&json) {
            search.walk(&tree, &mut String::new(), None);
            search.spread(&tree, &json);
        } else {
            let mut at = 0;
            for line in text.split_inclusive('\n') {
                search.check(at, "", line, None);
                at += line.len();
            }
        }
        search.found.sort();
        search.found.dedup();
        let (mut line, mut counted) = (1, 0);
        let located = search.found.into_iter().map(|(at, path, what)| {
            line += memchr::memchr_iter(b'\n', &text.as_bytes()[counted..at]).count();
            counted = at;
            FoundSecret { line, path, what }
        });
        located.collect()
    }
}

impl Search<'_> {
    fn walk(&mut self, tree: &Tree<'_>, path: &mut String, announced: Option<Announced>) {
        match &tree.node {
            JsonNode::Scalar(_) => {}
            JsonNode::Text(literal) => self.check(tree.at, path, &decode(literal), announced),
            JsonNode::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    within(path, &PathStep::Item(at), |path| self.walk(item, path, announced));
                }
            }
            JsonNode::Object(fields) => {
                let names = Names::of(fields, announced);
                for (name, value) in fields {
                    let name = decode(name);
                    self.check(value.at, path, &name, None);
                    let announced = names.announced(&name);
                    within(path, &PathStep::Field(&name), |path| {
                        self.walk(value, path, announced);
                    });
                }
            }
        }
    }

    fn check(&mut self, at: usize, path: &str, text: &str, announced: Option<Announced>) {
        let text = match resolve_blob(text, self.blobs) {
            Some(Ok(content)) => Cow::Owned(content),
            // A blob that is missing is a finding of its own.
            Some(Err(_)) | None => Cow::Borrowed(text),
        };
        let mut kinds = Vec::new();
        if is_sealed(path, &text) {
            kinds.extend(self.scrubber.find_plain(&text));
        } else {
            self.scrubber.scrubbed(&text, &mut kinds);
        }
        if kinds.is_empty() {
            let named = announced.and_then(|announced| announced.secret(&text)).map(described);
            kinds.extend(named.or_else(|| self.scrubber.find_in_base64(&text)));
        }
        // A secret may be in the path as the name of a field.
        let path = if kinds.is_empty() { None } else { self.scrubber.text(path) }
            .unwrap_or_else(|| path.to_owned());
        self.found.extend(kinds.into_iter().map(|kind| (at, path.clone(), kind)));
    }

    /// Finds secrets that a model wrote in several events.
    fn spread(&mut self, file: &Tree<'_>, text: &str) {
        let events = file.get("response").and_then(|response| response.get("events")?.items());
        let (places, events): (Vec<_>, Vec<Event>) = events
            .into_iter()
            .flatten()
            .enumerate()
            .filter_map(|(index, item)| Some(((index, item.at), Event::read(item, text).ok()?)))
            .unzip();
        for (event, kinds) in self.scrubber.find_spread(&events) {
            let (index, at) = places[event];
            let path = format!("response.events[{index}]");
            let spread =
                kinds.into_iter().map(|kind| format!("{kind}, spread over several events"));
            self.found.extend(spread.map(|what| (at, path.clone(), what)));
        }
    }
}
