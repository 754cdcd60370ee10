//! Which host this is, for the servers that share a database: whoever has the same id takes over at once.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use uuid::Uuid;

use super::{StateFolderError, failed, publish, read_small};

/// The file says beside the id where it was written: its own inode on this machine. In a copy of the folder that is
/// another place.
pub(super) fn of(folder: &Path, machine: &str) -> Result<Uuid, StateFolderError> {
    let path = folder.join("host_id");
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
            return publish_id(&path, Uuid::now_v7(), machine);
        }
        Err(other) => return Err(failed(&path, "read")(other)),
    };
    let inode = file.metadata().map_err(failed(&path, "looked at"))?.ino();
    let text = read_small(&mut file).map_err(failed(&path, "read"))?;
    let (id, written) = parse(&text).ok_or_else(|| StateFolderError::Damaged {
        path: path.clone(),
        what: "it does not hold an id and a number".into(),
    })?;
    if written == place(inode, machine) {
        return Ok(id);
    }
    // What was written before machines were told apart is the inode alone.
    if written == inode {
        return publish_id(&path, id, machine);
    }
    tracing::warn!(
        folder = %folder.display(),
        "the state folder is a copy, or was put back from one: it has a host id of its own from now on. If the server that \
         it was copied from still runs, stop one of the two: both would act on the same applications"
    );
    publish_id(&path, Uuid::now_v7(), machine)
}

/// The system's own name for this machine. Without one only the inode tells a copy.
pub(super) fn machine() -> String {
    let found = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    found.trim().to_owned()
}

/// FNV-1a: it only has to differ.
fn place(inode: u64, machine: &str) -> u64 {
    let text = format!("{inode} {machine}");
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn parse(text: &str) -> Option<(Uuid, u64)> {
    let (id, number) = text.trim().split_once(' ')?;
    Some((id.parse().ok()?, number.parse().ok()?))
}

fn publish_id(path: &Path, id: Uuid, machine: &str) -> Result<Uuid, StateFolderError> {
    publish(path, |file| {
        let here = place(file.metadata()?.ino(), machine);
        Ok(format!("{id} {here}\n").into_bytes())
    })?;
    Ok(id)
}
