//! The pump: a task that belongs to the exchange and not to the client. It copies the upstream body into the
//! recording, seals it in the ledger, and only then lets the readers see the end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Answers,
    failure::Failure,
    live::{End, Writer},
};
use crate::{
    domain::{
        anthropic::{StreamError, Tally},
        exchange::{Cost, Micros, NanoDollars, Outcome},
        recording::{Recorder, Segment},
    },
    store::{Opening, Sealing},
    upstream::{self, Incoming, More, Outgoing},
};

/// How long the connection of a finished answer may take to become reusable.
const DRAIN: Duration = Duration::from_secs(1);

/// One exchange to have with upstream.
#[derive(Debug)]
pub(super) struct Exchange {
    /// Its first row in the ledger.
    pub opening: Arc<Opening>,
    /// What to send.
    pub outgoing: Outgoing,
    /// Whether bodies may be kept.
    pub keep: bool,
    /// Whether the answer may be served again, if it turns out well.
    pub servable: bool,
}

/// What is known of an exchange while it runs.
struct Course {
    began: Instant,
    ttft: Option<Micros>,
    recorder: Recorder,
    tally: Tally,
    incoming: Option<Incoming>,
    request_id: Option<String>,
    /// The status of upstream's response.
    status: Option<u16>,
    recorded: usize,
    /// Whether the readers have seen anything.
    published: bool,
    /// Whether a connection broke before the one that answers.
    broken_before: bool,
}

/// How it went.
struct Ending {
    outcome: Outcome,
    failure: Option<Failure>,
    /// What the readers may see only once it is sealed.
    last: Option<Segment>,
}

impl Ending {
    fn failed(outcome: Outcome, failure: impl Into<Failure>) -> Self {
        Self { outcome, failure: Some(failure.into()), last: None }
    }
}

/// Has the exchange, from its first row in the ledger to the end of its recording.
pub(super) async fn run(answers: Answers, exchange: Exchange, writer: Writer) {
    // Late or not, the answer goes on: the ledger has said what is wrong.
    let _ = answers.ledger.open_exchange(&exchange.opening).await;
    let mut course = Course {
        began: Instant::now(),
        ttft: None,
        recorder: Recorder::default(),
        tally: Tally::default(),
        incoming: None,
        request_id: None,
        status: None,
        recorded: 0,
        published: false,
        broken_before: false,
    };
    let ending = tokio::select! {
        biased;
        () = writer.abandoned() => Ending { outcome: Outcome::Stopped, failure: None, last: None },
        () = answers.stop.cancelled() => Ending::failed(Outcome::Stopped, Failure::ShuttingDown),
        ending = converse(&answers, &exchange.outgoing, &mut course, &writer) => ending,
    };
    // Whoever broke off hangs up at once; a finished answer's connection may be used again.
    if ending.outcome != Outcome::Complete {
        course.incoming = None;
    }
    let incoming = course.incoming.take();
    seal(&answers, &exchange, course, ending, writer).await;
    if let Some(mut incoming) = incoming {
        let drained = async {
            while matches!(incoming.read(&mut Recorder::default()).await, Ok(More::Yes)) {}
        };
        let _ = tokio::time::timeout(DRAIN, drained).await;
    }
}

async fn converse(
    answers: &Answers,
    outgoing: &Outgoing,
    course: &mut Course,
    writer: &Writer,
) -> Ending {
    let mut incoming = match answers.upstream.send(outgoing).await {
        Ok(incoming) => incoming,
        Err(error) => {
            if let upstream::Error::Refused { request_id, status, .. } = &error {
                course.request_id.clone_from(request_id);
                course.status = Some(*status);
            }
            return Ending::failed(Outcome::Failed, error);
        }
    };
    course.request_id = incoming.request_id.take();
    course.status = Some(incoming.status);
    course.broken_before = incoming.broken_before;
    let incoming = course.incoming.insert(incoming);
    loop {
        let more = match incoming.read(&mut course.recorder).await {
            Ok(more) => more,
            Err(error) => return Ending::failed(Outcome::Cut, error),
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
                    return Ending { outcome, failure, last };
                }
            }
        }
        if course.recorded + course.recorder.rest().len() > super::LARGEST_RECORDING {
            return Ending::failed(Outcome::Cut, Failure::TooLarge);
        }
        if more == More::No {
            return Ending::failed(Outcome::Cut, StreamError::Cut);
        }
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

