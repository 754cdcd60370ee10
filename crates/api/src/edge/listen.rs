//! Binding of listeners. A socket file of a dead server is replaced, one of a living server is not.

use std::{net::SocketAddr, os::unix::fs::PermissionsExt, path::Path};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Why the server can not listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address can not be had.
    #[error("can not listen on {address}")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The socket file can not be had.
    #[error("can not listen on {path}")]
    Unix {
        /// The path.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another server lives on the socket.
    #[error("another server listens on {path}; stop it or choose another path")]
    Occupied {
        /// The path.
        path: String,
    },
}

pub(super) async fn tcp(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| BindError::Tcp { address, source })
}

/// A socket that only its owner may open; the peer's credentials are checked again at each connection.
pub(super) async fn unix(path: &Path) -> Result<UnixListener, BindError> {
    let name = path.display().to_string();
    if UnixStream::connect(path).await.is_ok() {
        return Err(BindError::Occupied { path: name });
    }
    let failed = |source| BindError::Unix {
        path: name.clone(),
        source,
    };
    match tokio::fs::remove_file(path).await {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    let owner_only = std::fs::Permissions::from_mode(0o600);
    tokio::fs::set_permissions(path, owner_only)
        .await
        .map_err(failed)?;
    Ok(listener)
}

/// Small answers leave at once, and the kernel gives up on a peer that acknowledges nothing.
pub(super) fn tune(stream: &TcpStream) {
    /// Milliseconds that sent bytes may stay unacknowledged; covers what already left our hands.
    const UNACKNOWLEDGED_MS_MAX: u32 = 30_000;
    let nodelay = stream.set_nodelay(true);
    let timeout = rustix::net::sockopt::set_tcp_user_timeout(stream, UNACKNOWLEDGED_MS_MAX);
    if nodelay.is_err() || timeout.is_err() {
        tracing::debug!("socket options were refused");
    }
}
