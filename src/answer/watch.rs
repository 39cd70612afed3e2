//! Running answers as operators see them: which run, what is written so far, and stopping one. Nothing here makes an answer
//! run longer, and answers pay for it only while somebody looks.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::{
    Answers, Change,
    live::{Follower, Status, StopError},
};
use crate::{
    domain::{
        anthropic::{self, BlockStart, Delta, Event},
        exchange::{AnsweredBy, ExchangeId},
        json::{JsonString, inside},
        recording::Segment,
    },
    store::{CallStatus, Opening},
};

/// A running call, which other calls may have joined.
#[derive(Debug, Clone)]
pub struct RunningCall {
    /// The first exchange of the answer.
    pub exchange: ExchangeId,
    /// The call that the answer was begun for.
    pub call: CallStatus,
    /// True once something of the answer was there for its clients.
    pub begun: bool,
    /// Number of calls that wait for the answer or read it.
    pub readers: usize,
    /// True if operators may read the answer along.
    pub is_readable: bool,
}

/// The running answers that somebody may stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stoppable {
    /// All.
    All,
    /// Those of calls with this client key: its name, or `None` for the key without a name. No call with another one joins
    /// them, since the holder of a key is a part of the scope.
    OfKey(Option<String>),
}

impl Stoppable {
    fn has(&self, client_key: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::OfKey(own) => client_key == own.as_deref(),
        }
    }
}

impl RunningCall {
    /// The call of an exchange that has just begun.
    pub fn begun_by(opening: Arc<Opening>) -> Self {
        let exchange = opening.exchange;
        Self::of(exchange, Status { opening, begun: false, readers: 1 })
    }

    /// Tells whether this answer is one of `stoppable`.
    pub fn is_stoppable(&self, stoppable: &Stoppable) -> bool {
        stoppable.has(self.call.client_key.as_deref())
    }

    fn of(exchange: ExchangeId, status: Status) -> Self {
        let Status { opening, begun, readers } = status;
        let (call, is_readable) = (CallStatus::of(&opening.call), is_readable(&opening));
        Self { exchange, call, begun, readers, is_readable }
    }
}

/// Returns whether operators may read an answer along: what must not be kept is not shown either. A fixture is not kept,
/// because it is on disk already.
fn is_readable(opening: &Opening) -> bool {
    opening.chain.is_some() || opening.call.answered_by == AnsweredBy::Replay
}

/// A piece of an answer, of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The kind.
    pub kind: WrittenKind,
    /// The text; of a tool call, the name of the tool.
    pub text: String,
}

/// A kind of content of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrittenKind {
    /// Text for the reader.
    Text,
    /// Thinking, or a summary of it.
    Thinking,
    /// A call of one of the client's tools.
    Tool,
}

/// Reads a running answer along from its beginning. It is not counted among the readers, and an answer that is abandoned
/// ends all the same.
#[derive(Debug)]
pub struct Follow(Follower);

impl Follow {
    /// Waits for more of the answer; what is there is returned in pieces. `None` at the end.
    pub async fn next(&mut self) -> Option<Vec<Written>> {
        loop {
            let written = written(&self.0.next().await?);
            // Some events write nothing.
            if !written.is_empty() {
                return Some(written);
            }
        }
    }
}

/// The reason why a running answer cannot be read along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowError {
    /// No such answer is running.
    NotRunning,
    /// The answer must not be kept.
    NotReadable,
}

impl Answers {
    /// The running calls, the oldest first.
    pub fn running(&self) -> Vec<RunningCall> {
        let running = self.inflight.running();
        let calls = running.iter().filter_map(|(exchange, subscription)| {
            Some(RunningCall::of(*exchange, subscription.status()?))
        });
        let mut calls: Vec<RunningCall> = calls.collect();
        calls.sort_unstable_by_key(|running| (running.call.at, running.exchange));
        calls
    }

    /// Calls that begin or end from now on. A receiver that is late misses some, and should look at
    /// [`Self::running`] again.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.observer.watch()
    }

    /// Reads a running answer along.
    pub fn follow(&self, exchange: ExchangeId) -> Result<Follow, FollowError> {
        let subscription = self.inflight.get(exchange).ok_or(FollowError::NotRunning)?;
        let Status { opening, .. } = subscription.status().ok_or(FollowError::NotRunning)?;
        if !is_readable(&opening) {
            return Err(FollowError::NotReadable);
        }
        Ok(Follow(subscription.follow()))
    }

    /// Stops a running answer, if it is one of `stoppable`: its clients get an error that says so, and it is sealed as
    /// stopped.
    pub fn stop(&self, exchange: ExchangeId, stoppable: &Stoppable) -> Result<(), StopError> {
        let subscription = self.inflight.get(exchange).ok_or(StopError::NotRunning)?;
        subscription.stop(|status| match status {
            Some(Status { opening, .. }) => stoppable.has(opening.call.client_key.as_deref()),
            None => *stoppable == Stoppable::All,
        })
    }
}

/// The pieces that segments write, neighbours of a kind joined. Unreadable events are left out: the clients are told.
fn written(segments: &[Arc<Segment>]) -> Vec<Written> {
    let mut pieces: Vec<(WrittenKind, JsonString)> = Vec::new();
    for event in segments.iter().flat_map(|segment| segment.events()) {
        let event = anthropic::read(event);
        let Ok(event) = anthropic::parse(&event) else { continue };
        let (kind, text) = match event {
            Event::BlockDelta { delta: Delta::Text(text), .. } => {
                (WrittenKind::Text, JsonString::of_inside(inside(text).to_owned()))
            }
            Event::BlockDelta { delta: Delta::Thinking(text), .. } => {
                (WrittenKind::Thinking, JsonString::of_inside(inside(text).to_owned()))
            }
            Event::BlockStart { block: BlockStart::Text { text, .. }, .. } => {
                (WrittenKind::Text, JsonString::new(&text))
            }
            Event::BlockStart { block: BlockStart::ToolUse { name, .. }, .. } => {
                (WrittenKind::Tool, JsonString::new(&name))
            }
            _ => continue,
        };
        match pieces.last_mut() {
            Some((last, before)) if *last == kind && kind != WrittenKind::Tool => {
                before.push_string(&text);
            }
            _ if text.is_empty() => {}
            _ => pieces.push((kind, text)),
        }
    }
    pieces.into_iter().map(|(kind, text)| Written { kind, text: text.decode() }).collect()
}
