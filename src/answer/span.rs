//! Spans of traces: one of each call, and below it one of each of its exchanges with upstream. Their attributes follow
//! OpenTelemetry's conventions for generative AI, or begin with `reprise.`. They are times, numbers and names of models and
//! tasks; nothing in them was said, and none names a user or a chat.
//!
//! The trace has the id of the call, so that `reprise calls show` finds it.

use uuid::Uuid;

use crate::{
    domain::exchange::{Api, Micros, Outcome, UnixMillis},
    store::{CallRecord, Opening, Sealing},
};

/// Limit of characters of a text: a client may send anything as the name of a model.
const LONGEST: usize = 128;

/// A span that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The id of the trace.
    pub trace: Uuid,
    /// The id in the trace.
    pub id: u64,
    /// The span above it.
    pub parent: Option<u64>,
    /// The side that it was seen from.
    pub kind: SpanKind,
    /// The name, of which there are few.
    pub name: String,
    /// The beginning.
    pub start: UnixMillis,
    /// The time until its end.
    pub duration: Micros,
    /// The attributes.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// True if it failed.
    pub is_error: bool,
}

/// The side that a span was seen from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// That of the server of the request.
    Server,
    /// That of the client.
    Client,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    Text(String),
    /// A list with one text.
    Texts(String),
    Int(u64),
    Float(f64),
    Bool(bool),
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(shortened(text))
    }
}

impl From<u64> for Attribute {
    fn from(number: u64) -> Self {
        Self::Int(number)
    }
}

impl Span {
    /// The span of a call that has ended.
    pub(super) fn of_call(call: &CallRecord) -> Self {
        let CallRecord { id, at, api, answered_by, outcome, model, stream, tries, .. } = call;
        let route = match api {
            Api::Chat => "/v1/chat/completions",
            Api::Messages => "/v1/messages",
        };
        let mut attributes: Vec<(&'static str, Attribute)> = vec![
            ("http.request.method", "POST".into()),
            ("http.route", route.into()),
            ("gen_ai.request.stream", Attribute::Bool(*stream)),
            ("reprise.call", (&*id.to_string()).into()),
            ("reprise.model", (&**model).into()),
            ("reprise.answered_by", answered_by.into_str().into()),
            ("reprise.outcome", outcome.into_str().into()),
            ("reprise.upstream_requests", u64::from(*tries).into()),
        ];
        attributes.extend(call.exchange.map(|id| ("reprise.exchange", (&*id.to_string()).into())));
        attributes.extend(call.task.as_deref().map(|task| ("reprise.task", task.into())));
        attributes.extend(call.ttft.map(|time| ("reprise.time_to_first_token", seconds(time))));
        let status = call.status.map(u64::from);
        attributes.extend(status.map(|status| ("http.response.status_code", status.into())));
        attributes.extend(call.error_kind.as_deref().map(|kind| ("error.type", kind.into())));
        for (name, cost) in
            [("reprise.cost_dollars", call.cost), ("reprise.saved_dollars", call.saved)]
        {
            attributes.extend(cost.amount().map(|sum| (name, Attribute::Float(sum.dollars()))));
        }
        Self {
            trace: id.uuid(),
            id: span_id(id.uuid()),
            parent: None,
            kind: SpanKind::Server,
            name: format!("POST {route}"),
            start: *at,
            duration: call.total.unwrap_or_default(),
            attributes,
            is_error: is_error(*outcome),
        }
    }

    /// The span of an exchange that has ended, retries included; `address`: the host and the port of upstream.
    pub(super) fn of_exchange(
        opening: &Opening,
        sealing: &Sealing,
        address: Option<&(String, u16)>,
    ) -> Self {
        let tokens = &sealing.tokens;
        let written = tokens.cache_write_5m.saturating_add(tokens.cache_write_1h);
        let mut attributes: Vec<(&'static str, Attribute)> = vec![
            ("gen_ai.operation.name", "chat".into()),
            ("gen_ai.provider.name", "anthropic".into()),
            ("gen_ai.request.model", (&*opening.model).into()),
            ("gen_ai.request.stream", Attribute::Bool(true)),
            ("gen_ai.usage.input_tokens", tokens.prompt().into()),
            ("gen_ai.usage.output_tokens", tokens.output.into()),
            ("gen_ai.usage.cache_read.input_tokens", tokens.cache_read.into()),
            ("gen_ai.usage.cache_write.input_tokens", written.into()),
            ("gen_ai.usage.reasoning.output_tokens", tokens.thinking.into()),
            ("reprise.exchange", (&*opening.exchange.to_string()).into()),
            ("reprise.upstream_requests", u64::from(sealing.tries).into()),
        ];
        if let Some((host, port)) = address {
            attributes.push(("server.address", (&**host).into()));
            attributes.push(("server.port", u64::from(*port).into()));
        }
        for (name, text) in [
            ("gen_ai.response.model", &sealing.model_served),
            ("reprise.upstream_request_id", &sealing.upstream_request),
            ("error.type", &sealing.error_kind),
        ] {
            attributes.extend(text.as_deref().map(|text| (name, text.into())));
        }
        let reasons = sealing.stop_reason.as_deref().map(|one| Attribute::Texts(shortened(one)));
        attributes.extend(reasons.map(|reasons| ("gen_ai.response.finish_reasons", reasons)));
        let first = sealing.ttft.map(seconds);
        attributes.extend(first.map(|time| ("gen_ai.response.time_to_first_chunk", time)));
        let status = sealing.status.map(u64::from);
        attributes.extend(status.map(|status| ("http.response.status_code", status.into())));
        let (call, exchange) = (opening.call.id.uuid(), opening.exchange.uuid());
        Self {
            trace: call,
            id: span_id(exchange),
            parent: Some(span_id(call)),
            kind: SpanKind::Client,
            name: format!("chat {}", shortened(&opening.model)),
            start: opening.opened_at,
            duration: sealing.total.unwrap_or_default(),
            attributes,
            is_error: is_error(sealing.outcome),
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// The random half of an id, which is never zero.
fn span_id(id: Uuid) -> u64 {
    id.as_u64_pair().1
}

/// A call that its client stopped has not failed.
fn is_error(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Failed | Outcome::Cut | Outcome::Lost)
}

fn seconds(time: Micros) -> Attribute {
    Attribute::Float(time.seconds())
}
