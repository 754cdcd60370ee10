//! Looks whether an image could be brought: asks a registry through the engine, and reads archives on our own disk.
//! Nothing is transferred.

use std::{io, time::Duration};

use domain::{
    name::PullReference,
    seen::Seen,
    supply::{Archive, ImageSource, SourceSeen},
};
use futures_util::{StreamExt, stream};
use sha2::{Digest as _, Sha256};
use tokio::{fs::File, io::AsyncReadExt as _};

use crate::{
    connect::Engine,
    error::{Error, Kind},
};

/// Bytes read at a time.
pub(crate) const CHUNK: usize = 256 << 10;
/// A registry that needs longer to say what it has is said not to answer: a person waits for the plan.
const ASK: Duration = Duration::from_secs(2);
/// Sources asked at a time.
const AT_A_TIME: usize = 8;

impl Engine {
    /// Whether each of these sources has its image now.
    pub async fn sources(&self, sources: Vec<ImageSource>) -> Vec<SourceSeen> {
        let look = |source: ImageSource| async move {
            let there = match &source {
                ImageSource::Archive(archive) => archive_seen(archive).await,
                ImageSource::Registry { reference } => self.registry_seen(reference).await,
            };
            SourceSeen { source, there }
        };
        let looks: Vec<_> = sources.into_iter().map(look).collect();
        stream::iter(looks).buffered(AT_A_TIME).collect().await
    }

    async fn registry_seen(&self, reference: &PullReference) -> Seen<()> {
        let what = "ask the registry";
        let name = reference.to_string();
        let asked = self.call(what, ASK, |docker| async move {
            // Its own mapping: an answer of the registry is not one of the engine.
            Ok(docker.inspect_registry_image(&name, None).await)
        });
        match asked.await {
            Ok(Ok(_)) => Seen::Known(()),
            Ok(Err(error)) => not_there(what, error),
            Err(error) => Seen::Unknown(error.to_string()),
        }
    }
}

fn not_there(what: &str, error: bollard::errors::Error) -> Seen<()> {
    let error = Error::of_supply(what, error);
    let said = error.to_string();
    // Engines give the same status to a registry that is away and to one that does not have it: the words tell.
    let unknown = ["manifest unknown", "not found", "name unknown"]
        .iter()
        .any(|sign| said.contains(sign));
    if unknown {
        Seen::Absent
    } else {
        Seen::Unknown(said)
    }
}

/// Whether an archive is there with its length; its checksum is read when it is loaded, and on a schedule.
async fn archive_seen(archive: &Archive) -> Seen<()> {
    match tokio::fs::metadata(&archive.path).await {
        Ok(file) if file.is_file() && file.len() == archive.bytes => Seen::Known(()),
        Ok(file) => Seen::Unknown(format!(
            "it has {} bytes and should have {}: it is damaged",
            file.len(),
            archive.bytes
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Seen::Absent,
        Err(error) => Seen::Unknown(error.to_string()),
    }
}

/// Reads an archive whole and compares it with its checksum.
///
/// # Errors
/// When it can not be read, or is not what was written.
pub(crate) async fn archive_is_whole(archive: &Archive) -> Result<(), Error> {
    let found = sha256_of(&archive.path)
        .await
        .map_err(|error| unreadable(archive, &error))?;
    if found == archive.sha256 {
        return Ok(());
    }
    let said = format!(
        "the archive {} is damaged: its checksum is {}... and should be {}...",
        archive.path,
        &found[..12],
        archive.sha256.get(..12).unwrap_or_default(),
    );
    Err(Error::new(Kind::NotSupplied, said))
}

pub(crate) fn unreadable(archive: &Archive, error: &io::Error) -> Error {
    let said = format!("the archive {} can not be read: {error}", archive.path);
    Error::new(Kind::NotSupplied, said)
}

async fn sha256_of(path: &str) -> io::Result<String> {
    let mut file = File::open(path).await?;
    let (mut hash, mut piece) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        match file.read(&mut piece).await? {
            0 => return Ok(hex(&hash.finalize())),
            length => hash.update(&piece[..length]),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
