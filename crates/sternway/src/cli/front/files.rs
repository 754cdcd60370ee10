//! Our files in a project: the balancer's folder, the override file, the list that names it, and the one line of the
//! site's own.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use docker::ProjectFile;
use domain::front::{
    adopted::{self, Adopted, CONFIGURATION, FOLDER, RUN},
    port_line,
};
use rustix::fs::OFlags;

use super::site::Site;

/// Whom the balancer runs as where we may choose: nobody that owns anything.
const NOBODY: u32 = 65_532;
/// Marks a file that is being written.
const TAG: &str = "front";

/// Whom the balancer runs as: somebody whose socket we can use, and whom we may give its folder to.
pub(super) fn balancers_user() -> u32 {
    match rustix::process::geteuid().as_raw() {
        0 => NOBODY,
        other => other,
    }
}

fn outer(adopted: &Adopted) -> PathBuf {
    Path::new(&adopted.folder).join(FOLDER)
}

fn home(adopted: &Adopted) -> PathBuf {
    Path::new(&adopted.folder).join(adopted.below())
}

/// The balancer's folder, and the one in it that it may write to.
pub(super) fn prepare(adopted: &Adopted) -> Result<(), String> {
    made(&outer(adopted), 0o755)?;
    made(&home(adopted), 0o755)?;
    let run = home(adopted).join(RUN);
    let folder = made(&run, 0o700)?;
    if rustix::process::geteuid().is_root() {
        let owner = Some(adopted.user);
        fchown(&folder, owner, owner)
            .map_err(|error| format!("{} can not be given away: {error}", run.display()))?;
    }
    Ok(())
}

/// A folder of ours with that mode, whether it was there or not.
fn made(path: &Path, mode: u32) -> Result<File, String> {
    let said = |error: io::Error| format!("{} can not be made: {error}", path.display());
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(said(error)),
        Ok(()) | Err(_) => {}
    }
    let folder = opened(path)?;
    folder
        .set_permissions(Permissions::from_mode(mode))
        .map_err(said)?;
    Ok(folder)
}

/// A folder of ours. We may act as root, so what is changed is what was opened, and no link is followed to it.
fn opened(path: &Path) -> Result<File, String> {
    let flags = OFlags::NOFOLLOW | OFlags::DIRECTORY;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let facts = fs::symlink_metadata(path);
    if facts.is_ok_and(|facts| !facts.is_dir()) {
        return Err(format!(
            "{} is a link, or no folder: it is left as it is",
            path.display()
        ));
    }
    let folder = OpenOptions::new().read(true).custom_flags(flags).open(path);
    folder.map_err(|error| format!("{} can not be opened: {error}", path.display()))
}

/// Its configuration, with clients sent to `to`: whole or not at all.
pub(super) fn configure(adopted: &Adopted, to: SocketAddr) -> Result<(), String> {
    opened(&outer(adopted))?;
    opened(&home(adopted))?;
    let path = home(adopted).join(CONFIGURATION);
    let beside = path.with_extension("new");
    let written = || -> io::Result<()> {
        absent(fs::remove_file(&beside))?;
        let mut new = OpenOptions::new();
        let mut file = new.write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(adopted.configuration(to).as_bytes())?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.sync_all()?;
        fs::rename(&beside, &path)
    };
    written().map_err(|error| format!("{} can not be written: {error}", path.display()))
}

/// What is not there needs no removal.
fn absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The override file, and the list that names it.
pub(super) fn write_override(site: &Site, adopted: &Adopted) -> Result<(), String> {
    override_there(adopted)?;
    let Some(listing) = &adopted.listing else {
        return Ok(());
    };
    become_so(adopted, site.compose.env_file(), |env| {
        let listed = adopted.listed(env);
        listed
            .map(Some)
            .ok_or_else(|| format!("{} can not be listed", listing.with))
    })
}

