//! What Open WebUI wants to hear besides OpenAI's dialect (`reference/open-webui.md` §3, §6).

use serde_json::json;

use super::{
    budget::{self, Notice},
    exchange::{Cost, NanoDollars},
};

/// What goes into the header box of its connection, so that chats, messages, tasks and users can be told apart.
pub const HEADER_BOX: &str = r#"{"X-OWUI-Task":"{{TASK}}","X-OWUI-Chat":"{{CHAT_ID}}","X-OWUI-Message":"{{MESSAGE_ID}}","X-OWUI-User-Message":"{{USER_MESSAGE_ID}}","X-OWUI-User":"{{USER_ID}}"}"#;

/// An event of a stream that it shows above the answer and keeps: that the ledger answered, and what that saved.
pub fn status_line(saved: Cost) -> String {
    let saved = match saved.amount() {
        Some(NanoDollars(1..)) => format!(" · saved {}", dollars(saved)),
        _ => String::new(),
    };
    event(&format!("Answered from the ledger{saved}"))
}

/// The same for a budget that is nearly spent.
pub fn budget_line(notice: &Notice) -> String {
    let Notice { limit, per, personal, spent, until: _ } = notice;
    let whose = if *personal { "Your budget" } else { "Budget" };
    let (spent, limit) = (budget::dollars(spent.amount), budget::dollars(*limit));
    event(&format!("{whose}: {spent} of {limit} {per} spent"))
}

fn event(description: &str) -> String {
    let data = json!({ "description": description, "done": true });
    format!("data: {}\n\n", json!({ "event": { "type": "status", "data": data } }))
}

/// With four decimals, and as many as it takes below a hundredth of a cent.
fn dollars(cost: Cost) -> String {
    let amount = cost.amount().unwrap_or_default().dollars();
    if amount < 0.0001 {
        format!("${amount:.9}").trim_end_matches('0').to_owned()
    } else {
        format!("${amount:.4}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(nano_dollars: i64) -> String {
        status_line(Cost::Exact(NanoDollars(nano_dollars)))
    }

    #[test]
    fn what_was_saved_is_told_and_never_as_nothing() {
        assert_eq!(
            told(12_345_678),
            "data: {\"event\":{\"type\":\"status\",\"data\":{\"description\":\"Answered from the ledger · saved $0.0123\",\"done\":true}}}\n\n"
        );
        assert!(told(47_000).contains("saved $0.000047\""));
        assert!(told(0).contains("ledger\""));
        assert!(status_line(Cost::Unpriced).contains("ledger\""));
    }
}
