//! The three sources of an answer, each as a reader of a recording: the ledger, an exchange that is running, Claude.

use std::{sync::Arc, time::Instant};

use uuid::Uuid;

use super::{
    Answer, Answers, By,
    inflight::Ticket,
    joined::JoinedCall,
    live::{self, End, Reader, Totals},
    playback::Payer,
    prepare::{Access, facts},
    pump::{self, Exchange},
};
use crate::{
    domain::{
        anthropic::{self, CanonicalRequest},
        cache::{CacheKey, Freshness, Keep},
        exchange::{
            AnsweredBy, CallId, Cost, ExchangeId, Micros, NanoDollars, Outcome, UnixMillis,
        },
        open_webui::{self, Share},
        prepare::{Caller, PreparedRequest},
        recording::Recording,
    },
    store::{CallRow, Opening, Stored},
    upstream::Outgoing,
};

impl Answers {
    /// Serves what the ledger has.
    pub(super) fn serve(
        &self,
        stored: Stored,
        freshness: Freshness,
        question: &PreparedRequest,
        asker: Caller,
        (at, came): (UnixMillis, Instant),
    ) -> Answer {
        let call = CallId::new(Uuid::now_v7());
        let Stored { exchange, recording, model_served, stop_reason, tokens, cost, .. } = stored;
        let took = Micros::from(came.elapsed());
        let calls_tools = stop_reason.as_deref() == Some("tool_use");
        let share = if calls_tools || question.follows_tools { Share::Step } else { Share::Answer };
        let status_line =
            self.is_told(question, &asker).then(|| open_webui::status_line(share, cost));
        let facts = facts(call, at, AnsweredBy::Hit, question, asker);
        tracing::info!(
            %call,
            %exchange,
            answered_by = %AnsweredBy::Hit,
            model = model_served,
            task = facts.task,
            notes = facts.notes,
            prompt_tokens = tokens.prompt(),
            output_tokens = tokens.output,
            saved_nano_dollars = cost.amount().map(|amount| amount.0),
            total_us = took.0,
            "call answered"
        );
        let totals = Totals {
            exchange: Some(exchange),
            outcome: Outcome::Complete,
            model: Some(Arc::from(&*model_served)),
            tokens,
            cost,
        };
        self.ledger.record(CallRow {
            facts,
            key: question.key,
            exchange: Some(exchange),
            status: Some((self.settings.status_of)(question.upstream.api(), None)),
            outcome: Outcome::Complete,
            error_kind: None,
            ttft: Some(took),
            total: Some(took),
            model: model_served,
            tokens,
            cost: Cost::Exact(NanoDollars(0)),
            saved: cost,
        });
        let reader = live::stored(Recording::clone(&recording), End::Whole(totals));
        let by = By::Ledger(freshness);
        Answer { status_line, ..question.answer(reader, call, at, exchange, by) }
    }

    /// Whether there is a person to tell something above the answer. A message id says that one is looking.
    fn is_told(&self, question: &PreparedRequest, asker: &Caller) -> bool {
        let is_watched = asker.open_webui && asker.message.is_some() && question.task.is_none();
        self.settings.status_line && is_watched
    }

    /// Reads along what another call asked for.
    pub(super) fn join(
        &self,
        reader: Reader,
        exchange: ExchangeId,
        question: &PreparedRequest,
        asker: Caller,
        (at, came): (UnixMillis, Instant),
    ) -> Answer {
        let call = CallId::new(Uuid::now_v7());
        let joined = JoinedCall {
            ledger: self.ledger.clone(),
            facts: facts(call, at, AnsweredBy::Collapsed, question, asker),
            key: question.key,
            exchange,
            model: question.upstream.model().to_owned(),
            came,
            ttft: None,
            status_of: self.settings.status_of,
            running: self.tasks.token(),
        };
        question.answer(reader.for_joined(joined), call, at, exchange, By::Running)
    }

    /// Asks upstream: a pump of its own has the exchange, and this call is its first reader.
    pub(super) fn ask(
        &self,
        order: Ticket,
        question: &PreparedRequest,
        asker: Caller,
        access: Access,
        at: UnixMillis,
    ) -> Answer {
        let Ticket { exchange, reason, keep, notice, writer, reader, seat } = order;
        let (answered_by, by, keep) = match self.upstream.replay() {
            // Fixtures are files: there is nothing to keep.
            Some(_) => (AnsweredBy::Replay, By::Fixture, Keep::Totals),
            None => (reason.answered_by(), By::Claude(reason, keep), keep),
        };
        let call = CallId::new(Uuid::now_v7());
        tracing::debug!(%call, key = %question.key, why = reason.as_str(), "asking upstream");
        let keeps_bodies = keep != Keep::Totals;
        let said = &question.upstream;
        let mut notes = said.notes().to_vec();
        let mut request = said.request();
        // What Claude refused once was taken out of the fixtures' requests, or stands in them.
        let known = match self.upstream.replay() {
            Some(_) => None,
            None => request.as_ref().and_then(|request| self.quirks.apply(request)),
        };
        let (body, chain) = match known {
            None => (said.body(), keeps_bodies.then(|| said.chain().clone())),
            Some((changed, mut more)) => {
                notes.append(&mut more);
                let texts = CanonicalRequest::of(&changed);
                request = Some(Arc::new(changed));
                (texts.body().into(), keeps_bodies.then_some(texts.chain))
            }
        };
        let told = notice.as_ref().filter(|_| self.is_told(question, &asker));
        let status_line = told.map(open_webui::budget_line);
        let (headers, Access { key, scenario }) = (said.headers().clone(), access);
        let outgoing = Outgoing { body, headers, key, scenario };
        let opening = Opening {
            exchange,
            // A hash of what must not be kept would still tell who knows the text that it was said.
            key: if keeps_bodies { question.key } else { CacheKey::of_nothing(exchange) },
            scope: question.scope.to_string(),
            model: said.model().to_owned(),
            opened_at: at,
            continues: None,
            breakpoints: request.as_ref().and_then(|request| json_of(&request.breakpoints)),
            head: Some(outgoing.headers.clone()),
            chain: chain.map(Arc::new),
            collapse: None,
            call: facts(call, at, answered_by, question, asker),
        };
        let to_have = Exchange { opening: Arc::new(opening), outgoing, request, notes, keep };
        self.tasks.spawn(pump::run(self.clone(), to_have, writer, seat));
        let answer = question.answer(reader, call, at, exchange, by);
        Answer { budget: notice, status_line, ..answer }
    }
}

impl PreparedRequest {
    /// The answer that `reader` reads.
    fn answer(
        &self,
        reader: Reader,
        call: CallId,
        at: UnixMillis,
        exchange: ExchangeId,
        by: By,
    ) -> Answer {
        let payer = match by {
            By::Ledger(_) | By::Running => Payer::AnEarlierCall,
            By::Claude(..) | By::Fixture => Payer::ThisCall,
        };
        Answer {
            reader,
            call,
            at,
            exchange,
            by,
            key: self.key,
            payer,
            budget: None,
            status_line: None,
            stream: self.stream,
            form: Arc::clone(&self.form),
        }
    }
}

/// Where the prompt was to be cached, for the ledger.
pub(super) fn json_of(breakpoints: &[anthropic::Breakpoint]) -> Option<String> {
    if breakpoints.is_empty() { None } else { serde_json::to_string(breakpoints).ok() }
}
