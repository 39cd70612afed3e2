//! Thinking and effort of a request (`reference/anthropic-api.md` §1.2, §1.3, §9.2): the settings that a client sends, in
//! any form that clients use, as the settings that the model accepts according to the catalog.

mod requested;

use self::requested::{ThinkingMode, ThinkingOptions, requested};
use super::{
    context::Occasion,
    note::{Error, Notes},
};
use crate::domain::{
    anthropic::{
        BlockBinding, ContentBlock, Display, Effort, PrefixMismatch, RequestMessage, Role,
        Thinking, ToolChoice,
    },
    catalog::Model,
    openai,
};

/// The beta that lets a request say what becomes of thinking that does not fit any more (§1.2).
pub(super) const BINDING_BETA: &str = "thinking-binding-controls-2026-08-01";
/// Minimum budget.
pub(super) const LEAST_BUDGET: u32 = 1024;
/// Limit up to which unrequested thinking would leave too little for the answer.
const SMALL_LIMIT: u32 = 2048;
/// Increase of a background call's limit on models that always think.
const ROOM_TO_THINK: u32 = 4096;

/// The settings for thinking that are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ThinkingPlan {
    pub(super) thinking: Option<Thinking>,
    pub(super) effort: Option<Effort>,
    pub(super) max_tokens: u32,
}

impl ThinkingPlan {
    /// True if the request may contain thinking of earlier turns.
    pub(super) fn takes_blocks(&self) -> bool {
        !matches!(self.thinking, None | Some(Thinking::Disabled))
    }

    /// True if the request turns thinking on explicitly, which excludes sampling and forced calls.
    pub(super) fn is_on(&self) -> bool {
        matches!(self.thinking, Some(Thinking::Adaptive { .. } | Thinking::Enabled { .. }))
    }
}

/// The limit on the answer, by its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// Set by the client.
    Given(u32),
    /// The model's own.
    Model(u32),
}

/// The plan for a request.
pub(super) fn plan(
    request: &openai::Request,
    occasion: Occasion,
    limit: Limit,
    choice: Option<&ToolChoice>,
    rules: &Model,
    notes: &mut Notes,
) -> Result<ThinkingPlan, Error> {
    let mode = match (occasion, requested(request, notes)?) {
        (Occasion::Task, mode) => {
            if matches!(mode, ThinkingMode::On(_)) {
                notes.add("reasoning_effort", "is left out, because background calls do not think");
            }
            ThinkingMode::Off
        }
        (_, mode) => mode,
    };
    let (Limit::Given(max_tokens) | Limit::Model(max_tokens)) = limit;
    let is_small = matches!(limit, Limit::Given(limit) if limit <= SMALL_LIMIT);
    let forced = matches!(choice, Some(ToolChoice::Any { .. } | ToolChoice::Tool { .. }));
    let quiet = ThinkingPlan { thinking: None, effort: None, max_tokens };
    let off = || off(rules, quiet);
    let mut plan = match mode {
        ThinkingMode::Unspecified if !rules.thinks_by_default => quiet,
        ThinkingMode::Unspecified if forced => {
            notes.add(
                "tool_choice",
                "thinking is turned off, because a forced tool call excludes it",
            );
            off()
        }
        ThinkingMode::Unspecified if is_small => {
            let what = "thinking is turned off, or kept short where it cannot be, because it counts \
                        against so small a limit";
            notes.add("max_tokens", what);
            off()
        }
        ThinkingMode::Unspecified => {
            ThinkingPlan { thinking: Some(adaptive(Display::Summarized)), ..quiet }
        }
        ThinkingMode::Off => {
            let plan = off();
            if let Some(what) = what_remains(plan, rules) {
                notes.add("reasoning_effort", what);
            }
            plan
        }
        ThinkingMode::On(options) if forced => {
            let what = "thinking is left out, because a forced tool call excludes it";
            notes.add("reasoning_effort", what);
            // The effort is independent of thinking.
            ThinkingPlan { effort: options.effort, ..off() }
        }
        ThinkingMode::On(options) => on(options, request, quiet, rules, notes),
    };
    if occasion == Occasion::Task
        && what_remains(plan, rules).is_some()
        && plan.thinking != Some(Thinking::BetweenTools)
        && matches!(limit, Limit::Given(_))
    {
        plan.max_tokens = max_tokens.saturating_add(ROOM_TO_THINK).min(rules.max_output);
        let what = format!("is raised to {}, because this model always thinks", plan.max_tokens);
        notes.add("max_tokens", what);
    }
    plan.effort = plan.effort.and_then(|effort| nearest(effort, rules, notes));
    // Thinking is off only up to this effort (§1.2).
    if matches!(plan.thinking, Some(Thinking::Disabled | Thinking::BetweenTools)) {
        plan.effort = plan.effort.map(|effort| effort.min(Effort::High));
    }
    Ok(plan)
}

