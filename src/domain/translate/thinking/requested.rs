//! The thinking that a client asks for, in any form that clients use (`reference/anthropic-api.md` §9.2).

use serde_json::Value;

use super::LEAST_BUDGET;
use crate::domain::{
    anthropic::{Display, Effort},
    openai,
    translate::note::{Error, Notes},
};

/// Thinking, as a client asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ThinkingMode {
    /// The client does not say.
    Unspecified,
    /// Without thinking.
    Off,
    /// With thinking.
    On(ThinkingOptions),
}

/// Options for thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ThinkingOptions {
    pub(super) effort: Option<Effort>,
    /// Tokens.
    pub(super) budget: Option<u32>,
    /// Selects the manual mode, which some models accept beside the adaptive one.
    pub(super) manual: bool,
    pub(super) display: Display,
}

impl ThinkingOptions {
    const fn of(effort: Option<Effort>) -> Self {
        Self { effort, budget: None, manual: false, display: Display::Summarized }
    }
}

/// The thinking that the client asks for. Anthropic's field `thinking` has priority; `reasoning` is OpenRouter's.
pub(super) fn requested(
    request: &openai::Request,
    notes: &mut Notes,
) -> Result<ThinkingMode, Error> {
    let given = |name| request.extra.get(name).filter(|value: &&Value| !value.is_null());
    let config = given("output_config");
    let from_config = config.and_then(|config| config.get("effort"));
    let others = config.and_then(Value::as_object).into_iter().flatten();
    if others.into_iter().any(|(name, value)| name != "effort" && !value.is_null()) {
        notes.add(
            "output_config",
            "only its effort is read; response_format sets the format of the answer",
        );
    }
    let effort = match (&request.reasoning_effort, from_config.and_then(Value::as_str)) {
        (Some(effort), _) => parse_effort("reasoning_effort", effort)?,
        (None, Some(effort)) => parse_effort("output_config.effort", effort)?,
        (None, None) => ThinkingMode::Unspecified,
    };
    let mode = match given("thinking") {
        Some(thinking) => {
            let merged = merge(parse_thinking(thinking)?, effort);
            if merged == ThinkingMode::Off && matches!(effort, ThinkingMode::On(_)) {
                notes.add("reasoning_effort", "is left out, because thinking is turned off");
            }
            merged
        }
        None => effort,
    };
    match given("reasoning") {
        Some(reasoning) if mode == ThinkingMode::Unspecified => parse_reasoning(reasoning),
        Some(_) => {
            notes.add("reasoning", "is left out, because other fields set the thinking");
            Ok(mode)
        }
        None => Ok(mode),
    }
}

fn parse_effort(field: &'static str, word: &str) -> Result<ThinkingMode, Error> {
    Ok(match word.trim().to_ascii_lowercase().as_str() {
        "" | "default" | "auto" => ThinkingMode::Unspecified,
        "none" | "off" | "disabled" => ThinkingMode::Off,
        "minimal" => ThinkingMode::On(ThinkingOptions {
            budget: Some(LEAST_BUDGET),
            ..ThinkingOptions::of(Some(Effort::Low))
        }),
        "low" => ThinkingMode::On(ThinkingOptions::of(Some(Effort::Low))),
        "medium" => ThinkingMode::On(ThinkingOptions::of(Some(Effort::Medium))),
        "high" => ThinkingMode::On(ThinkingOptions::of(Some(Effort::High))),
        "xhigh" => ThinkingMode::On(ThinkingOptions::of(Some(Effort::Xhigh))),
        "max" => ThinkingMode::On(ThinkingOptions::of(Some(Effort::Max))),
        _ => {
            let range = "none, minimal, low, medium, high, xhigh or max";
            return Err(Error::OutOfRange { field, range });
        }
    })
}

fn parse_thinking(thinking: &Value) -> Result<ThinkingMode, Error> {
    let display = match thinking.get("display").and_then(Value::as_str) {
        Some("omitted") => Display::Omitted,
        _ => Display::Summarized,
    };
    let budget = thinking.get("budget_tokens").and_then(Value::as_u64);
    let budget = budget.map(|tokens| u32::try_from(tokens).unwrap_or(u32::MAX));
    let on = |manual| ThinkingMode::On(ThinkingOptions { effort: None, budget, manual, display });
    match (thinking.get("type").and_then(Value::as_str), thinking) {
        (Some("adaptive" | "auto"), _) | (None, Value::Bool(true)) => Ok(on(false)),
        (Some("enabled"), _) => Ok(on(budget.is_some())),
        (Some("disabled" | "between_tools"), _) | (None, Value::Bool(false)) => {
            Ok(ThinkingMode::Off)
        }
        _ => Err(Error::OutOfRange {
            field: "thinking.type",
            range: "adaptive, enabled, disabled or between_tools",
        }),
    }
}

fn parse_reasoning(reasoning: &Value) -> Result<ThinkingMode, Error> {
    if let Some(effort) = reasoning.as_str() {
        return parse_effort("reasoning", effort);
    }
    let flag = |name| reasoning.get(name).and_then(Value::as_bool);
    let effort = match reasoning.get("effort").and_then(Value::as_str) {
        Some(effort) => parse_effort("reasoning.effort", effort)?,
        None => ThinkingMode::Unspecified,
    };
    let budget = reasoning.get("max_tokens").and_then(Value::as_u64);
    let budget = budget.map(|tokens| u32::try_from(tokens).unwrap_or(u32::MAX));
    if flag("enabled") == Some(false) || effort == ThinkingMode::Off {
        return Ok(ThinkingMode::Off);
    }
    if effort == ThinkingMode::Unspecified && budget.is_none() && flag("enabled") != Some(true) {
        return Ok(ThinkingMode::Unspecified);
    }
    let effort = if let ThinkingMode::On(options) = effort { options.effort } else { None };
    let display =
        if flag("exclude") == Some(true) { Display::Omitted } else { Display::Summarized };
    Ok(ThinkingMode::On(ThinkingOptions { effort, budget, manual: false, display }))
}

/// `thinking` says whether, the effort says how hard.
fn merge(thinking: ThinkingMode, effort: ThinkingMode) -> ThinkingMode {
    match (thinking, effort) {
        (ThinkingMode::On(options), ThinkingMode::On(ThinkingOptions { effort, budget, .. })) => {
            ThinkingMode::On(ThinkingOptions {
                effort,
                budget: options.budget.or(budget),
                ..options
            })
        }
        (thinking, _) => thinking,
    }
}
