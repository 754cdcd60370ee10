//! A place on a real engine for one test.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use docker::{Engine, LookRequest, Looked, PerformContext, default_endpoint};
use domain::{
    application::Application,
    effect::{Effect, Failure, Outcome},
    engine_look::Container,
    name::{ContainerId, Fence, ImageId, RollbackId, SpecificationDigest},
    specification::Specification,
};
use serde_json::{Value, json};

static COUNT: AtomicU32 = AtomicU32::new(0);
/// How many houses use the images now: the first builds them, the last removes them.
static TENANTS: Mutex<u32> = Mutex::new(0);

pub(crate) const FENCE: Fence = Fence(5);

pub(crate) struct House {
    pub(crate) engine: Engine,
    /// Begins every name of this test.
    pub(crate) prefix: String,
    pub(crate) application: Application,
    pub(crate) rollback: RollbackId,
    endpoint: String,
}

impl House {
    /// A house whose application is one Compose project with the component `web`.
    pub(crate) async fn new() -> Self {
        let endpoint = default_endpoint(std::env::var("DOCKER_HOST").ok().as_deref());
        let engine = Engine::connect(&endpoint).unwrap();
        if let Err(error) = engine.facts(false).await {
            panic!(
                "these tests need a Docker engine: {error}. Start one (`. docker/prepare.sh; engine_start`) or set DOCKER_HOST"
            );
        }
        // Of one width: the engine's filter by name finds the text anywhere, and one house must not sweep another.
        let prefix = format!(
            "st{}x{:03}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let application = json!({"name": prefix, "environment": "test", "project": prefix, "components": [{"name": "web"}]});
        let application = serde_json::from_value(application).unwrap();
        let house = Self {
            engine,
            prefix,
            application,
            rollback: new_rollback(),
            endpoint,
        };
        house.move_in();
        house
    }

    fn move_in(&self) {
        let mut tenants = TENANTS.lock().unwrap_or_else(PoisonError::into_inner);
        if *tenants == 0 {
            for version in ["1", "2"] {
                self.build(
                    &image(version),
                    &format!(
                        "LABEL version={version}\nENV APP_VERSION={version} MODE=image{version}\n"
                    ),
                );
            }
        }
        *tenants += 1;
    }

    /// Builds an image of the demo's application with some more lines in its Dockerfile.
    pub(crate) fn build(&self, tag: &str, lines: &str) {
        let context = Path::new(env!("CARGO_TARGET_TMPDIR")).join(tag.replace([':', '/'], "-"));
        std::fs::create_dir_all(&context).unwrap();
        std::fs::copy(app(), context.join("app")).unwrap();
        let file = format!(
            "FROM scratch\nCOPY app /app\n{lines}ENTRYPOINT [\"/app\"]\nCMD [\"worker\"]\n"
        );
        std::fs::write(context.join("Dockerfile"), file).unwrap();
        self.docker(&["build", "-q", "-t", tag, context.to_str().unwrap()]);
    }

    /// The docker command line; panics when it fails, and gives what it prints.
    pub(crate) fn docker(&self, args: &[&str]) -> String {
        let (ok, said) = self.try_docker(args);
        assert!(ok, "docker {args:?}: {said}");
        said
    }

    pub(crate) fn try_docker(&self, args: &[&str]) -> (bool, String) {
        let output = Command::new("docker")
            .args(["--host", &self.endpoint])
            .args(args)
            .env("DOCKER_BUILDKIT", "0")
            .env_remove("DOCKER_CONTEXT")
            .output()
            .expect("the docker command line is installed");
        let text = if output.status.success() {
            &output.stdout
        } else {
            &output.stderr
        };
        (
            output.status.success(),
            String::from_utf8_lossy(text).trim().to_owned(),
        )
    }

    /// One request to the engine in its own words: what no client library understands can be asked for.
    pub(crate) fn api(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, String> {
        let socket = self.endpoint.strip_prefix("unix://").unwrap();
        let mut stream = UnixStream::connect(socket).map_err(|error| error.to_string())?;
        let body = body.map(ToString::to_string).unwrap_or_default();
        // The older version of HTTP: the answer ends with the connection.
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let good = head
            .split(' ')
            .nth(1)
            // 304: it already is as it was asked to be.
            .is_some_and(|status| status.starts_with('2') || status == "304");
        if !good {
            return Err(body.trim().to_owned());
        }
        Ok(serde_json::from_str(body).unwrap_or_default())
    }

    /// The first three numbers of addresses that no other test uses.
    pub(crate) fn address_range(&self) -> String {
        format!(
            "10.{}.{}",
            100 + std::process::id() % 150,
            COUNT.fetch_add(1, Ordering::Relaxed) % 256
        )
    }

    pub(crate) fn named(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.prefix)
    }

    /// Runs a container of the component `web`, as Compose would label it.
    pub(crate) fn web(
        &self,
        suffix: &str,
        number: &str,
        options: &[&str],
        command: &[&str],
    ) -> ContainerId {
        self.web_as("run", suffix, number, options, command)
    }

    pub(crate) fn web_as(
        &self,
        verb: &str,
        suffix: &str,
        number: &str,
        options: &[&str],
        command: &[&str],
    ) -> ContainerId {
        let name = self.named(suffix);
        let labels = [
            format!("com.docker.compose.project={}", self.prefix),
            "com.docker.compose.service=web".to_owned(),
            format!("com.docker.compose.container-number={number}"),
            "com.docker.compose.oneoff=False".to_owned(),
        ];
        let image = image("1");
        let mut args = vec![verb, "--name", &name];
        if verb == "run" {
            args.push("-d");
        }
        for label in &labels {
            args.extend(["--label", label]);
        }
        args.extend_from_slice(options);
        args.push(&image);
        args.extend_from_slice(command);
        self.docker(&args).parse().unwrap()
    }

    pub(crate) async fn image(&self, version: &str) -> ImageId {
        self.engine
            .image_id(&image(version))
            .await
            .unwrap()
            .expect("the image was built")
    }

    pub(crate) async fn look(&self) -> Looked {
        self.look_for(&self.application).await
    }

    pub(crate) async fn look_for(&self, application: &Application) -> Looked {
        let request = LookRequest {
            application,
            images: &[],
            disk: true,
            paths: &[],
            specifications: true,
        };
        self.engine.look(&request).await.unwrap()
    }

    pub(crate) async fn seen(&self, id: &ContainerId) -> Option<Container> {
        self.look()
            .await
            .look
            .containers
            .into_iter()
            .find(|container| container.id == *id)
    }

    /// The raw inspection, as the engine says it.
    pub(crate) fn inspect(&self, container: &str) -> Value {
        self.api("GET", &format!("/containers/{container}/json"), None)
            .unwrap()
    }

    /// Whether there is no such container.
    pub(crate) fn inspect_fails(&self, container: &ContainerId) -> bool {
        !self.try_docker(&["inspect", container.as_str()]).0
    }

    pub(crate) fn context<'a>(
        &'a self,
        specification: Option<&'a Specification>,
    ) -> PerformContext<'a> {
        PerformContext {
            application: &self.application,
            rollback: self.rollback,
            fence: FENCE,
            step: 4,
            owner: "the tests",
            specification,
            claim: &Living,
        }
    }

    pub(crate) async fn perform(&self, effect: &Effect) -> Outcome {
        self.engine
            .perform(effect, &self.context(None))
            .await
            .outcome
    }

    /// A creation of `web` from that version's image in place of a container.
    pub(crate) async fn creation(&self, version: &str, replaces: &ContainerId) -> Effect {
        Effect::CreateContainer {
            component: "web".parse().unwrap(),
            name: self.named(&format!("web-1.next-{}", self.rollback.short())),
            image: self.image(version).await,
            specification: digest(),
            replaces: replaces.clone(),
            config_hash: None,
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let sweep = |list: &[&str], remove: &[&str]| {
            let (_, found) = self.try_docker(list);
            let found: Vec<&str> = found.split_whitespace().collect();
            if !found.is_empty() {
                let _ = self.try_docker(&[remove, &found].concat());
            }
        };
        let name = format!("name={}", self.prefix);
        let (_, containers) = self.try_docker(&["ps", "-aq", "--filter", &name]);
        // A volume that a clone took over by name is not removed with it.
        let mut inspect = vec!["inspect", "--format", "{{range .Mounts}}{{.Name}} {{end}}"];
        inspect.extend(containers.split_whitespace());
        let (_, volumes) = if containers.is_empty() {
            (true, String::new())
        } else {
            self.try_docker(&inspect)
        };
        sweep(&["ps", "-aq", "--filter", &name], &["rm", "-f", "-v"]);
        sweep(
            &["network", "ls", "-q", "--filter", &name],
            &["network", "rm"],
        );
        sweep(
            &["volume", "ls", "-q", "--filter", &name],
            &["volume", "rm"],
        );
        for volume in volumes.split_whitespace() {
            let _ = self.try_docker(&["volume", "rm", "-f", volume]);
        }
        let mut tenants = TENANTS.lock().unwrap_or_else(PoisonError::into_inner);
        *tenants -= 1;
        if *tenants == 0 {
            let _ = self.try_docker(&["rmi", "-f", &image("1"), &image("2")]);
        }
    }
}

