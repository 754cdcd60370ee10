//! What is sent to the engine: the context folder of a checkout as a tar, the same bytes each time.

use std::{
    fs::{self, File, Metadata},
    io::{self, BufWriter, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use domain::source::Build;
use tar::{EntryType, Header};

use super::{Checkout, Limits, SourceError, SourceKind, ignored::Ignored};

/// Longest `.dockerignore` that is read.
const IGNORE_BYTES_MAX: u64 = 1 << 20;
/// How a file begins whose content is kept elsewhere by git's large file storage.
const LFS_HEAD: &[u8] = b"version https://git-lfs.github.com/spec/";

/// A packed context.
#[derive(Debug)]
pub struct Context {
    /// The tar, in the folder of its checkout.
    pub tar: PathBuf,
    /// Bytes of the tar.
    pub bytes: u64,
    /// What is in it.
    pub files: usize,
}

impl Checkout {
    /// Packs the context of a build, without what its `.dockerignore` leaves out. Links stay links, a file is
    /// executable or not; owners and times are the same for everybody.
    ///
    /// # Errors
    /// When there is no such folder or no Dockerfile in it, or it is too large.
    pub async fn pack(&self, build: &Build, limits: &Limits) -> Result<Context, SourceError> {
        let (root, tar) = (self.tree(), self.beside("context.tar"));
        let (build, limits, time) = (build.clone(), *limits, self.committed_at);
        let pack = move || Packer::of(&root, &build, &tar, &limits, time)?.pack(tar);
        tokio::task::spawn_blocking(pack)
            .await
            .map_err(|error| unfit(format!("pack the context: {error}")))?
    }
}

struct Packer {
    context: PathBuf,
    ignored: Ignored,
    /// Always sent: the engine reads them.
    needed: [String; 2],
    tar: tar::Builder<BufWriter<File>>,
    mtime: u64,
    bytes_left: u64,
    bytes_max: u64,
    files: usize,
}

impl Packer {
    fn of(
        root: &Path,
        build: &Build,
        tar: &Path,
        limits: &Limits,
        time: i64,
    ) -> Result<Self, SourceError> {
        let context = folder_inside(root, &build.context)?;
        let dockerfile = context.join(&build.dockerfile);
        if !fs::symlink_metadata(&dockerfile).is_ok_and(|found| !found.is_dir()) {
            let (file, folder) = (&build.dockerfile, &build.context);
            return Err(unfit(format!(
                "there is no `{file}` in the context `{folder}` of this commit"
            )));
        }
        let ignored = ignored(&context)?;
        let file =
            File::create_new(tar).map_err(|error| failed("make the context's tar", &error))?;
        let mut tar = tar::Builder::new(BufWriter::new(file));
        tar.follow_symlinks(false);
        Ok(Self {
            context,
            ignored,
            needed: [build.dockerfile.clone(), ".dockerignore".to_owned()],
            tar,
            mtime: u64::try_from(time).unwrap_or(0),
            bytes_left: limits.tree_bytes,
            bytes_max: limits.tree_bytes,
            files: 0,
        })
    }

    fn pack(mut self, tar: PathBuf) -> Result<Context, SourceError> {
        self.folder("")?;
        let done = self.tar.into_inner().and_then(|mut file| {
            file.flush()?;
            file.get_ref().metadata()
        });
        let bytes = done
            .map_err(|error| failed("write the context's tar", &error))?
            .len();
        Ok(Context {
            tar,
            bytes,
            files: self.files,
        })
    }

    /// Packs what is below a folder, by name, so that the same commit gives the same bytes.
    fn folder(&mut self, folder: &str) -> Result<(), SourceError> {
        let listed = fs::read_dir(self.context.join(folder)).and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.file_name()))
                .collect::<io::Result<Vec<_>>>()
        });
        let mut names = listed.map_err(|error| failed("read the context", &error))?;
        names.sort();
        for name in names {
            let Some(name) = name.to_str() else {
                return Err(unfit(format!(
                    "a file's name in `{folder}` is no UTF-8, and the engine's patterns can not be asked about it"
                )));
            };
            let path = if folder.is_empty() {
                name.to_owned()
            } else {
                format!("{folder}/{name}")
            };
            self.entry(&path)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &str) -> Result<(), SourceError> {
        let full = self.context.join(path);
        let found =
            fs::symlink_metadata(&full).map_err(|error| failed("read the context", &error))?;
        let out = self.ignored.leaves_out(path) && !self.needed.iter().any(|needed| needed == path);
        if found.is_dir() {
            if !out {
                self.append(path, &found, &full)?;
            }
            // The Dockerfile or something that is let in again may be below.
            let leads_to_needed = self.needed.iter().any(|needed| {
                needed
                    .strip_prefix(path)
                    .is_some_and(|rest| rest.starts_with('/'))
            });
            if !out || self.ignored.lets_in_again() || leads_to_needed {
                self.folder(path)?;
            }
            return Ok(());
        }
        if out {
            Ok(())
        } else {
            self.append(path, &found, &full)
        }
    }

    fn append(&mut self, path: &str, found: &Metadata, full: &Path) -> Result<(), SourceError> {
        let wrong = |error: io::Error| failed(&format!("pack `{path}`"), &error);
        let mut header = Header::new_gnu();
        header.set_mtime(self.mtime);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        self.files += 1;
        if found.is_dir() {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(0o755);
            return self
                .tar
                .append_data(&mut header, format!("{path}/"), io::empty())
                .map_err(wrong);
        }
        if found.file_type().is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            let to = fs::read_link(full).map_err(wrong)?;
            return self.tar.append_link(&mut header, path, to).map_err(wrong);
        }
        let size = found.len();
        self.bytes_left = self.bytes_left.checked_sub(size).ok_or_else(|| {
            let max = self.bytes_max >> 20;
            unfit(format!(
                "the context has more than {max} MiB; leave out with `.dockerignore` what the build does not need"
            ))
        })?;
        let mut file = File::open(full).map_err(wrong)?;
        let mut head = Vec::new();
        (&mut file)
            .take(LFS_HEAD.len() as u64)
            .read_to_end(&mut head)
            .map_err(wrong)?;
        if head == LFS_HEAD {
            return Err(unfit(format!(
                "`{path}` is in git's large file storage, which is not fetched"
            )));
        }
        // git knows of a file's mode only whether it is executable; the rest was our process's umask.
        let executable = found.permissions().mode() & 0o100 != 0;
        header.set_entry_type(EntryType::Regular);
        header.set_mode(if executable { 0o755 } else { 0o644 });
        header.set_size(size);
        let content = head.as_slice().chain(file).take(size);
        self.tar
            .append_data(&mut header, path, content)
            .map_err(wrong)
    }
}

