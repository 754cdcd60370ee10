//! A folder with one repository and our room, for one test.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use docker::{Limits, Sources};
use domain::{
    name::{CommitId, TagName},
    source::{Build, Source},
};

static COUNT: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) source: Source,
}

impl Place {
    /// An empty repository.
    pub(crate) fn new() -> Self {
        let name = format!(
            "source-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let repository = folder.join("repository");
        fs::create_dir_all(&repository).unwrap();
        let place = Self {
            source: source(repository.to_str().unwrap()),
            folder,
        };
        place.git(&["init", "--quiet", "--initial-branch=main"]);
        place
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.folder.join("repository")
    }

    pub(crate) fn sources(&self) -> Sources {
        self.sources_with(Limits::default())
    }

    pub(crate) fn sources_with(&self, limits: Limits) -> Sources {
        Sources::open(self.folder.join("state"), None, limits).unwrap()
    }

    /// Runs git in the repository as its author; what it prints.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=Ana", "-c", "user.email=ana@example.org"])
            .args(["-c", "protocol.file.allow=always"])
            .args(args)
            .current_dir(self.repository())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_COMMITTER_DATE", "2026-03-01T12:00:00Z")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "git {args:?}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.repository().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn executable(&self, path: &str) {
        fs::set_permissions(
            self.repository().join(path),
            fs::Permissions::from_mode(0o755),
        )
        .unwrap();
    }

    /// Commits everything and tags it; the commit.
    pub(crate) fn release(&self, name: &str) -> CommitId {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", name]);
        self.git(&["tag", "--force", name]);
        self.git(&["rev-parse", "HEAD"]).parse().unwrap()
    }

    /// What lies in the folder of checkouts, once removals that are under way are over.
    pub(crate) async fn checkouts_left(&self) -> usize {
        let work = self.folder.join("state/work");
        for _ in 0..100 {
            if fs::read_dir(&work).unwrap().count() == 0 {
                return 0;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        fs::read_dir(&work).unwrap().count()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub(crate) fn source(repository: &str) -> Source {
    Source {
        repository: repository.to_owned(),
        credential_helper: None,
        tag_pattern: "v{version}".to_owned(),
    }
}

pub(crate) fn tag(name: &str) -> TagName {
    name.parse().unwrap()
}

pub(crate) fn build(context: &str) -> Build {
    Build {
        context: context.to_owned(),
        ..Build::default()
    }
}
