//! Connections: accepted, bounded, and let go in order.
//!
//! Ours and not `axum::serve`, because that has neither a time limit for a request's head nor a bound on shutdown.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
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

/// How long a connection may be idle, or take for the head of a request. Open WebUI keeps idle connections for 15 s
/// and does not ask again when it finds one closed, so this is well above.
const IDLE: Duration = Duration::from_mins(2);
/// Connections at the same time.
const MOST_CONNECTIONS: usize = 8192;
/// After an error that is about us (no more file descriptors), not about the connection.
const PAUSE: Duration = Duration::from_millis(50);

/// Who is at the other end of a connection: an extension of its requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub SocketAddr);

/// Accepts connections until `shutdown`, then waits up to `grace` for open answers.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE);
    let service = TowerToHyperService::new(router);
    let open = GracefulShutdown::new();
    let tasks = TaskTracker::new();
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = async {
                let place = Arc::clone(&room).acquire_owned().await;
                (listener.accept().await, place)
            } => accepted,
        };
        let stream = match accepted {
            (Ok((stream, peer)), place) => (stream, Peer(peer), place),
            (Err(error), _) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot accept a connection"
                );
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (stream, peer, place) = stream;
        // Without it the kernel holds small writes back (Nagle), and every chunk would wait for an acknowledgement.
        let _ = stream.set_nodelay(true);
        let service = service.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            service.call(request)
        });
        let connection = open.watch(http.serve_connection(TokioIo::new(stream), service));
        tasks.spawn(async move {
            // Errors here are clients that left; whoever was answering them has noticed.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    tokio::select! {
        () = open.shutdown() => {}
        () = tokio::time::sleep(grace) => tracing::warn!(open = tasks.len(), "ending answers that are still open"),
    }
}
