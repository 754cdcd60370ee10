//! The server under measurement: a process of its own with a folder of its own, ended by its id.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    Outcome, Settings,
    http::{Api, Place},
};

/// A first start makes a database, which takes seconds on a busy machine.
const READY_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(30);

/// How one server is started.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) binary: PathBuf,
    /// Its state folder; also where its log goes.
    pub(crate) folder: PathBuf,
    /// A Postgres of ours instead of its own.
    pub(crate) database_url: Option<String>,
    pub(crate) lease: Duration,
    /// Another engine than the usual, for `DOCKER_HOST`.
    pub(crate) engine: Option<String>,
}

impl Plan {
    pub(crate) fn new(settings: &Settings, name: &str) -> Self {
        let folder = settings.scratch.join(name);
        Self {
            binary: settings.sternway.clone(),
            folder,
            database_url: None,
            lease: Duration::from_secs(15),
            engine: None,
        }
    }

    /// Starts it and waits until it says that it is ready.
    pub(crate) fn start(&self) -> Outcome<Server> {
        let port = free_port()?;
        std::fs::create_dir_all(&self.folder)?;
        let log = File::options().create(true).append(true).open(self.log())?;
        // If this program is killed, the server is told to stop: nothing is left.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "TERM"])
            .arg(&self.binary)
            .args(["serve", "--listen", &format!("127.0.0.1:{port}")]);
        command
            .arg("--lease-s")
            .arg(self.lease.as_secs().to_string());
        command
            .env("STERNWAY_STATE_DIR", self.state())
            .env_remove("DATABASE_URL");
        if let Some(url) = &self.database_url {
            command.env("DATABASE_URL", url);
        }
        if let Some(engine) = &self.engine {
            command.env("DOCKER_HOST", engine);
        }
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let begun = Instant::now();
        let child = command.spawn()?;
        let place = Place::Socket(self.state().join("sternway.sock"));
        let api = Api {
            place,
            base: "/api/v1",
            limit: Duration::from_secs(75),
        };
        let mut server = Server {
            child,
            api,
            port,
            ready_after: Duration::ZERO,
        };
        server.wait_ready(begun, &self.log())?;
        Ok(server)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }
}

/// A running server; dropping it stops it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Its API over its own socket, where no token is needed.
    pub(crate) api: Api,
    /// Where it listens on the loopback.
    pub(crate) port: u16,
    /// From its start to its first answer that it is ready.
    pub(crate) ready_after: Duration,
}

impl Server {
    fn wait_ready(&mut self, begun: Instant, log: &Path) -> Outcome<()> {
        let health = Api {
            base: "",
            limit: Duration::from_secs(2),
            ..self.api.clone()
        };
        while health.get("/health/ready").is_err() {
            let ended = self.child.try_wait()?;
            if ended.is_some() || begun.elapsed() > READY_MAX {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                let last: Vec<&str> = said.lines().rev().take(5).collect();
                return Err(format!(
                    "the server is not ready, {ended:?}; its last words: {last:#?}"
                )
                .into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.ready_after = begun.elapsed();
        Ok(())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`; returns at once, when it is gone.
    pub(crate) fn kill(mut self) -> Outcome<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to stop; it goes on until it has.
    pub(crate) fn ask_to_stop(&self) -> Outcome<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.ok_or("a process has a positive id")?, Signal::TERM)?;
        Ok(())
    }

    fn wait(&mut self) -> Outcome<()> {
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > STOP_MAX {
                self.child.kill()?;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Stops it cleanly.
    pub(crate) fn stop(mut self) -> Outcome<()> {
        self.ask_to_stop()?;
        self.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) && self.ask_to_stop().is_ok() {
            let _ = self.wait();
        }
    }
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> Outcome<u16> {
    Ok(
        TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?
            .local_addr()?
            .port(),
    )
}
