//! The connection to one engine. It is made at the first call and again after the engine was away; every
//! call has its own time limit.

use std::{
    collections::BTreeMap,
    future::Future,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bollard::{API_DEFAULT_VERSION, Docker};
use domain::{engine_look::EngineFacts, name::ImageId, seen::Seen};

use crate::{
    compose::{Compose, Projects},
    error::{Error, Kind},
    specification::ImageSettings,
};

/// An ordinary call takes milliseconds; a busy disk can make it seconds.
pub(crate) const ORDINARY: Duration = Duration::from_secs(10);
/// Create, start and remove write to the disk and set up networks.
pub(crate) const SLOW: Duration = Duration::from_secs(30);
/// bollard's own limit only covers the head of an answer; ours covers all of it and is always the shorter one.
const BOLLARD_LIMIT_S: u64 = 24 * 3600;
/// The address that an engine has when nobody says otherwise.
const SOCKET_DEFAULT: &str = "unix:///var/run/docker.sock";

/// The endpoint that `local` means: `DOCKER_HOST` when it is set, else the usual socket.
#[must_use]
pub fn default_endpoint(docker_host: Option<&str>) -> String {
    docker_host
        .filter(|host| !host.is_empty())
        .unwrap_or(SOCKET_DEFAULT)
        .to_owned()
}

/// One engine. Cheap to clone; clones share the connection.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    endpoint: String,
    socket: String,
    connected: Mutex<Option<Connected>>,
    /// Configurations of images: an image never changes, so they are asked for once.
    pub(crate) image_configs: Mutex<BTreeMap<ImageId, Arc<ImageSettings>>>,
    /// Every Compose of this machine, once one was found: looking for them takes half a second.
    composes: tokio::sync::Mutex<Vec<Compose>>,
    projects: Projects,
}

