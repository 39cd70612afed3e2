//! The doors: HTTP in, answers out. The only place where errors become HTTP.

mod accept;
mod auth;
mod caller;
mod chat;
mod dialect;
mod error;
mod health;
mod limits;
mod messages;
mod models;
mod operator;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::FutureExt;
use http::StatusCode;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use self::{auth::Auth, caller::Callers, dialect::Dialect, error::Rejection};
use crate::{
    answer::{self, Answers, Failure, Models},
    config::{self, Config, Durability, Keep},
    domain::{
        budget::Budgets,
        cache::Reuse,
        cassette::Scrubber,
        catalog::{self, Catalog},
        exchange::{Api, OwnerId},
        prepare,
    },
    fixture, report,
    store::{
        self, Ledger,
        prune::{Limits, Whose},
    },
    upstream::{Pace, Replay, Upstream},
};

/// How long open answers may go on after the signal to stop.
const GRACE: Duration = Duration::from_secs(10);
/// How long those that went on too long may take to say so in the ledger.
const SETTLING: Duration = Duration::from_secs(3);
/// How long the ledger may take to write what it has.
const WRITING: Duration = Duration::from_secs(5);

/// How often it is looked what is not to be kept any more.
const BETWEEN_PRUNINGS: Duration = Duration::from_hours(1);

/// A server that has its port and its ledger, and waits for its first connection.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    app: App,
    /// Who has something to write.
    tasks: TaskTracker,
    /// Who writes it: ends after them.
    writing: TaskTracker,
    stop: CancellationToken,
    /// What the ledger does not keep.
    limits: Option<Limits>,
}

/// Why a server does not start.
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
    /// There is no TLS for upstream.
    #[error(
        "cannot set up TLS (a machine without CA certificates needs the package ca-certificates)"
    )]
    Tls(#[source] reqwest::Error),
    /// The port is taken, or not ours to take.
    #[error("cannot listen on {host}:{port}")]
    Listen {
        /// The address.
        host: IpAddr,
        /// The port.
        port: u16,
        /// Why not.
        source: io::Error,
    },
}

/// What the doors need. Cheap to clone.
#[derive(Debug, Clone)]
struct App(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    answers: Answers,
    models: Models,
    auth: Auth,
    callers: Callers,
    largest_body: usize,
}

impl Server {
    /// Puts the house together: ledger, upstream, answers, doors.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let upstream = Upstream::at(&config.anthropic_base_url, config.upstream_idle);
        Self::with(config, upstream.map_err(StartError::Tls)?).await
    }

    /// The same with fixtures for upstream, which need no key and no ledger on disk. `scrubber` takes out of requests
    /// what was taken out of the fixtures.
    pub async fn start_replay(mut config: Config, scrubber: Scrubber) -> Result<Self, StartError> {
        let context = prepare::Context {
            catalog: &Catalog::builtin(),
            aliases: &config.aliases,
            task_model: config.task_model.as_deref(),
            policy: &config.cache,
            upstream: config.anthropic_base_url.as_str(),
        };
        let replay = &config.replay;
        let player = fixture::load(&config.fixtures, &context, scrubber, replay.at_the_end)?;
        let pace = Pace { speed: config.replay.speed(), longest_gap: config.replay.longest_gap };
        let folder = config.fixtures.first().map(|path| path.display().to_string());
        let replay = Replay::new(player, folder.unwrap_or_default(), pace, config.upstream_idle);
        // Every request takes its turn on the stage, and nothing of it is kept.
        config.cache.reuse = Reuse::Off;
        // Fixtures cost nothing.
        config.budgets = Budgets::default();
        config.keep = Keep::default();
        config.anthropic_key.get_or_insert_with(|| "no key is needed".into());
        Self::with(config, Upstream::Replay(Box::new(replay))).await
    }

    async fn with(config: Config, upstream: Upstream) -> Result<Self, StartError> {
        let (tasks, writing) = (TaskTracker::new(), TaskTracker::new());
        let stop = CancellationToken::new();
        let Config { host, port, .. } = config;
        let listener = TcpListener::bind((host, port)).await;
        let listener = listener.map_err(|source| StartError::Listen { host, port, source })?;
        let options = store::Options {
            durability: match config.durability {
                Durability::Full => store::Durability::Full,
                Durability::Normal => store::Durability::Normal,
            },
            ..store::Options::new(config.ledger()?)
        };
        let limits = limits(config.keep);
        let ledger =
            Ledger::open(&options, OwnerId::new(Uuid::now_v7()), answer::now(), &writing).await?;
        // Imported prices lie over those of the program.
        let prices = ledger.reader().prices().await?;
        let catalog = Catalog::builtin().with_prices(&prices, catalog::day_of(answer::now()));
        let books = report::books(ledger.reader(), config.budgets, &catalog, answer::now()).await?;
        let settings = answer::Settings {
            cache: config.cache,
            status_line: !config.no_status_line,
            task_model: config.task_model.map(Arc::from),
            status_of,
            aliases: Arc::new(config.aliases),
        };
        let answers =
            Answers::new(upstream, ledger, catalog, tasks.clone(), stop.clone(), settings)
                .within(books);
        let app = App(Arc::new(Inner {
            models: Models::new(answers.clone()),
            answers,
            auth: Auth::new(config.client_key, config.anthropic_key, config.admin_key),
            callers: Callers::new(config.id_headers, config.user_jwt_secret.as_ref()),
            largest_body: usize::try_from(config.max_body).unwrap_or(usize::MAX),
        }));
        Ok(Self { listener, app, tasks, writing, stop, limits })
    }

    /// What answers here: it can be asked how a replay went after the server has ended.
    pub fn answers(&self) -> Answers {
        self.app.0.answers.clone()
    }

    /// Where it listens: with port 0, the one that was free.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown`, then lets open answers finish, bounded, and closes the ledger.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { listener, app, tasks, writing, stop, limits } = self;
        let ledger = app.0.answers.ledger().clone();
        if let Some(limits) = limits {
            // Whatever it is at, it may be broken off: each step is a transaction.
            let pruning = stop.clone().run_until_cancelled_owned(prune(ledger.clone(), limits));
            tasks.spawn(pruning);
        }
        accept::serve(listener, router(app), shutdown, GRACE).await;
        stop.cancel();
        tasks.close();
        // The ledger takes nothing in once it closes, so whoever was told to stop seals its exchange first.
        if tokio::time::timeout(SETTLING, tasks.wait()).await.is_err() {
            tracing::warn!(unfinished = tasks.len(), "giving up on tasks that do not end");
        }
        ledger.close(WRITING).await;
        writing.close();
        if tokio::time::timeout(SETTLING, writing.wait()).await.is_err() {
            tracing::warn!(unfinished = writing.len(), "the ledger did not end");
        }
    }
}

