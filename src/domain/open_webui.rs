//! What Open WebUI wants to hear besides OpenAI's dialect (`reference/open-webui.md` §3, §6).

use serde_json::json;

use super::{
    budget::Notice,
    exchange::{Cost, NanoDollars},
};

/// What goes into the header box of its connection, so that chats, messages, tasks and users can be told apart.
pub const HEADER_BOX: &str = r#"{"X-OWUI-Task":"{{TASK}}","X-OWUI-Chat":"{{CHAT_ID}}","X-OWUI-Message":"{{MESSAGE_ID}}","X-OWUI-User-Message":"{{USER_MESSAGE_ID}}","X-OWUI-User":"{{USER_ID}}"}"#;

/// How much of what a person sees the ledger answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// The whole answer.
    Answer,
    /// One step of several: tools are called before or after it, and the others may have been asked.
    Step,
}

/// An event of a stream that it shows above the answer and keeps: that the ledger answered, and what that saved.
pub fn status_line(share: Share, saved: Cost) -> String {
    let saved = match saved.amount() {
        Some(NanoDollars(1..)) => format!(" · saved {saved:#}"),
        _ => String::new(),
    };
    let answered = match share {
        Share::Answer => "Answered from the ledger",
        Share::Step => "One step from the ledger",
    };
    event(&format!("{answered}{saved}"))
}

/// The same for a budget that is nearly spent.
pub fn budget_line(notice: &Notice) -> String {
    let Notice { limit, per, personal, spent, until: _ } = notice;
    let whose = if *personal { "Your budget" } else { "Budget" };
    event(&format!("{whose}: {:#} of {limit:#} a {per} spent", spent.amount))
}

fn event(description: &str) -> String {
    let data = json!({ "description": description, "done": true });
    format!("data: {}\n\n", json!({ "event": { "type": "status", "data": data } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(nano_dollars: i64) -> String {
        status_line(Share::Answer, Cost::Exact(NanoDollars(nano_dollars)))
    }

    #[test]
    fn what_was_saved_is_told_and_never_as_nothing() {
        assert_eq!(
            told(12_345_678),
            "data: {\"event\":{\"type\":\"status\",\"data\":{\"description\":\"Answered from the ledger · saved $0.0123\",\"done\":true}}}\n\n"
        );
        assert!(told(47_000).contains("saved $0.000047\""));
        assert!(told(0).contains("ledger\""));
        assert!(told(75_390).contains("saved $0.000075\""));
        assert!(told(122_850).contains("saved $0.00012\""));
        assert!(told(1).contains("saved $0.000000001\""));
        let bound = status_line(Share::Answer, Cost::AtLeast(NanoDollars(12_345_678)));
        assert!(bound.contains("saved ≥ $0.0123\""), "{bound}");
        let step = status_line(Share::Step, Cost::Unpriced);
        assert!(step.contains("One step from the ledger\""), "{step}");
    }
}