/// A folder of the checkout that no link leads out of.
fn folder_inside(root: &Path, path: &str) -> Result<PathBuf, SourceError> {
    let mut folder = root.to_owned();
    for part in path.split('/').filter(|part| *part != ".") {
        folder.push(part);
        if !fs::symlink_metadata(&folder).is_ok_and(|found| found.is_dir()) {
            return Err(unfit(format!("there is no folder `{path}` in this commit")));
        }
    }
    Ok(folder)
}

fn ignored(context: &Path) -> Result<Ignored, SourceError> {
    let path = context.join(".dockerignore");
    let Ok(found) = fs::symlink_metadata(&path) else {
        return Ok(Ignored::default());
    };
    if !found.is_file() || found.len() > IGNORE_BYTES_MAX {
        return Err(unfit(
            "`.dockerignore` is no file of a reasonable size".to_owned(),
        ));
    }
    let text = fs::read_to_string(&path).map_err(|error| failed("read `.dockerignore`", &error))?;
    Ignored::parse(&text).map_err(|line| {
        let line: String = line.chars().filter(|c| !c.is_control()).take(80).collect();
        unfit(format!("`.dockerignore`: `{line}` is no pattern"))
    })
}

fn unfit(said: String) -> SourceError {
    SourceError::new(SourceKind::Unfit, said)
}

fn failed(what: &str, error: &io::Error) -> SourceError {
    SourceError::io(what, error)
}
