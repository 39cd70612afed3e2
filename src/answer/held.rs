//! The beginning of a response, held back from the readers until it has content: what fails before can be asked for
//! again, and nobody has seen it.

use std::time::{Duration, Instant};

use super::live::RecordingWriter;
use crate::domain::recording::Segment;

/// Longest time for which a response is held once a content block has begun: Claude may think for minutes in silence,
/// and clients wait for the head of an answer less long than for the next part of its body.
const LONGEST_HOLD: Duration = Duration::from_secs(10);

/// The segments of a response that the readers have not got yet.
#[derive(Debug, Default)]
pub(super) struct HeldSegments {
    segments: Vec<Segment>,
    /// The moment when they are released at the latest.
    until: Option<tokio::time::Instant>,
    /// The moment when they were released.
    released: Option<Instant>,
}

impl HeldSegments {
    pub(super) fn push(&mut self, segment: Segment) {
        self.segments.push(segment);
    }

    /// Limits the time for which the segments are held.
    pub(super) fn limit(&mut self) {
        self.until.get_or_insert_with(|| tokio::time::Instant::now() + LONGEST_HOLD);
    }

    /// Holds the segments for as long again.
    pub(super) fn prolong(&mut self) {
        self.until = None;
        self.limit();
    }

    /// The moment when the segments are released at the latest.
    pub(super) const fn until(&self) -> Option<tokio::time::Instant> {
        self.until
    }

    /// The moment when the segments were released. From then on nothing is held.
    pub(super) const fn released(&self) -> Option<Instant> {
        self.released
    }

    /// Gives the segments to the readers, all at once.
    pub(super) fn release(&mut self, writer: &RecordingWriter) {
        (self.until, self.released) = (None, Some(Instant::now()));
        writer.append(self.take());
    }

    /// Takes the segments that are held.
    pub(super) fn take(&mut self) -> Vec<Segment> {
        std::mem::take(&mut self.segments)
    }
}
