//! Calls that reuse the answer to another call: a stored recording, or an exchange in flight. They cost nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{
    Answer, Answers,
    call::{self, CallEnd},
    live::{self, AnswerTotals, End, ReaderHook, RecordingReader},
    observe::CallObserver,
};
use crate::{
    domain::{
        cache::{Freshness, Verdict},
        catalog::day_of,
        exchange::{AnsweredBy, Api, Cost, ExchangeId, Micros, Outcome, UnixMillis},
        open_webui::{self, FromLedger, StepCount},
        prepare::{Caller, PreparedRequest},
    },
    store::{CallRecord, Ledger, Stored},
};

impl Answers {
    /// Serves an answer of the ledger. The call is finished at once.
    pub(super) async fn hit(
        &self,
        stored: Stored,
        freshness: Freshness,
        request: &PreparedRequest,
        caller: Caller,
        (at, arrived): (UnixMillis, Instant),
    ) -> Answer {
        let cost = self.cost_again(&stored, freshness.age);
        let Stored { exchange, recording, model_served, stop_reason, tokens, .. } = stored;
        let calls_tools = stop_reason.as_deref() == Some("tool_use");
        let (is_watched, steps) = self.count_step(request, &caller, Some(cost));
        let part = match steps {
            _ if calls_tools => FromLedger::Step,
            Some(steps) if steps.steps > 1 => FromLedger::Steps(steps),
            _ if request.follows_tools => FromLedger::Step,
            _ => FromLedger::Whole,
        };
        let status_line = is_watched.then(|| open_webui::status_line(part, freshness.age, cost));
        let begun = call::begin(request, caller, at, AnsweredBy::Hit, exchange);
        let (outcome, model) = (Outcome::Complete, None);
        let totals = AnswerTotals { exchange: Some(exchange), outcome, model, tokens, cost };
        // A client of Anthropic's API gets the events as they were told.
        let merged = begun.api == Api::Chat;
        let reader = live::stored(recording, merged, End::Complete(totals.clone()));
        let answer = Answer::new(reader, request, &begun, exchange, Verdict::Hit(freshness));
        let took = Micros::from(arrived.elapsed());
        let end = CallEnd {
            totals,
            failure: None,
            published: true,
            ttft: Some(took),
            total: took,
            sealing: None,
        };
        let begun = CallRecord { model: model_served, ..begun };
        let call = call::finish(begun, end);
        self.observer.ended(&call);
        self.ledger.journal(&call).await;
        self.ledger.record(call);
        Answer { is_watched, status_line, ..answer }
    }

    /// Reads along with the call that an exchange was begun for. The call is finished when its reader leaves.
    pub(super) async fn join(
        &self,
        reader: RecordingReader,
        exchange: ExchangeId,
        request: &PreparedRequest,
        caller: Caller,
        (at, arrived): (UnixMillis, Instant),
    ) -> Answer {
        let (is_watched, _) = self.count_step(request, &caller, None);
        let begun = call::begin(request, caller, at, AnsweredBy::Collapsed, exchange);
        let answer = Answer::new(reader, request, &begun, exchange, Verdict::Join);
        self.ledger.journal(&begun).await;
        let joined = JoinedCall {
            ledger: self.ledger.clone(),
            observer: Arc::clone(&self.observer),
            begun,
            arrived,
            ttft: None,
            token: self.tasks.token(),
        };
        Answer { reader: answer.reader.with_hook(joined), is_watched, ..answer }
    }

    /// Returns whether a person sees status lines above the answer.
    pub(super) fn is_watched(&self, request: &PreparedRequest, caller: &Caller) -> bool {
        self.settings.status_line && caller.writes_message() && request.task.is_none()
    }

    /// Returns whether a person watches, and then the steps of the answer so far, this one included
    /// ([`super::steps::Steps::count`]).
    pub(super) fn count_step(
        &self,
        request: &PreparedRequest,
        caller: &Caller,
        saved: Option<Cost>,
    ) -> (bool, Option<StepCount>) {
        let is_watched = self.is_watched(request, caller);
        (is_watched, is_watched.then(|| self.steps.count(request, caller, saved)).flatten())
    }

    /// The cost of asking for an answer again, of this age.
    fn cost_again(&self, stored: &Stored, age: Duration) -> Cost {
        let Stored { cost, bill, model_asked, ended_at, .. } = stored;
        let again =
            |bill| self.catalog().cost_again(*cost, bill, model_asked, day_of(*ended_at), age);
        bill.as_ref().map_or(*cost, again)
    }
}

/// A call that joined an exchange in flight.
#[derive(Debug)]
struct JoinedCall {
    ledger: Ledger,
    observer: Arc<CallObserver>,
    begun: CallRecord,
    arrived: Instant,
    ttft: Option<Micros>,
    /// Keeps the ledger open until the call is recorded.
    token: TaskTrackerToken,
}

impl ReaderHook for JoinedCall {
    fn on_begin(&mut self) {
        self.ttft.get_or_insert_with(|| self.arrived.elapsed().into());
    }

    fn on_leave(self: Box<Self>, end: Option<End>) {
        let Self { ledger, observer, begun, arrived, ttft, token } = *self;
        let (totals, failure) = match end {
            Some(End::Complete(totals)) => (totals, None),
            Some(End::Failed(failure, totals)) => (totals, Some(failure)),
            None => (AnswerTotals::unknown(Outcome::Stopped), None),
        };
        let end = CallEnd {
            totals,
            failure: failure.as_deref(),
            published: ttft.is_some(),
            ttft,
            total: arrived.elapsed().into(),
            sealing: None,
        };
        let call = call::finish(begun, end);
        observer.ended(&call);
        ledger.record(call);
        drop(token);
    }
}
