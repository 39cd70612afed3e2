//! What every request passes before the routes, and every response after them: the path is put right, the host and the
//! origin are checked, a panic is confined to its request, and a rejection gets the form of the client's API.
//!
//! Functions around the routes, no layers on them: a layer clones every service below it and boxes the future of each
//! request. Only requests of pages, which need CORS, take that way.

use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{HeaderValue, Method, header};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::{
    App, caller,
    error::{self, Rejection},
    origin, page, path,
};

/// The paths of calls.
const CALLS: [&str; 2] = [super::CHAT, super::MESSAGES];

/// The routes, with what is around them.
pub(super) struct Front {
    app: Arc<App>,
    routes: TowerToHyperService<Router>,
    /// The same for the pages of browsers.
    for_pages: TowerToHyperService<Router>,
}

impl Front {
    /// Puts the checks around `routes`.
    pub(super) fn new(app: Arc<App>, routes: Router) -> Self {
        let guarded = async |State(app): State<Arc<App>>, request: Request, next: Next| {
            guard(&app, request, |request| next.run(request)).await
        };
        let for_pages = routes
            .clone()
            .layer(middleware::from_fn_with_state(Arc::clone(&app), guarded))
            .layer(origin::cors(Arc::clone(&app)));
        let [routes, for_pages] = [routes, for_pages].map(TowerToHyperService::new);
        Self { app, routes, for_pages }
    }

    /// Answers a request.
    pub(super) async fn answer(&self, mut request: Request) -> Response {
        path::canonicalize(&mut request);
        if page::has_path(request.uri().path()) {
            // Nothing is told to pages of other origins, not even to those that may send requests to Claude.
            let routed = async |request| infallible(self.routes.call(request).await);
            return page::secured(guard(&self.app, request, routed).await);
        }
        if request.method() == Method::OPTIONS || request.headers().contains_key(header::ORIGIN) {
            return infallible(self.for_pages.call(request).await);
        }
        let answered =
            guard(&self.app, request, async |request| infallible(self.routes.call(request).await));
        let mut response = answered.await;
        // A cache must not give it to a page.
        response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
        response
    }
}

/// Has `route` answer a request that may be answered. Counts the rejections of calls.
async fn guard<F: Future<Output = Response>>(
    app: &App,
    request: Request,
    route: impl FnOnce(Request) -> F,
) -> Response {
    let api = caller::api_of(request.uri(), request.headers());
    let is_call = request.method() == Method::POST && CALLS.contains(&request.uri().path());
    let response = match origin::check_host(app, &request) {
        Ok(()) => {
            let answered = AssertUnwindSafe(route(request)).catch_unwind().await;
            answered.unwrap_or_else(|_| Rejection::Panicked.into_response())
        }
        Err(rejection) => rejection.into_response(),
    };
    if is_call && let Some(reason) = error::rejection(&response).and_then(Rejection::refusal) {
        app.answers.count_refusal(&reason);
    }
    error::render_rejection(response, api)
}

fn infallible<T>(result: Result<T, Infallible>) -> T {
    result.unwrap_or_else(|never| match never {})
}
