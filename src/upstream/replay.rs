//! Replay: fixtures answer instead of Anthropic, at the configured pace and with the faults that they contain. Nothing
//! here can open a connection, unless what is missing is recorded (`record`).

mod record;

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

pub(super) use self::record::RecordedBody;
pub use self::record::{FixtureStore, MissRecorder};
use super::{Body, Error, Model, Request, Response, ResponseHead, Tries, error::error_body};
use crate::domain::{
    cassette::{Event, Match, Miss, Player, PlayerStatus, RecordedRequest, ResponseBody},
    recording::Recorder,
    translate::Originals,
};

/// Stands for the URL of upstream.
pub(super) const BASE: &str = "replay";

/// Most misses that are kept for the report at the end.
const MAX_MISSES: usize = 100;

/// Fixtures that answer requests.
#[derive(Debug)]
pub struct Replay {
    player: Arc<Mutex<Player>>,
    /// Asks upstream for what is missing; `None`: that is an error.
    recorder: Option<Arc<MissRecorder>>,
    pace: Pace,
    /// Longest silence before it counts as a timeout, as live.
    idle: Duration,
    /// The folder of the fixtures.
    folder: String,
    /// The reasons of the first misses.
    misses: Mutex<Vec<String>>,
    /// The answers, by the names that later requests refer to them by.
    originals: Originals,
}

/// The pace of the playback.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// The speed relative to the recording; `None`: as fast as the events are read.
    pub speed: Option<f64>,
    /// Longest pause between two events.
    pub longest_gap: Duration,
}

/// The body of a response: the events that are left.
#[derive(Debug)]
pub(super) struct ReplayBody {
    events: std::vec::IntoIter<Event>,
    pace: Pace,
    idle: Duration,
    /// The time when the previous event was played, and its time in the recording, in milliseconds.
    previous: (Instant, u64),
}

impl Replay {
    /// Plays the fixtures of `player`. A silence longer than `idle` is a timeout, as live.
    pub fn new(player: Player, folder: String, pace: Pace, idle: Duration) -> Self {
        let originals =
            player.fixtures().flat_map(|fixture| fixture.cassette.originals()).collect();
        let (player, misses) = (Arc::new(Mutex::new(player)), Mutex::default());
        Self { player, recorder: None, pace, idle, folder, misses, originals }
    }

    /// The same replay, which asks upstream for what is missing, and records it.
    #[must_use]
    pub fn recording(self, recorder: MissRecorder) -> Self {
        Self { recorder: Some(Arc::new(recorder)), ..self }
    }

    /// Returns whether what is missing is asked upstream and recorded.
    pub const fn records(&self) -> bool {
        self.recorder.is_some()
    }

    /// The answers of all fixtures, by the names that later requests refer to them by (design §8).
    pub const fn originals(&self) -> &Originals {
        &self.originals
    }

    /// The fixtures that were played, and the number of misses.
    pub fn status(&self) -> PlayerStatus {
        self.player.lock().status()
    }

    /// The reasons of the first misses.
    pub fn missed(&self) -> Vec<String> {
        self.misses.lock().clone()
    }

    fn add_miss(&self, miss: &Miss) {
        let mut misses = self.misses.lock();
        if misses.len() < MAX_MISSES {
            misses.push(miss.to_string());
        }
    }

    /// Starts again, in one scenario or in all. Fails if no fixture is in the scenario.
    pub fn reset(&self, scenario: Option<&str>) -> Result<(), Miss> {
        let mut player = self.player.lock();
        if let Some(reason) = player.unknown(scenario) {
            return Err(Miss { key: None, reason });
        }
        player.reset(scenario);
        if scenario.is_none() {
            self.misses.lock().clear();
        }
        Ok(())
    }

    /// The models of the fixtures, each once.
    pub(super) fn models(&self) -> Vec<Model> {
        let mut ids: Vec<String> = Vec::new();
        for fixture in self.player.lock().fixtures() {
            let model = fixture.cassette.model();
            if !model.is_empty() && !ids.contains(&model) {
                ids.push(model);
            }
        }
        ids.into_iter().map(Model::named).collect()
    }

