//! A stream as the message that the API gives to a client that does not stream: every field of it, known or not.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{
    event::{StreamError, read},
    fold::fold,
};
use crate::domain::{
    json::{Object, Raw},
    recording::Recording,
};

/// A message in Anthropic's JSON: what `message_start` said, with the blocks folded and what `message_delta`s said
/// put in its place (§3: usage is cumulative, it replaces and never adds).
pub fn assemble(recording: &Recording) -> Result<Vec<u8>, StreamError> {
    let folded = fold(recording)?;
    let mut message = MergedObject::default();
    let mut usage = MergedObject::default();
    for event in recording.events() {
        let event = read(event);
        let Ok(text) = std::str::from_utf8(&event.data) else { continue };
        let Ok(data) = Object::parse(text) else { continue };
        match data.get("type").map(RawValue::get) {
            Some(r#""message_start""#) => {
                message.update(data.get("message"));
                usage.update(message.get("usage"));
            }
            Some(r#""message_delta""#) => {
                usage.update(data.get("usage"));
                message.update(data.get("delta"));
                let others =
                    data.iter().filter(|(name, _)| !["type", "delta", "usage"].contains(name));
                others.for_each(|(name, value)| message.put(name, value));
            }
            _ => {}
        }
    }
    // `message_start` may name a model that then declined.
    if message.get("model").is_some() {
        message.set("model", Raw::of(&folded.model));
    }
    message.set("content", Raw::of(&folded.content));
    if !usage.0.is_empty() {
        message.set("usage", Raw::of(&usage));
    }
    Ok(Raw::of(&message).get().into())
}

/// The fields of an object that several events tell, in the order in which they were first told.
#[derive(Debug, Default)]
struct MergedObject(Vec<(String, Raw)>);

impl MergedObject {
    fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.value())
    }

    fn set(&mut self, name: &str, value: Raw) {
        match self.0.iter_mut().find(|(field, _)| field == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Null says nothing new where something was said before: early `message_delta`s have nulls.
    fn put(&mut self, name: &str, value: &RawValue) {
        if value.get() != "null" || self.get(name).is_none() {
            self.set(name, Raw::new(value));
        }
    }

    fn update(&mut self, object: Option<&RawValue>) {
        let fields = object.and_then(|object| Object::parse(object.get()).ok()).unwrap_or_default();
        fields.iter().for_each(|(name, value)| self.put(name, value));
    }
}

impl Serialize for MergedObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}
