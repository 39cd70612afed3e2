//! Healing: a request that upstream refused, without the part that the refusal names.
//!
//! The catalog knows what each model accepts, as of its date. A model that has become stricter must not cost the user an
//! answer: the refused part is left out with a note, and remembered for that model while the process lives.

use serde::Serialize;

use super::{instructions, note::Note};
use crate::domain::anthropic::{
    BlockPosition, ContentBlock, Format, Request, Role, Thinking, Tool, ToolChoice,
};

/// A change that makes a refused request acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Without `temperature`.
    Temperature,
    /// Without `top_p`.
    TopP,
    /// Without `top_k`.
    TopK,
    /// With `thinking` as much as the question needs, not up to a budget.
    Adaptive,
    /// Without `thinking`.
    Thinking,
    /// Without what becomes of thinking that does not fit.
    BlockBinding,
    /// Without the thinking of earlier turns.
    EarlierThinking,
    /// Without `output_config.effort`.
    Effort,
    /// With the schema of the answer as words.
    Format,
    /// With tools whose schemas of tools are not enforced.
    Strict,
    /// Asked to call a tool, not forced to.
    ToolChoice,
    /// Asked to continue the last answer.
    Prefill,
    /// With instructions in the middle as the user's words.
    SystemMessages,
    /// Without `service_tier`.
    ServiceTier,
    /// Without `metadata`.
    Metadata,
}

/// A request without the part that upstream refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Healed {
    /// Without what was refused.
    pub request: Request,
    /// The remedy that was applied.
    pub remedy: Remedy,
    /// True if the model will refuse the same again.
    pub lasts: bool,
}

/// Words of refusals that concern the model, and not one request.
const OF_THE_MODEL: &[&str] =
    &["not supported", "does not support", "is deprecated for", "Extra inputs are not permitted"];

/// Words in the refusals of the API (`reference/anthropic-api.md` §1), the more specific before the more
/// general.
const SYMPTOMS: &[(&[&str], Remedy)] = &[
    (&["block_binding"], Remedy::BlockBinding),
    (&["thinking.type.enabled"], Remedy::Adaptive),
    (&["thinking.type."], Remedy::Thinking),
    (&["`signature`"], Remedy::EarlierThinking),
    (&["`redacted_thinking`"], Remedy::EarlierThinking),
    (&["Expected", "thinking", "but found"], Remedy::EarlierThinking),
    (&["messages.", ".content.", "thinking"], Remedy::EarlierThinking),
    (&["thinking", "cannot be modified"], Remedy::EarlierThinking),
    (&["prefill"], Remedy::Prefill),
    (&["must end with a user message"], Remedy::Prefill),
    (&["final position must not be an `assistant`"], Remedy::Prefill),
    (&["tool_choice"], Remedy::ToolChoice),
    (&["forces tool use"], Remedy::ToolChoice),
    (&["role 'system'"], Remedy::SystemMessages),
    (&["role \"system\""], Remedy::SystemMessages),
    (&["role `system`"], Remedy::SystemMessages),
    (&["messages", ".role", "system"], Remedy::SystemMessages),
    (&["tools.", ".strict"], Remedy::Strict),
    (&["strict", "tools"], Remedy::Strict),
    (&["output_config.format"], Remedy::Format),
    (&["too complex for compilation"], Remedy::Format),
    (&["effort"], Remedy::Effort),
    (&["temperature"], Remedy::Temperature),
    (&["top_p"], Remedy::TopP),
    (&["top_k"], Remedy::TopK),
    (&["thinking"], Remedy::Thinking),
    (&["service_tier"], Remedy::ServiceTier),
    (&["metadata"], Remedy::Metadata),
];

/// The request without what `refusal`, the message of a 400, names; `None` if it names nothing that can be left out.
pub fn heal(request: &Request, refusal: &str) -> Option<Healed> {
    let named = |signs: &[&str]| signs.iter().all(|sign| refusal.contains(sign));
    // What has nothing to be done with it is not what was meant.
    let mut remedies = SYMPTOMS.iter().filter(|(signs, _)| named(signs));
    remedies.find_map(|(_, remedy)| {
        let mut healed = request.clone();
        remedy.apply(&mut healed);
        let lasts = remedy.can_last() && OF_THE_MODEL.iter().any(|sign| refusal.contains(sign));
        (healed != *request).then_some(Healed { request: healed, remedy: *remedy, lasts })
    })
}

