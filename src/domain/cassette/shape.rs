//! The shape of an answer: what stays the same when the same is asked again, and what a client relies on.
//!
//! Its status, the headers, the order of its events, why it stopped, and which fields it has with which types. Not its
//! texts, ids, times and counts: those are another matter each time.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::{Response, Said};
use crate::domain::sse;

/// An event that comes whenever it likes.
const PING: &str = "ping";
/// Groups of so many events that come again and again are one: begin, go on, end.
const LONGEST_GROUP: usize = 3;
/// What a tool is given, and what the model found, is the model's own.
const FREE: [&str; 2] = ["input", "content"];

/// What stays the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    status: u16,
    /// Anthropic's name for the error.
    error: Option<String>,
    headers: BTreeSet<String>,
    events: Vec<String>,
    stop: Option<String>,
    fields: BTreeMap<String, BTreeSet<&'static str>>,
}

/// What two shapes differ in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Whether a client could trip over it.
    pub breaks: bool,
    /// What it is, as `content_block_delta(text_delta).delta.text`.
    pub at: String,
    /// What became of it.
    pub what: String,
}

impl Shape {
    /// The shape of a response; `model` stands in a message that names none.
    pub fn of(response: &Response, model: &str) -> Self {
        let mut shape = Self {
            status: response.status,
            error: None,
            headers: response.headers.iter().map(|(name, _)| name.clone()).collect(),
            events: Vec::new(),
            stop: None,
            fields: BTreeMap::new(),
        };
        if let Said::Error(body) = &response.said {
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
        if let Some(stop) = data.pointer("/delta/stop_reason").and_then(Value::as_str) {
            self.stop = Some(stop.to_owned());
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

    /// Whether it is that of an answer that begins and then fails.
    pub fn fails_on_the_way(&self) -> bool {
        self.events.iter().any(|name| name == "error")
    }

    /// What became of this shape. What is missing or has changed breaks; what is new does not.
    pub fn changes(&self, now: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut add = |breaks, at: &str, what: String| {
            changes.push(Change { breaks, at: at.to_owned(), what });
        };
        if self.status != now.status {
            let why = now.error.as_ref().map(|kind| format!(" ({kind})")).unwrap_or_default();
            add(true, "status", format!("was {}, is {}{why}", self.status, now.status));
            // The rest follows from that.
            return changes;
        }
        if self.stop != now.stop {
            let word = |stop: &Option<String>| stop.clone().unwrap_or_else(|| "nothing".to_owned());
            let what = format!("was {}, is {}", word(&self.stop), word(&now.stop));
            add(true, "stop_reason", what);
        }
        if self.events != now.events {
            let what = format!("were {}, are {}", self.events.join(" "), now.events.join(" "));
            add(true, "events", what);
        }
        // Those that are new are of no interest: the ledger keeps few of them, and fixtures have what it kept.
        for name in self.headers.difference(&now.headers) {
            add(true, &format!("headers.{name}"), "is missing".to_owned());
        }
        for (at, before) in &self.fields {
            match now.fields.get(at) {
                // What is told of is named once: not each field within.
                None if parent(at).is_none_or(|parent| now.fields.contains_key(parent)) => {
                    add(true, at, "is missing".to_owned());
                }
                Some(after) if !alike(before, after) => {
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

/// The path of what a field is in; `None` for an event itself.
fn parent(path: &str) -> Option<&str> {
    path.strip_suffix("[]").or_else(|| path.rsplit_once('.').map(|(parent, _)| parent))
}

/// Whether one of the types is as it was. Nothing may stand in the place of anything.
fn alike(before: &BTreeSet<&str>, after: &BTreeSet<&str>) -> bool {
    let is_nothing = |kinds: &BTreeSet<&str>| kinds.iter().all(|kind| *kind == "null");
    is_nothing(before) || is_nothing(after) || !before.is_disjoint(after)
}

fn listed(kinds: &BTreeSet<&str>) -> String {
    kinds.iter().copied().collect::<Vec<_>>().join(" or ")
}

/// The names without repetitions: how often a part comes is no part of the shape.
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

    fn response(message: &Value) -> Response {
        let said = Said::Message(message.to_string());
        Response { status: 200, headers: Vec::new(), delay: 0, said, cut_after: None }
    }

    fn told(before: &Response, after: &Response) -> Vec<String> {
        let changes = Shape::of(before, "m").changes(&Shape::of(after, "m"));
        changes.iter().map(|Change { breaks, at, what }| format!("{breaks} {at} {what}")).collect()
    }

    #[test]
    fn another_text_of_another_length_in_other_pieces_has_the_same_shape() {
        let short = json!({"content": "Hi", "usage": {"input_tokens": 1, "output_tokens": 1}});
        let long = json!({"content": "A long answer. ".repeat(99), "usage": {"input_tokens": 7, "output_tokens": 900}});
        assert_eq!(told(&response(&short), &response(&long)), [""; 0]);
        let more = json!({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            "usage": {"input_tokens": 1, "output_tokens": 1}});
        assert_eq!(told(&response(&short), &response(&more)), [""; 0]);
    }

    #[test]
    fn what_is_missing_breaks_and_what_is_new_does_not() {
        let plain = response(&json!({"content": "Hi"}));
        let Said::Message(message) = &plain.said else { unreachable!() };
        let mut events = super::super::event::of_message(message, "m");
        let change = |events: &mut Vec<super::super::Event>, from: &str, to: &str| {
            for event in events {
                let text = String::from_utf8(event.bytes.clone()).unwrap();
                event.bytes = text.replace(from, to).into_bytes();
            }
        };
        change(&mut events, r#""text":"Hi""#, r#""text":["Hi"],"more":{"a":1}"#);
        change(&mut events, r#""role":"assistant","#, "");
        let after = Response { said: Said::Events(events), ..plain.clone() };
        assert_eq!(
            told(&plain, &after),
            [
                "true content_block_delta(text_delta).delta.text was a text, is a list",
                "true message_start.message.role is missing",
                "false content_block_delta(text_delta).delta.more is new",
                "false content_block_delta(text_delta).delta.text[] is new",
            ]
        );
        let stopped = response(&json!({"content": "Hi", "stop_reason": "max_tokens"}));
        assert_eq!(told(&plain, &stopped), ["true stop_reason was end_turn, is max_tokens"]);
        let refused = Response::error(404, "not_found_error", "no such model");
        assert_eq!(told(&plain, &refused), ["true status was 200, is 404 (not_found_error)"]);
    }
}