fn count(tally: &mut Tally, segment: &Segment) -> Counted {
    for (at, event) in segment.events().enumerate() {
        let ends = |outcome, failure| Counted::Ends { at, outcome, failure };
        if let Err(error) = tally.read(event) {
            return ends(Outcome::Failed, Some(error.into()));
        }
        if let Some(error) = tally.error() {
            return ends(
                Outcome::Failed,
                Some(StreamError::Upstream(Box::new(error.clone())).into()),
            );
        }
        if tally.ended() {
            return ends(Outcome::Complete, None);
        }
    }
    Counted::GoesOn
}

async fn seal(
    answers: &Answers,
    exchange: &Exchange,
    course: Course,
    ending: Ending,
    writer: Writer,
) {
    let Course { began, ttft, mut tally, request_id, status, published, broken_before, .. } =
        course;
    let Ending { outcome, failure, last } = ending;
    let opening = &exchange.opening;
    let catalog = answers.catalog();
    let tokens = tally.tokens();
    let billed = catalog.cost(tally.model().unwrap_or(&opening.model), &tokens, tally.terms());
    let cost = match (outcome, &failure) {
        // An earlier try whose connection broke may have been answered, and billed, unseen.
        _ if broken_before => billed.at_least(),
        (Outcome::Complete, _) => billed,
        // Nobody answered, and nobody is billed, whatever the model would have cost.
        (
            _,
            Some(Failure::Upstream(upstream::Error::Refused { .. } | upstream::Error::Connect(_))),
        ) => Cost::Exact(NanoDollars(0)),
        _ => billed.at_least(),
    };
    let status_of = answers.settings.status_of;
    // Who wants the whole answer has seen nothing until it is whole.
    let begun = published && opening.call.stream;
    let call_status = match &failure {
        Some(failure) if !begun => Some(status_of(Some(failure))),
        None if outcome != Outcome::Complete && !begun => None,
        _ => Some(status_of(None)),
    };
    let sealing = Sealing {
        outcome,
        stop_reason: tally.stop_reason().map(str::to_owned),
        error_kind: failure.as_ref().map(|failure| failure.kind().to_owned()),
        error: failure.as_ref().map(ToString::to_string),
        status,
        upstream_request: request_id,
        model_served: tally.model().map(str::to_owned),
        ended_at: super::now(),
        ttft,
        total: Some(began.elapsed().into()),
        tokens,
        cost,
        priced_on: Some(catalog.prices_as_of().to_owned()),
        servable: exchange.servable && tally.is_servable(),
        recording: (exchange.keep && tally.began())
            .then(|| Arc::new(writer.recording(last.as_ref()))),
        refs: if exchange.keep { tally.take_refs() } else { Vec::new() },
        call_status,
    };
    log(opening, &sealing);
    let _ = answers.ledger.seal(opening, sealing).await;
    let end = match failure {
        Some(failure) => End::Failed(Arc::new(failure)),
        None if outcome == Outcome::Complete => End::Whole { cost, tokens },
        None => End::Failed(Arc::new(StreamError::Cut.into())),
    };
    writer.end(last, end);
}

/// One line a call, at its end, with all fields.
fn log(opening: &Opening, sealing: &Sealing) {
    let call = &opening.call;
    tracing::info!(
        call = %call.id,
        exchange = %opening.exchange,
        answered_by = %call.answered_by,
        outcome = %sealing.outcome,
        model = sealing.model_served.as_deref().unwrap_or(&opening.model),
        stop_reason = sealing.stop_reason,
        error_kind = sealing.error_kind,
        error = sealing.error,
        task = call.task,
        notes = call.notes,
        prompt_tokens = sealing.tokens.prompt(),
        output_tokens = sealing.tokens.output,
        cost_nano_dollars = sealing.cost.amount().map(|amount| amount.0),
        ttft_us = sealing.ttft.map(|ttft| ttft.0),
        total_us = sealing.total.map(|total| total.0),
        upstream_request = sealing.upstream_request,
        "call answered"
    );
}
