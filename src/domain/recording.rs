//! The recording: the exact bytes of an SSE body, with marks that say where each event ends and when it came.
//!
//! Append-only and pure. [`Recorder`] cuts what the network brings into segments of whole events; [`Recording`]
//! is the list of them. A live answer shares segments with its readers without copying; a stored one is a single
//! buffer with its marks.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{exchange::Micros, sse, varint};

/// Whole events that one read of the network completed.
#[derive(Debug, Clone)]
pub struct Segment {
    bytes: Bytes,
    /// Offset of the end of each event in this segment.
    ends: Vec<usize>,
    /// Since the request was sent.
    at: Micros,
}

impl Segment {
    /// The events, each with its blank line.
    pub fn events(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start..end])
    }

    /// When these events came, counted from the sending of the request.
    pub const fn at(&self) -> Micros {
        self.at
    }

    /// The bytes as they came.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The segment without the events at these positions, in their order; `None` if no event is left.
    pub fn without(self, positions: &[usize]) -> Option<Self> {
        if positions.is_empty() {
            return Some(self);
        }
        let mut bytes = BytesMut::with_capacity(self.bytes.len());
        let mut ends = Vec::with_capacity(self.ends.len());
        for (position, event) in self.events().enumerate() {
            if positions.binary_search(&position).is_err() {
                bytes.extend_from_slice(event);
                ends.push(bytes.len());
            }
        }
        (!ends.is_empty()).then(|| Self { bytes: bytes.freeze(), ends, at: self.at })
    }

    /// The same events with asterisks over everything of `length` bytes that `find` finds.
    #[must_use]
    pub fn masked(self, length: usize, find: impl Fn(&[u8]) -> Option<usize>) -> Self {
        let Some(mut at) = find(&self.bytes) else { return self };
        let mut bytes = self.bytes.to_vec();
        loop {
            bytes[at..at + length].fill(b'*');
            match find(&bytes[at + length..]) {
                Some(next) => at += length + next,
                None => return Self { bytes: bytes.into(), ..self },
            }
        }
    }

    /// The offset at which an event begins.
    fn start(&self, event: usize) -> usize {
        event.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    /// The number of events from `first` on that have no more than `most` bytes together.
    fn count(&self, first: usize, most: usize) -> usize {
        let limit = self.start(first).saturating_add(most);
        self.ends[first..].partition_point(|end| *end <= limit)
    }

    /// The `count` events from `first` on. The bytes are shared.
    fn range(&self, first: usize, count: usize) -> Self {
        let start = self.start(first);
        let ends: Vec<usize> =
            self.ends[first..first + count].iter().map(|end| end - start).collect();
        let end = start + ends.last().copied().unwrap_or_default();
        Self { bytes: self.bytes.slice(start..end), ends, at: self.at }
    }

    /// Splits off the first `count` events. A side without events is `None`.
    pub fn split(self, count: usize) -> (Option<Self>, Option<Self>) {
        if count == 0 {
            return (None, Some(self));
        }
        let Some(&middle) = self.ends.get(count - 1).filter(|_| count < self.ends.len()) else {
            return (Some(self), None);
        };
        let Self { mut bytes, mut ends, at } = self;
        let after = ends.split_off(count).into_iter().map(|end| end - middle).collect();
        let after = Self { bytes: bytes.split_off(middle), ends: after, at };
        (Some(Self { bytes, ends, at }), Some(after))
    }
}

/// Cuts a byte stream into segments of whole events, wherever the network cut it.
#[derive(Debug, Default)]
pub struct Recorder {
    tail: BytesMut,
    scanned: usize,
}

impl Recorder {
    /// Appends bytes. [`Self::cut`] is separate, so that one read becomes one segment.
    pub fn push(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
    }

    /// The whole events since the last cut.
    pub fn cut(&mut self, at: Micros) -> Option<Segment> {
        // A blank line may straddle what was scanned, so the last three bytes are looked at again.
        let from = self.scanned.saturating_sub(3);
        let ends: Vec<usize> = sse::event_ends(&self.tail, from).collect();
        let Some(&end) = ends.last() else {
            self.scanned = self.tail.len();
            return None;
        };
        self.scanned = self.tail.len() - end;
        Some(Segment { bytes: self.tail.split_to(end).freeze(), ends, at })
    }

    /// Puts the blank line behind the last event of a body that ended without it.
    pub fn complete(&mut self) {
        let line_end: &[u8] = if self.tail.contains(&b'\r') { b"\r\n" } else { b"\n" };
        if !self.tail.ends_with(b"\n") {
            self.tail.extend_from_slice(line_end);
        }
        self.tail.extend_from_slice(line_end);
    }

