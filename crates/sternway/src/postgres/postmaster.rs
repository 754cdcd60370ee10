//! Reads `postmaster.pid` and tells a live server of our data from a number that somebody else has now.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::Read as _,
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use super::{
    error::{PostgresError, failed},
    launch::Handle,
};

/// Whom `postmaster.pid` names.
#[derive(Debug)]
pub(super) enum Found {
    /// No file, or nobody with that pid, or a Postgres that does not say whose: Postgres itself decides.
    Nobody,
    /// Somebody who is no Postgres. Postgres would refuse to start beside them if they have its uid, which
    /// happens where pids are few: in containers.
    Stranger,
    /// A server of this data, with what it was started with (program first).
    Alive(Handle, Vec<OsString>),
}

/// Looks at the data's postmaster, if there is one.
pub(super) fn find(data: &Path) -> Result<Found, PostgresError> {
    let Some(pid) = recorded_pid(data) else {
        return Ok(Found::Nobody);
    };
    let proc = Path::new("/proc").join(pid.to_string());
    // The handle first, then the look: if the pid changes hands in between, the handle says so.
    let Some(handle) = Handle::of_pid(pid).map_err(failed(&proc, "opened"))? else {
        return Ok(Found::Nobody);
    };
    // Not its `exe` or `cwd`: root in a container may not read those of another user.
    let Ok(line) = fs::read(proc.join("cmdline")) else {
        return Ok(Found::Nobody);
    };
    let words = line
        .strip_suffix(&[0])
        .unwrap_or(&line)
        .split(|byte| *byte == 0);
    let words: Vec<OsString> = words
        .map(|word| OsStr::from_bytes(word).to_owned())
        .collect();
    Ok(judge(handle, words, data))
}

fn judge(handle: Handle, words: Vec<OsString>, data: &Path) -> Found {
    let program = words
        .first()
        .and_then(|program| Path::new(program).file_name());
    if program != Some(OsStr::new("postgres")) {
        return Found::Stranger;
    }
    if words
        .windows(2)
        .any(|pair| pair[0] == "-D" && Path::new(&pair[1]) == data)
    {
        return Found::Alive(handle, words);
    }
    Found::Nobody
}

/// Takes away the file that names a stranger. Safe because we hold the state folder's lock, and Postgres
/// still checks for itself whether anybody is attached to the data's shared memory.
pub(super) fn forget_stranger(data: &Path) -> Result<(), PostgresError> {
    let path = data.join("postmaster.pid");
    tracing::info!(path = %path.display(), "postmaster.pid names a process that is no Postgres; it is removed");
    fs::remove_file(&path).map_err(failed(&path, "removed"))
}

fn recorded_pid(data: &Path) -> Option<i32> {
    let mut text = String::new();
    File::open(data.join("postmaster.pid"))
        .ok()?
        .take(4096)
        .read_to_string(&mut text)
        .ok()?;
    text.lines()
        .next()?
        .trim()
        .parse()
        .ok()
        .filter(|pid| *pid > 0)
}
