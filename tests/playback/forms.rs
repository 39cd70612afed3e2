//! Answers in the forms that a request can ask for: tools by the client's names, custom tools, the old form of a call.
//! The forms are those that requests are translated to, not made here.

use std::sync::Arc;

use proptest::prelude::*;
use reprise::domain::{
    alias::Aliases,
    anthropic::Tool,
    catalog::Catalog,
    openai,
    translate::{Cancellation, Form, Occasion, Originals, TranslateContext, Translated, request},
};
use serde_json::{Value, json};

use super::{agree_in, client::Heard, made_up, record};

/// What is said to clients that send this, streaming or not. Input comes in two pieces, as the text of a custom tool is
/// known only when both are there.
fn told(body: &Value, blocks: &[Value], stop_reason: &str) -> Heard {
    told_in(&form(body), blocks, stop_reason, &|input| {
        let (first, second) = input.split_at(input.len() / 2);
        vec![first, second]
    })
}

/// The same with input that `cut` cuts into pieces. Input that is no text comes with the start of its block.
fn told_in(
    form: &Arc<Form>,
    blocks: &[Value],
    stop_reason: &str,
    cut: &dyn for<'a> Fn(&'a str) -> Vec<&'a str>,
) -> Heard {
    let mut events =
        vec![json!({"type": "message_start", "message": {"id": "msg_1", "model": "claude",
        "content": [], "usage": {"input_tokens": 3, "output_tokens": 1}}})];
    for (index, block) in blocks.iter().enumerate() {
        let (field, delta) = match block["type"].as_str() {
            Some("text") => ("text", "text"),
            _ => ("input", "partial_json"),
        };
        let mut start = block.clone();
        if start[field].is_string() {
            start[field] = if delta == "text" { json!("") } else { json!({}) };
        }
        events.push(json!({"type": "content_block_start", "index": index, "content_block": start}));
        let kind = if delta == "text" { "text_delta" } else { "input_json_delta" };
        for piece in cut(block[field].as_str().unwrap_or_default()) {
            events.push(json!({"type": "content_block_delta", "index": index,
                "delta": {"type": kind, delta: piece}}));
        }
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    events.push(json!({"type": "message_delta", "delta": {"stop_reason": stop_reason}}));
    events.push(json!({"type": "message_stop"}));
    let event =
        |data: &Value| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap());
    let sse: String = events.iter().map(event).collect();
    let (recording, _) = record(&[sse.as_bytes()]);
    agree_in(form, &recording, "told").unwrap()
}

/// The form in which this request wants its answer.
fn form(tools: &Value) -> Arc<Form> {
    Arc::new(translated(tools).form)
}

fn translated(tools: &Value) -> Translated {
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
        cancellation: Cancellation::NEVER,
    };
    request(&given, &context).unwrap()
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

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

