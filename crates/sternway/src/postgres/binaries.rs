//! Finds the server binaries on this machine and picks the major that fits the data. It installs nothing.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::error::PostgresError;

/// The oldest major whose SQL and log prefix we use.
pub const MAJOR_MIN: u32 = 15;

/// Where Debian keeps one folder per major; its binaries are not on PATH.
const DEBIAN_MAJORS: &str = "/usr/lib/postgresql";

/// One installed server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// Its major version, as 15.
    pub major: u32,
    /// Its own words, as `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
    pub version: String,
    /// The folder of `postgres` and `initdb`.
    pub folder: PathBuf,
}

impl Binaries {
    pub(super) fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }
}

/// The folders where binaries may be: PATH, then Debian's.
pub(super) fn search_folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .collect();
    let majors = fs::read_dir(DEBIAN_MAJORS).into_iter().flatten().flatten();
    folders.extend(majors.map(|major| major.path().join("bin")));
    folders
}

/// All servers in `folders`, newest first; a link and its goal count once.
pub(super) fn find(folders: &[PathBuf]) -> Vec<Binaries> {
    let real: BTreeSet<PathBuf> = folders
        .iter()
        .filter_map(|folder| real_folder(folder))
        .collect();
    let mut found: Vec<Binaries> = real.into_iter().filter_map(ask_version).collect();
    found.sort_by_key(|binaries| std::cmp::Reverse(binaries.major));
    found
}

/// PATH may hold single links into a folder that is not on it.
fn real_folder(folder: &Path) -> Option<PathBuf> {
    let real = fs::canonicalize(folder.join("postgres"))
        .ok()?
        .parent()?
        .to_owned();
    real.join("initdb").is_file().then_some(real)
}

fn ask_version(folder: PathBuf) -> Option<Binaries> {
    let answer = Command::new(folder.join("postgres"))
        .arg("--version")
        .env_clear()
        .output()
        .ok()?;
    let version = String::from_utf8(answer.stdout).ok()?.trim().to_owned();
    let major = parse_major(&version)?;
    Some(Binaries {
        major,
        version,
        folder,
    })
}

/// `postgres (PostgreSQL) 15.18 (Debian ..)` is 15, `postgres (PostgreSQL) 19devel` is 19.
fn parse_major(version: &str) -> Option<u32> {
    let number = version.strip_prefix("postgres (PostgreSQL) ")?;
    number
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// The server for `data`: of the data's own major, or the newest if there is no data yet.
///
/// # Errors
/// Where there is none, with the package to install.
pub(super) fn choose(found: &[Binaries], data: &Path) -> Result<Binaries, PostgresError> {
    let recent: Vec<&Binaries> = found.iter().filter(|one| one.major >= MAJOR_MIN).collect();
    let wanted = data_major(data)?;
    let fits = |one: &&Binaries| wanted.is_none_or(|major| one.major == major);
    if let Some(chosen) = recent.iter().copied().find(fits) {
        return Ok(chosen.clone());
    }
    match wanted {
        _ if found.is_empty() => Err(PostgresError::BinariesMissing),
        Some(wanted) => Err(PostgresError::OtherMajor {
            data: data.to_owned(),
            wanted,
            found: majors(found),
        }),
        None => Err(PostgresError::BinariesOld {
            found: majors(found),
        }),
    }
}

/// `None` where there is no data yet.
fn data_major(data: &Path) -> Result<Option<u32>, PostgresError> {
    if !data.exists() {
        return Ok(None);
    }
    let damaged = |what: String| PostgresError::DataDamaged {
        data: data.to_owned(),
        what,
    };
    let text = fs::read_to_string(data.join("PG_VERSION"))
        .map_err(|error| damaged(format!("PG_VERSION: {error}")))?;
    let major = text
        .trim()
        .parse()
        .map_err(|_| damaged(format!("PG_VERSION says {:?}", text.trim())))?;
    Ok(Some(major))
}

fn majors(found: &[Binaries]) -> String {
    let majors: BTreeSet<u32> = found.iter().map(|one| one.major).collect();
    majors
        .iter()
        .map(u32::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_folder::TestFolder;

    fn server(major: u32) -> Binaries {
        Binaries {
            major,
            version: String::new(),
            folder: format!("/pg/{major}").into(),
        }
    }

    fn data_of(place: &TestFolder, version: &str) -> PathBuf {
        let data = place.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("PG_VERSION"), version).unwrap();
        data
    }

    #[test]
    fn majors_are_read_from_the_servers_own_words() {
        assert_eq!(
            parse_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(parse_major("postgres (PostgreSQL) 19devel"), Some(19));
        assert_eq!(parse_major("postgres: command not found"), None);
    }

    #[test]
    fn new_data_gets_the_newest_and_old_data_its_own() {
        let place = TestFolder::new();
        let found = [server(17), server(15), server(13)];
        assert_eq!(
            choose(&found, &place.path().join("none")).unwrap().major,
            17
        );
        assert_eq!(choose(&found, &data_of(&place, "15\n")).unwrap().major, 15);
    }

    #[test]
    fn data_of_another_major_is_refused_with_both_ways_out() {
        let place = TestFolder::new();
        let said = choose(&[server(15)], &data_of(&place, "17\n"))
            .unwrap_err()
            .to_string();
        for part in [
            "written by PostgreSQL 17, but only 15",
            "`postgresql-17`",
            "pg_upgrade --old-datadir",
            "nothing was changed",
        ] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn too_old_and_missing_servers_name_the_package() {
        let none = Path::new("/nonexistent");
        let old = choose(&[server(14), server(13)], none)
            .unwrap_err()
            .to_string();
        assert!(old.contains("only PostgreSQL 13, 14 is installed"), "{old}");
        let missing = choose(&find(&["/nonexistent".into()]), none)
            .unwrap_err()
            .to_string();
        assert!(
            missing.contains("install Debian's package `postgresql`"),
            "{missing}"
        );
    }

    #[test]
    fn a_data_folder_without_its_version_is_damaged() {
        let place = TestFolder::new();
        let said = choose(&[server(15)], &data_of(&place, "twelve"))
            .unwrap_err()
            .to_string();
        assert!(said.contains("PG_VERSION says \"twelve\""), "{said}");
    }
}
