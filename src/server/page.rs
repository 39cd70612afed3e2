//! The page at `/`: what was spent and saved, for people in a browser.
//!
//! It is a document, a style sheet and ES modules, which the binary has in itself (`assets`), and endpoints under `/page/`
//! that give them reports as JSON (`data`, `session_data`). The page may be seen by operators (`guard`); who has signed in is
//! remembered in memory (`sessions`). The endpoints are for the page only, and change with it:
//!
//! | endpoint | answer |
//! | --- | --- |
//! | `GET /page/session` | whether data may be read, with which key to sign in, the version |
//! | `POST /page/login` | begins a session: `{"key": …}` |
//! | `POST /page/logout` | ends it |
//! | `GET /page/setup` | how to connect a client, and whether there are calls |
//! | `GET /page/stats?since&until&by` | `reprise stats --json` |
//! | `GET /page/budgets` | `reprise budgets --json` |
//! | `GET /page/calls?since&until&…&before` | calls as `reprise calls export` has them, the newest first, by pages |
//! | `GET /page/calls/{id}` | `reprise calls show --json` |
//! | `GET /page/calls/{id}/requests` | the requests and answers of a call |
//! | `GET /page/calls/{id}/attachments/{hash}` | a file in a request: pictures are shown, all others saved |
//! | `GET /page/sessions?since&until&user&model&task&words&after` | `reprise sessions list --json`, or `search` with words |
//! | `GET /page/sessions/{id}` | `reprise sessions show --json` |
//! | `GET /page/sessions/{id}/what-if?model` | its cost with another model, as `--what-if` has it |
//! | `GET /page/sessions/{id}/export` | the number of its fixtures, and what cannot be one |
//! | `GET /page/sessions/{id}/fixtures` | the files of `reprise fixtures export` in a zip archive |
//! | `GET /page/users?named` | the users that have this name |
//! | `POST /page/deletion` | `reprise prune --json` for a session or a user, also as a dry run |
//! | `GET /page/playback/{exchange}` | an answer with the times at which it came |
//! | `GET /page/live` | server-sent events: what runs, and calls as they begin and end |
//! | `GET /page/live/{exchange}` | server-sent events: a running answer as it is written |
//! | `POST /page/live/{exchange}/stop` | stops a running answer |
//!
//! Periods and dimensions have the words of `reprise stats`. Errors are those of the other endpoints, in OpenAI's form.
//!
//! In the browser, `app.js` shows the view that the fragment of the address names. A view is a module in `assets/views`,
//! which makes elements with `dom.js` only, so that what was recorded is text wherever it is shown. To add one, write the
//! module, name it in `VIEWS` of `app.js` and in `FILES` of `assets.rs`, and give it an endpoint that takes a `Viewer`.

