//! What upstream said once, said again from fixtures: at the pace that was asked for, with the faults that are written
//! in them. Nothing here can open a connection.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderName, HeaderValue};
use tokio::time::{Instant, sleep_until};

use super::{Body, Error, Head, Incoming, Model, More, Outgoing, Unanswered, error::error_body};
use crate::domain::{
    cassette::{Event, Match, Miss, Player, RecordedRequest, Said, Status},
    recording::Recorder,
    translate::Originals,
};

/// What stands for the address of upstream.
pub(super) const BASE: &str = "replay";

/// So many misses are told at the end.
const MOST_MISSED: usize = 100;

/// Fixtures that answer.
#[derive(Debug)]
pub struct Replay {
    stage: Mutex<Player>,
    pace: Pace,
    /// How long the answer to a request may be kept back.
    idle: Duration,
    /// Where fixtures are.
    folder: String,
    /// Why requests found none.
    missed: Mutex<Vec<String>>,
    /// The answers under the names that later requests may call them by.
    originals: Originals,
}

/// How fast answers are played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// How much faster than they were recorded; `None`: as fast as they are read.
    pub speed: Option<f64>,
    /// No pause between two events is longer.
    pub longest_gap: Duration,
}

/// The events of an answer that are still to come.
#[derive(Debug)]
pub(super) struct Played {
    events: std::vec::IntoIter<Event>,
    pace: Pace,
    idle: Duration,
    /// When the event before was played, and when it was recorded, in milliseconds.
    before: (Instant, u64),
}

impl Replay {
    /// Plays what is on the stage. An answer that is kept back for longer than `idle` counts as silence, as it does
    /// live.
    pub fn new(stage: Player, folder: String, pace: Pace, idle: Duration) -> Self {
        let originals = stage.entries().flat_map(|entry| entry.cassette.originals()).collect();
        Self { stage: Mutex::new(stage), pace, idle, folder, missed: Mutex::default(), originals }
    }

    /// The answers of all fixtures under the names that later requests may call them by (design §8).
    pub const fn originals(&self) -> &Originals {
        &self.originals
    }

    /// What was given, and what was asked for in vain.
    pub fn status(&self) -> Status {
        self.stage().status()
    }

    /// Why requests found no fixture, the first of them.
    pub fn missed(&self) -> Vec<String> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, miss: &Miss) {
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        if missed.len() < MOST_MISSED {
            missed.push(miss.to_string());
        }
    }

    /// Begins again, in one scenario or in all.
    pub fn reset(&self, scenario: Option<&str>) {
        self.stage().reset(scenario);
        if scenario.is_none() {
            self.missed.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// The models that fixtures ask, each once.
    pub(super) fn models(&self) -> Vec<Model> {
        let mut ids: Vec<String> = Vec::new();
        for entry in self.stage().entries() {
            let model = entry.cassette.model();
            if !model.is_empty() && !ids.contains(&model) {
                ids.push(model);
            }
        }
        ids.into_iter().map(Model::named).collect()
    }

    pub(super) async fn send(&self, outgoing: &Outgoing) -> Result<Incoming, Unanswered> {
        let asked = RecordedRequest::sent(&outgoing.headers, &outgoing.body);
        let (delay, answer) = match self.stage().answer(&asked, outgoing.scenario.as_deref()) {
            Ok(cue) => (Duration::from_millis(cue.entry.cassette.response.delay), self.begin(&cue)),
            Err(miss) => {
                self.note(&miss);
                let command = Miss::command(&self.folder);
                (Duration::ZERO, Err(Error::NotRecorded { miss: Box::new(miss), command }))
            }
        };
        tokio::time::sleep(delay.min(self.idle)).await;
        let answer = if delay > self.idle { Err(Error::Silent(self.idle)) } else { answer };
        answer.map_err(|error| Unanswered { error, broken_before: false })
    }

    fn begin(&self, cue: &Match<'_>) -> Result<Incoming, Error> {
        let Match { entry, number, of, changed } = cue;
        let response = &entry.cassette.response;
        if let Some(changed) = changed {
            tracing::warn!(
                fixture = entry.file,
                "the translator has changed since this was recorded; the fixture answers all the same: {changed}"
            );
        }
        let head = Head::recorded(&response.headers, format!("{}; n={number}/{of}", entry.file));
        if let Said::Error(body) = &response.said {
            let body = Box::new(error_body(body.as_bytes(), response.status));
            return Err(Error::Refused { status: response.status, body, head: Box::new(head) });
        }
        Ok(Incoming {
            head,
            status: response.status,
            broken_before: false,
            body: Body::Played(Played {
                events: response.events(&entry.cassette.model()).into_iter(),
                pace: self.pace,
                idle: self.idle,
                before: (Instant::now(), 0),
            }),
        })
    }

    fn stage(&self) -> MutexGuard<'_, Player> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Played {
    /// Waits for the next event and gives it to `recorder`. Each comes by itself, so that each is flushed by itself.
    pub(super) async fn read(&mut self, recorder: &mut Recorder) -> Result<More, Error> {
        let Some(event) = self.events.next() else { return Ok(More::No) };
        let (moment, at) = self.before;
        let gap = Duration::from_millis(event.at.saturating_sub(at));
        let gap = match self.pace.speed {
            Some(speed) => gap.div_f64(speed).min(self.pace.longest_gap),
            None => Duration::ZERO,
        };
        if gap.is_zero() {
            // A reader gets its turn.
            tokio::task::yield_now().await;
        } else {
            sleep_until(moment + gap.min(self.idle)).await;
        }
        if gap > self.idle {
            return Err(Error::Silent(self.idle));
        }
        self.before = (moment + gap, event.at);
        recorder.push(&event.bytes);
        Ok(More::Yes)
    }
}

impl Head {
    /// As a fixture has kept it.
    fn recorded(headers: &[(String, String)], fixture: String) -> Self {
        let named = headers.iter().filter_map(|(name, value)| {
            Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
        });
        Self { fixture: Some(fixture), ..Self::of(&named.collect()) }
    }
}
