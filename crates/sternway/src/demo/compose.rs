//! docker-compose as a child process: argv only, no shell. What it prints is shown only when it fails.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::Command;

use crate::{client::problem::Failure, exit::Exit, out::one_line};

/// Creating two containers takes a second; a slow disk takes more.
const LIMIT: Duration = Duration::from_secs(120);
/// How much of its output is shown when it fails.
const LINES_SHOWN: usize = 12;

/// A docker-compose that answers, and the file it works on.
#[derive(Clone, Debug)]
pub struct Compose {
    program: &'static [&'static str],
    file: PathBuf,
    docker_host: String,
}

impl Compose {
    /// Finds docker-compose, version 1 or 2.
    ///
    /// # Errors
    /// When there is none.
    pub async fn find(file: &Path, docker_host: &str) -> Result<Self, Failure> {
        if !file.is_file() {
            let what = format!("the Compose file `{}` is not there", file.display());
            return Err(Failure::new(
                Exit::Usage,
                what,
                &[
                    "run the demo from the repository's folder, or name the file with --compose-file",
                ],
            ));
        }
        for program in [
            ["docker-compose"].as_slice(),
            ["docker", "compose"].as_slice(),
        ] {
            let compose = Self {
                program,
                file: file.to_owned(),
                docker_host: docker_host.to_owned(),
            };
            if compose.run(&["version"], None).await.is_ok() {
                return Ok(compose);
            }
        }
        let next = [
            "apt-get install docker-compose, or run `sh docker/demo.sh`, which installs what is missing",
        ];
        Err(Failure::new(
            Exit::Usage,
            "neither `docker-compose` nor `docker compose` is on this machine",
            &next,
        ))
    }

    /// Puts a version in service, as an ordinary deployment does.
    ///
    /// # Errors
    /// What docker-compose says.
    pub async fn up(&self, version: &str) -> Result<(), Failure> {
        self.run(&["up", "-d"], Some(version)).await
    }

    /// Removes the application: containers and network.
    ///
    /// # Errors
    /// What docker-compose says.
    pub async fn down(&self) -> Result<(), Failure> {
        self.run(&["down", "--remove-orphans", "--timeout", "2"], None)
            .await
    }

    /// The command as a person would type it.
    #[must_use]
    pub fn words(&self, arguments: &str) -> String {
        format!(
            "{} -f {} {arguments}",
            self.program.join(" "),
            self.file.display()
        )
    }

    async fn run(&self, arguments: &[&str], version: Option<&str>) -> Result<(), Failure> {
        let mut command = Command::new(self.program[0]);
        command
            .args(&self.program[1..])
            .arg("-f")
            .arg(&self.file)
            .args(arguments);
        command
            .env("DOCKER_HOST", &self.docker_host)
            .env("COMPOSE_ANSI", "never");
        if let Some(version) = version {
            command.env("VERSION", version);
        }
        // Its own group: Ctrl-C is ours to answer, and the cleaning up must not be cut short by it.
        command.process_group(0).kill_on_drop(true);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let words = self.words(&arguments.join(" "));
        let failed = |why: String| {
            Failure::new(
                Exit::Internal,
                format!("`{words}` failed: {why}"),
                &["run it yourself to see more"],
            )
        };
        let ended = tokio::time::timeout(LIMIT, command.output()).await;
        let output = ended
            .map_err(|_| failed(format!("no end after {} s", LIMIT.as_secs())))?
            .map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let lines: Vec<&str> = said.lines().collect();
        let last = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
        Err(failed(format!(
            "{}: {}",
            output.status,
            one_line(&last.join("; "))
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_file_is_said_before_anything_is_run() {
        let failure = Compose::find(Path::new("/nonexistent/compose.yml"), "unix:///x")
            .await
            .unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
    }

    #[test]
    fn the_command_is_shown_as_a_person_would_type_it() {
        let compose = Compose {
            program: &["docker", "compose"],
            file: "a/compose.yml".into(),
            docker_host: String::new(),
        };
        assert_eq!(
            compose.words("up -d"),
            "docker compose -f a/compose.yml up -d"
        );
    }
}
