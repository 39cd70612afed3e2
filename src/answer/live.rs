//! A recording while it grows: one writer, any number of readers, who may come late and leave early.
//!
//! Joining, leaving and ending are decided under one lock. A reader takes all that it has not seen at once; a slow
//! one never slows the writer, because the answer is being kept anyway.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use super::{failure::Failure, joined::JoinedCall};
use crate::{
    domain::{
        anthropic::StreamError,
        exchange::{Cost, ExchangeId, NanoDollars, Outcome, Tokens},
        recording::{Recording, Segment},
    },
    upstream::Head,
};

/// How a recording ended.
#[derive(Debug, Clone)]
pub enum End {
    /// With `message_stop`.
    Whole(Totals),
    /// Before that.
    Failed(Arc<Failure>, Totals),
}

/// What is known of an answer at its end.
#[derive(Debug, Clone)]
pub struct Totals {
    /// The exchange that it ended with; `None`: it is not known.
    pub exchange: Option<ExchangeId>,
    /// How that ended.
    pub outcome: Outcome,
    /// The model as upstream named it; `None`: it never said.
    pub model: Option<Arc<str>>,
    /// What it used.
    pub tokens: Tokens,
    /// What it cost when it was asked.
    pub cost: Cost,
}

impl End {
    /// The end of an answer of which nothing more is known.
    fn cut() -> Self {
        let cost = Cost::AtLeast(NanoDollars(0));
        let totals = Totals {
            exchange: None,
            outcome: Outcome::Cut,
            model: None,
            tokens: Tokens::default(),
            cost,
        };
        Self::Failed(Arc::new(StreamError::Cut.into()), totals)
    }
}

#[derive(Debug)]
struct Live {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    recording: Recording,
    /// Of upstream's first response, where there was one.
    head: Option<Arc<Head>>,
    end: Option<End>,
    /// Whether anything was appended before the end.
    begun: bool,
    readers: usize,
    waiting: Vec<Waker>,
    /// The writer, waiting to hear that nobody reads any more.
    writer: Option<Waker>,
}

impl Live {
    /// The lock is held for a few instructions that cannot panic halfway.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A new recording with its writer and its first reader.
pub(super) fn start() -> (Writer, Reader) {
    let state = State { readers: 1, ..State::default() };
    let live = Arc::new(Live { state: Mutex::new(state) });
    (Writer { live: Arc::clone(&live) }, Reader { live, seen: 0, joined: None })
}

/// A reader of a recording that has ended long ago.
pub(super) fn stored(recording: Recording, end: End) -> Reader {
    let state = State { recording, end: Some(end), readers: 1, ..State::default() };
    Reader { live: Arc::new(Live { state: Mutex::new(state) }), seen: 0, joined: None }
}

/// The one who appends. Dropped before the end, it leaves the recording cut.
#[derive(Debug)]
pub(super) struct Writer {
    live: Arc<Live>,
}

/// Where others can join the readers.
#[derive(Debug, Clone)]
pub(super) struct Entrance {
    live: Arc<Live>,
}

impl Entrance {
    /// One more reader, from the beginning on. None where the answer has ended, or where nobody is left for whom it
    /// goes on: it is being cancelled.
    pub(super) fn join(&self) -> Option<Reader> {
        let mut state = self.live.lock();
        if state.readers == 0 || state.end.is_some() {
            return None;
        }
        state.readers += 1;
        drop(state);
        Some(Reader { live: Arc::clone(&self.live), seen: 0, joined: None })
    }

    /// How many read it.
    pub(super) fn readers(&self) -> usize {
        self.live.lock().readers
    }
}

impl Writer {
    /// Where others can join those who read what is written here.
    pub(super) fn entrance(&self) -> Entrance {
        Entrance { live: Arc::clone(&self.live) }
    }