    /// Bytes that belong to no whole event yet: none at a clean end, the torn event at a cut.
    pub fn rest(&self) -> &[u8] {
        &self.tail
    }
}

/// A reader's place in a recording.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    /// Number of segments that were read.
    segments: usize,
    /// Number of events of the next segment that were read.
    events: usize,
}

impl Position {
    /// The beginning.
    pub const START: Self = Self { segments: 0, events: 0 };
}

/// A recording, complete or still growing.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    segments: Vec<Arc<Segment>>,
    len: usize,
}

impl Recording {
    /// Appends a segment.
    pub fn append(&mut self, segment: Arc<Segment>) {
        self.len += segment.bytes.len();
        self.segments.push(segment);
    }

    /// The segments from number `from` on.
    pub fn segments(&self, from: usize) -> &[Arc<Segment>] {
        self.segments.get(from..).unwrap_or_default()
    }

    /// Appends the events after `position` to `read`, as long as they have no more than `most` bytes, and at least one.
    /// Moves the position behind them. Returns whether no event is left.
    pub fn read(&self, position: &mut Position, most: usize, read: &mut Vec<Arc<Segment>>) -> bool {
        let mut left = most;
        while let Some(segment) = self.segments.get(position.segments) {
            let whole = position.events == 0 && segment.bytes.len() <= left;
            let (piece, count) = if whole {
                (Arc::clone(segment), segment.ends.len())
            } else {
                let count = segment.count(position.events, left);
                if count == 0 && left < most {
                    return false;
                }
                let count = count.max(1);
                (Arc::new(segment.range(position.events, count)), count)
            };
            left = left.saturating_sub(piece.bytes.len());
            read.push(piece);
            position.events += count;
            if position.events == segment.ends.len() {
                *position = Position { segments: position.segments + 1, events: 0 };
            }
        }
        true
    }

    /// All events in order, each with its blank line.
    pub fn events(&self) -> impl Iterator<Item = &[u8]> {
        self.segments.iter().flat_map(|segment| segment.events())
    }

    /// Number of recorded bytes.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True if nothing was recorded.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The form in the ledger: for each event its length and how much later than the one before it came (both as
    /// LEB128, microseconds), a zero, then the bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len + self.len / 32 + 16);
        let mut before = 0;
        for segment in &self.segments {
            for event in segment.events() {
                varint::put(&mut out, event.len() as u64);
                varint::put(&mut out, u64::try_from(segment.at.0 - before).unwrap_or(0));
                before = before.max(segment.at.0);
            }
        }
        varint::put(&mut out, 0);
        for segment in &self.segments {
            out.extend_from_slice(&segment.bytes);
        }
        out
    }

    /// Reads the form that [`Recording::encode`] writes. Events that came together are one segment again.
    pub fn decode(mut encoded: Bytes) -> Result<Self, DecodeError> {
        let mut recording = Self::default();
        let mut groups: Vec<(Micros, Vec<usize>)> = Vec::new();
        let mut at = 0_i64;
        let mut rest = &*encoded;
        loop {
            let len = varint::take(&mut rest).and_then(|len| usize::try_from(len).ok());
            let len = len.ok_or(DecodeError)?;
            if len == 0 {
                break;
            }
            let later = varint::take(&mut rest).and_then(|later| i64::try_from(later).ok());
            let later = later.ok_or(DecodeError)?;
            at = at.checked_add(later).ok_or(DecodeError)?;
            match groups.last_mut() {
                Some((moment, ends)) if later == 0 && moment.0 == at => {
                    let end =
                        ends.last().copied().unwrap_or(0).checked_add(len).ok_or(DecodeError)?;
                    ends.push(end);
                }
                _ => groups.push((Micros(at), vec![len])),
            }
        }
        let mut encoded = encoded.split_off(encoded.len() - rest.len());
        for (at, ends) in groups {
            let len = ends.last().copied().unwrap_or(0);
            if len > encoded.len() {
                return Err(DecodeError);
            }
            recording.append(Arc::new(Segment { bytes: encoded.split_to(len), ends, at }));
        }
        if encoded.is_empty() { Ok(recording) } else { Err(DecodeError) }
    }
}