fn override_there(adopted: &Adopted) -> Result<(), String> {
    become_so(adopted, &adopted.name, |there| {
        let content = adopted.content();
        match there {
            Some(there) if there != content => {
                Err("it is there already, and not what would be written: it is left".to_owned())
            }
            Some(_) | None => Ok(Some(content)),
        }
    })
}

/// A file of a person's under our name stays; one of ours that was edited is a person's too, and is told of.
fn override_away(adopted: &Adopted) -> Result<(), String> {
    become_so(adopted, &adopted.name, |there| match there {
        Some(there) if there == adopted.content() => Ok(None),
        Some(there) if adopted::is_ours(there) => {
            Err("it was edited by hand, and is left as it is".to_owned())
        }
        Some(there) => Ok(Some(there.to_vec())),
        None => Ok(None),
    })
}

/// The site's own file without the port, when it still has it.
pub(super) fn take_port(adopted: &Adopted) -> Result<(), String> {
    become_so(adopted, &adopted.file, |content| {
        let content = content.unwrap_or_default();
        if port_line::is_taken(content) {
            return Ok(Some(content.to_vec()));
        }
        let taken = port_line::taken(content, &adopted.component, &adopted.port)?;
        let gone = || {
            format!(
                "{} does not publish {} any more",
                adopted.file, adopted.port
            )
        };
        taken.map(Some).ok_or_else(gone)
    })
}

/// The site's own file with the port.
pub(super) fn put_port_back(adopted: &Adopted) -> Result<(), String> {
    become_so(adopted, &adopted.file, |content| {
        let content = content.unwrap_or_default();
        if !port_line::is_taken(content) {
            return Ok(Some(content.to_vec()));
        }
        port_line::put_back(content, &adopted.component, &adopted.port).map(Some)
    })
}

/// Everything of ours away. The override file goes last: it says what there is to put back.
pub(super) fn remove_ours(site: &Site, adopted: &Adopted) -> Result<(), String> {
    become_so(adopted, site.compose.env_file(), |env| {
        adopted.unlisted(env)
    })?;
    folder_away(adopted)?;
    override_away(adopted)
}

/// The component's folder, and the one around it where nothing else is in it.
fn folder_away(adopted: &Adopted) -> Result<(), String> {
    let (outer, home) = (outer(adopted), home(adopted));
    if !is_there(&outer)? {
        return Ok(());
    }
    let said = |error: io::Error| format!("{} can not be removed: {error}", home.display());
    if is_there(&home)? {
        fs::remove_dir_all(&home).map_err(said)?;
    }
    match fs::remove_dir(&outer) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        removed => removed.map_err(said),
    }
}

/// Whether a folder of ours is there; an error when something else is.
fn is_there(path: &Path) -> Result<bool, String> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Ok(_) | Err(_) => opened(path).map(|_| true),
    }
}

