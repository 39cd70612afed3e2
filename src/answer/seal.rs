//! Sealing of exchanges: turns a finished attempt into its row in the ledger, and finishes the call with it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Answers, Failure, UpstreamFailure,
    attempt::Attempt,
    budget::Reservation,
    call::{self, CallEnd},
    exchange::OutgoingExchange,
    live::{AnswerTotals, End},
};
use crate::{
    domain::{
        anthropic::{StreamError, StreamSummary},
        budget::{Spender, Spent},
        cache::Keep,
        catalog,
        exchange::{AnswerRef, Cost, Micros, Outcome, Tokens},
        price::{Bill, Pricing},
        recording::Recording,
    },
    store::{CallRecord, Sealing},
    upstream,
};

/// Pause between warnings of the same kind about answers of upstream.
const WARNING_PAUSE: Duration = Duration::from_mins(1);

/// The exchanges of an answer before the current one.
pub(super) struct PriorParts {
    /// The estimated cost of the call.
    reservation: Reservation,
    pub count: usize,
    /// Number of segments that they recorded.
    pub segments: usize,
    tries: u32,
    tokens: Tokens,
    /// `None` before the first.
    cost: Option<Cost>,
    pricing: Pricing,
    refs: Vec<AnswerRef>,
    began: Option<Instant>,
    ttft: Option<Micros>,
}

impl PriorParts {
    /// Before the first.
    pub(super) fn new(reservation: Reservation) -> Self {
        Self {
            reservation,
            count: 0,
            segments: 0,
            tries: 0,
            tokens: Tokens::default(),
            cost: None,
            pricing: Pricing::default(),
            refs: Vec::new(),
            began: None,
            ttft: None,
        }
    }

    /// Their cost together with that of one more.
    fn cost_with(&self, cost: Cost) -> Cost {
        self.cost.map_or(cost, |prior| prior.plus(cost))
    }
}

/// Seals an exchange that paused, and adds it to `prior`. The call goes on.
pub(super) fn part(
    answers: &Answers,
    exchange: &OutgoingExchange,
    mut attempt: Attempt,
    prior: &mut PriorParts,
    recording: Recording,
) -> Sealing {
    prior.began.get_or_insert(attempt.began);
    prior.ttft = prior.ttft.or(attempt.ttft());
    prior.refs.append(&mut attempt.summary.take_refs());
    let sealing = seal(answers, exchange, attempt, Outcome::Complete, None, recording, None);
    prior.tries += sealing.tries;
    prior.tokens += sealing.tokens;
    prior.cost = Some(prior.cost_with(sealing.cost));
    prior.pricing.add(&sealing.pricing);
    tracing::info!(
        call = %exchange.opening.call.id,
        exchange = %exchange.opening.exchange,
        model = sealing.model_served.as_deref().unwrap_or(&exchange.opening.model),
        prompt_tokens = sealing.tokens.prompt(),
        output_tokens = sealing.tokens.output,
        cost_nano_dollars = sealing.cost.amount().map(|amount| amount.0),
        ttft_us = sealing.ttft.map(|ttft| ttft.0),
        total_us = sealing.total.map(|total| total.0),
        upstream_request = sealing.upstream_request,
        "answer paused, asking upstream to continue"
    );
    Sealing { servable: false, ..sealing }
}

/// Seals the last exchange of an answer and finishes its call. Returns the end for the readers, too.
pub(super) fn last(
    answers: &Answers,
    exchange: &OutgoingExchange,
    mut attempt: Attempt,
    outcome: Outcome,
    failure: Option<Failure>,
    mut prior: PriorParts,
    recording: Recording,
) -> (Sealing, End) {
    let began = prior.began.unwrap_or(attempt.began);
    let ttft = prior.ttft.or(attempt.ttft());
    let published = attempt.published();
    let own_refs = attempt.summary.take_refs();
    let reservation = Some(&mut prior.reservation);
    let failed = failure.as_ref();
    let mut sealing = seal(answers, exchange, attempt, outcome, failed, recording, reservation);
    let mut tokens = prior.tokens;
    tokens += sealing.tokens;
    let totals = AnswerTotals {
        exchange: Some(exchange.opening.exchange),
        outcome,
        model: sealing.model_served.as_deref().map(Arc::from),
        tokens,
        cost: prior.cost_with(sealing.cost),
    };
    answers.chats.settle(&exchange.opening.call, totals.cost);
    let mut call = exchange.opening.call.clone();
    if !exchange.notes.is_empty() {
        call.notes = serde_json::to_string(&exchange.notes).ok();
    }
    let end = CallEnd {
        totals: totals.clone(),
        failure: failure.as_ref(),
        published,
        ttft,
        total: began.elapsed().into(),
        sealing: Some(&sealing),
    };
    let tries = prior.tries + sealing.tries;
    let mut pricing = prior.pricing;
    pricing.add(&sealing.pricing);
    let call = CallRecord { tries, pricing, ..call::finish(call, end) };
    answers.observer.ended(&call);
    sealing.call = Some(call);
    if exchange.keep != Keep::Totals {
        sealing.refs = prior.refs;
        sealing.refs.extend(own_refs);
    }
    let end = match failure {
        Some(failure) => End::Failed(Arc::new(failure), totals),
        None if outcome == Outcome::Complete => End::Complete(totals),
        None => End::Failed(Arc::new(StreamError::Cut.into()), totals),
    };
    (sealing, end)
}

