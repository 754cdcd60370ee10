//! The folder where Sternway keeps its own things; it never looks inside `postgres/`.
//!
//! Three facts hang on it. The *key* encrypts environment values at rest and is never overwritten. The
//! *host id* says which workers are "the same host". The *lock* is held for a process's life, so whoever
//! gets it knows that the former holder is dead and may take over its rollbacks at once.

use std::{
    ffi::OsString,
    fmt, fs,
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
    process::geteuid,
};
use uuid::Uuid;

mod host_id;
#[cfg(test)]
mod tests;

/// Bytes of the secret key: what XChaCha20-Poly1305 and HMAC-SHA-256 take.
pub const KEY_BYTES: usize = 32;

/// Bits that nobody but the owner may have. Group `x` is left out: the embedded Postgres, which runs as
/// another user, must be able to walk through the folder to its own (see `postgres::folder`).
const FORBIDDEN_BITS: u32 = 0o067;

/// Only files that hold one line are read whole; a longer one is not ours.
const SMALL_FILE_MAX: u64 = 4096;

/// Why the state folder cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StateFolderError {
    /// Neither a setting nor a home says where it could be.
    #[error(
        "no place for the state folder: set STERNWAY_STATE_DIR to a folder that this user may write"
    )]
    Homeless,
    /// The operating system refused; the path and the act are in the sentence.
    #[error(
        "`{path}` cannot be {act}; check its owner, its mode and the disk, or set STERNWAY_STATE_DIR to another folder"
    )]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What was tried, as a participle.
        act: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The folder belongs to another user.
    #[error(
        "`{path}` belongs to uid {owner}, but this process runs as uid {user}; run as that user, or set STERNWAY_STATE_DIR to a folder of your own"
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// The folder holds somebody's other things: its mode would be changed under them.
    #[error(
        "`{path}` already holds other things (for example `{example}`) and is not a state folder; set STERNWAY_STATE_DIR to a new or empty folder"
    )]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// One of the things.
        example: String,
    },
    /// Another server uses the folder.
    #[error("another sternway server{} already uses the state folder `{path}`; stop it first, or set STERNWAY_STATE_DIR to another folder", pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Locked {
        /// The folder.
        path: PathBuf,
        /// Its process, where it has said so; in another container the number means nothing here.
        pid: Option<u32>,
    },
    /// A file of ours has a content that we never write.
    #[error(
        "`{path}` is damaged: {what}; put it back from a backup, or move it away to have a new one made"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// The folder, there and private.
#[derive(Clone, Debug)]
pub struct StateFolder {
    path: PathBuf,
}

/// Held for the life of the process: while it is open nobody else serves from this folder.
#[derive(Debug)]
pub struct HostLock {
    _file: File,
    folder: StateFolder,
    host: Uuid,
}

/// The key under which secrets are kept at rest. It has no way to be printed.
#[derive(Clone)]
pub struct SecretKey {
    bytes: [u8; KEY_BYTES],
    /// Made just now: values encrypted earlier, if there are any, cannot be read any more.
    pub fresh: bool,
}

impl SecretKey {
    /// The key itself.
    #[must_use]
    pub fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(fresh: {})", self.fresh)
    }
}

/// What the environment says about where the folder is; read once, in one place.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `STERNWAY_STATE_DIR`.
    pub state_dir: Option<OsString>,
    /// `XDG_STATE_HOME`.
    pub xdg_state_home: Option<OsString>,
    /// `HOME`.
    pub home: Option<OsString>,
    /// Whether we are root, whose things live under `/var/lib`.
    pub root: bool,
}

