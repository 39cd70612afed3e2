//! The webhook of budgets: a POST of JSON when spending reaches a threshold.
//!
//! A threshold is told once per period and account. What has reached one before the start was told then: the spending that is
//! read from the ledger crosses nothing. No answer waits for the webhook, and none fails with it.

use std::{sync::Arc, time::Duration};

use http::header;
use parking_lot::RwLock;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::domain::budget::Crossing;

/// Time limit of one try.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Pauses before further tries.
const PAUSES: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];

/// The webhook. Its address may have a password in it and is never shown.
#[derive(Debug)]
pub(super) struct Webhook {
    client: reqwest::Client,
    url: RwLock<Option<SecretString>>,
}

/// The body of a message.
#[derive(Serialize)]
struct Message<'a> {
    event: &'static str,
    #[serde(flatten)]
    crossing: &'a Crossing,
}

/// The reason why a try failed, without the address.
enum Failed {
    /// Another try may help.
    Now(String),
    Always(String),
}

impl Webhook {
    pub(super) fn new(url: Option<SecretString>) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().timeout(TIMEOUT);
        let client = client.redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { client, url: RwLock::new(url) })
    }

    /// Goes to another address from now on, or to none.
    pub(super) fn replace(&self, url: Option<SecretString>) {
        *self.url.write() = url;
    }

    /// Tells the thresholds that arrive. At the stop, those that have arrived are tried once.
    pub(super) async fn run(
        self: Arc<Self>,
        mut crossings: mpsc::UnboundedReceiver<Crossing>,
        stop: CancellationToken,
    ) {
        while let Some(Some(crossing)) = stop.run_until_cancelled(crossings.recv()).await {
            self.tell(&crossing, &stop).await;
        }
        while let Ok(crossing) = crossings.try_recv() {
            self.tell(&crossing, &stop).await;
        }
    }

    async fn tell(&self, crossing: &Crossing, stop: &CancellationToken) {
        let mut pauses = PAUSES.into_iter();
        loop {
            let Some(url) = self.url.read().clone() else { return };
            let why = match self.post(&url, crossing).await {
                Ok(()) => return,
                Err(Failed::Always(why)) => return unheard(crossing, &why),
                Err(Failed::Now(why)) => why,
            };
            let Some(pause) = pauses.next() else { return unheard(crossing, &why) };
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return unheard(crossing, &why);
            }
        }
    }

    async fn post(&self, url: &SecretString, crossing: &Crossing) -> Result<(), Failed> {
        let message = Message { event: "budget", crossing };
        let body = serde_json::to_vec(&message)
            .expect("our own types have string keys and finite numbers");
        let request = self.client.post(url.expose_secret()).body(body);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let sent = request.send().await;
        let status = sent.map_err(|error| Failed::Now(error.without_url().to_string()))?.status();
        match status.as_u16() {
            200..=299 => Ok(()),
            408 | 429 | 500.. => Err(Failed::Now(format!("it answers {status}"))),
            _ => Err(Failed::Always(format!("it answers {status}"))),
        }
    }
}

fn unheard(crossing: &Crossing, why: &str) {
    let Crossing { budget, threshold, .. } = crossing;
    tracing::warn!(budget, ?threshold, why, "the webhook of budgets could not be told");
}
