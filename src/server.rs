//! The HTTP server: requests in, responses out.
//!
//! A handler's signature is its contract: who the caller is (`caller`), whether they may do it (`auth`) and the body
//! within its limit (`body`) are extracted before it runs. Errors become responses in `error`.

mod accept;
mod auth;
mod body;
mod body_budget;
mod caller;
mod chat;
mod encoding;
mod error;
mod front;
mod headers;
mod health;
mod messages;
mod metrics;
mod models;
mod operator;
mod origin;
mod page;
mod path;
mod prices;
mod reload;
mod retention;
mod traces;
mod webhook;
mod write_timeout;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    routing::{get, post},
};
use http::{Method, Uri};
use parking_lot::RwLock;
use secrecy::SecretString;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use self::{
    auth::Auth,
    body_budget::BodyBudget,
    caller::CallerReader,
    error::Rejection,
    front::Front,
    metrics::Metrics,
    page::{Page, SessionIndex},
    reload::ReloadRequest,
    traces::TraceExporter,
    webhook::Webhook,
};
pub use self::{
    reload::{LoadedSettings, Reloaded, Reloader},
    retention::limits,
};
use crate::{
    answer::{self, Answers, Models},
    config::{self, Config, Durability, OnMiss, RetentionSettings, SearchIndex, Setting},
    domain::{
        budget::Budgets,
        cache::Reuse,
        cassette::{Cassette, LoadedFixture, Player, PlayerSettings, Scrubber},
        catalog::Catalog,
        exchange::OwnerId,
        prepare, translate,
    },
    fixture::{self, RecordFolder},
    report,
    store::{self, Ledger, WordIndex, prune::Limits},
    upstream::{FixtureStore, Http, MissRecorder, Pace, Replay, Upstream},
};

/// Time that tasks get to end once open responses are finished or cut.
const TASK_TIMEOUT: Duration = Duration::from_secs(3);
/// Time that the ledger gets to write its queue.
const LEDGER_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A server that has bound its port and opened its ledger.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    app: Arc<App>,
    /// Tasks that may write to the ledger.
    tasks: TaskTracker,
    /// Tasks of the ledger itself, which end after those.
    ledger_tasks: TaskTracker,
    stop: CancellationToken,
    /// The limits of the ledger; `None`: it keeps everything.
    limits: Option<Limits>,
    reloads: mpsc::Receiver<ReloadRequest>,
    user_jwt_secret: Option<SecretString>,
    /// Time that open responses get to finish after the signal to stop.
    shutdown_grace: Duration,
}

/// The reason why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings name no ledger.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] store::Error),
    /// The fixtures cannot be read.
    #[error(transparent)]
    Fixtures(#[from] fixture::Error),
    /// A replay is to record what is missing, without a key.
    #[error(
        "--on-miss record asks Claude for what is missing, which needs a key: set ANTHROPIC_API_KEY"
    )]
    RecordWithoutKey,
    /// TLS for upstream cannot be set up.
    #[error(
        "cannot set up TLS (a machine without CA certificates needs the package ca-certificates)"
    )]
    Tls(#[source] reqwest::Error),
    /// The port is in use, or not permitted.
    #[error("cannot listen on {host}:{port}")]
    Listen {
        /// The address.
        host: IpAddr,
        /// The port.
        port: u16,
        /// The cause.
        source: io::Error,
    },
}

/// The folder in which a replay records.
#[derive(Debug)]
struct Recorded(RecordFolder);

impl FixtureStore for Recorded {
    fn write(
        &self,
        cassette: Cassette,
        scenario: Option<&str>,
    ) -> Result<LoadedFixture, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.write(cassette, scenario)?)
    }
}

/// The state that handlers share.
#[derive(Debug)]
struct App {
    answers: Answers,
    models: Models,
    auth: RwLock<Arc<Auth>>,
    metrics: Metrics,
    webhook: Arc<Webhook>,
    /// Requests for the settings to be read again.
    reloads: mpsc::Sender<ReloadRequest>,
    callers: CallerReader,
    body_limit: usize,
    body_budget: BodyBudget,
    page: Page,
}

impl App {
    /// The keys that are configured now.
    fn auth(&self) -> Arc<Auth> {
        Arc::clone(&self.auth.read())
    }
}

