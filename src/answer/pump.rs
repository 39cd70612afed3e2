//! The pump: a task that belongs to the exchange and not to the client. It copies the upstream body into the
//! recording, seals it in the ledger, and only then lets the readers see the end.
//!
//! An answer may take several exchanges: where Anthropic's own tools took long it pauses, and is asked to go on. Its
//! readers see one answer.

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{Answers, failure::Failure, inflight::InflightGuard, live::Writer, sealing};
use crate::{
    domain::{
        anthropic::{self, CanonicalRequest, RequestMessage, Role, StreamError, StreamSummary},
        cache::Keep,
        exchange::{AnswerRef, Cost, ExchangeId, Micros, Outcome, Tokens},
        recording::{Recorder, Recording, Segment},
        translate::{self, Note, Remedy},
    },
    store::Opening,
    upstream::{self, SendError},
};

/// How long the connection of a finished answer may take to become reusable.
const DRAIN: Duration = Duration::from_secs(1);
/// How often an answer that pauses is asked to go on.
const MOST_CONTINUATIONS: usize = 5;
/// How often a request that is refused for a part of it goes again without that part.
const MOST_REMEDIES: usize = 3;

/// One exchange to have with upstream.
#[derive(Debug)]
pub(super) struct Exchange {
    /// Its first row in the ledger.
    pub opening: Arc<Opening>,
    /// What to send.
    pub outgoing: upstream::Request,
    /// The same as we wrote it, where it is ours to change; `None` for a client that speaks for itself.
    pub request: Option<Arc<anthropic::Request>>,
    /// What has been dropped or changed of what the client sent.
    pub notes: Vec<Note>,
    /// What of it is kept.
    pub keep: Keep,
}

/// What is known of an exchange while it runs.
pub(super) struct Attempt {
    pub(super) began: Instant,
    pub(super) ttft: Option<Micros>,
    recorder: Recorder,
    pub(super) tally: StreamSummary,
    incoming: Option<upstream::Response>,
    pub(super) request_id: Option<String>,
    /// The status of upstream's response.
    pub(super) status: Option<u16>,
    recorded: usize,
    /// Whether the readers have seen anything.
    pub(super) published: bool,
    /// Whether a connection broke before the last one.
    pub(super) broken_before: bool,
    /// What made upstream accept the request, and whether that is about the model.
    remedies: Vec<(Remedy, bool)>,
}

/// The exchanges of the same answer before this one.
#[derive(Default)]
pub(super) struct PriorParts {
    count: usize,
    /// How many segments of the recording are theirs.
    pub(super) segments: usize,
    pub(super) tokens: Tokens,
    /// `None` before the first.
    pub(super) cost: Option<Cost>,
    pub(super) refs: Vec<AnswerRef>,
    pub(super) began: Option<Instant>,
    pub(super) ttft: Option<Micros>,
}

/// How it went.
struct Finish {
    outcome: Outcome,
    failure: Option<Failure>,
    /// What the readers may see only once it is sealed.
    last: Option<Segment>,
}

impl Finish {
    fn failed(outcome: Outcome, failure: impl Into<Failure>) -> Self {
        Self { outcome, failure: Some(failure.into()), last: None }
    }
}

