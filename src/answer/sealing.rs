//! What the ledger and the log are told of an exchange that has ended.

use std::sync::Arc;

use super::{
    Answers,
    failure::{Failure, response_status},
    live::{End, Totals},
    pump::{Attempt, Exchange, PriorParts},
};
use crate::{
    domain::{
        anthropic::StreamError,
        cache::Keep,
        catalog,
        exchange::{Cost, NanoDollars, Outcome},
        recording::Recording,
    },
    store::{CallEnd, Opening, Sealing},
    upstream,
};

/// Of an exchange that paused and is continued. Its call goes on.
pub(super) fn part(
    answers: &Answers,
    exchange: &Exchange,
    mut course: Attempt,
    earlier: &mut PriorParts,
    recording: Recording,
) -> Sealing {
    earlier.began.get_or_insert(course.began);
    earlier.ttft = earlier.ttft.or(course.ttft);
    earlier.refs.append(&mut course.tally.take_refs());
    let sealing = seal(answers, exchange, course, Outcome::Complete, None, recording);
    pay(answers, exchange, sealing.cost);
    earlier.tokens += sealing.tokens;
    earlier.cost = Some(earlier.together(sealing.cost));
    log(&exchange.opening, &sealing);
    Sealing { servable: false, ..sealing }
}

/// Of the exchange that an answer ends with; and the end that its readers see.
pub(super) fn last(
    answers: &Answers,
    exchange: &Exchange,
    mut course: Attempt,
    (outcome, failure): (Outcome, Option<Failure>),
    mut earlier: PriorParts,
    recording: Recording,
) -> (Sealing, End) {
    let mut refs = std::mem::take(&mut earlier.refs);
    refs.append(&mut course.tally.take_refs());
    let began = earlier.began.unwrap_or(course.began);
    // Who wants the whole answer has seen nothing until it is whole.
    let is_seen = course.published && exchange.opening.call.stream;
    let status_of = |failure| response_status(exchange.opening.call.door, failure);
    let status = match &failure {
        Some(failure) if !is_seen => Some(status_of(Some(failure))),
        None if outcome != Outcome::Complete && !is_seen => None,
        _ => Some(status_of(None)),
    };
    let ttft = earlier.ttft.or(course.ttft);
    let sealing = seal(answers, exchange, course, outcome, failure.as_ref(), recording);
    pay(answers, exchange, sealing.cost);
    let cost = earlier.together(sealing.cost);
    let mut tokens = earlier.tokens;
    tokens += sealing.tokens;
    let call = CallEnd {
        status,
        ttft,
        total: Some(began.elapsed().into()),
        tokens,
        cost,
        notes: if exchange.notes.is_empty() {
            None
        } else {
            serde_json::to_string(&exchange.notes).ok()
        },
    };
    let refs = if exchange.keep == Keep::Totals { Vec::new() } else { refs };
    let sealing = Sealing { refs, call: Some(call), ..sealing };
    log(&exchange.opening, &sealing);
    let model = sealing.model_served.as_deref().map(Arc::from);
    let exchange = Some(exchange.opening.exchange);
    let totals = Totals { exchange, outcome, model, tokens, cost };
    let end = match failure {
        Some(failure) => End::Failed(Arc::new(failure), totals),
        None if outcome == Outcome::Complete => End::Whole(totals),
        None => End::Failed(Arc::new(StreamError::Cut.into()), totals),
    };
    (sealing, end)
}

/// Before the client sees the end: its next call finds what this one cost.
fn pay(answers: &Answers, exchange: &Exchange, cost: Cost) {
    // Fixtures cost nothing.
    if answers.upstream.replay().is_none() {
        let call = &exchange.opening.call;
        answers.budget.pay(call.at, call.user.as_deref(), cost);
    }
}

impl PriorParts {
    /// What they cost together with one more.
    fn together(&self, cost: Cost) -> Cost {
        self.cost.map_or(cost, |earlier| earlier.plus(cost))
    }
}

fn seal(
    answers: &Answers,
    exchange: &Exchange,
    course: Attempt,
    outcome: Outcome,
    failure: Option<&Failure>,
    recording: Recording,
) -> Sealing {
    let Attempt { began, ttft, tally, request_id, status, broken_before, .. } = course;
    let catalog = answers.catalog();
    let tokens = tally.tokens();
    let model = tally.model().unwrap_or(&exchange.opening.model);
    // At the price of the day, also where that begins while this runs.
    let (ended_at, terms) = (super::now(), tally.terms());
    let day = catalog::day_of(ended_at);
    let billed = catalog.cost_on(model, &tokens, terms, day);
    let cost = match (outcome, failure) {
        // An earlier try whose connection broke may have been answered, and billed, unseen.
        _ if broken_before || tally.costs_more() => billed.at_least(),
        (Outcome::Complete, _) => billed,
        // Nobody answered, and nobody is billed, whatever the model would have cost.
        (
            _,
            Some(Failure::Upstream(
                upstream::Error::Refused { .. }
                | upstream::Error::Connect(_)
                | upstream::Error::NotRecorded { .. },
            )),
        ) => Cost::Exact(NanoDollars(0)),
        _ => billed.at_least(),
    };
    Sealing {
        outcome,
        stop_reason: tally.stop_reason().map(str::to_owned),
        error_kind: failure.map(|failure| failure.kind().to_owned()),
        error: failure.map(ToString::to_string),
        status,
        upstream_request: request_id,
        model_served: tally.model().map(str::to_owned),
        ended_at,
        ttft,
        total: Some(began.elapsed().into()),
        tokens,
        cost,
        priced_on: Some(catalog.priced_on(day).to_string()),
        servable: exchange.keep == Keep::Answer
            && exchange.opening.continues.is_none()
            && (tally.is_servable() || answers.settings.cache.keeps(true) && tally.is_good()),
        recording: (exchange.keep != Keep::Totals && tally.began()).then(|| Arc::new(recording)),
        refs: Vec::new(),
        call: None,
    }
}

/// One line a call, at its end, with all fields; and one for each part of an answer that paused.
fn log(opening: &Opening, sealing: &Sealing) {
    let call = &opening.call;
    let notes = sealing.call.as_ref().and_then(|call| call.notes.as_deref());
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
        notes = notes.or(call.notes.as_deref()),
        prompt_tokens = sealing.tokens.prompt(),
        output_tokens = sealing.tokens.output,
        cost_nano_dollars = sealing.cost.amount().map(|amount| amount.0),
        ttft_us = sealing.ttft.map(|ttft| ttft.0),
        total_us = sealing.total.map(|total| total.0),
        upstream_request = sealing.upstream_request,
        "{}",
        if sealing.call.is_some() { "call answered" } else { "answer paused, asking to go on" }
    );
}
