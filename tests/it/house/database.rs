//! A Postgres of a test's own, which may be killed and started again while servers use it.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;

use super::{
    child::{Folder, Process, bound, log_file, tail},
    server::{free_port, psql},
    wait::{seconds, until},
};

/// A private Postgres on a port of the loopback.
pub(crate) struct Database {
    server: Option<Process>,
    port: u16,
    folder: Folder,
}

impl Database {
    pub(crate) fn new() -> Self {
        let folder = Folder::new("db");
        let data = folder.join("data");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777))
            .expect("our own folder");
        let mut command = as_postgres("initdb");
        command
            .args(["-A", "trust", "-U", "postgres", "--no-sync", "-D"])
            .arg(&data);
        let output = command.output().expect("initdb runs");
        assert!(
            output.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let mut database = Self {
            server: None,
            port: free_port(),
            folder,
        };
        database.start();
        database.sql("create database sternway");
        database
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/sternway", self.port)
    }

    pub(crate) fn start(&mut self) {
        let port = self.port.to_string();
        let mut server = self.launch();
        until("the private Postgres answers", seconds(60), || {
            // Children of a killed postmaster end in their own time; until then a new one ends at once.
            if let Some(end) = server.ended() {
                let said = tail(&self.folder.join("postgres.log"), 5);
                eprintln!("Postgres ended with {end}, once more: {said}");
                std::thread::sleep(seconds(1));
                server = self.launch();
            }
            let mut ready = Command::new(bin("pg_isready"));
            ready.args(["-q", "-h", "127.0.0.1", "-p", &port, "-U", "postgres"]);
            ready
                .status()
                .is_ok_and(|status| status.success())
                .then_some(())
        });
        self.server = Some(server);
    }

    fn launch(&self) -> Process {
        let mut command = as_postgres("postgres");
        command.arg("-D").arg(self.folder.join("data"));
        command.args([
            "-p",
            &self.port.to_string(),
            "-c",
            "listen_addresses=127.0.0.1",
        ]);
        command.arg("-k").arg(self.folder.path());
        let log = log_file(&self.folder.join("postgres.log"));
        command
            .stdout(log.try_clone().expect("a log can be shared"))
            .stderr(log);
        Process::start(command)
    }

    /// kill -9 of the postmaster; its children notice and end.
    pub(crate) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill();
        }
        // A new postmaster waits for the old one's children by itself, but refuses a live lock file's shared memory.
        let socket = self.folder.path().display().to_string();
        until("the old Postgres is gone", seconds(20), || {
            (!still_there(&socket)).then_some(())
        });
    }

    /// An orderly stop, clients thrown out.
    pub(crate) fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.signal(Signal::INT);
            server.end(seconds(20));
        }
    }

    pub(crate) fn sql(&self, query: &str) -> String {
        let database = if query.starts_with("create database") {
            "postgres"
        } else {
            "sternway"
        };
        psql(
            &[
                "-h",
                "127.0.0.1",
                "-p",
                &self.port.to_string(),
                "-U",
                "postgres",
                "-d",
                database,
            ],
            query,
        )
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- the private Postgres's log:\n{}",
                tail(&self.folder.join("postgres.log"), 10)
            );
        }
        self.stop();
    }
}

/// Whether a process with this folder on its command line is left.
fn still_there(folder: &str) -> bool {
    let entries = std::fs::read_dir("/proc")
        .expect("/proc is there")
        .flatten();
    entries
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .any(|line| {
            let line = String::from_utf8_lossy(&line);
            line.contains("postgres") && line.contains(folder)
        })
}

/// Postgres refuses to run as root.
fn as_postgres(program: &str) -> Command {
    if !rustix::process::geteuid().is_root() {
        return bound(bin(program));
    }
    let mut command = Command::new("setpriv");
    // The death signal is set after the change of user: the kernel clears it with that.
    command.args([
        "--reuid",
        "postgres",
        "--regid",
        "postgres",
        "--clear-groups",
        "--",
    ]);
    command
        .args(["setpriv", "--pdeathsig", "KILL", "--"])
        .arg(bin(program));
    command
}

/// A program of the newest Postgres on this machine: Debian keeps them off the PATH.
fn bin(program: &str) -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut found: Vec<PathBuf> = folders
        .map(|entry| entry.path().join("bin").join(program))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| Path::new(program).to_owned())
}