    /// Appends and wakes the readers once.
    pub(super) fn append(&self, segment: Segment) {
        let mut state = self.live.lock();
        state.recording.append(Arc::new(segment));
        state.begun = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Appends the event that ends the stream, if there is one, and ends the recording in the same moment: whoever
    /// sees the one sees the other.
    pub(super) fn end(self, last: Option<Segment>, end: End) {
        self.finish(last, end);
    }

    /// Completes when the last reader has left.
    pub(super) async fn abandoned(&self) {
        std::future::poll_fn(|context| {
            let mut state = self.live.lock();
            if state.readers == 0 {
                return Poll::Ready(());
            }
            state.writer = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Says what upstream's response has in its head; to be said before anything is appended.
    pub(super) fn begin(&self, head: Arc<Head>) {
        self.live.lock().head.get_or_insert(head);
    }

    /// How many segments there are.
    pub(super) fn segments(&self) -> usize {
        self.live.lock().recording.segments(0).len()
    }

    /// What has been recorded from segment number `from` on, and `last`.
    pub(super) fn recording(&self, from: usize, last: Option<&Segment>) -> Recording {
        let mut recording = Recording::default();
        let state = self.live.lock();
        state
            .recording
            .segments(from)
            .iter()
            .for_each(|segment| recording.append(Arc::clone(segment)));
        drop(state);
        if let Some(last) = last {
            recording.append(Arc::new(last.clone()));
        }
        recording
    }

    fn finish(&self, last: Option<Segment>, end: End) {
        let mut state = self.live.lock();
        if state.end.is_some() {
            return;
        }
        if let Some(last) = last {
            state.recording.append(Arc::new(last));
        }
        state.end = Some(end);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.finish(None, End::cut());
    }
}

/// One who reads from the beginning.
#[derive(Debug)]
pub struct Reader {
    live: Arc<Live>,
    seen: usize,
    /// The call that joined, where this is not the one that asked.
    joined: Option<Box<JoinedCall>>,
}

impl Reader {
    /// The reader of a call that joined: it has a row of its own in the ledger.
    pub(super) fn for_joined(self, joined: JoinedCall) -> Self {
        let mut reader = self;
        reader.joined = Some(Box::new(joined));
        reader
    }

    /// Waits until there is something to read, or the end; gives a failure when that is all there is.
    pub async fn ready(&mut self) -> Result<(), Arc<Failure>> {
        let began = std::future::poll_fn(|context| {
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
        if let (Ok(()), Some(joined)) = (&began, &mut self.joined) {
            joined.begins();
        }
        began
    }

    /// What upstream said of itself when the answer began; nothing for one from the ledger.
    pub fn head(&self) -> Option<Arc<Head>> {
        self.live.lock().head.clone()
    }

    /// Waits for the end and gives the whole recording.
    pub async fn whole(&mut self) -> (Recording, End) {
        std::future::poll_fn(|context| {
            let mut state = self.live.lock();
            match &state.end {
                Some(end) => Poll::Ready((state.recording.clone(), end.clone())),
                None => state.wait(context),
            }
        })
        .await
    }

    /// Appends to `unseen` all that this reader has not seen; with the end, once that has come.
    pub fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        unseen: &mut Vec<Arc<Segment>>,
    ) -> Poll<Option<End>> {
        let mut state = self.live.lock();
        let new = state.recording.segments(self.seen);
        self.seen += new.len();
        unseen.extend_from_slice(new);
        match &state.end {
            Some(end) => Poll::Ready(Some(end.clone())),
            None if unseen.is_empty() => state.wait(context),
            None => Poll::Ready(None),
        }
    }
}

impl State {
    fn wait<T>(&mut self, context: &Context<'_>) -> Poll<T> {
        if !self.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            self.waiting.push(context.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.live.lock();
        state.readers -= 1;
        let writer = if state.readers == 0 { state.writer.take() } else { None };
        let end = state.end.clone();
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
        if let Some(joined) = self.joined.take() {
            joined.leaves(end);
        }
    }
}
