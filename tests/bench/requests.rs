//! Requests: parsed, translated, keyed and taken apart for the ledger.

use std::{hint::black_box, time::Duration};

use bytes::Bytes;
use reprise::domain::{
    alias::Aliases,
    anthropic::CanonicalRequest,
    cache::{KeyHolder, Policy, Reuse, Sharing, key},
    catalog::Catalog,
    openai,
    prepare::{Caller, ClientRequest, ParsedRequest, PrepareContext, PreparedRequest},
    translate::{Cancellation, Originals},
};
use serde_json::json;

use super::measure::{Amount, heading, line};

/// Address of upstream, a part of every key. Nobody listens there.
pub(crate) const UPSTREAM: &str = "http://127.0.0.1:9";

/// The settings of a server.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) catalog: Catalog,
    pub(crate) aliases: Aliases,
    pub(crate) policy: Policy,
}

impl Settings {
    pub(crate) fn new() -> Self {
        let policy = Policy {
            reuse: Reuse::All,
            sharing: Sharing::User,
            ttl: Duration::MAX,
            task_ttl: [].into(),
            web_ttl: None,
            no_store_users: [].into(),
        };
        Self { catalog: Catalog::builtin(), aliases: Aliases::default(), policy }
    }

    fn context(&self) -> PrepareContext<'_> {
        PrepareContext {
            catalog: &self.catalog,
            aliases: &self.aliases,
            task_model: None,
            policy: &self.policy,
            upstream: UPSTREAM,
            cancellation: Cancellation::NEVER,
        }
    }

    fn parse(&self, body: &Bytes) -> ParsedRequest {
        let request = ClientRequest::Chat(body.clone());
        ParsedRequest::parse(request, &caller(), &self.context()).unwrap()
    }

    /// All that is done with a request before its source is selected.
    pub(crate) fn prepare(&self, body: &Bytes) -> PreparedRequest {
        let parsed = self.parse(body);
        parsed.prepare(&caller(), &self.context(), &Originals::new()).unwrap()
    }
}

pub(crate) fn caller() -> Caller {
    Caller::new(KeyHolder::of("key"))
}

pub(crate) fn run() {
    let settings = Settings::new();
    for turns in [1, 50, 500] {
        heading(&format!("a request, turn {turns} of its chat"));
        let body = chat(turns, "");
        let amount = Amount { count: turns, unit: "turn", bytes: body.len() };
        line("request parsed", amount, || {
            black_box(settings.parse(&body));
        });
        line("request ready: parsed, translated, keyed", amount, || {
            black_box(settings.prepare(&body));
        });
        let prepared = settings.prepare(&body);
        let translated = prepared.upstream.request().unwrap();
        line("of it canonical form, chain and key", amount, || {
            let canonical = CanonicalRequest::of(&translated);
            let headers = prepared.upstream.headers();
            black_box(key(&prepared.scope, UPSTREAM, headers, &canonical.digest));
        });
        line("of it the client's chain", amount, || {
            black_box(openai::chain(&body));
        });
        line("body for upstream", amount, || {
            black_box(prepared.upstream.body());
        });
    }
}

/// The body of a streamed chat with a system prompt and two tools, whose last message ends in `mark`.
pub(crate) fn chat(turns: usize, mark: &str) -> Bytes {
    let text =
        "The quick brown fox jumps over the lazy dog. \"Quoted\", and a line end.\n".repeat(5);
    let mut messages = vec![json!({ "role": "system", "content": text.repeat(5) })];
    for n in 1..turns {
        messages.push(json!({ "role": "user", "content": format!("Question {n}: {text}") }));
        messages.push(json!({ "role": "assistant", "content": format!("Answer {n}: {text}") }));
    }
    messages.push(json!({ "role": "user", "content": format!("Question: {text}{mark}") }));
    let tool = |name: &str| {
        let parameters = json!({
            "type": "object",
            "properties": { "city": { "type": "string", "description": text } },
            "required": ["city"],
        });
        json!({ "type": "function", "function": { "name": name, "parameters": parameters } })
    };
    let body = json!({
        "model": "claude-opus-5-5",
        "stream": true,
        "max_tokens": 4096,
        "tools": [tool("weather"), tool("map")],
        "messages": messages,
    });
    body.to_string().into()
}
