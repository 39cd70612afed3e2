//! Live recordings: one writer, any number of readers, who may join late and leave early.
//!
//! Joining, leaving and ending happen under one lock. A read takes what is unread, up to [`LARGEST_READ`]; a slow reader
//! never slows the writer, because the answer is kept anyway, and holds no more of it than it has read.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::{failure::Failure, mutex::Mutex};
use crate::{
    domain::{
        anthropic::{self, StreamError},
        exchange::{Cost, ExchangeId, NanoDollars, Outcome, Tokens},
        recording::{Position, Recording, Segment},
    },
    store::{Opening, StoredRecording},
    upstream::ResponseHead,
};

/// Most bytes of a recording that one read takes, if it has more than one event. Translated, a read has a few times
/// as many, which wait in memory until the client has read them. Most answers are smaller, and go out in one write.
const LARGEST_READ: usize = 64 << 10;

/// End of a recording.
#[derive(Debug, Clone)]
pub enum End {
    /// The answer is complete: `message_stop` arrived.
    Complete(AnswerTotals),
    /// The answer is not complete.
    Failed(Arc<Failure>, AnswerTotals),
}

/// Totals of an answer at its end.
#[derive(Debug, Clone)]
pub struct AnswerTotals {
    /// The answer's last exchange; `None` if unknown.
    pub exchange: Option<ExchangeId>,
    /// Outcome of the last exchange.
    pub outcome: Outcome,
    /// The model as upstream named it; `None` if it never did.
    pub model: Option<Arc<str>>,
    /// Tokens of all exchanges.
    pub tokens: Tokens,
    /// Cost of all exchanges; of an answer of the ledger, the cost of asking for it again.
    pub cost: Cost,
}

impl AnswerTotals {
    /// Totals of an answer of which only the outcome is known.
    pub(super) fn unknown(outcome: Outcome) -> Self {
        let cost = Cost::AtLeast(NanoDollars(0));
        Self { exchange: None, outcome, model: None, tokens: Tokens::default(), cost }
    }
}

#[derive(Debug, Default)]
struct State {
    recording: Recording,
    /// Head of upstream's first response.
    head: Option<Arc<ResponseHead>>,
    end: Option<End>,
    /// True once anything was appended before the end.
    begun: bool,
    /// The exchange that fills the recording, until the end; `None` before it is known.
    opening: Option<Arc<Opening>>,
    /// The exchange of another process that has answered in place of that one.
    answered_by: Option<ExchangeId>,
    /// True if an operator has stopped the answer.
    is_stopped: bool,
    readers: usize,
    waiting_readers: Vec<Waker>,
    /// The writer, if it waits for a reason to end early.
    waiting_writer: Option<Waker>,
}

type Live = Arc<Mutex<State>>;

/// Creates a recording with its writer and its first reader.
pub(super) fn start() -> (RecordingWriter, RecordingReader) {
    let live = Live::new(Mutex::new(State { readers: 1, ..State::default() }));
    (RecordingWriter { live: Arc::clone(&live) }, RecordingReader::new(live))
}

/// Creates a reader of a recording that has ended. With `merged`, it reads it in larger pieces, if that can be.
pub(super) fn stored(stored: Arc<StoredRecording>, merged: bool, end: End) -> RecordingReader {
    let readings = if merged { stored.readings().ok() } else { None };
    let recording = readings.map_or(&**stored.recording(), |readings| &readings.merged).clone();
    let state = State { recording, end: Some(end), readers: 1, ..State::default() };
    let mut reader = RecordingReader::new(Live::new(Mutex::new(state)));
    reader.stored = Some(stored);
    reader
}

/// Writer of a recording. If it is dropped before the end, the recording is cut.
#[derive(Debug)]
pub(super) struct RecordingWriter {
    live: Live,
}

/// Handle for joining the readers of a recording.
#[derive(Debug, Clone)]
pub(super) struct Subscription {
    live: Live,
}

impl Subscription {
    /// Adds a reader that starts at the beginning. `None` if the recording has ended, or has no readers left and is being
    /// cancelled.
    pub(super) fn join(&self) -> Option<RecordingReader> {
        let mut state = self.live.lock();
        if state.readers == 0 || state.is_stopped || state.end.is_some() {
            return None;
        }
        state.readers += 1;
        drop(state);
        Some(RecordingReader::new(Arc::clone(&self.live)))
    }

    /// Number of readers.
    pub(super) fn readers(&self) -> usize {
        self.live.lock().readers
    }

    /// The state of the recording; `None` if it has ended, or its exchange is not known yet.
    pub(super) fn status(&self) -> Option<Status> {
        self.live.lock().status()
    }

