//! Turns of a conversation: what the client can still change, and what it cannot.

use crate::domain::openai::{self, Role};

/// The age of a message. A part that cannot be sent is refused only while the client can still change it; in an
/// earlier turn it would end the chat for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Earlier,
    Last,
}

/// Position of the first message that the client can still change: the first since the last answer, unless results of
/// tools are among them, whose parts nobody chose. An answer at the end, which is to be continued, is none.
pub(super) fn last_turn(messages: &[openai::Message]) -> usize {
    let is_answer = |message: &openai::Message| message.role == Role::Assistant;
    let end = messages.iter().rposition(|message| !is_answer(message)).map_or(0, |at| at + 1);
    let answered = messages[..end].iter().rposition(is_answer).map_or(0, |at| at + 1);
    let is_result = |message: &openai::Message| matches!(message.role, Role::Tool | Role::Function);
    if messages[answered..end].iter().any(is_result) { messages.len() } else { answered }
}
