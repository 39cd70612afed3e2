//! Current activity, as server-sent events: calls as they begin and end, and answers as they are written. Streams end when
//! the server stops, and when their viewer may not see the page any more; browsers connect again by themselves.

use std::{collections::VecDeque, convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    extract::{ConnectInfo, Path, State},
    response::{
        AppendHeaders, IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::stream;
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, broadcast},
    time::{Instant, Interval, MissedTickBehavior},
};
use tokio_stream::Stream;

use super::guard::{self, SameOrigin, Viewer};
use crate::{
    answer::{self, Change, Follow, FollowError, RunningCall, StopError, WrittenKind},
    domain::{
        exchange::{ExchangeId, UnixMillis},
        user_name::UserNames,
    },
    report::LiveCall,
    server::{App, auth::Role, error::Rejection},
    store::{CallFilter, Condition},
};

/// Interval between comments that keep a connection open through proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Interval between looks at the running calls, and at whether the viewer may still see them.
const LOOK: Duration = Duration::from_secs(1);
/// Least time between readings of the names of users.
const NAMES_EVERY: Duration = Duration::from_secs(5);
/// Number of ended calls at the beginning of a stream.
const ENDED: u32 = 20;
/// Most running calls that are told.
const MOST_RUNNING: usize = 200;
/// Most bytes of an answer that a stream tells.
const MOST_WRITTEN: usize = 1 << 20;

/// A running call.
#[derive(Debug, Serialize)]
struct Running {
    exchange: ExchangeId,
    call: LiveCall,
    /// Milliseconds since its arrival.
    age_ms: i64,
    /// True once its clients got something.
    begun: bool,
    /// Number of calls that get the answer.
    readers: usize,
    /// True if the answer may be read along.
    readable: bool,
    /// True if the viewer may stop the answer.
    stoppable: bool,
}

/// Running calls.
#[derive(Debug, Serialize)]
struct RunningList {
    running: Vec<Running>,
    /// Number of running calls that are not in the list.
    more: usize,
}

/// The beginning of a stream.
#[derive(Debug, Serialize)]
struct Snapshot {
    #[serde(flatten)]
    running: RunningList,
    /// The newest first.
    ended: Vec<LiveCall>,
}

/// A piece of an answer.
#[derive(Debug, Serialize)]
struct Piece {
    kind: &'static str,
    text: String,
}

/// Somebody who looks at a stream.
struct Watcher {
    app: Arc<App>,
    headers: HeaderMap,
    peer: SocketAddr,
    role: Role,
    looks: Interval,
    _permit: OwnedSemaphorePermit,
}

/// The stream of calls.
struct CallStream {
    watcher: Watcher,
    changes: broadcast::Receiver<Change>,
    names: UserNames,
    names_at: Instant,
    /// The exchange, whether it has begun, the readers, and whether it can be stopped, of each running call that was told.
    told: Vec<(ExchangeId, bool, usize, bool)>,
    events: VecDeque<Event>,
}

/// The stream of an answer.
struct AnswerStream {
    watcher: Watcher,
    follow: Follow,
    /// Bytes that may still be told.
    left: usize,
    events: VecDeque<Event>,
    has_ended: bool,
}

/// `GET /page/live`: a `snapshot` of what runs and of the newest ended calls; then `began` and `ended` for each call, and
/// `running` with all running calls when anything else about them has changed. One who reads too slowly gets a new
/// `snapshot`.
pub(super) async fn changes(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Viewer(role): Viewer,
    headers: HeaderMap,
) -> Result<Response, Rejection> {
    let watcher = Watcher::new(app, headers, peer, role)?;
    // Before the snapshot, so that nothing is missed between them.
    let changes = watcher.app.answers.changes();
    let mut calls = CallStream {
        watcher,
        changes,
        names: UserNames::default(),
        names_at: Instant::now(),
        told: Vec::new(),
        events: VecDeque::new(),
    };
    calls.begin().await?;
    Ok(streamed(stream::unfold(calls, async |mut calls| Some((calls.next().await?, calls)))))
}

