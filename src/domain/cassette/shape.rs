//! The shape of an answer: the parts that clients rely on, which are equal each time a request is sent.
//!
//! A shape has the status, the header names, the order of the events, the stop reason, and the fields with their types. It
//! has no texts, ids, times and counts, since these differ each time.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::{RecordedResponse, ResponseBody};
use crate::domain::sse;

/// Name of an event that comes at any time.
const PING: &str = "ping";
/// Maximum length of a repeated group of events that counts once: start, delta, stop.
const LONGEST_GROUP: usize = 3;
/// Fields whose content is up to the model: tool arguments and search results.
const FREE: [&str; 2] = ["input", "content"];

/// The shape of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    status: u16,
    /// Anthropic's error type.
    error: Option<String>,
    headers: BTreeSet<String>,
    events: Vec<String>,
    stop_reason: Option<String>,
    fields: BTreeMap<String, BTreeSet<&'static str>>,
}

/// A difference between two shapes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShapeChange {
    /// `true` if it can break a client.
    pub breaks: bool,
    /// Its path, such as `content_block_delta(text_delta).delta.text`.
    pub at: String,
    /// The change.
    pub what: String,
}

impl Shape {
    /// The shape of a response; `model` is the model of a message that names none.
    pub fn of(response: &RecordedResponse, model: &str) -> Self {
        let mut shape = Self {
            status: response.status,
            error: None,
            headers: response.headers.iter().map(|(name, _)| name.clone()).collect(),
            events: Vec::new(),
            stop_reason: None,
            fields: BTreeMap::new(),
        };
        if let ResponseBody::Error(body) = &response.body {
            let body: Value = serde_json::from_str(body).unwrap_or_default();
            shape.error = body.pointer("/error/type").and_then(Value::as_str).map(str::to_owned);
            shape.walk("error", &body);
        }
        for event in response.events(model) {
            let event = sse::parse(&event.bytes);
            let name = String::from_utf8_lossy(event.name).into_owned();
            if name != PING {
                let data: Value = serde_json::from_slice(&event.data).unwrap_or_default();
                shape.event(name, &data);
            }
        }
        shape.events = collapsed(shape.events.drain(..).collect());
        shape
    }

    fn event(&mut self, name: String, data: &Value) {
        let kind = data.pointer("/delta/type").or_else(|| data.pointer("/content_block/type"));
        let kind = kind.and_then(Value::as_str);
        let place = kind.map_or_else(|| name.clone(), |kind| format!("{name}({kind})"));
        if let Some(reason) = data.pointer("/delta/stop_reason").and_then(Value::as_str) {
            self.stop_reason = Some(reason.to_owned());
        }
        self.walk(&place, data);
        self.events.push(name);
    }

    fn walk(&mut self, place: &str, value: &Value) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "a truth value",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(items) => {
                for item in items {
                    self.walk(&format!("{place}[]"), item);
                }
                "a list"
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    let place = format!("{place}.{name}");
                    if FREE.contains(&name.as_str()) {
                        self.fields.entry(place).or_default();
                    } else {
                        self.walk(&place, value);
                    }
                }
                "an object"
            }
        };
        self.fields.entry(place.to_owned()).or_default().insert(kind);
    }

    /// Returns whether the answer begins and then fails.
    pub fn fails_midway(&self) -> bool {
        self.events.iter().any(|name| name == "error")
    }

    /// Changes from this shape to another. Missing or changed parts break clients; new ones do not.
    pub fn changes(&self, now: &Self) -> Vec<ShapeChange> {
        let mut changes = Vec::new();
        let mut add = |breaks, at: &str, what: String| {
            changes.push(ShapeChange { breaks, at: at.to_owned(), what });
        };
        if self.status != now.status {
            let why = now.error.as_ref().map(|kind| format!(" ({kind})")).unwrap_or_default();
            add(true, "status", format!("was {}, is {}{why}", self.status, now.status));
            // All other differences follow from this one.
            return changes;
        }
        if self.stop_reason != now.stop_reason {
            let word = |reason: &Option<String>| reason.clone().unwrap_or("nothing".to_owned());
            let what = format!("was {}, is {}", word(&self.stop_reason), word(&now.stop_reason));
            add(true, "stop_reason", what);
        }
        if self.events != now.events {
            let what = format!("were {}, are {}", self.events.join(" "), now.events.join(" "));
            add(true, "events", what);
        }
        // New headers do not count: a fixture has only those few that are recorded.
        for name in self.headers.difference(&now.headers) {
            add(true, &format!("headers.{name}"), "is missing".to_owned());
        }
        for (at, before) in &self.fields {
            match now.fields.get(at) {
                // The outermost missing field stands for those inside it.
                None if parent(at).is_none_or(|parent| now.fields.contains_key(parent)) => {
                    add(true, at, "is missing".to_owned());
                }
                Some(after) if !compatible(before, after) => {
                    add(true, at, format!("was {}, is {}", listed(before), listed(after)));
                }
                _ => {}
            }
        }
        for at in now.fields.keys() {
            let inside = parent(at).is_some_and(|parent| !self.fields.contains_key(parent));
            if !self.fields.contains_key(at) && !inside {
                add(false, at, "is new".to_owned());
            }
        }
        changes
    }
}