/// Lets go of what the operator does not want to keep any more, at once and from time to time.
async fn prune(ledger: Ledger, limits: Limits) {
    loop {
        match ledger.prune(&limits, answer::now()).await {
            Ok(Some(pruned)) => tracing::info!(?pruned, "the ledger is pruned"),
            Ok(None) => {}
            // A ledger that cannot be pruned can still be served.
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the ledger cannot be pruned; it is tried again later");
            }
        }
        tokio::time::sleep(BETWEEN_PRUNINGS).await;
    }
}

/// What the settings do not keep; `None`: they keep all.
fn limits(keep: Keep) -> Option<Limits> {
    let Keep { bodies, totals, bytes } = keep;
    (keep != Keep::default()).then_some(Limits {
        whose: Whose::Everyone,
        keep_bodies: bodies,
        keep_totals: totals,
        max_bytes: bytes,
    })
}

/// The status that a client gets: what the ledger notes for a call.
fn status_of(door: Api, failure: Option<&Failure>) -> u16 {
    failure.map_or(StatusCode::OK, |failure| error::status_at(door, failure)).as_u16()
}

/// Every path there is. Anything else is a clear 404.
fn router(app: App) -> Router {
    Router::new()
        .route("/v1", get(health::alive))
        .route("/v1/", get(health::alive))
        .route("/health", get(health::alive))
        .route("/ready", get(health::ready))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{id}", get(models::one))
        .route("/v1/chat/completions", post(chat::completions))
        .route("/v1/messages", post(messages::create))
        .route("/v1/messages/count_tokens", post(messages::count_tokens))
        .route("/cache/clear", post(operator::clear_cache))
        .route("/prune", post(operator::prune))
        .route("/replay", get(operator::replay))
        .route("/replay/reset", post(operator::reset_replay))
        .fallback(async |request: Request| Rejection::NoSuchPath(request.uri().path().to_owned()))
        .method_not_allowed_fallback(async |request: Request| {
            Rejection::WrongMethod(request.method().to_string())
        })
        .layer(middleware::from_fn(catch_panic))
        .with_state(app)
}

/// A bug in one call is that call's trouble only; and whatever the trouble, it is told in the client's dialect.
async fn catch_panic(request: Request, next: Next) -> Response {
    let dialect = Dialect::of(&request);
    let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    error::render_rejection(
        response.unwrap_or_else(|_| Rejection::Panicked.into_response()),
        dialect,
    )
}