impl Remedy {
    /// True if the refusal can concern the model, and not one conversation or one schema.
    const fn can_last(self) -> bool {
        !matches!(self, Self::EarlierThinking | Self::Format | Self::Strict | Self::Metadata)
    }

    /// The note for the client.
    pub fn note(self) -> Note {
        let (field, what) = match self {
            Self::Temperature => ("temperature", "is left out"),
            Self::TopP => ("top_p", "is left out"),
            Self::TopK => ("top_k", "is left out"),
            Self::Adaptive => ("reasoning_effort", "the model thinks without a budget"),
            Self::Thinking => ("reasoning_effort", "thinking is left to the model"),
            Self::BlockBinding => (
                "messages",
                "the treatment of earlier thinking that does not fit is left to the API",
            ),
            Self::EarlierThinking => ("messages", "thinking of earlier answers is left out"),
            Self::Effort => ("reasoning_effort", "the effort is left to the model"),
            Self::Format => {
                ("response_format", "the schema is sent as an instruction and not enforced")
            }
            Self::Strict => ("tools", "schemas of tools are not enforced"),
            Self::ToolChoice => ("tool_choice", "the model is asked to call a tool, not forced to"),
            Self::Prefill => ("messages", "the model is asked to continue its last answer"),
            Self::SystemMessages => {
                ("messages", "instructions in the middle are sent as text of the user")
            }
            Self::ServiceTier => ("service_tier", "is left out"),
            Self::Metadata => ("user", "is left out"),
        };
        Note { field: field.to_owned(), what: format!("{what}, because Anthropic refused it") }
    }

    /// Applies the remedy to a request.
    pub fn apply(self, request: &mut Request) {
        match self {
            Self::Temperature => request.temperature = None,
            Self::TopP => request.top_p = None,
            Self::TopK => request.top_k = None,
            Self::Adaptive => {
                if let Some(Thinking::Enabled { display, block_binding, .. }) = request.thinking {
                    request.thinking = Some(Thinking::Adaptive { display, block_binding });
                }
            }
            Self::Thinking => {
                request.thinking = None;
                leave_out_thinking(request);
            }
            Self::BlockBinding => {
                if let Some(
                    Thinking::Adaptive { block_binding, .. }
                    | Thinking::Enabled { block_binding, .. },
                ) = &mut request.thinking
                {
                    *block_binding = None;
                }
            }
            Self::EarlierThinking => {
                leave_out_thinking(request);
                // The manual mode must begin with it.
                if matches!(request.thinking, Some(Thinking::Enabled { .. })) {
                    request.thinking = None;
                }
            }
            Self::Effort => request.output_config.effort = None,
            Self::Format => {
                if let Some(Format::JsonSchema { schema }) = request.output_config.format.take() {
                    request.system.push(ContentBlock::text(super::format::in_words(&schema)));
                }
            }
            Self::Strict => {
                for tool in &mut request.tools {
                    if let Tool::Client(tool) = tool {
                        tool.strict = false;
                    }
                }
            }
            Self::ToolChoice => ask_for_call(request),
            Self::Prefill => instructions::ask_to_continue(&mut request.messages),
            Self::SystemMessages => instructions::tag_instructions(&mut request.messages),
            Self::ServiceTier => request.service_tier = None,
            Self::Metadata => request.metadata = None,
        }
    }
}

fn ask_for_call(request: &mut Request) {
    let (instruction, single) = match &request.tool_choice {
        Some(ToolChoice::Any { disable_parallel_tool_use }) => {
            (instructions::CALL_ANY.to_owned(), *disable_parallel_tool_use)
        }
        Some(ToolChoice::Tool { name, disable_parallel_tool_use }) => {
            (instructions::call_one(name), *disable_parallel_tool_use)
        }
        None | Some(ToolChoice::Auto { .. } | ToolChoice::None) => return,
    };
    request.tool_choice = single.then_some(ToolChoice::Auto { disable_parallel_tool_use: true });
    instructions::append_to_last_user(&mut request.messages, instruction);
}

