//! Requests that several processes get at once: one of them asks, and the others answer with what it got, when that is in
//! the ledger. Their readers wait as those of an exchange that has not begun.
//!
//! The process that asks does not know of readers elsewhere: when its own have left, it stops, and one of the others asks.

use std::time::Instant;

use super::{
    Answers,
    call::{self, CallEnd},
    exchange::OutgoingExchange,
    live::{AnswerTotals, End, RecordingWriter},
};
use crate::{
    domain::{
        cache::Reason,
        exchange::{AnsweredBy, Outcome},
        recording::Segment,
    },
    store::{CallRecord, Claim, ClaimGuard, ClaimKey, Stored},
};

/// A request to be claimed before it is sent.
#[derive(Debug)]
pub(super) struct RequestClaim {
    pub key: ClaimKey,
    /// The reason to ask upstream.
    pub reason: Reason,
}

/// Outcome of a claim.
pub(super) enum Claimed {
    /// This process asks, and holds the claim, if there is one.
    Asks(Option<ClaimGuard>),
    /// Another process has asked. The call of this one is recorded.
    Answered { recording: Vec<Segment>, end: End },
}

impl RequestClaim {
    /// Claims the request, or waits for the answer to whoever has claimed it, as long as `writer` has readers.
    pub(super) async fn take(
        self,
        answers: &Answers,
        exchange: &OutgoingExchange,
        writer: &RecordingWriter,
    ) -> Claimed {
        let began = Instant::now();
        let opening = &exchange.opening;
        // An answer that came while this call looked for one.
        let repeats = (self.reason == Reason::Nothing).then_some((opening.key, opening.opened_at));
        let claim = tokio::select! {
            biased;
            // The exchange ends at once, and says why.
            _ = writer.cancelled() => return Claimed::Asks(None),
            () = answers.stop.cancelled() => return Claimed::Asks(None),
            claim = answers.ledger.claim(self.key, opening.exchange, repeats) => claim,
        };
        match claim {
            Claim::Granted(guard) => Claimed::Asks(Some(guard)),
            Claim::Answered(stored) => answered(answers, exchange, writer, *stored, began).await,
        }
    }
}

/// Records the call of this process as one that joined the exchange of another.
async fn answered(
    answers: &Answers,
    exchange: &OutgoingExchange,
    writer: &RecordingWriter,
    stored: Stored,
    began: Instant,
) -> Claimed {
    let Stored { exchange: other, recording, model_served, tokens, cost, .. } = stored;
    let totals = AnswerTotals {
        exchange: Some(other),
        outcome: Outcome::Complete,
        model: Some(model_served.into()),
        tokens,
        cost,
    };
    let asked = &exchange.opening.call;
    let call = CallRecord {
        answered_by: AnsweredBy::Collapsed,
        exchange: Some(other),
        reason: None,
        ..asked.clone()
    };
    let took = began.elapsed().into();
    let end = CallEnd {
        totals: totals.clone(),
        failure: None,
        published: true,
        ttft: Some(took),
        total: took,
        sealing: None,
    };
    let call = call::finish(call, end);
    answers.observer.ended(&call);
    answers.ledger.journal(&call).await;
    if let Some(chat) = &call.chat {
        answers.inflight.lock().mark_answered(call.key, chat);
    }
    answers.ledger.record(call);
    writer.answered_by(other);
    let segments = recording.recording().segments(0);
    let recording = segments.iter().map(|segment| Segment::clone(segment)).collect();
    Claimed::Answered { recording, end: End::Complete(totals) }
}
