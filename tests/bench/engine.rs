//! The engine, by raw calls over its socket: what can be done at best, and what a benchmark leaves behind.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    Outcome,
    http::{Api, Place},
};

/// The images that docker/demo/build.sh makes.
pub(crate) const GOOD: &str = "1.4.2";
pub(crate) const BAD: &str = "1.5.0";

/// The engine at `DOCKER_HOST`, or at the default socket.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    api: Api,
    socket: PathBuf,
}

impl Engine {
    pub(crate) fn connect() -> Outcome<Self> {
        let host = std::env::var("DOCKER_HOST")
            .unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
        let path = host
            .strip_prefix("unix://")
            .ok_or("DOCKER_HOST must be a unix:// socket here")?;
        let socket = PathBuf::from(path);
        let api = Api {
            place: Place::Socket(socket.clone()),
            base: "",
            limit: Duration::from_secs(60),
        };
        api.get("/version")?;
        Ok(Self { api, socket })
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn inspect(&self, container: &str) -> Outcome<Value> {
        self.api.get(&format!("/containers/{container}/json"))
    }

    /// Creates a container and says its id.
    pub(crate) fn create(&self, name: &str, configuration: &Value) -> Outcome<String> {
        let made = self
            .api
            .post(&format!("/containers/create?name={name}"), configuration)?;
        Ok(made["Id"]
            .as_str()
            .ok_or("the engine names what it created")?
            .to_owned())
    }

    pub(crate) fn start(&self, container: &str) -> Outcome<()> {
        self.api
            .ask("POST", &format!("/containers/{container}/start"), "", None)
            .map(|_| ())
    }

    pub(crate) fn stop(&self, container: &str) -> Outcome<()> {
        self.api
            .ask(
                "POST",
                &format!("/containers/{container}/stop?t=10"),
                "",
                None,
            )
            .map(|_| ())
    }

    pub(crate) fn remove(&self, container: &str) -> Outcome<()> {
        self.api
            .ask(
                "DELETE",
                &format!("/containers/{container}?force=true&v=true"),
                "",
                None,
            )
            .map(|_| ())
    }

    /// Ids of the containers with this label, running or not.
    pub(crate) fn labelled(&self, label: &str) -> Outcome<Vec<String>> {
        let filter = json!({"label": [label]}).to_string();
        let escaped: String = filter.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let found = self
            .api
            .get(&format!("/containers/json?all=true&filters={escaped}"))?;
        let ids = found
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["Id"].as_str().map(str::to_owned));
        Ok(ids.collect())
    }

    pub(crate) fn remove_labelled(&self, label: &str) -> Outcome<()> {
        for id in self.labelled(label)? {
            self.remove(&id)?;
        }
        Ok(())
    }
}

/// The reference of a demo image.
pub(crate) fn image(version: &str) -> String {
    format!("sternway-demo:{version}")
}
