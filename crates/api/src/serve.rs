//! Puts store, routes and edge together and serves until it is told to stop.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use store::Store;
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{App, ChatDesk, ReadinessCheck},
    chat,
    edge::{BindError, Edge},
    routes,
};

/// Where to listen, and what to say of itself.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// TCP addresses. Port 0 takes any free one.
    pub listen: Vec<SocketAddr>,
    /// Socket file for clients of the same user; they need no token.
    pub unix_socket: Option<PathBuf>,
    /// Version of the binary, for `/version`.
    pub version: String,
}

/// What the binary knows and this crate does not.
#[derive(Clone)]
pub struct Surroundings {
    /// Asked by `/health/ready`, each time.
    pub readiness: ReadinessCheck,
    /// Rendered by `/metrics`; empty without.
    pub metrics: Option<PrometheusHandle>,
}

/// A server that has its listeners and does not accept yet.
pub struct Server {
    edge: Edge,
    settings: ApiSettings,
}

impl Server {
    /// Takes the listeners.
    ///
    /// # Errors
    /// An address or the socket file can not be had.
    pub async fn bind(settings: ApiSettings) -> Result<Self, BindError> {
        let edge = Edge::bind(&settings.listen, settings.unix_socket.as_deref()).await?;
        Ok(Self { edge, settings })
    }

    /// The TCP addresses, with the ports that were taken.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.edge.addresses()
    }

    /// Serves until `shutdown`: then it stops accepting, ends streams and long polls, and lets requests under way
    /// end within [`crate::edge::DRAIN_TIMEOUT`].
    pub async fn run(self, store: Store, surroundings: Surroundings, shutdown: CancellationToken) {
        crate::metric::describe();
        let Surroundings { readiness, metrics } = surroundings;
        if let Some(metrics) = metrics.clone() {
            tokio::spawn(shutdown.clone().run_until_cancelled_owned(upkeep(metrics)));
        }
        let app = App::new(
            store,
            self.settings.version,
            readiness,
            metrics,
            shutdown.clone(),
        );
        let desk = ChatDesk::new(app.clone());
        let asked = tokio::spawn(chat::run(desk, shutdown.clone()));
        self.edge.run(routes::router(app), shutdown).await;
        // It ends with the same word; what it did not get to is taken up by whoever starts next.
        asked.abort();
    }
}

/// Histograms keep every sample until somebody asks or clears up; nobody may ever ask.
async fn upkeep(metrics: PrometheusHandle) {
    const EACH: Duration = Duration::from_secs(5);
    loop {
        tokio::time::sleep(EACH).await;
        metrics.run_upkeep();
    }
}

/// [`Server::bind`] and [`Server::run`] in one.
///
/// # Errors
/// An address or the socket file can not be had.
pub async fn serve(
    settings: ApiSettings,
    store: Store,
    surroundings: Surroundings,
    shutdown: CancellationToken,
) -> Result<(), BindError> {
    Server::bind(settings)
        .await?
        .run(store, surroundings, shutdown)
        .await;
    Ok(())
}