pub(crate) fn image(version: &str) -> String {
    format!("sternway-test-docker-{}:{version}", std::process::id())
}

pub(crate) fn digest() -> SpecificationDigest {
    "d1".repeat(32).parse().unwrap()
}

pub(crate) fn new_rollback() -> RollbackId {
    RollbackId(uuid::Uuid::now_v7())
}

#[track_caller]
pub(crate) fn assert_failed(outcome: &Outcome, expected: Failure) {
    let as_expected = matches!(outcome, Outcome::Failed { failure, .. } if *failure == expected);
    assert!(as_expected, "expected {expected:?}, it is {outcome:?}");
}

/// The demo's application as a static program, compiled once.
pub(crate) fn app() -> PathBuf {
    static BUILT: Mutex<()> = Mutex::new(());
    let _one = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docker/demo/app.rs");
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sternway-test-app");
    let age = |path: &Path| {
        path.metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
    };
    if age(&binary) < age(&source) {
        let part = binary.with_extension(std::process::id().to_string());
        let status = Command::new("rustc")
            .args([
                "--edition",
                "2024",
                "-O",
                "-C",
                "target-feature=+crt-static",
                "-C",
                "strip=symbols",
            ])
            .arg(&source)
            .arg("-o")
            .arg(&part)
            .status()
            .expect("rustc is installed");
        assert!(status.success());
        std::fs::rename(&part, &binary).unwrap();
    }
    binary
}

/// A claim that never ends.
#[derive(Debug)]
pub(crate) struct Living;

impl docker::Claim for Living {
    fn holds(&self) -> bool {
        true
    }
}

/// A claim that is over after so many questions.
#[derive(Debug)]
pub(crate) struct Dying(pub(crate) std::sync::atomic::AtomicI32);

impl docker::Claim for Dying {
    fn holds(&self) -> bool {
        self.0.fetch_sub(1, Ordering::SeqCst) > 0
    }
}
