//! The accept loop: what a client may cost before it is known who it is. It knows no routes.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use tokio::{
    net::{TcpListener, UnixListener},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

mod busy;
mod connection;
mod listen;
mod pace;

pub(crate) use connection::Peer;
pub use listen::BindError;

/// Most TCP connections at a time. Each costs some 20 KiB of buffers; more wait in the kernel's queue,
/// and since nobody holds one for longer than a time-out without a valid token, the queue moves.
pub const CONNECTIONS_MAX: usize = 1024;
/// Most connections of the local socket, counted apart: a flood from outside must not lock out the CLI beside us.
pub const LOCAL_CONNECTIONS_MAX: usize = 64;
/// How long a client may take for a request's header, and a connection may idle between requests.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long requests that are under way may go on after a shutdown was asked for.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a failed accept: the usual cause is a process out of file descriptors, which spinning makes worse.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Listeners that are bound but do not accept yet.
pub(crate) struct Edge {
    tcp: Vec<TcpListener>,
    unix: Option<(UnixListener, PathBuf)>,
}

impl Edge {
    pub(crate) async fn bind(
        listen: &[SocketAddr],
        unix_socket: Option<&Path>,
    ) -> Result<Self, BindError> {
        let mut tcp = Vec::with_capacity(listen.len());
        for address in listen {
            tcp.push(listen::tcp(*address).await?);
        }
        let unix = match unix_socket {
            Some(path) => Some((listen::unix(path).await?, path.to_owned())),
            None => None,
        };
        Ok(Self { tcp, unix })
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.tcp
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    /// Accepts until `shutdown`, then lets what is under way end, for at most [`DRAIN_TIMEOUT`].
    pub(crate) async fn run(self, router: Router, shutdown: CancellationToken) {
        let (tracker, abort) = (TaskTracker::new(), CancellationToken::new());
        let door = Door {
            router,
            tracker: tracker.clone(),
            shutdown: shutdown.clone(),
            abort: abort.clone(),
            free: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        };
        for listener in self.tcp {
            tracker.spawn(door.clone().accept_tcp(listener));
        }
        let socket = self.unix.map(|(listener, path)| {
            let free = Arc::new(Semaphore::new(LOCAL_CONNECTIONS_MAX));
            tracker.spawn(
                Door {
                    free,
                    ..door.clone()
                }
                .accept_unix(listener),
            );
            path
        });
        shutdown.cancelled().await;
        tracker.close();
        if tokio::time::timeout(DRAIN_TIMEOUT, tracker.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                connections = tracker.len(),
                "connections were cut off: they did not end in time"
            );
            abort.cancel();
            tracker.wait().await;
        }
        if let Some(path) = socket {
            let _ = tokio::fs::remove_file(path).await;
        }
    }
}

/// What every accept loop holds.
#[derive(Clone)]
struct Door {
    router: Router,
    tracker: TaskTracker,
    shutdown: CancellationToken,
    abort: CancellationToken,
    free: Arc<Semaphore>,
}

impl Door {
    async fn accept_tcp(self, listener: TcpListener) {
        while let Some(place) = self.place().await {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.shutdown.cancelled() => return,
            };
            match accepted {
                Ok((stream, address)) => {
                    listen::tune(&stream);
                    self.serve(stream, Peer::Tcp(address.ip()), place);
                }
                Err(error) => self.accept_failed(&error).await,
            }
        }
    }

    async fn accept_unix(self, listener: UnixListener) {
        while let Some(place) = self.place().await {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.shutdown.cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) => match stream.peer_cred() {
                    Ok(credentials) => self.serve(stream, Peer::Local(credentials.uid()), place),
                    Err(error) => {
                        tracing::warn!(%error, "a local client without credentials was turned away")
                    }
                },
                Err(error) => self.accept_failed(&error).await,
            }
        }
    }

    async fn place(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        tokio::select! {
            place = Arc::clone(&self.free).acquire_owned() => place.ok(),
            () = self.shutdown.cancelled() => None,
        }
    }

    fn serve<S>(&self, stream: S, peer: Peer, place: tokio::sync::OwnedSemaphorePermit)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (router, shutdown, abort) = (
            self.router.clone(),
            self.shutdown.clone(),
            self.abort.clone(),
        );
        self.tracker.spawn(async move {
            connection::serve(stream, peer, router, shutdown, abort).await;
            drop(place);
        });
    }

    async fn accept_failed(&self, error: &std::io::Error) {
        tracing::warn!(%error, "a connection could not be accepted");
        tokio::time::sleep(ACCEPT_RETRY).await;
    }
}
