//! Who Postgres runs as: ourselves, or, as root, an unprivileged user. It makes no users.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, process::Command};

use rustix::process::geteuid;

use super::error::{PostgresError, failed};

/// Debian's package makes `postgres`; `nobody` is there everywhere.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// Whom this process is, by name: peer authentication compares names.
    pub(super) fn own() -> Result<Self, PostgresError> {
        let uid = geteuid().as_raw();
        look_up(&uid.to_string()).ok_or(PostgresError::Nameless { uid })
    }
}

/// `None`: as ourselves. Data that is there already decides, so that a user who appears later (by
/// installing a package) does not find data that it may not read.
pub(super) fn choose(data: &Path) -> Result<Option<Account>, PostgresError> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let preferred = CANDIDATES
        .iter()
        .find_map(|name| look_up(name))
        .ok_or(PostgresError::NobodyToRunAs)?;
    if !data.exists() {
        return Ok(Some(preferred));
    }
    let owner = fs::metadata(data).map_err(failed(data, "looked at"))?.uid();
    let foreign = || PostgresError::ForeignData {
        data: data.to_owned(),
        owner,
        account: preferred.name.clone(),
    };
    match look_up(&owner.to_string()) {
        Some(account) if owner != 0 => Ok(Some(account)),
        Some(_) | None => Err(foreign()),
    }
}

/// Through the system's own look-up, so that users from a directory service are seen too.
fn look_up(key: &str) -> Option<Account> {
    let answer = Command::new("getent").args(["passwd", key]).output().ok()?;
    parse(&String::from_utf8(answer.stdout).ok()?)
}

fn parse(line: &str) -> Option<Account> {
    let mut fields = line.trim_end().split(':');
    let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(Account { name, uid, gid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passwd_line_is_read() {
        let line = "postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash\n";
        assert_eq!(
            parse(line),
            Some(Account {
                name: "postgres".into(),
                uid: 101,
                gid: 104
            })
        );
        assert_eq!(parse(""), None);
    }
}
