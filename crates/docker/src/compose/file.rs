//! One file of a project, read and replaced whole. It is written beside and moved over, so that whoever reads it
//! sees the one or the other; owner and mode stay. Nothing outside of the project's folder is touched, wherever
//! symbolic links lead.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::{
        fd::AsFd as _,
        unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{Gid, RenameFlags, Uid};

/// Longest environment file.
const BYTES_MAX: u64 = 1 << 20;
/// The mode of an environment file that was not there: it may hold secrets.
const MODE: u32 = 0o640;
/// The same of an override file, which holds none: whoever reads the Compose file must be able to read it, or their
/// next `up` fails.
const MODE_OVERRIDE: u32 = 0o644;

/// Where a file is: its folder and its name there, links followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectFile {
    /// As a person knows it.
    shown: String,
    folder: PathBuf,
    name: String,
}

impl ProjectFile {
    /// The file `name` below `folder`. A link is followed as long as it does not lead out of the folder.
    ///
    /// # Errors
    /// Why it can not be had, as a sentence.
    pub fn find(folder: &str, name: &str) -> Result<Self, String> {
        let shown = format!("{folder}/{name}");
        let root = fs::canonicalize(folder)
            .map_err(|error| format!("the project's folder {folder} can not be read: {error}"))?;
        let path = root.join(name);
        let real = match fs::symlink_metadata(&path) {
            Ok(_) => fs::canonicalize(&path).map_err(|error| format!("{shown}: {error}"))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let parent = path.parent().unwrap_or(&root);
                let parent =
                    fs::canonicalize(parent).map_err(|error| format!("{shown}: {error}"))?;
                parent.join(path.file_name().unwrap_or_default())
            }
            Err(error) => return Err(format!("{shown}: {error}")),
        };
        if !real.starts_with(&root) {
            return Err(format!(
                "{shown} is a link that leads out of the project's folder, to {}",
                real.display()
            ));
        }
        let (Some(folder), Some(name)) = (
            real.parent(),
            real.file_name().and_then(|name| name.to_str()),
        ) else {
            return Err(format!("{shown} has no name"));
        };
        Ok(Self {
            shown,
            folder: folder.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Its path as a person knows it.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// What is in it; none when it is not there.
    ///
    /// # Errors
    /// Why it can not be read, as a sentence.
    pub fn read(&self) -> Result<Option<Vec<u8>>, String> {
        let path = self.path();
        let said = |error: std::io::Error| format!("{}: {error}", self.shown);
        let mut options = fs::OpenOptions::new();
        let no_link = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
        let file = match options.read(true).custom_flags(no_link).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(said(error)),
        };
        let facts = file.metadata().map_err(said)?;
        if !facts.is_file() {
            return Err(format!("{} is no file", self.shown));
        }
        if facts.nlink() > 1 {
            return Err(format!(
                "{} has another name (a hard link), which would keep the old content",
                self.shown
            ));
        }
        let mut content = Vec::new();
        file.take(BYTES_MAX + 1)
            .read_to_end(&mut content)
            .map_err(said)?;
        if content.len() as u64 > BYTES_MAX {
            return Err(format!(
                "{} is longer than {} MiB",
                self.shown,
                BYTES_MAX >> 20
            ));
        }
        Ok(Some(content))
    }

    /// Whether it could be replaced: what a plan can know beforehand.
    ///
    /// # Errors
    /// Why not, as a sentence.
    pub fn writable(&self) -> Result<(), String> {
        let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        rustix::fs::access(&self.folder, access)
            .map_err(|error| format!("{} can not be written: {error}", self.folder.display()))
    }

    /// Replaces what is `expected` by `wanted`; none stands for no file. `may_go` is asked last, right before the
    /// one call that changes anything.
    ///
    /// # Errors
    /// Why not: what is there is then what was there.
    pub fn replace(
        &self,
        expected: Option<&[u8]>,
        wanted: Option<&[u8]>,
        tag: &str,
        may_go: impl Fn() -> bool,
    ) -> Result<(), String> {
        let beside = self.folder.join(format!(".{}.sternway-{tag}", self.name));
        let result = self.moved(&beside, expected, wanted, may_go);
        if result.is_err() || wanted.is_none() {
            // It may never have been made.
            let _ = fs::remove_file(&beside);
        }
        result
    }

    fn moved(
        &self,
        beside: &Path,
        expected: Option<&[u8]>,
        wanted: Option<&[u8]>,
        may_go: impl Fn() -> bool,
    ) -> Result<(), String> {
        let said = |error: std::io::Error| format!("{} can not be written: {error}", self.shown);
        if let Some(wanted) = wanted {
            self.write_beside(beside, wanted).map_err(said)?;
        }
        let folder = fs::File::open(&self.folder).map_err(said)?;
        if self.read()?.as_deref() != expected {
            return Err(format!(
                "{} was edited meanwhile and is left as it is",
                self.shown
            ));
        }
        if !may_go() {
            return Err("the claim on this rollback is over".to_owned());
        }
        match (expected, wanted) {
            (_, None) => fs::remove_file(self.path()).map_err(said)?,
            (Some(_), Some(_)) => fs::rename(beside, self.path()).map_err(said)?,
            // Somebody else's new file is not overwritten.
            (None, Some(_)) => rustix::fs::renameat_with(
                folder.as_fd(),
                beside.file_name().unwrap_or_default(),
                folder.as_fd(),
                self.name.as_str(),
                RenameFlags::NOREPLACE,
            )
            .map_err(|error| said(error.into()))?,
        }
        folder.sync_all().map_err(said)
    }

    /// With the owner and the mode of what it will replace; of the folder when there is nothing to replace.
    fn write_beside(&self, beside: &Path, content: &[u8]) -> std::io::Result<()> {
        match fs::remove_file(beside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(beside)?;
        file.write_all(content)?;
        let (like, mode) = match fs::metadata(self.path()) {
            Ok(like) => {
                let mode = like.permissions().mode() & 0o7777;
                (like, mode)
            }
            Err(_) => {
                let yaml = self.name.ends_with(".yml") || self.name.ends_with(".yaml");
                let mode = if yaml { MODE_OVERRIDE } else { MODE };
                (fs::metadata(&self.folder)?, mode)
            }
        };
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
            rustix::fs::fchown(
                &file,
                Some(Uid::from_raw(like.uid())),
                Some(Gid::from_raw(like.gid())),
            )?;
        }
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()
    }

    fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("sternway-file-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("p/env")).unwrap();
        folder
    }

    fn find(folder: &Path, name: &str) -> Result<ProjectFile, String> {
        ProjectFile::find(folder.join("p").to_str().unwrap(), name)
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_nothing_is_left_beside_it() {
        let place = folder("replaced");
        let path = place.join("p/.env");
        fs::write(&path, "A=1\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        let file = find(&place, ".env").unwrap();
        // What a process that was killed in the middle leaves behind.
        fs::write(place.join("p/..env.sternway-tag"), "half").unwrap();
        file.replace(Some(b"A=1\n"), Some(b"A=2\n"), "tag", || true)
            .unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"A=2\n");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o604
        );
        assert_eq!(names(&place.join("p")), [".env", "env"]);
        fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn what_was_edited_meanwhile_is_left() {
        let place = folder("edited");
        let path = place.join("p/.env");
        fs::write(&path, "A=9\n").unwrap();
        let file = find(&place, ".env").unwrap();
        let why = file
            .replace(Some(b"A=1\n"), Some(b"A=2\n"), "tag", || true)
            .unwrap_err();
        assert!(why.contains("edited meanwhile"), "{why}");
        assert!(
            file.replace(Some(b"A=9\n"), Some(b"A=2\n"), "tag", || false)
                .is_err(),
            "a claim that is over"
        );
        assert!(file.replace(None, Some(b"A=2\n"), "tag", || true).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"A=9\n");
        assert_eq!(names(&place.join("p")), [".env", "env"]);
        fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn a_file_that_was_not_there_comes_and_goes() {
        let place = folder("new");
        let file = find(&place, ".env").unwrap();
        assert_eq!(file.read().unwrap(), None);
        file.replace(None, Some(b"A=1\n"), "tag", || true).unwrap();
        assert_eq!(file.read().unwrap().as_deref(), Some(b"A=1\n".as_slice()));
        file.replace(Some(b"A=1\n"), None, "tag", || true).unwrap();
        assert_eq!(names(&place.join("p")), ["env"]);
        fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn links_are_followed_inside_the_folder_only() {
        let place = folder("links");
        fs::write(place.join("p/env/prod"), "A=1\n").unwrap();
        fs::write(place.join("outside"), "A=1\n").unwrap();
        symlink("env/prod", place.join("p/.env")).unwrap();
        symlink("../outside", place.join("p/out")).unwrap();
        let file = find(&place, ".env").unwrap();
        file.replace(Some(b"A=1\n"), Some(b"A=2\n"), "tag", || true)
            .unwrap();
        assert!(
            fs::symlink_metadata(place.join("p/.env"))
                .unwrap()
                .is_symlink()
        );
        assert_eq!(fs::read(place.join("p/env/prod")).unwrap(), b"A=2\n");
        let why = find(&place, "out").unwrap_err();
        assert!(why.contains("leads out of"), "{why}");
        fs::hard_link(place.join("outside"), place.join("p/hard")).unwrap();
        assert!(find(&place, "hard").unwrap().read().is_err());
        assert!(
            find(&place, "env").unwrap().read().is_err(),
            "a folder is no file"
        );
        fs::remove_dir_all(place).unwrap();
    }
}