#[test]
fn a_blank_stop_sequence_ends_the_answer() {
    let stop = json!({"stop": ["\n\n", "END"], "tools": [{"name": "f"}]});
    let call = || call("toolu_1", "f", "{}");
    for (blocks, reason, content, finish_reason) in [
        (vec![text("a\nb\n\nc\n\nd")], "max_tokens", "a\nb", "stop"),
        (vec![text("a"), text("b\n\n"), call(), text("c")], "tool_use", "ab", "stop"),
        (vec![text("a\n"), text("\nb")], "end_turn", "a", "stop"),
        (vec![text("a\n"), call(), text("\nb")], "tool_use", "a", "tool_calls"),
        (vec![text("\n\nNo.")], "refusal", "", "stop"),
        (vec![text("a\n")], "max_tokens", "a\n", "length"),
        (vec![text("a\n"), call()], "tool_use", "a\n", "tool_calls"),
        (vec![text("a b")], "stop_sequence", "a b", "stop"),
    ] {
        let heard = told(&stop, &blocks, reason);
        assert_eq!(
            (&*heard.content(), heard.finish_reason()),
            (content, finish_reason),
            "{blocks:?}"
        );
    }
    let json = json!({"stop": "\n", "response_format": {"type": "json_object"}});
    let heard = told(&json, &[text("```json\n{\"a\": 1}\n```\n")], "end_turn");
    assert_eq!(heard.content(), r#"{"a": 1}"#, "the fence is no text of the answer");
}

#[test]
fn an_answer_that_ends_its_turn_with_calls_asks_for_them() {
    for (body, finish_reason) in [
        (json!({"tools": [{"name": "f"}]}), "tool_calls"),
        (json!({"functions": [{"name": "f"}]}), "function_call"),
    ] {
        for reason in ["tool_use", "end_turn", "stop_sequence", "new_reason"] {
            let heard = told(&body, &[text("a"), call("toolu_1", "f", "{}")], reason);
            assert_eq!(heard.finish_reason(), finish_reason, "{reason}");
        }
        for (reason, expected) in [("max_tokens", "length"), ("refusal", "content_filter")] {
            let heard = told(&body, &[call("toolu_1", "f", "{}")], reason);
            assert_eq!(heard.finish_reason(), expected);
        }
        assert_eq!(told(&body, &[text("a")], "end_turn").finish_reason(), "stop");
    }
}

/// Names that Anthropic refuses for properties, and words that stay among them.
fn properties() -> Vec<String> {
    let names =
        ["filter[id]", "$top", "a b", "", "日本👍", "\"\\\n", "@id", "a/b~c", "__proto__", "a_b"];
    let mut names: Vec<String> = names.map(str::to_owned).into();
    names.push("x".repeat(70));
    names
}

/// Tools with all of these properties, and their names upstream in the same order.
fn tools_with(properties: &[String]) -> (Value, Vec<String>) {
    let schemas: serde_json::Map<String, Value> =
        properties.iter().map(|name| (name.clone(), json!({}))).collect();
    let parameters = json!({"type": "object", "properties": schemas});
    let body = json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": parameters}}]});
    let translated = translated(&body);
    let Tool::Client(tool) = &translated.request.tools[0] else { panic!("it is the client's") };
    let upstream = tool.input_schema["properties"].as_object().unwrap().keys().cloned().collect();
    (body, upstream)
}

/// Arguments with a name in many places, as Claude may write them.
fn arguments(name: &str) -> Value {
    json!({name: [name, {name: {"a_": 1, name: null}}, [{"b": {name: "{\"$top\":\"é👍"}}]], "c": name})
}

#[test]
fn properties_get_their_original_names_in_any_pieces() {
    let original = properties();
    let (body, upstream) = tools_with(&original);
    let form = form(&body);
    for (original, upstream) in original.iter().zip(&upstream) {
        let mut claudes = arguments(upstream);
        let mut expected = arguments(original);
        // Only keys are names.
        claudes["c"] = json!("c");
        expected["c"] = json!("c");
        claudes[upstream][0] = json!("v");
        expected[original][0] = json!("v");
        let input = claudes.to_string();
        for (at, _) in input.char_indices() {
            let heard = told_in(&form, &[call("toolu_1", "f", &input)], "tool_use", &|text| {
                vec![&text[..at], &text[at..]]
            });
            assert_eq!(heard.arguments(), [expected.clone()], "{input} cut at {at}");
        }
        let input = format!("{claudes:#}");
        let heard = told_in(&form, &[call("toolu_1", "f", &input)], "tool_use", &|text| {
            text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]).collect()
        });
        assert_eq!(heard.arguments(), [expected.clone()], "{input}");
        let whole = json!({"type": "tool_use", "id": "toolu_1", "name": "f", "input": claudes});
        let heard = told_in(&form, &[whole], "tool_use", &|_| Vec::new());
        assert_eq!(heard.arguments(), [expected.clone()], "whole");
    }
}

#[test]
fn the_old_form_and_arguments_that_are_cut_short_have_the_original_names_too() {
    let parameters = json!({"type": "object", "properties": {"$top": {}}});
    let functions = json!({"functions": [{"name": "f", "parameters": parameters}]});
    let tools = json!({"tools": [{"name": "f", "parameters": parameters}]});
    let Tool::Client(tool) = translated(&tools).request.tools[0].clone() else { panic!() };
    let name = tool.input_schema["properties"].as_object().unwrap().keys().next().unwrap().clone();
    let calls = [call("toolu_1", "f", &format!(r#"{{"{name}":1}}"#)), call("toolu_2", "f", "{}")];
    let heard = told(&functions, &calls, "tool_use");
    assert_eq!(heard.function_call(), Some(("f", json!({"$top": 1}))));
    let heard = told(&tools, &[call("toolu_1", "f", "")], "tool_use");
    assert_eq!(heard.given(), ["{}"]);
    for (cut, expected) in [
        (format!(r#"{{"{name}":[{{"{name}":1"#), r#"{"$top":[{"$top":1"#.to_owned()),
        (format!(r#"{{"{name}":"{name}"#), format!(r#"{{"$top":"{name}"#)),
        (format!(r#"{{"{name}"#), format!(r#"{{"{name}"#)),
        (r#"{"_to"#.to_owned(), r#"{"_to"#.to_owned()),
    ] {
        let heard = told(&tools, &[call("toolu_1", "f", &cut)], "max_tokens");
        assert_eq!(heard.given(), [expected]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn made_up_answers_are_understood_alike_in_all_forms(answer in made_up::answer()) {
        let (recording, _) = record(&[answer.sse().as_bytes()]);
        let custom = json!({"tools": [{"type": "custom", "custom": {"name": "f"}}]});
        let functions = json!({"functions": [{"name": "f"}]});
        let (renamed, _) = tools_with(&properties());
        let stopped = agree_in(&form(&json!({"stop": " "})), &recording, "stopped").unwrap();
        let text = answer.text();
        prop_assert_eq!(stopped.content(), text.split(' ').next().unwrap());
        for body in [custom, functions, renamed] {
            let heard = agree_in(&form(&body), &recording, "made up").unwrap();
            prop_assert_eq!(heard.content(), answer.text());
            prop_assert_eq!(heard.details(), answer.thinking());
        }
    }
}
