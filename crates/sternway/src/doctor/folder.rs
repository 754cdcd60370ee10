//! Looks at the state folder: is it ours alone, and is its disk not full. Makes nothing.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::Finding;

/// The embedded Postgres takes about this much, and the log of a busy year the same again.
const DISK_WARN: u64 = 512 << 20;

/// Looks at the folder.
pub fn look(path: &Path) -> Vec<Finding> {
    let mut findings = vec![rights(path)];
    findings.extend(disk(path));
    findings
}

fn rights(path: &Path) -> Finding {
    let shown = path.display();
    let Ok(facts) = std::fs::metadata(path) else {
        return missing(path);
    };
    let user = rustix::process::geteuid().as_raw();
    if facts.uid() != user {
        let found = format!("{shown} belongs to uid {}, you are uid {user}", facts.uid());
        return Finding::warn(
            "state folder",
            found,
            "run the server as that user, or set STERNWAY_STATE_DIR to a folder of your own",
        );
    }
    let key = path.join("key");
    if let Ok(key_facts) = std::fs::metadata(&key)
        && key_facts.mode() & 0o077 != 0
    {
        let found = format!(
            "{} can be read by others (mode {:o})",
            key.display(),
            key_facts.mode() & 0o777
        );
        return Finding::fail(
            "state folder",
            found,
            format!("chmod 600 {}, and consider the key seen", key.display()),
        );
    }
    if facts.mode() & 0o067 != 0 {
        let found = format!(
            "{shown} is open to others (mode {:o})",
            facts.mode() & 0o777
        );
        return Finding::warn("state folder", found, format!("chmod 700 {shown}"));
    }
    Finding::ok(
        "state folder",
        format!("{shown}, mode {:o}", facts.mode() & 0o777),
    )
}

fn missing(path: &Path) -> Finding {
    let parent = existing(path);
    let writable = rustix::fs::access(&parent, rustix::fs::Access::WRITE_OK).is_ok();
    let found = format!("{} is not there yet", path.display());
    if writable {
        return Finding::ok("state folder", format!("{found}; the first start makes it"));
    }
    let fix = format!(
        "make it writable for you, or set STERNWAY_STATE_DIR: {} is not",
        parent.display()
    );
    Finding::fail("state folder", found, fix)
}

/// The nearest folder above that exists.
fn existing(path: &Path) -> PathBuf {
    path.ancestors()
        .skip(1)
        .find(|folder| folder.is_dir())
        .unwrap_or(Path::new("/"))
        .to_owned()
}

fn disk(path: &Path) -> Option<Finding> {
    let place = if path.is_dir() {
        path.to_owned()
    } else {
        existing(path)
    };
    let disk = rustix::fs::statvfs(&place).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < DISK_WARN {
        let found = format!("{} MiB free at {}", free >> 20, place.display());
        return Some(Finding::warn(
            "state disk",
            found,
            "free some disk: a database without room stops",
        ));
    }
    Some(Finding::ok(
        "state disk",
        format!("{} GiB free", free >> 30),
    ))
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};

    use super::super::State;
    use super::*;

    #[test]
    fn a_folder_is_judged_by_who_may_enter_it() {
        let folder = crate::test_folder::TestFolder::new();
        let path = folder.path().join("state");
        assert_eq!(rights(&path).state, State::Ok, "it can be made");
        std::fs::create_dir(&path).unwrap();
        for (mode, state) in [(0o755, State::Warn), (0o700, State::Ok), (0o710, State::Ok)] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(rights(&path).state, state, "{mode:o}");
        }
        std::fs::write(path.join("key"), "k").unwrap();
        std::fs::set_permissions(path.join("key"), Permissions::from_mode(0o644)).unwrap();
        assert_eq!(rights(&path).state, State::Fail);
    }

    #[test]
    fn the_disk_is_looked_at_before_the_folder_exists() {
        assert!(disk(Path::new("/nonexistent/a/b")).is_some());
    }
}