impl Surroundings {
    /// As this process finds them.
    #[must_use]
    pub fn of_process() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            state_dir: set("STERNWAY_STATE_DIR"),
            xdg_state_home: set("XDG_STATE_HOME"),
            home: set("HOME"),
            root: geteuid().is_root(),
        }
    }

    /// Where the state folder is; nothing is made. The CLI asks this too, to find the server's socket.
    ///
    /// # Errors
    /// [`StateFolderError::Homeless`].
    pub fn locate(&self) -> Result<PathBuf, StateFolderError> {
        if let Some(chosen) = &self.state_dir {
            return std::path::absolute(chosen).map_err(failed(Path::new(chosen), "found"));
        }
        if self.root {
            return Ok(PathBuf::from("/var/lib/sternway"));
        }
        // The XDG rules say that a relative value is to be ignored.
        let xdg = self
            .xdg_state_home
            .as_ref()
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        let home = self
            .home
            .as_ref()
            .map(|home| Path::new(home).join(".local/state"));
        let base = xdg.or(home).ok_or(StateFolderError::Homeless)?;
        Ok(base.join("sternway"))
    }
}

impl StateFolder {
    /// The server's unix socket in the state folder at `path`.
    #[must_use]
    pub fn socket_in(path: &Path) -> PathBuf {
        path.join("sternway.sock")
    }

    /// Makes the folder where it is missing, and makes it private.
    ///
    /// # Errors
    /// Where it cannot be made, is another user's, or holds somebody's other things.
    pub fn open(path: &Path) -> Result<Self, StateFolderError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed(path, "made"))?;
        // One name for one folder, whatever links lead to it: Postgres compares paths.
        let path = fs::canonicalize(path).map_err(failed(path, "found"))?;
        let found = fs::metadata(&path).map_err(failed(&path, "looked at"))?;
        let user = geteuid().as_raw();
        if found.uid() != user {
            return Err(StateFolderError::Foreign {
                path,
                owner: found.uid(),
                user,
            });
        }
        refuse_occupied(&path)?;
        if found.mode() & FORBIDDEN_BITS != 0 || found.mode() & 0o700 != 0o700 {
            fs::set_permissions(&path, Permissions::from_mode(0o700))
                .map_err(failed(&path, "made private"))?;
        }
        Ok(Self { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The server's unix socket. Whoever binds it gives it mode 0600: the folder may be open to be walked
    /// through by the group of the embedded Postgres.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        Self::socket_in(&self.path)
    }

    /// Takes the folder for this process's life.
    ///
    /// # Errors
    /// [`StateFolderError::Locked`] with the holder's pid.
    pub fn lock(&self) -> Result<HostLock, StateFolderError> {
        let path = self.path.join("lock");
        // std opens close-on-exec, so Postgres does not inherit the lock and keep it beyond our death.
        let mut file = private(
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false),
        )
        .open(&path)
        .map_err(failed(&path, "opened"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let pid = read_small(&mut file)
                    .ok()
                    .and_then(|text| text.trim().parse().ok());
                return Err(StateFolderError::Locked {
                    path: self.path.clone(),
                    pid,
                });
            }
            Err(errno) => return Err(failed(&path, "locked")(errno.into())),
        }
        write_pid(&mut file).map_err(failed(&path, "written"))?;
        let host = host_id::of(&self.path, &host_id::machine())?;
        Ok(HostLock {
            _file: file,
            folder: self.clone(),
            host,
        })
    }
}

impl HostLock {
    /// The folder that is held.
    #[must_use]
    pub fn folder(&self) -> &StateFolder {
        &self.folder
    }

    /// Stable over restarts; new for a copy of the folder, here or on another machine, because two live servers with
    /// one host id would each believe that the other is its dead predecessor.
    #[must_use]
    pub fn host_id(&self) -> Uuid {
        self.host
    }

    /// The secret key, made if there is none. Only the lock's holder may ask, so that two first starts
    /// cannot make two keys.
    ///
    /// # Errors
    /// Where it cannot be read or made, or has another length than [`KEY_BYTES`].
    pub fn key(&self) -> Result<SecretKey, StateFolderError> {
        self.key_at(&self.folder.path.join("key"))
    }

