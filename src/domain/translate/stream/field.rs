//! The fields of a block that deltas continue, each with a JSON string.

use serde_json::value::RawValue;

use crate::domain::anthropic::{Delta, Event};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Text,
    Thinking,
    Signature,
    Json,
}

impl Field {
    /// The field that a delta continues, and its string; `None`: a delta of another kind.
    pub(super) const fn of<'a>(delta: &Delta<'a>) -> Option<(Self, &'a RawValue)> {
        match *delta {
            Delta::Text(text) => Some((Self::Text, text)),
            Delta::Thinking(thinking) => Some((Self::Thinking, thinking)),
            Delta::Signature(signature) => Some((Self::Signature, signature)),
            Delta::Json(json) => Some((Self::Json, json)),
            Delta::Citation(_) | Delta::Unknown(_) => None,
        }
    }

    /// The delta that continues the field of this block.
    pub(super) const fn delta(self, index: usize, literal: &RawValue) -> Event<'_> {
        let delta = match self {
            Self::Text => Delta::Text(literal),
            Self::Thinking => Delta::Thinking(literal),
            Self::Signature => Delta::Signature(literal),
            Self::Json => Delta::Json(literal),
        };
        Event::BlockDelta { index, delta }
    }
}
