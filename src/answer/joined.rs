//! A call that joined the exchange of another: it costs nothing, and has a row of its own.

use std::time::Instant;

use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{
    failure::response_status,
    live::{End, Totals},
};
use crate::{
    domain::{
        cache::CacheKey,
        exchange::{Cost, ExchangeId, Micros, NanoDollars, Outcome, Tokens},
    },
    store::{CallFacts, CallRow, Ledger},
};

/// One who reads along.
#[derive(Debug)]
pub(super) struct JoinedCall {
    pub ledger: Ledger,
    pub facts: CallFacts,
    pub key: CacheKey,
    pub exchange: ExchangeId,
    /// The model that was asked.
    pub model: String,
    pub came: Instant,
    pub ttft: Option<Micros>,
    /// The ledger is not closed before the call has its row.
    pub running: TaskTrackerToken,
}

impl JoinedCall {
    /// There is something to read.
    pub(super) fn begins(&mut self) {
        self.ttft.get_or_insert_with(|| self.came.elapsed().into());
    }

    /// The call ends, with the answer or before it.
    pub(super) fn leaves(self, end: Option<End>) {
        let Self { ledger, facts, key, exchange, model, came, ttft, running } = self;
        // Who wants the whole answer has seen nothing until it is whole.
        let seen = facts.stream && ttft.is_some();
        let status = match &end {
            Some(End::Failed(failure, _)) if !seen => {
                Some(response_status(facts.door, Some(failure)))
            }
            None if !seen => None,
            _ => Some(response_status(facts.door, None)),
        };
        let nothing = Totals {
            exchange: None,
            outcome: Outcome::Stopped,
            model: None,
            tokens: Tokens::default(),
            cost: Cost::Exact(NanoDollars(0)),
        };
        let free = Cost::Exact(NanoDollars(0));
        let (totals, saved, error_kind) = match end {
            Some(End::Whole(totals)) => {
                let saved = totals.cost;
                (totals, saved, None)
            }
            Some(End::Failed(failure, totals)) => (totals, free, Some(failure.kind().to_owned())),
            None => (nothing, free, None),
        };
        let Totals { exchange: last, outcome, model: served, tokens, cost: _ } = totals;
        // An answer that paused ends with another exchange than it began with.
        let exchange = last.unwrap_or(exchange);
        let row = CallRow {
            key,
            exchange: Some(exchange),
            status,
            outcome,
            error_kind,
            ttft,
            total: Some(came.elapsed().into()),
            model: served.map_or(model, |served| (*served).to_owned()),
            tokens,
            cost: free,
            saved,
            facts,
        };
        tracing::info!(
            call = %row.facts.id,
            %exchange,
            answered_by = %row.facts.answered_by,
            %outcome,
            model = row.model,
            task = row.facts.task,
            notes = row.facts.notes,
            prompt_tokens = tokens.prompt(),
            output_tokens = tokens.output,
            saved_nano_dollars = saved.amount().map(|amount| amount.0),
            ttft_us = ttft.map(|ttft| ttft.0),
            total_us = row.total.map(|total| total.0),
            "call answered"
        );
        ledger.record(row);
        drop(running);
    }
}
