//! Our files in a project: the balancer's folder, the override file, the list that names it, and the one line of the
//! site's own.

use std::{
    fs::{self, Permissions},
    io,
    net::SocketAddr,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use docker::ProjectFile;
use domain::front::{
    adopted::{Adopted, CONFIGURATION, FOLDER, RUN},
    port_line,
};

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

fn home(adopted: &Adopted) -> PathBuf {
    Path::new(&adopted.folder).join(adopted.below())
}

/// The balancer's folder, and the one in it that it may write to.
pub(super) fn prepare(adopted: &Adopted) -> Result<(), String> {
    let run = home(adopted).join(RUN);
    let prepared = || -> io::Result<()> {
        fs::create_dir_all(&run)?;
        for folder in [&run.join("..").join(".."), &run.join("..")] {
            fs::set_permissions(folder, Permissions::from_mode(0o755))?;
        }
        fs::set_permissions(&run, Permissions::from_mode(0o700))?;
        if rustix::process::geteuid().is_root() {
            chown(&run, Some(adopted.user), Some(adopted.user))?;
        }
        Ok(())
    };
    prepared().map_err(|error| format!("{} can not be made: {error}", run.display()))
}

/// Its configuration, with clients sent to `to`: whole or not at all.
pub(super) fn configure(adopted: &Adopted, to: SocketAddr) -> Result<(), String> {
    let path = home(adopted).join(CONFIGURATION);
    let beside = path.with_extension("new");
    let written = || -> io::Result<()> {
        fs::write(&beside, adopted.configuration(to))?;
        fs::set_permissions(&beside, Permissions::from_mode(0o644))?;
        fs::File::open(&beside)?.sync_all()?;
        fs::rename(&beside, &path)
    };
    written().map_err(|error| format!("{} can not be written: {error}", path.display()))
}

/// The override file, and the list that names it.
pub(super) fn write_override(site: &Site, adopted: &Adopted) -> Result<(), String> {
    become_so(adopted, &adopted.name, |_| Ok(Some(adopted.content())))?;
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
    let folder = Path::new(&adopted.folder).join(FOLDER);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(format!("{} can not be removed: {error}", folder.display()));
        }
        Ok(()) | Err(_) => {}
    }
    become_so(adopted, &adopted.name, |_| Ok(None))
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
