//! The order of a stream's events: one content block after the other, each with its start, deltas of its kind and its
//! stop (`reference/anthropic-api.md` §3).
//!
//! A gateway may lose events, repeat them, or mix those of two blocks. All readers of a stream see its events through
//! [`EventOrder`], so that a client that streams and one that does not get the same answer from them. It gives each
//! block a number of its own, and mends by three rules: a text or thinking that does not belong to an open block begins
//! a block; a start ends the text or thinking before it; everything else that does not belong to an open block is left
//! out.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::event::{BlockStart, Delta, Event};

/// Puts the events of a stream in order, and notes if they were not.
#[derive(Debug, Default)]
pub struct EventOrder {
    /// By number.
    blocks: Vec<Block>,
    /// The number of the last block of each index.
    numbers: HashMap<usize, usize>,
    /// The index that the next block must have.
    next: NextIndex,
    /// True once the answer has said why it ends.
    ends: bool,
    is_odd: bool,
}

/// The index of the next block.
#[derive(Debug, Clone, Copy)]
enum NextIndex {
    /// The first: blocks that came with `message_start` may count, or not.
    First {
        /// Number of those blocks.
        given: usize,
    },
    /// Any other.
    Is(usize),
}

impl Default for NextIndex {
    fn default() -> Self {
        Self::First { given: 0 }
    }
}

#[derive(Debug)]
struct Block {
    index: usize,
    kind: BlockDeltas,
    is_open: bool,
}

/// The deltas that a block takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockDeltas {
    /// Text and citations.
    Text,
    /// Thinking and its signature.
    Thinking,
    /// The input of a tool.
    Input,
    /// None that is known.
    None,
    /// Any: a block of a later version, or one of Anthropic's own tools.
    Any,
}

impl BlockDeltas {
    const fn of(block: &BlockStart) -> Self {
        match block {
            BlockStart::Text { .. } => Self::Text,
            BlockStart::Thinking { .. } => Self::Thinking,
            BlockStart::ToolUse { .. } => Self::Input,
            BlockStart::RedactedThinking { .. } | BlockStart::Fallback { .. } => Self::None,
            BlockStart::ServerToolUse | BlockStart::Unknown => Self::Any,
        }
    }

    const fn take(self, delta: &Delta<'_>) -> bool {
        match delta {
            Delta::Text(_) | Delta::Citation(_) => matches!(self, Self::Text | Self::Any),
            Delta::Thinking(_) | Delta::Signature(_) => matches!(self, Self::Thinking | Self::Any),
            Delta::Json(_) => matches!(self, Self::Input | Self::Any),
            Delta::Unknown(_) => true,
        }
    }

    /// True if such a block ends where another begins. The inputs of several calls may come at once.
    const fn is_exclusive(self) -> bool {
        matches!(self, Self::Text | Self::Thinking)
    }
}

impl EventOrder {
    /// True if an event was not where it belongs: parts of the answer may be lost.
    pub const fn is_odd(&self) -> bool {
        self.is_odd
    }

    /// True if a delta of this kind belongs to the open block of this index, and the answer has not said why it ends.
    pub(super) fn expects(&self, index: usize, kind: BlockDeltas) -> bool {
        !self.ends
            && self.open(index).is_some_and(|number| {
                let of = self.blocks[number].kind;
                of == kind || of == BlockDeltas::Any
            })
    }

    /// True if the block of this index has ended, and no other began since.
    pub(super) fn has_just_ended(&self, index: usize) -> bool {
        self.blocks.last().is_some_and(|last| last.index == index && !last.is_open)
            && self.numbers.contains_key(&index)
    }

