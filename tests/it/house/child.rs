//! Processes that never outlive this one, and folders that go with their owner.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Sender},
    },
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::wait::until;

/// A process of ours. The kernel kills it when this test process dies, however that happens.
pub(crate) struct Process {
    child: Child,
}

type Job = (Command, Sender<std::io::Result<Child>>);

/// The kernel ties a process to the *thread* that started it, so one thread that never ends starts them all.
fn spawner() -> &'static Sender<Job> {
    static SPAWNER: OnceLock<Sender<Job>> = OnceLock::new();
    SPAWNER.get_or_init(|| {
        let (jobs, todo) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, answer) in todo {
                let _ = answer.send(command.spawn());
            }
        });
        jobs
    })
}

/// A command that is killed with us.
pub(crate) fn bound(program: impl AsRef<OsStr>) -> Command {
    bound_by("KILL", program)
}

/// A command that gets this signal when we die.
pub(crate) fn bound_by(signal: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", signal, "--"])
        .arg(program)
        .stdin(Stdio::null());
    command
}

impl Process {
    /// Starts a command that was made by [`bound`].
    pub(crate) fn start(command: Command) -> Self {
        let (answer, started) = mpsc::channel();
        spawner()
            .send((command, answer))
            .expect("the spawner lives as long as the tests");
        let child = started
            .recv()
            .expect("the spawner answers")
            .expect("the command starts (is util-linux installed?)");
        Self { child }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        signal_pid(self.pid(), signal);
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self, deadline: Duration) -> ExitStatus {
        let pid = self.pid();
        until(&format!("process {pid} ends"), deadline, || self.ended())
    }

    /// SIGKILL, and its end.
    pub(crate) fn kill(&mut self) {
        if self.ended().is_none() {
            self.signal(Signal::KILL);
            self.end(Duration::from_secs(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A signal to one process by its id. One that has ended takes none, and that is fine.
pub(crate) fn signal_pid(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .expect("a process id is a positive number");
    let _ = kill_process(pid, signal);
}

/// A folder of our own that is removed with its owner.
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Others may walk through it: Postgres runs as another user.
    pub(crate) fn new(what: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let parent =
            std::env::var_os("STERNWAY_TEST_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        if std::env::var_os("STERNWAY_TEST_DIR").is_some() {
            fs::set_permissions(&parent, Permissions::from_mode(0o711))
                .expect("the test folder is ours");
        }
        // Short: a socket's path has 107 bytes.
        let path = parent.join(format!("sw{}-{count}-{what}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder of our own can be made");
        fs::set_permissions(&path, Permissions::from_mode(0o711)).expect("it is ours");
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A Postgres that is ending may still write: a second try finds it gone.
        for _ in 0..200 {
            if fs::remove_dir_all(&self.path).is_ok() || !self.path.exists() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A log that every start of a process appends to.
pub(crate) fn log_file(path: &Path) -> File {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .expect("a log in our own folder can be opened")
}

/// The last lines of a log, for a failed test.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