    /// The secret key in another file: several servers on one database need the same one.
    ///
    /// # Errors
    /// As [`Self::key`].
    pub fn key_at(&self, path: &Path) -> Result<SecretKey, StateFolderError> {
        match fs::read(path) {
            Ok(found) => known_key(path, &found),
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                let mut bytes = [0; KEY_BYTES];
                getrandom::fill(&mut bytes).map_err(|error| {
                    failed(path, "filled from the system's randomness")(error.into())
                })?;
                if publish_first(path, &bytes).map_err(failed(path, "written"))? {
                    return Ok(SecretKey { bytes, fresh: true });
                }
                known_key(path, &fs::read(path).map_err(failed(path, "read"))?)
            }
            Err(other) => Err(failed(path, "read")(other)),
        }
    }
}

fn known_key(path: &Path, found: &[u8]) -> Result<SecretKey, StateFolderError> {
    let bytes = found.try_into().map_err(|_| StateFolderError::Damaged {
        path: path.to_owned(),
        what: format!("it has {} bytes, not {KEY_BYTES}", found.len()),
    })?;
    let mode = fs::metadata(path)
        .map_err(failed(path, "looked at"))?
        .mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "the key file was readable by others; it is private again, but consider it seen");
        fs::set_permissions(path, Permissions::from_mode(0o600))
            .map_err(failed(path, "made private"))?;
    }
    Ok(SecretKey {
        bytes,
        fresh: false,
    })
}

/// A folder with somebody's other things in it is refused before its mode is touched: a mistyped
/// `STERNWAY_STATE_DIR=/people/ann` must not lock Ann's files away.
fn refuse_occupied(path: &Path) -> Result<(), StateFolderError> {
    let mut example = None;
    for entry in fs::read_dir(path).map_err(failed(path, "listed"))? {
        let name = entry.map_err(failed(path, "listed"))?.file_name();
        match name.to_string_lossy().as_ref() {
            "lock" | "host_id" => return Ok(()),
            // What we write before the two, or what a person puts back from a backup, or a volume has.
            "key" | "host_id.new" | "postgres" | "sternway.sock" | "lost+found" => {}
            other => example = Some(other.to_owned()),
        }
    }
    match example {
        Some(example) => Err(StateFolderError::Occupied {
            path: path.to_owned(),
            example,
        }),
        None => Ok(()),
    }
}

/// Written aside, made durable, then renamed: after a crash the file is whole or absent, never half.
fn publish(
    path: &Path,
    content: impl FnOnce(&File) -> io::Result<Vec<u8>>,
) -> Result<(), StateFolderError> {
    let aside = path.with_extension("new");
    let write = || {
        let mut file =
            private(OpenOptions::new().write(true).create(true).truncate(true)).open(&aside)?;
        let content = content(&file)?;
        file.write_all(&content)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        sync_folder_of(path)
    };
    write().map_err(failed(path, "written"))
}

/// `false`: somebody else was first, and theirs stands. Servers of other state folders may share a key
/// file, so our lock alone does not keep them apart; a hard link never replaces what is there.
fn publish_first(path: &Path, content: &[u8]) -> io::Result<bool> {
    let aside = path.with_extension(format!("{}.new", Uuid::now_v7().simple()));
    let mut file = private(OpenOptions::new().write(true).create_new(true)).open(&aside)?;
    let linked = file
        .write_all(content)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&aside, path));
    fs::remove_file(&aside)?;
    match linked {
        Ok(()) => sync_folder_of(path).map(|()| true),
        Err(there) if there.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(other) => Err(other),
    }
}

/// A name is durable when its folder is.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn read_small(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.rewind()?;
    file.take(SMALL_FILE_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

fn failed(path: &Path, act: &'static str) -> impl FnOnce(io::Error) -> StateFolderError {
    let path = path.to_owned();
    move |source| StateFolderError::Io { path, act, source }
}
