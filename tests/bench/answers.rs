//! Answers: events read, recorded and translated.

use std::{hint::black_box, sync::Arc};

use reprise::domain::{
    anthropic::{StreamSummary, fold, merge},
    exchange::{Cost, Micros, NanoDollars},
    recording::{Recorder, Recording},
    sse,
    translate::{Bill, Chunks, Form, WithUsage, completion},
};

use super::measure::{Amount, heading, line};

/// Deltas of the answer: a page or two.
const DELTAS: usize = 1000;
/// Bytes that a read of a fast upstream brings.
const READ: usize = 16 << 10;

const BILL: Bill = Bill::paid(Cost::Exact(NanoDollars(1)));

pub(crate) fn run() {
    heading("an answer of 1,000 deltas");
    let stream = stream(DELTAS);
    let recording = record(stream.chunks(READ));
    let amount = Amount { count: recording.events().count(), unit: "event", bytes: stream.len() };
    line("events found", amount, || {
        black_box(sse::event_ends(&stream, 0).count());
    });
    line("events found and parsed as SSE", amount, || {
        for event in recording.events() {
            black_box(sse::parse(event));
        }
    });
    line("recorded, 16 KiB a read", amount, || {
        black_box(record(stream.chunks(READ)));
    });
    let events: Vec<&[u8]> = recording.events().collect();
    line("recorded, an event a read", amount, || {
        black_box(record(events.iter().copied()));
    });
    line("summed up for the ledger", amount, || {
        let mut summary = StreamSummary::default();
        for event in recording.events() {
            black_box(summary.read(event).unwrap());
        }
    });
    line("translated, a chunk a delta", amount, || {
        black_box(translated(&recording, chunks()));
    });
    line("merged for repeats, once", amount, || {
        black_box(merge(&recording).unwrap());
    });
    let merged = merge(&recording).unwrap();
    line("translated, as a repeat is told", amount, || {
        black_box(translated(&merged, chunks()));
    });
    line("translated whole", amount, || {
        let message = fold(&recording).unwrap();
        let whole = completion(message, BILL, "id".to_owned(), 0, &Form::default());
        black_box(serde_json::to_vec(&whole).unwrap());
    });
    line("encoded for the ledger, and decoded", amount, || {
        black_box(Recording::decode(recording.encode().into()).unwrap());
    });
}

/// A recording of these reads.
pub(crate) fn record<'a>(reads: impl Iterator<Item = &'a [u8]>) -> Recording {
    let (mut recorder, mut recording) = (Recorder::default(), Recording::default());
    for read in reads {
        recorder.push(read);
        if let Some(segment) = recorder.cut(Micros(0)) {
            recording.append(Arc::new(segment));
        }
    }
    recording
}

fn chunks() -> Chunks {
    Chunks::new("chatcmpl-1".to_owned(), 0, WithUsage::Yes, Arc::default())
}

/// Size of what a client gets.
fn translated(recording: &Recording, mut chunks: Chunks) -> usize {
    let mut out = Vec::with_capacity(2 * recording.len());
    for event in recording.events() {
        chunks.translate(event, &mut out).unwrap();
    }
    chunks.finish(BILL, &mut out).unwrap();
    out.len()
}

/// An answer as Anthropic sends it.
pub(crate) fn stream(deltas: usize) -> Vec<u8> {
    let event = |name: &str, fields: &str| {
        format!("event: {name}\ndata: {{\"type\":\"{name}\"{fields}}}\n\n")
    };
    let start = r#","message":{"id":"msg_01Bench","type":"message","role":"assistant","model":"claude-opus-5-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":25,"output_tokens":1}}"#;
    let delta = |n: usize| {
        let delta = format!(
            r#","index":0,"delta":{{"type":"text_delta","text":"word {n:04} lorem ipsum "}}"#
        );
        event("content_block_delta", &delta)
    };
    let block = r#","index":0,"content_block":{"type":"text","text":""}"#;
    let end = r#","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":5000}"#;
    let before = [event("message_start", start), event("content_block_start", block)];
    let after = [
        event("content_block_stop", r#","index":0"#),
        event("message_delta", end),
        event("message_stop", ""),
    ];
    before.into_iter().chain((0..deltas).map(delta)).chain(after).collect::<String>().into_bytes()
}
