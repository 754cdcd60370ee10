//! Exactly one commit in a folder of its own, which goes when nobody needs it any more.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    time::Duration,
};

use domain::{
    name::{CommitId, TagName},
    source::Source,
};

use super::{
    SourceError, SourceKind, Sources,
    git::{At, Git},
    repository::Place,
};

/// Listing or reading on our own disk.
const LOCAL: Duration = Duration::from_secs(60);
/// Writing a tree of two gigabytes.
const WRITE: Duration = Duration::from_secs(300);
/// The mode of an entry that is another repository.
const SUBMODULE: &str = "160000";

/// A clean checkout of one commit. Dropping it removes its folder.
#[derive(Debug)]
pub struct Checkout {
    folder: PathBuf,
    /// When the commit was made, in seconds since 1970: every build of it says the same.
    pub(super) committed_at: i64,
}

impl Checkout {
    /// When the commit was made, in seconds since 1970.
    #[must_use]
    pub fn committed_at(&self) -> i64 {
        self.committed_at
    }

    /// The files of the commit.
    #[must_use]
    pub fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// Room beside the files for what is made of them.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let folder = std::mem::take(&mut self.folder);
        // What is left of it goes at the next start.
        let remove = move || drop(std::fs::remove_dir_all(folder));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

impl Sources {
    /// Fetches a tag and checks out its commit, if it is the one that is wanted.
    ///
    /// # Errors
    /// When the repository does not answer, the tag is gone or has moved, or the commit can not be built.
    pub async fn checkout(
        &self,
        source: &Source,
        tag: &TagName,
        commit: &CommitId,
    ) -> Result<Checkout, SourceError> {
        let place = self.place(source).await?;
        let turn = self.turn(&place.cache);
        let _turn = turn.lock().await;
        self.fetch(source, &place, tag, commit).await?;
        let git = self.git(source, &place);
        self.fits(&git, &place, commit).await?;
        let folder = tempfile_like(&self.work(), commit);
        let checkout = Checkout {
            committed_at: committed_at(&git, &place, commit).await?,
            folder,
        };
        tokio::fs::create_dir_all(checkout.tree())
            .await
            .map_err(|error| SourceError::io("make a folder for the checkout", &error))?;
        let (tree, index) = (checkout.tree(), checkout.beside("index"));
        let at = At {
            git_dir: Some(&place.cache),
            work_tree: Some(&tree),
            index: Some(&index),
        };
        let what = format!("check out commit {}", commit.short());
        let read = ["read-tree", commit.as_str()].map(OsStr::new);
        git.run(&what, &read, &at, LOCAL).await?;
        let write = ["checkout-index", "--all", "--force", "--quiet"].map(OsStr::new);
        git.run(&what, &write, &at, WRITE).await?;
        Ok(checkout)
    }

    /// What is too large or reaches outside is refused before a byte of it is written.
    async fn fits(
        &self,
        git: &Git<'_>,
        place: &Place,
        commit: &CommitId,
    ) -> Result<(), SourceError> {
        let args = ["ls-tree", "-r", "-l", "-z", "--full-tree", commit.as_str()].map(OsStr::new);
        let what = format!("list commit {}", commit.short());
        let listed = git.run(&what, &args, &at(place), LOCAL).await?;
        let refused = |said: String| {
            let said = format!("commit {} can not be built: {said}", commit.short());
            Err(SourceError::new(SourceKind::Unfit, said))
        };
        let (mut files, mut bytes) = (0, 0_u64);
        for entry in listed.split(|b| *b == 0).filter(|entry| !entry.is_empty()) {
            let entry = String::from_utf8_lossy(entry);
            let (facts, path) = entry.split_once('\t').unwrap_or((&entry, ""));
            let mut facts = facts.split_ascii_whitespace();
            if facts.next() == Some(SUBMODULE) {
                let path: String = path.chars().filter(|c| !c.is_control()).take(200).collect();
                return refused(format!(
                    "`{path}` is a submodule, and submodules are not fetched"
                ));
            }
            files += 1;
            bytes += facts.nth(2).and_then(|size| size.parse().ok()).unwrap_or(0);
        }
        let limits = self.limits();
        if files > limits.files {
            return refused(format!("it has {files} files, more than {}", limits.files));
        }
        if bytes > limits.tree_bytes {
            let (has, max) = (bytes >> 20, limits.tree_bytes >> 20);
            return refused(format!("its files have {has} MiB, more than {max} MiB"));
        }
        Ok(())
    }
}

fn at(place: &Place) -> At<'_> {
    At {
        git_dir: Some(&place.cache),
        ..At::default()
    }
}

async fn committed_at(git: &Git<'_>, place: &Place, commit: &CommitId) -> Result<i64, SourceError> {
    let args = ["show", "--no-patch", "--format=%ct", commit.as_str()].map(OsStr::new);
    let what = format!("read commit {}", commit.short());
    let said = git.run(&what, &args, &at(place), LOCAL).await?;
    String::from_utf8_lossy(&said).trim().parse().map_err(|_| {
        let said = format!("{what}: its time is not understood");
        SourceError::new(SourceKind::Unfit, said)
    })
}

/// A name that no other checkout of this process has.
fn tempfile_like(work: &Path, commit: &CommitId) -> PathBuf {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    work.join(format!("{}-{number}", commit.short()))
}
