//! The fields of a block that deltas continue, each with a JSON string.

use serde_json::value::RawValue;

use super::event::{Delta, Event};

/// A field of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Text of the answer.
    Text,
    /// Thinking.
    Thinking,
    /// Signature of the thinking.
    Signature,
    /// Arguments of a call, as text of JSON.
    Json,
}

impl Field {
    /// The field that a delta continues, and its string; `None`: a delta of another kind.
    pub const fn of<'a>(delta: &Delta<'a>) -> Option<(Self, &'a RawValue)> {
        match *delta {
            Delta::Text(text) => Some((Self::Text, text)),
            Delta::Thinking(thinking) => Some((Self::Thinking, thinking)),
            Delta::Signature(signature) => Some((Self::Signature, signature)),
            Delta::Json(json) => Some((Self::Json, json)),
            Delta::Citation(_) | Delta::Unknown(_) => None,
        }
    }

    /// The delta that continues the field of this block.
    pub const fn delta(self, index: usize, literal: &RawValue) -> Event<'_> {
        let delta = match self {
            Self::Text => Delta::Text(literal),
            Self::Thinking => Delta::Thinking(literal),
            Self::Signature => Delta::Signature(literal),
            Self::Json => Delta::Json(literal),
        };
        Event::BlockDelta { index, delta }
    }

    /// The type of a delta that continues the field, and its name in the delta.
    pub(super) const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Text => ("text_delta", "text"),
            Self::Thinking => ("thinking_delta", "thinking"),
            Self::Signature => ("signature_delta", "signature"),
            Self::Json => ("input_json_delta", "partial_json"),
        }
    }
}
