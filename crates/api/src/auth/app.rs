//! What the routes share. The store is open to permits only, which is why this file sits beside them.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use serde::{Deserialize, Serialize};
use store::Store;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::throttle::Throttle;
use crate::{metric, problem::Problem};

/// Most open event streams and long polls. Each asks the database twice a second.
const STREAMS_MAX: usize = 256;

/// How long the readiness check may take: whoever asks has a time limit of a few seconds as well.
const READINESS_TIMEOUT: Duration = Duration::from_secs(4);

/// A reason why this process is not ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NotReady {
    /// What is not: `database`, `migrations`, `worker`, ...
    #[schema(example = "database")]
    pub what: String,
    /// Why, as a sentence.
    pub sentence: String,
}

/// Asks the process what is not ready; the binary knows its roles, this crate does not.
pub type ReadinessCheck =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Vec<NotReady>> + Send>> + Send + Sync>;

/// What the routes share.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

struct Shared {
    store: Store,
    version: String,
    readiness: ReadinessCheck,
    metrics: Option<PrometheusHandle>,
    shutdown: CancellationToken,
    streams: Arc<Semaphore>,
    throttle: Throttle,
    hooks: Semaphore,
}

/// A place among those that wait or stream; given back when dropped.
pub(crate) struct StreamPlace {
    _place: OwnedSemaphorePermit,
}

impl App {
    pub(crate) fn new(
        store: Store,
        version: String,
        readiness: ReadinessCheck,
        metrics: Option<PrometheusHandle>,
        shutdown: CancellationToken,
    ) -> Self {
        let streams = Arc::new(Semaphore::new(STREAMS_MAX));
        let throttle = Throttle::default();
        let hooks = Semaphore::new(super::HOOKS_MAX);
        Self(Arc::new(Shared {
            store,
            version,
            readiness,
            metrics,
            shutdown,
            streams,
            throttle,
            hooks,
        }))
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(super) fn throttle(&self) -> &Throttle {
        &self.0.throttle
    }

    /// Places for messages of other systems.
    pub(super) fn hooks(&self) -> &Semaphore {
        &self.0.hooks
    }

    pub(crate) fn shutdown(&self) -> &CancellationToken {
        &self.0.shutdown
    }

    pub(crate) fn version(&self) -> &str {
        &self.0.version
    }

    pub(crate) async fn not_ready(&self) -> Vec<NotReady> {
        match tokio::time::timeout(READINESS_TIMEOUT, (self.0.readiness)()).await {
            Ok(reasons) => reasons,
            Err(_) => vec![NotReady {
                what: "readiness".to_owned(),
                sentence: format!(
                    "the check did not end within {} s",
                    READINESS_TIMEOUT.as_secs()
                ),
            }],
        }
    }

    pub(crate) fn metrics(&self) -> String {
        self.0
            .metrics
            .as_ref()
            .map_or(String::new(), PrometheusHandle::render)
    }

    pub(super) fn stream_place(&self) -> Result<StreamPlace, Problem> {
        match Arc::clone(&self.0.streams).try_acquire_owned() {
            Ok(place) => {
                metric::stream_opened();
                Ok(StreamPlace { _place: place })
            }
            Err(_) => Err(Problem::too_many_streams()),
        }
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        metric::stream_closed();
    }
}
