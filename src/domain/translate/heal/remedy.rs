//! Remedies: the changes that make refused requests acceptable.

use serde::Serialize;

use super::tool;
use crate::domain::{
    anthropic::{
        BlockPosition, ClientTool, ContentBlock, Format, Request, Role, Thinking, Tool, ToolChoice,
    },
    translate::{format, instructions, note::Note, thinking::LEAST_BUDGET},
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
    /// With tools whose schemas are not enforced.
    Strict,
    /// With a tool whose schema has only the names and types of its parameters.
    SimplifiedTool,
    /// With a tool that takes any object.
    OpenTool,
    /// With a short description of a tool, or none.
    ToolDescription,
    /// With this limit on the answer.
    MaxTokens(u32),
    /// Without `fallbacks`.
    Fallbacks,
    /// Without breakpoints of prompt caching.
    Breakpoints,
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

impl Remedy {
    /// True if the refusal can concern the model, and not one conversation.
    pub(super) const fn can_last(self) -> bool {
        !matches!(self, Self::EarlierThinking | Self::Metadata)
    }

    /// The note for the client; `tool` is the name of the tool that the remedy is applied to.
    pub(super) fn note(self, tool: Option<&str>) -> Note {
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
            Self::SimplifiedTool => ("tools", "the schema of a tool is simplified"),
            Self::OpenTool => ("tools", "the schema of a tool is sent as words only"),
            Self::ToolDescription => ("tools", "the description of a tool is shortened"),
            Self::MaxTokens(_) => ("max_tokens", "is lowered to what the model can answer"),
            Self::Fallbacks => ("fallbacks", "is left out"),
            Self::Breakpoints => ("messages", "breakpoints of prompt caching are left out"),
            Self::ToolChoice => ("tool_choice", "the model is asked to call a tool, not forced to"),
            Self::Prefill => ("messages", "the model is asked to continue its last answer"),
            Self::SystemMessages => {
                ("messages", "instructions in the middle are sent as text of the user")
            }
            Self::ServiceTier => ("service_tier", "is left out"),
            Self::Metadata => ("user", "is left out"),
        };
        let named = tool.map(|name| format!(" (`{name}`)")).unwrap_or_default();
        let what = format!("{what}{named}, because Anthropic refused it");
        Note { field: field.to_owned(), what }
    }

    /// Applies the remedy to a request; a remedy for one tool, to all tools.
    pub(super) fn apply(self, request: &mut Request) {
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
                    request.system.push(ContentBlock::text(format::in_words(&schema)));
                }
            }
            Self::Strict | Self::SimplifiedTool | Self::OpenTool | Self::ToolDescription => {
                for tool in &mut request.tools {
                    if let Tool::Client(tool) = tool {
                        self.apply_to_tool(tool);
                    }
                }
            }
            Self::MaxTokens(limit) => limit_answer(request, limit),
            Self::Fallbacks => request.fallbacks = None,
            Self::Breakpoints => request.breakpoints.clear(),
            Self::ToolChoice => ask_for_call(request),
            Self::Prefill => instructions::ask_to_continue(&mut request.messages),
            Self::SystemMessages => instructions::tag_instructions(&mut request.messages),
            Self::ServiceTier => request.service_tier = None,
            Self::Metadata => request.metadata = None,
        }
    }

    /// Applies a remedy for one tool.
    pub(super) fn apply_to_tool(self, tool: &mut ClientTool) {
        match self {
            Self::Strict => tool.strict = false,
            Self::SimplifiedTool => tool::simplify(tool),
            Self::OpenTool => tool::open(tool),
            Self::ToolDescription => tool::shorten_description(tool),
            _ => {}
        }
    }
}

/// Lowers the limit on the answer, and the budget for thinking where it no longer fits.
fn limit_answer(request: &mut Request, limit: u32) {
    if request.max_tokens <= limit {
        return;
    }
    request.max_tokens = limit;
    if let Some(Thinking::Enabled { budget_tokens, .. }) = &mut request.thinking
        && *budget_tokens >= limit
    {
        // The other half is for the answer.
        *budget_tokens = limit / 2;
        if *budget_tokens < LEAST_BUDGET {
            Remedy::Thinking.apply(request);
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
