//! Equal meaning is translated equally: what a client says in another dialect becomes the same request upstream as
//! what it would say in OpenAI's.

mod requests;
mod results;

use std::sync::LazyLock;

use reprise::domain::{
    anthropic::CanonicalRequest,
    catalog::Catalog,
    openai,
    translate::{self, Translated},
};
use serde_json::{Value, json};

use super::plain;

static CATALOG: LazyLock<Catalog> = LazyLock::new(Catalog::builtin);

const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const MODELS: [&str; 3] = ["claude-haiku-4-5", "claude-sonnet-5", "claude-opus-5-5"];

fn outcome(body: &Value, model: &str) -> Result<Translated, translate::Error> {
    let mut body = body.clone();
    body["model"] = model.into();
    let request = openai::Request::parse(body.to_string().as_bytes()).unwrap_or_else(|error| {
        panic!("{error}: {body}");
    });
    plain(&request, &CATALOG)
}

fn bytes(body: &Value, model: &str) -> Vec<u8> {
    let translated = outcome(body, model).unwrap_or_else(|error| panic!("{error}: {body}"));
    CanonicalRequest::of(&translated.request).body()
}

/// Both bodies mean the same, and the first has a note of what was changed in it.
fn same(name: &str, dialect: &Value, plain: &Value) {
    for model in MODELS {
        let said = String::from_utf8(bytes(dialect, model)).unwrap();
        let meant = String::from_utf8(bytes(plain, model)).unwrap();
        assert_eq!(said, meant, "{name}: {dialect}");
        let notes = outcome(dialect, model).unwrap().notes;
        assert!(!notes.is_empty(), "{name} is not noted");
        let again = bytes(dialect, model);
        assert_eq!(String::from_utf8(again).unwrap(), said, "{name}");
    }
}

/// Bodies in which a message of this role and content stands in the last turn, in an earlier one, after the first, and
/// as a prefix of others.
fn positions(role: &str, content: &Value) -> Vec<Value> {
    let user = json!({"role": "user", "content": "Hi"});
    let assistant = json!({"role": "assistant", "content": "Yes?"});
    let message = json!({"role": role, "content": content});
    [
        json!([message]),
        json!([user, message]),
        json!([user, assistant, message]),
        json!([message, assistant, user]),
        json!([user, message, assistant, user]),
        json!([user, assistant, user, message, user]),
    ]
    .into_iter()
    .map(|messages| json!({"messages": messages}))
    .collect()
}

