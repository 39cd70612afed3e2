//! The cache key: everything that can change the answer is in it, and nothing else.

use std::collections::BTreeMap;

use proptest::prelude::*;
use reprise::domain::{
    anthropic::{ApiHeaders, CanonicalRequest},
    cache::{self, CacheKey, KeyHolder, Scope},
    catalog::Catalog,
    json, openai,
};
use serde_json::{Value, json};

use super::{plain, translated};

const PNG: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";
const OTHER_PNG: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLwAAAAAElFTkSuQmCC";

/// A request with everything in it that can change an answer.
fn full() -> Value {
    json!({
        "model": "claude-sonnet-4-5",
        "max_tokens": 1000,
        "temperature": 0.5,
        "top_k": 40,
        "stop": ["END", "STOP"],
        "service_tier": "default",
        "tool_choice": "required",
        "tools": [
            {"type": "function", "function": {
                "name": "get_weather",
                "description": "Weather of a city",
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                    "required": ["city"],
                },
            }},
            {"type": "function", "function": {"name": "get_time"}},
        ],
        "messages": [
            {"role": "system", "content": "Be brief"},
            {"role": "user", "content": [
                {"type": "text", "text": "Look"},
                {"type": "image_url", "image_url": {"url": PNG}},
            ]},
            {"role": "assistant", "content": "Let me see", "tool_calls": [
                {"id": "call_1", "type": "function", "function": {
                    "name": "get_weather", "arguments": "{\"city\":\"Paris\",\"days\":2}"}},
            ]},
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
            {"role": "user", "content": "And now?"},
        ],
        "stream": true,
        "user": "user-1",
        "metadata": {"chat": "1"},
    })
}

const UPSTREAM: &str = "https://api.anthropic.com";

fn scope() -> Scope {
    Scope::User(KeyHolder::of("sk-client"), "user-1".to_owned())
}

fn key(body: &Value) -> CacheKey {
    key_of_text(&body.to_string())
}

fn key_of_text(body: &str) -> CacheKey {
    let request = openai::Request::parse(body.as_bytes()).unwrap();
    let translated = plain(&request, &Catalog::builtin()).unwrap();
    let digest = CanonicalRequest::of(&translated.request).digest;
    cache::key(&scope(), UPSTREAM, &translated.headers, &digest)
}

/// The full request with one value replaced, or added.
fn with(pointer: &str, value: Value) -> Value {
    let mut body = full();
    if let Some(place) = body.pointer_mut(pointer) {
        *place = value;
    } else {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[name] = value;
    }
    body
}

fn without(name: &str) -> Value {
    let mut body = full();
    body.as_object_mut().unwrap().remove(name).unwrap();
    body
}

/// If this fails, answers that people have paid for are not found again: raise `KEY_VERSION` and say so in the notes
/// of the release.
#[test]
fn the_canonical_form_has_not_changed() {
    assert_eq!(
        key(&full()).to_string(),
        "d48e9005b0798b6eb172b5fc959896563c3276e7f2dfd8482a28fa727884d3d5"
    );
}

#[test]
fn keys_are_sorted_where_a_request_is_hashed_and_keep_their_order_on_the_wire() {
    let given = r#"{"b": 1, "a": [{"d": 1, "c": 2}]}"#;
    assert_eq!(json::canonical(given.as_bytes()), br#"{"a":[{"c":2,"d":1}],"b":1}"#);
    let properties = [r#""zebra":{"type":"string"}"#, r#""apple":{"type":"string"}"#];
    let [one, other] = [0, 1].map(|first| {
        let (first, second) = (properties[first], properties[1 - first]);
        let text = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}}],"tools":[{{"type":"function",
            "function":{{"name":"f","parameters":{{"type":"object","properties":{{{first},{second}}}}}}}}}]}}"#
        );
        let request = openai::Request::parse(text.as_bytes()).unwrap();
        let texts = CanonicalRequest::of(&plain(&request, &Catalog::builtin()).unwrap().request);
        let body = String::from_utf8(texts.body()).unwrap();
        assert!(body.contains(&format!("{first},{second}")), "{body}");
        (body, key_of_text(&text))
    });
    assert_ne!(one.0, other.0);
    assert_eq!(one.1, other.1);
}