/// Makes a file what `wanted` makes of it; one that is so already is not touched.
fn become_so(
    adopted: &Adopted,
    name: &str,
    wanted: impl Fn(Option<&[u8]>) -> Result<Option<Vec<u8>>, String>,
) -> Result<(), String> {
    let file = ProjectFile::find(&adopted.folder, name)?;
    let content = file.read()?;
    let wanted = wanted(content.as_deref()).map_err(|why| format!("{name}: {why}"))?;
    if wanted == content {
        return Ok(());
    }
    file.replace(content.as_deref(), wanted.as_deref(), TAG, || true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use serde_json::json;

    use super::*;

    fn project(what: &str) -> (PathBuf, Adopted) {
        let name = format!("sternway-front-{}-{what}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("p")).unwrap();
        let adopted = json!({"component": "api", "image": "haproxy:lts", "speaks": "http", "folder": folder.join("p"),
            "port": {"port": 8080, "protocol": "tcp", "host_ip": "127.0.0.1", "host_port": 18080},
            "user": rustix::process::geteuid().as_raw(), "file": "compose.yml", "name": "docker-compose.override.yml"});
        (folder, serde_json::from_value(adopted).unwrap())
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn our_folder_comes_and_goes_and_what_others_put_beside_it_stays() {
        let (place, adopted) = project("comes");
        let to: SocketAddr = "172.18.0.2:8080".parse().unwrap();
        for _ in 0..2 {
            prepare(&adopted).unwrap();
            configure(&adopted, to).unwrap();
        }
        let home = home(&adopted);
        assert_eq!((mode(&home), mode(&home.join(RUN))), (0o755, 0o700));
        let written = fs::read_to_string(home.join(CONFIGURATION)).unwrap();
        assert_eq!(written, adopted.configuration(to));
        assert_eq!(mode(&home.join(CONFIGURATION)), 0o644);
        let notes = outer(&adopted).join("notes");
        fs::write(&notes, "mine").unwrap();
        folder_away(&adopted).unwrap();
        assert!(notes.exists() && !home.exists());
        fs::remove_file(&notes).unwrap();
        for _ in 0..2 {
            folder_away(&adopted).unwrap();
        }
        assert!(!outer(&adopted).exists());
        fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn no_link_is_followed_and_nothing_behind_one_is_changed() {
        let (place, adopted) = project("links");
        let elsewhere = place.join("elsewhere");
        fs::create_dir_all(elsewhere.join("api")).unwrap();
        fs::write(elsewhere.join("api/theirs"), "theirs").unwrap();
        fs::set_permissions(&elsewhere, Permissions::from_mode(0o711)).unwrap();
        let to: SocketAddr = "172.18.0.2:8080".parse().unwrap();
        let refused = |result: Result<(), String>| {
            let why = result.unwrap_err();
            assert!(why.contains("is a link"), "{why}");
        };
        symlink(&elsewhere, outer(&adopted)).unwrap();
        refused(prepare(&adopted));
        refused(configure(&adopted, to));
        refused(folder_away(&adopted));
        fs::remove_file(outer(&adopted)).unwrap();

        fs::create_dir(outer(&adopted)).unwrap();
        symlink(&elsewhere, home(&adopted)).unwrap();
        refused(prepare(&adopted));
        refused(configure(&adopted, to));
        refused(folder_away(&adopted));
        fs::remove_file(home(&adopted)).unwrap();

        fs::create_dir(home(&adopted)).unwrap();
        symlink(&elsewhere, home(&adopted).join(RUN)).unwrap();
        refused(prepare(&adopted));
        fs::remove_file(home(&adopted).join(RUN)).unwrap();

        let theirs = elsewhere.join("api/theirs");
        symlink(&theirs, home(&adopted).join("haproxy.new")).unwrap();
        prepare(&adopted).unwrap();
        configure(&adopted, to).unwrap();
        assert_eq!(fs::read(&theirs).unwrap(), b"theirs");
        assert_eq!(mode(&elsewhere), 0o711);
        fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn a_file_of_a_persons_under_our_name_is_neither_overwritten_nor_removed() {
        let (place, adopted) = project("foreign");
        let path = Path::new(&adopted.folder).join(&adopted.name);
        fs::write(&path, "services: {}\n").unwrap();
        let why = override_there(&adopted).unwrap_err();
        assert!(why.starts_with(&adopted.name), "{why}");
        override_away(&adopted).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"services: {}\n");
        fs::remove_file(&path).unwrap();
        for _ in 0..2 {
            override_there(&adopted).unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), adopted.content());
        let edited = [&adopted.content()[..], b"# mine\n"].concat();
        fs::write(&path, &edited).unwrap();
        assert!(override_there(&adopted).is_err() && override_away(&adopted).is_err());
        assert_eq!(fs::read(&path).unwrap(), edited);
        fs::write(&path, adopted.content()).unwrap();
        for _ in 0..2 {
            override_away(&adopted).unwrap();
        }
        assert!(!path.exists());
        fs::remove_dir_all(place).unwrap();
    }
}