/// A plan with thinking, in a mode that the model accepts.
fn on(
    options: ThinkingOptions,
    request: &openai::Request,
    quiet: ThinkingPlan,
    rules: &Model,
    notes: &mut Notes,
) -> ThinkingPlan {
    let ThinkingOptions { effort, budget, manual, display } = options;
    let manual = match (accepts(rules, "adaptive"), accepts(rules, "enabled")) {
        (false, true) => true,
        (true, true) => manual,
        (true, false) => false,
        (false, false) => {
            notes.add("reasoning_effort", "is left out, because this model cannot think");
            return quiet;
        }
    };
    if !manual {
        if effort.is_none() && budget.is_some() {
            let what = "is sent as an effort, because this model takes no budget";
            notes.add("thinking.budget_tokens", what);
        }
        let effort = effort.or_else(|| budget.map(effort_of));
        return ThinkingPlan { thinking: Some(adaptive(display)), effort, ..quiet };
    }
    let effort = effort.or_else(|| budget.is_none().then_some(Effort::High));
    let Some(budget_tokens) = fit(budget, effort, quiet.max_tokens) else {
        let what = "thinking is left out, because max_tokens is too small for it";
        notes.add("reasoning_effort", what);
        return quiet;
    };
    match budget {
        Some(budget) if budget > budget_tokens => {
            notes.add("thinking.budget_tokens", "is lowered to what max_tokens has room for");
        }
        Some(budget) if budget < budget_tokens => {
            notes.add("thinking.budget_tokens", "is raised to 1024, the least there is");
        }
        _ => {}
    }
    let thinking = Thinking::Enabled { budget_tokens, display, block_binding: None };
    let effort = effort.filter(|_| request.reasoning_effort.is_some());
    ThinkingPlan { thinking: Some(thinking), effort, ..quiet }
}

/// A note about the thinking that a model does although it is turned off; `None` if it does none.
fn what_remains(plan: ThinkingPlan, rules: &Model) -> Option<&'static str> {
    match plan.thinking {
        Some(Thinking::BetweenTools) => Some("this model then thinks only between tool calls"),
        None | Some(Thinking::Adaptive { .. }) if rules.thinks_by_default => {
            Some("this model always thinks; it is asked to think as little as it can")
        }
        _ => None,
    }
}

/// A plan without thinking, or with as little as the model can do.
fn off(rules: &Model, quiet: ThinkingPlan) -> ThinkingPlan {
    if !rules.thinks_by_default {
        quiet
    } else if accepts(rules, "disabled") {
        ThinkingPlan { thinking: Some(Thinking::Disabled), ..quiet }
    } else if accepts(rules, "between_tools") {
        ThinkingPlan { thinking: Some(Thinking::BetweenTools), ..quiet }
    } else if rules.forced_tools {
        // A forced call excludes thinking that is asked for, also where it cannot be turned off.
        ThinkingPlan { effort: Some(Effort::Low), ..quiet }
    } else {
        ThinkingPlan {
            thinking: Some(adaptive(Display::Omitted)),
            effort: Some(Effort::Low),
            ..quiet
        }
    }
}

fn adaptive(display: Display) -> Thinking {
    Thinking::Adaptive { display, block_binding: None }
}

fn accepts(rules: &Model, kind: &str) -> bool {
    rules.thinking.iter().any(|accepted| accepted == kind)
}

/// A budget within the limit that leaves room for an answer; `None` if there is no such.
fn fit(budget: Option<u32>, effort: Option<Effort>, max_tokens: u32) -> Option<u32> {
    if max_tokens <= LEAST_BUDGET {
        return None;
    }
    let tokens = budget.unwrap_or(match effort {
        Some(Effort::Low) => 2048,
        Some(Effort::Medium) => 8192,
        None | Some(Effort::High) => 16_384,
        Some(Effort::Xhigh) => 32_768,
        Some(Effort::Max) => u32::MAX,
    });
    // What a client says itself may fill the limit; what is derived leaves a quarter of it.
    let most = if budget.is_some() { max_tokens - 1 } else { max_tokens / 4 * 3 };
    Some(tokens.min(most).max(LEAST_BUDGET))
}

/// The effort that a budget in tokens amounts to, for models that take no budget.
const fn effort_of(budget: u32) -> Effort {
    match budget {
        0..=2048 => Effort::Low,
        2049..=8192 => Effort::Medium,
        8193..=24_576 => Effort::High,
        24_577..=49_152 => Effort::Xhigh,
        _ => Effort::Max,
    }
}

/// The highest effort that the model takes and that is not above `wanted`, else its lowest.
fn nearest(requested: Effort, rules: &Model, notes: &mut Notes) -> Option<Effort> {
    let below = rules.effort.iter().copied().filter(|effort| *effort <= requested).max();
    let nearest = below.or_else(|| rules.effort.iter().copied().min())?;
    if nearest != requested {
        notes.add("reasoning_effort", "is lowered to the highest that this model accepts");
    }
    Some(nearest)
}

/// Adapts the plan to the conversation: the thinking of earlier turns limits the modes that can be used.
pub(super) fn settle(
    plan: &mut ThinkingPlan,
    messages: &[RequestMessage],
    betas: &mut Vec<&'static str>,
    notes: &mut Notes,
) {
    if matches!(plan.thinking, Some(Thinking::Enabled { .. })) && lacks_thinking(messages) {
        let what = "thinking is left out of this turn, because the thinking before its calls of tools \
                    is not there";
        notes.add("reasoning_effort", what);
        plan.thinking = None;
    }
    if let Some(Thinking::Adaptive { block_binding, .. } | Thinking::Enabled { block_binding, .. }) =
        &mut plan.thinking
        && messages.iter().flat_map(|message| &message.content).any(ContentBlock::is_thinking)
    {
        let drop = BlockBinding { prefix_mismatch_behavior: PrefixMismatch::DropBlock };
        *block_binding = Some(drop);
        betas.push(BINDING_BETA);
    }
}

/// True if the turn whose calls are being answered has no thinking: in the manual mode the turn must begin
/// with it (§1.6).
fn lacks_thinking(messages: &[RequestMessage]) -> bool {
    let Some(at) = messages.iter().rposition(|message| message.role == Role::Assistant) else {
        return false;
    };
    let in_loop = messages[at + 1..]
        .iter()
        .flat_map(|message| &message.content)
        .any(|block| matches!(block, ContentBlock::ToolResult { .. }));
    in_loop && !messages[at].content.first().is_some_and(ContentBlock::is_thinking)
}
