//! The accept loop: connections are limited, and closed in order at shutdown.
//!
//! Not `axum::serve`, because that has neither a timeout for the head of a request, nor one for writes, nor a bound on
//! shutdown.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request},
    response::Response,
};
use futures_util::FutureExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::task::TaskTracker;

use super::write_timeout::WriteTimeout;

/// Longest time that a connection may be idle, or take to send the head of a request. Open WebUI keeps idle connections
/// for 15 s and does not retry when it finds one closed, so this is well above.
const IDLE_TIMEOUT: Duration = Duration::from_mins(2);
/// Most connections at the same time.
const CONNECTION_LIMIT: usize = 8192;
/// Longest time for which a client takes nothing of a response. Proxies give up sooner (nginx after a minute), and a
/// person whose machine slept asks again, which costs nothing: the answer is in the ledger once it is complete.
const WRITE_TIMEOUT: Duration = Duration::from_mins(5);
/// Most bytes that a connection holds of a request that is not read yet, and about as many of a response that the client
/// has not read yet. The head of a request must fit.
const BUFFER_LIMIT: usize = 128 << 10;
/// Pause after an error that is about this process (no more file descriptors), not about the connection.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// Accepts connections until `shutdown`, then waits for open responses until `cut`. Returns the tasks of the connections
/// that are still open.
pub(super) async fn serve<F, R>(
    listener: TcpListener,
    answer: F,
    shutdown: impl Future<Output = ()>,
    cut: impl Future<Output = ()>,
) -> TaskTracker
where
    F: Fn(Request) -> R + Clone + Send + 'static,
    R: Future<Output = Response> + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT).max_buf_size(BUFFER_LIMIT);
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
        let answer = answer.clone();
        let service = service_fn(move |request: http::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            answer(request).map(Ok::<_, Infallible>)
        });
        let stream = TokioIo::new(WriteTimeout::new(stream, WRITE_TIMEOUT));
        let connection = open.watch(http.serve_connection(stream, service));
        tasks.spawn(async move {
            // Errors here are clients that left; whoever was answering them has noticed.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    tokio::select! {
        () = open.shutdown() => {}
        () = cut => tracing::warn!(open = tasks.len(), "closing connections with open responses"),
    }
    tasks
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use bytes::Bytes;
    use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::Instant};
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_disconnected_and_its_response_dropped() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let dropped = CancellationToken::new();
        let of_response = dropped.clone();
        let endless = move |_: Request| {
            let guard = of_response.clone().drop_guard();
            let body = Body::from_stream(tokio_stream::iter(std::iter::repeat_with(move || {
                let _ = &guard;
                Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 1 << 14]))
            })));
            std::future::ready(Response::new(body))
        };
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(serve(
            listener,
            endless,
            stop.clone().cancelled_owned(),
            std::future::ready(()),
        ));
        let mut client = TcpStream::connect(address).await.unwrap();
        let began = Instant::now();
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        dropped.cancelled().await;
        assert!(began.elapsed() >= WRITE_TIMEOUT);
        stop.cancel();
    }
}
