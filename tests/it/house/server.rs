//! The real server, in a state folder of its own, behind a door to its engine.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{
    asks::unique,
    child::{Folder, Process, bound, log_file, tail},
    door::EngineDoor,
    engine::Engine,
    private::PrivateEngine,
    wait::{seconds, until},
    wire::{Place, Reply},
};

/// The server ends every request within this, long polls included.
const ANSWER_LIMIT: Duration = Duration::from_secs(70);
/// A first start makes a database; two may do so at once on two cores, beside a compiler.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// One server, with what belongs to it.
pub(crate) struct House {
    server: Option<Process>,
    pub(crate) door: EngineDoor,
    pub(crate) engine: Engine,
    port: u16,
    wish: Wish,
    folder: Folder,
}

/// How a server shall be.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    engine: Engine,
    role: &'static str,
    lease_s: u32,
    database: Option<String>,
    /// Words before the command: the way into another network.
    inside: Vec<String>,
    key_of: Option<PathBuf>,
    fresh: bool,
}

impl Wish {
    /// Other than `all`.
    pub(crate) fn role(mut self, role: &'static str) -> Self {
        self.role = role;
        self
    }

    pub(crate) fn lease(mut self, seconds: u32) -> Self {
        self.lease_s = seconds;
        self
    }

    /// With its state there, instead of in an embedded Postgres.
    pub(crate) fn database(mut self, url: &str) -> Self {
        self.database = Some(url.to_owned());
        self
    }

    /// With nothing made beforehand: a first start.
    pub(crate) fn fresh(mut self) -> Self {
        self.fresh = true;
        self
    }

    /// With the key of another server, whose database it shares.
    pub(crate) fn key_of(mut self, other: &House) -> Self {
        self.key_of = Some(other.state().join("key"));
        self
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn build(self) -> House {
        let mut house = self.empty();
        house.start();
        house
    }

    /// Everything but the server's process.
    pub(crate) fn empty(self) -> House {
        let folder = Folder::new("house");
        let door = EngineDoor::new(&folder.join("door.sock"), &self.engine);
        match &self.key_of {
            Some(key) => {
                let state = folder.join("state");
                std::fs::create_dir(&state).expect("our own folder");
                std::fs::copy(key, state.join("key")).expect("the other server has made its key");
            }
            None if self.database.is_none() && !self.fresh => {
                copy(template(), &folder.join("state"))
            }
            None => {}
        }
        House {
            server: None,
            door,
            engine: self.engine.clone(),
            port: free_port(),
            wish: self,
            folder,
        }
    }
}

impl House {
    /// A server with an embedded Postgres, both roles, and this machine's engine.
    pub(crate) fn new() -> Self {
        Self::wish(&Engine::of_this_machine()).build()
    }

    pub(crate) fn wish(engine: &Engine) -> Wish {
        // The real default lease is 15 s; waiting for it would be most of the suite's time.
        Wish {
            engine: engine.clone(),
            role: "all",
            lease_s: 5,
            database: None,
            inside: Vec::new(),
            key_of: None,
            fresh: false,
        }
    }

    /// For an engine whose containers only answer inside its own network.
    pub(crate) fn inside(private: &PrivateEngine) -> Wish {
        Wish {
            inside: private.entrance(),
            ..Self::wish(&private.engine)
        }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port, for requests as any client sends them.
    pub(crate) fn tcp(&self) -> Place {
        Place::Tcp(([127, 0, 0, 1], self.port).into())
    }

    /// Its socket: who asks there is the administrator of this machine.
    pub(crate) fn socket(&self) -> Place {
        Place::Unix(self.state().join("sternway.sock"))
    }

    /// Starts the process and waits until it is ready.
    pub(crate) fn start(&mut self) {
        self.launch();
        self.ready();
    }

    /// Starts the process.
    pub(crate) fn launch(&mut self) {
        assert!(self.server.is_none(), "it runs already");
        let program = binary();
        let mut command = match self.wish.inside.split_first() {
            None => bound(program),
            Some((first, rest)) => {
                let mut command = bound(first);
                command.args(rest).arg(program);
                command
            }
        };
        command.args([
            "serve",
            "--role",
            self.wish.role,
            "--listen",
            &format!("127.0.0.1:{}", self.port),
        ]);
        self.surround(&mut command);
        let log = log_file(&self.log());
        command
            .stdout(log.try_clone().expect("a log can be shared"))
            .stderr(log);
        self.server = Some(Process::start(command));
    }

    fn surround(&self, command: &mut Command) {
        command
            .env_remove("DATABASE_URL")
            .env_remove("STERNWAY_TOKEN")
            .env("STERNWAY_STATE_DIR", self.state())
            .env("STERNWAY_LEASE_S", self.wish.lease_s.to_string())
            .env("DOCKER_HOST", self.door.host())
            // Both generations of Compose are here, as on a machine that is moving from one to the other.
            .env("HOME", super::compose::home())
            .env("NO_COLOR", "1");
        if let Some(url) = &self.wish.database {
            command.env("DATABASE_URL", url);
        }
    }

    /// Waits until it says that it is ready; fails at once when it has ended instead.
    pub(crate) fn ready(&mut self) {
        let (socket, log) = (self.socket(), self.log());
        let server = self.server.as_mut().expect("it was started");
        if self.wish.role == "worker" {
            return;
        }
        until("the server is ready", READY_LIMIT, || {
            if let Some(status) = server.ended() {
                panic!("the server ended with {status}:\n{}", tail(&log, 30));
            }
            let reply = socket
                .ask("GET", "/health/ready", &[], &[], seconds(5))
                .ok()?;
            (reply.status == 200).then_some(())
        });
    }

    pub(crate) fn pid(&self) -> u32 {
        self.server.as_ref().expect("it runs").pid()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill();
        }
    }

