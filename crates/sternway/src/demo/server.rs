//! The demo's server: this very program as a child process with a state folder and a port of its own. It is
//! ended by its process id, after a look that this is still the process that was started.

use std::{
    net::TcpListener,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::process::{Child, Command};

use super::folder::Folder;
use crate::{
    client::{Client, problem::Failure},
    exit::Exit,
    out::one_line,
    state_folder::StateFolder,
};

/// A first start makes a database, which takes seconds on a slow disk.
const READY_LIMIT: Duration = Duration::from_secs(90);
/// Between two looks whether it is ready, or gone.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// A clean end closes the database; after this it is killed, which loses nothing but time at the next start.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Lines of its log that are shown when it fails.
const LINES_SHOWN: usize = 8;

/// A server that was started here.
#[derive(Debug)]
pub struct Server {
    child: Child,
    pid: i32,
    /// Its address for clients with a token.
    pub url: String,
    /// The client of this machine's user: no token needed.
    pub local: Client,
}

impl Server {
    /// Starts it. Unless it is to be kept, it ends when this process does, whatever ends it.
    ///
    /// # Errors
    /// When it can not be started.
    pub fn start(folder: &Folder, docker_host: &str, keep: bool) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(
                Exit::Internal,
                format!("the demo's server can not be started: {error}"),
                &[],
            )
        };
        let program = std::env::current_exe().map_err(failed)?;
        let port = free_port().map_err(failed)?;
        let log = folder.create(&folder.log())?;
        let mut command = if keep {
            Command::new(&program)
        } else {
            tied(&program)
        };
        command
            .arg("serve")
            .arg("--listen")
            .arg(format!("127.0.0.1:{port}"))
            .arg("--state-dir")
            .arg(folder.state());
        command.env("DOCKER_HOST", docker_host);
        for name in [
            "DATABASE_URL",
            "STERNWAY_URL",
            "STERNWAY_TOKEN",
            "STERNWAY_TOKEN_FILE",
            "STERNWAY_STATE_DIR",
            "STERNWAY_KEY_FILE",
        ] {
            command.env_remove(name);
        }
        // Its own group: Ctrl-C is the demo's to answer.
        command.process_group(0).stdin(Stdio::null());
        command.stdout(log.try_clone().map_err(failed)?).stderr(log);
        let child = command.spawn().map_err(failed)?;
        let pid = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .unwrap_or(0);
        let local = Client::at_socket(&StateFolder::socket_in(&folder.state()))?;
        Ok(Self {
            child,
            pid,
            url: format!("http://127.0.0.1:{port}"),
            local,
        })
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits until it takes requests.
    ///
    /// # Errors
    /// When it ends instead, with what it said last, or takes too long.
    pub async fn ready(&mut self, log: &Path) -> Result<Duration, Failure> {
        let begin = Instant::now();
        while begin.elapsed() < READY_LIMIT {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.failed(&format!("ended: {status}"), log));
            }
            if self.local.get("/health/ready").await.is_ok() {
                return Ok(begin.elapsed());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Err(self.failed("did not get ready in time", log))
    }

    fn failed(&self, how: &str, log: &Path) -> Failure {
        let said = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = said
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let last = lines[lines.len().saturating_sub(LINES_SHOWN)..]
            .iter()
            .map(|line| one_line(line))
            .collect::<Vec<_>>();
        let mut failure = Failure::new(
            Exit::Internal,
            format!("the demo's server {how}"),
            &["`sternway doctor` looks at what it needs"],
        );
        failure.problem.difference = last;
        failure
    }

    /// Ends it, cleanly if it can.
    pub async fn stop(mut self) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            let _ = kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(STOP_LIMIT, self.child.wait())
            .await
            .is_err()
        {
            let _ = self.child.kill().await;
        }
    }
}

/// Ends a server that an earlier demo left running; nothing when that process is gone or is another one.
pub async fn stop_left(pid: i32, state: &Path) {
    let Some(id) = Pid::from_raw(pid).filter(|_| is_ours(pid, state)) else {
        return;
    };
    let _ = kill_process(id, Signal::TERM);
    let begin = Instant::now();
    while test_kill_process(id).is_ok() && is_ours(pid, state) {
        if begin.elapsed() > STOP_LIMIT {
            let _ = kill_process(id, Signal::KILL);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        if begin.elapsed() > STOP_LIMIT * 2 {
            return;
        }
    }
}

/// Whether a process is the server of this state folder: a number may have been given to another one since.
#[must_use]
pub fn is_ours(pid: i32, state: &Path) -> bool {
    let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) else {
        return false;
    };
    let state = state.as_os_str().as_encoded_bytes();
    let arguments: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    arguments.contains(&b"serve".as_slice()) && arguments.contains(&state)
}

/// The program under `setpriv`, where there is one: the kernel ends it when we die, however we die.
fn tied(program: &Path) -> Command {
    let setpriv = ["/usr/bin/setpriv", "/bin/setpriv"]
        .into_iter()
        .find(|path| Path::new(path).is_file());
    match setpriv {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command
                .arg("--pdeathsig")
                .arg("TERM")
                .arg("--")
                .arg(program);
            command
        }
        None => Command::new(program),
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_not_our_server_is_never_ended() {
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(!is_ours(me, Path::new("/tmp/x")));
        assert!(!is_ours(0, Path::new("/tmp/x")));
    }
}
