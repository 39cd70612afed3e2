//! Requests in both dialects: each is understood, or refused with a reason; the same request is always the same; and what
//! goes upstream keeps the rules of Anthropic's that hold for all requests.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::LazyLock,
    time::Duration,
};

use bytes::Bytes;
use reprise::domain::{
    alias::Aliases,
    anthropic::{ApiHeaders, Native},
    cache::{CacheKey, KeyHolder, Policy, Reuse, Sharing},
    catalog::{Catalog, Model},
    prepare::{
        Caller, ClientRequest, ParsedRequest, PrepareContext, PrepareError, PreparedRequest,
        UpstreamRequest,
    },
    translate::{Cancellation, Originals},
};
use serde_json::Value;

use super::edit::{edit, reversed};

/// Read once: it is larger than most inputs.
static CATALOG: LazyLock<Catalog> = LazyLock::new(Catalog::builtin);

/// The first byte chooses the dialect, the second the caller. Then comes the body; after a zero, changes to its
/// structure.
pub(super) fn check(data: &[u8]) {
    let [dialect, caller, body @ ..] = data else { return };
    let (dialect, caller) = (dialect % 2, caller_of(*caller));
    let split = body.iter().position(|byte| *byte == 0);
    let (text, edits) = split.map_or((body, &[][..]), |at| (&body[..at], &body[at + 1..]));
    let Ok(mut value) = serde_json::from_slice::<Value>(text) else {
        let _ = prepare(dialect, text.to_vec(), &caller).map(|request| request.key);
        return;
    };
    // As it was written: with fields that stand twice, and spaces.
    let _ = outcome(dialect, text.to_vec(), &caller);
    edit(&mut value, edits);
    let written = value.to_string();
    let turned = outcome(dialect, reversed(&value).to_string().into_bytes(), &caller);
    let spaced = outcome(dialect, format!(" {value:#}\r\n").into_bytes(), &caller);
    match outcome(dialect, written.clone().into_bytes(), &caller) {
        Some((key, upstream)) => {
            let again = outcome(dialect, written.into_bytes(), &caller);
            assert_eq!(again, Some((key, upstream.clone())), "twice the same");
            let (turned, other) = turned.expect("refused in another order of keys");
            // Parts of schemas that Anthropic does not take are told in words, in the client's order.
            let same = key == turned || unordered(&upstream) == unordered(&other);
            assert!(same, "the order of keys counts");
            assert_eq!(spaced.map(|(key, _)| key), Some(key), "spaces count");
        }
        None => {
            assert_eq!(
                (turned, spaced),
                (None, None),
                "refused, but not in another order or with spaces"
            );
        }
    }
}

/// A body without the order of names in texts and in lists of required properties.
fn unordered(body: &[u8]) -> Value {
    fn sort(value: &mut Value) {
        match value {
            Value::Array(list) => list.iter_mut().for_each(sort),
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value {
                        Value::String(text) if name == "description" || name == "text" => {
                            let mut bytes = std::mem::take(text).into_bytes();
                            bytes.sort_unstable();
                            *text = String::from_utf8_lossy(&bytes).into_owned();
                        }
                        Value::Array(names) if name == "required" => {
                            names.sort_by_key(Value::to_string);
                        }
                        _ => sort(value),
                    }
                }
            }
            _ => {}
        }
    }
    let mut value = serde_json::from_slice(body).expect("what goes upstream is JSON");
    sort(&mut value);
    value
}

/// The key, and the body for upstream; `None`: refused, with a reason.
fn outcome(dialect: u8, body: Vec<u8>, caller: &Caller) -> Option<(CacheKey, Vec<u8>)> {
    match prepare(dialect, body, caller) {
        Ok(request) => {
            let upstream = request.upstream.body().to_vec();
            check_upstream(&request, &upstream);
            Some((request.key, upstream))
        }
        Err(error) => {
            check_error(&error);
            None
        }
    }
}

