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
    config::{Config, Durability},
    domain::{
        catalog::Catalog,
        exchange::{Door, OwnerId},
    },
    store::{self, Ledger},
    upstream::Upstream,
};

/// How long open answers may go on after the signal to stop.
const GRACE: Duration = Duration::from_secs(10);
/// How long those that went on too long may take to say so in the ledger.
const SETTLING: Duration = Duration::from_secs(3);
/// How long the ledger may take to write what it has.
const WRITING: Duration = Duration::from_secs(5);

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
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] store::Error),
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
        let (tasks, writing) = (TaskTracker::new(), TaskTracker::new());
        let stop = CancellationToken::new();
        let Config { host, port, .. } = config;
        let listener = TcpListener::bind((host, port)).await;
        let listener = listener.map_err(|source| StartError::Listen { host, port, source })?;
        let upstream = Upstream::new(&config.anthropic_base_url, config.upstream_idle)
            .map_err(StartError::Tls)?;
        let options = store::Options {
            durability: match config.durability {
                Durability::Full => store::Durability::Full,
                Durability::Normal => store::Durability::Normal,
            },
            ..store::Options::new(&config.database_url)
        };
        let ledger =
            Ledger::open(&options, OwnerId::new(Uuid::now_v7()), answer::now(), &writing).await?;
        let aliases = Arc::new(config.aliases);
        let settings = answer::Settings {
            cache: config.cache,
            status_line: config.status_line,
            task_model: config.task_model.map(Arc::from),
            status_of,
            aliases,
        };
        let answers = Answers::new(
            upstream,
            ledger,
            Catalog::builtin(),
            tasks.clone(),
            stop.clone(),
            settings,
        );
        let app = App(Arc::new(Inner {
            models: Models::new(answers.clone()),
            answers,
            auth: Auth::new(config.client_key, config.anthropic_key, config.admin_key),
            callers: Callers::new(config.id_headers, config.user_jwt_secret.as_ref()),
            largest_body: config.max_body,
        }));
        Ok(Self { listener, app, tasks, writing, stop })
    }

    /// Where it listens: with port 0, the one that was free.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown`, then lets open answers finish, bounded, and closes the ledger.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { listener, app, tasks, writing, stop } = self;
        let ledger = app.0.answers.ledger().clone();
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

/// The status that a client gets: what the ledger notes for a call.
fn status_of(door: Door, failure: Option<&Failure>) -> u16 {
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
        .fallback(async |request: Request| Rejection::NoSuchPath(request.uri().path().to_owned()))
        .method_not_allowed_fallback(async |request: Request| {
            Rejection::WrongMethod(request.method().to_string())
        })
        .layer(middleware::from_fn(survive))
        .with_state(app)
}

/// A bug in one call is that call's trouble only; and whatever the trouble, it is told in the client's dialect.
async fn survive(request: Request, next: Next) -> Response {
    let dialect = Dialect::of(&request);
    let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    error::spoken(response.unwrap_or_else(|_| Rejection::Panicked.into_response()), dialect)
}
