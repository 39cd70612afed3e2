//! Open WebUI's extensions of OpenAI's dialect (`reference/open-webui.md` §3, §6).

use std::time::Duration;

use serde_json::json;

use super::{
    budget::BudgetNotice,
    exchange::{Cost, NanoDollars, thousands},
    translate::EarlyEnd,
};

/// The custom headers for Open WebUI's connection, which tell chats, messages, tasks and users apart.
pub const HEADER_BOX: &str = r#"{"X-OWUI-Task":"{{TASK}}","X-OWUI-Chat":"{{CHAT_ID}}","X-OWUI-Message":"{{MESSAGE_ID}}","X-OWUI-User-Message":"{{USER_MESSAGE_ID}}","X-OWUI-User":"{{USER_ID}}","X-OWUI-User-Name":"{{USER_NAME}}","X-OWUI-User-Email":"{{USER_EMAIL}}"}"#;

/// The part of an answer that came from the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromLedger {
    /// All of it.
    Whole,
    /// One of several steps, with tool calls before or after it.
    Step,
    /// Some of the steps that make it, the last one included.
    Steps(StepCount),
}

/// The steps of an answer that calls tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepCount {
    /// Number of steps.
    pub steps: u32,
    /// Number of those that came from the ledger.
    pub of_ledger: u32,
    /// The cost of asking for these again.
    pub saved: Cost,
}

/// A stream event that Open WebUI shows above the answer and keeps: the ledger gave the answer, which is that old, and
/// saved the cost of asking again; of several steps, the cost of all that it gave.
pub fn status_line(part: FromLedger, age: Duration, saved: Cost) -> String {
    let (answered, saved) = match part {
        FromLedger::Whole => ("Answered".to_owned(), saved),
        FromLedger::Step => ("One step".to_owned(), saved),
        FromLedger::Steps(StepCount { steps, of_ledger, saved }) if of_ledger == steps => {
            (format!("All {steps} steps"), saved)
        }
        FromLedger::Steps(StepCount { steps, of_ledger, saved }) => {
            (format!("{of_ledger} of {steps} steps"), saved)
        }
    };
    let saved = match saved.amount() {
        Some(NanoDollars(1..)) => format!(" · saved {saved:#}"),
        _ => String::new(),
    };
    let age = in_words(age).map(|age| format!(" · asked {age} ago")).unwrap_or_default();
    event(&format!("{answered} from the ledger{age}{saved}"))
}

/// An age in the largest unit of which it has one; `None` below a minute.
fn in_words(age: Duration) -> Option<String> {
    const UNITS: [(u64, &str); 3] = [(86_400, "day"), (3600, "hour"), (60, "minute")];
    let (count, unit) = UNITS.iter().find_map(|(seconds, unit)| {
        let count = age.as_secs() / seconds;
        (count > 0).then_some((count, unit))
    })?;
    Some(format!("{count} {unit}{}", if count == 1 { "" } else { "s" }))
}

/// A status line for an answer of a fixture.
pub fn replay_line() -> String {
    event("Replayed from a fixture")
}

/// A status line for an answer that looks finished and is not, or that says nothing.
pub fn end_line(end: EarlyEnd) -> String {
    match end {
        EarlyEnd::MaxTokens(tokens) => {
            event(&format!("Cut at the limit of {} tokens; press Continue", thousands(tokens)))
        }
        EarlyEnd::ContextFull => {
            event("Cut, because the context window is full; begin a new chat, or delete messages")
        }
        EarlyEnd::Declined => event("Claude declined to answer"),
        EarlyEnd::Silent => event("Claude said nothing; press Regenerate"),
    }
}

/// A status line that Open WebUI does not show, nor those before it: the answer goes on, so it is no longer cut.
pub fn continue_line() -> String {
    line(&json!({ "description": "Continued", "done": true, "hidden": true }))
}

/// A question whose estimated cost is above the operator's limit for warnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DearQuestion {
    /// The estimated cost.
    pub cost: NanoDollars,
    /// The estimated number of tokens of the prompt.
    pub prompt_tokens: u64,
}