/// A reason is a sentence with a place, in either dialect.
fn check_error(error: &PrepareError) {
    let openai = error.openai();
    assert!(!openai.message.is_empty() && openai.message.len() < 10_000, "{}", openai.message);
    assert_eq!(error.anthropic().message, openai.message);
    match error {
        PrepareError::Translation(_) => {
            assert!(openai.param.is_some_and(|param| !param.is_empty()));
            assert!(openai.code.is_some_and(|code| !code.is_empty()));
        }
        // Syntax has no field; everything else names one.
        PrepareError::Chat(_) if openai.message.starts_with('`') => {
            assert!(openai.param.is_some_and(|param| !param.is_empty()), "{}", openai.message);
        }
        _ => {}
    }
}

fn prepare(dialect: u8, body: Vec<u8>, caller: &Caller) -> Result<PreparedRequest, PrepareError> {
    let aliases = Aliases::default();
    let policy = Policy {
        reuse: Reuse::All,
        sharing: Sharing::User,
        ttl: Duration::from_mins(1),
        task_ttl: BTreeMap::new(),
        web_ttl: None,
        no_store_users: BTreeSet::new(),
    };
    let context = PrepareContext {
        catalog: &CATALOG,
        aliases: &aliases,
        task_model: None,
        policy: &policy,
        upstream: "https://api.anthropic.com",
        cancellation: Cancellation::NEVER,
    };
    let body = Bytes::from(body);
    let request = match dialect {
        0 => ClientRequest::Chat(body),
        _ => ClientRequest::Messages(body, ApiHeaders::default()),
    };
    let parsed = ParsedRequest::parse(request, caller, &context)?;
    let _ = parsed.refs();
    parsed.prepare(caller, &context, &Originals::new())
}

fn caller_of(choice: u8) -> Caller {
    let mut caller = Caller::new(KeyHolder::of("sk-client"));
    caller.open_webui = choice & 1 != 0;
    if choice & 2 != 0 {
        let task = ["", "title_generation", "tags_generation", "function_calling"];
        caller.task = Some(task[usize::from(choice >> 2) % 4].to_owned());
    }
    caller
}

fn check_upstream(request: &PreparedRequest, body: &[u8]) {
    let value: Value = serde_json::from_slice(body).expect("what goes upstream is JSON");
    let native = Native::parse(body).expect("what goes upstream is a request of Anthropic's");
    assert!(native.stream, "everything is asked as a stream");
    assert_eq!(native.model, request.upstream.model());
    if let UpstreamRequest::Chat { translated, .. } = &request.upstream {
        for note in &translated.notes {
            assert!(!note.what.is_empty());
        }
        assert!(translated.request.breakpoints.len() <= 4);
        check_rules(&value, CATALOG.rules(&native.model));
    }
}

/// Panics at the first rule that a translated request breaks (`reference/anthropic-api.md` §1).
fn check_rules(body: &Value, rules: &Model) {
    assert!(body["max_tokens"].as_u64().is_some_and(|tokens| tokens > 0), "max_tokens");
    for name in ["temperature", "top_p"] {
        let value = body.get(name).map(|value| value.as_f64().expect("a number"));
        assert!(value.is_none_or(|value| (0.0..=1.0).contains(&value)), "{name}: {value:?}");
    }
    assert!(body.get("top_k").is_none_or(Value::is_u64), "top_k");
    for stop in list(&body["stop_sequences"]) {
        assert!(!is_blank(stop), "stop_sequences: {stop}");
    }
    list(&body["system"]).iter().for_each(check_block);
    let tools = list(&body["tools"]);
    let mut names = HashSet::new();
    for tool in tools {
        let name = tool["name"].as_str().expect("a tool has a name");
        assert!(is_name(name, 128), "a tool is named {name:?}");
        assert!(names.insert(name), "two tools are named {name:?}");
        if tool.get("type").is_none_or(|kind| kind == "custom") {
            let schema = &tool["input_schema"];
            assert_eq!(schema["type"], "object", "{schema}");
            for property in schema["properties"].as_object().into_iter().flatten() {
                let is_named =
                    property.0.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
                assert!(is_named && (1..=64).contains(&property.0.len()), "{schema}");
            }
        }
    }
    if let Some(choice) = body.get("tool_choice") {
        assert!(!tools.is_empty(), "a choice without tools");
        let tool = choice.get("name").map(|name| name.as_str().expect("a name"));
        assert!(tool.is_none_or(|name| names.contains(name)), "{choice} names no tool");
    }
    let budget = body["thinking"]["budget_tokens"].as_u64();
    assert!(
        budget.is_none_or(|budget| budget >= 1024 && Some(budget) < body["max_tokens"].as_u64())
    );
    check_messages(list(&body["messages"]), rules);
}