/// Has the exchange, from its first row in the ledger to the end of its recording, and those that go on with it.
/// `seat` says that it is running.
pub(super) async fn run(
    answers: Answers,
    mut exchange: Exchange,
    writer: Writer,
    seat: InflightGuard,
) {
    // Late or not, the answer goes on: the ledger has said what is wrong.
    let _ = answers.ledger.open_exchange(&exchange.opening).await;
    let mut earlier = PriorParts::default();
    loop {
        let mut course = Attempt::begin(&earlier);
        let ending = tokio::select! {
            biased;
            () = writer.abandoned() => Finish { outcome: Outcome::Stopped, failure: None, last: None },
            () = answers.stop.cancelled() => Finish::failed(Outcome::Stopped, Failure::ShuttingDown),
            ending = converse(&answers, &mut exchange, &mut course, &writer) => ending,
        };
        // Whoever broke off hangs up at once; a finished answer's connection may be used again.
        if ending.outcome != Outcome::Complete {
            course.incoming = None;
        }
        let incoming = course.incoming.take();
        let own = writer.recording(earlier.segments, ending.last.as_ref());
        let next = if earlier.count < MOST_CONTINUATIONS {
            continuation(&exchange, &course, &ending, &own)
        } else {
            None
        };
        let Some(next) = next else {
            let Finish { outcome, failure, last } = ending;
            let ended = (outcome, failure);
            let whole = writer.recording(0, last.as_ref());
            let (sealing, end) = sealing::last(&answers, &exchange, course, ended, earlier, own);
            let names =
                if outcome == Outcome::Complete { sealing.refs.clone() } else { Vec::new() };
            let _ = answers.ledger.seal(&exchange.opening, sealing).await;
            writer.end(last, end);
            // Not before: whoever finds the seat empty finds the answer in the ledger.
            drop(seat);
            // The next turn finds the answer also while the ledger is late.
            answers.remember(&exchange.opening.scope, names, &whole);
            return drain(incoming).await;
        };
        // Whatever happens in between, one of the two is in the ledger.
        let _ = answers.ledger.open_exchange(&next.opening).await;
        let sealing = sealing::part(&answers, &exchange, course, &mut earlier, own);
        let _ = answers.ledger.seal(&exchange.opening, sealing).await;
        if let Some(last) = ending.last {
            writer.append(last);
        }
        earlier.count += 1;
        earlier.segments = writer.segments();
        drain(incoming).await;
        exchange = next;
    }
}

impl Attempt {
    fn begin(earlier: &PriorParts) -> Self {
        Self {
            began: Instant::now(),
            ttft: None,
            recorder: Recorder::default(),
            tally: StreamSummary::default(),
            incoming: None,
            request_id: None,
            status: None,
            recorded: 0,
            published: earlier.count > 0,
            broken_before: false,
            remedies: Vec::new(),
        }
    }
}

/// Lets a finished answer's connection become reusable.
async fn drain(incoming: Option<upstream::Response>) {
    let Some(mut incoming) = incoming else { return };
    let drained = async {
        while matches!(incoming.read(&mut Recorder::default()).await, Ok(ControlFlow::Continue(())))
        {
        }
    };
    let _ = tokio::time::timeout(DRAIN, drained).await;
}

/// The exchange that goes on with an answer that paused: the same request, with what was said so far (§2 `pause_turn`).
fn continuation(
    exchange: &Exchange,
    course: &Attempt,
    ending: &Finish,
    said: &Recording,
) -> Option<Exchange> {
    if ending.outcome != Outcome::Complete || !course.tally.is_paused() {
        return None;
    }
    let mut request = anthropic::Request::clone(exchange.request.as_deref()?);
    let blocks = anthropic::fold(said).ok()?.content;
    let mut content = translate::said(&blocks);
    if content.is_empty() {
        return None;
    }
    match request.messages.last_mut() {
        Some(RequestMessage { role: Role::Assistant, content: before }) => {
            before.append(&mut content);
        }
        _ => request.messages.push(RequestMessage { role: Role::Assistant, content }),
    }
    let texts = CanonicalRequest::of(&request);
    let before = &exchange.opening;
    let opening = Opening {
        exchange: ExchangeId::new(Uuid::now_v7()),
        opened_at: super::now(),
        continues: Some(before.exchange),
        chain: exchange.keeps_bodies().then(|| Arc::new(texts.chain.clone())),
        collapse: None,
        ..Opening::clone(before)
    };
    Some(Exchange {
        opening: Arc::new(opening),
        outgoing: upstream::Request { body: texts.body().into(), ..exchange.outgoing.clone() },
        request: Some(Arc::new(request)),
        notes: exchange.notes.clone(),
        keep: exchange.keep,
    })
}

