//! The exporter of traces: OTLP over HTTP, in JSON (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>).
//!
//! Written out here: the crates of OpenTelemetry bring a second stack of Protobuf and exporters into the binary, and one
//! message of one signal is all that is needed. No call waits for the exporter: what does not fit its queue is dropped and
//! counted.

use std::time::Duration;

use http::header;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::answer::{Attribute, Span, SpanKind};

/// Limit of spans that wait to be sent.
pub(super) const QUEUE: usize = 4096;
/// Limit of spans in one message.
const BATCH: usize = 512;
/// Time that spans wait for others.
const LINGER: Duration = Duration::from_secs(1);
/// Time limit of one message.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The same of the last one, at the stop.
const LAST_TIMEOUT: Duration = Duration::from_secs(1);
/// Path of traces below the address of a collector.
const PATH: &str = "/v1/traces";

/// Sends spans to a collector. Its address may have a password in it and is never shown.
#[derive(Debug)]
pub(super) struct TraceExporter {
    client: reqwest::Client,
    url: SecretString,
    /// True while the last message failed.
    is_failing: bool,
}

impl TraceExporter {
    /// An exporter to the collector at `address`.
    pub(super) fn new(address: &SecretString) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().timeout(TIMEOUT);
        let client = client.redirect(reqwest::redirect::Policy::none()).build()?;
        let base = address.expose_secret().trim_end_matches('/');
        let base = base.strip_suffix(PATH).unwrap_or(base);
        Ok(Self { client, url: format!("{base}{PATH}").into(), is_failing: false })
    }

    /// Sends the spans that arrive, until the stop, and then those that have arrived.
    pub(super) async fn run(mut self, mut spans: mpsc::Receiver<Span>, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(1..) = stop.run_until_cancelled(spans.recv_many(&mut batch, BATCH)).await {
            let gather = async {
                while let room @ 1.. = BATCH - batch.len()
                    && spans.recv_many(&mut batch, room).await > 0
                {}
            };
            let gather = tokio::time::timeout(LINGER, gather);
            let _ = stop.run_until_cancelled(gather).await;
            if stop.run_until_cancelled(self.send(&batch)).await.is_none() {
                break;
            }
            batch.clear();
        }
        while let Ok(span) = spans.try_recv() {
            batch.push(span);
        }
        if !batch.is_empty() {
            let _ = tokio::time::timeout(LAST_TIMEOUT, self.send(&batch)).await;
        }
    }

    /// Sends a message. One that fails is lost; the first of several failures is logged.
    async fn send(&mut self, spans: &[Span]) {
        let error = match self.post(spans).await {
            Ok(status) if status.is_success() => None,
            Ok(status) => Some(format!("it answers {status}")),
            Err(error) => Some(error.without_url().to_string()),
        };
        match error {
            Some(error) if !self.is_failing => {
                self.is_failing = true;
                tracing::warn!(error, "the collector of traces cannot be told; traces are lost");
            }
            None if self.is_failing => {
                self.is_failing = false;
                tracing::info!("the collector of traces is told again");
            }
            Some(_) | None => {}
        }
    }

    async fn post(&self, spans: &[Span]) -> Result<http::StatusCode, reqwest::Error> {
        let request = self.client.post(self.url.expose_secret()).body(encode(spans).to_string());
        let request = request.header(header::CONTENT_TYPE, "application/json");
        Ok(request.send().await?.status())
    }
}

/// A message with these spans.
fn encode(spans: &[Span]) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let resource = [("service.name", "reprise"), ("service.version", version)];
    let resource = resource.map(|(key, text)| attribute(key, &text.into()));
    json!({ "resourceSpans": [{
        "resource": { "attributes": resource },
        "scopeSpans": [{
            "scope": { "name": "reprise", "version": version },
            "spans": spans.iter().map(encode_span).collect::<Vec<_>>(),
        }],
    }] })
}

fn encode_span(span: &Span) -> Value {
    let Span { trace, id, parent, kind, name, start, duration, attributes, is_error } = span;
    let start = i128::from(start.0) * 1_000_000;
    let end = start + i128::from(duration.0) * 1_000;
    let attributes = attributes.iter().map(|(key, value)| attribute(key, value));
    let mut encoded = json!({
        "traceId": trace.simple().to_string(),
        "spanId": format!("{id:016x}"),
        "name": name,
        "kind": match kind {
            SpanKind::Server => 2,
            SpanKind::Client => 3,
        },
        "startTimeUnixNano": start.to_string(),
        "endTimeUnixNano": end.to_string(),
        "attributes": attributes.collect::<Vec<_>>(),
        "status": if *is_error { json!({ "code": 2 }) } else { json!({}) },
    });
    if let Some(parent) = parent {
        encoded["parentSpanId"] = format!("{parent:016x}").into();
    }
    encoded
}

fn attribute(key: &str, value: &Attribute) -> Value {
    let value = match value {
        Attribute::Text(text) => json!({ "stringValue": text }),
        Attribute::Texts(text) => {
            json!({ "arrayValue": { "values": [{ "stringValue": text }] } })
        }
        // Protobuf's JSON has large numbers as texts.
        Attribute::Int(number) => json!({ "intValue": number.to_string() }),
        Attribute::Float(number) => json!({ "doubleValue": number }),
        Attribute::Bool(flag) => json!({ "boolValue": flag }),
    };
    json!({ "key": key, "value": value })
}
