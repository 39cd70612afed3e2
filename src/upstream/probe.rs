//! Probe of upstream: whether it can be reached and accepts the key.

use std::time::Duration;

use http::header;
use secrecy::SecretString;
use url::Url;

use super::{
    error::{Error, classify},
    http::{api_headers, api_root, builder},
};
use crate::domain::{anthropic, exchange::UnixMillis};

/// Timeout of the probe.
const TIMEOUT: Duration = Duration::from_secs(8);

/// The result of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeResult {
    /// The kind of response.
    pub outcome: ProbeOutcome,
    /// The clock of upstream.
    pub date: Option<UnixMillis>,
}

/// The kind of response to a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// Upstream accepts the key.
    Accepted,
    /// Upstream rejects the key, or requires one.
    KeyRejected,
    /// Upstream is overloaded or fails, with this status.
    Unavailable(u16),
    /// Another service answers at the address, with this status.
    NotAnthropic(u16),
}

/// Requests a list of one model, which costs nothing, with `key` or without.
pub async fn probe(base: &Url, key: Option<&SecretString>) -> Result<ProbeResult, Error> {
    let client = builder().timeout(TIMEOUT).build().map_err(classify)?;
    let mut request = client.get(format!("{}/v1/models?limit=1", api_root(base)));
    if let Some(key) = key {
        request = request.headers(api_headers(anthropic::Version::default().as_str(), key));
    }
    let response = request.send().await.map_err(classify)?;
    let date = response.headers().get(header::DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    Ok(ProbeResult {
        outcome: match response.status().as_u16() {
            200..300 => ProbeOutcome::Accepted,
            401 | 403 => ProbeOutcome::KeyRejected,
            status @ (429 | 500..) => ProbeOutcome::Unavailable(status),
            status => ProbeOutcome::NotAnthropic(status),
        },
        date: date.map(|date| UnixMillis(date.timestamp().as_millisecond())),
    })
}
