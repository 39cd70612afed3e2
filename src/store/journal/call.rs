//! Calls and openings of exchanges, as they stand in the journal.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        cache::CacheKey,
        chain::Hash,
        exchange::{CallId, Cost, ExchangeId, Micros, Outcome, Tokens, UnixMillis},
        price::Pricing,
    },
    store::record::{CallRecord, Opening},
};

/// A call with the fields that the column `running.call` does not have.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct JournaledCall<'a> {
    begun: Cow<'a, CallRecord>,
    key: Hash,
    exchange: Option<ExchangeId>,
    model: String,
    status: Option<u16>,
    outcome: Outcome,
    error_kind: Option<String>,
    ttft: Option<Micros>,
    total: Option<Micros>,
    tokens: Tokens,
    cost: Cost,
    saved: Cost,
    #[serde(default)]
    tries: u32,
    #[serde(default)]
    pricing: Pricing,
    client_frame: Option<Hash>,
    client_head: Option<Hash>,
}

/// An opening without the bodies: a request is kept once its exchange has a row.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::store) struct JournaledOpening<'a> {
    pub(in crate::store) exchange: ExchangeId,
    pub(in crate::store) opened_at: UnixMillis,
    pub(in crate::store) key: Hash,
    pub(in crate::store) scope: String,
    pub(in crate::store) model: String,
    pub(in crate::store) continues: Option<ExchangeId>,
    pub(in crate::store) call: Cow<'a, CallRecord>,
}

impl<'a> JournaledOpening<'a> {
    pub(super) fn of(opening: &'a Opening) -> Self {
        let Opening { exchange, key, scope, model, opened_at, continues, call, .. } = opening;
        Self {
            exchange: *exchange,
            opened_at: *opened_at,
            key: Hash::from_bytes(*key.as_bytes()),
            scope: scope.clone(),
            model: model.clone(),
            continues: *continues,
            call: Cow::Borrowed(call),
        }
    }
}

impl<'a> JournaledCall<'a> {
    pub(super) fn id(&self) -> CallId {
        self.begun.id
    }

    /// A call, and the frame and head of its client's request.
    pub(super) fn of(
        call: &'a CallRecord,
        (client_frame, client_head): (Option<Hash>, Option<Hash>),
    ) -> Self {
        Self {
            begun: Cow::Borrowed(call),
            key: Hash::from_bytes(*call.key.as_bytes()),
            exchange: call.exchange,
            model: call.model.clone(),
            status: call.status,
            outcome: call.outcome,
            error_kind: call.error_kind.clone(),
            ttft: call.ttft,
            total: call.total,
            tokens: call.tokens,
            cost: call.cost,
            saved: call.saved,
            tries: call.tries,
            pricing: call.pricing.clone(),
            client_frame,
            client_head,
        }
    }

    /// The call, and its client's frame and head.
    pub(super) fn call(self) -> (CallRecord, Option<Hash>, Option<Hash>) {
        let call = CallRecord {
            key: CacheKey::from_bytes(*self.key.as_bytes()),
            exchange: self.exchange,
            model: self.model,
            status: self.status,
            outcome: self.outcome,
            error_kind: self.error_kind,
            ttft: self.ttft,
            total: self.total,
            tokens: self.tokens,
            cost: self.cost,
            saved: self.saved,
            tries: self.tries,
            pricing: self.pricing,
            ..self.begun.into_owned()
        };
        (call, self.client_frame, self.client_head)
    }
}
