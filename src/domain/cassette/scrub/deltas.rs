//! Removal of secrets that are spread over several deltas: a model repeats a key token by token.
//!
//! The placeholder goes into the event in which the secret begins, and the rest of the secret is removed from the events
//! that follow. No event is added or dropped, and the events before and after keep their bytes.

use super::{
    super::{
        Event,
        event::{frame, framed},
        tree::Tree,
    },
    Scrubber,
};

/// Fields of deltas that are concatenated.
const TEXT_FIELDS: [&str; 3] = ["text", "thinking", "partial_json"];

/// The part of a block's text that one delta brings.
struct DeltaText {
    /// Index of the event.
    event: usize,
    /// Index of the block, and the delta's field.
    target: (u64, &'static str),
    text: String,
}

impl Scrubber {
    /// Removes secrets from the concatenated deltas of each block.
    pub(super) fn scrub_deltas(&self, events: &mut [Event]) {
        for deltas in blocks(events).chunk_by(|a, b| a.target == b.target) {
            let texts: Vec<&str> = deltas.iter().map(|delta| &*delta.text).collect();
            let before = texts.concat();
            let Some(after) = self.text(&before) else { continue };
            for (delta, text) in deltas.iter().zip(distribute(&texts, &before, &after)) {
                if delta.text != text {
                    set_text(&mut events[delta.event], delta.target.1, &text);
                }
            }
        }
    }

    /// Secrets that no delta has alone: the index of the event in which the first of a block begins, and their kinds.
    pub(super) fn find_spread(&self, events: &[Event]) -> Vec<(usize, Vec<String>)> {
        let spread = |deltas: &[DeltaText]| {
            let texts: Vec<String> = deltas
                .iter()
                .map(|delta| self.text(&delta.text).unwrap_or_else(|| delta.text.clone()))
                .collect();
            let before = texts.concat();
            let mut kinds = Vec::new();
            let after = self.scrubbed(&before, &mut kinds)?;
            let begin = same(before.chars().zip(after.chars()));
            let mut end = 0;
            let ends = texts.iter().position(|text| {
                end += text.len();
                begin < end
            });
            Some((deltas[ends?].event, kinds))
        };
        let blocks = blocks(events);
        blocks.chunk_by(|a, b| a.target == b.target).filter_map(spread).collect()
    }
}

/// The deltas of all blocks, block by block.
fn blocks(events: &[Event]) -> Vec<DeltaText> {
    let mut deltas: Vec<DeltaText> =
        events.iter().enumerate().filter_map(|(at, event)| delta_text(at, event)).collect();
    deltas.sort_by_key(|delta| delta.target);
    deltas
}

fn delta_text(at: usize, event: &Event) -> Option<DeltaText> {
    let tree = Tree::parse(framed(&event.bytes)?.1).ok()?;
    let block = tree.get("index")?.number()?;
    let delta = tree.get("delta")?;
    let found = TEXT_FIELDS.iter().find_map(|name| Some((*name, delta.get(name)?.text()?)));
    found.map(|(name, text)| DeltaText {
        event: at,
        target: (block, name),
        text: text.into_owned(),
    })
}

/// Distributes a changed text over the deltas: text before the first and after the last change stays where it is, and
/// everything between goes into the delta in which it begins.
fn distribute(deltas: &[&str], before: &str, after: &str) -> Vec<String> {
    let begin = same(before.chars().zip(after.chars()));
    let rest = (&before[begin..], &after[begin..]);
    let tail = same(rest.0.chars().rev().zip(rest.1.chars().rev()));
    let end = before.len() - tail;
    let changed = &after[begin..after.len() - tail];
    let mut from = 0;
    let mut is_placed = false;
    let share = |delta: &&str| {
        let to = from + delta.len();
        let mut share = before[from..to.min(begin).max(from)].to_owned();
        // A change at the very end of a delta begins in the next one, if there is one.
        if !is_placed && (begin < to || to == before.len()) {
            share += changed;
            is_placed = true;
        }
        share += &before[from.max(end).min(to)..to];
        from = to;
        share
    };
    deltas.iter().map(share).collect()
}

/// Length of the equal characters at the beginning.
fn same(pairs: impl Iterator<Item = (char, char)>) -> usize {
    pairs.take_while(|(a, b)| a == b).map(|(same, _)| same.len_utf8()).sum()
}

fn set_text(event: &mut Event, field: &str, text: &str) {
    let Some((name, data)) = framed(&event.bytes) else { return };
    let Ok(mut tree) = Tree::parse(data) else { return };
    let path = format!("delta.{field}");
    tree.map(&mut String::new(), &mut |at, _| (at == path).then(|| text.to_owned()));
    event.bytes = frame(name, &tree.compact());
}
