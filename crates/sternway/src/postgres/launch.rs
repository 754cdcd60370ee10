//! Starts programs as the right user, so that they die with us; and a handle on a process that stays true
//! when its pid is used again. No shell, and none of our environment (it holds secrets).

use std::{
    io::{self, Read as _, Write as _},
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use super::account::Account;

/// `initdb` took 0.8 s idle and 3.4 s on a loaded machine; a slow disk gets ten times as long.
const RUN_MAX: Duration = Duration::from_secs(60);

/// How programs are started.
#[derive(Clone, Debug)]
pub(super) struct Launcher {
    /// util-linux's `setpriv`; it sets the death signal after it has become the user, which would clear it.
    /// Without it Postgres outlives us, and is adopted by the next start.
    pub(super) setpriv: Option<PathBuf>,
    /// `None`: as ourselves.
    pub(super) account: Option<Account>,
}

impl Launcher {
    pub(super) fn new(account: Option<Account>) -> Self {
        Self {
            setpriv: find_setpriv(),
            account,
        }
    }

    /// The program gets SIGINT (a fast, clean shutdown to Postgres) when the *thread* that starts it ends.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = match (&self.setpriv, &self.account) {
            (Some(setpriv), account) => through_setpriv(setpriv, account.as_ref(), program),
            (None, Some(account)) => {
                // std clears the supplementary groups when root becomes somebody else.
                let mut command = Command::new(program);
                command.uid(account.uid).gid(account.gid);
                command
            }
            (None, None) => Command::new(program),
        };
        // Its own process group: Ctrl-C in a terminal is for us, who stop Postgres last.
        command
            .env_clear()
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("PATH", "/usr/bin:/bin");
        command
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// Runs a short program to its end; `Err` holds the end of what it said.
    pub(super) fn run(&self, mut command: Command, input: &str) -> Result<String, String> {
        let mut child = command
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let handle = Handle::of(&child).map_err(|error| error.to_string())?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ended early says why on stderr; a broken pipe would hide it.
            let _ = stdin.write_all(input.as_bytes());
        }
        // Both programs say far less than a pipe holds, so they never wait for us to read.
        if !handle.ended_within(Some(RUN_MAX)) {
            handle.signal(Signal::KILL);
        }
        let status = child.wait().map_err(|error| error.to_string())?;
        let mut said = String::new();
        if let Some(stderr) = child.stderr.take() {
            let _ = stderr.take(1 << 16).read_to_string(&mut said);
        }
        if status.success() {
            Ok(said)
        } else {
            Err(format!("{} ({status})", said.trim()))
        }
    }
}

fn through_setpriv(setpriv: &Path, account: Option<&Account>, program: &Path) -> Command {
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "INT"]);
    if let Some(account) = account {
        command
            .arg(format!("--reuid={}", account.uid))
            .arg(format!("--regid={}", account.gid))
            .arg("--clear-groups");
    }
    command.arg("--").arg(program);
    command
}

/// Busybox has a `setpriv` without death signals.
fn find_setpriv() -> Option<PathBuf> {
    let setpriv = Path::new("/usr/bin/setpriv");
    let help = Command::new(setpriv).arg("--help").output().ok()?;
    String::from_utf8_lossy(&help.stdout)
        .contains("--pdeathsig")
        .then(|| setpriv.to_owned())
}

/// A process, ours or adopted, by its pidfd.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) pid: i32,
    fd: OwnedFd,
}

impl Handle {
    pub(super) fn of(child: &Child) -> io::Result<Self> {
        let pid = Pid::from_child(child);
        Ok(Self {
            pid: pid.as_raw_nonzero().get(),
            fd: pidfd_open(pid, PidfdFlags::empty())?,
        })
    }

    /// `None` where nobody has this pid.
    pub(super) fn of_pid(pid: i32) -> io::Result<Option<Self>> {
        let Some(known) = Pid::from_raw(pid) else {
            return Ok(None);
        };
        match pidfd_open(known, PidfdFlags::empty()) {
            Ok(fd) => Ok(Some(Self { pid, fd })),
            Err(Errno::SRCH | Errno::INVAL) => Ok(None),
            Err(other) => Err(other.into()),
        }
    }

    /// A process that has ended already needs no signal.
    pub(super) fn signal(&self, signal: Signal) {
        if let Err(error) = pidfd_send_signal(&self.fd, signal)
            && error != Errno::SRCH
        {
            tracing::warn!(pid = self.pid, %error, "Postgres cannot be signalled");
        }
    }

    /// Waits for its end; `None` waits as long as it takes.
    pub(super) fn ended_within(&self, limit: Option<Duration>) -> bool {
        let deadline = limit.map(|limit| Instant::now() + limit);
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(
                &mut [PollFd::new(&self.fd, PollFlags::IN)],
                timeout.as_ref(),
            ) {
                Ok(0) => return false,
                Ok(_) => return true,
                Err(Errno::INTR) => {}
                // The descriptor is ours and open, so this is the kernel's memory running out: ask again,
                // and never report an end that was not seen.
                Err(_) if left.is_some_and(|left| left.is_zero()) => return false,
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}
