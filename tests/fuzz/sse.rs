//! Server-sent events: the same events in whatever pieces their bytes come, and nothing of them lost.

use std::sync::Arc;

use bytes::Bytes;
use reprise::domain::{
    exchange::Micros,
    recording::{Recorder, Recording, Segment},
    sse,
};

/// The first bytes are the lengths of the pieces, in turn; the rest, after a zero, is the stream.
pub(super) fn check(data: &[u8]) {
    let split = data.iter().position(|byte| *byte == 0);
    let (lengths, stream) = split.map_or((&[][..], data), |at| (&data[..at], &data[at + 1..]));
    let (whole, torn) = record(std::iter::once(stream));
    let (pieced, rest) = record(pieces(lengths, stream));
    let (bytewise, last) = record(stream.chunks(1));
    assert_eq!((&rest, &last), (&torn, &torn), "the rest depends on the pieces");
    let events: Vec<&[u8]> = whole.events().collect();
    assert_eq!(pieced.events().collect::<Vec<_>>(), events, "events depend on the pieces");
    assert_eq!(bytewise.events().collect::<Vec<_>>(), events, "events depend on the pieces");
    assert_eq!([events.concat(), torn].concat(), stream, "something is lost");
    assert_eq!(whole.len(), events.iter().map(|event| event.len()).sum::<usize>());
    for event in &events {
        assert_eq!(sse::event_ends(event, 0).collect::<Vec<_>>(), [event.len()], "one event each");
        let sse::Event { name, data } = sse::parse(event);
        assert_eq!((name.to_vec(), data.to_vec()), fields(event), "read differently");
    }
    let again = Recording::decode(Bytes::from(pieced.encode())).expect("our own bytes");
    assert_eq!(again.events().collect::<Vec<_>>(), events, "stored and read");
    assert_eq!(again.encode(), pieced.encode());
    for segment in whole.segments(0) {
        let middle = usize::from(data[0]) % (events.len() + 1);
        let (before, after) = segment.as_ref().clone().split(middle);
        let halves = [before, after].into_iter().flatten();
        let halves: Vec<Vec<u8>> =
            halves.flat_map(|half| half.events().map(<[u8]>::to_vec).collect::<Vec<_>>()).collect();
        assert_eq!(halves, events, "split");
        let left = segment.as_ref().clone().without(&[middle]);
        let left = left.iter().flat_map(Segment::events).map(<[u8]>::len).sum::<usize>();
        assert_eq!(
            left + events.get(middle).map_or(0, |event| event.len()),
            whole.len(),
            "without"
        );
    }
    // The same bytes as a damaged ledger may have them.
    if let Ok(damaged) = Recording::decode(Bytes::copy_from_slice(stream)) {
        let again = Recording::decode(Bytes::from(damaged.encode())).expect("our own bytes");
        assert_eq!(again.events().collect::<Vec<_>>(), damaged.events().collect::<Vec<_>>());
    }
}

/// Records these pieces, each read by itself, and says what is left over.
fn record<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Recording, Vec<u8>) {
    let (mut recorder, mut recording) = (Recorder::default(), Recording::default());
    for (at, piece) in (0..).zip(pieces) {
        recorder.push(piece);
        if let Some(segment) = recorder.cut(Micros(at)) {
            recording.append(Arc::new(segment));
        }
    }
    (recording, recorder.rest().to_vec())
}

fn pieces<'a>(lengths: &'a [u8], mut stream: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut lengths = lengths.iter().cycle();
    std::iter::from_fn(move || {
        let length = lengths.next().map_or(stream.len(), |length| usize::from(*length));
        let (piece, rest) = stream.split_at(length.min(stream.len()));
        stream = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// The `event` and `data` of an event, line by line as the specification has it.
fn fields(event: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut name, mut data) = (Vec::new(), Vec::new());
    for line in event.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let value = &line[colon + 1..];
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"event" => name = value.to_vec(),
            b"data" => data.push(value),
            _ => {}
        }
    }
    (name, data.join(&b'\n'))
}