impl Server {
    /// Binds the port, opens the ledger and sets up the client of upstream.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let upstream = Upstream::at(&config.anthropic_base_url, config.upstream_idle);
        Self::with_upstream(config, upstream.map_err(StartError::Tls)?).await
    }

    /// Starts a server that answers from fixtures, with no ledger on disk, and with no key unless what is missing is
    /// recorded. `scrubber` removes from requests what was removed from the fixtures.
    pub async fn start_replay(mut config: Config, scrubber: Scrubber) -> Result<Self, StartError> {
        let context = prepare::PrepareContext {
            catalog: &Catalog::builtin(),
            aliases: &config.aliases,
            task_model: config.task_model.as_deref(),
            policy: &config.cache,
            upstream: config.anthropic_base_url.as_str(),
            cancellation: translate::Cancellation::NEVER,
        };
        let replay = &config.replay;
        let records = replay.on_miss == OnMiss::Record;
        if records && config.anthropic_key.is_none() {
            return Err(StartError::RecordWithoutKey);
        }
        let store = records.then(|| RecordFolder::open(&config.fixtures)).transpose()?;
        let settings = PlayerSettings {
            scrubber: scrubber.clone(),
            when_exhausted: replay.at_the_end,
            ignored: replay.ignore.clone(),
        };
        let player = match fixture::load(&config.fixtures, &context, settings.clone()) {
            // The first are recorded now.
            Err(fixture::Error::Nothing { .. }) if records => Player::new(Vec::new(), settings),
            loaded => loaded?,
        };
        let pace = Pace { speed: config.replay.speed(), longest_gap: config.replay.longest_gap };
        let folder = config.fixtures.first().map(|path| path.display().to_string());
        let replay = Replay::new(player, folder.unwrap_or_default(), pace, config.upstream_idle);
        let replay = match store {
            Some(store) => {
                let http = Http::new(&config.anthropic_base_url, config.upstream_idle);
                let (http, store) = (http.map_err(StartError::Tls)?, Box::new(Recorded(store)));
                replay.recording(MissRecorder { http, scrubber, store })
            }
            None => replay,
        };
        // Every request goes to the player, and nothing is kept.
        config.cache.reuse = Reuse::Off;
        config.keep = RetentionSettings::default();
        if !records {
            // Fixtures cost nothing.
            config.budgets = Budgets::default();
        }
        config.anthropic_key.get_or_insert_with(|| "no key is needed".into());
        Self::with_upstream(config, Upstream::Replay(Box::new(replay))).await
    }

    async fn with_upstream(config: Config, upstream: Upstream) -> Result<Self, StartError> {
        let Config { host, port, .. } = config;
        let listener = TcpListener::bind((host, port)).await;
        let listener = listener.map_err(|source| StartError::Listen { host, port, source })?;
        let bound_port = listener.local_addr().map_or(port, |address| address.port());
        let ledger_url = config.ledger()?.to_owned();
        let scrubber = config.scrubber();
        let options = store::Options {
            durability: match config.durability {
                Durability::Full => store::Durability::Full,
                Durability::Normal => store::Durability::Normal,
            },
            ..store::Options::new(&*ledger_url).within(config.keep.bytes)
        };
        let (tasks, ledger_tasks) = (TaskTracker::new(), TaskTracker::new());
        let stop = CancellationToken::new();
        let (owner, now) = (OwnerId::new(Uuid::now_v7()), answer::now());
        let ledger = Ledger::open(&options, owner, now, &ledger_tasks).await?;
        // Imported prices take precedence over the built-in ones.
        let (catalog, state) = prices::catalog_of(&ledger).await?;
        prices::apply(&ledger, &catalog, state).await;
        let spending = report::spending(ledger.reader(), config.budgets, &catalog, now).await?;
        let auth = Auth::new(
            config.client_key,
            config.anthropic_key,
            config.admin_key,
            config.allow_origin,
            host,
        );
        let auth = auth.named_by(ledger.reader().holders().await?, config.keys);
        let settings = answer::Settings {
            cache: config.cache,
            status_line: !config.no_status_line,
            warn_above: config.warn_above,
            task_model: config.task_model.map(Arc::from),
            aliases: Arc::new(config.aliases),
        };
        let (crossing, crossings) = mpsc::unbounded_channel();
        let answers =
            Answers::new(upstream, ledger, catalog, tasks.clone(), stop.clone(), settings)
                .within(spending, crossing);
        let answers = match &config.otlp_endpoint {
            Some(collector) => {
                let exporter = TraceExporter::new(collector).map_err(StartError::Tls)?;
                let (sender, spans) = mpsc::channel(traces::QUEUE);
                tasks.spawn(exporter.run(spans, stop.clone()));
                answers.traced(sender)
            }
            None => answers,
        };
        let webhook = Arc::new(Webhook::new(config.budget_webhook).map_err(StartError::Tls)?);
        tasks.spawn(Arc::clone(&webhook).run(crossings, stop.clone()));
        let (reload, reloads) = mpsc::channel(1);
        let body_limit = usize::try_from(config.max_body).unwrap_or(usize::MAX);
        let texts = match config.search {
            SearchIndex::On => WordIndex::Kept,
            SearchIndex::Off => WordIndex::NotKept,
        };
        let session_index =
            SessionIndex::new(ledger_url.clone(), texts, tasks.clone(), stop.clone());
        let app = Arc::new(App {
            models: Models::new(answers.clone()),
            metrics: Metrics::of(&answers),
            answers,
            auth: RwLock::new(Arc::new(auth)),
            webhook,
            reloads: reload,
            callers: CallerReader::new(
                config.id_headers,
                config.user_jwt_secret.as_ref(),
                config.require_signed_users,
                !config.no_user_names,
            ),
            body_limit,
            body_budget: BodyBudget::new(body_limit),
            page: Page::new(bound_port, ledger_url, session_index, tasks.clone(), scrubber),
        });
        let limits = limits(config.keep);
        Ok(Self {
            listener,
            app,
            tasks,
            ledger_tasks,
            stop,
            limits,
            reloads,
            user_jwt_secret: config.user_jwt_secret,
            shutdown_grace: config.shutdown_grace,
        })
    }

    /// The answering part, which can still be asked about a replay after the server has ended.
    pub fn answers(&self) -> Answers {
        self.app.answers.clone()
    }

    /// What applies settings that are read again, to be run beside the server. `shown`: the settings that it was started
    /// with.
    pub fn reloader(&mut self, shown: Vec<Setting>) -> Reloader {
        let (_, none) = mpsc::channel(1);
        Reloader {
            app: Arc::clone(&self.app),
            tasks: self.tasks.clone(),
            requests: std::mem::replace(&mut self.reloads, none),
            shown,
            user_jwt_secret: self.user_jwt_secret.clone(),
        }
    }

    /// The bound address; if port 0 was configured, with the port that was free.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown`, then lets open responses finish for the time of grace, but not beyond `cut`, and closes
    /// the ledger. Responses that are cut end with an error.
    pub async fn run(self, shutdown: impl Future<Output = ()>, cut: impl Future<Output = ()>) {
        let Self { listener, app, tasks, ledger_tasks, stop, limits, shutdown_grace, .. } = self;
        let answers = app.answers.clone();
        let ledger = answers.ledger().clone();
        // Pruning may be cancelled at any point: each step is a transaction.
        let retention = retention::run(ledger.clone(), limits);
        tasks.spawn(stop.clone().run_until_cancelled_owned(retention));
        let follow = prices::follow(app.answers.clone());
        tasks.spawn(stop.clone().run_until_cancelled_owned(follow));
        let viewed = Arc::clone(&app);
        let front = Arc::new(Front::new(Arc::clone(&app), routes(app)));
        let answer = move |request| {
            let front = Arc::clone(&front);
            async move { front.answer(request).await }
        };
        let shutdown = async {
            shutdown.await;
            viewed.page.close();
            tracing::info!(
                open_answers = answers.load().calls,
                seconds = shutdown_grace.as_secs_f64(),
                "stopping; open answers have these seconds to finish, and a second signal cuts them"
            );
        };
        let cut = async {
            // After the grace, or at the second signal.
            let _ = tokio::time::timeout(shutdown_grace, cut).await;
        };
        let connections = accept::serve(listener, answer, shutdown, cut).await;
        stop.cancel();
        tasks.close();
        // Exchanges that were told to stop are sealed first: a ledger that is closing accepts nothing.
        if tokio::time::timeout(TASK_TIMEOUT, tasks.wait()).await.is_err() {
            tracing::warn!(unfinished = tasks.len(), "giving up on tasks that do not end");
        }
        // Their clients are still to be sent the error that ends their responses.
        connections.close();
        if tokio::time::timeout(TASK_TIMEOUT, connections.wait()).await.is_err() {
            tracing::warn!(
                open = connections.len(),
                "closing connections whose clients do not read"
            );
        }
        ledger.close(LEDGER_CLOSE_TIMEOUT).await;
        ledger_tasks.close();
        if tokio::time::timeout(TASK_TIMEOUT, ledger_tasks.wait()).await.is_err() {
            tracing::warn!(unfinished = ledger_tasks.len(), "the ledger did not end");
        }
    }
}