    /// Stops the answer if `may_stop` permits it for its state, in one step. `None`: its exchange is not known yet.
    pub(super) fn stop(
        &self,
        may_stop: impl FnOnce(Option<&Status>) -> bool,
    ) -> Result<(), StopError> {
        let mut state = self.live.lock();
        if state.readers == 0 || state.end.is_some() {
            return Err(StopError::NotRunning);
        }
        if !may_stop(state.status().as_ref()) {
            return Err(StopError::NotPermitted);
        }
        state.is_stopped = true;
        let writer = state.waiting_writer.take();
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
        Ok(())
    }

    /// Returns a follower that starts at the beginning.
    pub(super) fn follow(&self) -> Follower {
        Follower { live: Arc::clone(&self.live), position: Position::START }
    }
}

/// State of a recording that has not ended.
#[derive(Debug)]
pub(super) struct Status {
    /// The exchange that fills it.
    pub opening: Arc<Opening>,
    /// True if readers have something to read.
    pub begun: bool,
    pub readers: usize,
}

impl State {
    /// `None` if it has ended, or its exchange is not known yet.
    fn status(&self) -> Option<Status> {
        let opening = self.opening.clone()?;
        let (begun, readers) = (self.begun, self.readers);
        Some(Status { opening, begun, readers })
    }
}

/// The reason why a running answer is not stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopError {
    /// No such answer is running.
    NotRunning,
    /// It is the answer of a call that others have made.
    NotPermitted,
}

/// The reason why a writer ends a recording early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cancel {
    /// The last reader has left.
    Abandoned,
    /// An operator has stopped the answer.
    Stopped,
}

/// Reads a recording from the beginning without being one of its readers: it keeps no exchange running.
#[derive(Debug)]
pub(super) struct Follower {
    live: Live,
    position: Position,
}

impl Follower {
    /// Waits for segments and returns them, of a long recording one piece of it. `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Vec<Arc<Segment>>> {
        std::future::poll_fn(|context| {
            let mut unread = Vec::new();
            let mut state = self.live.lock();
            state.recording.read(&mut self.position, LARGEST_READ, &mut unread);
            match &state.end {
                _ if !unread.is_empty() => Poll::Ready(Some(unread)),
                Some(_) => Poll::Ready(None),
                None => state.wait(context),
            }
        })
        .await
    }
}

impl RecordingWriter {
    /// Returns a handle for joining the readers.
    pub(super) fn subscription(&self) -> Subscription {
        Subscription { live: Arc::clone(&self.live) }
    }

    /// Appends segments and wakes the readers, who see all of them at once.
    pub(super) fn append(&self, segments: impl IntoIterator<Item = Segment>) {
        let mut state = self.live.lock();
        for segment in segments {
            state.recording.append(Arc::new(segment));
        }
        state.begun = true;
        let readers = std::mem::take(&mut state.waiting_readers);
        drop(state);
        readers.into_iter().for_each(Waker::wake);
    }

    /// Appends the end of the stream, as far as the readers have not seen it, and ends the recording in the same step:
    /// readers see both or neither.
    pub(super) fn end(self, unseen: Vec<Segment>, end: End) {
        self.finish(unseen, end);
    }