/// A status line before an answer of Claude: the cost that the question may have, and a budget.
pub fn question_line(dear: Option<DearQuestion>, budget: Option<&BudgetNotice>) -> Option<String> {
    let dear = dear.map(|DearQuestion { cost, prompt_tokens }| {
        let tokens = thousands(prompt_tokens);
        format!("This question may cost about {:#} ({tokens} tokens of prompt)", cost.about())
    });
    let parts: Vec<String> = dear.into_iter().chain(budget.map(budget_in_words)).collect();
    (!parts.is_empty()).then(|| event(&parts.join(" · ")))
}

fn budget_in_words(notice: &BudgetNotice) -> String {
    let BudgetNotice { limit, per, whose, rest, spent, tells_left, .. } = notice;
    let whose = match *whose {
        "your" => "Your budget",
        "your group's" => "Your group's budget",
        _ => "Budget",
    };
    if !tells_left {
        return format!("{whose}: {spent} of {limit:#} a {per}{rest} spent");
    }
    let most = if spent.is_bound() { "≤ " } else { "" };
    format!("{whose}: {most}{:#} of {limit:#} a {per}{rest} left", notice.left())
}

fn event(description: &str) -> String {
    line(&json!({ "description": description, "done": true }))
}

fn line(data: &serde_json::Value) -> String {
    format!("data: {}\n\n", json!({ "event": { "type": "status", "data": data } }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::budget::{Period, Spent};

    fn line(nano_dollars: i64) -> String {
        status_line(
            FromLedger::Whole,
            Duration::from_secs(59),
            Cost::Exact(NanoDollars(nano_dollars)),
        )
    }

    #[test]
    fn a_bound_stays_one_whether_a_budget_tells_what_is_spent_or_what_is_left() {
        let dollars = NanoDollars::from_dollars;
        let notice = |at_least, tells_left| BudgetNotice {
            limit: dollars(2.0),
            per: Period::Day,
            whose: "your",
            rest: " on m".to_owned(),
            spent: Spent { amount: dollars(1.5), at_least, unpriced: 0 },
            tells_left,
            reserved: NanoDollars(0),
            until: String::new(),
        };
        let dear = DearQuestion { cost: dollars(1.403_21), prompt_tokens: 210_000 };
        for (dear, notice, expected) in [
            (None, Some(notice(0, false)), "Your budget: $1.50 of $2.00 a day on m spent"),
            (None, Some(notice(1, false)), "Your budget: ≥ $1.50 of $2.00 a day on m spent"),
            (None, Some(notice(0, true)), "Your budget: $0.50 of $2.00 a day on m left"),
            (None, Some(notice(1, true)), "Your budget: ≤ $0.50 of $2.00 a day on m left"),
            (
                Some(dear),
                Some(notice(0, true)),
                "This question may cost about $1.40 (210,000 tokens of prompt) · \
                 Your budget: $0.50 of $2.00 a day on m left",
            ),
        ] {
            let line = question_line(dear, notice.as_ref()).unwrap();
            assert!(line.contains(&format!(":\"{expected}\",")), "{line}");
        }
        assert_eq!(question_line(None, None), None);
    }

    #[test]
    fn what_was_saved_is_told_and_never_as_nothing() {
        assert_eq!(
            line(12_345_678),
            "data: {\"event\":{\"type\":\"status\",\"data\":{\"description\":\"Answered from the ledger · saved $0.0123\",\"done\":true}}}\n\n"
        );
        assert!(line(47_000).contains("saved $0.000047\""));
        assert!(line(0).contains("ledger\""));
        assert!(line(75_390).contains("saved $0.000075\""));
        assert!(line(122_850).contains("saved $0.00012\""));
        assert!(line(1).contains("saved $0.000000001\""));
        let age = Duration::from_secs(3 * 86_400 + 7);
        let bound = status_line(FromLedger::Whole, age, Cost::AtLeast(NanoDollars(12_345_678)));
        assert!(bound.contains("ledger · asked 3 days ago · saved ≥ $0.0123\""), "{bound}");
        let step = status_line(FromLedger::Step, Duration::from_hours(1), Cost::Unpriced);
        assert!(step.contains("One step from the ledger · asked 1 hour ago\""), "{step}");
    }
}
