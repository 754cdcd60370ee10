//! The folders of the embedded Postgres inside the state folder, and who may walk to them.
//!
//! As root the database belongs to an unprivileged account, yet the state folder is root's and private.
//! So the two folders on the way (`STATE`, `STATE/postgres`) stay root's and get mode 0710 with the
//! account's group: it may walk through, and see or change nothing. What it owns is `data` and `run` below.
//! Root writes no file inside those two: a link placed there could lead it anywhere.

use std::{
    fs::{self, DirBuilder, Permissions},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown},
    },
    path::{Path, PathBuf},
};

use super::{
    account::Account,
    error::{PostgresError, failed},
    launch::Launcher,
};
use crate::state_folder::HostLock;

/// `sun_path` of Linux without its closing zero.
const SOCKET_PATH_MAX: usize = 107;

/// Where the embedded Postgres lives. Made only from the held lock: two servers never share it.
#[derive(Clone, Debug)]
pub struct PostgresFolder {
    state: PathBuf,
}

impl PostgresFolder {
    /// The folder that `lock` guards; nothing is made yet.
    #[must_use]
    pub fn of(lock: &HostLock) -> Self {
        Self {
            state: lock.folder().path().to_owned(),
        }
    }

    fn root(&self) -> PathBuf {
        self.state.join("postgres")
    }

    /// Postgres's data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        data_in(&self.state)
    }

    /// The folder of the unix socket.
    #[must_use]
    pub fn sockets(&self) -> PathBuf {
        self.root().join("run")
    }

    /// A fresh name under which data is made before it is renamed to [`Self::data`].
    pub(super) fn unfinished(&self) -> PathBuf {
        self.root()
            .join(format!("unfinished-{}", uuid::Uuid::now_v7().simple()))
    }

    pub(super) fn hba(&self) -> PathBuf {
        self.root().join("pg_hba.conf")
    }

    pub(super) fn ident(&self) -> PathBuf {
        self.root().join("pg_ident.conf")
    }

    /// Makes what is missing and proves that the account can get there.
    pub(super) fn prepare(&self, launcher: &Launcher) -> Result<(), PostgresError> {
        self.refuse_long_socket()?;
        let root = self.root();
        make(&root)?;
        if let Some(account) = &launcher.account {
            walkable(&self.state, account)?;
            walkable(&root, account)?;
        }
        self.forget_unfinished()?;
        self.make_own(&self.sockets(), launcher)?;
        refuse_unreachable(&self.sockets(), launcher)
    }

    /// A private folder that belongs to whoever Postgres runs as.
    pub(super) fn make_own(&self, path: &Path, launcher: &Launcher) -> Result<(), PostgresError> {
        make(path)?;
        if let Some(account) = &launcher.account {
            chown(path, Some(account.uid), Some(account.gid))
                .map_err(failed(path, "given to its user"))?;
        }
        Ok(())
    }

    /// What a first start left behind when it was killed.
    fn forget_unfinished(&self) -> Result<(), PostgresError> {
        let root = self.root();
        for entry in fs::read_dir(&root)
            .map_err(failed(&root, "listed"))?
            .flatten()
        {
            if entry.file_name().as_bytes().starts_with(b"unfinished-") {
                let path = entry.path();
                // An initdb whose parent was killed may still be ending; the next start removes the rest.
                if let Err(error) = fs::remove_dir_all(&path) {
                    tracing::info!(path = %path.display(), %error, "an unfinished database is left for later");
                }
            }
        }
        Ok(())
    }

    fn refuse_long_socket(&self) -> Result<(), PostgresError> {
        let path = self.sockets().join(".s.PGSQL.5432");
        let length = path.as_os_str().len();
        if length > SOCKET_PATH_MAX {
            return Err(PostgresError::SocketPathLong { path, length });
        }
        Ok(())
    }
}

/// The data folder of the state folder at `state`; for a look without the lock.
pub(super) fn data_in(state: &Path) -> PathBuf {
    state.join("postgres/data")
}

fn make(path: &Path) -> Result<(), PostgresError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(there) if there.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(other) => Err(failed(path, "made")(other)),
    }
}

fn walkable(path: &Path, account: &Account) -> Result<(), PostgresError> {
    chown(path, None, Some(account.gid)).map_err(failed(path, "given to a group"))?;
    fs::set_permissions(path, Permissions::from_mode(0o710))
        .map_err(failed(path, "opened for its group"))
}

/// The account itself tries, so that access lists and the like are honoured; only the blame is computed.
fn refuse_unreachable(folder: &Path, launcher: &Launcher) -> Result<(), PostgresError> {
    let Some(account) = &launcher.account else {
        return Ok(());
    };
    let mut command = launcher.command(Path::new("/usr/bin/test"));
    command.arg("-w").arg(folder);
    let Err(said) = launcher.run(command, "") else {
        return Ok(());
    };
    match folder
        .ancestors()
        .filter(|path| closed_to(path, account))
        .last()
    {
        Some(blocker) => Err(PostgresError::Unreachable {
            account: account.name.clone(),
            folder: folder.to_owned(),
            blocker: blocker.to_owned(),
        }),
        None => Err(failed(folder, "reached by its user")(
            std::io::Error::other(said),
        )),
    }
}

fn closed_to(path: &Path, account: &Account) -> bool {
    let Ok(found) = fs::metadata(path) else {
        return false;
    };
    let bit = match (found.uid() == account.uid, found.gid() == account.gid) {
        (true, _) => 0o100,
        (false, true) => 0o010,
        (false, false) => 0o001,
    };
    found.mode() & bit == 0
}
