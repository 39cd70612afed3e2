//! The accept loop: connections are limited, and closed in order at shutdown.
//!
//! Not `axum::serve`, because that has neither a timeout for the head of a request nor a bound on shutdown.

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use http::Request;
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::task::TaskTracker;

/// Longest time that a connection may be idle, or take to send the head of a request. Open WebUI keeps idle connections
/// for 15 s and does not retry when it finds one closed, so this is well above.
const IDLE_TIMEOUT: Duration = Duration::from_mins(2);
/// Most connections at the same time.
const CONNECTION_LIMIT: usize = 8192;
/// Pause after an error that is about this process (no more file descriptors), not about the connection.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// Accepts connections until `shutdown`, then waits up to `grace` for open responses. Returns the tasks of the connections
/// that are still open.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
) -> TaskTracker {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT);
    let service = TowerToHyperService::new(router);
    let open = GracefulShutdown::new();
    let tasks = TaskTracker::new();
    let permits = Arc::new(Semaphore::new(CONNECTION_LIMIT));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let (permit, accepted) = tokio::select! {
            () = &mut shutdown => break,
            accepted = async {
                let permit = Arc::clone(&permits).acquire_owned().await;
                (permit, listener.accept().await)
            } => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot accept a connection"
                );
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                continue;
            }
        };
        // Otherwise the kernel delays small writes (Nagle), and every chunk would wait for an acknowledgement.
        let _ = stream.set_nodelay(true);
        let service = service.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            service.call(request)
        });
        let connection = open.watch(http.serve_connection(TokioIo::new(stream), service));
        tasks.spawn(async move {
            // Errors here are clients that left; whoever was answering them has noticed.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    tokio::select! {
        () = open.shutdown() => {}
        () = tokio::time::sleep(grace) => tracing::warn!(open = tasks.len(), "closing connections with open responses"),
    }
    tasks
}
