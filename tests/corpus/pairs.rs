//! The same case as other translators have it: a second opinion, not a truth. Nothing is asserted but that both can be
//! read; where ours differs is written to a file, for people to judge.

use std::{fmt::Write, fs};

use reprise::domain::{anthropic::CanonicalRequest, catalog::Catalog, translate::Occasion};
use serde_json::{Value, json};

use super::{lines, requests::translated, say};

const REPORT: &str = "pairs-report.txt";

/// What their model is compared as: others name models that are gone, or none of Claude's.
const MODEL: &str = "claude-sonnet-4-6";

/// Their request, and who wrote it.
fn theirs(pair: &Value) -> Option<Value> {
    match &pair["their_anthropic_request"] {
        Value::String(text) => {
            Some(serde_json::from_str::<Value>(text).unwrap()["request"].clone())
        }
        _ => Some(pair["anthropic_request_same_case"].clone()).filter(Value::is_object),
    }
}

/// A request in the form in which two can be compared: text is a list of blocks on both sides, and what stands for
/// money alone, or names the model, is left out.
fn plain(mut request: Value) -> Value {
    let fields = request.as_object_mut().unwrap();
    fields.retain(|field, value| !["model", "stream"].contains(&&**field) && !value.is_null());
    let blocks = |content: &mut Value| {
        if let Value::String(text) = content {
            *content = json!([{"type": "text", "text": text}]);
        }
    };
    fields.entry("system").and_modify(blocks);
    for message in request["messages"].as_array_mut().into_iter().flatten() {
        blocks(&mut message["content"]);
        for block in message["content"].as_array_mut().into_iter().flatten() {
            if block["type"] == "tool_result" {
                blocks(&mut block["content"]);
            }
        }
    }
    without_marks(&mut request);
    request
}

fn without_marks(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("cache_control");
            fields.values_mut().for_each(without_marks);
        }
        Value::Array(items) => items.iter_mut().for_each(without_marks),
        _ => {}
    }
}

/// The places where two values differ.
fn differences(path: &str, theirs: &Value, ours: &Value, told: &mut Vec<String>) {
    match (theirs, ours) {
        (theirs, ours) if theirs == ours => {}
        (Value::Object(theirs), Value::Object(ours)) => {
            let names = theirs.keys().chain(ours.keys().filter(|name| !theirs.contains_key(*name)));
            for name in names {
                let [theirs, ours] = [theirs, ours].map(|fields| fields.get(name));
                let (theirs, ours) = (theirs.unwrap_or(&Value::Null), ours.unwrap_or(&Value::Null));
                differences(&format!("{path}.{name}"), theirs, ours, told);
            }
        }
        (Value::Array(theirs), Value::Array(ours)) if theirs.len() == ours.len() => {
            for (at, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
                differences(&format!("{path}[{at}]"), theirs, ours, told);
            }
        }
        _ => told.push(format!("{path}: theirs {}, ours {}", short(theirs), short(ours))),
    }
}

fn short(value: &Value) -> String {
    let text = if value.is_null() { "nothing".to_owned() } else { value.to_string() };
    match text.char_indices().nth(160) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[test]
fn what_other_translators_do_is_listed() {
    let catalog = Catalog::builtin();
    let (mut report, mut same, mut different) = (String::new(), 0, 0);
    for pair in lines("pairs.jsonl") {
        let mut body = pair["openai_request"].clone();
        if body.is_null() {
            continue;
        }
        let theirs = theirs(&pair);
        let model = theirs.as_ref().and_then(|request| request["model"].as_str());
        let known = model.filter(|model| catalog.get(model).is_some());
        body["model"] = known.unwrap_or(MODEL).into();
        let mut told = Vec::new();
        match translated(&body.to_string(), &catalog, Occasion::Plain) {
            Ok(ours) => {
                let sent =
                    serde_json::from_slice(&CanonicalRequest::of(&ours.request).body()).unwrap();
                if let Some(theirs) = &theirs {
                    differences("", &plain(theirs.clone()), &plain(sent), &mut told);
                }
                let openai = &pair["openai_error"]["error"];
                let claude = &pair["anthropic_response_to_linguas_translation"]["error"];
                for (who, error) in [("OpenAI", openai), ("their translator or Claude", claude)] {
                    if !error.is_null() {
                        told.push(format!("refused by {who}: {}", short(error)));
                    }
                }
                if !told.is_empty() {
                    let notes =
                        ours.notes.iter().map(|note| format!("{}: {}", note.field, note.what));
                    told.extend(notes.map(|note| format!("    note: {note}")));
                }
            }
            Err((_, message)) if theirs.is_some() => told.push(format!("refused by us: {message}")),
            Err((_, message)) => {
                let theirs = &pair["anthropic_response_to_linguas_translation"];
                let answered = if theirs["error"].is_null() && theirs.is_object() {
                    "an answer"
                } else {
                    "none"
                };
                told.push(format!("refused by us: {message}; theirs got {answered}"));
            }
        }
        if told.is_empty() {
            same += 1;
        } else {
            different += 1;
            writeln!(report, "{} (as {})", pair["id"].as_str().unwrap(), body["model"]).unwrap();
            for line in told {
                writeln!(report, "    {line}").unwrap();
            }
        }
    }
    if same + different > 0 {
        let path = std::env::temp_dir().join(REPORT);
        fs::write(&path, report).unwrap();
        say(&format!("{same} pairs agree, {different} differ: {}", path.display()));
    }
}