/// The path of a field's parent; `None` for an event.
fn parent(path: &str) -> Option<&str> {
    path.strip_suffix("[]").or_else(|| path.rsplit_once('.').map(|(parent, _)| parent))
}

/// Returns whether the types are compatible: one is common, or one side is always null.
fn compatible(before: &BTreeSet<&str>, after: &BTreeSet<&str>) -> bool {
    let is_nothing = |kinds: &BTreeSet<&str>| kinds.iter().all(|kind| *kind == "null");
    is_nothing(before) || is_nothing(after) || !before.is_disjoint(after)
}

fn listed(kinds: &BTreeSet<&str>) -> String {
    kinds.iter().copied().collect::<Vec<_>>().join(" or ")
}

/// The names without repetitions, since the number of parts is no part of the shape.
fn collapsed(mut names: Vec<String>) -> Vec<String> {
    for length in 1..=LONGEST_GROUP {
        let mut at = 0;
        while at + 2 * length <= names.len() {
            if names[at..at + length] == names[at + length..at + 2 * length] {
                names.drain(at..at + length);
            } else {
                at += 1;
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn response(message: &Value) -> RecordedResponse {
        let body = ResponseBody::Message(message.to_string());
        RecordedResponse { status: 200, headers: Vec::new(), delay: 0, body, cut_after: None }
    }

    fn changes(before: &RecordedResponse, after: &RecordedResponse) -> Vec<String> {
        let changes = Shape::of(before, "m").changes(&Shape::of(after, "m"));
        changes
            .iter()
            .map(|ShapeChange { breaks, at, what }| format!("{breaks} {at} {what}"))
            .collect()
    }

    #[test]
    fn another_text_of_another_length_in_other_pieces_has_the_same_shape() {
        let short = json!({"content": "Hi", "usage": {"input_tokens": 1, "output_tokens": 1}});
        let long = json!({"content": "A long answer. ".repeat(99), "usage": {"input_tokens": 7, "output_tokens": 900}});
        assert_eq!(changes(&response(&short), &response(&long)), [""; 0]);
        let more = json!({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            "usage": {"input_tokens": 1, "output_tokens": 1}});
        assert_eq!(changes(&response(&short), &response(&more)), [""; 0]);
    }

    #[test]
    fn what_is_missing_breaks_and_what_is_new_does_not() {
        let plain = response(&json!({"content": "Hi"}));
        let ResponseBody::Message(message) = &plain.body else { unreachable!() };
        let mut events = super::super::event::of_message(message, "m");
        let change = |events: &mut Vec<super::super::Event>, from: &str, to: &str| {
            for event in events {
                let text = String::from_utf8(event.bytes.clone()).unwrap();
                event.bytes = text.replace(from, to).into_bytes();
            }
        };
        change(&mut events, r#""text":"Hi""#, r#""text":["Hi"],"more":{"a":1}"#);
        change(&mut events, r#""role":"assistant","#, "");
        let after = RecordedResponse { body: ResponseBody::Events(events), ..plain.clone() };
        assert_eq!(
            changes(&plain, &after),
            [
                "true content_block_delta(text_delta).delta.text was a text, is a list",
                "true message_start.message.role is missing",
                "false content_block_delta(text_delta).delta.more is new",
                "false content_block_delta(text_delta).delta.text[] is new",
            ]
        );
        let stopped = response(&json!({"content": "Hi", "stop_reason": "max_tokens"}));
        assert_eq!(changes(&plain, &stopped), ["true stop_reason was end_turn, is max_tokens"]);
        let refused = RecordedResponse::error(404, "not_found_error", "no such model");
        assert_eq!(changes(&plain, &refused), ["true status was 200, is 404 (not_found_error)"]);
    }
}
