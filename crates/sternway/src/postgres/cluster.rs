//! One data folder and its server: makes the data, adopts or starts the server, waits until it answers.
//! It decides nothing about what happens after that (see `keeper`).

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{
    account::{self, Account},
    binaries::{self, Binaries},
    error::{PostgresError, failed},
    folder::PostgresFolder,
    keeper::Shared,
    knock::{Answer, knock},
    launch::{Handle, Launcher},
    postmaster::{self, Found},
    server_log::ServerLog,
    settings,
};

/// A start takes 0.2 s; replaying 256 MB of log after a crash takes seconds on a slow disk.
const READY_MAX: Duration = Duration::from_secs(60);
/// How often the door is tried; the server's end is noticed at once.
const KNOCK_PAUSE: Duration = Duration::from_millis(5);
/// A fast shutdown writes one checkpoint of at most 16 MB.
pub(super) const STOP_MAX: Duration = Duration::from_secs(20);

/// Everything that is needed to run the server again.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) folder: PostgresFolder,
    binaries: Binaries,
    launcher: Launcher,
}

/// A server that answers.
#[derive(Debug)]
pub(super) struct Running {
    handle: Arc<Handle>,
    child: Option<(Child, ServerLog)>,
}

impl Running {
    /// It was alive before us, and is not our child.
    pub(super) fn adopted(&self) -> bool {
        self.child.is_none()
    }

    /// Waits for its end and says how it ended.
    pub(super) fn wait(self) -> String {
        self.handle.ended_within(None);
        describe(self.child)
    }
}

impl Cluster {
    /// Looks at what is there; changes nothing.
    pub(super) fn new(
        folder: PostgresFolder,
        found: &[Binaries],
        bare: bool,
    ) -> Result<Self, PostgresError> {
        let data = folder.data();
        let binaries = binaries::choose(found, &data)?;
        let mut launcher = Launcher::new(account::choose(&data)?);
        if bare {
            launcher.setpriv = None;
        }
        Ok(Self {
            folder,
            binaries,
            launcher,
        })
    }

    /// Makes the folders, the rules of access and, the first time, the database.
    pub(super) fn prepare(&self) -> Result<(), PostgresError> {
        self.folder.prepare(&self.launcher)?;
        settings::write_access(
            &self.folder,
            &Account::own()?,
            self.launcher.account.as_ref(),
        )?;
        if self.folder.data().exists() {
            Ok(())
        } else {
            self.make_data()
        }
    }

    /// Made under another name and renamed when it is whole and on the disk: a kill in the middle leaves
    /// something that the next start throws away, never half a database.
    fn make_data(&self) -> Result<(), PostgresError> {
        let aside = self.folder.unfinished();
        self.folder.make_own(&aside, &self.launcher)?;
        self.initdb(&aside)?;
        self.make_database(&aside)?;
        let data = self.folder.data();
        fs::rename(&aside, &data).map_err(failed(&data, "renamed to"))?;
        let parent = data.parent().unwrap_or(Path::new("/"));
        File::open(parent)
            .and_then(|folder| folder.sync_all())
            .map_err(failed(parent, "made durable"))
    }

    fn initdb(&self, data: &Path) -> Result<(), PostgresError> {
        let program = self.binaries.initdb();
        let mut command = self.launcher.command(&program);
        command.arg("-D").arg(data);
        command.args([
            "--username",
            settings::SUPERUSER,
            "--encoding",
            "UTF8",
            "--locale",
            "C",
        ]);
        // Our own rules replace these at every start; they are for a person who starts it by hand.
        command.args(["--auth-local", "peer", "--auth-host", "reject"]);
        let said = self.launcher.run(command, "");
        said.map(drop)
            .map_err(|said| PostgresError::NotMade { program, said })
    }

    /// In single-user mode, so that the role and the database exist before anybody can log in.
    fn make_database(&self, data: &Path) -> Result<(), PostgresError> {
        let program = self.binaries.postgres();
        let mut command = self.launcher.command(&program);
        command
            .arg("--single")
            .arg("-D")
            .arg(data)
            .args(["-c", "log_checkpoints=off", "postgres"]);
        let (role, database) = (settings::ROLE, settings::DATABASE);
        let input = format!("create role {role} login\ncreate database {database} owner {role}\n");
        match self.launcher.run(command, &input) {
            // This mode answers an error with a line and goes on to success.
            Ok(said) if !said.contains("ERROR:") => Ok(()),
            Ok(said) | Err(said) => Err(PostgresError::NotMade { program, said }),
        }
    }

    /// Adopts the live server of this data, or starts one.
    pub(super) fn start(&self, shared: &Shared) -> Result<Running, PostgresError> {
        let data = self.folder.data();
        match postmaster::find(&data)? {
            Found::Alive(handle, words) => {
                if let Some(running) = self.adopt(Arc::new(handle), &words, shared)? {
                    return Ok(running);
                }
            }
            Found::Stranger => postmaster::forget_stranger(&data)?,
            Found::Nobody => {}
        }
        self.spawn(shared)
    }

