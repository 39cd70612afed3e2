//! The pump: a task that belongs to the exchange and not to the client. It has upstream's response copied into the
//! recording, seals it in the ledger, and only then lets the readers see the end.
//!
//! An answer may take several exchanges: one that pauses while Anthropic's own tools run is continued in another. Its
//! readers see one answer.

use std::{convert::Infallible, ops::ControlFlow, sync::Arc, time::Duration};

use super::{
    Answer, Answers, Failure,
    attempt::{Attempt, Finish},
    budget::{Admitted, Reservation},
    claim::{Claimed, RequestClaim},
    exchange::OutgoingExchange,
    inflight::{InflightGuard, Ticket},
    live::{Cancel, RecordingWriter},
    prepare::Access,
    seal::{self, PriorParts},
};
use crate::{
    domain::{
        cache::{Keep, Verdict},
        exchange::{AnsweredBy, Outcome, UnixMillis},
        open_webui,
        prepare::{Caller, PreparedRequest},
        recording::Recorder,
    },
    store::Opening,
    upstream,
};

/// Time limit for the connection of a finished answer to become reusable.
const DRAIN: Duration = Duration::from_secs(1);
/// Time after which a running exchange gets a row of its own, with its request. Most answers have ended by then, and are
/// written once.
const SHOWN_AFTER: Duration = Duration::from_secs(2);
/// Limit on continuations of an answer that pauses.
const MAX_CONTINUATIONS: usize = 5;

impl Answers {
    /// Asks upstream: spawns a pump for the exchange. The call is its first reader.
    pub(super) fn ask(
        &self,
        ticket: Ticket,
        request: &PreparedRequest,
        caller: Caller,
        access: Access,
        at: UnixMillis,
    ) -> Answer {
        let Ticket { exchange: id, reason, keep, admitted, writer, reader, claim, guard } = ticket;
        let Admitted { notice, dear, reservation } = admitted;
        let (answered_by, keep) = match self.upstream.replay() {
            // There is nothing to keep of a fixture.
            Some(_) => (AnsweredBy::Replay, Keep::Totals),
            None => (reason.answered_by(), keep),
        };
        let (is_watched, _) = self.count_step(request, &caller, None);
        let line = || match answered_by {
            AnsweredBy::Replay => Some(open_webui::replay_line()),
            _ => open_webui::question_line(dear, notice.as_ref())
                .or_else(|| request.continues_answer.then(open_webui::continue_line)),
        };
        let status_line = is_watched.then(line).flatten();
        let how = (answered_by, keep, reason, reservation.amount);
        let exchange = OutgoingExchange::first(self, request, caller, access, at, id, how);
        let call = &exchange.opening.call;
        tracing::debug!(call = %call.id, key = %request.key, why = reason.as_str(), "asking upstream");
        let answer = Answer::new(reader, request, call, id, Verdict::Ask { reason, keep });
        writer.open(Arc::clone(&exchange.opening));
        self.observer.began(&exchange.opening);
        let claim = claim.map(|key| RequestClaim { key, reason });
        self.tasks.spawn(run(self.clone(), exchange, writer, claim, guard, reservation));
        Answer { budget: notice, is_watched, status_line, ..answer }
    }
}

/// Runs an exchange from its first row in the ledger to the end of its recording, and the exchanges that continue it.
async fn run(
    answers: Answers,
    mut exchange: OutgoingExchange,
    writer: RecordingWriter,
    claim: Option<RequestClaim>,
    guard: InflightGuard,
    reservation: Reservation,
) {
    let _claim = match claim {
        None => None,
        Some(claim) => match claim.take(&answers, &exchange, &writer).await {
            Claimed::Asks(claim) => claim,
            Claimed::Answered { recording, end } => {
                drop(reservation);
                writer.end(recording, end);
                return drop(guard);
            }
        },
    };
    answers.ledger.journal_opening(&exchange.opening).await;
    let mut prior = PriorParts::new(reservation);
    loop {
        let mut attempt = Attempt::begin(prior.count > 0);
        let opening = Arc::clone(&exchange.opening);
        let finish = tokio::select! {
            biased;
            cancel = writer.cancelled() => Finish {
                outcome: Outcome::Stopped,
                failure: match cancel {
                    Cancel::Abandoned => None,
                    Cancel::Stopped => Some(Failure::StoppedByOperator),
                },
                last: None,
            },
            () = answers.stop.cancelled() => Finish::failed(Outcome::Stopped, Failure::ShuttingDown),
            finish = attempt.run(&answers, &mut exchange, &writer) => finish,
            never = show(&answers, opening) => match never {},
        };
        let Finish { outcome, failure, last } = finish;
        let incoming = attempt.incoming.take();
        // The connection of a finished answer may be used again; any other is closed at once.
        let incoming = if outcome == Outcome::Complete { incoming } else { None };
        let unseen = attempt.take_unseen(last);
        let own = writer.recording(prior.segments, &unseen);
        let is_paused = outcome == Outcome::Complete && attempt.summary.is_paused();
        let next = if is_paused && prior.count < MAX_CONTINUATIONS {
            exchange.continuation(&own)
        } else {
            None
        };
        let Some(next) = next else {
            let whole = writer.recording(0, &unseen);
            let (sealing, end) =
                seal::last(&answers, &exchange, attempt, outcome, failure, prior, own);
            let refs = if outcome == Outcome::Complete { sealing.refs.clone() } else { Vec::new() };
            let _ = answers.ledger.seal(&exchange.opening, sealing).await;
            let call = &exchange.opening.call;
            if let (Outcome::Complete, Some(chat)) = (outcome, &call.chat) {
                // The same call again finds the answer even if the ledger is late.
                answers.inflight.lock().mark_answered(call.key, chat);
            }
            writer.end(unseen, end);
            // Not before: a call that finds nothing in flight finds the answer in the ledger.
            drop(guard);
            // The next turn finds the answer even if the ledger is late.
            answers.remember(&exchange.opening.scope, refs, &whole);
            return drain(incoming).await;
        };
        // At any time, one of the two is in the ledger.
        answers.ledger.journal_opening(&next.opening).await;
        let sealing = seal::part(&answers, &exchange, attempt, &mut prior, own);
        let _ = answers.ledger.seal(&exchange.opening, sealing).await;
        writer.append(unseen);
        prior.count += 1;
        prior.segments = writer.segments();
        drain(incoming).await;
        exchange = next;
    }
}

/// Writes the row of an exchange that is still running after [`SHOWN_AFTER`]. Never returns.
async fn show(answers: &Answers, opening: Arc<Opening>) -> Infallible {
    tokio::time::sleep(SHOWN_AFTER).await;
    // If the row is late or lost, the ledger has logged it, and the answer goes on.
    let _ = answers.ledger.open_exchange(&opening).await;
    std::future::pending().await
}

/// Reads what is left of a finished answer, so that its connection becomes reusable.
async fn drain(incoming: Option<upstream::Response>) {
    let Some(mut incoming) = incoming else { return };
    let drained = async {
        while matches!(incoming.read(&mut Recorder::default()).await, Ok(ControlFlow::Continue(())))
        {
        }
    };
    let _ = tokio::time::timeout(DRAIN, drained).await;
}
