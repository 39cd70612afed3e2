//! Roles, fields of the request, and arguments of calls in every dialect.

use reprise::domain::openai;
use serde_json::{Value, json};

use super::{MODELS, bytes, conversation, positions, same};

#[test]
fn roles_are_read_as_they_are_meant() {
    let roles = [
        ("User", "user"),
        (" user ", "user"),
        ("human", "user"),
        ("HUMAN", "user"),
        ("Assistant", "assistant"),
        ("model", "assistant"),
        ("ai", "assistant"),
        ("SYSTEM", "system"),
        ("Developer", "developer"),
    ];
    for (dialect, plain) in roles {
        let text = json!("a");
        for (dialect, plain) in positions(dialect, &text).iter().zip(positions(plain, &text)) {
            same("role", dialect, &plain);
        }
    }
    let by_type = json!({"messages": [{"type": "human", "content": "a"}]});
    same("type", &by_type, &json!({"messages": [{"role": "user", "content": "a"}]}));
    assert!(
        openai::Request::parse(br#"{"messages": [{"role": "robot", "content": "a"}]}"#).is_err()
    );
}

#[test]
fn fields_of_the_request_are_read_in_every_dialect() {
    let hi = json!([{"role": "user", "content": "hi"}]);
    let with = |name: &str, value: Value| {
        let mut body = json!({"messages": hi});
        body[name] = value;
        body
    };
    let led = |systems: &[&str]| {
        let mut messages: Vec<Value> =
            systems.iter().map(|text| json!({"role": "system", "content": text})).collect();
        messages.push(hi[0].clone());
        json!({"messages": messages})
    };
    let block =
        json!([{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]);
    same("system", &with("system", json!("Be brief.")), &led(&["Be brief."]));
    same("system", &with("system", json!(["Be brief."])), &led(&["Be brief."]));
    same("instructions", &with("instructions", json!("Be brief.")), &led(&["Be brief."]));
    let meant = json!({"messages": [{"role": "system", "content": block}, hi[0]]});
    same("blocks", &with("system", block), &meant);
    let mut both = led(&["Be kind."]);
    both["system"] = json!("Be brief.");
    same("before the messages", &both, &led(&["Be brief.", "Be kind."]));
    both["instructions"] = json!("Be quick.");
    same("both", &both, &led(&["Be brief.", "Be quick.", "Be kind."]));
    let mut twice = led(&["Be brief."]);
    twice["system"] = json!("Be brief.");
    same("once", &twice, &led(&["Be brief."]));
    same("stop", &with("stop_sequences", json!(["x"])), &with("stop", json!(["x"])));
    same("limit", &with("max_output_tokens", json!(50)), &with("max_tokens", json!(50)));
    let mut both = with("max_output_tokens", json!(50));
    both["max_tokens"] = json!(60);
    same("limit twice", &both, &with("max_tokens", json!(60)));
    for nothing in [
        json!({"system": null}),
        json!({"system": ""}),
        json!({"stop_sequences": []}),
        json!({"system": {"a": 1}}),
        json!({"instructions": 5}),
        json!({"stop_sequences": [5]}),
        json!({"max_output_tokens": "many"}),
        json!({"max_output_tokens": -1}),
        json!({"input": "x"}),
    ] {
        let mut body = json!({"messages": hi});
        body.as_object_mut().unwrap().extend(nothing.as_object().unwrap().clone());
        assert_eq!(bytes(&body, MODELS[0]), bytes(&json!({"messages": hi}), MODELS[0]));
    }
    for given in [
        json!({"input": "hi"}),
        json!({"input": hi, "messages": []}),
        json!({"messages": [null, {"role": "user", "content": "hi"}]}),
        json!({"messages": hi[0]}),
        json!({"input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}]}),
        json!({"input": [{"type": "reasoning", "summary": []}, hi[0]]}),
    ] {
        same("messages", &given, &json!({"messages": hi}));
    }
}

#[test]
fn schemas_and_choices_are_read_under_every_name() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let with = |tool: Value, choice: Value| json!({"messages": [{"role": "user", "content": "hi"}], "tools": [tool], "tool_choice": choice});
    let tool = json!({"type": "function", "function": {"name": "f", "parameters": schema}});
    let plain = |choice: Value| with(tool.clone(), choice);
    let meant = bytes(&plain(json!("auto")), MODELS[0]);
    for field in ["parameters", "input_schema", "inputSchema"] {
        for said in [
            json!({"type": "function", "function": {"name": "f", field: schema}}),
            json!({"function": {"name": "f", field: schema}}),
            json!({"type": "function", "name": "f", field: schema}),
            json!({"name": "f", field: schema}),
            json!({"type": "custom", "name": "f", field: schema}),
            json!({"name": "f", "parameters": null, field: schema}),
            json!({"name": "f", "input_schema": schema, "inputSchema": schema}),
        ] {
            // A field twice is still an error.
            let text = with(said.clone(), json!("auto"));
            assert_eq!(bytes(&text, MODELS[0]), meant, "{said}");
        }
    }
    for (said, choice, single) in [
        (json!({"type": "auto"}), json!("auto"), false),
        (json!({"type": "none"}), json!("none"), false),
        (json!({"type": "any"}), json!("required"), false),
        (json!({"type": "any", "disable_parallel_tool_use": true}), json!("required"), true),
        (json!({"type": "auto", "disable_parallel_tool_use": true}), json!("auto"), true),
        (
            json!({"type": "tool", "name": "f"}),
            json!({"type": "function", "function": {"name": "f"}}),
            false,
        ),
        (
            json!({"type": "function", "name": "f"}),
            json!({"type": "function", "function": {"name": "f"}}),
            false,
        ),
    ] {
        let mut meant = plain(choice);
        if single {
            meant["parallel_tool_calls"] = json!(false);
        }
        for model in MODELS {
            assert_eq!(bytes(&plain(said.clone()), model), bytes(&meant, model), "{said}");
        }
    }
}

#[test]
fn arguments_are_an_object_whatever_is_sent() {
    let body = |arguments: Option<Value>| {
        let mut function = json!({"name": "f"});
        if let Some(arguments) = arguments {
            function["arguments"] = arguments;
        }
        conversation(&[
            json!({"role": "assistant", "content": null, "tool_calls": [{"id": "t1", "type": "function", "function": function}]}),
            json!({"role": "tool", "tool_call_id": "t1", "content": "y"}),
        ])
    };
    let empty = bytes(&body(Some(json!("{}"))), MODELS[0]);
    let nothing = [
        json!("null"),
        json!("[]"),
        json!([]),
        json!(false),
        json!("false"),
        json!(""),
        json!(" \n"),
        json!(null),
        json!({}),
        json!("\"\""),
        json!("\"{}\""),
        json!("\"null\""),
        json!(" null "),
        json!("None"),
        json!("undefined"),
    ];
    for arguments in nothing.into_iter().map(Some).chain([None]) {
        assert_eq!(bytes(&body(arguments.clone()), MODELS[0]), empty, "{arguments:?}");
    }
    let object = json!({"city": "Oslo", "n": [1, {"a": null}]});
    let meant = bytes(&body(Some(object.to_string().into())), MODELS[0]);
    let text = Value::String(object.to_string());
    let nested = Value::String(text.to_string());
    for arguments in [object, text.to_string().into(), nested.to_string().into()] {
        assert_eq!(bytes(&body(Some(arguments.clone())), MODELS[0]), meant, "{arguments}");
    }
    for broken in [
        json!("{'city': 'Oslo'}"),
        json!("{\"city\": "),
        json!("[1]"),
        json!([1]),
        json!(5),
        json!(true),
        json!("\"x\""),
    ] {
        let text = broken.as_str().map_or_else(|| broken.to_string(), str::to_owned);
        let upstream: Value =
            serde_json::from_slice(&bytes(&body(Some(broken)), MODELS[0])).unwrap();
        assert_eq!(upstream["messages"][1]["content"][0]["input"], json!({"INVALID_JSON": text}));
    }
}