/// Bytes that are not a recording: the ledger was damaged, or written by another program.
#[derive(Debug, thiserror::Error)]
#[error("the stored recording is damaged")]
pub struct DecodeError;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str =
        "event: a\ndata: {\"x\":\"é\"}\n\nevent: b\r\ndata: 2\r\n\r\n: ping\n\ndata: torn";

    fn record(pieces: &[&[u8]]) -> (Recording, Vec<u8>) {
        let mut recorder = Recorder::default();
        let mut recording = Recording::default();
        for (at, piece) in (0..).zip(pieces) {
            recorder.push(piece);
            if let Some(segment) = recorder.cut(Micros(at)) {
                recording.append(Arc::new(segment));
            }
        }
        (recording, recorder.rest().to_vec())
    }

    proptest! {
        #[test]
        fn events_are_the_same_wherever_the_network_cuts(cuts in prop::collection::vec(0..STREAM.len(), 0..12)) {
            let mut cuts = cuts;
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &STREAM.as_bytes()[w[0]..w[1]]).collect();
            let (recording, rest) = record(&pieces);
            let (whole, _) = record(&[STREAM.as_bytes()]);
            prop_assert_eq!(recording.events().collect::<Vec<_>>(), whole.events().collect::<Vec<_>>());
            prop_assert_eq!(whole.events().count(), 3);
            prop_assert_eq!(rest, b"data: torn");

            let again = Recording::decode(Bytes::from(recording.encode())).unwrap();
            prop_assert_eq!(again.events().collect::<Vec<_>>(), recording.events().collect::<Vec<_>>());
            prop_assert_eq!(again.encode(), recording.encode());
        }

        #[test]
        fn damaged_bytes_are_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Recording::decode(Bytes::from(bytes));
        }
    }

    #[test]
    fn a_read_takes_a_few_events_at_a_time() {
        let mut recording = Recording::default();
        for segment in [vec![30, 30, 30], vec![10], vec![200], vec![10; 12], vec![40]] {
            let mut recorder = Recorder::default();
            for length in segment {
                recorder.push(&[&vec![b'x'; length - 2][..], b"\n\n"].concat());
            }
            recording.append(Arc::new(recorder.cut(Micros(0)).unwrap()));
        }
        let mut position = Position::START;
        let mut next = |most| {
            let mut read = Vec::new();
            let is_read = recording.read(&mut position, most, &mut read);
            let lengths = |segment: &Arc<Segment>| segment.events().map(<[u8]>::len).collect();
            (read.iter().map(lengths).collect::<Vec<Vec<usize>>>(), is_read)
        };
        assert_eq!(next(70), (vec![vec![30, 30]], false));
        assert_eq!(next(70), (vec![vec![30], vec![10]], false));
        assert_eq!(next(70), (vec![vec![200]], false), "one event is never parted");
        assert_eq!(next(70), (vec![vec![10; 7]], false));
        assert_eq!(next(70), (vec![vec![10; 5]], false));
        assert_eq!(next(70), (vec![vec![40]], true));
        assert_eq!(next(70), (vec![], true));
        let mut read = Vec::new();
        assert!(recording.read(&mut { Position::START }, 1000, &mut read));
        assert!(read.iter().zip(recording.segments(0)).all(|(read, held)| Arc::ptr_eq(read, held)));
    }

    #[test]
    fn a_segment_can_be_parted_between_events() {
        let (recording, _) = record(&[STREAM.as_bytes()]);
        let segment = || Segment::clone(&recording.segments(0)[0]);
        let events =
            |segment: Option<Segment>| segment.map_or(0, |segment| segment.events().count());
        for count in 0..=3 {
            let (before, after) = segment().split(count);
            assert_eq!((events(before), events(after)), (count, 3 - count));
        }
        let (_, after) = segment().split(2);
        assert_eq!(after.unwrap().events().collect::<Vec<_>>(), [b": ping\n\n"]);
    }

    #[test]
    fn a_segment_can_lose_events() {
        let (recording, _) = record(&[STREAM.as_bytes()]);
        let segment = || Segment::clone(&recording.segments(0)[0]);
        let all: Vec<Vec<u8>> = segment().events().map(<[u8]>::to_vec).collect();
        let left = segment().without(&[0, 2]).unwrap();
        assert_eq!(left.events().collect::<Vec<_>>(), [&*all[1]]);
        assert_eq!(left.bytes(), &all[1]);
        assert_eq!(segment().without(&[]).unwrap().events().count(), 3);
        assert!(segment().without(&[0, 1, 2]).is_none());
    }

    #[test]
    fn a_blank_line_that_is_missing_is_put_in_its_own_line_ends() {
        for (body, completed) in [
            ("data: 1", "data: 1\n\n"),
            ("data: 1\n", "data: 1\n\n"),
            ("event: a\r\ndata: 1", "event: a\r\ndata: 1\r\n\r\n"),
            ("event: a\r\ndata: 1\r\n", "event: a\r\ndata: 1\r\n\r\n"),
        ] {
            let mut recorder = Recorder::default();
            recorder.push(body.as_bytes());
            assert!(recorder.cut(Micros(0)).is_none());
            recorder.complete();
            assert_eq!(recorder.cut(Micros(0)).unwrap().bytes(), completed.as_bytes());
            assert!(recorder.rest().is_empty());
        }
    }
}
