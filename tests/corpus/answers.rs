//! Recorded answers: what each client understands of them is what the official SDK does, however the network cut them.

use reprise::domain::{
    anthropic::{self, assemble, fold, merge},
    translate,
};
use serde_json::Value;

use super::{
    heard::Heard,
    lines,
    streams::{at_once, chunks, record, streamed, whole},
};

/// In longer streams the answers are compared at some of the cuts only, or the test would take minutes.
const SHORT: usize = 2_500;

/// The exchanges of the corpus that have this field.
fn exchanges(field: &str) -> Vec<Value> {
    let mut exchanges = lines("anthropic-exchanges.jsonl");
    exchanges.retain(|exchange| !exchange[field].is_null());
    exchanges
}

fn name(exchange: &Value) -> &str {
    exchange["id"].as_str().unwrap()
}

/// Both clients understand the message.
fn understood(sse: &[u8], message: &Value, name: &str) {
    let (recording, expected) = (record(&[sse]), Heard::of_message(message));
    assert_eq!(Heard::of_chunks(&chunks(&recording).unwrap()), expected, "streaming: {name}");
    assert_eq!(Heard::of_completion(&whole(&recording).unwrap()), expected, "folded: {name}");
    let merged = merge(&recording).unwrap();
    assert_eq!(Heard::of_chunks(&chunks(&merged).unwrap()), expected, "repeated: {name}");
    assert_eq!(whole(&merged).unwrap(), whole(&recording).unwrap(), "repeated whole: {name}");
}

/// The native door's message is the other one: nothing is left out, as the SDK's fold loses nothing of these.
fn native(sse: &[u8], message: &Value, name: &str) {
    let native: Value = serde_json::from_slice(&assemble(&record(&[sse])).unwrap()).unwrap();
    assert_eq!(&native, message, "native: {name}");
}

#[test]
fn a_recorded_stream_is_understood_as_the_sdk_understands_it() {
    for exchange in exchanges("assembled") {
        let sse = exchange["response_sse"].as_str().unwrap().as_bytes();
        understood(sse, &exchange["assembled"], name(&exchange));
    }
}

#[test]
fn the_native_door_says_what_the_sdk_says() {
    for exchange in exchanges("assembled") {
        let sse = exchange["response_sse"].as_str().unwrap().as_bytes();
        native(sse, &exchange["assembled"], name(&exchange));
    }
}

#[test]
fn a_message_that_was_not_streamed_is_understood_as_if_it_had_been() {
    for exchange in exchanges("response_json") {
        let message = &exchange["response_json"];
        if message["type"] == "message" {
            for sse in [streamed(message), at_once(message)] {
                understood(sse.as_bytes(), message, name(&exchange));
                native(sse.as_bytes(), message, name(&exchange));
            }
        }
    }
}

/// Every reader reads a recording event by event and sees no more of it, so a cut that leaves the events as they are
/// leaves the answers as they are. These are compared all the same, in long streams at fewer cuts.
#[test]
fn a_recorded_stream_may_be_cut_at_every_byte() {
    for exchange in exchanges("response_sse") {
        if exchange["fidelity"] != "exact" {
            continue;
        }
        let sse = exchange["response_sse"].as_str().unwrap().as_bytes();
        let uncut = record(&[sse]);
        let events: Vec<&[u8]> = uncut.events().collect();
        let (streamed, folded) = (chunks(&uncut).unwrap(), whole(&uncut).unwrap());
        let step = if sse.len() > SHORT { 97 } else { 1 };
        for at in 0..=sse.len() {
            let cut = record(&[&sse[..at], &sse[at..]]);
            assert!(cut.events().eq(events.iter().copied()), "{} cut at {at}", name(&exchange));
            if at % step == 0 {
                assert_eq!(chunks(&cut).unwrap(), streamed, "{} cut at {at}", name(&exchange));
                assert_eq!(whole(&cut).unwrap(), folded, "{} cut at {at}", name(&exchange));
            }
        }
    }
}

#[test]
fn a_stream_that_broke_ends_in_an_error() {
    for exchange in exchanges("response_sse") {
        let name = name(&exchange);
        let sse = exchange["response_sse"].as_str().unwrap().as_bytes();
        if exchange["fidelity"] == "composed" {
            let recording = record(&[sse]);
            assert!(chunks(&recording).is_err(), "{name}");
            assert!(whole(&recording).is_err(), "{name}");
            assert!(assemble(&recording).is_err(), "{name}");
            assert!(fold(&recording).is_err(), "{name}");
        }
    }
}

#[test]
fn an_error_of_upstream_is_told_in_its_words() {
    for exchange in exchanges("response_json") {
        let error = &exchange["response_json"]["error"];
        if error.is_null() {
            continue;
        }
        let body: anthropic::ErrorBody =
            serde_json::from_value(exchange["response_json"].clone()).unwrap();
        let told = translate::error(&body, translate::Tried::default());
        let message = error["message"].as_str().unwrap().trim_end_matches('.').to_lowercase();
        assert!(told.message.to_lowercase().contains(&message), "{}", name(&exchange));
    }
}
