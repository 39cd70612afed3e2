//! A recording in larger pieces. An answer that is there already goes out in a few chunks instead of one a word: a client
//! has less to do for the same text, and so has whoever reads the recording again.

use std::{fmt::Write as _, sync::Arc};

use super::{
    event::{Event, ParseError, parse, read},
    field::Field,
};
use crate::domain::{
    exchange::Micros,
    json::inside,
    recording::{Recorder, Recording},
};

/// Length in bytes of the first piece, so that something is shown at once, and of all others.
const FIRST: usize = 64;
const OTHERS: usize = 4096;

/// The same answer, in which deltas that continue the same field of the same block are joined, and nothing keeps the
/// connection open.
pub fn merge(recording: &Recording) -> Result<Recording, ParseError> {
    let mut joined = Merger { enough: FIRST, held: None, recorder: Recorder::default() };
    for written in recording.events() {
        let event = read(written);
        match parse(&event)? {
            Event::Ping => {}
            Event::BlockDelta { index, delta } => match Field::of(&delta) {
                Some((field, literal)) => joined.put((index, field), inside(literal)),
                // A citation is of the text as far as it has come.
                None => joined.copy(written),
            },
            _ => joined.copy(written),
        }
    }
    joined.release();
    let mut merged = Recording::default();
    if let Some(segment) = joined.recorder.cut(Micros(0)) {
        merged.append(Arc::new(segment));
    }
    Ok(merged)
}

struct Merger {
    /// Length at which a piece is written.
    enough: usize,
    held: Option<Piece>,
    recorder: Recorder,
}

/// The content of a JSON string, of a field of a block.
struct Piece {
    place: (usize, Field),
    content: String,
}

impl Merger {
    fn put(&mut self, place: (usize, Field), content: &str) {
        if self.held.as_ref().is_some_and(|held| held.place != place) {
            self.release();
        }
        let held = self.held.get_or_insert_with(|| Piece { place, content: String::new() });
        held.content.push_str(content);
        if held.content.len() >= self.enough {
            self.release();
        }
    }

    fn copy(&mut self, written: &[u8]) {
        self.release();
        self.recorder.push(written);
    }

    fn release(&mut self) {
        let Some(Piece { place: (index, field), content }) = self.held.take() else { return };
        self.enough = OTHERS;
        let (kind, name) = field.names();
        let mut event = String::with_capacity(content.len() + 160);
        let written = write!(
            event,
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":{index},\
             \"delta\":{{\"type\":\"{kind}\",\"{name}\":\"{content}\"}}}}\n\n"
        );
        written.expect("a string takes everything");
        self.recorder.push(event.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{assemble, unfold},
        *,
    };

    fn recorded(events: &[String]) -> Recording {
        let (mut recorder, mut recording) = (Recorder::default(), Recording::default());
        for event in events {
            recorder.push(event.as_bytes());
            recording.append(Arc::new(recorder.cut(Micros(0)).unwrap()));
        }
        recording
    }

    fn delta(index: usize, kind: &str, field: &str, literal: &str) -> String {
        format!(
            "data: {{\"type\":\"content_block_delta\",\"index\":{index},\"delta\":{{\"type\":\"{kind}\",\"{field}\":{literal}}}}}\n\n"
        )
    }

    #[test]
    fn deltas_of_one_field_are_joined_and_all_else_stays() {
        let message = serde_json::json!({"content": [
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "text", "text": ""},
            {"type": "tool_use", "id": "t", "name": "f", "input": {}},
        ]});
        let told: Vec<String> = unfold(&message, "m")
            .into_iter()
            .map(|event| String::from_utf8(event).unwrap())
            .filter(|event| !event.contains("content_block_delta"))
            .collect();
        let mut events = Vec::new();
        for event in told {
            let starts = event.contains("content_block_start");
            events.push(event);
            if !starts {
                continue;
            }
            match events.iter().filter(|event| event.contains("content_block_start")).count() - 1 {
                0 => {
                    events.extend([delta(0, "thinking_delta", "thinking", r#""Hm ""#)]);
                    events.extend([delta(0, "thinking_delta", "thinking", r#""\n\ud83d""#)]);
                    events.extend(["event: ping\ndata: {\"type\":\"ping\"}\r\n\r\n".to_owned()]);
                    events.extend([delta(0, "thinking_delta", "thinking", r#""\ude00""#)]);
                    events.extend([delta(0, "signature_delta", "signature", r#""Eq==""#)]);
                }
                1 => {
                    let word = |_| delta(1, "text_delta", "text", r#""w\u00f6rd ""#);
                    events.extend((0..2000).map(word));
                    events.extend([delta(1, "citations_delta", "citation", r#"{"url":"u"}"#)]);
                    events.extend((0..3).map(word));
                }
                _ => {
                    events.extend(
                        [r#""{\"a\":""#, r#""[1]}""#]
                            .map(|json| delta(2, "input_json_delta", "partial_json", json)),
                    );
                }
            }
        }
        let recording = recorded(&events);
        let merged = merge(&recording).unwrap();
        assert_eq!(assemble(&merged).unwrap(), assemble(&recording).unwrap());
        let deltas =
            merged.events().filter(|event| event.starts_with(b"event: content_block_delta"));
        // Of the text: the first piece went out with the thinking.
        assert_eq!(deltas.count(), 2 + (2000 * 10_usize).div_ceil(4100) + 1 + 1);
        assert_eq!(merge(&merged).unwrap().len(), merged.len());
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let torn = recorded(&["event: content_block_delta\ndata: {\"type\"\n\n".to_owned()]);
        assert!(merge(&torn).is_err());
    }
}
