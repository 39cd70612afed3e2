//! Records of calls: begun when a call comes in, finished once, with the log line of the call.

use uuid::Uuid;

use super::{Failure, failure::response_status, live::AnswerTotals};
use crate::{
    domain::{
        exchange::{
            AnsweredBy, CallId, Cost, ExchangeId, Micros, NanoDollars, Outcome, UnixMillis,
        },
        prepare::{Caller, PreparedRequest},
    },
    store::{CallRecord, Sealing},
};

/// Begins the record of a call that `exchange` answers.
pub(super) fn begin(
    request: &PreparedRequest,
    caller: Caller,
    at: UnixMillis,
    answered_by: AnsweredBy,
    exchange: ExchangeId,
) -> CallRecord {
    let (id, model) = (CallId::new(Uuid::now_v7()), request.upstream.model().to_owned());
    let notes = request.upstream.notes();
    CallRecord {
        stream: request.stream.is_some(),
        user: request.user.clone(),
        chat: caller.chat,
        message: caller.message,
        user_message: caller.user_message,
        task: request.task.clone(),
        client: caller.client,
        tags: request.tags.clone(),
        client_key: caller.key_name,
        notes: if notes.is_empty() { None } else { serde_json::to_string(notes).ok() },
        client_chain: request.client_chain.clone(),
        exchange: Some(exchange),
        ..CallRecord::new(id, at, answered_by, request.upstream.api(), request.key, model)
    }
}

/// End of a call.
#[derive(Debug)]
pub(super) struct CallEnd<'a> {
    /// Totals of the answer.
    pub totals: AnswerTotals,
    pub failure: Option<&'a Failure>,
    /// True if a part of the answer was there for the client.
    pub published: bool,
    pub ttft: Option<Micros>,
    pub total: Micros,
    /// The sealing of the call's own last exchange.
    pub sealing: Option<&'a Sealing>,
}

/// Finishes a record, and writes the log line of the call.
pub(super) fn finish(begun: CallRecord, end: CallEnd<'_>) -> CallRecord {
    let CallEnd { totals, failure, published, ttft, total, sealing } = end;
    let AnswerTotals { exchange, outcome, model, tokens, cost } = totals;
    // A client that asked for no stream has got nothing before the end.
    let published = published && begun.stream;
    let status = match failure {
        Some(failure) if !published => Some(response_status(begun.api, Some(failure))),
        None if outcome != Outcome::Complete && !published => None,
        _ => Some(response_status(begun.api, None)),
    };
    let free = Cost::Exact(NanoDollars(0));
    let (cost, saved) = match begun.answered_by.is_reuse() {
        true if outcome == Outcome::Complete => (free, cost),
        true => (free, free),
        false => (cost, free),
    };
    let call = CallRecord {
        exchange: exchange.or(begun.exchange),
        model: model.map_or(begun.model, |served| (*served).to_owned()),
        status,
        outcome,
        error_kind: failure.map(|failure| failure.kind().to_owned()),
        ttft,
        total: Some(total),
        tokens,
        cost,
        saved,
        ..begun
    };
    tracing::info!(
        call = %call.id,
        exchange = call.exchange.map(tracing::field::display),
        answered_by = %call.answered_by,
        %outcome,
        model = call.model,
        stop_reason = sealing.and_then(|sealing| sealing.stop_reason.as_deref()),
        error_kind = call.error_kind,
        error = failure.map(Failure::without_content),
        task = call.task,
        notes = call.notes,
        prompt_tokens = tokens.prompt(),
        output_tokens = tokens.output,
        cost_nano_dollars = cost.amount().map(|amount| amount.0),
        saved_nano_dollars = saved.amount().map(|amount| amount.0),
        ttft_us = ttft.map(|ttft| ttft.0),
        total_us = total.0,
        upstream_request = sealing.and_then(|sealing| sealing.upstream_request.as_deref()),
        "call answered"
    );
    call
}
