//! A fixture as the rows of an exchange in the ledger.
//!
//! Ids are made from the content and the key, so that a fixture that was imported before is known, and is imported again
//! where other settings give it another key. An import costs nothing, and in reports no client made a call.

use std::sync::Arc;

use uuid::Builder;

use crate::{
    domain::{
        anthropic::StreamSummary,
        cache::{IdentityProof, KeyHolder},
        cassette::Cassette,
        chain::Hash,
        exchange::{AnsweredBy, CallId, Cost, ExchangeId, NanoDollars, Outcome, UnixMillis},
        prepare::{Caller, PrepareContext, PreparedRequest},
        price::Pricing,
        translate::Originals,
    },
    fixture::Fixture,
    store::{CallRecord, Opening, Sealing},
};

/// The settings of an import.
#[derive(Debug, Clone, Copy)]
pub struct Importer<'a> {
    /// The holder of the client key whose repeats are answered.
    pub holder: &'a KeyHolder,
    /// The trust in a user whom a request names.
    pub vouched: IdentityProof,
    /// The settings that requests are prepared with.
    pub context: PrepareContext<'a>,
    /// The earlier answers that requests may name.
    pub originals: &'a Originals,
    /// The time of fixtures without a day.
    pub now: UnixMillis,
}

impl Importer<'_> {
    /// The rows of a fixture at this position among the imported ones. `None` if there is no client's request, if a
    /// server would not answer it from the ledger, or if the answer is not complete.
    pub fn rows(&self, fixture: &Fixture, position: usize) -> Option<(Opening, Sealing)> {
        let Self { holder, vouched, context, originals, now } = self;
        let cassette = fixture.cassette.as_ref().filter(|cassette| !cassette.has_wildcards())?;
        let client = cassette.client.as_ref()?;
        let caller = Caller { vouched: *vouched, ..client.caller((*holder).clone()) };
        let prepared = cassette.prepare(&caller, context, originals)?.ok()?;
        if !prepared.is_kept(&caller) {
            return None;
        }
        let recording = cassette.recording();
        let mut summary = StreamSummary::default();
        recording.events().try_for_each(|event| summary.read(event).map(drop)).ok()?;
        if !summary.ended() {
            return None;
        }
        let PreparedRequest { upstream, key, scope, user, task, client_chain, .. } = prepared;
        let recorded = moment(cassette, position);
        let at = recorded.unwrap_or(*now);
        let content = Hash::of("fixture", &[cassette.render().text.as_bytes(), key.as_bytes()]);
        let id = |row: &str| {
            let hash = Hash::of(row, &[holder.as_str().as_bytes(), content.as_bytes()]);
            let random = hash.as_bytes().first_chunk().copied().unwrap_or_default();
            let millis = recorded.and_then(|at| u64::try_from(at.0).ok()).unwrap_or(0);
            Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
        };
        let free = Cost::Exact(NanoDollars(0));
        let tokens = summary.tokens();
        let status = Some(cassette.response.status);
        let (exchange, call) = (ExchangeId::new(id("exchange")), CallId::new(id("call")));
        let model = upstream.model().to_owned();
        let call = CallRecord {
            stream: true,
            user,
            chat: Some(fixture.scenario.clone()).filter(|scenario| !scenario.is_empty()),
            task,
            client: client.program.clone(),
            client_chain,
            exchange: Some(exchange),
            ..CallRecord::new(call, at, AnsweredBy::Replay, client.api, key, model.clone())
        };
        let opening = Opening {
            exchange,
            key,
            scope: scope.to_string(),
            model,
            opened_at: at,
            continues: None,
            breakpoints: None,
            headers: Some(upstream.headers().clone()),
            chain: Some(Arc::new(upstream.chain().clone())),
            call,
        };
        let sealing = Sealing {
            outcome: Outcome::Complete,
            stop_reason: summary.stop_reason().map(str::to_owned),
            error_kind: None,
            error: None,
            status,
            upstream_request: None,
            model_served: summary.model().map(str::to_owned),
            ended_at: at,
            ttft: None,
            total: None,
            // Another ledger's exchange.
            tries: 0,
            tokens,
            cost: free,
            pricing: Pricing::default(),
            bill: None,
            priced_on: None,
            servable: summary.is_servable(),
            refs: summary.take_refs(),
            recording: Some(Arc::new(recording)),
            call: None,
        };
        // Sessions show it and export takes it; reports know that nobody called.
        let sealing = sealing.with_call_of(&opening);
        Some((opening, sealing))
    }
}

/// The day of the recording, with one millisecond for each fixture before.
fn moment(cassette: &Cassette, position: usize) -> Option<UnixMillis> {
    let day: jiff::civil::Date = cassette.recorded.as_deref()?.parse().ok()?;
    let midnight = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond();
    Some(UnixMillis(midnight.saturating_add(i64::try_from(position).ok()?)))
}
