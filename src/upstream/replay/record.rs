//! Recording of what a replay has no fixture for (`--on-miss record`): the only way by which a replay reaches the network.
//!
//! The client gets the answer as it comes. It becomes a fixture once all of it is there, and before the client gets its
//! end, so that the next identical request finds the file.

use std::{fmt, ops::ControlFlow, sync::Arc};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::super::{
    Body, Error, Http, KeyMask, Recordable, Request, Response, Tries, http::HttpBody,
};
use crate::domain::{
    anthropic,
    cassette::{
        Cassette, LoadedFixture, Player, RecordedCall, RecordedRequest, RecordedResponse,
        ResponseBody, Scrubber,
    },
    recording::{Recorder, Recording},
};

/// A place for new fixtures.
pub trait FixtureStore: fmt::Debug + Send + Sync {
    /// Writes a fixture, with the date of today, into the folder of a scenario.
    fn write(
        &self,
        cassette: Cassette,
        scenario: Option<&str>,
    ) -> Result<LoadedFixture, Box<dyn std::error::Error + Send + Sync>>;
}

/// The means to record missing fixtures.
#[derive(Debug)]
pub struct MissRecorder {
    /// The client of upstream.
    pub http: Http,
    /// Takes secrets out of what is written.
    pub scrubber: Scrubber,
    /// The folder.
    pub store: Box<dyn FixtureStore>,
}

/// An answer that is recorded while it is read.
#[derive(Debug)]
pub(in crate::upstream) struct RecordedBody {
    body: HttpBody,
    recorder: Recorder,
    recording: Recording,
    began: Instant,
    mask: KeyMask,
    /// `None` once it is written.
    pending: Option<Pending>,
}

/// A fixture that has no answer yet.
#[derive(Debug)]
struct Pending {
    request: Request,
    headers: Vec<(String, String)>,
    status: u16,
    misses: Arc<MissRecorder>,
    player: Arc<Mutex<Player>>,
}

impl MissRecorder {
    /// Sends a request that has no fixture to upstream.
    pub(super) async fn ask(
        self: &Arc<Self>,
        player: &Arc<Mutex<Player>>,
        request: &Request,
        tries: &mut Tries,
    ) -> Result<Response, Error> {
        let began = Instant::now();
        let pending = |headers, status| Pending {
            request: request.clone(),
            headers,
            status,
            misses: Arc::clone(self),
            player: Arc::clone(player),
        };
        match self.http.send(request, tries).await {
            Ok(Response { head, status, body: Body::Http(body) }) => {
                let pending = Some(pending(head.kept(), status));
                let (recorder, recording) = (Recorder::default(), Recording::default());
                let mask = KeyMask::new(&request.key);
                let body = RecordedBody { body, recorder, recording, began, mask, pending };
                Ok(Response { head, status, body: Body::Recorded(Box::new(body)) })
            }
            Err(Error::Refused { status, body, head }) => {
                if is_lasting(status) {
                    let made =
                        RecordedResponse::error(status, &body.error.kind, &body.error.message);
                    let written = body.written.clone().filter(|written| is_error(written));
                    let body = written.map_or(made.body.clone(), ResponseBody::Error);
                    let response = RecordedResponse { headers: head.kept(), body, ..made };
                    pending(Vec::new(), status).save(response);
                }
                Err(Error::Refused { status, body, head })
            }
            other => other,
        }
    }
}

/// Returns whether the same request gets the same error again: none of the key, of a limit, or of upstream's day.
const fn is_lasting(status: u16) -> bool {
    matches!(status, 400 | 404 | 413 | 422)
}

/// Returns whether this is an error as Anthropic writes it, in one line.
fn is_error(written: &str) -> bool {
    let is_whole = serde_json::from_str::<serde_json::Value>(written)
        .is_ok_and(|body| body["type"] == "error" && body["error"]["type"].is_string());
    is_whole && !written.contains(['\n', '\r'])
}

impl RecordedBody {
    pub(in crate::upstream) async fn read(
        &mut self,
        recorder: &mut Recorder,
    ) -> Result<ControlFlow<()>, Error> {
        let mut read = Recorder::default();
        let flow = self.body.read(&mut read).await;
        recorder.push(read.rest());
        if self.pending.is_some() {
            self.recorder.push(read.rest());
            if matches!(flow, Ok(ControlFlow::Break(())))
                && anthropic::is_whole_end(self.recorder.rest())
            {
                self.recorder.complete();
            }
            self.take();
        }
        flow
    }

    /// Records the events that were read, and writes the fixture once there is the end.
    fn take(&mut self) {
        let Some(segment) = self.recorder.cut(self.began.elapsed().into()) else { return };
        let segment = self.mask.apply(segment);
        let mut end = None;
        for event in segment.events() {
            match anthropic::parse(&anthropic::read(event)) {
                Ok(anthropic::Event::MessageStop) => end = Some(true),
                // Upstream failed, and may not the next time.
                Ok(anthropic::Event::Error(_)) => end = Some(false),
                _ => continue,
            }
            break;
        }
        self.recording.append(Arc::new(segment));
        if let Some(is_whole) = end
            && let Some(pending) = self.pending.take()
            && is_whole
        {
            let response = RecordedResponse::of(&self.recording, pending.status);
            let headers = pending.headers.clone();
            pending.save(RecordedResponse { headers, ..response });
        }
    }
}

impl Pending {
    /// Writes the fixture, if all secrets can be taken out of it, and gives it to the player.
    fn save(self, response: RecordedResponse) {
        let Self { request, misses, player, .. } = self;
        let client = match &request.record {
            Recordable::Never => {
                tracing::info!("a missing fixture was not written: its client wants nothing kept");
                return;
            }
            Recordable::Continuation => None,
            Recordable::Call(call) => Some(RecordedCall::clone(call)),
        };
        let Some(upstream) = RecordedRequest::recorded(&request.headers, &request.body) else {
            tracing::error!("the missing fixture was not written: its request cannot be read");
            return;
        };
        let mut cassette = Cassette {
            recorded: None,
            client,
            upstream: Some(upstream),
            when_exhausted: None,
            response,
        };
        let remaining = misses.scrubber.cassette(&mut cassette);
        if let Some(secret) = remaining.first() {
            tracing::error!(
                secrets = remaining.len(),
                place = secret.path,
                kind = secret.what,
                "the missing fixture was not written: a secret cannot be taken out of it without breaking it"
            );
            return;
        }
        match misses.store.write(cassette, request.scenario.as_deref()) {
            Ok(fixture) => {
                tracing::info!(fixture = fixture.file, "recorded the missing fixture");
                player.lock().add_recorded(fixture);
            }
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = &*error;
                tracing::error!(error, "the missing fixture was not written");
            }
        }
    }
}
