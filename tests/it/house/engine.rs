//! A Docker engine as the tests see it: through its socket, with nothing of the product in between.

use std::{path::PathBuf, process::Command, time::Duration};

use serde_json::{Value, json};

use super::{
    child::Folder,
    wire::{Place, Reply},
};

/// Longer than the longest grace period of any story.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(40);

/// An engine that answers at a unix socket.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    socket: PathBuf,
}

impl Engine {
    /// The one that `DOCKER_HOST` names, or the default one.
    pub(crate) fn of_this_machine() -> Self {
        let named = std::env::var("DOCKER_HOST").ok();
        let socket = named
            .as_deref()
            .and_then(|host| host.strip_prefix("unix://"))
            .unwrap_or("/var/run/docker.sock");
        let engine = Self {
            socket: PathBuf::from(socket),
        };
        for version in ["1.4.2", "1.5.0"] {
            let image = format!("sternway-demo:{version}");
            let there = engine.try_ask("GET", &format!("/images/{image}/json"), &Value::Null);
            assert!(
                there.is_ok_and(|reply| reply.status == 200),
                "No engine answers at {socket}, or {image} is not there. `sh tests/run.sh` prepares both; \
                 by hand: start an engine, then `sh docker/demo/build.sh 1.4.2 1.5.0`."
            );
        }
        engine
    }

    pub(crate) fn at(socket: PathBuf) -> Self {
        Self { socket }
    }

    pub(crate) fn socket(&self) -> &PathBuf {
        &self.socket
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    pub(crate) fn try_ask(&self, method: &str, path: &str, body: &Value) -> std::io::Result<Reply> {
        let text = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let place = Place::Unix(self.socket.clone());
        place.ask(
            method,
            path,
            &[("content-type", "application/json")],
            &text,
            ANSWER_LIMIT,
        )
    }

    #[track_caller]
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.try_ask(method, path, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    #[track_caller]
    fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let reply = self.ask(method, path, body);
        assert!(
            reply.status < 400,
            "{method} {path}: {} {}",
            reply.status,
            reply.text()
        );
        reply.json()
    }

    /// Every container, stopped ones as well, whose name contains `part`, as the engine inspects it.
    pub(crate) fn containers(&self, part: &str) -> Vec<Value> {
        let list = self.done("GET", "/containers/json?all=1", &Value::Null);
        let named = |row: &&Value| row["Names"].to_string().contains(part);
        let ids = list
            .as_array()
            .into_iter()
            .flatten()
            .filter(named)
            .filter_map(|row| row["Id"].as_str());
        // The list may be older than the truth: inspection decides.
        ids.map(|id| self.ask("GET", &format!("/containers/{id}/json"), &Value::Null))
            .filter(|reply| reply.status == 200)
            .map(|reply| reply.json())
            .collect()
    }

    /// Containers with a label.
    pub(crate) fn labelled(&self, label: &str) -> Vec<Value> {
        let filter = json!({ "label": [label] })
            .to_string()
            .replace('"', "%22")
            .replace('{', "%7B")
            .replace('}', "%7D");
        let list = self.done(
            "GET",
            &format!("/containers/json?all=1&filters={filter}"),
            &Value::Null,
        );
        list.as_array().cloned().unwrap_or_default()
    }

    pub(crate) fn inspect(&self, container: &str) -> Option<Value> {
        let reply = self.ask(
            "GET",
            &format!("/containers/{container}/json"),
            &Value::Null,
        );
        (reply.status == 200).then(|| reply.json())
    }

    /// Creates and starts one.
    pub(crate) fn run(&self, name: &str, config: &Value) -> String {
        let created = self.done("POST", &format!("/containers/create?name={name}"), config);
        let id = created["Id"]
            .as_str()
            .expect("a created container has an id")
            .to_owned();
        self.done("POST", &format!("/containers/{id}/start"), &Value::Null);
        id
    }

    pub(crate) fn create(&self, name: &str, config: &Value) -> String {
        let created = self.done("POST", &format!("/containers/create?name={name}"), config);
        created["Id"]
            .as_str()
            .expect("a created container has an id")
            .to_owned()
    }

    pub(crate) fn remove(&self, container: &str) {
        let reply = self.ask(
            "DELETE",
            &format!("/containers/{container}?force=1"),
            &Value::Null,
        );
        assert!(matches!(reply.status, 204 | 404 | 409), "{}", reply.text());
    }

    /// Writes one file into a container, through `docker cp`'s own interface.
    pub(crate) fn write(&self, container: &str, path: &str, text: &str) {
        let folder = Folder::new("cp");
        std::fs::write(folder.join("file"), text).expect("our own folder");
        let target = format!("{container}:{path}");
        let status = self.docker(&["cp", &folder.join("file").display().to_string(), &target]);
        assert!(
            status.status.success(),
            "{}",
            String::from_utf8_lossy(&status.stderr)
        );
    }

    pub(crate) fn read(&self, container: &str, path: &str) -> String {
        let folder = Folder::new("cp");
        let copy = folder.join("file");
        let status = self.docker(&[
            "cp",
            &format!("{container}:{path}"),
            &copy.display().to_string(),
        ]);
        assert!(
            status.status.success(),
            "{}",
            String::from_utf8_lossy(&status.stderr)
        );
        std::fs::read_to_string(copy).unwrap_or_default()
    }

    /// The `docker` command against this engine.
    pub(crate) fn docker(&self, arguments: &[&str]) -> std::process::Output {
        Command::new("docker")
            .args(arguments)
            .env("DOCKER_HOST", self.host())
            .output()
            .expect("docker is installed")
    }

    /// Makes a release of the demo application: `repository:version`, which says `version` and behaves as told.
    pub(crate) fn release(&self, repository: &str, version: &str, behaviour: &[&str]) -> String {
        let from = self.create(
            &format!("{repository}-{}-mould", version.replace('.', "")),
            &json!({ "Image": "sternway-demo:1.4.2" }),
        );
        let mut path = format!(
            "/commit?container={from}&repo={repository}&tag={version}&changes=ENV%20APP_VERSION={version}"
        );
        for setting in behaviour {
            path.push_str(&format!("%0AENV%20{setting}"));
        }
        // Fixed parts of the image's configuration come from the container, so an empty one keeps them.
        self.done("POST", &path, &json!({}));
        self.remove(&from);
        format!("{repository}:{version}")
    }

    /// The id of an image.
    #[track_caller]
    pub(crate) fn image(&self, reference: &str) -> String {
        let found = self.done("GET", &format!("/images/{reference}/json"), &Value::Null);
        found["Id"].as_str().expect("an image has an id").to_owned()
    }

    pub(crate) fn has_image(&self, reference: &str) -> bool {
        let reply = self.ask("GET", &format!("/images/{reference}/json"), &Value::Null);
        reply.status == 200
    }

    pub(crate) fn remove_image(&self, reference: &str) {
        let reply = self.ask(
            "DELETE",
            &format!("/images/{reference}?force=1"),
            &Value::Null,
        );
        assert!(matches!(reply.status, 200 | 404 | 409), "{}", reply.text());
    }

    pub(crate) fn answers(&self) -> bool {
        self.try_ask("GET", "/_ping", &Value::Null)
            .is_ok_and(|reply| reply.status == 200)
    }
}
