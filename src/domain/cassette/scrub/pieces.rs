//! Secrets that come in pieces: a model repeats a key token by token, and no event has the whole of it.
//!
//! The placeholder stands in the event in which the secret begins; what the following ones have of it is taken out of
//! them. No event is added or left out, and those before and after keep their bytes.

use super::{
    super::{
        Event,
        event::{frame, framed},
        tree::Tree,
    },
    Scrubber,
};

/// Fields of deltas whose texts are one text.
const GROWING: [&str; 3] = ["text", "thinking", "partial_json"];

/// A delta's part of a block's text.
struct Piece {
    /// The event.
    event: usize,
    /// The block, and the field of its delta.
    of: (u64, &'static str),
    text: String,
}

impl Scrubber {
    /// Takes out what only the events of a block together say.
    pub(super) fn join_pieces(&self, events: &mut [Event]) {
        let pieces: Vec<Piece> =
            events.iter().enumerate().filter_map(|(at, event)| piece(at, event)).collect();
        let mut blocks: Vec<_> = pieces.iter().map(|piece| piece.of).collect();
        blocks.sort_unstable();
        blocks.dedup();
        for block in blocks {
            let pieces: Vec<&Piece> = pieces.iter().filter(|piece| piece.of == block).collect();
            let before: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
            let Some(after) = self.text(&before) else { continue };
            for (piece, text) in pieces.iter().zip(shares(&pieces, &before, &after)) {
                if piece.text != text {
                    put(&mut events[piece.event], piece.of.1, &text);
                }
            }
        }
    }
}

fn piece(at: usize, event: &Event) -> Option<Piece> {
    let tree = Tree::parse(framed(&event.bytes)?.1).ok()?;
    let block = tree.get("index")?.number()?;
    let delta = tree.get("delta")?;
    let found = GROWING.iter().find_map(|name| Some((*name, delta.get(name)?.text()?)));
    found.map(|(name, text)| Piece { event: at, of: (block, name), text: text.into_owned() })
}

/// What each piece says of the new text: the same as before up to the first change and from the last one on; all
/// between stands in the piece in which it begins.
fn shares(pieces: &[&Piece], before: &str, after: &str) -> Vec<String> {
    let same = |pairs: &mut dyn Iterator<Item = (char, char)>| {
        pairs.take_while(|(a, b)| a == b).map(|(same, _)| same.len_utf8()).sum::<usize>()
    };
    let begin = same(&mut before.chars().zip(after.chars()));
    let rest = (&before[begin..], &after[begin..]);
    let tail = same(&mut rest.0.chars().rev().zip(rest.1.chars().rev()));
    let end = before.len() - tail;
    let changed = &after[begin..after.len() - tail];
    let mut from = 0;
    let mut is_told = false;
    let share = |piece: &&Piece| {
        let to = from + piece.text.len();
        let mut share = before[from..to.min(begin).max(from)].to_owned();
        // At the very end of a piece it begins in the next, if there is one that goes on.
        if !is_told && (begin < to || to == before.len()) {
            share += changed;
            is_told = true;
        }
        share += &before[from.max(end).min(to)..to];
        from = to;
        share
    };
    pieces.iter().map(share).collect()
}

fn put(event: &mut Event, field: &str, text: &str) {
    let Some((name, data)) = framed(&event.bytes) else { return };
    let Ok(mut tree) = Tree::parse(data) else { return };
    let path = format!("delta.{field}");
    tree.map(&mut String::new(), &mut |at, _| (at == path).then(|| text.to_owned()));
    event.bytes = frame(name, &tree.compact());
}