    /// SIGTERM, as a supervisor stops it; the exit code it ended with.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        let mut server = self.server.take().expect("it runs");
        server.signal(Signal::TERM);
        server.end(seconds(30)).code()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.server.as_ref().expect("it runs").signal(signal);
    }

    /// Whether the process is still there; a killed one is cleared away.
    pub(crate) fn lives(&mut self) -> bool {
        let lives = self
            .server
            .as_mut()
            .is_some_and(|server| server.ended().is_none());
        if !lives {
            self.server = None;
        }
        lives
    }

    /// Asks over its socket.
    pub(crate) fn try_ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> std::io::Result<Reply> {
        let text = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.socket().ask(method, path, &all, &text, ANSWER_LIMIT)
    }

    #[track_caller]
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.try_ask(method, path, &[], body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        self.ask("GET", path, &Value::Null).expect(200).json()
    }

    /// Makes a token of a role, for some applications or (with none named) all.
    pub(crate) fn token(&self, role: &str, person: Option<&str>, applications: &[&str]) -> String {
        let kind = if person.is_some() {
            "person"
        } else {
            "service"
        };
        let mut body = json!({ "name": format!("{role}-token"), "role": role, "kind": kind });
        if let Some(person) = person {
            body["person"] = json!(person);
        }
        if !applications.is_empty() {
            body["applications"] = json!(applications);
        }
        let made = self.ask("POST", "/api/v1/tokens", &body).expect(201).json();
        made["token"]
            .as_str()
            .expect("the answer shows the token, once")
            .to_owned()
    }

    /// Asks over its port with a token.
    #[track_caller]
    pub(crate) fn ask_with(&self, token: &str, method: &str, path: &str, body: &Value) -> Reply {
        let key = unique();
        let bearer = format!("Bearer {token}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("idempotency-key", key.as_str()),
        ];
        let text = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        self.tcp()
            .ask(method, path, &headers, &text, ANSWER_LIMIT)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// The real command line, as the user of this machine's server.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Output {
        self.cli_command(arguments)
            .output()
            .expect("the binary runs")
    }

    pub(crate) fn cli_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).stdin(Stdio::null());
        self.surround(&mut command);
        command
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// Asks our own tables of the embedded Postgres.
    pub(crate) fn sql(&self, query: &str) -> String {
        psql(
            &[
                "-h",
                &self.state().join("postgres/run").display().to_string(),
                "-U",
                "sternway",
                "-d",
                "sternway",
            ],
            query,
        )
    }

    /// The pid of the embedded Postgres.
    pub(crate) fn postgres(&self) -> u32 {
        let path = self.state().join("postgres/data/postmaster.pid");
        let text = std::fs::read_to_string(path).expect("the embedded Postgres runs");
        text.lines()
            .next()
            .and_then(|line| line.parse().ok())
            .expect("its first line is its pid")
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the server's log:\n{}", tail(&self.log(), 40));
        }
        if let Some(server) = &mut self.server {
            server.signal(Signal::CONT);
            server.signal(Signal::TERM);
            for _ in 0..1000 {
                if server.ended().is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// A state folder after a first start and an orderly stop. Making a database costs seconds, a copy of one does not.
/// It is kept for as long as the binary is the same.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let built = std::fs::metadata(binary())
            .and_then(|found| found.modified())
            .expect("the binary has a time");
        let age = built
            .duration_since(std::time::UNIX_EPOCH)
            .expect("it was built after 1970")
            .as_nanos();
        let parent = target().join("it-template");
        let place = parent.join(age.to_string());
        if !place.exists() {
            let _ = std::fs::remove_dir_all(&parent);
            std::fs::create_dir_all(&parent).expect("the target folder is ours");
            let mut first = House::wish(&Engine::of_this_machine()).fresh().build();
            assert_eq!(
                first.stop(),
                Some(0),
                "the first server stops in good order"
            );
            let aside = parent.join(format!("aside-{}", std::process::id()));
            copy(&first.state(), &aside);
            std::fs::rename(aside, &place).expect("nobody else makes it");
        }
        place
    })
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{} can not be copied",
        from.display()
    );
}

/// One query, its answer without ornament.
pub(crate) fn psql(to: &[&str], query: &str) -> String {
    let output = Command::new("psql")
        .args(to)
        .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", query])
        .output();
    let output = output.expect("psql is installed");
    assert!(
        output.status.success(),
        "{query}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The binary under test. `cargo test` does not build it for another package, so it is looked for.
pub(crate) fn binary() -> PathBuf {
    let path = target().join("debug/sternway");
    assert!(
        path.exists(),
        "{} is not there: `cargo build --bin sternway` first, as tests/run.sh does",
        path.display()
    );
    path
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are one folder below it")
        .to_owned()
}

/// A port below those that the kernel gives to clients, so that none of them sits on it while its server is down.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % 50).unwrap_or(0) * 200;
    loop {
        let port = 20_000 + (offset + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