/// `GET /page/live/{exchange}`: a running answer from its beginning, in pieces of a `kind`: `text`, `thinking` or `tool`.
/// The last event is `end`, or `cut` if the answer is too long to be told.
pub(super) async fn answer(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Viewer(role): Viewer,
    Path(exchange): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Rejection> {
    let follow = app.answers.follow(running(&exchange)?).map_err(|error| match error {
        FollowError::NotRunning => Rejection::NotRunning(exchange),
        FollowError::NotReadable => Rejection::NotReadable,
    })?;
    let watcher = Watcher::new(app, headers, peer, role)?;
    let events = VecDeque::new();
    let written = AnswerStream { watcher, follow, left: MOST_WRITTEN, events, has_ended: false };
    Ok(streamed(stream::unfold(written, async |mut written| {
        Some((written.next().await?, written))
    })))
}

/// `POST /page/live/{exchange}/stop`: stops a running answer. A client key stops only answers to calls with it.
pub(super) async fn stop(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    _: SameOrigin,
    Viewer(role): Viewer,
    Path(exchange): Path<String>,
) -> Result<StatusCode, Rejection> {
    match app.answers.stop(running(&exchange)?, &role.stoppable()) {
        Ok(()) => {
            tracing::info!(exchange, %peer, by = %role, "an answer was stopped on the page");
            Ok(StatusCode::NO_CONTENT)
        }
        Err(StopError::NotRunning) => Err(Rejection::NotRunning(exchange)),
        Err(StopError::NotPermitted) => Err(Rejection::NotStoppable),
    }
}

fn running(exchange: &str) -> Result<ExchangeId, Rejection> {
    exchange.parse().map_err(|_| Rejection::NotRunning(exchange.to_owned()))
}

/// The response with these events.
fn streamed(events: impl Stream<Item = Event> + Send + 'static) -> Response {
    // nginx holds back what it has of a response, unless it is told not to.
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), "no")];
    let events = tokio_stream::StreamExt::map(events, Ok::<_, Infallible>);
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    (AppendHeaders(unbuffered), events).into_response()
}

fn event(name: &str, content: &impl Serialize) -> Event {
    let event = Event::default().event(name);
    event.json_data(content).expect("a report is JSON")
}

impl Watcher {
    fn new(
        app: Arc<App>,
        headers: HeaderMap,
        peer: SocketAddr,
        role: Role,
    ) -> Result<Self, Rejection> {
        let session = app.page.sessions.get(&headers, Instant::now());
        let streams = session.map_or_else(|| Arc::clone(&app.page.streams), |own| own.streams);
        let permit = streams.try_acquire_owned().map_err(|_| Rejection::TooManyStreams)?;
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { app, headers, peer, role, looks, _permit: permit })
    }

    /// Waits for the next look. Returns false if the stream has to end.
    async fn look(&mut self) -> bool {
        let is_open = tokio::select! {
            () = self.app.page.closing.cancelled() => false,
            _ = self.looks.tick() => true,
        };
        match guard::check_viewer(&self.app, &self.headers, self.peer) {
            Ok(role) => {
                self.role = role;
                is_open
            }
            Err(_) => false,
        }
    }
}

impl CallStream {
    /// Adds the snapshot to the events.
    async fn begin(&mut self) -> Result<(), Rejection> {
        let reader = self.watcher.app.answers.ledger().reader();
        let filter = CallFilter {
            span: UnixMillis(0)..UnixMillis(i64::MAX),
            user: None,
            chat: None,
            model: None,
            task: None,
            outcome: None,
            answered_by: None,
            tags: Vec::new(),
            conditions: vec![Condition::Counted],
        };
        self.names = reader.user_names().await.map_err(Rejection::Unreadable)?;
        self.names_at = Instant::now();
        let newest = reader.newest_statuses(&filter, ENDED).await.map_err(Rejection::Unreadable)?;
        let ended = newest.into_iter().map(|call| LiveCall::of(call, &self.names));
        let ended = ended.collect();
        let snapshot = Snapshot { ended, running: self.running() };
        self.events.push_back(event("snapshot", &snapshot));
        Ok(())
    }