#[test]
fn parts_of_other_dialects_are_read_in_any_role_and_turn() {
    let data = format!("data:image/png;base64,{PIXEL}");
    let picture = json!({"type": "image_url", "image_url": {"url": data}});
    let text = json!({"type": "text", "text": "a"});
    let cases = [
        (json!([{"type": "input_text", "text": "a"}]), json!([text])),
        (json!([{"type": "output_text", "text": "a", "annotations": []}]), json!([text])),
        (json!([{"type": "input_text", "text": "a"}, text]), json!([text, text])),
        (json!({"type": "text", "text": "a"}), json!([text])),
        (json!({"type": "input_text", "text": "a"}), json!([text])),
        (json!({"text": "a"}), json!([text])),
        (json!([{"text": "a"}]), json!([text])),
        (json!(["a", "b"]), json!([text, {"type": "text", "text": "b"}])),
        (json!([["a"], [[text]]]), json!([text, text])),
        (json!(["a", null]), json!([text])),
        (json!(["a", 5]), json!([text, {"type": "text", "text": "5"}])),
        (json!([text, {"type": "text", "text": null}]), json!([text])),
        (json!([text, {"type": "text"}]), json!([text])),
        (json!([{"type": "text", "text": 5}]), json!([{"type": "text", "text": "5"}])),
        (json!([{"type": "text", "text": {"value": "a", "annotations": []}}]), json!([text])),
        (json!([text, {"type": "input_image", "image_url": data}]), json!([text, picture])),
        (
            json!([text, {"type": "input_image", "image_url": {"url": data}}]),
            json!([text, picture]),
        ),
        (
            json!([text, {"type": "input_image", "image_url": data, "detail": "high"}]),
            json!([text, {"type": "image_url", "image_url": {"url": data, "detail": "high"}}]),
        ),
        (json!([text, {"type": "image_url", "url": data}]), json!([text, picture])),
        (json!([text, {"type": "image", "image": data}]), json!([text, picture])),
        (
            json!([text, {"type": "image", "data": PIXEL, "mimeType": "image/png"}]),
            json!([text, picture]),
        ),
        (
            json!([text, {"type": "input_image", "file_id": "file_1"}]),
            json!([text, {"type": "image", "source": {"type": "file", "file_id": "file_1"}}]),
        ),
        (
            json!([text, {"type": "input_file", "filename": "a.txt", "file_data": "aGVsbG8="}]),
            json!([text, {"type": "file", "file": {"filename": "a.txt", "file_data": "aGVsbG8="}}]),
        ),
        (
            json!([text, {"type": "input_file", "file_url": "https://example.com/a.pdf"}]),
            json!([text, {"type": "file", "file": {"file_data": "https://example.com/a.pdf"}}]),
        ),
        (
            json!([{"type": "document", "source": {"type": "content", "content": "a"}}]),
            json!([text]),
        ),
        (
            json!([{"type": "document", "source": {"type": "content", "content": [text]}}]),
            json!([text]),
        ),
        (
            json!([{"type": "input_text", "text": "a", "cache_control": {"type": "ephemeral"}}]),
            json!([{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]),
        ),
    ];
    for role in ["user", "assistant", "system", "developer"] {
        for (dialect, plain) in &cases {
            for (dialect, plain) in positions(role, dialect).iter().zip(positions(role, plain)) {
                if outcome(&plain, MODELS[0]).is_err() {
                    // Only pictures and files where nobody speaks.
                    assert!(outcome(dialect, MODELS[0]).is_err(), "{dialect}");
                    continue;
                }
                same(role, dialect, &plain);
            }
        }
    }
}

/// A conversation with one call and its result, in OpenAI's form.
fn with_call(result: &Value) -> Value {
    conversation(&[
        json!({"role": "assistant", "content": "One moment.", "tool_calls": [
            {"id": "toolu_1", "type": "function", "function": {"name": "f", "arguments": "{\"city\":\"Oslo\"}"}}]}),
        json!({"role": "tool", "tool_call_id": "toolu_1", "content": result}),
    ])
}

fn conversation(turn: &[Value]) -> Value {
    let mut messages = vec![json!({"role": "user", "content": "weather?"})];
    messages.extend_from_slice(turn);
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    json!({
        "messages": messages,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": parameters}}],
    })
}

/// The same with an answer and a question after it.
fn earlier(body: &Value) -> Value {
    let mut body = body.clone();
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": "Rain."}));
    messages.push(json!({"role": "user", "content": "Thanks"}));
    body
}

#[test]
fn calls_and_results_are_read_in_every_dialect() {
    let input = json!({"city": "Oslo"});
    let text = json!({"type": "text", "text": "One moment."});
    let calls = [
        json!({"type": "tool_use", "id": "toolu_1", "name": "f", "input": input}),
        json!({"type": "tool-call", "toolCallId": "toolu_1", "toolName": "f", "input": input}),
        json!({"type": "tool-call", "toolCallId": "toolu_1", "toolName": "f", "args": input}),
        json!({"type": "function_call", "id": "fc_1", "call_id": "toolu_1", "name": "f", "arguments": input.to_string()}),
        json!({"type": "tool_call", "id": "toolu_1", "function": {"name": "f", "arguments": input.to_string()}}),
    ];
    let twin = json!([{"id": "toolu_1", "type": "function", "function": {"name": "f", "arguments": input.to_string()}}]);
    let mut turns = Vec::new();
    for call in &calls {
        let role = "assistant";
        turns.push(vec![json!({"role": role, "content": [text, call]})]);
        turns.push(vec![json!({"role": role, "content": [call, text]})]);
        turns.push(vec![json!({"role": role, "content": [text, call], "tool_calls": twin})]);
        turns.push(vec![
            json!({"role": role, "content": "One moment."}),
            json!({"role": "user", "content": [call]}),
        ]);
        turns.push(vec![json!({"role": role, "content": "One moment."}), call.clone()]);
        turns.push(vec![
            json!({"role": role, "content": [text]}),
            json!({"role": role, "content": call}),
        ]);
    }
    // Items and roles of their own.
    turns.retain(|turn| {
        turn.last().is_none_or(|last| {
            !["tool-call", "tool_call"].contains(&last["type"].as_str().unwrap_or_default())
        })
    });
    turns.push(vec![
        json!({"role": "model", "content": "One moment.", "tool_calls": [{"id": "toolu_1", "name": "f", "args": input}]}),
    ]);
    turns.push(vec![
        json!({"type": "ai", "content": "One moment.", "tool_calls": [{"id": "toolu_1", "name": "f", "args": input, "type": "tool_call"}]}),
    ]);
    let said = [
        json!("rain"),
        json!([{"type": "text", "text": "rain"}]),
        json!([{"type": "text", "text": "rain"}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}]),
        json!([{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "rain"}}]),
        json!([]),
        json!(null),
    ];
    for content in &said {
        let meant = with_call(content);
        let result = json!({"type": "tool_result", "tool_use_id": "toolu_1", "content": content});
        let twin = json!({"role": "tool", "tool_call_id": "toolu_1", "content": content});
        let of_library = json!({"type": "tool-result", "toolCallId": "toolu_1", "output": content});
        let item = json!({"type": "function_call_output", "call_id": "toolu_1", "output": content});
        let forms = [
            vec![json!({"role": "user", "content": [result]})],
            vec![json!({"role": "user", "content": result})],
            vec![json!({"role": "tool", "content": [result]})],
            vec![json!({"role": "tool", "tool_call_id": "toolu_1", "content": [result]})],
            vec![json!({"role": "tool", "content": content})],
            vec![json!({"role": "TOOL", "tool_call_id": "toolu_1", "content": content})],
            vec![json!({"role": "tool", "content": [of_library]})],
            vec![item],
            vec![json!({"role": "user", "content": [result]}), twin.clone()],
            vec![twin.clone(), json!({"role": "user", "content": [result]})],
            vec![json!({"role": "user", "content": [result, result]})],
        ];
        for form in &forms {
            let mut turn = turns[0].clone();
            turn.extend_from_slice(form);
            same("result", &conversation(&turn), &meant);
            same("result", &earlier(&conversation(&turn)), &earlier(&meant));
        }
        // The forms of a call do not depend on what its result says.
        for turn in turns.iter().filter(|_| content == &said[0]) {
            let mut turn = turn.clone();
            turn.push(twin.clone());
            same("call", &conversation(&turn), &meant);
            same("call", &earlier(&conversation(&turn)), &earlier(&meant));
        }
    }
}

