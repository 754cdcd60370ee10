//! The embedded Postgres: a private child server from the system's binaries, for when no `DATABASE_URL` is
//! given. It never touches the system's own clusters, downloads nothing, and is not seen by the network.
//!
//! | file | holds |
//! |---|---|
//! | `binaries` | which servers are installed, and which fits the data |
//! | `account` | who it runs as |
//! | `folder` | where it lives, and who may walk there |
//! | `settings` | how it is set up, who is let in |
//! | `launch` | starting programs that die with us |
//! | `postmaster` | is there a live server of this data? |
//! | `knock` | does it let us in? |
//! | `cluster` | make, adopt or start one server |
//! | `keeper` | the thread that starts it again when it dies |
//! | `server_log` | what it says |

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

mod account;
mod binaries;
mod cluster;
mod error;
mod folder;
mod keeper;
mod knock;
mod launch;
mod postmaster;
mod server_log;
mod settings;
#[cfg(test)]
mod tests;

pub use binaries::{Binaries, MAJOR_MIN};
pub use error::PostgresError;
pub use folder::PostgresFolder;

use cluster::Cluster;
use keeper::Keeper;
use launch::Launcher;

/// How to connect; there is no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The folder of the unix socket (`PgConnectOptions::socket`).
    pub socket_folder: PathBuf,
    /// The number in the socket's name.
    pub port: u16,
    /// The role that owns the database.
    pub user: &'static str,
    /// The database.
    pub database: &'static str,
}

impl Address {
    /// For sqlx and libpq alike. The host `localhost` is only there because URLs need one.
    #[must_use]
    pub fn url(&self) -> String {
        let host = percent_encoded(&self.socket_folder);
        let Self {
            user,
            port,
            database,
            ..
        } = self;
        format!("postgres://{user}@localhost:{port}/{database}?host={host}&sslmode=disable")
    }
}

/// A running server that is ours. Dropping it stops it too, but cannot say how that went.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    keeper: Option<Keeper>,
    address: Address,
    ready_after: Duration,
    adopted: bool,
}

impl EmbeddedPostgres {
    /// Adopts or starts the server, making its database the first time, and returns when it answers.
    /// It blocks for 0.2 to 2 s: in async code call it through `spawn_blocking`.
    ///
    /// # Errors
    /// See [`PostgresError`]; each says what to do.
    pub fn start(folder: &PostgresFolder) -> Result<Self, PostgresError> {
        Self::start_with(folder, &binaries::find(&binaries::search_folders()), false)
    }

    fn start_with(
        folder: &PostgresFolder,
        found: &[Binaries],
        bare: bool,
    ) -> Result<Self, PostgresError> {
        let since = Instant::now();
        let address = Address {
            socket_folder: folder.sockets(),
            port: 5432,
            user: settings::ROLE,
            database: settings::DATABASE,
        };
        let (keeper, started) = Keeper::start(Cluster::new(folder.clone(), found, bare)?)?;
        let ready_after = since.elapsed();
        let (pid, adopted) = (keeper.pid(), started.adopted);
        tracing::info!(
            pid,
            adopted,
            duration_ms = ready_after.as_millis(),
            "the embedded Postgres answers"
        );
        Ok(Self {
            keeper: Some(keeper),
            address,
            ready_after,
            adopted,
        })
    }

    /// How to connect.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// How to connect, as one line.
    #[must_use]
    pub fn url(&self) -> String {
        self.address.url()
    }

    /// The postmaster; another one after it died and was started again.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.keeper.as_ref().and_then(Keeper::pid)
    }

    /// From the call of [`Self::start`] to the first log-in.
    #[must_use]
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// It was alive before us.
    #[must_use]
    pub fn adopted(&self) -> bool {
        self.adopted
    }

    /// A fast, clean shutdown; open connections are ended. Blocks until the server is gone.
    ///
    /// # Errors
    /// [`PostgresError::DidNotStop`] when only force helped.
    pub fn stop(mut self) -> Result<(), PostgresError> {
        self.keeper.take().map_or(Ok(()), |keeper| keeper.stop())
    }
}

impl Drop for EmbeddedPostgres {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take()
            && let Err(error) = keeper.stop()
        {
            tracing::warn!(%error, "the embedded Postgres was not stopped cleanly");
        }
    }
}

/// What `sternway doctor` shows about the embedded Postgres.
#[derive(Debug)]
pub struct Check {
    /// All servers found, newest first.
    pub found: Vec<Binaries>,
    /// Which one a start would use, or why none.
    pub chosen: Result<Binaries, PostgresError>,
    /// Who it would run as, or why it cannot.
    pub runs_as: Result<String, PostgresError>,
    /// Whether it stops with us even when we are killed; else the next start adopts it.
    pub dies_with_us: bool,
}

/// Looks for the state folder at `state`, which need not exist; needs no lock and changes nothing.
#[must_use]
pub fn check(state: &Path) -> Check {
    let data = folder::data_in(state);
    let found = binaries::find(&binaries::search_folders());
    let chosen = binaries::choose(&found, &data);
    let account = account::choose(&data);
    let runs_as = account
        .and_then(|account| account.map_or_else(account::Account::own, Ok))
        .map(|account| account.name);
    Check {
        found,
        chosen,
        runs_as,
        dies_with_us: Launcher::new(None).setpriv.is_some(),
    }
}

fn percent_encoded(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let mut encoded = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(*byte))
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}
