//! The port of a server: who answers there, and why a server cannot listen.

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use serde::Deserialize;

use crate::server::StartError;

/// Longest wait for the server that may be there.
const TIMEOUT: Duration = Duration::from_secs(3);

/// A Reprise that answers.
#[derive(Debug, Deserialize)]
pub(super) struct Health {
    name: String,
    /// Its version.
    pub(super) version: String,
}

/// Asks for the Reprise at `address`; `None`: there is none, or another program.
pub(super) async fn health(address: SocketAddr) -> Option<Health> {
    let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build().ok()?;
    let body = client.get(format!("http://{address}/health")).send().await.ok()?.bytes().await;
    serde_json::from_slice::<Health>(&body.ok()?).ok().filter(|health| health.name == "reprise")
}

/// The error of a server that did not start, with the remedy if its address was the reason.
pub(super) async fn explained(error: StartError, local: SocketAddr) -> anyhow::Error {
    let StartError::Listen { host, port, source } = &error else { return error.into() };
    let at = format!("cannot listen on {}", SocketAddr::new(*host, *port));
    match source.kind() {
        ErrorKind::AddrInUse => {
            let holder = match health(local).await {
                Some(Health { version, .. }) => format!("reprise {version} serves there already"),
                None => "another program uses the port (`ss -ltnp` may tell which)".to_owned(),
            };
            anyhow::anyhow!("{at}: {holder}; choose another port with --port or REPRISE_PORT")
        }
        ErrorKind::PermissionDenied => {
            anyhow::anyhow!(
                "{at}: only root may use this port; choose one from 1024 on with --port"
            )
        }
        ErrorKind::AddrNotAvailable => {
            anyhow::anyhow!(
                "{at}: this machine does not have the address; choose another with --host"
            )
        }
        _ => error.into(),
    }
}