/// An engine that answered, and what it said of itself.
#[derive(Clone)]
pub(crate) struct Connected {
    docker: Docker,
    name: String,
    version: String,
    api_version: String,
    root_dir: PathBuf,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Engine")
            .field("endpoint", &self.inner.endpoint)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// The engine at `unix:///absolute/path`. Nothing is sent yet.
    ///
    /// # Errors
    /// When the endpoint is of another kind.
    pub fn connect(endpoint: &str) -> Result<Self, Error> {
        let socket = endpoint.strip_prefix("unix://").filter(|path| path.starts_with('/')).ok_or_else(|| {
            let said = "an engine's endpoint is `unix:///absolute/path/of/the.sock`; TCP, TLS and SSH are not supported yet";
            Error::new(Kind::BadEndpoint, said)
        })?;
        let inner = Inner {
            endpoint: endpoint.to_owned(),
            socket: socket.to_owned(),
            connected: Mutex::new(None),
            image_configs: Mutex::new(BTreeMap::new()),
            composes: tokio::sync::Mutex::new(Vec::new()),
            projects: Projects::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The endpoint, as it was given.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.inner.endpoint
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> &str {
        &self.inner.socket
    }

    /// What the engine says of itself, with the free disk where it keeps its data if asked for.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn facts(&self, disk: bool) -> Result<EngineFacts, Error> {
        let engine = self.connected().await?;
        let disk_free = if disk {
            disk_free(engine.root_dir).await
        } else {
            Seen::Unknown("not asked for".to_owned())
        };
        Ok(EngineFacts {
            name: engine.name,
            version: engine.version,
            api_version: engine.api_version,
            disk_free,
        })
    }

    /// Whether the engine takes every network of a container at its creation (Docker Engine API 1.44 on).
    pub(crate) async fn takes_all_networks(&self) -> Result<bool, Error> {
        Ok(version_of(&self.connected().await?.api_version) >= (1, 44))
    }

    /// One call with its time limit. `what` begins the sentence of a failure, such as `inspect container x`.
    pub(crate) async fn call<T, F>(
        &self,
        what: &str,
        limit: Duration,
        act: impl FnOnce(Docker) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, bollard::errors::Error>>,
    {
        let docker = self.connected().await?.docker;
        let result = match tokio::time::timeout(limit, act(docker)).await {
            Ok(result) => result.map_err(|error| Error::of(what, error)),
            Err(_) => Err(Error::timed_out(what, limit)),
        };
        if result.as_ref().is_err_and(Error::unreachable) {
            // An engine that comes back may be another one: ask it again who it is.
            *self
                .inner
                .connected
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = None;
        }
        result
    }

    /// The client itself, for an answer that is read piece by piece; whoever reads it sets the limit.
    pub(crate) async fn client(&self) -> Result<Docker, Error> {
        Ok(self.connected().await?.docker)
    }

    pub(crate) fn image_configs(
        &self,
    ) -> std::sync::MutexGuard<'_, BTreeMap<ImageId, Arc<ImageSettings>>> {
        self.inner
            .image_configs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn known_projects(&self) -> &Projects {
        &self.inner.projects
    }

    pub(crate) async fn composes(&self) -> Vec<Compose> {
        let mut found = self.inner.composes.lock().await;
        if found.is_empty() {
            *found = Compose::all().await;
        }
        found.clone()
    }

    async fn connected(&self) -> Result<Connected, Error> {
        if let Some(engine) = self
            .inner
            .connected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
        {
            return Ok(engine.clone());
        }
        let what = format!("connect to the engine at {}", self.inner.endpoint);
        let engine = match tokio::time::timeout(ORDINARY, introduce(&self.inner.socket)).await {
            Ok(result) => result.map_err(|error| Error::of(&what, error))?,
            Err(_) => return Err(Error::timed_out(&what, ORDINARY)),
        };
        *self
            .inner
            .connected
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(engine.clone());
        Ok(engine)
    }
}

/// bollard 0.21 sends no API version, so an engine answers in its own; 0.22 will send the negotiated one.
async fn introduce(socket: &str) -> Result<Connected, bollard::errors::Error> {
    let docker = Docker::connect_with_unix(socket, BOLLARD_LIMIT_S, API_DEFAULT_VERSION)?
        .negotiate_version()
        .await?;
    let (version, info) = (docker.version().await?, docker.info().await?);
    Ok(Connected {
        docker,
        name: info.name.unwrap_or_default(),
        version: version.version.unwrap_or_default(),
        api_version: version.api_version.unwrap_or_default(),
        root_dir: info.docker_root_dir.unwrap_or_default().into(),
    })
}

fn version_of(api_version: &str) -> (u32, u32) {
    let mut parts = api_version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// Only an engine behind a unix socket keeps its data on a disk that we may be able to see.
async fn disk_free(root_dir: PathBuf) -> Seen<u64> {
    let shown = root_dir.display().to_string();
    let look = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&root_dir));
    match tokio::time::timeout(ORDINARY, look).await {
        Ok(Ok(Ok(disk))) => Seen::Known(disk.f_bavail.saturating_mul(disk.f_frsize)),
        Ok(Ok(Err(error))) => Seen::Unknown(format!("{shown}: {error}")),
        Ok(Err(_)) | Err(_) => Seen::Unknown(format!("{shown} did not answer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_local_socket_is_an_endpoint() {
        assert_eq!(
            Engine::connect("unix:///var/run/docker.sock")
                .unwrap()
                .endpoint(),
            SOCKET_DEFAULT
        );
        for bad in [
            "local",
            "tcp://127.0.0.1:2375",
            "unix://docker.sock",
            "/var/run/docker.sock",
            "",
        ] {
            assert_eq!(
                Engine::connect(bad).unwrap_err().kind(),
                Kind::BadEndpoint,
                "{bad}"
            );
        }
    }

    #[test]
    fn an_empty_docker_host_means_the_usual_socket() {
        assert_eq!(default_endpoint(None), SOCKET_DEFAULT);
        assert_eq!(default_endpoint(Some("")), SOCKET_DEFAULT);
        assert_eq!(default_endpoint(Some("unix:///tmp/x")), "unix:///tmp/x");
    }

    #[test]
    fn api_versions_compare_as_numbers() {
        assert!(version_of("1.100") > version_of("1.44"));
        assert!(version_of("1.9") < version_of("1.44"));
    }
}