fn check_messages(messages: &[Value], rules: &Model) {
    assert_eq!(messages.first().map(|message| &message["role"]), Some(&Value::from("user")));
    let mut ids = HashSet::new();
    for (at, message) in messages.iter().enumerate() {
        let (role, content) =
            (message["role"].as_str().expect("a role"), list(&message["content"]));
        assert!(!content.is_empty(), "message {at} is empty");
        content.iter().for_each(check_block);
        let calls: Vec<&str> = of_kind(content, "tool_use").map(|block| id(block, "id")).collect();
        let next = messages.get(at + 1);
        let answered: Vec<&str> =
            next.map(|next| results(list(&next["content"]))).unwrap_or_default();
        match role {
            "user" => {
                assert!(calls.is_empty(), "a user calls");
                let before = at.checked_sub(1).map_or(&[][..], |at| list(&messages[at]["content"]));
                assert_eq!(
                    results(content).len(),
                    of_kind(before, "tool_use").count(),
                    "results without calls"
                );
            }
            "assistant" => {
                assert_eq!(answered, calls, "each call has its result right after it");
                for id in calls {
                    assert!(is_name(id, usize::MAX), "a call has the id {id:?}");
                    assert!(ids.insert(id.to_owned()), "two calls have the id {id:?}");
                }
                if next.is_none() {
                    assert!(rules.prefill, "this model takes no beginning of an answer");
                    let text = content.last().and_then(|block| block["text"].as_str());
                    assert!(text.is_none_or(|text| text.trim_end() == text), "{text:?}");
                }
            }
            "system" => assert!(rules.system_messages, "this model takes no system messages"),
            other => panic!("the role {other}"),
        }
    }
}

fn check_block(block: &Value) {
    match block["type"].as_str() {
        Some("text") => assert!(!is_blank(&block["text"]), "a blank text"),
        Some("tool_use") => assert!(block["input"].is_object(), "{block}"),
        Some("tool_result") => list(&block["content"]).iter().for_each(check_block),
        Some("thinking") => assert!(!is_blank(&block["signature"]), "{block}"),
        Some(_) => {}
        None => panic!("a block without a type: {block}"),
    }
}

/// The calls that the results at the beginning answer; all results stand there.
fn results(content: &[Value]) -> Vec<&str> {
    let first: Vec<&str> = content
        .iter()
        .take_while(|block| block["type"] == "tool_result")
        .map(|block| id(block, "tool_use_id"))
        .collect();
    assert_eq!(first.len(), of_kind(content, "tool_result").count(), "results stand first");
    first
}

fn of_kind<'a>(content: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    content.iter().filter(move |block| block["type"] == kind)
}

fn id<'a>(block: &'a Value, field: &str) -> &'a str {
    block[field].as_str().expect("an id")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn is_blank(text: &Value) -> bool {
    text.as_str().is_none_or(|text| text.trim().is_empty())
}

fn is_name(name: &str, most: usize) -> bool {
    let is_named = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    is_named && !name.is_empty() && name.len() <= most
}
