//! Exchanges with upstream: the request to send, and its first row in the ledger.

use std::sync::Arc;

use uuid::Uuid;

use super::{Answers, call, prepare::Access};
use crate::{
    domain::{
        anthropic::{self, CanonicalRequest, RequestMessage, Role},
        cache::{CacheKey, Keep, Reason},
        cassette::{self, RecordedCall},
        exchange::{AnsweredBy, ExchangeId, NanoDollars, UnixMillis},
        prepare::{Caller, PreparedRequest},
        recording::Recording,
        translate::{self, Note, Quirk},
    },
    store::{CallRecord, Opening},
    upstream::{self, Recordable},
};

/// One exchange with upstream.
#[derive(Debug)]
pub(super) struct OutgoingExchange {
    /// Its first row in the ledger.
    pub opening: Arc<Opening>,
    /// The request to send.
    pub outgoing: upstream::Request,
    /// The request that `outgoing` was written from; `None` for a client of Anthropic's API, whose request is not ours
    /// to change.
    pub request: Option<Arc<anthropic::Request>>,
    /// `request` before any remedy: by its parts, other requests that need the same remedies are recognized.
    translated: Option<Arc<anthropic::Request>>,
    /// Parts of the client's request that were dropped or changed.
    pub notes: Vec<Note>,
    /// The part of the exchange that is kept.
    pub keep: Keep,
}

impl OutgoingExchange {
    /// The first exchange of a call.
    pub(super) fn first(
        answers: &Answers,
        request: &PreparedRequest,
        caller: Caller,
        access: Access,
        at: UnixMillis,
        exchange: ExchangeId,
        (answered_by, keep, reason, reserved): (AnsweredBy, Keep, Reason, NanoDollars),
    ) -> Self {
        let keeps_bodies = keep != Keep::Totals;
        let said = &request.upstream;
        let mut notes = said.notes().to_vec();
        let translated = said.request();
        let mut sent = translated.clone();
        // Requests of fixtures have the remedies in them.
        let changed = match answers.upstream.replay() {
            Some(_) => None,
            None => sent.as_ref().and_then(|sent| answers.quirks.apply(sent)),
        };
        let (body, chain) = match changed {
            None => (said.body(), keeps_bodies.then(|| said.chain().clone())),
            Some((changed, mut more)) => {
                notes.append(&mut more);
                let canonical = CanonicalRequest::of(&changed);
                sent = Some(Arc::new(changed));
                (canonical.body().into(), keeps_bodies.then_some(canonical.chain))
            }
        };
        let Access { key: access_key, scenario } = access;
        let (headers, outgoing_key) = (said.headers().clone(), access_key);
        // The hash of a request that must not be kept would tell those who know the text that it was sent.
        let key = if keeps_bodies { request.key } else { CacheKey::of_nothing(exchange) };
        let call = call::begin(request, caller, at, answered_by, exchange);
        let record = if answers.upstream.records() { recordable(&call) } else { Recordable::Never };
        let outgoing = upstream::Request { body, headers, key: outgoing_key, scenario, record };
        let opening = Opening {
            exchange,
            key,
            scope: request.scope.to_string(),
            model: said.model().to_owned(),
            opened_at: at,
            continues: None,
            breakpoints: sent.as_ref().and_then(|sent| json_of(&sent.breakpoints)),
            headers: Some(outgoing.headers.clone()),
            chain: chain.map(Arc::new),
            call: CallRecord { reserved, key, reason: Some(reason.as_str().to_owned()), ..call },
        };
        Self { opening: Arc::new(opening), outgoing, request: sent, translated, notes, keep }
    }

    /// The exchange that continues a paused answer: the same request with the answer so far
    /// (`reference/anthropic-api.md` §2 `pause_turn`). `None` if it cannot be continued.
    pub(super) fn continuation(&self, recording: &Recording) -> Option<Self> {
        let mut request = anthropic::Request::clone(self.request.as_deref()?);
        let blocks = anthropic::fold(recording).ok()?.content;
        let mut content = translate::content_blocks(&blocks);
        if content.is_empty() {
            return None;
        }
        match request.messages.last_mut() {
            Some(RequestMessage { role: Role::Assistant, content: before }) => {
                before.append(&mut content);
            }
            _ => request.messages.push(RequestMessage { role: Role::Assistant, content }),
        }
        let canonical = CanonicalRequest::of(&request);
        let exchange = ExchangeId::new(Uuid::now_v7());
        let opening = Opening {
            exchange,
            opened_at: super::now(),
            continues: Some(self.opening.exchange),
            chain: self.keeps_bodies().then(|| Arc::new(canonical.chain.clone())),
            ..Opening::clone(&self.opening)
        };
        Some(Self {
            opening: Arc::new(opening),
            outgoing: upstream::Request {
                body: canonical.body().into(),
                record: self.outgoing.record.continued(),
                ..self.outgoing.clone()
            },
            request: Some(Arc::new(request)),
            translated: self.translated.clone(),
            notes: self.notes.clone(),
            keep: self.keep,
        })
    }

    /// Leaves out the part of the request that upstream's `refusal` names, if the request is ours to change. Returns the
    /// remedies.
    pub(super) fn heal(&mut self, refusal: &str) -> Option<Vec<Quirk>> {
        let (request, translated) = (self.request.as_deref()?, self.translated.as_deref()?);
        let translate::Healed { request, quirks, mut notes } =
            translate::heal(request, translated, refusal)?;
        tracing::warn!(
            exchange = %self.opening.exchange,
            model = self.opening.model,
            ?quirks,
            refusal,
            "upstream refused a part of the request; asking again without it"
        );
        let canonical = CanonicalRequest::of(&request);
        self.outgoing.body = canonical.body().into();
        // The ledger keeps the request that upstream accepts.
        self.opening = Arc::new(Opening {
            breakpoints: json_of(&request.breakpoints),
            chain: self.keeps_bodies().then(|| Arc::new(canonical.chain)),
            ..Opening::clone(&self.opening)
        });
        self.request = Some(Arc::new(request));
        self.notes.append(&mut notes);
        Some(quirks)
    }

    fn keeps_bodies(&self) -> bool {
        self.keep != Keep::Totals
    }
}

/// Breakpoints of prompt caching, for the ledger.
/// The fixture that a replay may make of a call.
fn recordable(call: &CallRecord) -> Recordable {
    // Nothing is kept of others.
    let body = call.client_chain.as_deref().and_then(cassette::body);
    body.map_or(Recordable::Never, |body| {
        let (program, task) = (call.client.clone(), call.task.clone());
        Recordable::Call(Arc::new(RecordedCall { api: call.api, program, task, body }))
    })
}

fn json_of(breakpoints: &[anthropic::Breakpoint]) -> Option<String> {
    if breakpoints.is_empty() { None } else { serde_json::to_string(breakpoints).ok() }
}
