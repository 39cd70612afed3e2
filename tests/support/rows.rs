//! Rows of a ledger with defaults; a test overrides with `..` what it is about.

use std::sync::Arc;

use reprise::{
    domain::{
        cache::CacheKey,
        chain::Hash,
        exchange::{
            AnsweredBy, Api, CallId, Cost, ExchangeId, Micros, Outcome, OwnerId, Tokens, UnixMillis,
        },
        price::Pricing,
        recording::{Recorder, Recording},
    },
    store::{CallRecord, Opening, Sealing},
};
use uuid::Uuid;

/// A clock that is behind no row.
pub(crate) const LATE: UnixMillis = UnixMillis(i64::MAX);

pub(crate) fn owner(n: u128) -> OwnerId {
    OwnerId::new(Uuid::from_u128(n))
}

pub(crate) fn exchange_id(n: u128) -> ExchangeId {
    ExchangeId::new(Uuid::from_u128(n))
}

pub(crate) fn key(n: u128) -> CacheKey {
    CacheKey::from_bytes(*Hash::of("test", &[&n.to_be_bytes()]).as_bytes())
}

/// A streamed call, begun and not finished.
pub(crate) fn call(n: u128, at: UnixMillis, answered_by: AnsweredBy, model: &str) -> CallRecord {
    let id = CallId::new(Uuid::from_u128(n));
    let begun = CallRecord::new(id, at, answered_by, Api::Chat, key(n), model.to_owned());
    CallRecord { stream: true, ..begun }
}

/// The opening of the exchange `n`, without bodies, for this call.
pub(crate) fn opening(n: u128, call: CallRecord) -> Opening {
    Opening {
        exchange: exchange_id(n),
        key: call.key,
        scope: "client 0".to_owned(),
        model: call.model.clone(),
        opened_at: call.at,
        continues: None,
        breakpoints: None,
        headers: None,
        chain: None,
        call,
    }
}

/// The sealing of a complete exchange, without bodies and without its call.
pub(crate) fn sealing(ended_at: UnixMillis, tokens: Tokens, cost: Cost) -> Sealing {
    Sealing {
        outcome: Outcome::Complete,
        stop_reason: None,
        error_kind: None,
        error: None,
        status: Some(200),
        upstream_request: None,
        model_served: None,
        ended_at,
        ttft: Some(Micros(1_000)),
        total: Some(Micros(2_000)),
        tries: 1,
        tokens,
        cost,
        pricing: Pricing::default(),
        bill: None,
        priced_on: None,
        servable: false,
        recording: None,
        refs: Vec::new(),
        call: None,
    }
}

/// A recording of one event with this text.
pub(crate) fn recording(text: &str) -> Arc<Recording> {
    let mut recorder = Recorder::default();
    recorder.push(format!("event: a\ndata: {text}\n\n").as_bytes());
    let mut recording = Recording::default();
    recording.append(Arc::new(recorder.cut(Micros(7)).expect("an event")));
    Arc::new(recording)
}