    /// Waits until the last reader has left, or an operator stops the answer.
    pub(super) async fn cancelled(&self) -> Cancel {
        std::future::poll_fn(|context| {
            let mut state = self.live.lock();
            if state.readers == 0 {
                return Poll::Ready(Cancel::Abandoned);
            }
            if state.is_stopped {
                return Poll::Ready(Cancel::Stopped);
            }
            if !state.waiting_writer.as_ref().is_some_and(|it| it.will_wake(context.waker())) {
                state.waiting_writer = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    /// Names the exchange that fills the recording.
    pub(super) fn open(&self, opening: Arc<Opening>) {
        self.live.lock().opening = Some(opening);
    }

    /// Sets the head of upstream's response. The first one that has content stays.
    pub(super) fn begin(&self, head: Arc<ResponseHead>) {
        let mut state = self.live.lock();
        if !state.begun {
            state.head = Some(head);
        }
    }

    /// Names the exchange of another process that has answered. Call it before the end.
    pub(super) fn answered_by(&self, exchange: ExchangeId) {
        self.live.lock().answered_by = Some(exchange);
    }

    /// Number of readers.
    pub(super) fn readers(&self) -> usize {
        self.live.lock().readers
    }

    /// Number of segments.
    pub(super) fn segments(&self) -> usize {
        self.live.lock().recording.segments(0).len()
    }

    /// Returns the segments from number `from` on, followed by those that the readers have not seen.
    pub(super) fn recording(&self, from: usize, unseen: &[Segment]) -> Recording {
        let mut recording = Recording::default();
        let state = self.live.lock();
        state
            .recording
            .segments(from)
            .iter()
            .for_each(|segment| recording.append(Arc::clone(segment)));
        drop(state);
        for segment in unseen {
            recording.append(Arc::new(segment.clone()));
        }
        recording
    }

    fn finish(&self, unseen: Vec<Segment>, end: End) {
        let mut state = self.live.lock();
        if state.end.is_some() {
            return;
        }
        for segment in unseen {
            state.recording.append(Arc::new(segment));
        }
        state.end = Some(end);
        let opening = state.opening.take();
        let readers = std::mem::take(&mut state.waiting_readers);
        drop(state);
        drop(opening);
        readers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for RecordingWriter {
    fn drop(&mut self) {
        let totals = AnswerTotals::unknown(Outcome::Cut);
        self.finish(Vec::new(), End::Failed(Arc::new(StreamError::Cut.into()), totals));
    }
}

/// Observer of one reader.
pub(super) trait ReaderHook: fmt::Debug + Send {
    /// The reader has something to read for the first time.
    fn on_begin(&mut self);

    /// The reader is dropped; `end` is the recording's, if it has ended.
    fn on_leave(self: Box<Self>, end: Option<End>);
}

/// Reader of a recording, from the beginning.
#[derive(Debug)]
pub struct RecordingReader {
    live: Live,
    position: Position,
    /// Keeps a stored recording for others that read it at the same time.
    stored: Option<Arc<StoredRecording>>,
    hook: Option<Box<dyn ReaderHook>>,
}

impl RecordingReader {
    const fn new(live: Live) -> Self {
        Self { live, position: Position::START, stored: None, hook: None }
    }

    /// Adds an observer.
    pub(super) fn with_hook(mut self, hook: impl ReaderHook + 'static) -> Self {
        self.hook = Some(Box::new(hook));
        self
    }

    /// Waits until there is something to read, or for the end. Returns the failure if there is nothing else.
    pub async fn ready(&mut self) -> Result<(), Arc<Failure>> {
        let ready = std::future::poll_fn(|context| {
            let mut state = self.live.lock();
            match &state.end {
                Some(End::Failed(failure, _)) if !state.begun => {
                    Poll::Ready(Err(Arc::clone(failure)))
                }
                None if state.recording.is_empty() => state.wait(context),
                _ => Poll::Ready(Ok(())),
            }
        })
        .await;
        if let (Ok(()), Some(hook)) = (&ready, &mut self.hook) {
            hook.on_begin();
        }
        ready
    }

    /// The exchange of another process that has answered; `None`: it was the one that this call asked or joined.
    pub(super) fn answered_by(&self) -> Option<ExchangeId> {
        self.live.lock().answered_by
    }

    /// Head of upstream's first response; `None` for a stored recording.
    pub fn head(&self) -> Option<Arc<ResponseHead>> {
        self.live.lock().head.clone()
    }

    /// The whole answer, if it is stored and was read before.
    pub fn stored_message(&self) -> Option<anthropic::Message> {
        let readings = self.stored.as_ref()?.readings().ok()?;
        Some(readings.message.clone())
    }

    /// Waits for the end and returns the whole recording.
    pub async fn ended(&mut self) -> (Recording, End) {
        std::future::poll_fn(|context| {
            let mut state = self.live.lock();
            match &state.end {
                Some(end) => Poll::Ready((state.recording.clone(), end.clone())),
                None => state.wait(context),
            }
        })
        .await
    }

    /// Appends what is unread to `unread`, of a long recording one piece of it. Returns the end once the recording has
    /// ended and all of it is read.
    pub fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        unread: &mut Vec<Arc<Segment>>,
    ) -> Poll<Option<End>> {
        let mut state = self.live.lock();
        let is_read = state.recording.read(&mut self.position, LARGEST_READ, unread);
        match &state.end {
            Some(end) if is_read => Poll::Ready(Some(end.clone())),
            None if unread.is_empty() => state.wait(context),
            _ => Poll::Ready(None),
        }
    }
}

impl State {
    fn wait<T>(&mut self, context: &Context<'_>) -> Poll<T> {
        if !self.waiting_readers.iter().any(|waker| waker.will_wake(context.waker())) {
            self.waiting_readers.push(context.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for RecordingReader {
    fn drop(&mut self) {
        let mut state = self.live.lock();
        state.readers -= 1;
        let writer = if state.readers == 0 { state.waiting_writer.take() } else { None };
        let end = if self.hook.is_some() { state.end.clone() } else { None };
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
        if let Some(hook) = self.hook.take() {
            hook.on_leave(end);
        }
    }
}

#[cfg(test)]
mod tests;
