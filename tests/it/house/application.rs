//! Applications made of the demo's images: Compose projects and plain containers, with behaviour to choose.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Output,
};

use serde_json::{Value, json};

use super::{child::Folder, compose::Generation, engine::Engine, server::free_port};

/// One application on an engine; everything of it goes with it.
pub(crate) struct Application {
    pub(crate) name: String,
    pub(crate) engine: Engine,
    /// The port of this machine that its front answers at.
    pub(crate) port: u16,
    pub(crate) repository: String,
    /// Whether docker-compose is called in its folder and finds the files by itself.
    pub(crate) by_itself: bool,
    /// Which Compose its people use.
    pub(crate) generation: Generation,
    components: Vec<String>,
    kind: Kind,
    folder: Folder,
    /// What a deployment of it put there: the names by which its replicas go.
    replicas: BTreeSet<String>,
    /// What each version's tag meant when it was deployed; a tag may move.
    digests: BTreeMap<String, String>,
}

enum Kind {
    Compose,
    /// Name of each container with its configuration; the image is filled in.
    Plain(Vec<(String, Value)>),
}

/// A shop with a front and a worker, as a person would write it down.
const SHOP: &str = r#"
services:
  api:
    image: ${IMAGE}
    command: ["api"]
    ports: ["127.0.0.1:${PORT}:8080"]
    restart: unless-stopped
    stop_grace_period: 2s
  worker:
    image: ${IMAGE}
    command: ["worker"]
    restart: unless-stopped
    stop_grace_period: 2s
"#;

impl Application {
    /// The shop of [`SHOP`].
    pub(crate) fn shop(engine: &Engine, what: &str) -> Self {
        Self::compose(engine, what, &["api", "worker"], SHOP)
    }

    /// A Compose project from this file, with `${IMAGE}` and `${PORT}` in it.
    pub(crate) fn compose(engine: &Engine, what: &str, components: &[&str], yaml: &str) -> Self {
        let application = Self::new(engine, what, components, Kind::Compose);
        std::fs::write(application.folder.join("compose.yml"), yaml).expect("our own folder");
        application
    }

    /// Containers without Compose: `component`, and each container's configuration for the engine's API.
    pub(crate) fn plain(engine: &Engine, what: &str, component: &str, configs: &[Value]) -> Self {
        let mut application = Self::new(engine, what, &[component], Kind::Plain(Vec::new()));
        let name = |at: usize| format!("{}-{component}-{at}", application.name);
        application.kind = Kind::Plain(
            configs
                .iter()
                .enumerate()
                .map(|(at, config)| (name(at + 1), config.clone()))
                .collect(),
        );
        application
    }

    fn new(engine: &Engine, what: &str, components: &[&str], kind: Kind) -> Self {
        let port = free_port();
        Self {
            // The port is unique on this machine, so the name is.
            name: format!("{what}{port}"),
            engine: engine.clone(),
            port,
            repository: "sternway-demo".to_owned(),
            by_itself: false,
            generation: Generation::wished(),
            components: components.iter().map(|&name| name.to_owned()).collect(),
            kind,
            folder: Folder::new("app"),
            replicas: BTreeSet::new(),
            digests: BTreeMap::new(),
        }
    }

