//! Why there is no embedded Postgres, in sentences that say what to do. Nothing here is retried.

use std::{io, path::PathBuf};

/// Each display is one whole answer for a person at a terminal.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// Nothing is installed.
    #[error(
        "no Postgres server binaries were found on PATH or in /usr/lib/postgresql/*/bin; install Debian's package `postgresql`, or set DATABASE_URL to a Postgres 15 or newer"
    )]
    BinariesMissing,
    /// What is installed is too old for our SQL.
    #[error(
        "only PostgreSQL {found} is installed, but 15 or newer is needed; install Debian's package `postgresql`, or set DATABASE_URL to a Postgres 15 or newer"
    )]
    BinariesOld {
        /// Majors, as `13, 14`.
        found: String,
    },
    /// The data was written by a major that is not installed.
    #[error(
        "the data in `{data}` was written by PostgreSQL {wanted}, but only {found} is installed; nothing was changed. Install Debian's package `postgresql-{wanted}`, or move the data to the new major with `pg_upgrade --old-datadir {data} --new-datadir <folder made by initdb> --old-bindir /usr/lib/postgresql/{wanted}/bin --new-bindir <folder of the new binaries>` (it needs both majors once)"
    )]
    OtherMajor {
        /// The data folder.
        data: PathBuf,
        /// Its major.
        wanted: u32,
        /// Majors, as `15, 17`.
        found: String,
    },
    /// `PG_VERSION` is missing or is not a number.
    #[error(
        "`{data}` is not a Postgres data folder that can be read: {what}; put it back from a backup, or move it away to begin anew"
    )]
    DataDamaged {
        /// The data folder.
        data: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// As root there is nobody whom Postgres could run as.
    #[error(
        "Postgres does not run as root, and there is neither a user `postgres` nor `nobody` on this machine; install Debian's package `postgresql`, which makes the user, or set DATABASE_URL"
    )]
    NobodyToRunAs,
    /// Our own uid has no name, which peer authentication needs.
    #[error(
        "uid {uid} has no name on this machine (`getent passwd {uid}` is empty), and Postgres needs one; add the user, or set DATABASE_URL"
    )]
    Nameless {
        /// The uid.
        uid: u32,
    },
    /// The data folder belongs to nobody whom we could become.
    #[error(
        "`{data}` belongs to uid {owner}, as whom Postgres cannot run; run `chown -R {account} {data}` if this is Sternway's data"
    )]
    ForeignData {
        /// The data folder.
        data: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who it should be.
        account: String,
    },
    /// The account cannot walk to its folder.
    #[error(
        "user `{account}`, as whom Postgres runs, cannot reach `{folder}` because `{blocker}` is closed to it; set STERNWAY_STATE_DIR to a folder elsewhere (root's default is /var/lib/sternway), or run `chmod o+x {blocker}`"
    )]
    Unreachable {
        /// Who cannot.
        account: String,
        /// What it needs.
        folder: PathBuf,
        /// The first closed folder on the way.
        blocker: PathBuf,
    },
    /// Unix socket paths are short.
    #[error(
        "`{path}` has {length} bytes, but a unix socket's path may have at most 107; set STERNWAY_STATE_DIR to a shorter path"
    )]
    SocketPathLong {
        /// The socket.
        path: PathBuf,
        /// Its bytes.
        length: usize,
    },
    /// The operating system refused.
    #[error("the embedded Postgres cannot be prepared: `{path}` cannot be {act}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What was tried, as a participle.
        act: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// `initdb` or the first statements failed.
    #[error("the database could not be made by `{program}`; nothing was kept. It said: {said}")]
    NotMade {
        /// What was run.
        program: PathBuf,
        /// The end of what it said.
        said: String,
    },
    /// The server ended before it answered.
    #[error("Postgres ended before it answered ({status}). It said: {said}")]
    Ended {
        /// How it ended.
        status: String,
        /// The end of what it said.
        said: String,
    },
    /// The server is there, but does not let us in.
    #[error("Postgres on `{socket}` refused us: {said}")]
    Refused {
        /// The socket's folder.
        socket: PathBuf,
        /// Its words.
        said: String,
    },
    /// The server did not answer in time.
    #[error("Postgres on `{socket}` did not answer within {seconds} s; the last it said: {said}")]
    Slow {
        /// The socket's folder.
        socket: PathBuf,
        /// How long we waited.
        seconds: u64,
        /// The end of what it said.
        said: String,
    },
    /// We were told to stop while it started.
    #[error("Postgres was told to stop while it was starting")]
    Stopping,
    /// Neither a fast nor an immediate shutdown ended it.
    #[error(
        "Postgres (pid {pid}) did not stop within {seconds} s and was killed; its data is safe, and the next start replays its log"
    )]
    DidNotStop {
        /// The postmaster.
        pid: i32,
        /// How long we waited.
        seconds: u64,
    },
}

/// For `map_err`: what was done to which path.
pub(super) fn failed(
    path: &std::path::Path,
    act: &'static str,
) -> impl FnOnce(io::Error) -> PostgresError {
    let path = path.to_owned();
    move |source| PostgresError::Io { path, act, source }
}
