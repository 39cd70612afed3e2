//! Usage, cost and finish reason of an answer (`reference/anthropic-api.md` §9.3).

use super::form::{self, Form};
use crate::domain::{
    anthropic,
    exchange::{Cost, NanoDollars, Tokens},
    openai::{CompletionTokensDetails, FinishReason, PromptTokensDetails, Usage},
};

/// The billing of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bill {
    /// This call caused it.
    Paid(Cost),
    /// The answer came from the ledger.
    Free {
        /// The cost of asking for it again.
        saved: Cost,
    },
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
    let (cost, saved) = match bill {
        Bill::Paid(cost) => (dollars(cost), None),
        Bill::Free { saved } => (Some(0.0), dollars(saved)),
    };
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
        cost,
        saved,
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
