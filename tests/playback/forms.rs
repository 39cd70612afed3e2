//! Answers in the forms that a request can ask for: tools by the client's names, custom tools, the old form of a call.
//! The forms are those that requests are translated to, not made here.

use std::sync::Arc;

use proptest::prelude::*;
use reprise::domain::{
    alias::Aliases,
    catalog::Catalog,
    openai,
    translate::{Form, Occasion, Originals, TranslateContext, request},
};
use serde_json::{Value, json};

use super::{agree_in, client::Heard, made_up, record};

/// What is said to clients that send this, streaming or not.
fn told(body: &Value, blocks: &[Value], stop_reason: &str) -> Heard {
    let mut events =
        vec![json!({"type": "message_start", "message": {"id": "msg_1", "model": "claude",
        "content": [], "usage": {"input_tokens": 3, "output_tokens": 1}}})];
    for (index, block) in blocks.iter().enumerate() {
        let mut start = block.clone();
        start["input"] = json!({});
        let input = block["input"].as_str().unwrap_or_default();
        // In two pieces, as the text of a custom tool is known only when both are there.
        let (first, second) = input.split_at(input.len() / 2);
        events.push(json!({"type": "content_block_start", "index": index, "content_block": start}));
        for piece in [first, second] {
            events.push(json!({"type": "content_block_delta", "index": index,
                "delta": {"type": "input_json_delta", "partial_json": piece}}));
        }
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    events.push(json!({"type": "message_delta", "delta": {"stop_reason": stop_reason}}));
    events.push(json!({"type": "message_stop"}));
    let event =
        |data: &Value| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap());
    let sse: String = events.iter().map(event).collect();
    let (recording, _) = record(&[sse.as_bytes()]);
    agree_in(&form(body), &recording, "told").unwrap()
}

/// The form in which this request wants its answer.
fn form(tools: &Value) -> Arc<Form> {
    let mut body =
        json!({"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "Hi"}]});
    for (name, value) in tools.as_object().unwrap() {
        body[name] = value.clone();
    }
    let given = openai::Request::parse(body.to_string().as_bytes()).unwrap();
    let (catalog, originals) = (Catalog::builtin(), Originals::new());
    let aliases = Aliases::default();
    let context = TranslateContext {
        catalog: &catalog,
        aliases: &aliases,
        occasion: Occasion::Plain,
        originals: &originals,
    };
    Arc::new(request(&given, &context).unwrap().form)
}

fn call(id: &str, name: &str, input: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": name, "input": input})
}

#[test]
fn a_tool_is_called_by_the_name_that_the_client_gave_it() {
    let body = json!({"tools": [{"type": "function", "function": {"name": "files.read"}}]});
    let name = form(&body).tools.keys().next().unwrap().clone();
    assert_ne!(name, "files.read");
    let heard = told(&body, &[call("toolu_1", &name, r#"{"a":1}"#)], "tool_use");
    assert_eq!(heard.called(), [("function", "files.read")]);
    assert_eq!(heard.arguments(), [json!({"a": 1})]);
}

#[test]
fn a_custom_tool_is_given_a_text() {
    let body = json!({"tools": [{"type": "custom", "custom": {"name": "sql"}},
        {"type": "function", "function": {"name": "f"}}]});
    let calls = [
        call("toolu_1", "sql", r#"{"input":"SELECT \"a\"\n€"}"#),
        call("toolu_2", "f", ""),
        call("toolu_3", "sql", ""),
    ];
    let heard = told(&body, &calls, "tool_use");
    assert_eq!(heard.called(), [("custom", "sql"), ("function", "f"), ("custom", "sql")]);
    assert_eq!(heard.given(), ["SELECT \"a\"\n€", "{}", ""]);
}

#[test]
fn what_was_cut_short_of_a_custom_tool_s_input_is_told_as_it_is() {
    let body = json!({"tools": [{"type": "custom", "custom": {"name": "sql"}}]});
    let heard = told(&body, &[call("toolu_1", "sql", r#"{"input":"SEL"#)], "max_tokens");
    assert_eq!(heard.given(), [r#"{"input":"SEL"#]);
}

#[test]
fn a_client_of_functions_gets_the_first_call_in_the_old_form() {
    let body = json!({"functions": [{"name": "a.b"}, {"name": "c"}]});
    let name = form(&body).tools.keys().next().unwrap().clone();
    let calls = [call("toolu_1", &name, r#"{"a":1}"#), call("toolu_2", "c", "{}")];
    let heard = told(&body, &calls, "tool_use");
    assert_eq!(heard.function_call(), Some(("a.b", json!({"a": 1}))));
    assert_eq!((heard.called(), heard.finish_reason()), (Vec::new(), "function_call"));
    let heard = told(&body, &[call("toolu_2", "c", "")], "tool_use");
    assert_eq!(heard.function_call(), Some(("c", json!({}))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn made_up_answers_are_understood_alike_in_all_forms(answer in made_up::answer()) {
        let (recording, _) = record(&[answer.sse().as_bytes()]);
        let custom = json!({"tools": [{"type": "custom", "custom": {"name": "f"}}]});
        let functions = json!({"functions": [{"name": "f"}]});
        for body in [custom, functions] {
            let heard = agree_in(&form(&body), &recording, "made up").unwrap();
            prop_assert_eq!(heard.content(), answer.text());
            prop_assert_eq!(heard.details(), answer.thinking());
        }
    }
}
