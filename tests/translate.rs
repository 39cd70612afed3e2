//! Requests on their way from OpenAI's dialect to Anthropic's.
//!
//! Each file in `translate/` holds named bodies of one topic; `model` and `messages` are filled in where a case is
//! not about them. The snapshot beside it says what each becomes: the body that goes upstream, the version and the
//! notes, or the error.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod caching;
mod dialects;
mod growth;
mod history;
mod key;
mod media;
mod schemas;
mod structured;

use std::collections::BTreeMap;

use reprise::domain::{
    alias::Aliases,
    anthropic,
    catalog::Catalog,
    openai,
    translate::{self, Cancellation, Form, Occasion, Originals, TranslateContext, Translated},
};
use serde_json::{Value, json};

#[test]
fn requests_become_what_the_snapshots_say() {
    let catalog = Catalog::builtin();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("translate/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _bound = settings.bind_to_scope();
    insta::glob!("translate/*.json", |path| {
        let cases: BTreeMap<String, Value> =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let outcomes: BTreeMap<String, Value> = cases
            .into_iter()
            .map(|(name, mut body)| {
                let fields = body.as_object_mut().unwrap();
                fields.entry("model").or_insert_with(|| json!("claude-opus-5-5"));
                fields
                    .entry("messages")
                    .or_insert_with(|| json!([{"role": "user", "content": "Hi"}]));
                (name, outcome(body.to_string().as_bytes(), &catalog))
            })
            .collect();
        insta::assert_json_snapshot!("golden", outcomes);
    });
}

#[test]
fn bodies_that_are_no_request_say_why() {
    let cases = [
        "",
        " \n",
        "{oops",
        "[]",
        "\"text\"",
        "null",
        "17",
        "[{]",
        "{\"model\": null} {}",
        "{\"model\": \"x\", \"messages\": [}",
        "{\"model\": \"x\"",
        "{} trailing",
        "{\"model\": 5}",
        "{\"model\": \"x\", \"model\": \"y\"}",
        "{\"messages\": 5}",
        "{\"messages\": [5]}",
        "{\"messages\": [[\"a secret\"]]}",
        "{\"messages\": [{\"content\": \"x\"}]}",
        "{\"messages\": [{\"role\": 5, \"content\": \"x\"}]}",
        "{\"messages\": [{\"role\": \"user\", \"content\": [{\"smell\": \"a secret\"}]}]}",
        "{\"messages\": [{\"type\": \"function_call\", \"call_id\": \"a\"}]}",
        "{\"input\": [\"a\", {\"role\": \"robot\"}]}",
        "{\"messages\": [\"a\", {\"role\": \"user\", \"content\": [\"b\", {\"type\": \"image_url\", \"image_url\": {\"url\": 1}}]}]}",
        "{\"system\": [{\"a\": \"secret\"}], \"messages\": []}",
        "{\"messages\": [{\"role\": \"assistant\", \"tool_calls\": 5}]}",
        "{\"messages\": [{\"role\": \"robot\"}]}",
        "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image_url\", \"image_url\": {\"url\": 1}}]}]}",
        "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image_url\", \"image_url\": {}}]}]}",
        "{\"messages\": [{\"role\": \"assistant\", \"tool_calls\": [{\"function\": {\"arguments\": \"\"}}]}]}",
        "{\"temperature\": \"hot, expected a secret\"}",
        "{\"stream\": \"yes please\"}",
        "{\"stop\": 5}",
        "{\"stop\": [\"a\", 5]}",
        "{\"tools\": {\"a\": 1}}",
        "{\"tools\": [{\"type\": \"function\", \"function\": {\"name\": 5}}]}",
        "{\"tool_choice\": {\"type\": 5}}",
        "{\"tool_choice\": {\"type\": \"allowed_tools\", \"allowed_tools\": {\"tools\": [\"a secret\"]}}}",
        "{\"functions\": [{\"description\": \"a secret\"}]}",
        "{\"tools\": [{\"type\": \"custom\", \"custom\": {}}]}",
        "{\"response_format\": 5}",
        "{\"n\": \"two\"}",
        "{\"n\": 1.5}",
        "{\"temperature\": true}",
        "{\"max_tokens\": \"1e999\"}",
        "{\"user\": [1]}",
    ];
    let told: Vec<String> = cases
        .iter()
        .map(|body| {
            let error = openai::Request::parse(body.as_bytes()).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
            format!("> {body}\n    {error}\n    param: {:?}", error.param())
        })
        .collect();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("translate/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("bodies", told.join("\n")));
}

#[test]
fn every_field_may_be_null() {
    let names = [
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stop",
        "n",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "reasoning_effort",
        "service_tier",
        "user",
        "safety_identifier",
        "modalities",
        "audio",
        "logprobs",
        "top_logprobs",
        "web_search_options",
        "functions",
        "function_call",
        "frequency_penalty",
        "presence_penalty",
        "logit_bias",
        "seed",
        "store",
        "metadata",
        "prediction",
        "verbosity",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "moderation",
        "thinking",
        "reasoning",
        "min_p",
    ];
    let mut body =
        json!({"model": "claude-opus-5-5", "messages": [{"role": "user", "content": "Hi"}]});
    let without = translated(&body);
    for name in names {
        body[name] = Value::Null;
    }
    assert_eq!(translated(&body), without);
    assert!(openai::Request::parse(b"{\"model\": null, \"messages\": null}").is_ok());
}

/// A body translated by the built-in catalog.
fn translated(body: &Value) -> Translated {
    let request = openai::Request::parse(body.to_string().as_bytes()).unwrap();
    plain(&request, &Catalog::builtin()).unwrap()
}

/// Translates for a client that says nothing of itself, with an empty ledger.
fn plain(request: &openai::Request, catalog: &Catalog) -> Result<Translated, translate::Error> {
    let (aliases, originals) = (Aliases::default(), Originals::new());
    let occasion = Occasion::Plain;
    let context = TranslateContext {
        catalog,
        aliases: &aliases,
        occasion,
        originals: &originals,
        cancellation: Cancellation::NEVER,
    };
    translate::request(request, &context)
}

/// The body that goes upstream.
fn upstream(request: &anthropic::Request) -> Value {
    serde_json::from_slice(&anthropic::CanonicalRequest::of(request).body()).unwrap()
}

fn outcome(body: &[u8], catalog: &Catalog) -> Value {
    let request = match openai::Request::parse(body) {
        Ok(request) => request,
        Err(error) => {
            return json!({"error": {"message": error.to_string(), "param": error.param()}});
        }
    };
    match plain(&request, catalog) {
        Ok(Translated { request, headers, form, notes }) => {
            let notes: Vec<String> =
                notes.iter().map(|note| format!("{}: {}", note.field, note.what)).collect();
            let mut outcome = json!({"upstream": upstream(&request), "version": headers.version()});
            if form != Form::default() {
                outcome["form"] = json!(format!("{form:?}"));
            }
            for (name, list) in [("betas", json!(headers.betas())), ("notes", json!(notes))] {
                if list != json!([]) {
                    outcome[name] = list;
                }
            }
            outcome
        }
        Err(error) => json!({"error": {
            "message": error.to_string(), "param": error.param(), "code": error.code()}}),
    }
}

#[test]
fn numbers_and_booleans_mean_the_same_as_texts() {
    let numbers = [
        ("max_tokens", "100"),
        ("max_completion_tokens", "100.0"),
        ("temperature", "0.7"),
        ("top_p", "0.4"),
        ("top_k", "40"),
        ("n", "1"),
        ("top_logprobs", "0"),
        ("frequency_penalty", "0.5"),
        ("presence_penalty", "-1e-1"),
    ];
    let booleans = ["stream", "parallel_tool_calls", "logprobs"];
    let ask = |field: &str, value: Value| {
        json!({"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "Hi"}],
            "tools": [{"type": "function", "function": {"name": "f"}}], field: value})
    };
    for (field, text) in numbers {
        let number: Value = serde_json::from_str(text).unwrap();
        let meant = translated(&ask(field, number));
        for written in [text.to_owned(), format!(" {text} ")] {
            assert_eq!(translated(&ask(field, json!(written))), meant, "{field}");
        }
        let without = translated(&ask("x", Value::Null));
        for blank in ["", " "] {
            assert_eq!(translated(&ask(field, json!(blank))), without, "{field}");
        }
    }
    for field in booleans {
        for (meant, written) in [
            (true, [json!("true"), json!("True"), json!("1"), json!(1)]),
            (false, [json!("false"), json!("FALSE"), json!("0"), json!(0.0)]),
        ] {
            for written in written {
                let parse = |value: Value| {
                    openai::Request::parse(ask(field, value).to_string().as_bytes()).unwrap()
                };
                assert_eq!(parse(written), parse(json!(meant)), "{field}");
            }
        }
    }
    let usage = |value: &str| {
        let body = format!("{{\"stream_options\": {{\"include_usage\": {value}}}}}");
        openai::Request::parse(body.as_bytes()).unwrap()
    };
    assert_eq!(usage("\"true\""), usage("true"));
}