    pub(super) async fn send(
        &self,
        request: &Request,
        tries: &mut Tries,
    ) -> Result<Response, Error> {
        let sent = RecordedRequest::sent(&request.headers, &request.body);
        let scenario = request.scenario.as_deref();
        let found = match self.player.lock().answer(&sent, scenario) {
            Ok(found) => {
                let delay = Duration::from_millis(found.fixture.cassette.response.delay);
                Ok((delay, self.begin(&found, &sent)))
            }
            Err(miss) => Err(miss),
        };
        let (delay, result) = match (found, &self.recorder) {
            (Ok(found), _) => found,
            (Err(_), Some(recorder)) => {
                if tries.is_retry() {
                    self.player.lock().forget_miss();
                }
                return recorder.ask(&self.player, request, tries).await;
            }
            (Err(miss), None) => {
                self.add_miss(&miss);
                let command = Miss::command(&self.folder);
                (Duration::ZERO, Err(Error::NotRecorded { miss: Box::new(miss), command }))
            }
        };
        tries.sent += 1;
        tokio::time::sleep(delay.min(self.idle)).await;
        if delay > self.idle { Err(Error::IdleTimeout(self.idle)) } else { result }
    }

    fn begin(&self, found: &Match<'_>, sent: &RecordedRequest) -> Result<Response, Error> {
        let Match { fixture, position, total, changed } = found;
        let response = &fixture.cassette.response;
        if let Some(changed) = changed {
            tracing::warn!(
                fixture = fixture.file,
                "the translation has changed since this was recorded; the fixture answers nevertheless: {}",
                changed.places()
            );
        }
        let head = ResponseHead::recorded(
            &response.headers,
            format!("{}; n={position}/{total}", fixture.file),
        );
        if let ResponseBody::Error(body) = &response.body {
            let body = Box::new(error_body(body.as_bytes(), response.status));
            return Err(Error::Refused { status: response.status, body, head: Box::new(head) });
        }
        // A wildcard may stand for the model.
        let model = Some(fixture.cassette.model()).filter(|model| !model.is_empty());
        let model = model.unwrap_or_else(|| sent.model());
        Ok(Response {
            head,
            status: response.status,
            body: Body::Replay(ReplayBody {
                events: response.events(&model).into_iter(),
                pace: self.pace,
                idle: self.idle,
                previous: (Instant::now(), 0),
            }),
        })
    }
}

impl ReplayBody {
    /// Waits for the next event, and gives it to `recorder`. Events come one by one, so that each is flushed by itself.
    pub(super) async fn read(&mut self, recorder: &mut Recorder) -> Result<ControlFlow<()>, Error> {
        let Some(event) = self.events.next() else { return Ok(ControlFlow::Break(())) };
        let (moment, at) = self.previous;
        let gap = Duration::from_millis(event.at.saturating_sub(at));
        let gap = match self.pace.speed {
            Some(speed) => gap.div_f64(speed).min(self.pace.longest_gap),
            None => Duration::ZERO,
        };
        if gap.is_zero() {
            // Gives readers a turn.
            tokio::task::yield_now().await;
        } else {
            sleep_until(moment + gap.min(self.idle)).await;
        }
        if gap > self.idle {
            return Err(Error::IdleTimeout(self.idle));
        }
        self.previous = (moment + gap, event.at);
        recorder.push(&event.bytes);
        Ok(ControlFlow::Continue(()))
    }
}

impl ResponseHead {
    /// The head of a recorded response.
    fn recorded(headers: &[(String, String)], fixture: String) -> Self {
        let named = headers.iter().filter_map(|(name, value)| {
            Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
        });
        Self { fixture: Some(fixture), ..Self::of(&named.collect()) }
    }
}

#[cfg(test)]
impl Response {
    /// A response that plays these events at their times.
    pub(crate) fn played(events: Vec<Event>) -> Self {
        let pace = Pace { speed: Some(1.0), longest_gap: Duration::MAX };
        let (idle, previous) = (Duration::from_mins(1), (Instant::now(), 0));
        let body = ReplayBody { events: events.into_iter(), pace, idle, previous };
        Self { head: ResponseHead::default(), status: 200, body: Body::Replay(body) }
    }
}
