//! The demo's own folder: the server's state, its log, and a note of what runs, so that a later call can stop
//! exactly that. One per user; one demo at a time.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::Write as _,
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    },
    path::{Path, PathBuf},
};

use domain::application::Application;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::{client::problem::Failure, exit::Exit};

/// The folder, held while it is open.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

/// What runs, as far as a later call needs to know to stop it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Whether it was left running on purpose.
    pub kept: bool,
    /// The server's process.
    pub server: Option<i32>,
    /// The engine.
    pub docker_host: String,
    /// The Compose file, from the root.
    pub compose_file: PathBuf,
    /// The application's definition.
    pub application: Option<Application>,
}

impl Folder {
    /// Where it is. Under the temporary folder and walkable, because the embedded Postgres runs as another user.
    #[must_use]
    pub fn place() -> PathBuf {
        let user = rustix::process::geteuid().as_raw();
        std::env::temp_dir().join(format!("sternway-demo-{user}"))
    }

    /// Takes the folder, made if it is not there.
    ///
    /// # Errors
    /// When it is somebody else's, or another demo holds it.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            let what = format!(
                "the demo's folder `{}` can not be used: {error}",
                path.display()
            );
            Failure::new(
                Exit::Internal,
                what,
                &["remove it, or set TMPDIR to another folder"],
            )
        };
        match DirBuilder::new().mode(0o711).create(path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(failed(error));
            }
            Ok(()) | Err(_) => {}
        }
        let facts = fs::symlink_metadata(path).map_err(failed)?;
        if !facts.is_dir() || facts.uid() != rustix::process::geteuid().as_raw() {
            return Err(failed(std::io::Error::other("it belongs to somebody else")));
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o711)).map_err(failed)?;
        let lock = private()
            .truncate(false)
            .open(path.join("lock"))
            .map_err(failed)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            let what = format!(
                "a demo of yours is running already (it holds `{}`)",
                path.display()
            );
            Failure::new(
                Exit::Conflict,
                what,
                &["wait for its end, or end it with Ctrl-C where it runs"],
            )
        })?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// The server's state folder.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.path.join("state")
    }

    /// The server's log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.path.join("server.log")
    }

    /// The file with the demo's token.
    #[must_use]
    pub fn token(&self) -> PathBuf {
        self.path.join("token")
    }

    /// A new file that only this user can read.
    ///
    /// # Errors
    /// When it can not be made.
    pub fn create(&self, path: &Path) -> Result<File, Failure> {
        private()
            .truncate(true)
            .open(path)
            .map_err(|error| unwritable(path, &error))
    }

    /// What an earlier demo left running, when it did.
    #[must_use]
    pub fn note(&self) -> Option<Note> {
        serde_json::from_slice(&fs::read(self.path.join("demo.json")).ok()?).ok()
    }

    /// Notes what runs.
    ///
    /// # Errors
    /// When it can not be written.
    pub fn write(&self, note: &Note) -> Result<(), Failure> {
        let path = self.path.join("demo.json");
        let text = serde_json::to_vec_pretty(note).unwrap_or_default();
        self.create(&path)?
            .write_all(&text)
            .map_err(|error| unwritable(&path, &error))
    }

    /// Removes it with everything in it.
    ///
    /// # Errors
    /// When something can not be removed.
    pub fn remove(self) -> Result<(), Failure> {
        fs::remove_dir_all(&self.path).map_err(|error| unwritable(&self.path, &error))
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    options
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Internal,
        format!(
            "`{}` can not be written or removed: {error}",
            path.display()
        ),
        &[],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_folder::TestFolder;

    #[test]
    fn one_demo_at_a_time_and_its_note_is_found_again() {
        let place = TestFolder::new();
        let path = place.path().join("demo");
        let folder = Folder::open(&path).unwrap();
        assert_eq!(Folder::open(&path).unwrap_err().exit, Exit::Conflict);
        assert_eq!(folder.note(), None);
        let note = Note {
            kept: true,
            server: Some(1),
            docker_host: "unix:///x".to_owned(),
            compose_file: "/c".into(),
            application: None,
        };
        folder.write(&note).unwrap();
        drop(folder);
        let folder = Folder::open(&path).unwrap();
        assert_eq!(folder.note(), Some(note));
        folder.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_link_that_somebody_laid_is_not_followed() {
        let place = TestFolder::new();
        let path = place.path().join("demo");
        std::os::unix::fs::symlink(place.path(), &path).unwrap();
        assert!(Folder::open(&path).is_err());
    }
}
