//! The work of preparing a request grows no faster than n log n with what a client sends, whatever it sends much of, and
//! what goes upstream has no more than a few times the bytes that came in.
//!
//! The measure is the time that the processor spends on this thread, not the time that passes: other work on the machine
//! does not count. Eight times as much of anything may take fourteen times as long; a quadratic step takes more.

use std::time::Duration;

use bytes::Bytes;
use reprise::domain::{
    alias::Aliases,
    anthropic::ApiHeaders,
    cache::{KeyHolder, Policy, Reuse, Sharing},
    catalog::Catalog,
    prepare::{Caller, ClientRequest, ParsedRequest, PrepareContext, PrepareError},
    translate::{Cancellation, Chunks, Form, Originals, WithUsage},
};
use serde_json::{Map, Value, json};

const FEW: usize = 1000;
const MANY: usize = 8 * FEW;
const MOST_GROWTH: f64 = 14.0;
/// The measure has outliers: the least of several counts.
const ATTEMPTS: usize = 4;

/// The events of an answer with so many of something.
type Events<'a> = dyn Fn(usize) -> Vec<String> + 'a;

type Case = (&'static str, fn(usize) -> Value);

fn list(count: usize, item: impl Fn(usize) -> Value) -> Value {
    (0..count).map(item).collect()
}

fn map(count: usize, item: impl Fn(usize) -> (String, Value)) -> Value {
    (0..count).map(item).collect::<Map<_, _>>().into()
}

fn with(field: &str, value: Value) -> Value {
    let mut body = chat(json!([{ "role": "user", "content": "Hi" }]));
    body[field] = value;
    body
}

fn chat(messages: Value) -> Value {
    let mut body = json!({ "model": "claude-opus-5-5", "max_tokens": 10 });
    body["messages"] = messages;
    body
}

fn tool(parameters: &Value) -> Value {
    with(
        "tools",
        json!([{ "type": "function", "function": { "name": "t", "parameters": parameters } }]),
    )
}

fn strict(parameters: &Value) -> Value {
    let mut body = tool(parameters);
    body["tools"][0]["function"]["strict"] = true.into();
    body
}

fn call(id: usize) -> Value {
    json!({ "id": format!("c{id}"), "type": "function", "function": { "name": "t", "arguments": "{}" } })
}

fn result(id: usize) -> Value {
    json!({ "role": "tool", "tool_call_id": format!("c{id}"), "content": "done" })
}

/// A conversation of the user's question and these messages.
fn after_question(messages: impl Iterator<Item = Value>) -> Value {
    let question = json!({ "role": "user", "content": "Hi" });
    chat(std::iter::once(question).chain(messages).collect())
}

const CHATS: &[Case] = &[
    ("tools", |n| {
        with(
            "tools",
            list(n, |i| json!({ "type": "function", "function": { "name": format!("t{i}") } })),
        )
    }),
    ("tools with odd names", |n| {
        with(
            "tools",
            list(n, |i| json!({ "type": "custom", "custom": { "name": format!("t {i}") } })),
        )
    }),
    ("functions", |n| with("functions", list(n, |i| json!({ "name": format!("t{i}") })))),
    ("allowed tools", |n| {
        let tools =
            list(n, |i| json!({ "type": "function", "function": { "name": format!("t{i}") } }));
        let mut body = with("tools", tools.clone());
        let allowed = json!({ "mode": "auto", "tools": tools });
        body["tool_choice"] = json!({ "type": "allowed_tools", "allowed_tools": allowed });
        body
    }),
    ("tools that only the history has", |n| {
        after_question((0..n).flat_map(|i| {
            let mut call = call(i);
            call["function"]["name"] = format!("t{i}").into();
            [json!({ "role": "assistant", "tool_calls": [call] }), result(i)]
        }))
    }),
    ("calls of one turn", |n| {
        let calls = json!({ "role": "assistant", "tool_calls": list(n, call) });
        after_question(std::iter::once(calls).chain((0..n).map(result)))
    }),
    ("results in reverse", |n| {
        let calls = json!({ "role": "assistant", "tool_calls": list(n, call) });
        after_question(std::iter::once(calls).chain((0..n).rev().map(result)))
    }),
    ("results that name no call", |n| {
        let calls = json!({ "role": "assistant", "tool_calls": list(n, call) });
        let results = (0..n).map(|_| json!({ "role": "tool", "content": "done" }));
        after_question(std::iter::once(calls).chain(results))
    }),
    ("turns with calls", |n| {
        let turns = (0..n).map(|i| json!({ "role": "assistant", "tool_calls": [call(i)] }));
        after_question(turns.chain((0..n).rev().map(result)))
    }),
    ("messages", |n| {
        let role = |i: usize| if i.is_multiple_of(2) { "user" } else { "assistant" };
        chat(list(n, |i| json!({ "role": role(i), "content": format!("m{i}") })))
    }),
    ("blocks with marks", |n| {
        let block = |i| json!({ "type": "text", "text": format!("b{i}"), "cache_control": { "type": "ephemeral" } });
        chat(json!([{ "role": "user", "content": list(n, block) }]))
    }),
    ("stop sequences", |n| with("stop", list(n, |i| format!("s{i}").into()))),
    ("metadata", |n| with("metadata", map(n, |i| (format!("k{i}"), "v".into())))),
    ("unknown fields", |n| {
        let mut body = with("stream", true.into());
        (0..n).for_each(|i| body[format!("x{i}")] = 1.into());
        body
    }),
    ("escapes", |n| chat(json!([{ "role": "user", "content": "\n\"\\\u{1}é".repeat(n * 4) }]))),
    ("properties", |n| {
        let properties = map(n, |i| (format!("p {i}"), json!({ "type": "string" })));
        let names = list(n, |i| format!("p {i}").into());
        tool(&json!({ "type": "object", "properties": properties, "required": names }))
    }),
    ("definitions elsewhere", |n| {
        let mut schema = json!({ "type": "object" });
        schema["properties"] = map(n, |i| (format!("p{i}"), json!({ "$ref": format!("#/d{i}") })));
        (0..n).for_each(|i| schema[format!("d{i}")] = json!({ "type": "string" }));
        tool(&schema)
    }),
    ("definitions whose names are taken", |n| {
        let refs = map(n, |i| (format!("p{i}"), json!({ "$ref": format!("#/d{i}/x") })));
        let taken =
            map(2 * n, |i| (if i == 0 { "x".to_owned() } else { format!("x_{i}") }, json!({})));
        let mut schema = json!({ "type": "object", "properties": refs, "$defs": taken });
        (0..n).for_each(|i| schema[format!("d{i}")] = json!({ "x": { "type": "string" } }));
        tool(&schema)
    }),
    ("anchors below a long name", |n| {
        let anchors = map(n, |i| (format!("a{i}"), json!({ "$anchor": format!("a{i}") })));
        let refs = map(n, |i| (format!("p{i}"), json!({ "$ref": format!("#a{i}") })));
        let long = json!({ "x".repeat(n * 10): { "$id": "urn:a", "properties": anchors } });
        tool(&json!({ "type": "object", "properties": refs, "$defs": long }))
    }),
    ("property names", |n| {
        let inner =
            |i: usize| json!({ "properties": { format!("p {i}"): {} }, "propertyNames": {} });
        let properties = map(n, |i| (format!("p {i}"), inner(i)));
        tool(&json!({ "type": "object", "properties": properties }))
    }),
    ("references to a large property", |n| {
        let large = json!({ "p": { "enum": list(n, Into::into) } });
        let refs = list(n, |_| json!({ "$ref": "#/$defs/a" }));
        tool(&json!({ "allOf": refs, "$defs": { "a": { "properties": large } } }))
    }),
    ("enforced references to a large list", |n| {
        let refs =
            map(n / 2, |i| (format!("p{i}"), json!({ "$ref": "#/$defs/a", "description": "d" })));
        let large = json!({ "a": { "enum": list(n, |i| format!("e{i}").into()) } });
        strict(&json!({ "type": "object", "properties": refs, "$defs": large }))
    }),
    ("enforced lists of names", |n| {
        let part = |i: usize| json!({ "type": "object", "required": list(n, |j| format!("{i} {j}").into()) });
        strict(&json!({ "type": "object", "allOf": [part(0), part(1)] }))
    }),
    ("enforced lists of values", |n| {
        let part = |first: usize| json!({ "enum": list(n, |i| (first + i).into()) });
        let both = json!({ "allOf": [part(0), part(n / 2)] });
        strict(&json!({ "type": "object", "properties": { "p": both } }))
    }),
];

const MESSAGES: &[Case] = &[
    ("native messages", |n| {
        chat(list(n, |i| json!({ "role": "user", "content": format!("m{i}") })))
    }),
    ("native tools", |n| {
        with(
            "tools",
            list(
                n,
                |i| json!({ "name": format!("t{i}"), "cache_control": { "type": "ephemeral" } }),
            ),
        )
    }),
    ("native keys", |n| with("x", map(n, |i| (format!("k{i}"), i.into())))),
];

/// Prepares a request. Returns the number of bytes that go upstream.
fn prepare(request: ClientRequest) -> Result<usize, PrepareError> {
    let catalog = Catalog::builtin();
    let policy = Policy {
        reuse: Reuse::All,
        sharing: Sharing::User,
        ttl: Duration::MAX,
        task_ttl: [].into(),
        web_ttl: None,
        no_store_users: [].into(),
    };
    let context = PrepareContext {
        catalog: &catalog,
        aliases: &Aliases::default(),
        task_model: None,
        policy: &policy,
        upstream: "https://api.anthropic.com",
        cancellation: Cancellation::NEVER,
    };
    let caller = Caller::new(KeyHolder::of("key"));
    let parsed = ParsedRequest::parse(request, &caller, &context)?;
    let _ = parsed.refs();
    Ok(parsed.prepare(&caller, &context, &Originals::new())?.upstream.body().len())
}

/// Time that the processor has spent on this thread, in nanoseconds.
fn processor_time() -> u64 {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    spent.split(' ').next().unwrap().parse().unwrap()
}

/// Checks that work does not grow much faster than its size.
fn check(name: &str, work: impl Fn(usize)) {
    let time = |size| {
        let began = processor_time();
        work(size);
        processor_time() - began
    };
    #[expect(clippy::cast_precision_loss, reason = "of nanoseconds")]
    let growth = || time(MANY) as f64 / time(FEW).max(1) as f64;
    let mut least = f64::INFINITY;
    for _ in 0..ATTEMPTS {
        least = least.min(growth());
        if least < MOST_GROWTH {
            return;
        }
    }
    panic!("{name}: 8 times as many take {least:.1} times as long");
}

fn check_requests(cases: &[Case], request: impl Fn(Bytes) -> ClientRequest) {
    for (name, body) in cases {
        check(name, |size| {
            let body = Bytes::from(body(size).to_string());
            let given = body.len();
            let sent = prepare(request(body)).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(sent < 12 * given + (1 << 20), "{name}: {given} bytes become {sent}");
        });
    }
}

#[test]
#[ignore = "compares times of the processor, as a benchmark does: tests/torture/run runs it"]
fn the_work_of_chats_grows_with_their_size() {
    let (first, _) = CHATS.split_at(CHATS.len() / 2);
    check_requests(first, ClientRequest::Chat);
}

#[test]
#[ignore = "compares times of the processor, as a benchmark does: tests/torture/run runs it"]
fn the_work_of_schemas_grows_with_their_size() {
    let (_, second) = CHATS.split_at(CHATS.len() / 2);
    check_requests(second, ClientRequest::Chat);
}

#[test]
#[ignore = "compares times of the processor, as a benchmark does: tests/torture/run runs it"]
fn the_work_of_native_requests_grows_with_their_size() {
    let headers = ApiHeaders::new("2023-06-01", std::iter::empty::<&str>());
    check_requests(MESSAGES, |body| ClientRequest::Messages(body, headers.clone()));
}

#[test]
#[ignore = "compares times of the processor, as a benchmark does: tests/torture/run runs it"]
fn the_work_of_answers_grows_with_their_size() {
    let event = |data: &Value| format!("data: {data}\n\n");
    let start = event(&json!({ "type": "message_start", "message": { "id": "m", "model": "m" } }));
    let block = |index: usize, block: Value| {
        event(&json!({ "type": "content_block_start", "index": index, "content_block": block }))
    };
    let delta = |index: usize, delta: Value| {
        event(&json!({ "type": "content_block_delta", "index": index, "delta": delta }))
    };
    let stop = |index: usize| event(&json!({ "type": "content_block_stop", "index": index }));
    let cases: [(&str, &Events<'_>); 3] = [
        ("calls and texts", &|n| {
            let calls =
                (0..n).map(|i| block(i, json!({ "type": "tool_use", "id": "c", "name": "t" })));
            let texts =
                (n..2 * n).flat_map(|i| [block(i, json!({ "type": "text", "text": "" })), stop(i)]);
            calls.chain(texts).collect()
        }),
        ("blocks that are not shown", &|n| {
            let blocks = (0..n).map(|i| block(i, json!({ "type": "web_search_tool_result" })));
            let deltas = (n..2 * n).map(|i| delta(i, json!({ "type": "text_delta", "text": "a" })));
            blocks.chain(deltas).collect()
        }),
        ("citations", &|n| {
            let citations = (0..n).map(|i| {
                let citation = json!({ "url": format!("https://a.example/{i}"), "title": "A" });
                delta(0, json!({ "type": "citations_delta", "citation": citation }))
            });
            std::iter::once(block(0, json!({ "type": "text", "text": "" })))
                .chain(citations)
                .collect()
        }),
    ];
    for (name, events) in cases {
        check(name, |size| {
            let form = Form::default().into();
            let mut chunks = Chunks::new("id".to_owned(), 0, WithUsage::No, form);
            let mut out = Vec::new();
            for event in std::iter::once(&start).chain(&events(size)) {
                chunks.translate(event.as_bytes(), &mut out).unwrap();
            }
        });
    }
}