/// The paths of calls.
const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

/// The routes. Any other path is a 404 with an explanation.
fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1", get(health::alive))
        .route("/health", get(health::alive))
        .route("/ready", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::one))
        .route(CHAT, post(chat::completions))
        .route(MESSAGES, post(messages::create))
        .route("/v1/messages/count_tokens", post(messages::count_tokens))
        .route("/cache/clear", post(operator::clear_cache))
        .route("/prune", post(operator::prune))
        .route("/flush", post(operator::flush))
        .route("/reload", post(operator::reload))
        .merge(page::routes())
        .route("/replay", get(operator::replay))
        .route("/replay/reset", post(operator::reset_replay))
        .fallback(async |uri: Uri| Rejection::NoSuchPath(uri.path().to_owned()))
        .method_not_allowed_fallback(async |method: Method| {
            Rejection::WrongMethod(method.to_string())
        })
        .with_state(app)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_has_the_time_that_a_server_takes_to_stop() {
        let closing = 3 * TASK_TIMEOUT + LEDGER_CLOSE_TIMEOUT;
        let config = Config::load(&config::Flags::default(), &|_: &str| None).unwrap();
        let compose = include_str!("../docker-compose.yml");
        let period = compose.split_once("stop_grace_period: ").unwrap().1.lines().next().unwrap();
        let period: u64 = period.trim_end_matches('s').parse().unwrap();
        assert!(config.shutdown_grace + closing < Duration::from_secs(period));
    }
}
