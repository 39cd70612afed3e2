//! The real server in this process, on a free port, with a ledger of its own.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use reprise::{
    config::{Config, Flags},
    server::Server,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{client::Client, ledger::Ledger, soon, upstream::Upstream};

/// Anthropic's key of the operator, unless a test says otherwise.
pub(crate) const OPERATORS_KEY: &str = "sk-ant-operators-own";
pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const MODEL: &str = "claude-haiku-4-5";

/// A server that runs until it is stopped or dropped.
#[derive(Debug)]
pub(crate) struct App {
    url: String,
    folder: Arc<TempDir>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// The settings of a server, as the environment would give them.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    variables: BTreeMap<&'static str, String>,
    folder: Arc<TempDir>,
}

impl App {
    /// With the operator's key, and open to whoever can connect.
    pub(crate) async fn start(upstream: &Upstream) -> Self {
        Setup::of(upstream).start().await
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.url)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::new(&self.folder)
    }

    /// Tells it to stop, and does not wait.
    pub(crate) fn signal(&self) {
        self.stop.cancel();
    }

    /// Stops it in order: when this returns, the ledger is closed. The same ledger may then be served again.
    pub(crate) async fn stop(self) -> Ledger {
        self.stop.cancel();
        soon("the server to stop", self.tasks.wait()).await;
        self.ledger()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Setup {
    pub(crate) fn of(upstream: &Upstream) -> Self {
        Self::at(&upstream.url())
    }

    /// With upstream at this URL, where nobody need listen.
    pub(crate) fn at(url: &str) -> Self {
        Self::within(url, tempfile::tempdir().expect("a temporary folder"))
    }

    /// With its ledger in this folder.
    pub(crate) fn within(url: &str, folder: TempDir) -> Self {
        let folder = Arc::new(folder);
        let variables = [
            ("REPRISE_PORT", "0".to_owned()),
            ("REPRISE_DATABASE_URL", Ledger::new(&folder).url()),
            ("ANTHROPIC_BASE_URL", url.to_owned()),
            ("ANTHROPIC_API_KEY", OPERATORS_KEY.to_owned()),
        ];
        Self { variables: variables.into(), folder }
    }

    pub(crate) fn set(mut self, variable: &'static str, value: &str) -> Self {
        self.variables.insert(variable, value.to_owned());
        self
    }

    pub(crate) fn unset(mut self, variable: &'static str) -> Self {
        self.variables.remove(variable);
        self
    }

    pub(crate) fn variables(&self) -> &BTreeMap<&'static str, String> {
        &self.variables
    }

    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::new(&self.folder)
    }

    /// Where the ledger is, and room for more.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) async fn start(&self) -> App {
        let env = |name: &str| self.variables.get(name).cloned();
        let config = Config::load_server(&Flags::default(), &env);
        let server = Server::start(config.expect("settings")).await.expect("a server");
        let url = format!("http://{}", server.address().expect("a bound socket has an address"));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(server.run(stop.clone().cancelled_owned(), std::future::pending()));
        tasks.close();
        App { url, folder: Arc::clone(&self.folder), stop, tasks }
    }
}

/// A question of one message, streamed.
pub(crate) fn ask(text: &str) -> Value {
    json!({ "model": MODEL, "stream": true, "messages": [{ "role": "user", "content": text }] })
}

/// The same question for a client that does not stream.
pub(crate) fn ask_whole(text: &str) -> Value {
    with(ask(text), "stream", json!(false))
}

/// The same request with this field.
pub(crate) fn with(mut request: Value, field: &str, value: Value) -> Value {
    request[field] = value;
    request
}
