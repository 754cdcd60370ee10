//! A private Postgres for tests, from the system's binaries: on a unix socket in a temporary folder, with `fsync` on.
//!
//! It needs nothing but std. As root it runs the server as user `postgres`. The server ends with the test binary,
//! however that ends: the kernel stops it (`setpriv --pdeathsig`), and a watchdog on a pipe removes the folder.

#![allow(dead_code, reason = "each test crate uses what it needs of it")]

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

/// How long initdb, a start or a stop may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// One server. Its folder goes away when the test binary ends.
pub(crate) struct Postgres {
    bin: PathBuf,
    folder: PathBuf,
    settings: Vec<String>,
    owner: Option<(u32, u32)>,
    pid: Mutex<Option<u32>>,
    _watchdog: Child,
}

impl Postgres {
    /// Makes a cluster and starts it. `settings` are `name=value` pairs.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let owner =
            (fs::metadata("/proc/self").expect("there is /proc").uid() == 0).then(postgres_user);
        let folder = folder(owner);
        let server = Self {
            bin: binaries(),
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            owner,
            pid: Mutex::new(None),
            _watchdog: watchdog(&folder),
            folder,
        };
        server.initdb();
        server.start_again();
        server
    }

    /// The folder of its socket: the `host` to connect to. User `postgres`, no password.
    pub(crate) fn socket_folder(&self) -> &Path {
        &self.folder
    }

    /// A program of the same version, such as `pg_dump`.
    pub(crate) fn program(&self, name: &str) -> Command {
        let mut command = self.owned(&self.bin.join(name));
        command
            .env("PGHOST", &self.folder)
            .env("PGUSER", "postgres");
        command
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&self) {
        let children = self.pid().map(children_of).unwrap_or_default();
        self.stop("-KILL");
        // They notice that their parent is gone. The shared memory is only taken over once the last one left it.
        self.wait_until("its children are gone", || {
            !children.iter().any(|child| is_there(*child))
        });
    }

    fn pid(&self) -> Option<u32> {
        *self.pid.lock().expect("no test panics with it")
    }

    /// Starts it after [`Self::kill`].
    pub(crate) fn start_again(&self) {
        let mut command = self.owned(&self.bin.join("postgres"));
        command
            .arg("-D")
            .arg(self.folder.join("data"))
            .arg("-k")
            .arg(&self.folder);
        for setting in [
            "listen_addresses=",
            "shared_buffers=64MB",
            "max_connections=400",
            // Databases are copied through the log: without a limit it takes a gigabyte of disk.
            "max_wal_size=256MB",
            "jit=off",
        ] {
            command.arg("-c").arg(setting);
        }
        for setting in &self.settings {
            command.arg("-c").arg(setting);
        }
        let log = fs::File::options()
            .append(true)
            .create(true)
            .open(self.folder.join("log"))
            .expect("a log file");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        *self.pid.lock().expect("no test panics with it") = Some(spawn_for_life(command));
        self.wait_until("it accepts connections", || {
            let asked = self
                .program("pg_isready")
                .arg("-q")
                .stderr(Stdio::null())
                .status();
            asked.is_ok_and(|status| status.success())
        });
    }

    /// Freezes it with everything it runs, until what is returned is dropped.
    pub(crate) fn frozen(&self) -> Frozen {
        let server = self.pid().expect("it runs");
        let mut pids = vec![server];
        pids.extend(children_of(server));
        for pid in &pids {
            signal_to("-STOP", *pid);
        }
        Frozen { pids }
    }

    fn stop(&self, signal: &str) {
        let Some(pid) = self.pid.lock().expect("no test panics with it").take() else {
            return;
        };
        signal_to(signal, pid);
        self.wait_until("it is gone", || !is_there(pid));
    }

    fn initdb(&self) {
        let mut command = self.owned(&self.bin.join("initdb"));
        command.args([
            "--no-sync",
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        ]);
        let made = command
            .arg("-D")
            .arg(self.folder.join("data"))
            .output()
            .expect("initdb can be run");
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
    }

    /// A command as the owner of the cluster, which ends with the thread that starts it.
    fn owned(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "QUIT"]);
        if let Some((uid, gid)) = self.owner {
            command
                .args([format!("--reuid={uid}"), format!("--regid={gid}")])
                .arg("--clear-groups");
        }
        command.arg(program).current_dir(&self.folder);
        command
    }

    fn wait_until(&self, what: &str, true_now: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !true_now() {
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "waited until {what}: {}", log());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn children_of(process: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let children = children.unwrap_or_default();
    let pids = children.split_whitespace();
    pids.filter_map(|pid| pid.parse().ok()).collect()
}

/// Whether it runs: one that nobody waited for is dead all the same.
fn is_there(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

/// A server that does not answer; dropping this lets it go on.
pub(crate) struct Frozen {
    pids: Vec<u32>,
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in self.pids.iter().rev() {
            signal_to("-CONT", *pid);
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop("-QUIT");
    }
}

/// Starts a child from a thread of its own that stays until the child ends: the death signal of a child comes when
/// the *thread* that started it ends, and threads of tests end early.
fn spawn_for_life(mut command: Command) -> u32 {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut child = command.spawn().expect("postgres can be run");
        tell.send(child.id()).expect("the starter waits");
        // Whoever stops it looks at /proc; here it is only reaped.
        let _ = child.wait();
    });
    told.recv().expect("the thread has started it")
}

