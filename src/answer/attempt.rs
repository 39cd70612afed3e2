//! One attempt at an answer: sends an exchange, and copies upstream's response into the recording.

use std::{sync::Arc, time::Instant};

use super::{Answers, Failure, exchange::OutgoingExchange, live::RecordingWriter};
use crate::{
    domain::{
        anthropic::{StreamError, StreamSummary},
        exchange::{Micros, Outcome},
        recording::{Recorder, Segment},
        translate::Quirk,
    },
    upstream::{self, SendError},
};

/// Limit on repeated requests without the part that upstream refused.
const MAX_REMEDIES: usize = 3;

/// State of an attempt.
#[derive(Debug)]
pub(super) struct Attempt {
    pub began: Instant,
    pub ttft: Option<Micros>,
    pub summary: StreamSummary,
    /// The response, while its connection is open.
    pub incoming: Option<upstream::Response>,
    pub request_id: Option<String>,
    /// HTTP status of the response.
    pub status: Option<u16>,
    /// True once the readers have got a part of the answer.
    pub published: bool,
    /// True if a connection broke before the last one.
    pub broken_before: bool,
    recorder: Recorder,
    recorded_bytes: usize,
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
            ttft: None,
            summary: StreamSummary::default(),
            incoming: None,
            request_id: None,
            status: None,
            published,
            broken_before: false,
            recorder: Recorder::default(),
            recorded_bytes: 0,
            remedies: Vec::new(),
        }
    }

    /// Sends the request and records the response until it ends.
    pub(super) async fn run(
        &mut self,
        answers: &Answers,
        exchange: &mut OutgoingExchange,
        writer: &RecordingWriter,
    ) -> Finish {
        match self.send(answers, exchange).await {
            Ok(mut incoming) => {
                writer.begin(Arc::new(std::mem::take(&mut incoming.head)));
                self.incoming = Some(incoming);
                self.record(writer).await
            }
            Err(error) => Finish::failed(Outcome::Failed, error),
        }
    }

    /// Sends the request until upstream accepts it, each time without the part that it refused.
    async fn send(
        &mut self,
        answers: &Answers,
        exchange: &mut OutgoingExchange,
    ) -> Result<upstream::Response, upstream::Error> {
        let incoming = loop {
            let SendError { error, broken_before } =
                match answers.upstream.send(&exchange.outgoing).await {
                    Ok(incoming) => break incoming,
                    Err(unanswered) => unanswered,
                };
            self.broken_before |= broken_before;
            if let upstream::Error::Refused { status, body, head, .. } = &error {
                if body.error.kind == "invalid_request_error"
                    && self.remedies.len() < MAX_REMEDIES
                    && let Some(remedies) = exchange.heal(&body.error.message)
                {
                    self.remedies.push(remedies);
                    continue;
                }
                self.request_id.clone_from(&head.request_id);
                self.status = Some(*status);
            }
            return Err(error);
        };
        let remedies = std::mem::take(&mut self.remedies).into_iter().flatten();
        answers.quirks.remember(&exchange.opening.model, remedies);
        self.request_id.clone_from(&incoming.head.request_id);
        self.status = Some(incoming.status);
        self.broken_before |= incoming.broken_before;
        Ok(incoming)
    }

    /// Appends each read of the response to the recording, up to the event that ends the stream.
    async fn record(&mut self, writer: &RecordingWriter) -> Finish {
        loop {
            let Some(incoming) = &mut self.incoming else {
                return Finish::failed(Outcome::Cut, StreamError::Cut);
            };
            let flow = match incoming.read(&mut self.recorder).await {
                Ok(flow) => flow,
                Err(error) => return Finish::failed(Outcome::Cut, error),
            };
            if let Some(segment) = self.recorder.cut(self.began.elapsed().into()) {
                self.ttft.get_or_insert(segment.at());
                match read(&mut self.summary, &segment) {
                    None => {
                        self.recorded_bytes += segment.bytes().len();
                        self.published = true;
                        writer.append(segment);
                    }
                    Some(StreamEnd { position, outcome, failure }) => {
                        let (before, rest) = segment.split(position);
                        // Events after the end are no part of the answer.
                        let last = rest.and_then(|rest| rest.split(1).0);
                        if let Some(before) = before {
                            self.published = true;
                            writer.append(before);
                        }
                        return Finish { outcome, failure, last };
                    }
                }
            }
            if self.recorded_bytes + self.recorder.rest().len() > super::LARGEST_RECORDING {
                return Finish::failed(Outcome::Cut, Failure::TooLarge);
            }
            if flow.is_break() {
                return Finish::failed(Outcome::Cut, StreamError::Cut);
            }
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

/// Reads the events of a segment, up to the one that ends the stream.
fn read(summary: &mut StreamSummary, segment: &Segment) -> Option<StreamEnd> {
    segment.events().enumerate().find_map(|(position, event)| {
        let end = |outcome, failure| Some(StreamEnd { position, outcome, failure });
        if let Err(error) = summary.read(event) {
            return end(Outcome::Failed, Some(error.into()));
        }
        if let Some(error) = summary.error() {
            let error = StreamError::Upstream(Box::new(error.clone()));
            return end(Outcome::Failed, Some(error.into()));
        }
        if summary.ended() { end(Outcome::Complete, None) } else { None }
    })
}