    /// Waits for the next event. `None` at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let change = tokio::select! {
                goes_on = self.watcher.look() => {
                    if !goes_on {
                        return None;
                    }
                    self.reconcile();
                    continue;
                }
                change = self.changes.recv() => change,
            };
            match change {
                Ok(Change::Began(opening)) => {
                    let running = RunningCall::begun_by(opening);
                    self.learn_name(running.call.user.as_deref()).await;
                    self.events.push_back(event("began", &self.line(running)));
                }
                Ok(Change::Ended(call)) => {
                    self.learn_name(call.user.as_deref()).await;
                    let call = LiveCall::of(Arc::unwrap_or_clone(call), &self.names);
                    self.events.push_back(event("ended", &call));
                }
                Err(broadcast::error::RecvError::Lagged(_)) => self.begin().await.ok()?,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// Tells all running calls if anything about them has changed.
    fn reconcile(&mut self) {
        let before = std::mem::take(&mut self.told);
        let list = self.running();
        if self.told != before {
            self.events.push_back(event("running", &list));
        }
    }

    fn running(&mut self) -> RunningList {
        let mut running = self.watcher.app.answers.running();
        let more = running.len().saturating_sub(MOST_RUNNING);
        // The newest of them.
        running.drain(..more);
        let stoppable = self.watcher.role.stoppable();
        let state = |call: &RunningCall| {
            (call.exchange, call.begun, call.readers, call.is_stoppable(&stoppable))
        };
        self.told = running.iter().map(state).collect();
        RunningList { running: running.into_iter().map(|call| self.line(call)).collect(), more }
    }

    fn line(&self, running: RunningCall) -> Running {
        let stoppable = running.is_stoppable(&self.watcher.role.stoppable());
        let RunningCall { exchange, call, begun, readers, is_readable, .. } = running;
        let age_ms = (answer::now().0 - call.at.0).max(0);
        let call = LiveCall::of(call, &self.names);
        Running { exchange, call, age_ms, begun, readers, readable: is_readable, stoppable }
    }

    /// Reads the names of users again if this one has none yet.
    async fn learn_name(&mut self, user: Option<&str>) {
        if user.is_none_or(|user| self.names.has(user)) || self.names_at.elapsed() < NAMES_EVERY {
            return;
        }
        // Without a name, the id is shown.
        if let Ok(names) = self.watcher.app.answers.ledger().reader().user_names().await {
            self.names = names;
        }
        self.names_at = Instant::now();
    }
}

impl AnswerStream {
    /// Waits for the next event. `None` at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if self.has_ended {
                return None;
            }
            let pieces = tokio::select! {
                goes_on = self.watcher.look() => {
                    if !goes_on {
                        return None;
                    }
                    continue;
                }
                pieces = self.follow.next() => pieces,
            };
            let Some(pieces) = pieces else {
                self.last("end");
                continue;
            };
            for answer::Written { kind, text } in pieces {
                if text.len() > self.left {
                    self.last("cut");
                    break;
                }
                self.left -= text.len();
                let kind = match kind {
                    WrittenKind::Text => "text",
                    WrittenKind::Thinking => "thinking",
                    WrittenKind::Tool => "tool",
                };
                self.events.push_back(event("written", &Piece { kind, text }));
            }
        }
    }

    /// Adds the last event.
    fn last(&mut self, name: &str) {
        self.has_ended = true;
        self.events.push_back(Event::default().event(name).data("{}"));
    }
}