#[test]
fn results_stand_before_what_the_user_says() {
    let result = json!({"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"});
    let (a, b) = (json!({"type": "text", "text": "a"}), json!({"type": "text", "text": "b"}));
    let mut meant = with_call(&json!("rain"));
    let call = meant["messages"][1].clone();
    meant["messages"].as_array_mut().unwrap().push(json!({"role": "user", "content": [a, b]}));
    for content in [json!([result, a, b]), json!([a, result, b]), json!([a, b, result])] {
        let said = conversation(&[call.clone(), json!({"role": "user", "content": content})]);
        same("order", &said, &meant);
        same("order", &earlier(&said), &earlier(&meant));
    }
}

#[test]
fn several_results_of_one_message_reach_their_calls() {
    let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
    let result = |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": id});
    let said = conversation(&[
        json!({"role": "assistant", "content": [call("a"), call("b"), call("c")]}),
        json!({"role": "user", "content": [result("c"), result("a"), result("b")]}),
    ]);
    let twin = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let answer = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": id});
    let meant = conversation(&[
        json!({"role": "assistant", "tool_calls": [twin("a"), twin("b"), twin("c")]}),
        answer("a"),
        answer("b"),
        answer("c"),
    ]);
    same("several", &said, &meant);
    // An answer that is divided by the results in its midst.
    let divided = conversation(&[json!({"role": "assistant", "content": [
        call("a"), result("a"), call("b"), result("b"), {"type": "text", "text": "Done."}]})]);
    let meant = conversation(&[
        json!({"role": "assistant", "tool_calls": [twin("a")]}),
        answer("a"),
        json!({"role": "assistant", "tool_calls": [twin("b")]}),
        answer("b"),
        json!({"role": "assistant", "content": "Done."}),
    ]);
    same("divided", &divided, &meant);
}

