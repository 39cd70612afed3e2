//! The floor: what passing requests and answers on costs with hyper, if nothing is done with them.

use std::net::{SocketAddr, TcpListener};

use hyper::{Request, Uri, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener, upstream: SocketAddr) -> anyhow::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let client = client.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let client = client.clone();
            async move {
                *request.uri_mut() = to(upstream, request.uri())?;
                client.request(request).await.map_err(anyhow::Error::from)
            }
        });
        tokio::task::spawn_local(async move {
            // A client may leave whenever it likes.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn to(upstream: SocketAddr, uri: &Uri) -> Result<Uri, hyper::http::Error> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Uri::builder().scheme("http").authority(upstream.to_string()).path_and_query(path).build()
}
