//! Applications in projects of their own, put in service by docker-compose as people do it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Outcome, server::free_port};

/// What is put in service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The demo's own: boots at once, at a published port.
    Demo,
    /// Boots for two seconds before it answers.
    SlowBoot,
    /// On the network of the host.
    HostNetwork,
    /// Behind HAProxy, at no port of the host.
    Haproxy,
    /// The same behind Caddy.
    Caddy,
}

impl Shape {
    /// Those that are switched over in more ways than one, or beside such.
    pub(crate) const ALL: [Self; 3] = [Self::Demo, Self::SlowBoot, Self::HostNetwork];

    pub(crate) fn project(self) -> &'static str {
        match self {
            Self::Demo => "sternway-bench",
            Self::SlowBoot => "sternway-bench-slow",
            Self::HostNetwork => "sternway-bench-host",
            Self::Haproxy => "sternway-bench-haproxy",
            Self::Caddy => "sternway-bench-caddy",
        }
    }

    /// The project's file, written where it is not the demo's.
    fn file(self, folder: &Path) -> Outcome<PathBuf> {
        let text = match self {
            Self::Demo => return Ok("docker/demo/compose.yml".into()),
            Self::SlowBoot => SLOW_BOOT,
            Self::HostNetwork => HOST_NETWORK,
            Self::Haproxy | Self::Caddy => BEHIND,
        };
        let file = folder.join(format!("{}.yml", self.project()));
        std::fs::write(&file, text)?;
        Ok(file)
    }
}

const SLOW_BOOT: &str = r#"
version: "2.4"
services:
  api:
    image: sternway-demo:${VERSION:-1.4.2}
    command: ["api"]
    environment: {START_MS: "2000"}
    ports: ["127.0.0.1:${DEMO_PORT}:8080"]
    stop_grace_period: 10s
"#;

const HOST_NETWORK: &str = r#"
version: "2.4"
services:
  api:
    image: sternway-demo:${VERSION:-1.4.2}
    command: ["api"]
    environment: {PORT: "${DEMO_PORT}"}
    network_mode: host
    stop_grace_period: 10s
"#;

const BEHIND: &str = r#"
version: "2.4"
services:
  api:
    image: sternway-demo:${VERSION:-1.4.2}
    command: ["api"]
    environment: {EVENTS_MS: "3000"}
    stop_grace_period: 10s
"#;

/// A project at a fixed port of this machine, or behind a balancer there; taken down when this is dropped.
#[derive(Debug)]
pub(crate) struct Compose {
    program: &'static [&'static str],
    shape: Shape,
    file: PathBuf,
    pub(crate) port: u16,
}

impl Compose {
    pub(crate) fn find(shape: Shape, folder: &Path) -> Outcome<Self> {
        let (port, file) = (free_port()?, shape.file(folder)?);
        for program in [
            ["docker-compose"].as_slice(),
            ["docker", "compose"].as_slice(),
        ] {
            let file = file.clone();
            let compose = Self {
                program,
                shape,
                file,
                port,
            };
            if compose.run("", &["version"]).is_ok() {
                // What a run that was killed may have left.
                compose.down()?;
                return Ok(compose);
            }
        }
        Err("neither `docker-compose` nor `docker compose` is on this machine".into())
    }

    pub(crate) fn up(&self, version: &str) -> Outcome<()> {
        self.run(version, &["up", "-d"])
    }

    pub(crate) fn down(&self) -> Outcome<()> {
        self.run("", &["down"])
    }

    /// The container that has the port.
    pub(crate) fn front(&self) -> String {
        // Version 2 writes names with a dash.
        let dash = if self.program.len() == 1 { '_' } else { '-' };
        format!("{}{dash}api{dash}1", self.shape.project())
    }

    fn run(&self, version: &str, arguments: &[&str]) -> Outcome<()> {
        let mut command = Command::new(self.program[0]);
        command
            .args(&self.program[1..])
            .args(["-p", self.shape.project(), "-f"])
            .arg(&self.file)
            .args(arguments);
        command.env("DEMO_PORT", self.port.to_string());
        if !version.is_empty() {
            command.env("VERSION", version);
        }
        let output = command.stdin(Stdio::null()).output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!(
            "docker-compose {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        )
        .into())
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        let _ = self.down();
    }
}
