//! A whole answer for a client that does not stream.

use super::usage::{Bill, finish_reason, refusal, usage};
use crate::domain::{
    anthropic::{self, Block},
    json::JsonString,
    openai::{Answer, AnswerFunction, AnswerToolCall, Choice, Completion},
};

/// The completion that the message makes; `id` and `created` (Unix seconds) are the call's own.
pub fn completion(message: anthropic::Message, bill: Bill, id: String, created: i64) -> Completion {
    let mut text: Option<JsonString> = None;
    let mut thinking: Option<JsonString> = None;
    let mut tool_calls = Vec::new();
    for block in message.content {
        match block {
            Block::Text(more) => text.get_or_insert_default().push_string(&more),
            Block::Thinking(more) if more.is_empty() => {}
            Block::Thinking(more) => thinking.get_or_insert_default().push_string(&more),
            Block::ToolUse { id, name, arguments } => {
                tool_calls.push(AnswerToolCall {
                    id,
                    kind: "function",
                    function: AnswerFunction { name, arguments },
                });
            }
        }
    }
    let content = text.or_else(|| tool_calls.is_empty().then(JsonString::default));
    let usage = usage(&message.usage.tokens(), bill);
    let finish_reason = finish_reason(&message.stop);
    Completion {
        id,
        object: "chat.completion",
        created,
        model: message.model,
        choices: [Choice {
            index: 0,
            message: Answer {
                role: "assistant",
                content,
                refusal: refusal(message.stop),
                reasoning_content: thinking,
                tool_calls,
            },
            logprobs: None,
            finish_reason,
        }],
        usage,
    }
}
