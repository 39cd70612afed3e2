//! Settings that change without a restart: budgets, keys, aliases, prices, origins and the webhook.
//!
//! All of them are read and checked before the first is changed, so a bad file changes nothing.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::{App, auth::Auth, prices};
use crate::{
    config::{Config, Setting},
    store,
};

/// Names of the settings that a running server can change.
const RELOADABLE: [&str; 10] = [
    "config",
    "api_key",
    "admin_key",
    "anthropic_api_key",
    "allow_origin",
    "timezone",
    "budget_webhook",
    "alias",
    "budget",
    "key",
];

/// Request for the settings to be read again; the answer is the reason why nothing has changed, if so.
pub(super) type ReloadRequest = oneshot::Sender<Result<Reloaded, String>>;

/// The settings after they were read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Number of budgets.
    pub budgets: usize,
    /// Number of client keys with names.
    pub keys: usize,
    /// Number of aliases.
    pub aliases: usize,
    /// Names of settings that have changed and need a restart.
    pub needs_restart: Vec<String>,
}

/// All settings, parsed and as they are shown.
#[derive(Debug)]
pub struct LoadedSettings {
    /// The settings.
    pub config: Config,
    /// The same as texts, without secrets.
    pub shown: Vec<Setting>,
}

/// Applies settings that were read again to a running server.
#[derive(Debug)]
pub struct Reloader {
    pub(super) app: Arc<App>,
    pub(super) tasks: TaskTracker,
    pub(super) requests: mpsc::Receiver<ReloadRequest>,
    /// The settings with which the server was started, as they are shown.
    pub(super) shown: Vec<Setting>,
    pub(super) user_jwt_secret: Option<SecretString>,
}

impl Reloader {
    /// Reads the settings again with `load` at each `hangup` and at each request of an operator. Never ends.
    pub async fn run<E: std::error::Error + 'static>(
        mut self,
        mut hangup: impl AsyncFnMut(),
        mut load: impl FnMut() -> Result<LoadedSettings, E>,
    ) {
        loop {
            let request = tokio::select! {
                request = self.requests.recv() => request,
                () = hangup() => None,
            };
            let reloaded = match load() {
                Ok(settings) => self.apply(settings).await.map_err(|error| in_full(&error)),
                Err(error) => Err(in_full(&error)),
            };
            match &reloaded {
                Ok(Reloaded { budgets, keys, aliases, needs_restart }) => {
                    tracing::info!(budgets, keys, aliases, "the settings were read again");
                    if !needs_restart.is_empty() {
                        let settings = needs_restart.join(", ");
                        tracing::warn!(settings, "these settings have changed and need a restart");
                    }
                }
                Err(error) => {
                    tracing::error!(error, "the settings cannot be used; nothing has changed");
                }
            }
            if let Some(request) = request {
                // The operator may have left.
                let _ = request.send(reloaded);
            }
        }
    }

    async fn apply(&self, settings: LoadedSettings) -> Result<Reloaded, store::Error> {
        let LoadedSettings { config, shown } = settings;
        let scrubber = config.scrubber();
        let needs_restart = self.needs_restart(&config, &shown);
        let answers = &self.app.answers;
        let ledger = answers.ledger();
        let (catalog, state) = prices::catalog_of(ledger).await?;
        let are_prices_new = prices::apply(ledger, &catalog, state).await;
        let holders = ledger.reader().holders().await?;
        let Config { host, client_key, anthropic_key, admin_key, allow_origin, keys, .. } = config;
        let (budgets, key_count) = (config.budgets.list.len(), keys.len());
        let aliases = config.aliases.iter().count();
        let auth = self.tasks.spawn_blocking(move || {
            let auth = Auth::new(client_key, anthropic_key, admin_key, allow_origin, host);
            auth.named_by(holders, keys)
        });
        let spending = prices::spending(answers, config.budgets, &catalog);
        let (auth, spending) = match (auth.await, spending.await?) {
            (Ok(auth), spending) => (auth, spending),
            (Err(error), _) => std::panic::resume_unwind(error.into_panic()),
        };
        *self.app.auth.write() = Arc::new(auth);
        self.app.webhook.replace(config.budget_webhook);
        self.app.page.replace_scrubber(scrubber);
        answers.set_aliases(config.aliases);
        answers.set_prices(&catalog);
        answers.replace_budgets(spending, !are_prices_new);
        Ok(Reloaded { budgets, keys: key_count, aliases, needs_restart })
    }

    fn needs_restart(&self, config: &Config, shown: &[Setting]) -> Vec<String> {
        let before = |name: &str| self.shown.iter().find(|setting| setting.name == name);
        let changed = shown.iter().filter(|setting| {
            !RELOADABLE.contains(&&*setting.name)
                && before(&setting.name)
                    .is_none_or(|old| (&old.value, old.set) != (&setting.value, setting.set))
        });
        let mut names: Vec<String> = changed.map(|setting| setting.name.clone()).collect();
        let secret =
            |key: &Option<SecretString>| key.as_ref().map(|key| key.expose_secret().to_owned());
        let jwt = "user_jwt_secret".to_owned();
        if secret(&config.user_jwt_secret) != secret(&self.user_jwt_secret) && !names.contains(&jwt)
        {
            names.push(jwt);
        }
        names
    }
}

/// An error with its causes.
fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