    /// A file in the folder that it is deployed from.
    pub(crate) fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.join(name)
    }

    /// From now on its images are its own: a release that says `version` and behaves so.
    pub(crate) fn release(&mut self, version: &str, behaviour: &[&str]) -> String {
        self.repository = self.name.clone();
        self.engine.release(&self.repository, version, behaviour)
    }

    pub(crate) fn image(&self, version: &str) -> String {
        format!("{}:{version}", self.repository)
    }

    /// What the tag of a version meant when it was put in service.
    #[track_caller]
    pub(crate) fn digest(&self, version: &str) -> String {
        self.digests[version].clone()
    }

    /// What a deployment of a version puts into each component.
    pub(crate) fn images(&self, version: &str) -> Value {
        self.components
            .iter()
            .map(|component| (component.clone(), json!(self.image(version))))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// A definition of it, with times for impatient people.
    pub(crate) fn definition(&self) -> Value {
        let parts: Vec<Value> = self
            .components
            .iter()
            .map(|name| self.component(name))
            .collect();
        let mut definition = json!({
            "name": self.name, "environment": "test", "watch_window_s": 0,
            "timeouts": { "proof_s": 10, "engine_s": 60, "step_s": 60, "approval_s": 60, "red_s": 1 },
            "components": parts,
        });
        if matches!(self.kind, Kind::Compose) {
            definition["project"] = json!(self.name);
        }
        definition
    }

    /// The same with components of which two versions must not run at once: each is stopped and started.
    pub(crate) fn one_at_a_time(&self) -> Value {
        let mut definition = self.definition();
        for part in definition["components"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            part["overlap"] = json!(false);
        }
        definition
    }

    fn component(&self, name: &str) -> Value {
        let mut part = json!({ "name": name });
        if name != "worker" {
            part["version_endpoint"] =
                json!({ "port": 8080, "path": "/api/version", "field": "version" });
            part["probes"] = json!([
                { "kind": "http", "port": 8080, "path": "/health" },
                { "kind": "http", "port": 8080, "path": "/", "contains": "all prices known" },
            ]);
        }
        if let Kind::Plain(containers) = &self.kind {
            part["containers"] = containers
                .iter()
                .map(|(name, _)| json!(name))
                .collect::<Vec<_>>()
                .into();
        }
        part
    }

    /// Puts a version in service as a person would, and remembers which replicas that made.
    pub(crate) fn up(&mut self, version: &str) {
        self.up_with(version, &[]);
    }

    /// With further variables for the Compose file, or settings for the environment of plain containers.
    pub(crate) fn up_with(&mut self, version: &str, settings: &[(&str, &str)]) {
        match &self.kind {
            Kind::Compose => {
                let output = self.compose_run(version, settings, &["up", "-d"]);
                assert!(
                    output.status.success(),
                    "{}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            Kind::Plain(containers) => {
                for (name, config) in containers {
                    self.engine.remove(name);
                    let mut config = config.clone();
                    config["Image"] = json!(self.image(version));
                    let env: Vec<String> = settings
                        .iter()
                        .map(|(key, value)| format!("{key}={value}"))
                        .collect();
                    config["Env"] = json!(env);
                    self.engine.run(name, &config);
                }
            }
        }
        self.replicas = self.containers().iter().map(name_of).collect();
        self.digests
            .insert(version.to_owned(), self.engine.image(&self.image(version)));
    }

    /// docker-compose with this project.
    pub(crate) fn compose_run(
        &self,
        version: &str,
        settings: &[(&str, &str)],
        words: &[&str],
    ) -> Output {
        let mut command = self.generation.command();
        command.args(["-p", &self.name]);
        if self.by_itself {
            command.current_dir(self.file("."));
        } else {
            command.arg("-f").arg(self.file("compose.yml"));
        }
        command
            .args(words)
            .env("DOCKER_HOST", self.engine.host())
            .env("IMAGE", self.image(version))
            .env("PORT", self.port.to_string());
        command
            .envs(settings.iter().copied())
            .output()
            .expect("docker-compose is installed")
    }

    /// Its own containers, as the engine inspects them; without those that only keep images or the lock.
    pub(crate) fn containers(&self) -> Vec<Value> {
        let ours = |container: &Value| {
            let labels = &container["Config"]["Labels"];
            labels["sternway.keep"].is_null() && labels["sternway.lock"].is_null()
        };
        self.engine
            .containers(&self.name)
            .into_iter()
            .filter(ours)
            .collect()
    }

    /// Ids of the containers that run, in order.
    pub(crate) fn running(&self) -> Vec<String> {
        let containers = self.containers();
        let running = containers
            .iter()
            .filter(|container| container["State"]["Running"] == true);
        let mut ids: Vec<String> = running
            .filter_map(|container| container["Id"].as_str())
            .map(str::to_owned)
            .collect();
        ids.sort();
        ids
    }

    /// The container that goes by a replica's name.
    pub(crate) fn replica(&self, component: &str, number: u32) -> Value {
        let tails = [
            format!("_{component}_{number}"),
            format!("-{component}-{number}"),
        ];
        let found = self
            .containers()
            .into_iter()
            .find(|container| tails.iter().any(|tail| name_of(container).ends_with(tail)));
        found.unwrap_or_else(|| panic!("no container {component} {number} of {}", self.name))
    }

    /// Says what is wrong when not exactly one container per replica runs the version, under its own name, with
    /// nothing else of the application beside them and the lock given back.
    pub(crate) fn disorder(&self, version: &str) -> Result<(), String> {
        let known = self.digests.get(version).cloned();
        let image = known.unwrap_or_else(|| self.engine.image(&self.image(version)));
        let containers = self.containers();
        let names: Vec<String> = containers.iter().map(name_of).collect();
        let expected: Vec<String> = self.replicas.iter().cloned().collect();
        let mut sorted = names.clone();
        sorted.sort();
        if sorted != expected {
            return Err(format!("containers are {sorted:?}, should be {expected:?}"));
        }
        for container in &containers {
            let name = name_of(container);
            if container["Image"] != image.as_str() {
                return Err(format!(
                    "{name} runs {}, should run {image}",
                    container["Image"]
                ));
            }
            if container["State"]["Running"] != true {
                return Err(format!("{name} is {}", container["State"]["Status"]));
            }
        }
        let locks = self.engine.labelled("sternway.lock");
        let locked = locks
            .iter()
            .any(|lock| lock["Labels"]["sternway.application"] == self.name.as_str());
        if locked {
            Err("the lock was not given back".to_owned())
        } else {
            Ok(())
        }
    }

    /// Fails unless [`Self::disorder`] finds none, and Compose finds its project as it left it.
    #[track_caller]
    pub(crate) fn serves_alone(&self, version: &str) {
        if let Err(disorder) = self.disorder(version) {
            panic!("{} should serve {version}: {disorder}", self.name);
        }
        if matches!(self.kind, Kind::Compose) {
            let output = self.compose_run(version, &[], &["ps", "-q"]);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let mut ids: Vec<&str> = text.split_whitespace().collect();
            ids.sort_unstable();
            assert_eq!(
                ids,
                self.running(),
                "docker-compose ps does not recognise what runs"
            );
        }
    }

    /// Fails unless `docker-compose up -d` of the version finds nothing to do.
    #[track_caller]
    pub(crate) fn compose_agrees(&self, version: &str, settings: &[(&str, &str)]) {
        let before = self.running();
        let output = self.compose_run(version, settings, &["up", "-d"]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(
            before,
            self.running(),
            "docker-compose up -d made other containers: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// The name of an inspected container.
pub(crate) fn name_of(container: &Value) -> String {
    container["Name"]
        .as_str()
        .unwrap_or_default()
        .trim_start_matches('/')
        .to_owned()
}

impl Drop for Application {
    fn drop(&mut self) {
        if !self.engine.answers() {
            return;
        }
        if std::thread::panicking() {
            let rows = self.containers();
            let rows = rows.iter().map(|row| {
                format!(
                    "{} {} {}",
                    name_of(row),
                    row["State"]["Status"],
                    row["Image"]
                )
            });
            eprintln!("--- {}: {:#?}", self.name, rows.collect::<Vec<_>>());
        }
        let marked = self
            .engine
            .labelled(&format!("sternway.application={}", self.name));
        let named = self.engine.containers(&self.name);
        for container in named.iter().chain(&marked) {
            self.engine
                .remove(container["Id"].as_str().unwrap_or_default());
        }
        for kind in ["networks", "volumes"] {
            let list = self
                .engine
                .ask("GET", &format!("/{kind}"), &Value::Null)
                .json();
            let rows = if kind == "volumes" {
                list["Volumes"].clone()
            } else {
                list
            };
            for name in rows
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|row| row["Name"].as_str())
            {
                if name.starts_with(&self.name) {
                    self.engine
                        .ask("DELETE", &format!("/{kind}/{name}"), &Value::Null);
                }
            }
        }
        if self.repository == self.name {
            let images = self.engine.ask("GET", "/images/json", &Value::Null).json();
            let tags = images
                .as_array()
                .into_iter()
                .flatten()
                .flat_map(|image| image["RepoTags"].as_array().cloned());
            for tag in tags
                .flatten()
                .filter_map(|tag| tag.as_str().map(str::to_owned))
            {
                if tag.starts_with(&format!("{}:", self.name)) {
                    self.engine.remove_image(&tag);
                }
            }
        }
    }
}