#[test]
fn a_failed_call_is_told_to_have_failed() {
    for (content, text) in
        [(json!("no"), "no"), (json!(null), "The call failed."), (json!([]), "The call failed.")]
    {
        let mut turn = vec![with_call(&json!(""))["messages"][1].clone()];
        turn.push(json!({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": content, "is_error": true}]}));
        let upstream: Value =
            serde_json::from_slice(&bytes(&conversation(&turn), MODELS[0])).unwrap();
        let meant = json!({"type": "tool_result", "tool_use_id": "toolu_1", "is_error": true,
            "content": [{"type": "text", "text": text}]});
        assert_eq!(upstream["messages"][2]["content"], json!([meant]));
    }
}

#[test]
fn results_that_are_json_are_sent_as_text() {
    for data in [
        json!({"temperature": 5, "text": "rain"}),
        json!([{"id": 1}, {"id": 2}]),
        json!({"type": "Feature", "geometry": null}),
        json!([1, 2, {"a": []}]),
    ] {
        let meant = with_call(&json!(data.to_string()));
        same("data", &with_call(&data), &meant);
        let call = meant["messages"][1].clone();
        let result = json!({"type": "tool_result", "tool_use_id": "toolu_1", "content": data});
        same("data", &conversation(&[call, json!({"role": "user", "content": [result]})]), &meant);
    }
}

#[test]
fn what_a_search_found_is_sent_as_it_is_or_in_words() {
    let found = json!({"type": "search_result", "source": "https://example.com", "title": "Oslo",
        "content": [{"type": "text", "text": "rain"}], "citations": {"enabled": true}});
    let block = json!({"type": "search_result", "source": "https://example.com", "title": "Oslo",
        "content": [{"type": "text", "text": "rain"}]});
    let upstream =
        |body: &Value| -> Value { serde_json::from_slice(&bytes(body, MODELS[0])).unwrap() };
    let said = upstream(&json!({"messages": [{"role": "user", "content": [found]}]}));
    assert_eq!(said["messages"][0]["content"], json!([block]));
    let said = upstream(&with_call(&json!([found])));
    assert_eq!(said["messages"][2]["content"][0]["content"], json!([block]));
    let words = json!("Oslo\nhttps://example.com\nrain");
    for (dialect, plain) in
        positions("assistant", &json!([found])).iter().zip(positions("assistant", &words))
    {
        same("words", dialect, &plain);
    }
}

#[test]
fn thinking_among_the_content_is_kept_where_it_has_a_signature() {
    let thinking = json!({"type": "thinking", "thinking": "Hm", "signature": "c2ln"});
    let redacted = json!({"type": "redacted_thinking", "data": "ZGF0YQ=="});
    let unsigned = json!({"type": "thinking", "thinking": "Hm"});
    let text = json!({"type": "text", "text": "Yes?"});
    let body = |message: Value| {
        json!({"messages": [{"role": "user", "content": "Hi"}, message, {"role": "user", "content": "Go"}],
            "reasoning_effort": "high"})
    };
    for blocks in [json!([thinking]), json!([redacted]), json!([thinking, redacted])] {
        let mut content = blocks.as_array().unwrap().clone();
        content.push(text.clone());
        let said = body(json!({"role": "assistant", "content": content}));
        let meant =
            body(json!({"role": "assistant", "content": "Yes?", "thinking_blocks": blocks}));
        same("thinking", &said, &meant);
        let twice =
            body(json!({"role": "assistant", "content": content, "thinking_blocks": blocks}));
        same("thinking twice", &twice, &meant);
    }
    let meant = body(json!({"role": "assistant", "content": "Yes?"}));
    same("no signature", &body(json!({"role": "assistant", "content": [unsigned, text]})), &meant);
    for part in [
        unsigned,
        json!({"type": "reasoning_text", "text": "Hm"}),
        json!({"type": "summary_text", "text": "Hm"}),
        json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}),
        json!({"type": "mcp_tool_use", "id": "s", "name": "x", "input": {}}),
    ] {
        same("left out", &body(json!({"role": "assistant", "content": [part, text]})), &meant);
    }
}

#[test]
fn what_anthropics_own_tools_found_is_told_in_words() {
    let body = |content: Value| {
        json!({"messages": [
        {"role": "user", "content": "Hi"}, {"role": "assistant", "content": content}, {"role": "user", "content": "Go"}]})
    };
    let found = |content: Value| {
        body(json!([
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": content},
            {"type": "text", "text": "Rain.", "citations": [{"type": "web_search_result_location", "url": "u"}]},
        ]))
    };
    let page = json!({"type": "web_search_result", "title": "Oslo", "url": "https://example.com", "encrypted_content": "x"});
    let words = |text: &str| {
        body(json!([{"type": "text", "text": text}, {"type": "text", "text": "Rain."}]))
    };
    same(
        "pages",
        &found(json!([page, page])),
        &words("Oslo https://example.com\nOslo https://example.com"),
    );
    same(
        "error",
        &found(json!({"type": "web_search_tool_result_error", "error_code": "unavailable"})),
        &words("unavailable"),
    );
    same("nothing", &found(json!([])), &body(json!("Rain.")));
}
