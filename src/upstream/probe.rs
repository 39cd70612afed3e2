//! Whether anybody is there upstream, and takes the key: for a look, not for answers.

use std::time::Duration;

use http::header;
use secrecy::SecretString;
use url::Url;

use super::{
    error::{Error, classify},
    http::{api_headers, bare, builder},
};
use crate::domain::{anthropic, exchange::UnixMillis};

/// A look is not worth a longer wait.
const PATIENCE: Duration = Duration::from_secs(8);

/// What was seen of upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What it says.
    pub welcome: Welcome,
    /// The time there.
    pub date: Option<UnixMillis>,
}

/// What upstream says to who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Welcome {
    /// It takes the key.
    Accepted,
    /// It does not take the key, or misses one.
    WrongKey,
    /// It has trouble of its own, with this status.
    Trouble(u16),
    /// It is not Anthropic's API that answers there, with this status.
    Stranger(u16),
}

/// Asks for one model, with `key` or without: either costs nothing.
pub async fn probe(base: &Url, key: Option<&SecretString>) -> Result<Seen, Error> {
    let client = builder().timeout(PATIENCE).build().map_err(classify)?;
    let mut request = client.get(format!("{}/v1/models?limit=1", bare(base)));
    if let Some(key) = key {
        request = request.headers(api_headers(anthropic::Version::default().as_str(), key));
    }
    let response = request.send().await.map_err(classify)?;
    let date = response.headers().get(header::DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    Ok(Seen {
        welcome: match response.status().as_u16() {
            200..300 => Welcome::Accepted,
            401 | 403 => Welcome::WrongKey,
            status @ (429 | 500..) => Welcome::Trouble(status),
            status => Welcome::Stranger(status),
        },
        date: date.map(|date| UnixMillis(date.timestamp().as_millisecond())),
    })
}
