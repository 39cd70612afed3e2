//! What a command asks of the server that writes to the ledger, because nobody else may.

use std::time::Duration;

use anyhow::{Context, bail};
use secrecy::ExposeSecret;
use serde::{Serialize, de::DeserializeOwned};

use crate::{config::Operator, domain::exchange::OwnerId};

/// Deleting takes as long as it takes; but a server that says nothing for so long is not there.
const PATIENCE: Duration = Duration::from_mins(10);

/// Asks the server of these settings for something. `owner` is who holds the lock of the ledger that is meant: another
/// server may answer at that address, with another ledger.
pub(super) async fn ask<T: DeserializeOwned>(
    path: &str,
    what: &impl Serialize,
    owner: Option<OwnerId>,
    settings: &Operator,
) -> anyhow::Result<T> {
    let address = settings.address;
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
    let mut request =
        client.post(format!("http://{address}{path}")).body(serde_json::to_vec(what)?);
    if let Some(owner) = owner {
        request = request.header("x-reprise-owner", owner.to_string());
    }
    if let Some(key) = settings.admin_key.as_ref().or(settings.client_key.as_ref()) {
        request = request.bearer_auth(key.expose_secret());
    }
    let response = request.send().await.with_context(|| {
        format!(
            "a server uses the ledger, but none answers on {address}; say where it is with REPRISE_HOST and \
             REPRISE_PORT, or in the settings file"
        )
    })?;
    let status = response.status();
    let body = response.bytes().await.context("the server broke off")?;
    if !status.is_success() {
        let error: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = error["error"]["message"].as_str().unwrap_or("no reason given");
        bail!("the server on {address} refused ({status}): {message}");
    }
    serde_json::from_slice(&body).context("another server answers there")
}
