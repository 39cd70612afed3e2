//! Open WebUI's extensions of OpenAI's dialect (`reference/open-webui.md` §3, §6).

use serde_json::json;

use super::{
    budget::BudgetNotice,
    exchange::{Cost, NanoDollars},
};

/// The custom headers for Open WebUI's connection, which tell chats, messages, tasks and users apart.
pub const HEADER_BOX: &str = r#"{"X-OWUI-Task":"{{TASK}}","X-OWUI-Chat":"{{CHAT_ID}}","X-OWUI-Message":"{{MESSAGE_ID}}","X-OWUI-User-Message":"{{USER_MESSAGE_ID}}","X-OWUI-User":"{{USER_ID}}"}"#;

/// A stream event that Open WebUI shows above the answer and keeps: the ledger gave the answer, and saved its cost.
/// A step is one of several answers, with tool calls before or after it.
pub fn status_line(is_step: bool, saved: Cost) -> String {
    let saved = match saved.amount() {
        Some(NanoDollars(1..)) => format!(" · saved {saved:#}"),
        _ => String::new(),
    };
    let answered = if is_step { "One step from the ledger" } else { "Answered from the ledger" };
    event(&format!("{answered}{saved}"))
}

/// A status line for a budget that is nearly spent.
pub fn budget_line(notice: &BudgetNotice) -> String {
    let BudgetNotice { limit, per, whose, rest, spent, .. } = notice;
    let whose = match *whose {
        "your" => "Your budget",
        "your group's" => "Your group's budget",
        _ => "Budget",
    };
    event(&format!("{whose}: {:#} of {limit:#} a {per}{rest} spent", spent.amount))
}

fn event(description: &str) -> String {
    let data = json!({ "description": description, "done": true });
    format!("data: {}\n\n", json!({ "event": { "type": "status", "data": data } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(nano_dollars: i64) -> String {
        status_line(false, Cost::Exact(NanoDollars(nano_dollars)))
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
        let bound = status_line(false, Cost::AtLeast(NanoDollars(12_345_678)));
        assert!(bound.contains("saved ≥ $0.0123\""), "{bound}");
        let step = status_line(true, Cost::Unpriced);
        assert!(step.contains("One step from the ledger\""), "{step}");
    }
}
