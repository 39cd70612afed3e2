//! Usage, cost and finish reason of an answer (`reference/anthropic-api.md` §9.3).

use super::form::{self, Form};
use crate::domain::{
    anthropic,
    exchange::{Cost, NanoDollars, Tokens},
    openai::{CompletionTokensDetails, FinishReason, PromptTokensDetails, Usage},
};

/// The billing of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bill {
    /// The cost that this call caused.
    pub cost: Cost,
    /// The cost of asking again for an answer that came from the ledger.
    pub saved: Option<Cost>,
    /// The cost of the chat so far, background tasks included.
    pub chat: Option<Cost>,
}

impl Bill {
    /// The bill of an answer that this call caused.
    pub const fn paid(cost: Cost) -> Self {
        Self { cost, saved: None, chat: None }
    }

    /// The bill of an answer that came from the ledger; `saved`: the cost of asking for it again.
    pub const fn free(saved: Cost) -> Self {
        Self { cost: Cost::Exact(NanoDollars(0)), saved: Some(saved), chat: None }
    }
}

/// OpenAI's usage: the prompt is counted whole, however it was billed.
pub fn usage(tokens: &Tokens, bill: Bill) -> Usage {
    let Tokens {
        input: _,
        cache_write_5m,
        cache_write_1h,
        cache_read,
        output,
        thinking,
        searches: _,
    } = *tokens;
    let written = cache_write_5m.saturating_add(cache_write_1h);
    let dollars = |cost: Cost| cost.amount().map(NanoDollars::dollars);
    let Bill { cost, saved, chat } = bill;
    Usage {
        prompt_tokens: tokens.prompt(),
        completion_tokens: output,
        total_tokens: tokens.prompt().saturating_add(output),
        prompt_tokens_details: PromptTokensDetails {
            cached_tokens: cache_read,
            cache_write_tokens: written,
        },
        completion_tokens_details: CompletionTokensDetails { reasoning_tokens: thinking },
        cache_creation_input_tokens: written,
        cache_read_input_tokens: cache_read,
        cost: dollars(cost),
        saved: saved.and_then(dollars),
        chat_cost: chat.and_then(dollars),
        chat_cost_is: match chat {
            Some(Cost::AtLeast(_)) => Some("at least"),
            Some(Cost::Exact(_) | Cost::Unpriced) | None => None,
        },
    }
}

/// The reason why an answer with so many calls ended. Unknown reasons count as a plain stop, because the answer was
/// complete.
pub(super) fn finish_reason(stop: &anthropic::Stop, calls: usize, form: &Form) -> FinishReason {
    match stop.stop_reason.as_deref() {
        Some("max_tokens" | "model_context_window_exceeded" | "pause_turn" | "compaction") => {
            FinishReason::Length
        }
        Some("refusal") => FinishReason::ContentFilter,
        // An answer with calls can end with `end_turn`, too; clients make them only if the reason says so.
        reason if reason == Some("tool_use") || calls > 0 => match form.calls {
            form::Calls::ToolCalls => FinishReason::ToolCalls,
            form::Calls::FunctionCall => FinishReason::FunctionCall,
        },
        _ => FinishReason::Stop,
    }
}

/// The explanation of a refusal.
pub(super) fn refusal(stop: anthropic::Stop) -> Option<String> {
    if stop.stop_reason.as_deref() != Some("refusal") {
        return None;
    }
    let anthropic::StopDetails { explanation, category } = stop.stop_details.unwrap_or_default();
    let explanation = explanation.filter(|text| !text.trim().is_empty());
    Some(explanation.unwrap_or_else(|| match category {
        Some(category) => format!("Claude declined to answer ({category})."),
        None => "Claude declined to answer.".to_owned(),
    }))
}

/// OpenAI's word for the tier that served the answer.
pub(super) fn service_tier(usage: &anthropic::Usage) -> Option<&'static str> {
    match usage.service_tier.as_deref() {
        Some("standard") => Some("default"),
        Some("priority") => Some("priority"),
        _ => None,
    }
}