/// Waits until the test binary is gone, whatever ended it, then stops what still runs in the folder and removes it.
fn watchdog(folder: &Path) -> Child {
    let script = r#"
        trap '' INT TERM
        read -r _
        if [ -f "$1/data/postmaster.pid" ]; then
            pid=$(head -n 1 "$1/data/postmaster.pid")
            kill -QUIT "$pid" 2>/dev/null
            for _ in 1 2 3 4 5 6 7 8 9 10; do [ -d "/proc/$pid" ] && sleep 0.2; done
        fi
        rm -rf "$1""#;
    let mut command = Command::new("sh");
    command.args(["-c", script, "watchdog"]).arg(folder);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh can be run")
}

fn folder(owner: Option<(u32, u32)>) -> PathBuf {
    let mut name = [0_u8; 6];
    let mut random = fs::File::open("/dev/urandom").expect("there is /dev/urandom");
    std::io::Read::read_exact(&mut random, &mut name).expect("it has bytes");
    // Short: the path of a unix socket has at most 107 bytes.
    let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = std::env::temp_dir().join(format!("sternway-pg-{name}"));
    fs::create_dir(&folder).expect("the temporary folder is writable");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("it is ours");
    if let Some((uid, gid)) = owner {
        chown(&folder, Some(uid), Some(gid)).expect("root may do so");
    }
    folder
}

fn postgres_user() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").expect("there is /etc/passwd");
    let user = users
        .lines()
        .find(|line| line.starts_with("postgres:"))
        .expect("there is a user `postgres`");
    let mut fields = user
        .split(':')
        .skip(2)
        .map(|field| field.parse().expect("a number"));
    (fields.next().expect("a uid"), fields.next().expect("a gid"))
}

fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .expect("postgresql is installed (Debian: apt install postgresql)");
    let bins = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let newest = bins
        .filter(|bin| bin.join("initdb").exists())
        .max_by_key(|bin| {
            let version = bin
                .parent()
                .and_then(Path::file_name)
                .and_then(|name| name.to_str());
            version
                .and_then(|version| version.parse::<u32>().ok())
                .unwrap_or(0)
        });
    newest.expect("postgresql's server is installed")
}

fn signal_to(signal: &str, pid: u32) {
    let sent = Command::new("kill")
        .arg(signal)
        .arg(pid.to_string())
        .status();
    if !sent.is_ok_and(|status| status.success()) {
        let _ = writeln!(std::io::stderr(), "process {pid} was gone already");
    }
}
