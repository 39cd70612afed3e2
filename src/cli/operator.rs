//! Requests of commands to the server that holds the lock of the ledger.

use std::time::Duration;

use anyhow::{Context, bail};
use secrecy::ExposeSecret;
use serde::{Serialize, de::DeserializeOwned};

use crate::{config::Config, domain::exchange::OwnerId};

/// Longest wait for an answer: deleting takes long.
const TIMEOUT: Duration = Duration::from_mins(10);

/// Posts a request to the server of these settings. `owner` is the holder of the lock: another server, with another
/// ledger, may answer at that address.
pub(super) async fn post<T: DeserializeOwned>(
    path: &str,
    request: &impl Serialize,
    owner: Option<OwnerId>,
    config: &Config,
) -> anyhow::Result<T> {
    let address = config.local_address();
    let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
    let body = serde_json::to_vec(request)?;
    let mut request = client.post(format!("http://{address}{path}")).body(body);
    if let Some(owner) = owner {
        request = request.header("x-reprise-owner", owner.to_string());
    }
    if let Some(key) = config.admin_key.as_ref().or(config.any_client_key()) {
        request = request.bearer_auth(key.expose_secret());
    }
    let response = request.send().await.with_context(|| {
        format!(
            "a server uses the ledger, but none answers on {address}; give its address with REPRISE_HOST and \
             REPRISE_PORT, or in the settings file"
        )
    })?;
    let status = response.status();
    let body = response.bytes().await.context("the server closed the connection")?;
    if !status.is_success() {
        let error: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = error["error"]["message"].as_str().unwrap_or("no reason given");
        bail!("the server on {address} refused ({status}): {message}");
    }
    serde_json::from_slice(&body).context("another server answers there")
}