fn leave_out_thinking(request: &mut Request) {
    let messages = &mut request.messages;
    if !messages.iter().flat_map(|message| &message.content).any(ContentBlock::is_thinking) {
        return;
    }
    for message in messages.iter_mut().filter(|message| message.role == Role::Assistant) {
        message.content.retain(|block| !block.is_thinking());
    }
    messages.retain(|message| !message.content.is_empty());
    // Blocks are counted otherwise now.
    request.breakpoints.retain(|mark| !matches!(mark.at, BlockPosition::Message { .. }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::anthropic::{BlockBinding, Display, PrefixMismatch, RequestMessage};

    #[test]
    fn refusals_of_the_api_are_understood() {
        let binding = BlockBinding { prefix_mismatch_behavior: PrefixMismatch::DropBlock };
        let thought = ContentBlock::Thinking { thinking: "a".into(), signature: "b".into() };
        let request = Request {
            temperature: Some(0.5),
            top_p: Some(0.5),
            top_k: Some(5),
            thinking: Some(Thinking::Adaptive {
                display: Display::Summarized,
                block_binding: Some(binding),
            }),
            tool_choice: Some(ToolChoice::Any { disable_parallel_tool_use: false }),
            messages: vec![
                RequestMessage { role: Role::User, content: vec![ContentBlock::text("q")] },
                RequestMessage {
                    role: Role::Assistant,
                    content: vec![thought, ContentBlock::text("r")],
                },
            ],
            service_tier: Some("standard_only"),
            ..Request::default()
        };
        let remedy = |refusal| heal(&request, refusal).map(|healed| healed.remedy);
        for (refusal, expected) in [
            ("temperature: Extra inputs are not permitted", Remedy::Temperature),
            ("`temperature` is deprecated for this model.", Remedy::Temperature),
            ("`top_p` is deprecated for this model.", Remedy::TopP),
            ("\"thinking.type.adaptive\" is not supported for this model.", Remedy::Thinking),
            ("adaptive thinking is not supported on this model", Remedy::Thinking),
            ("block_binding: Extra inputs are not permitted", Remedy::BlockBinding),
            (
                "tool_choice: type \"tool\" and \"any\" are not supported for this model.",
                Remedy::ToolChoice,
            ),
            (
                "This model does not support assistant message prefill. The conversation must end with a user message.",
                Remedy::Prefill,
            ),
            (
                "messages.1.content.0: Invalid `signature` in `thinking` block",
                Remedy::EarlierThinking,
            ),
            ("service_tier: Extra inputs are not permitted", Remedy::ServiceTier),
        ] {
            assert_eq!(remedy(refusal), Some(expected), "{refusal}");
        }
        for refusal in ["prompt is too long: 5 tokens > 4 maximum", "effort: not for you", ""] {
            assert_eq!(remedy(refusal), None, "{refusal}");
        }
    }

    #[test]
    fn a_model_that_takes_no_budget_thinks_without_and_what_is_wrong_with_one_request_does_not_last()
     {
        let enabled = Thinking::Enabled {
            budget_tokens: 2048,
            display: Display::Summarized,
            block_binding: None,
        };
        let mut request = Request { thinking: Some(enabled), ..Request::default() };
        request.output_config.effort = Some(crate::domain::anthropic::Effort::Low);
        let refusal = "\"thinking.type.enabled\" is not supported for this model. Use \"thinking.type.adaptive\" and \"output_config.effort\" to control thinking behavior.";
        let healed = heal(&request, refusal).unwrap();
        assert_eq!((healed.remedy, healed.lasts), (Remedy::Adaptive, true));
        assert_eq!(healed.request.output_config.effort, request.output_config.effort);
        let refusal = "`max_tokens` must be greater than `thinking.budget_tokens`.";
        assert!(!heal(&request, refusal).unwrap().lasts);
    }

    #[test]
    fn what_is_wrong_with_a_conversation_mends_it() {
        let thought = ContentBlock::RedactedThinking { data: "x".into() };
        let said = vec![thought, ContentBlock::text("r")];
        let request = Request {
            thinking: Some(Thinking::Enabled {
                budget_tokens: 1024,
                display: Display::Summarized,
                block_binding: None,
            }),
            messages: vec![RequestMessage { role: Role::Assistant, content: said }],
            ..Request::default()
        };
        let healed = heal(&request, "Invalid `data` in `redacted_thinking` block").unwrap();
        assert_eq!(healed.request.thinking, None);
        assert_eq!(healed.request.messages[0].content, [ContentBlock::text("r")]);
        assert!(!healed.lasts);
    }
}