#[test]
fn what_cannot_change_the_answer_is_not_in_the_key() {
    let mut renamed = without("max_tokens");
    renamed["max_completion_tokens"] = json!(1000);
    let same = [
        renamed,
        with("/stream", json!(false)),
        without("stream"),
        with("/stream_options", json!({"include_usage": true})),
        with("/metadata", json!({"chat": "2"})),
        with("/user", json!("user-2")),
        without("user"),
        with("/top_p", json!(1)),
        with("/n", json!(1)),
        with("/frequency_penalty", json!(0)),
        with("/parallel_tool_calls", json!(true)),
        with("/response_format", json!({"type": "text"})),
        with("/max_tokens", json!(1000.0)),
        with("/stop", json!(["END", "STOP", "END"])),
        with("/model", json!("anthropic/claude-sonnet-4.5")),
        with("/tools/1/function/parameters", json!({"type": "object", "properties": {}})),
        with("/tools/1/function/description", json!("")),
        with("/messages/0/role", json!("developer")),
        with("/messages/0/content", json!([{"type": "text", "text": "Be brief"}])),
        with("/messages/1/content/1/image_url", json!(PNG)),
        with("/messages/1/content/1/image_url/detail", json!("auto")),
        with(
            "/messages/2/tool_calls/0/function/arguments",
            json!("{ \"days\": 2, \"city\": \"Paris\" }"),
        ),
        with("/messages/3/name", json!("get_weather")),
        with("/cache_control", json!({"type": "ephemeral"})),
        with("/seed", json!(7)),
    ];
    for body in same {
        assert_eq!(key(&body), key(&full()), "{body}");
    }
    let explicit = json!({"model": "claude-opus-5-5", "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 128_000, "temperature": 1, "top_p": 1, "service_tier": "auto", "stop": [], "tools": []});
    let omitted =
        json!({"model": "claude-opus-5-5", "messages": [{"role": "user", "content": "Hi"}]});
    assert_eq!(key(&explicit), key(&omitted));
    let mut auto = without("tool_choice");
    let default = key(&auto);
    auto["tool_choice"] = json!("auto");
    assert_eq!(key(&auto), default);
}

#[test]
fn what_can_change_the_answer_is_in_the_key() {
    let mut shorter = full();
    shorter["messages"].as_array_mut().unwrap().pop();
    let mut swapped = full();
    swapped["tools"].as_array_mut().unwrap().swap(0, 1);
    let mut one_more = full();
    one_more["messages"].as_array_mut().unwrap().push(json!({"role": "user", "content": "Well?"}));
    let bodies = [
        full(),
        shorter,
        swapped,
        one_more,
        without("max_tokens"),
        without("temperature"),
        without("top_k"),
        without("stop"),
        without("service_tier"),
        without("tool_choice"),
        with("/model", json!("claude-sonnet-4-6")),
        with("/max_tokens", json!(1001)),
        with("/temperature", json!(0)),
        with("/top_k", json!(41)),
        with("/stop", json!(["END"])),
        with("/stop", json!(["STOP", "END"])),
        with("/response_format", json!({"type": "json_object"})),
        with(
            "/response_format",
            json!({"type": "json_schema", "json_schema": {"schema": {"type": "null"}}}),
        ),
        with("/tools/0/function/strict", json!(true)),
        with("/tool_choice", json!("none")),
        with("/tool_choice", json!({"type": "function", "function": {"name": "get_time"}})),
        with("/parallel_tool_calls", json!(false)),
        with("/tools/0/function/name", json!("get_rain")),
        with("/tools/0/function/description", json!("Weather of a town")),
        with("/tools/0/function/parameters/properties/city/type", json!("number")),
        with("/tools/0/function/parameters/required", json!(["city", "days"])),
        with("/messages/0/content", json!("Be long")),
        with(
            "/messages/0/content",
            json!([{"type": "text", "text": "Be"}, {"type": "text", "text": "brief"}]),
        ),
        with("/messages/0/role", json!("user")),
        with("/messages/1/content/0/text", json!("Look!")),
        with("/messages/1/content/1/image_url/url", json!(OTHER_PNG)),
        with("/messages/1/content/1/image_url/url", json!("https://example.com/a.png")),
        with("/messages/1/role", json!("assistant")),
        with("/messages/2/content", json!("Let me look")),
        with("/messages/2/tool_calls/0/id", json!("call_2")),
        with("/messages/2/tool_calls/0/function/name", json!("get_time")),
        with(
            "/messages/2/tool_calls/0/function/arguments",
            json!("{\"city\":\"Rome\",\"days\":2}"),
        ),
        with("/messages/3/content", json!("rainy")),
        with("/messages/3/content", json!([{"type": "image_url", "image_url": {"url": PNG}}])),
        with("/messages/4/content", json!("And then?")),
        with("/messages/4/role", json!("assistant")),
        with("/messages/4/role", json!("system")),
    ];
    let mut seen: BTreeMap<String, &Value> = BTreeMap::new();
    for body in &bodies {
        if let Some(other) = seen.insert(key(body).to_string(), body) {
            panic!("one key for\n{other}\nand\n{body}");
        }
    }
}

/// Every value of a full request is changed, one at a time; so a field that is added to [`full`] is looked at, too.
#[test]
fn every_field_is_in_the_key_but_for_those_that_are_named_here() {
    const LEFT_OUT: &[&str] = &[
        "/stream",
        "/metadata",
        "/user",
        // What kind of call it is, its `function` says.
        "/messages/2/tool_calls/0/type",
        // The same of a tool.
        "/tools/0/type",
        "/tools/1/type",
        // A part of an unknown type is read for its text.
        "/messages/1/content/0/type",
    ];
    let mut leaves = Vec::new();
    collect_leaves(&full(), String::new(), &mut leaves);
    assert!(leaves.len() > 30, "{leaves:?}");
    let before = key(&full());
    for pointer in leaves {
        let mut body = full();
        let value = body.pointer_mut(&pointer).unwrap();
        *value = match &*value {
            Value::Bool(on) => json!(!on),
            Value::Number(number) => json!(number.as_f64().unwrap() / 2.0),
            Value::String(text) => json!(format!("{text}x")),
            other => panic!("a leaf: {other}"),
        };
        let is_left_out = LEFT_OUT.iter().any(|name| pointer.starts_with(name));
        let request = openai::Request::parse(body.to_string().as_bytes());
        // What cannot be sent so has no key.
        let Ok(Ok(_)) = request.map(|request| plain(&request, &Catalog::builtin())) else {
            assert!(!is_left_out, "{pointer}");
            continue;
        };
        assert_eq!(key(&body) == before, is_left_out, "{pointer}");
    }
}

fn collect_leaves(value: &Value, pointer: String, leaves: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                collect_leaves(value, format!("{pointer}/{name}"), leaves);
            }
        }
        Value::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                collect_leaves(value, format!("{pointer}/{at}"), leaves);
            }
        }
        _ => leaves.push(pointer),
    }
}

