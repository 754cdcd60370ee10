//! A folder for one test, gone with it. Unique and never reused, so tests may run at the same time.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// World-traversable, as `/tmp` is: the embedded Postgres runs as another user.
#[derive(Debug)]
pub(crate) struct TestFolder(PathBuf);

impl TestFolder {
    pub(crate) fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        // Short: a unix socket's path may have 107 bytes.
        let name = format!("sw-{}", &uuid::Uuid::now_v7().simple().to_string()[16..]);
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
