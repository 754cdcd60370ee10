//! The demo's application in a project of its own, put in service by docker-compose as people do it.

use std::process::{Command, Stdio};

use crate::{Outcome, server::free_port};

pub(crate) const PROJECT: &str = "sternway-bench";
const FILE: &str = "docker/demo/compose.yml";

/// A project at a fixed port of this machine; taken down when this is dropped.
#[derive(Debug)]
pub(crate) struct Compose {
    program: &'static [&'static str],
    pub(crate) port: u16,
}

impl Compose {
    pub(crate) fn find() -> Outcome<Self> {
        let port = free_port()?;
        for program in [
            ["docker-compose"].as_slice(),
            ["docker", "compose"].as_slice(),
        ] {
            let compose = Self { program, port };
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
    pub(crate) fn front(&self) -> &'static str {
        // Version 2 writes names with a dash.
        if self.program.len() == 1 {
            "sternway-bench_api_1"
        } else {
            "sternway-bench-api-1"
        }
    }

    fn run(&self, version: &str, arguments: &[&str]) -> Outcome<()> {
        let mut command = Command::new(self.program[0]);
        command
            .args(&self.program[1..])
            .args(["-p", PROJECT, "-f", FILE])
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