#[test]
fn scope_upstream_version_and_betas_are_in_the_key() {
    let digest = CanonicalRequest::of(&translated(&full()).request).digest;
    let holder = || KeyHolder::of("sk-client");
    let (new, old) = ("2026-10-21", "2023-06-01");
    let at = |upstream: &str, scope: &Scope, version: &str, betas: &str| {
        cache::key(scope, upstream, &ApiHeaders::new(version, [betas]), &digest)
    };
    let key = |scope: &Scope, version, betas| at(UPSTREAM, scope, version, betas);
    let keys = [
        key(&scope(), old, ""),
        key(&scope(), new, ""),
        key(&scope(), old, "a"),
        key(&scope(), old, "a,b"),
        key(&Scope::User(holder(), "user-2".to_owned()), old, ""),
        key(&Scope::Chat(holder(), "user-1".to_owned()), old, ""),
        key(&Scope::Client(holder()), old, ""),
        key(&Scope::Client(KeyHolder::of("sk-other")), old, ""),
        key(&Scope::Unsigned(holder(), "user-1".to_owned()), old, ""),
        at("http://127.0.0.1:9100", &scope(), old, ""),
    ];
    let different: std::collections::HashSet<_> = keys.iter().collect();
    assert_eq!(different.len(), keys.len());
}

proptest! {
    #[test]
    fn the_order_of_object_keys_does_not_matter(seed: u64) {
        let mut body = String::new();
        write_shuffled(&full(), &mut seed.clone(), &mut body);
        prop_assert_eq!(key_of_text(&body), key(&full()));
    }
}

/// Writes JSON with the keys of every object in an order that `seed` decides.
fn write_shuffled(value: &Value, seed: &mut u64, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            for at in (1..fields.len()).rev() {
                *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let other = (*seed >> 33) as usize % (at + 1);
                fields.swap(at, other);
            }
            out.push('{');
            for (at, (name, value)) in fields.into_iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push_str(": ");
                write_shuffled(value, seed, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                write_shuffled(item, seed, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}
