//! Whatever the messages of a client are, what goes upstream keeps Anthropic's rules
//! (`reference/anthropic-api.md` §1.6).

use std::collections::HashSet;

use proptest::prelude::*;
use reprise::domain::{
    anthropic::{ContentBlock, RequestMessage, Role},
    catalog::{Catalog, Model},
    openai, translate,
};
use serde_json::{Value, json};

use super::plain;

fn text() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => "[a-z]{1,3} ?".prop_map(Value::from),
        1 => Just(json!("")),
        1 => Just(json!(" \n")),
        1 => Just(Value::Null),
        1 => Just(json!([])),
        1 => Just(json!([{"type": "text", "text": " "}, {"type": "text", "text": "x"}])),
        1 => Just(json!([{"type": "image_url", "image_url": "https://example.com/a.png"}])),
        1 => Just(json!([{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}])),
        1 => Just(json!([{"type": "text", "text": "", "cache_control": {"type": "ephemeral", "ttl": "1h"}}])),
    ]
}

fn id() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c", "a_2", "x.1", "x:1", "ż", ""])
}

fn message() -> impl Strategy<Value = Value> {
    let plain = |role: &'static str| {
        text().prop_map(move |content| json!({"role": role, "content": content}))
    };
    let calls = (text(), prop::collection::vec((id(), "\\{\\}|x|"), 1..4)).prop_map(|(content, calls)| {
        let calls: Vec<Value> = calls
            .into_iter()
            .map(|(id, arguments)| json!({"id": id, "function": {"name": "f", "arguments": arguments}}))
            .collect();
        json!({"role": "assistant", "content": content, "tool_calls": calls})
    });
    let result = (id(), text())
        .prop_map(|(id, content)| json!({"role": "tool", "tool_call_id": id, "content": content}));
    let block = (id(), text()).prop_map(
        |(id, content)| json!({"type": "tool_result", "tool_use_id": id, "content": content}),
    );
    let blocks = (
        prop::collection::vec(block, 1..3),
        prop::sample::select(vec!["user", "tool", "assistant"]),
    )
        .prop_map(|(blocks, role)| json!({"role": role, "content": blocks}));
    let uses = (prop::collection::vec(id(), 1..3), prop::sample::select(vec!["user", "assistant"]))
        .prop_map(|(ids, role)| {
            let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
            json!({"role": role, "content": ids.into_iter().map(call).collect::<Vec<_>>()})
        });
    let item =
        id().prop_map(|id| json!({"type": "function_call_output", "call_id": id, "output": "x"}));
    prop_oneof![
        2 => blocks,
        2 => uses,
        1 => item,
        3 => plain("user"),
        2 => plain("assistant"),
        1 => plain("system"),
        1 => plain("developer"),
        2 => calls,
        4 => result,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn every_history_keeps_the_rules(
        messages in prop::collection::vec(message(), 0..12),
        model in prop::sample::select(vec!["claude-opus-5-5", "claude-sonnet-5", "claude-haiku-4-5"]),
    ) {
        let catalog = Catalog::builtin();
        let body = json!({"model": model, "messages": messages});
        let request = openai::Request::parse(body.to_string().as_bytes()).unwrap();
        match plain(&request, &catalog) {
            Ok(translated) => check(&translated.request.messages, catalog.rules(model)),
            Err(error) => prop_assert_eq!(error, translate::Error::NothingToAnswer),
        }
    }
}

/// Panics at the first rule that is broken.
fn check(messages: &[RequestMessage], rules: &Model) {
    assert_eq!(messages.first().map(|message| message.role), Some(Role::User));
    let mut ids = HashSet::new();
    for (at, RequestMessage { role, content }) in messages.iter().enumerate() {
        let next = messages.get(at + 1);
        assert!(!content.is_empty());
        content.iter().for_each(check_block);
        let calls: Vec<&str> = content
            .iter()
            .filter_map(|block| match block {
                ContentBlock::ToolUse { id, .. } => Some(&**id),
                _ => None,
            })
            .collect();
        for id in &calls {
            assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)), "{id}");
            assert!(!id.is_empty() && ids.insert(*id), "{id:?} is used twice");
        }
        match role {
            Role::User => assert_eq!(results(content).len(), calls_before(messages, at)),
            Role::Assistant => {
                assert_ne!(next.map(|next| next.role), Some(Role::Assistant));
                assert_ne!(next.map(|next| next.role), Some(Role::System));
                let answered = next.map(|next| results(&next.content)).unwrap_or_default();
                assert_eq!(answered, calls, "each call has its result, in order, right after it");
                if next.is_none() {
                    assert!(rules.prefill);
                    let ContentBlock::Text { text } = &content[content.len() - 1] else { panic!() };
                    assert_eq!(text.trim_end(), text);
                }
            }
            Role::System => {
                assert!(rules.system_messages);
                assert_eq!(messages[at - 1].role, Role::User);
                assert!(next.is_none_or(|next| next.role == Role::Assistant));
            }
        }
    }
}

fn check_block(block: &ContentBlock) {
    match block {
        ContentBlock::Text { text } => assert!(!text.trim().is_empty()),
        ContentBlock::ToolUse { input, .. } => assert!(input.get().starts_with('{')),
        ContentBlock::ToolResult { content, is_error, .. } => {
            assert!(!is_error || !content.is_empty());
            content.iter().for_each(check_block);
        }
        ContentBlock::Thinking { signature, .. } => assert!(!signature.is_empty()),
        ContentBlock::RedactedThinking { data } => assert!(!data.is_empty()),
        ContentBlock::Image { .. } | ContentBlock::Document { .. } | ContentBlock::Original(_) => {}
        ContentBlock::CacheMark(_) => panic!("marks are no blocks"),
    }
}

/// The calls that the results at the start of a message answer.
fn results(content: &[ContentBlock]) -> Vec<&str> {
    let ids: Vec<&str> = content
        .iter()
        .map_while(|block| match block {
            ContentBlock::ToolResult { tool_use_id, .. } => Some(&**tool_use_id),
            _ => None,
        })
        .collect();
    let all = content.iter().filter(|block| matches!(block, ContentBlock::ToolResult { .. }));
    assert_eq!(ids.len(), all.count(), "results stand first");
    ids
}

fn calls_before(messages: &[RequestMessage], at: usize) -> usize {
    at.checked_sub(1).map_or(0, |before| {
        let content = &messages[before].content;
        content.iter().filter(|block| matches!(block, ContentBlock::ToolUse { .. })).count()
    })
}
