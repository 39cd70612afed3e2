//! Deltas in larger pieces: of an answer that is there already, a client gets a few chunks instead of one a word, and has
//! less to do for the same text.

use super::field::Field;
use crate::domain::{
    anthropic::Event,
    json::{JsonString, Raw, inside},
};

/// Length in bytes of the first piece, so that something is shown at once, and of all others.
const FIRST: usize = 64;
const OTHERS: usize = 4096;

/// Joins deltas that continue the same field of the same block.
#[derive(Debug)]
pub(super) struct DeltaMerger {
    /// Length at which a piece is told.
    enough: usize,
    held: Option<Piece>,
}

#[derive(Debug)]
struct Piece {
    block: usize,
    field: Field,
    text: String,
}

impl Default for DeltaMerger {
    fn default() -> Self {
        Self { enough: FIRST, held: None }
    }
}

impl DeltaMerger {
    /// Tells what is held as soon as it is enough, or something else comes.
    pub(super) fn put<E>(
        &mut self,
        event: Event<'_>,
        tell: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Event::BlockDelta { index: block, delta } = &event else {
            self.release(tell)?;
            return tell(event);
        };
        let Some((field, literal)) = Field::of(delta) else {
            // A citation is of the text as far as it has come.
            self.release(tell)?;
            return tell(event);
        };
        if self.held.as_ref().is_some_and(|held| (held.block, held.field) != (*block, field)) {
            self.release(tell)?;
        }
        let new = || Piece { block: *block, field, text: String::new() };
        let held = self.held.get_or_insert_with(new);
        held.text.push_str(inside(literal));
        if held.text.len() < self.enough { Ok(()) } else { self.release(tell) }
    }

    fn release<E>(&mut self, tell: &mut impl FnMut(Event<'_>) -> Result<(), E>) -> Result<(), E> {
        let Some(Piece { block, field, text }) = self.held.take() else { return Ok(()) };
        self.enough = OTHERS;
        let text = JsonString::of_inside(text);
        tell(field.delta(block, Raw::of(&text).value()))
    }
}
