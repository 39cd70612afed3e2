//! One attempt at an answer: sends an exchange, again if need be, and copies upstream's response into the recording.
//!
//! The readers get to see nothing until the response has content: what fails before is tried again, whether it came as
//! an HTTP status, as an event or as a cut, and if it fails in the end, it is an HTTP error to the client.

use std::{
    ops::ControlFlow,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use secrecy::SecretString;

use super::{
    Answers, Failure, UpstreamFailure, exchange::OutgoingExchange, held::HeldSegments,
    live::RecordingWriter, progress::progress,
};
use crate::{
    domain::{
        anthropic::{self, Seen, StreamError, StreamSummary, Told},
        exchange::{Micros, Outcome},
        recording::{Recorder, Segment},
        translate::Quirk,
    },
    store::Progress,
    upstream::{self, KeyMask, ResponseHead, Tries},
};

/// Limit on repeated requests without the part that upstream refused.
const MAX_REMEDIES: usize = 3;

/// Tokens of output at which the second note is made; the next ones come at each doubling.
const FIRST_NOTE: u64 = 64;

/// Longest time between the reason for the end of an answer and its end.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// State of an attempt.
#[derive(Debug)]
pub(super) struct Attempt {
    pub began: Instant,
    /// Summary of the response, of the last try.
    pub summary: StreamSummary,
    /// Summaries of responses that had begun, but failed before any content, and were asked for again.
    pub failed: Vec<StreamSummary>,
    pub tries: Tries,
    /// The response, while its connection is open.
    pub incoming: Option<upstream::Response>,
    pub request_id: Option<String>,
    /// HTTP status of the response.
    pub status: Option<u16>,
    pub head: Arc<ResponseHead>,
    mask: KeyMask,
    /// The readers had got a part of the answer before this attempt.
    published: bool,
    /// True if the call wants a stream. Any other gets nothing before the end, and loses nothing while it waits.
    streams: bool,
    held: HeldSegments,
    /// The moment by which `message_stop` must come, once its reason has come. Some gateways lose it.
    ends_by: Option<tokio::time::Instant>,
    recorder: Recorder,
    recorded_bytes: usize,
    /// Tokens of output at which the journal gets the next note of the answer's progress.
    next_note: u64,
    /// Remedies that were tried, by the request that they were tried with.
    remedies: Vec<Vec<Quirk>>,
}

/// End of an attempt.
#[derive(Debug)]
pub(super) struct Finish {
    pub outcome: Outcome,
    pub failure: Option<Failure>,
    /// The stream's last event, which readers may see only once the exchange is sealed.
    pub last: Option<Segment>,
}

impl Finish {
    pub(super) fn failed(outcome: Outcome, failure: impl Into<Failure>) -> Self {
        Self { outcome, failure: Some(failure.into()), last: None }
    }
}

impl Attempt {
    /// Begins an attempt. `published`: the readers have got a part of the answer before.
    pub(super) fn begin(published: bool) -> Self {
        Self {
            began: Instant::now(),
            summary: StreamSummary::default(),
            failed: Vec::new(),
            tries: Tries::default(),
            incoming: None,
            request_id: None,
            status: None,
            head: Arc::default(),
            mask: KeyMask::none(),
            published,
            streams: true,
            held: HeldSegments::default(),
            ends_by: None,
            recorder: Recorder::default(),
            recorded_bytes: 0,
            next_note: 0,
            remedies: Vec::new(),
        }
    }

    /// True once the readers have got a part of the answer.
    pub(super) const fn published(&self) -> bool {
        self.published || self.held.released().is_some()
    }

    /// Time until the readers got the first part of the response.
    pub(super) fn ttft(&self) -> Option<Micros> {
        self.held.released().map(|at| at.saturating_duration_since(self.began).into())
    }

    /// The end of the response that the readers have not seen: `last`, and what was held before it.
    pub(super) fn take_unseen(&mut self, last: Option<Segment>) -> Vec<Segment> {
        let mut unseen = self.held.take();
        unseen.extend(last);
        unseen
    }

    /// Sends the request and records the response until it ends. Whatever fails before any content is asked for again,
    /// as far as that may help.
    pub(super) async fn run(
        &mut self,
        answers: &Answers,
        exchange: &mut OutgoingExchange,
        writer: &RecordingWriter,
    ) -> Finish {
        self.streams = exchange.opening.call.stream;
        self.mask = answers.upstream.mask(&exchange.outgoing.key);
        loop {
            if self.tries.sent() > 0 {
                let progress = self.progress(answers, exchange, self.tries.sent() + 1);
                answers.ledger.journal_try(exchange.opening.exchange, progress).await;
            }
            let mut finish = match self.send(answers, exchange).await {
                Ok(()) => {
                    let note = &|attempt: &Self| {
                        let tries = attempt.tries.sent();
                        let progress = attempt.progress(answers, exchange, tries);
                        answers.ledger.journal_progress(exchange.opening.exchange, progress);
                    };
                    self.record(&exchange.outgoing.key, writer, note).await
                }
                Err(error) => Finish::failed(Outcome::Failed, error),
            };
            let Some(Failure::Upstream(UpstreamFailure { error, tries })) = &mut finish.failure
            else {
                return finish;
            };
            if self.held.released().is_some() {
                return finish;
            }
            if self.heal(exchange, error) {
                self.tries.note(error);
                self.forget();
                continue;
            }
            let Some(delay) = answers.upstream.retry_delay(&mut self.tries, error) else {
                *tries = self.tries.failed();
                return finish;
            };
            self.forget();
            tokio::time::sleep(delay).await;
        }
    }

    fn progress(&self, answers: &Answers, exchange: &OutgoingExchange, tries: u32) -> Progress {
        progress(answers, exchange, self.failed.iter().chain([&self.summary]), tries)
    }

    /// Sends the request once.
    async fn send(
        &mut self,
        answers: &Answers,
        exchange: &OutgoingExchange,
    ) -> Result<(), upstream::Error> {
        match answers.upstream.send(&exchange.outgoing, &mut self.tries).await {
            Ok(mut incoming) => {
                self.status = Some(incoming.status);
                self.request_id.clone_from(&incoming.head.request_id);
                self.head = Arc::new(std::mem::take(&mut incoming.head));
                self.incoming = Some(incoming);
                let remedies = self.remedies.iter().flatten().copied();
                answers.quirks.remember(&exchange.opening.model, remedies);
                Ok(())
            }
            Err(error) => {
                if let upstream::Error::Refused { status, head, .. } = &error {
                    self.request_id.clone_from(&head.request_id);
                    self.status = Some(*status);
                }
                Err(error)
            }
        }
    }

    /// Leaves out the part of the request that upstream refused. Returns `false` if it named none.
    fn heal(&mut self, exchange: &mut OutgoingExchange, error: &upstream::Error) -> bool {
        if let upstream::Error::Refused { body, .. } | upstream::Error::ErrorEvent { body, .. } =
            error
            && body.error.kind == "invalid_request_error"
            && self.remedies.len() < MAX_REMEDIES
            && let Some(remedies) = exchange.heal(&body.error.message)
        {
            self.remedies.push(remedies);
            return true;
        }
        false
    }

    /// Forgets a response that failed before any content. Its connection is closed.
    fn forget(&mut self) {
        self.incoming = None;
        (self.request_id, self.status) = (None, None);
        (self.recorder, self.recorded_bytes) = (Recorder::default(), 0);
        (self.held, self.ends_by, self.next_note) = (HeldSegments::default(), None, 0);
        let summary = std::mem::take(&mut self.summary);
        if summary.began() {
            self.failed.push(summary);
        }
    }

    /// Appends each read of the response to the recording, up to the event that ends the stream.
    /// `key` is the one that was sent; `note` is told, at a few moments, what the answer has used.
    async fn record(
        &mut self,
        key: &SecretString,
        writer: &RecordingWriter,
        note: &(dyn Fn(&Self) + Sync),
    ) -> Finish {
        writer.begin(Arc::clone(&self.head));
        loop {
            let Some(incoming) = &mut self.incoming else {
                return Finish::failed(Outcome::Cut, StreamError::Cut);
            };
            let read = async {
                let mut read = pin!(incoming.read(&mut self.recorder));
                loop {
                    let Some(until) = self.held.until() else { break read.await };
                    tokio::select! {
                        biased;
                        flow = &mut read => break flow,
                        () = tokio::time::sleep_until(until) => {
                            if self.streams || writer.readers() > 1 {
                                self.held.release(writer);
                            } else {
                                self.held.prolong();
                            }
                        }
                    }
                }
            };
            let flow = match self.ends_by {
                None => read.await,
                Some(until) => {
                    let read = tokio::time::timeout_at(until, read).await;
                    read.unwrap_or(Ok(ControlFlow::Break(())))
                }
            };
            let broken: Option<Failure> = match flow {
                Ok(ControlFlow::Continue(())) => None,
                // All of the answer has come, and what it cost.
                Ok(ControlFlow::Break(()))
                    if self.ends_by.is_some() && self.recorder.rest().is_empty() =>
                {
                    self.recorder.push(anthropic::MESSAGE_STOP);
                    None
                }
                Ok(ControlFlow::Break(())) => Some(StreamError::Cut.into()),
                Err(error) => Some(error.into()),
            };
            if broken.is_some() && anthropic::is_whole_end(self.recorder.rest()) {
                self.recorder.complete();
            }
            if let Some(segment) = self.recorder.cut(self.began.elapsed().into())
                && let Some(finish) = self.take(segment, key, writer)
            {
                return finish;
            }
            if self.summary.began() && self.summary.output() >= self.next_note {
                self.next_note = FIRST_NOTE.max(2 * self.summary.output());
                note(self);
            }
            if self.recorded_bytes + self.recorder.rest().len() > super::LARGEST_RECORDING {
                return Finish::failed(Outcome::Cut, Failure::TooLarge);
            }
            if let Some(failure) = broken {
                return Finish::failed(Outcome::Cut, self.failure(failure, key));
            }
        }
    }

    /// Takes the events that one read brought. Returns the end, if one of them ends the stream.
    fn take(
        &mut self,
        segment: Segment,
        key: &SecretString,
        writer: &RecordingWriter,
    ) -> Option<Finish> {
        let segment = self.mask.apply(segment);
        let (repeats, end) = read(&mut self.summary, &segment);
        let segment = segment.without(&repeats);
        let Some(StreamEnd { position, outcome, failure }) = end else {
            if self.ends_by.is_none() && self.summary.stop_reason().is_some() {
                self.ends_by = Some(tokio::time::Instant::now() + END_TIMEOUT);
            }
            self.append(segment?, writer);
            return None;
        };
        // The repeats came before the end.
        let (before, rest) = segment?.split(position - repeats.len());
        // Events after the end are no part of the answer.
        let last = rest.and_then(|rest| rest.split(1).0);
        if let Some(before) = before {
            self.append(before, writer);
        }
        let failure = failure.map(|failure| self.failure(failure, key));
        Some(Finish { outcome, failure, last })
    }

    /// Appends a segment to the recording, or holds it as long as nothing of the answer was told.
    fn append(&mut self, segment: Segment, writer: &RecordingWriter) {
        self.recorded_bytes += segment.bytes().len();
        if self.held.released().is_some() {
            return writer.append([segment]);
        }
        self.held.push(segment);
        match self.summary.told() {
            Told::Nothing => {}
            Told::Block => self.held.limit(),
            Told::Content => self.held.release(writer),
        }
    }

    /// The failure of the response: before any content, it is one of the request.
    fn failure(&self, failure: Failure, key: &SecretString) -> Failure {
        match failure {
            _ if self.held.released().is_some() => failure,
            Failure::Stream(StreamError::Upstream(body)) => {
                upstream::Error::event(*body, &self.head, key).into()
            }
            Failure::Stream(error) => upstream::Error::from(error).into(),
            failure => failure,
        }
    }
}

/// The event that ends a stream.
struct StreamEnd {
    /// Its position among the events of the segment.
    position: usize,
    outcome: Outcome,
    failure: Option<Failure>,
}

/// Reads the events of a segment, up to the one that ends the stream. Returns the positions of those that only repeat
/// earlier ones, too.
fn read(summary: &mut StreamSummary, segment: &Segment) -> (Vec<usize>, Option<StreamEnd>) {
    let mut repeats = Vec::new();
    let end = segment.events().enumerate().find_map(|(position, event)| {
        let end = |outcome, failure| Some(StreamEnd { position, outcome, failure });
        match summary.read(event) {
            Err(error) => return end(Outcome::Failed, Some(error.into())),
            Ok(Seen::Repeat) => repeats.push(position),
            Ok(Seen::New) => {}
        }
        if let Some(error) = summary.error() {
            let error = StreamError::Upstream(Box::new(error.clone()));
            return end(Outcome::Failed, Some(error.into()));
        }
        if summary.ended() { end(Outcome::Complete, None) } else { None }
    });
    (repeats, end)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::{answer::live, domain::cassette};

    const START: &str = r#"{"type":"message_start","message":{"id":"msg_1","model":"m"}}"#;
    const THINKING: &str = r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}"#;
    const DELTA: &str = r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm"}}"#;
    const PING: &str = r#"{"type":"ping"}"#;

    /// A response with events at these times, in seconds, and then a cut.
    fn played(events: &[(u64, &str)]) -> upstream::Response {
        let event = |(at, data): &(u64, &str)| cassette::Event {
            at: at * 1000,
            bytes: format!("data: {data}\n\n").into_bytes(),
        };
        upstream::Response::played(events.iter().map(event).collect())
    }

    /// Plays events. Returns the time after which a reader has something to
    /// read, and all that it reads then.
    async fn first_read(streams: bool, events: &[(u64, &str)]) -> Option<(Duration, String)> {
        let mut attempt = Attempt { streams, ..Attempt::begin(false) };
        attempt.incoming = Some(played(events));
        let (writer, mut reader) = live::start();
        let began = tokio::time::Instant::now();
        let key = SecretString::default();
        let read = async {
            reader.ready().await.unwrap();
            let mut unread = Vec::new();
            std::future::poll_fn(|context| reader.poll_read(context, &mut unread)).await;
            let bytes = unread.iter().flat_map(|segment| segment.bytes().to_vec()).collect();
            (began.elapsed(), String::from_utf8(bytes).unwrap())
        };
        let mut read = pin!(read);
        tokio::select! {
            biased;
            read = &mut read => Some(read),
            _ = attempt.record(&key, &writer, &|_| ()) => read.now_or_never(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pings_do_not_keep_an_answer_open_that_has_said_why_it_ends() {
        const TEXT: &str =
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}"#;
        const REASON: &str = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#;
        let mut events = vec![(0, START), (0, TEXT), (1, REASON)];
        events.extend((2..90).map(|at| (at, PING)));
        let mut attempt = Attempt::begin(false);
        attempt.incoming = Some(played(&events));
        let (writer, _reader) = live::start();
        let began = tokio::time::Instant::now();
        let finish = attempt.record(&SecretString::default(), &writer, &|_| ()).await;
        assert_eq!((finish.outcome, began.elapsed()), (Outcome::Complete, Duration::from_secs(11)));
        assert_eq!(finish.last.unwrap().bytes(), anthropic::MESSAGE_STOP);
    }

    fn written(events: &[&str]) -> String {
        events.iter().flat_map(|data| ["data: ", data, "\n\n"]).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_is_held_until_it_has_content_or_has_thought_for_some_time() {
        let seconds = Duration::from_secs;
        let read =
            first_read(true, &[(1, START), (2, PING), (3, THINKING), (5, DELTA), (7, DELTA)]).await;
        let expected = written(&[START, PING, THINKING, DELTA]);
        assert_eq!(read, Some((seconds(5), expected)), "content is told at once");

        let silent = [(1, START), (3, THINKING), (12, PING), (30, PING), (60, DELTA)];
        let read = first_read(true, &silent).await;
        assert_eq!(read, Some((seconds(13), written(&[START, THINKING, PING]))));
        let read = first_read(false, &silent).await;
        let expected = written(&[START, THINKING, PING, PING, DELTA]);
        assert_eq!(read, Some((seconds(60), expected)), "who waits for the end loses nothing");

        let no_block = [(1, START), (20, PING), (40, PING)];
        assert_eq!(
            first_read(true, &no_block).await,
            None,
            "no block has begun: it may still fail"
        );
    }
}
