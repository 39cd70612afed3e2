//! The events of a response in a file: one on each line, as `[ms, "name", data]`.
//!
//! `data` is written verbatim, so that it is readable without a layer of escapes and padding is preserved. An event that
//! Anthropic would not frame like this (CRLF, comments, data in several lines, no JSON) is a string of all its bytes; one
//! that is not UTF-8 is `{"base64": …}`.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::tree::{Tree, encode};
use crate::domain::{anthropic, recording::Recording, sse};

/// Duration of a recording, in milliseconds, below which all its times are set to zero, so that two recordings of one
/// answer give the same file.
const AT_ONCE: u64 = 1000;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Time of arrival, in milliseconds since the request was sent.
    pub at: u64,
    /// Its bytes, including the blank line.
    pub bytes: Vec<u8>,
}

pub(super) fn of_recording(recording: &Recording) -> Vec<Event> {
    let mut events = Vec::new();
    for segment in recording.segments(0) {
        let at = u64::try_from(segment.at().0 / 1000).unwrap_or(0);
        events.extend(segment.events().map(|bytes| Event { at, bytes: bytes.to_vec() }));
    }
    let took = |first: &Event, last: &Event| last.at.saturating_sub(first.at);
    if events.first().zip(events.last()).is_some_and(|(first, last)| took(first, last) < AT_ONCE) {
        for event in &mut events {
            event.at = 0;
        }
    }
    events
}

/// The stream of a message that was written by hand; omitted fields get defaults.
pub(super) fn of_message(message: &str, model: &str) -> Vec<Event> {
    let message: Value = serde_json::from_str(message).unwrap_or_default();
    let events = anthropic::unfold(&message, model).into_iter();
    events.map(|bytes| Event { at: 0, bytes }).collect()
}

/// Returns whether the events contain an end.
pub(super) fn has_end(events: &[Event]) -> bool {
    events.iter().rev().any(|event| {
        matches!(
            anthropic::parse(&anthropic::read(&event.bytes)),
            Ok(anthropic::Event::MessageStop | anthropic::Event::Error(_))
        )
    })
}

/// The name and data of an event that is framed as Anthropic does, with JSON data on one line.
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
    /// The event as a line of the file.
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

    /// Parses such a line; `text` is the file that `tree` was parsed from.
    pub(super) fn read(tree: &Tree<'_>, text: &str) -> Result<Self, &'static str> {
        const SHAPE: &str =
            "an event must be [ms, \"name\", data], or [ms, \"its bytes as a text\"]";
        let (at, rest) = tree.items().and_then(<[_]>::split_first).ok_or(SHAPE)?;
        let at =
            at.number().ok_or("the first item of an event must be its time in milliseconds")?;
        let bytes = match rest {
            [name, data] => {
                let name = name.text().ok_or(SHAPE)?;
                let data = &text[data.at..data.end];
                let framed = frame(&name, data);
                if self::framed(&framed) != Some((&name, data)) {
                    return Err("the data of an event must be on one line");
                }
                framed
            }
            [whole] => match (&whole.text(), whole.get("base64").and_then(Tree::text)) {
                (Some(text), _) => text.as_bytes().to_vec(),
                (None, Some(coded)) => {
                    STANDARD.decode(&*coded).map_err(|_| "this is not base64")?
                }
                (None, None) => return Err(SHAPE),
            },
            _ => return Err(SHAPE),
        };
        if sse::event_ends(&bytes, 0).collect::<Vec<_>>() != [bytes.len()] {
            return Err("an event must end with a blank line, and have no other");
        }
        Ok(Self { at, bytes })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{exchange::Micros, recording::Recorder};

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

    #[test]
    fn an_answer_that_came_at_once_has_no_times() {
        let times = |times: &[i64]| {
            let (mut recorder, mut recording) = (Recorder::default(), Recording::default());
            for at in times {
                recorder.push(b"data: {}\n\n");
                recording.append(Arc::new(recorder.cut(Micros(at * 1000)).unwrap()));
            }
            of_recording(&recording).iter().map(|event| event.at).collect::<Vec<_>>()
        };
        assert_eq!(times(&[1500, 1500, 1990]), [0, 0, 0], "the wait was the connection's");
        assert_eq!(times(&[1500, 1700, 2500]), [1500, 1700, 2500]);
        assert_eq!(times(&[]), [0; 0]);
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
