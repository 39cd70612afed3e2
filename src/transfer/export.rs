//! A session as cassettes: each exchange of its calls, with the client's request that it answered.

use std::collections::HashSet;

use serde::Serialize;

use crate::{
    domain::{
        anthropic::{ApiHeaders, Version},
        cassette::{self, Cassette, RecordedCall, RecordedRequest, RecordedResponse, Rendered},
        chain::Hash,
        exchange::{Api, Outcome, UnixMillis},
        translate,
    },
    store::{self, CallSummary, ExchangeRow, Reader, SessionRow},
};

/// The beginning of the ledger's text of an error of Anthropic's.
const ERROR_PREFIX: &str = "Anthropic refused with status ";

/// An exported session.
#[derive(Debug, Default)]
pub struct Exported {
    /// The cassettes, in the order of the calls.
    pub cassettes: Vec<Cassette>,
    /// The calls that cannot be fixtures.
    pub left_out: Vec<LeftOut>,
}

/// A call that is not among the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Its number in the session, counted from one.
    pub number: usize,
    /// The reason.
    pub why: &'static str,
}

/// Exports a session, in the order of its calls. An exchange that answered several calls is one cassette.
pub async fn export(ledger: &Reader, row: &SessionRow) -> Result<Exported, store::Error> {
    let mut exported = Exported::default();
    let mut seen = HashSet::new();
    for (number, call) in (1..).zip(&row.calls) {
        let Some(id) = call.exchange else {
            exported.left_out.push(LeftOut { number, why: "it has no exchange in the ledger" });
            continue;
        };
        if !seen.insert(id) {
            continue;
        }
        for (at, exchange) in ledger.answer_parts(id).await?.into_iter().enumerate() {
            match cassette_of(ledger, call, &exchange, at).await? {
                Ok(cassette) if !reads_back(&cassette) => {
                    let why = "its file could not be read again: it is nested too deeply";
                    exported.left_out.push(LeftOut { number, why });
                }
                Ok(cassette) => exported.cassettes.push(cassette),
                Err(why) => exported.left_out.push(LeftOut { number, why }),
            }
        }
    }
    Ok(exported)
}

/// Checks that what is written is accepted where it is read.
fn reads_back(cassette: &Cassette) -> bool {
    let Rendered { text, blobs } = cassette.render();
    let blob = |name: &str| {
        let blob = blobs.iter().find(|blob| blob.name == name)?;
        Some(blob.bytes.clone())
    };
    cassette::read(&text, &blob).0.is_some()
}

async fn cassette_of(
    ledger: &Reader,
    call: &CallSummary,
    exchange: &ExchangeRow,
    at: usize,
) -> Result<Result<Cassette, &'static str>, store::Error> {
    const NO_BODIES: &str = "its bodies were not kept";
    let Some(upstream) = body(ledger, exchange.request()).await? else { return Ok(Err(NO_BODIES)) };
    let upstream = request(call.api, exchange.headers().as_ref(), upstream);
    let client = match body(ledger, call.request()).await? {
        // Only the first part of an answer was asked for by the client.
        Some(body) if at == 0 => Some(RecordedCall {
            api: call.api,
            program: call.client.clone(),
            task: call.task.clone(),
            body,
        }),
        _ => None,
    };
    Ok(response(exchange).map(|response| Cassette {
        recorded: Some(day(exchange.ended_at)),
        client,
        upstream: Some(upstream),
        when_exhausted: None,
        response,
    }))
}

async fn body(
    ledger: &Reader,
    place: Option<(Hash, Option<Hash>)>,
) -> Result<Option<String>, store::Error> {
    let Some((frame, head)) = place else { return Ok(None) };
    match ledger.load_chain(frame, head).await {
        Ok(chain) => Ok(cassette::body(&chain)),
        Err(store::Error::NoBodies { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The request with its headers. An older ledger does not have them: for a translated request they follow from the body,
/// for a native one the version that most clients send is taken.
fn request(api: Api, headers: Option<&ApiHeaders>, body: String) -> RecordedRequest {
    let headers = match (headers, api) {
        (Some(headers), _) => headers.normalized(),
        (None, Api::Messages) => ApiHeaders::new(Version::V20230601.as_str(), [""; 0]),
        (None, Api::Chat) => {
            translate::headers_of(&serde_json::from_str(&body).unwrap_or_default())
        }
    };
    RecordedRequest { headers, body }
}

fn response(exchange: &ExchangeRow) -> Result<RecordedResponse, &'static str> {
    let ExchangeRow { outcome, error_kind, error, recording, .. } = exchange;
    let response = match (outcome, recording, exchange.status()) {
        (Outcome::Stopped | Outcome::Lost | Outcome::Cut, ..) => {
            return Err("its answer is not whole");
        }
        (Outcome::Complete, None, _) => return Err("its bodies were not kept"),
        (Outcome::Complete | Outcome::Failed, Some(recording), Some(status)) => {
            let response = RecordedResponse::of(recording, status);
            if !response.is_complete() {
                return Err("its answer is not whole");
            }
            response
        }
        (Outcome::Failed, None, Some(status)) => {
            let kind = error_kind.as_deref().unwrap_or("api_error");
            RecordedResponse::error(status, kind, message(error.as_deref().unwrap_or_default()))
        }
        _ => return Err("upstream did not answer"),
    };
    let request_id = exchange.upstream_request.clone().map(|id| ("request-id".to_owned(), id));
    Ok(RecordedResponse { headers: request_id.into_iter().collect(), ..response })
}

/// Anthropic's own message in the ledger's text of an error.
fn message(error: &str) -> &str {
    let rest = error.strip_prefix(ERROR_PREFIX).and_then(|rest| rest.split_once(": "));
    rest.map_or(error, |(_, message)| message)
}

fn day(at: UnixMillis) -> String {
    let moment = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    moment.strftime("%Y-%m-%d").to_string()
}
