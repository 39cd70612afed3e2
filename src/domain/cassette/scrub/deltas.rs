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
        let deltas: Vec<DeltaText> =
            events.iter().enumerate().filter_map(|(at, event)| delta_text(at, event)).collect();
        let mut targets: Vec<_> = deltas.iter().map(|delta| delta.target).collect();
        targets.sort_unstable();
        targets.dedup();
        for target in targets {
            let deltas: Vec<&DeltaText> =
                deltas.iter().filter(|delta| delta.target == target).collect();
            let before: String = deltas.iter().map(|delta| delta.text.as_str()).collect();
            let Some(after) = self.text(&before) else { continue };
            for (delta, text) in deltas.iter().zip(distribute(&deltas, &before, &after)) {
                if delta.text != text {
                    set_text(&mut events[delta.event], target.1, &text);
                }
            }
        }
    }
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
fn distribute(deltas: &[&DeltaText], before: &str, after: &str) -> Vec<String> {
    let same = |pairs: &mut dyn Iterator<Item = (char, char)>| {
        pairs.take_while(|(a, b)| a == b).map(|(same, _)| same.len_utf8()).sum::<usize>()
    };
    let begin = same(&mut before.chars().zip(after.chars()));
    let rest = (&before[begin..], &after[begin..]);
    let tail = same(&mut rest.0.chars().rev().zip(rest.1.chars().rev()));
    let end = before.len() - tail;
    let changed = &after[begin..after.len() - tail];
    let mut from = 0;
    let mut is_placed = false;
    let share = |delta: &&DeltaText| {
        let to = from + delta.text.len();
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

fn set_text(event: &mut Event, field: &str, text: &str) {
    let Some((name, data)) = framed(&event.bytes) else { return };
    let Ok(mut tree) = Tree::parse(data) else { return };
    let path = format!("delta.{field}");
    tree.map(&mut String::new(), &mut |at, _| (at == path).then(|| text.to_owned()));
    event.bytes = frame(name, &tree.compact());
}
