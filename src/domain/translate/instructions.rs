//! Texts that Reprise itself adds to a conversation: to open or continue it, and to say in words what a model cannot
//! be made to do.

use crate::domain::anthropic::{ContentBlock, RequestMessage, Role};

/// Opens a conversation whose first message is the assistant's.
pub(super) const ASSISTANT_OPENS: &str = "(The assistant speaks first.)";
/// Follows instructions that no other message follows.
pub(super) const BEGIN: &str = "Begin.";
/// Asks a model without prefill to continue its last answer.
pub(super) const CONTINUE: &str =
    "Continue exactly where you stopped. Repeat nothing and explain nothing.";
/// Stands in an earlier turn in place of a part that cannot be sent.
pub(super) const NOT_SENT: &str = "(A part of this message could not be passed on.)";
/// Asks for a tool call where none can be forced.
pub(super) const CALL_ANY: &str = "Answer by calling one of the tools, not by text alone.";

/// Asks for a call of one tool.
pub(super) fn call_one(name: &str) -> String {
    format!("Answer by calling the tool `{name}`, not by text alone.")
}

/// A message of the user.
pub(super) fn user(content: Vec<ContentBlock>) -> RequestMessage {
    RequestMessage { role: Role::User, content }
}

/// Asks the model to continue its last answer, if the conversation ends with one.
pub(super) fn ask_to_continue(messages: &mut Vec<RequestMessage>) {
    if messages.last().is_some_and(|message| message.role == Role::Assistant) {
        messages.push(user(vec![ContentBlock::text(CONTINUE)]));
    }
}

/// Turns instructions between messages into text of the user.
pub(super) fn tag_instructions(messages: &mut [RequestMessage]) {
    for message in messages.iter_mut().filter(|message| message.role == Role::System) {
        message.role = Role::User;
        message.content = message.content.drain(..).map(in_system_tags).collect();
    }
}

/// A text block in `<system>` tags; other blocks unchanged.
pub(super) fn in_system_tags(block: ContentBlock) -> ContentBlock {
    match block {
        ContentBlock::Text { text } => ContentBlock::text(format!("<system>{text}</system>")),
        other => other,
    }
}

/// Appends `text` to the last message of the user. Later instructions keep their place.
pub(super) fn append_to_last_user(messages: &mut [RequestMessage], text: String) {
    if let Some(message) = messages.iter_mut().rfind(|message| message.role == Role::User) {
        message.content.push(ContentBlock::text(text));
    }
}