async fn converse(
    answers: &Answers,
    exchange: &mut Exchange,
    course: &mut Attempt,
    writer: &Writer,
) -> Finish {
    let mut incoming = loop {
        match answers.upstream.send(&exchange.outgoing).await {
            Ok(incoming) => break incoming,
            Err(SendError { error, broken_before }) => {
                course.broken_before |= broken_before;
                if let upstream::Error::Refused { status, body, head, .. } = &error {
                    if body.error.kind == "invalid_request_error"
                        && course.remedies.len() < MOST_REMEDIES
                        && let Some(remedy) = exchange.heal(&body.error.message)
                    {
                        course.remedies.push(remedy);
                        continue;
                    }
                    course.request_id.clone_from(&head.request_id);
                    course.status = Some(*status);
                }
                return Finish::failed(Outcome::Failed, error);
            }
        }
    };
    for (remedy, _) in course.remedies.iter().filter(|(_, lasts)| *lasts) {
        answers.quirks.remember(&exchange.opening.model, *remedy);
    }
    course.request_id.clone_from(&incoming.head.request_id);
    course.status = Some(incoming.status);
    course.broken_before |= incoming.broken_before;
    writer.begin(Arc::new(std::mem::take(&mut incoming.head)));
    let incoming = course.incoming.insert(incoming);
    loop {
        let flow = match incoming.read(&mut course.recorder).await {
            Ok(flow) => flow,
            Err(error) => return Finish::failed(Outcome::Cut, error),
        };
        if let Some(segment) = course.recorder.cut(course.began.elapsed().into()) {
            course.ttft.get_or_insert(segment.at());
            match count(&mut course.tally, &segment) {
                Counted::GoesOn => {
                    course.recorded += segment.bytes().len();
                    course.published = true;
                    writer.append(segment);
                }
                Counted::Ends { at, outcome, failure } => {
                    let (before, rest) = segment.split(at);
                    // What upstream says after the end is no part of the answer.
                    let last = rest.and_then(|rest| rest.split(1).0);
                    if let Some(before) = before {
                        course.published = true;
                        writer.append(before);
                    }
                    return Finish { outcome, failure, last };
                }
            }
        }
        if course.recorded + course.recorder.rest().len() > super::LARGEST_RECORDING {
            return Finish::failed(Outcome::Cut, Failure::TooLarge);
        }
        if flow.is_break() {
            return Finish::failed(Outcome::Cut, StreamError::Cut);
        }
    }
}

impl Exchange {
    fn keeps_bodies(&self) -> bool {
        self.keep != Keep::Totals
    }

    /// Leaves out what upstream refused by name, if that is ours to decide.
    fn heal(&mut self, refusal: &str) -> Option<(Remedy, bool)> {
        let translate::Healed { request, remedy, lasts } =
            translate::heal(self.request.as_deref()?, refusal)?;
        tracing::warn!(
            exchange = %self.opening.exchange,
            model = self.opening.model,
            ?remedy,
            refusal,
            "upstream refused a part of the request; asking again without it"
        );
        let texts = CanonicalRequest::of(&request);
        self.outgoing.body = texts.body().into();
        // The ledger keeps what went upstream in the end.
        self.opening = Arc::new(Opening {
            breakpoints: super::sources::json_of(&request.breakpoints),
            chain: self.keeps_bodies().then(|| Arc::new(texts.chain)),
            ..Opening::clone(&self.opening)
        });
        self.request = Some(Arc::new(request));
        self.notes.push(remedy.note());
        Some((remedy, lasts))
    }
}

enum Counted {
    GoesOn,
    /// The event number `at` is the last.
    Ends {
        at: usize,
        outcome: Outcome,
        failure: Option<Failure>,
    },
}

fn count(tally: &mut StreamSummary, segment: &Segment) -> Counted {
    for (at, event) in segment.events().enumerate() {
        let ends = |outcome, failure| Counted::Ends { at, outcome, failure };
        if let Err(error) = tally.read(event) {
            return ends(Outcome::Failed, Some(error.into()));
        }
        if let Some(error) = tally.error() {
            let error = StreamError::Upstream(Box::new(error.clone()));
            return ends(Outcome::Failed, Some(error.into()));
        }
        if tally.ended() {
            return ends(Outcome::Complete, None);
        }
    }
    Counted::GoesOn
}