    /// `None`: it has ended, or had to be ended because it runs with other settings than ours.
    fn adopt(
        &self,
        handle: Arc<Handle>,
        words: &[std::ffi::OsString],
        shared: &Shared,
    ) -> Result<Option<Running>, PostgresError> {
        let program = self.binaries.postgres();
        let ours = settings::server_arguments(&self.folder);
        let same = words
            .split_first()
            .is_some_and(|(first, rest)| Path::new(first) == program && rest == ours);
        if !same {
            tracing::info!(
                pid = handle.pid,
                "a live Postgres of this data has other settings; it is stopped and started again"
            );
            end(&handle)?;
            return Ok(None);
        }
        shared.publish(&handle)?;
        match self.wait_ready(&handle) {
            Ok(()) => Ok(Some(Running {
                handle,
                child: None,
            })),
            // Its former parent's death was stopping it.
            Err(Unready::Ended) => Ok(None),
            Err(other) => Err(self.explain(other, "nothing that we could hear")),
        }
    }

    fn spawn(&self, shared: &Shared) -> Result<Running, PostgresError> {
        let program = self.binaries.postgres();
        let mut command = self.launcher.command(&program);
        command
            .args(settings::server_arguments(&self.folder))
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed(&program, "started"))?;
        let handle = Arc::new(Handle::of(&child).map_err(failed(&program, "watched"))?);
        let stderr = child
            .stderr
            .take()
            .ok_or_else(|| failed(&program, "heard")(std::io::ErrorKind::BrokenPipe.into()))?;
        let log = ServerLog::follow(stderr).map_err(failed(&program, "heard"))?;
        let ready = shared
            .publish(&handle)
            .and_then(|()| match self.wait_ready(&handle) {
                Ok(()) => Ok(()),
                Err(Unready::Ended) => Err(PostgresError::Ended {
                    status: describe_status(&mut child),
                    said: log.last_words(),
                }),
                Err(other) => Err(self.explain(other, &log.last_words())),
            });
        match ready {
            Ok(()) => Ok(Running {
                handle,
                child: Some((child, log)),
            }),
            Err(error) => {
                end(&handle)?;
                let _ = child.wait();
                Err(error)
            }
        }
    }

    fn wait_ready(&self, handle: &Handle) -> Result<(), Unready> {
        let deadline = Instant::now() + READY_MAX;
        loop {
            let last = match knock(&self.folder.sockets()) {
                Answer::Ready => return Ok(()),
                Answer::Refused(said) => return Err(Unready::Refused(said)),
                Answer::NotYet(said) => said,
            };
            if handle.ended_within(Some(KNOCK_PAUSE)) {
                return Err(Unready::Ended);
            }
            if Instant::now() > deadline {
                return Err(Unready::Slow(last));
            }
        }
    }

    fn explain(&self, why: Unready, log: &str) -> PostgresError {
        let socket = self.folder.sockets();
        match why {
            Unready::Refused(said) => PostgresError::Refused { socket, said },
            Unready::Slow(last) => PostgresError::Slow {
                socket,
                seconds: READY_MAX.as_secs(),
                said: format!("{last} / {log}"),
            },
            Unready::Ended => PostgresError::Ended {
                status: "unknown".into(),
                said: log.into(),
            },
        }
    }
}

/// Why nobody answers.
enum Unready {
    Ended,
    Refused(String),
    Slow(String),
}

/// Fast, then immediate, then by force. Only the last is an error: the first two leave nothing behind.
pub(super) fn end(handle: &Handle) -> Result<(), PostgresError> {
    handle.signal(Signal::INT);
    if handle.ended_within(Some(STOP_MAX)) {
        return Ok(());
    }
    tracing::warn!(
        pid = handle.pid,
        "Postgres does not stop in time; it is stopped at once, and replays its log at the next start"
    );
    handle.signal(Signal::QUIT);
    // A server that somebody has suspended hears nothing else.
    handle.signal(Signal::CONT);
    if handle.ended_within(Some(Duration::from_secs(5))) {
        return Ok(());
    }
    handle.signal(Signal::KILL);
    handle.ended_within(Some(Duration::from_secs(5)));
    Err(PostgresError::DidNotStop {
        pid: handle.pid,
        seconds: STOP_MAX.as_secs() + 5,
    })
}

fn describe(child: Option<(Child, ServerLog)>) -> String {
    child.map_or_else(
        || "adopted, so its status is unknown".into(),
        |(mut child, _)| describe_status(&mut child),
    )
}

fn describe_status(child: &mut Child) -> String {
    child
        .wait()
        .map_or_else(|error| error.to_string(), |status| status.to_string())
}