    /// Tells the events that `event` stands for, with the numbers of their blocks as indices.
    pub fn put<'a, E>(
        &mut self,
        event: Event<'a>,
        tell: &mut impl FnMut(Event<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        match event {
            Event::MessageStart(start) => {
                // After a pause, blocks are counted from zero again.
                self.numbers.clear();
                (self.next, self.ends) = (NextIndex::First { given: start.content.len() }, false);
                tell(Event::MessageStart(start))
            }
            Event::BlockStart { index, block, raw } => {
                self.is_odd |= self.ends || !self.is_next(index);
                self.begin(index, block, raw, tell)
            }
            Event::BlockDelta { index, delta } => {
                self.is_odd |= self.ends;
                let number = self.open(index).filter(|at| self.blocks[*at].kind.take(&delta));
                if let Some(number) = number {
                    return tell(Event::BlockDelta { index: number, delta });
                }
                self.is_odd = true;
                let Some((block, raw)) = implied(&delta) else { return Ok(()) };
                self.begin(index, block, raw, tell)?;
                tell(Event::BlockDelta { index: self.blocks.len() - 1, delta })
            }
            Event::BlockStop { index } => {
                let open = self.open(index);
                self.is_odd |= open.is_none();
                open.map_or(Ok(()), |number| self.end(number, tell))
            }
            Event::MessageDelta(last) => {
                self.ends |= last.delta.stop_reason.is_some();
                tell(Event::MessageDelta(last))
            }
            Event::MessageStop => {
                for number in 0..self.blocks.len() {
                    if self.blocks[number].is_open {
                        self.is_odd = true;
                        self.end(number, tell)?;
                    }
                }
                tell(Event::MessageStop)
            }
            Event::Ping | Event::Error(_) | Event::Unknown => tell(event),
        }
    }

    fn is_next(&self, index: usize) -> bool {
        match self.next {
            NextIndex::First { given } => index == 0 || index == given,
            NextIndex::Is(next) => index == next,
        }
    }

    /// The number of the open block of this index.
    fn open(&self, index: usize) -> Option<usize> {
        // Nearly always it is the last.
        let last = self.blocks.len().checked_sub(1)?;
        if self.blocks[last].index == index && self.blocks[last].is_open {
            return Some(last);
        }
        self.numbers.get(&index).copied().filter(|number| self.blocks[*number].is_open)
    }

    fn begin<'a, E>(
        &mut self,
        index: usize,
        block: BlockStart,
        raw: &'a RawValue,
        tell: &mut impl FnMut(Event<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some(last) = self.blocks.len().checked_sub(1)
            && self.blocks[last].is_open
        {
            self.is_odd = true;
            if self.blocks[last].kind.is_exclusive() {
                self.end(last, tell)?;
            }
        }
        let number = self.blocks.len();
        self.blocks.push(Block { index, kind: BlockDeltas::of(&block), is_open: true });
        self.numbers.insert(index, number);
        self.next = NextIndex::Is(index.saturating_add(1));
        tell(Event::BlockStart { index: number, block, raw })
    }

    fn end<'a, E>(
        &mut self,
        number: usize,
        tell: &mut impl FnMut(Event<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.blocks[number].is_open = false;
        tell(Event::BlockStop { index: number })
    }
}

/// The beginning of the block that a delta without one belongs to. A text says all by itself; an input or a signature
/// says nothing without its block.
fn implied(delta: &Delta<'_>) -> Option<(BlockStart, &'static RawValue)> {
    let (block, raw) = match delta {
        _ if !delta.says_something() => return None,
        Delta::Text(_) => (
            BlockStart::Text { text: String::new(), citations: Vec::new() },
            r#"{"type":"text","text":""}"#,
        ),
        Delta::Thinking(_) => (
            BlockStart::Thinking { thinking: String::new(), signature: String::new() },
            r#"{"type":"thinking","thinking":"","signature":""}"#,
        ),
        Delta::Json(_) | Delta::Signature(_) | Delta::Citation(_) | Delta::Unknown(_) => {
            return None;
        }
    };
    Some((block, serde_json::from_str(raw).ok()?))
}

/// Recognizes a delta of text, thinking or input by its first and last bytes; the bytes between are not read. Returns the
/// index of its block, and the kind of block that it belongs to.
pub(super) fn known_delta(event: &[u8]) -> Option<(usize, BlockDeltas)> {
    const FRAME: &[u8] =
        b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":";
    let rest = event.strip_prefix(FRAME)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let index = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    let delta = rest[digits..].strip_prefix(b",\"delta\":{\"type\":\"")?;
    let kind = if delta.starts_with(b"text_delta\"") {
        BlockDeltas::Text
    } else if delta.starts_with(b"thinking_delta\"") {
        BlockDeltas::Thinking
    } else if delta.starts_with(b"input_json_delta\"") {
        BlockDeltas::Input
    } else {
        return None;
    };
    delta.trim_ascii_end().ends_with(b"}").then_some((index, kind))
}
