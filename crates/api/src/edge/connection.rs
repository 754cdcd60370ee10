//! One connection, HTTP/1.1 or HTTP/2, from its first byte to its end, with a limit on each kind of dawdling.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{HEADER_TIMEOUT, busy::Busy, pace::Paced};

/// Longest header of a request, all fields together; a token and a trace header need 1 KiB.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// Most requests at a time on one HTTP/2 connection; a page with live views needs a dozen.
const STREAMS_PER_CONNECTION_MAX: u32 = 64;
/// How often a quiet HTTP/2 peer is asked whether it lives, and how long it may take to say so.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));
/// How long an HTTP/2 connection without a request is kept; HTTP/1.1 has the header time-out for that.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Oldest age of a connection: bounds what a client can hold that dawdles in ways not thought of.
/// Streams come back by `Last-Event-ID`.
const AGE_MAX: Duration = Duration::from_secs(3600);
/// How long requests on an aged or idle connection may still take; the longest poll is 60 s.
const LAST_REQUESTS: Duration = Duration::from_secs(75);

/// Who is at the other end, as far as the transport tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// An address. Forwarding headers are not believed.
    Tcp(IpAddr),
    /// A process of this user on this host.
    Local(u32),
}

pub(super) async fn serve<S>(
    stream: S,
    peer: Peer,
    router: Router,
    shutdown: CancellationToken,
    abort: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let busy = Arc::new(Busy::new());
    let counter = Arc::clone(&busy);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        let (router, guard) = (router.clone(), counter.begin());
        async move {
            router
                .oneshot(request)
                .await
                .map(|answer| answer.map(|body| guard.until_end_of(body)))
        }
    });
    let builder = builder();
    let connection = builder.serve_connection(TokioIo::new(Paced::new(stream)), service);
    tokio::pin!(connection);
    let retire = async {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = busy.idle_for(IDLE_MAX) => {}
            () = tokio::time::sleep(AGE_MAX) => {}
        }
    };
    tokio::select! {
        ended = connection.as_mut() => return note(ended),
        () = retire => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        ended = connection.as_mut() => note(ended),
        () = abort.cancelled() => {}
        () = tokio::time::sleep(LAST_REQUESTS) => {}
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1);
    builder
}

/// A client that goes away or is cut off is daily life, not an error of ours.
fn note(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(error, "a connection broke");
    }
}
