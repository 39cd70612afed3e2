//! Pairs of surrogates that are split over two deltas: the first half waits for the second, so that every chunk is a
//! text of its own.

use std::collections::HashMap;

use serde_json::value::RawValue;

use crate::domain::{
    anthropic::{Event, Field},
    json::{JsonString, REPLACEMENT, Raw, inside, trailing_half, without_lone_surrogates},
};

/// The halves that wait, by their blocks.
#[derive(Debug, Default)]
pub(super) struct SplitPairs(HashMap<usize, WaitingHalf>);

#[derive(Debug)]
struct WaitingHalf {
    field: Field,
    half: String,
}

impl SplitPairs {
    /// Tells the event with whole pairs. A half whose other half has not come when its block ends is told as U+FFFD.
    pub(super) fn join<E>(
        &mut self,
        event: Event<'_>,
        tell: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match event {
            Event::BlockDelta { index, delta } => match Field::of(&delta) {
                Some((field, literal)) => self.push(index, field, literal, tell),
                None => tell(Event::BlockDelta { index, delta }),
            },
            Event::BlockStop { index } => {
                self.release(index, tell)?;
                tell(event)
            }
            // Other events may stand between the two halves.
            _ => tell(event),
        }
    }

    fn push<E>(
        &mut self,
        block: usize,
        field: Field,
        literal: &RawValue,
        tell: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.0.get(&block).is_some_and(|waiting| waiting.field != field) {
            self.release(block, tell)?;
        }
        let given = inside(literal);
        let is_whole = |given: &str| without_lone_surrogates(given.as_bytes()).is_none();
        if given.is_empty() || (self.0.is_empty() && is_whole(given)) {
            return tell(field.delta(block, literal));
        }
        let mut text = self.0.remove(&block).map(|waiting| waiting.half).unwrap_or_default();
        if text.is_empty() && is_whole(given) {
            return tell(field.delta(block, literal));
        }
        text.push_str(given);
        if let Some(at) = trailing_half(&text) {
            self.0.insert(block, WaitingHalf { field, half: text.split_off(at) });
        }
        if text.is_empty() {
            return Ok(());
        }
        let mut whole = JsonString::of_inside(text);
        whole.mend();
        tell(field.delta(block, Raw::of(&whole).value()))
    }

    fn release<E>(
        &mut self,
        block: usize,
        tell: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(WaitingHalf { field, .. }) = self.0.remove(&block) else { return Ok(()) };
        let replacement = JsonString::of_inside(REPLACEMENT.to_owned());
        tell(field.delta(block, Raw::of(&replacement).value()))
    }
}
