//! The git repositories that images are built from: their tags, and a clean checkout of exactly one commit.

mod checkout;
mod context;
mod git;
mod ignored;
mod repository;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

pub use checkout::Checkout;
pub use context::Context;

/// How much a repository and a build may take. All of it is on the server's disk for a while.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Asking a repository for its tags: somebody waits for the answer.
    pub list: Duration,
    /// Fetching one tag.
    pub fetch: Duration,
    /// Bytes of a repository's cache; one that has grown over it begins anew.
    pub cache_bytes: u64,
    /// Bytes of the files of one commit, and of what is sent to the engine.
    pub tree_bytes: u64,
    /// Files of one commit.
    pub files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // One commit without its history: the largest known open-source trees have 80 000 files in 1.5 GB.
        Self {
            list: Duration::from_secs(8),
            fetch: Duration::from_secs(600),
            cache_bytes: 4 << 30,
            tree_bytes: 2 << 30,
            files: 200_000,
        }
    }
}

/// Where repositories are kept and commits are checked out. One process at a time owns the folder.
#[derive(Clone, Debug)]
pub struct Sources {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    home: Option<OsString>,
    limits: Limits,
    /// One fetch at a time for each cache.
    turns: Mutex<BTreeMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>,
}

impl Sources {
    /// The room in `folder`, which is made when it is missing; what a process that died left of a checkout is removed.
    /// `home` is where credential helpers look for what they know.
    ///
    /// # Errors
    /// When the folder can not be made or cleared.
    pub fn open(folder: PathBuf, home: Option<OsString>, limits: Limits) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let private = |path: &Path| {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
        };
        let work = folder.join("work");
        match std::fs::remove_dir_all(&work) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        private(&work)?;
        private(&folder.join("cache"))?;
        let inner = Inner {
            folder,
            home,
            limits,
            turns: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// How much a repository and a build may take.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    fn work(&self) -> PathBuf {
        self.inner.folder.join("work")
    }

    fn turn(&self, cache: &Path) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self
            .inner
            .turns
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(cache.to_owned()).or_default())
    }
}

/// What kept us from a source: a whole sentence without credentials, fit for a log.
#[derive(Debug, thiserror::Error)]
#[error("{said}")]
pub struct SourceError {
    kind: SourceKind,
    said: String,
}

/// Kinds of it that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// The repository did not answer, or git could not be run: it may work later.
    Unreachable,
    /// There is no such tag.
    TagMissing,
    /// The tag names another commit than the one that is asked for.
    TagMoved,
    /// What is in the repository can not be built: no Dockerfile, submodules, too large.
    Unfit,
}

impl SourceError {
    pub(crate) fn new(kind: SourceKind, said: impl Into<String>) -> Self {
        Self {
            kind,
            said: said.into(),
        }
    }

    fn io(what: &str, error: &io::Error) -> Self {
        Self::new(SourceKind::Unreachable, format!("{what}: {error}"))
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> SourceKind {
        self.kind
    }
}
