//! Bodies that real clients send: each becomes a request, or an error that says which field is at fault.

use reprise::domain::{
    alias::Aliases,
    anthropic::CanonicalRequest,
    cache::{self, CacheKey, KeyHolder, Scope},
    catalog::Catalog,
    openai,
    translate::{self, Cancellation, Occasion, Originals, TranslateContext, Translated},
};
use serde_json::{Map, Value};

use super::{lines, say};

/// One that thinks on a budget, one that adapts and samples, one that takes least of what clients send.
pub(crate) const MODELS: [&str; 3] = ["claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-5-5"];
const CHAT: &str = "/v1/chat/completions";
const OCCASIONS: [Occasion; 3] = [Occasion::Plain, Occasion::Chat, Occasion::Task];

/// Translates for a client with an empty ledger, or says which field is at fault, and why.
pub(crate) fn translated(
    body: &str,
    catalog: &Catalog,
    occasion: Occasion,
) -> Result<Translated, (String, String)> {
    let request = openai::Request::parse(body.as_bytes()).map_err(|error| {
        (error.param().expect("JSON is wrong in one place").to_owned(), error.to_string())
    })?;
    let (aliases, originals) = (Aliases::default(), Originals::default());
    let context = TranslateContext {
        catalog,
        aliases: &aliases,
        occasion,
        originals: &originals,
        cancellation: Cancellation::NEVER,
    };
    translate::request(&request, &context)
        .map_err(|error| (error.param().to_owned(), error.to_string()))
}

fn key(translated: &Translated) -> CacheKey {
    let scope = Scope::User(KeyHolder::of("sk-client"), "user-1".to_owned());
    let digest = CanonicalRequest::of(&translated.request).digest;
    cache::key(&scope, "https://api.anthropic.com", &translated.headers, &digest)
}

/// Every body of the file that is for this door, for each of the models.
fn bodies(file: &str) -> impl Iterator<Item = (String, Value)> {
    let is_chat = |entry: &Value| entry["path"].as_str().is_none_or(|path| path == CHAT);
    let entries = lines(file).into_iter().enumerate().filter(move |(_, entry)| is_chat(entry));
    entries.flat_map(|(line, mut entry)| {
        MODELS.map(|model| {
            entry["body"]["model"] = model.into();
            (format!("line {} for {model}", line + 1), entry["body"].clone())
        })
    })
}

/// The same with the keys of all objects the other way round.
fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().rev().map(|(name, value)| (name.clone(), reversed(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(reversed).collect(),
        other => other.clone(),
    }
}

fn hold(file: &str) {
    let catalog = Catalog::builtin();
    let (mut requests, mut errors) = (0, 0);
    for (name, body) in bodies(file) {
        let (text, turned) = (body.to_string(), reversed(&body).to_string());
        for occasion in OCCASIONS {
            let turned = translated(&turned, &catalog, occasion);
            match translated(&text, &catalog, occasion) {
                Ok(one) => {
                    requests += 1;
                    let upstream = CanonicalRequest::of(&one.request).body();
                    let json: Value = serde_json::from_slice(&upstream).unwrap();
                    assert_eq!(json["model"], body["model"], "{name}");
                    let again = translated(&text, &catalog, occasion).unwrap();
                    assert_eq!(CanonicalRequest::of(&again.request).body(), upstream, "{name}");
                    assert_eq!(again, one, "{name}");
                    assert_eq!(key(&turned.unwrap()), key(&one), "{name}: key order counts");
                }
                Err((field, message)) => {
                    errors += 1;
                    assert!(!field.is_empty() && message.contains(&field), "{name}: {message}");
                    assert!(turned.is_err(), "{name}: key order decides");
                }
            }
        }
    }
    say(&format!("{file}: {requests} requests, {errors} errors"));
}

#[test]
fn a_body_of_any_client_is_translated_or_refused_by_field() {
    hold("openai-requests.jsonl");
}

#[test]
fn a_body_of_open_webui_is_translated_or_refused_by_field() {
    hold("open-webui-requests.jsonl");
}
