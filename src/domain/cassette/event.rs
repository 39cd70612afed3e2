//! The events of a response in a file: one a line, as `[ms, "name", data]`.
//!
//! `data` stands in the file as the JSON that it is, byte for byte: a person reads it without a layer of escapes, and
//! padding is kept. An event that Anthropic would not frame so (CRLF, comments, data in several lines, no JSON) is a
//! string of all its bytes; one that is not UTF-8 is `{"base64": …}`.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::tree::{Tree, encode};
use crate::domain::{anthropic, recording::Recording, sse};

/// An answer that took less than this, in milliseconds, is taken to have come at once: nobody would see the
/// difference, and two recordings of it are then the same file.
const AT_ONCE: u64 = 1000;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When it came, in milliseconds since the request was sent.
    pub at: u64,
    /// All its bytes, with its blank line.
    pub bytes: Vec<u8>,
}

pub(super) fn of_recording(recording: &Recording) -> Vec<Event> {
    let mut events = Vec::new();
    for segment in recording.segments(0) {
        let at = u64::try_from(segment.at().0 / 1000).unwrap_or(0);
        events.extend(segment.events().map(|bytes| Event { at, bytes: bytes.to_vec() }));
    }
    if events.last().is_some_and(|last| last.at < AT_ONCE) {
        for event in &mut events {
            event.at = 0;
        }
    }
    events
}

/// A message that was written by hand, as it would have been streamed. What it leaves out is put in.
pub(super) fn of_message(message: &str, model: &str) -> Vec<Event> {
    let message: Value = serde_json::from_str(message).unwrap_or_default();
    let events = anthropic::unfold(&message, model).into_iter();
    events.map(|bytes| Event { at: 0, bytes }).collect()
}

/// Whether the last event is an end.
pub(super) fn end(events: &[Event]) -> bool {
    events.iter().rev().any(|event| {
        let event = sse::parse(&event.bytes);
        matches!(
            anthropic::parse(&event),
            Ok(anthropic::Event::MessageStop | anthropic::Event::Error(_))
        )
    })
}

/// An event's name and data, if it is framed as Anthropic frames it and its data is JSON in one line.
pub(super) fn framed(bytes: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (name, data) = text.strip_prefix("event: ")?.split_once("\ndata: ")?;
    let data = data.strip_suffix("\n\n")?;
    let plain = !name.contains(['\n', '\r']) && !data.contains(['\n', '\r']);
    let is_json = plain && serde_json::from_str::<serde::de::IgnoredAny>(data).is_ok();
    (is_json && data.trim() == data).then_some((name, data))
}

/// The bytes of a framed event.
pub(super) fn frame(name: &str, data: &str) -> Vec<u8> {
    format!("event: {name}\ndata: {data}\n\n").into_bytes()
}

impl Event {
    /// The line in the file.
    pub(super) fn line(&self) -> String {
        let Self { at, bytes } = self;
        match (framed(bytes), std::str::from_utf8(bytes)) {
            (Some((name, data)), _) => format!("[{at}, {}, {data}]", encode(name)),
            (None, Ok(text)) => format!("[{at}, {}]", encode(text)),
            (None, Err(_)) => {
                format!("[{at}, {{\"base64\": {}}}]", encode(&STANDARD.encode(bytes)))
            }
        }
    }

    /// Reads such a line; `text` is the file that `tree` was read from.
    pub(super) fn read(tree: &Tree<'_>, text: &str) -> Result<Self, &'static str> {
        const SHAPE: &str = "an event is [ms, \"name\", data], or [ms, \"its bytes as a text\"]";
        let (at, rest) = tree.items().and_then(<[_]>::split_first).ok_or(SHAPE)?;
        let at =
            at.number().ok_or("the first item of an event is when it came, in milliseconds")?;
        let bytes = match rest {
            [name, data] => {
                let name = name.text().ok_or(SHAPE)?;
                let data = &text[data.at..data.end];
                let framed = frame(&name, data);
                if self::framed(&framed) != Some((&name, data)) {
                    return Err("the data of an event stands in one line");
                }
                framed
            }
            [whole] => match (&whole.text(), whole.get("base64").and_then(Tree::text)) {
                (Some(text), _) => text.as_bytes().to_vec(),
                (None, Some(coded)) => STANDARD.decode(&*coded).map_err(|_| "this is no base64")?,
                (None, None) => return Err(SHAPE),
            },
            _ => return Err(SHAPE),
        };
        if sse::event_ends(&bytes, 0).collect::<Vec<_>>() != [bytes.len()] {
            return Err("an event ends with a blank line, and has no other");
        }
        Ok(Self { at, bytes })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn again(event: &Event) -> Event {
        let line = event.line();
        assert!(!line.contains('\n'), "{line}");
        Event::read(&Tree::parse(&line).unwrap(), &line).unwrap()
    }

    #[test]
    fn an_event_is_readable_and_keeps_its_bytes() {
        for (bytes, line) in [
            (
                "event: ping\ndata: {\"type\": \"ping\"   }\n\n",
                "[7, \"ping\", {\"type\": \"ping\"   }]",
            ),
            ("event: ping\r\ndata: {}\r\n\r\n", r#"[7, "event: ping\r\ndata: {}\r\n\r\n"]"#),
            ("event: a\ndata: {} \n\n", r#"[7, "event: a\ndata: {} \n\n"]"#),
            (": hello\n\n", r#"[7, ": hello\n\n"]"#),
            ("event: a\ndata: {\ndata: }\n\n", r#"[7, "event: a\ndata: {\ndata: }\n\n"]"#),
            ("data: [1]\n\n", r#"[7, "data: [1]\n\n"]"#),
        ] {
            let event = Event { at: 7, bytes: bytes.as_bytes().to_vec() };
            assert_eq!(event.line(), line);
            assert_eq!(again(&event), event);
        }
        let wild = Event { at: 0, bytes: b"data: \xff\n\n".to_vec() };
        assert_eq!(wild.line(), r#"[0, {"base64": "ZGF0YTog/woK"}]"#);
        assert_eq!(again(&wild), wild);
    }

    proptest! {
        #[test]
        fn any_event_keeps_its_bytes(
            name in "[a-z_\\r ]{0,8}", data in "\\PC{0,20}", padding in "[ \\t]{0,3}", lines in prop_oneof![Just("\n"), Just("\r\n")],
        ) {
            let bytes = format!("event: {name}{lines}data: {data}{padding}{lines}{lines}").into_bytes();
            prop_assume!(sse::event_ends(&bytes, 0).collect::<Vec<_>>() == [bytes.len()]);
            let event = Event { at: 3, bytes };
            prop_assert_eq!(again(&event), event);
        }
    }
}