mod assets;
mod data;
mod deletion;
mod export;
mod guard;
mod live;
mod session_data;
mod session_index;
mod sessions;

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use axum::{
    Router,
    extract::{ConnectInfo, Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use parking_lot::RwLock;
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(super) use self::session_index::SessionIndex;
use self::{assets::Assets, sessions::Sessions};
use super::{App, error::Rejection};
use crate::domain::cassette::Scrubber;

/// The places that the browser may load from and send to: this server's files and endpoints, and nothing that stands in the document.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// Headers of all responses of the page, errors too.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Number of reports that are computed at the same time. A report over many calls takes a processor for a while, and
/// answers to clients come first.
const REPORTS_AT_ONCE: usize = 1;

/// Most streams of events of programs, which have no session, at the same time.
const STREAMS_OF_PROGRAMS: usize = 8;

/// State of the page besides the ledger.
#[derive(Debug)]
pub(super) struct Page {
    /// Packed when they are first asked for.
    assets: OnceLock<Assets>,
    sessions: Sessions,
    reports: Semaphore,
    /// Permits for streams of events of programs.
    streams: Arc<Semaphore>,
    /// Cancelled when the server begins to stop, which ends the streams of events.
    closing: CancellationToken,
    /// The URL of the ledger, whose sums are brought up to date before reports.
    ledger_url: String,
    session_index: SessionIndex,
    /// Tasks that go on when their request is given up.
    tasks: TaskTracker,
    /// Takes secrets out of fixtures.
    scrubber: RwLock<Arc<Scrubber>>,
}

impl Page {
    /// `port` is the one that the server listens on.
    pub(super) fn new(
        port: u16,
        ledger_url: String,
        session_index: SessionIndex,
        tasks: TaskTracker,
        scrubber: Scrubber,
    ) -> Self {
        Self {
            assets: OnceLock::new(),
            sessions: Sessions::new(port),
            reports: Semaphore::new(REPORTS_AT_ONCE),
            streams: Arc::new(Semaphore::new(STREAMS_OF_PROGRAMS)),
            closing: CancellationToken::new(),
            ledger_url,
            session_index,
            tasks,
            scrubber: RwLock::new(Arc::new(scrubber)),
        }
    }

    /// Takes these secrets out of fixtures from now on.
    pub(super) fn replace_scrubber(&self, scrubber: Scrubber) {
        *self.scrubber.write() = Arc::new(scrubber);
    }

    fn scrubber(&self) -> Arc<Scrubber> {
        Arc::clone(&self.scrubber.read())
    }

    /// Ends the streams of events, so that the server can stop.
    pub(super) fn close(&self) {
        self.closing.cancel();
    }

    fn assets(&self) -> &Assets {
        self.assets.get_or_init(Assets::embedded)
    }
}

/// The routes of the page.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(document))
        .route("/page/assets/{version}/{*file}", get(asset))
        .route("/page/session", get(guard::session))
        .route("/page/login", post(guard::log_in))
        .route("/page/logout", post(guard::log_out))
        .route("/page/setup", get(data::setup))
        .route("/page/stats", get(data::stats))
        .route("/page/budgets", get(data::budgets))
        .route("/page/calls", get(data::calls))
        .route("/page/calls/{id}", get(data::call))
        .route("/page/calls/{id}/requests", get(session_data::requests))
        .route("/page/calls/{id}/attachments/{hash}", get(session_data::attachment))
        .route("/page/sessions", get(session_data::sessions))
        .route("/page/sessions/{id}", get(session_data::session))
        .route("/page/sessions/{id}/what-if", get(session_data::what_if))
        .route("/page/sessions/{id}/export", get(export::summary))
        .route("/page/sessions/{id}/fixtures", get(export::archive))
        .route("/page/users", get(session_data::users))
        .route("/page/deletion", post(deletion::delete))
        .route("/page/playback/{exchange}", get(session_data::playback))
        .route("/page/live", get(live::changes))
        .route("/page/live/{exchange}", get(live::answer))
        .route("/page/live/{exchange}/stop", post(live::stop))
}

/// True for the paths of the page, which no other origin may use.
pub(super) fn has_path(path: &str) -> bool {
    path == "/" || path.starts_with("/page/")
}

/// Adds the headers of the page to a response to a request for one of its paths.
pub(super) fn secured(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// `GET /`: the document, which has no data. Where nobody need sign in, a session begins with it.
async fn document(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    let (auth, page) = (app.auth(), &app.page);
    if !auth.may_reach_page(&headers, peer) {
        tracing::info!(%peer, "the page was refused: it is for this machine, or for an admin key");
        let refusal = page.assets().refusal().response(&headers);
        return (StatusCode::FORBIDDEN, refusal).into_response();
    }
    let document = page.assets().document().response(&headers);
    let now = Instant::now();
    if auth.page_key().is_some() || page.sessions.get(&headers, now).is_some() {
        return document;
    }
    tracing::info!(%peer, "the page was opened");
    let cookie = page.sessions.open(None, now).cookie(guard::is_https(&headers));
    ([(header::SET_COOKIE, cookie)], document).into_response()
}

/// `GET /page/assets/{version}/{file}`: a file of the page. It has no data, and everybody gets it.
async fn asset(
    State(app): State<Arc<App>>,
    Path((version, file)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Rejection> {
    let asset = app.page.assets().file(&version, &file);
    let asset = asset.ok_or_else(|| Rejection::NoSuchPath(uri.path().to_owned()))?;
    Ok(asset.response(&headers))
}
