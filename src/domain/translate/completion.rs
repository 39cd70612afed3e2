//! A complete answer for a client that does not stream.

use super::{
    annotations::AnnotationBuilder,
    fence::Unfence,
    form::{self, Form, ToolKind},
    stops::StopFilter,
    usage::{Bill, finish_reason, refusal, service_tier, usage},
};
use crate::domain::{
    anthropic::{self, BlockKind},
    json::JsonString,
    openai::{Annotation, Choice, Completion, ReasoningDetail, ResponseMessage, ResponseToolCall},
};

/// The completion that the message makes; `id` and `created` (Unix seconds) are the call's own.
pub fn completion(
    mut message: anthropic::Message,
    bill: Bill,
    id: String,
    created: i64,
    form: &Form,
) -> Completion {
    let tokens = message.tokens();
    let service_tier = service_tier(&message.usage);
    let RenderedBlocks {
        text,
        pieces: _,
        cited,
        annotations,
        thinking,
        reasoning_details,
        calls,
        is_cut,
    } = render(message.content, form);
    if is_cut {
        message.stop = anthropic::Stop::default();
    }
    let finish_reason = finish_reason(&message.stop, calls.len(), form);
    let refusal = refusal(message.stop);
    let mut content = text.or_else(|| calls.is_empty().then(JsonString::default));
    if let (Some(refusal), form::Refusal::Text) = (&refusal, form.refusal) {
        let more = JsonString::new(&cited.refusal(refusal));
        content.get_or_insert_default().push_string(&more);
    }
    let (tool_calls, function_call) = match form.calls {
        form::Calls::ToolCalls => (calls, None),
        form::Calls::FunctionCall => {
            (Vec::new(), calls.into_iter().next().and_then(ResponseToolCall::into_function))
        }
    };
    Completion {
        id,
        object: "chat.completion",
        created,
        model: message.model,
        choices: [Choice {
            index: 0,
            message: ResponseMessage {
                role: "assistant",
                content,
                refusal,
                reasoning_content: thinking,
                reasoning_details,
                annotations,
                tool_calls,
                function_call,
            },
            logprobs: None,
            finish_reason,
        }],
        usage: usage(&tokens, bill),
        service_tier,
    }
}

/// The content blocks of an answer as a client receives them.
#[derive(Debug, Default)]
pub(super) struct RenderedBlocks {
    text: Option<JsonString>,
    /// The text block by block.
    pieces: Vec<JsonString>,
    cited: AnnotationBuilder,
    annotations: Vec<Annotation>,
    thinking: Option<JsonString>,
    reasoning_details: Vec<ReasoningDetail>,
    pub(super) calls: Vec<ResponseToolCall>,
    /// True if a stop sequence that Claude does not take came before the end.
    pub(super) is_cut: bool,
}

impl RenderedBlocks {
    /// All text, as the client received it.
    pub(super) fn whole(&self) -> String {
        self.text.as_ref().map(JsonString::decode).unwrap_or_default()
    }

    /// The blocks of text, with `separator` between them.
    pub(super) fn joined(&self, separator: &str) -> String {
        self.pieces.iter().map(JsonString::decode).collect::<Vec<_>>().join(separator)
    }
}

/// Renders the blocks of an answer for a client.
pub(super) fn render(blocks: Vec<anthropic::Block>, form: &Form) -> RenderedBlocks {
    let mut rendered = RenderedBlocks::default();
    let mut fence = (form.code_fence == form::CodeFence::Strip).then(Unfence::default);
    let mut stops = StopFilter::of(&form.stops);
    for block in blocks {
        if rendered.is_cut {
            break;
        }
        match block.kind {
            BlockKind::Text { text, citations } => {
                rendered.cited.begin();
                let mut shown = match &mut fence {
                    Some(fence) => unfenced(fence, &text),
                    None => text.clone(),
                };
                if let Some(stops) = &mut stops {
                    shown = stops.push(&shown);
                    rendered.is_cut = stops.is_over();
                }
                rendered.cited.grow(shown.inside());
                citations.iter().for_each(|citation| rendered.cited.cite(citation));
                rendered.annotations.append(&mut rendered.cited.take_annotations());
                rendered.text.get_or_insert_default().push_string(&shown);
                rendered.pieces.push(text);
            }
            BlockKind::Thinking { thinking, signature } => {
                let index = rendered.reasoning_details.len();
                if !thinking.is_empty() {
                    rendered.thinking.get_or_insert_default().push_string(&thinking);
                }
                rendered.reasoning_details.push(ReasoningDetail::text(thinking, signature, index));
            }
            BlockKind::RedactedThinking { data } => {
                let index = rendered.reasoning_details.len();
                rendered.reasoning_details.push(ReasoningDetail::encrypted(data, index));
            }
            BlockKind::ToolUse { id, name, arguments } => {
                let tool = form.tools.get(&name);
                let name = tool.map_or(name, |tool| tool.name.clone());
                rendered.calls.push(match tool.map(|tool| (tool.kind, &tool.properties)) {
                    Some((ToolKind::Custom, _)) => {
                        ResponseToolCall::custom(id, name, form::custom_input(&arguments))
                    }
                    Some((ToolKind::Function, properties)) => {
                        ResponseToolCall::function(id, name, properties.original(arguments))
                    }
                    None => ResponseToolCall::function(id, name, arguments),
                });
            }
            BlockKind::Fallback | BlockKind::Other { .. } => {}
        }
    }
    let mut rest = fence.map(|mut fence| JsonString::new(&fence.finish())).unwrap_or_default();
    if let Some(stops) = &mut stops {
        rest = stops.push(&rest);
        rest.push_string(&stops.finish());
        rendered.is_cut = stops.is_over();
    }
    rendered.cited.grow(rest.inside());
    if let Some(text) = &mut rendered.text {
        text.push_string(&rest);
    }
    rendered
}

/// A text without its code fence.
fn unfenced(fence: &mut Unfence, text: &JsonString) -> JsonString {
    JsonString::new(&fence.push(&text.decode()))
}