fn seal(
    answers: &Answers,
    exchange: &OutgoingExchange,
    attempt: Attempt,
    outcome: Outcome,
    failure: Option<&Failure>,
    recording: Recording,
    ended: Option<&mut Reservation>,
) -> Sealing {
    let ttft = attempt.ttft();
    let Attempt { began, summary, failed, tries, request_id, status, head, .. } = attempt;
    let catalog = answers.catalog();
    // The price is that of the day on which the exchange ends.
    let ended_at = super::now();
    let day = catalog::day_of(ended_at);
    let asked = &*exchange.opening.model;
    let bill_of = |summary: &StreamSummary| summary.bill(asked, &catalog);
    let warnings = &answers.warnings;
    if summary.has_doubtful_counts() && warnings.doubtful_counts.is_due(ended_at, WARNING_PAUSE) {
        tracing::warn!(
            exchange = %exchange.opening.exchange,
            "upstream counted tokens that cannot be right; they are left out, and the cost is a lower bound"
        );
    }
    if summary.is_odd() && warnings.odd_order.is_due(ended_at, WARNING_PAUSE) {
        tracing::warn!(
            exchange = %exchange.opening.exchange,
            "upstream sent its events out of order; the answer is not served again"
        );
    }
    // Fixtures cost nothing.
    let is_billed = answers.upstream.is_billed(&head);
    let mut bill = match (outcome, failure) {
        _ if !is_billed => Bill::default(),
        // A try that failed may have been answered and billed.
        _ if tries.may_be_billed() => bill_of(&summary).at_least(),
        (Outcome::Complete, _) => bill_of(&summary),
        // No answer, no bill, whatever the price of the model.
        (
            _,
            Some(Failure::Upstream(UpstreamFailure {
                error:
                    upstream::Error::Refused { .. }
                    | upstream::Error::Redirected { .. }
                    | upstream::Error::Connect(_)
                    | upstream::Error::NotRecorded { .. },
                ..
            })),
        ) => Bill::default(),
        _ => bill_of(&summary).at_least(),
    };
    let also_billed = failed.iter().filter(|_| is_billed);
    also_billed.map(bill_of).for_each(|more| bill.add(more));
    let charge = catalog.charge(&bill, asked, day);
    let mut tokens = summary.tokens();
    for failed in &failed {
        tokens += failed.tokens();
    }
    // Before the client sees the end: its next call is checked against this cost.
    if is_billed {
        let call = &exchange.opening.call;
        let (user, key) = (call.user.as_deref(), call.client_key.as_deref());
        let spender = Spender { user, key, model: summary.model().unwrap_or(asked) };
        answers.budget.settle(call.at, spender, Spent::from(&charge), tokens.output, ended);
    }
    let sealing = Sealing {
        outcome,
        stop_reason: summary.stop_reason().map(str::to_owned),
        error_kind: failure.map(|failure| failure.kind().to_owned()),
        error: failure.map(ToString::to_string),
        status,
        upstream_request: request_id,
        model_served: summary.model().map(str::to_owned),
        ended_at,
        ttft,
        total: Some(began.elapsed().into()),
        tokens,
        tries: tries.sent(),
        cost: charge.cost,
        pricing: charge.pricing,
        bill: Some(bill.encode(summary.model().unwrap_or(asked), &tokens)),
        priced_on: Some(catalog.priced_on(day).to_string()),
        servable: exchange.keep == Keep::Answer
            && exchange.opening.continues.is_none()
            && (summary.is_servable()
                || answers.settings.cache.stores_answer(true) && summary.is_good()),
        recording: (exchange.keep != Keep::Totals
            && (summary.began() || summary.error().is_some()))
        .then(|| Arc::new(recording)),
        refs: Vec::new(),
        call: None,
    };
    answers.observer.sealed(&exchange.opening, &sealing);
    sealing
}
