//! Second copies of images outside the engine: archives on our own disk, and a registry of somebody's choice.

use std::{
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bollard::query_parameters::{PushImageOptions, TagImageOptions};
use domain::{
    name::{ImageId, PullReference},
    seen::Seen,
    supply::Archive,
};
use futures_util::StreamExt;
use sha2::{Digest as _, Sha256};
use tokio::{fs::File, io::AsyncWriteExt as _};

use crate::{
    connect::{Engine, ORDINARY},
    error::{Error, Kind},
    supply::{self, hex},
};

/// Longest time for one copy: as long as bringing it back may take.
const COPY: Duration = Duration::from_secs(1500);
/// An engine that sends or says nothing for so long hangs.
const STALLED: Duration = Duration::from_secs(90);
/// Room that an archive leaves on its disk, for whoever else writes there.
const ROOM_LEFT: u64 = 1 << 30;

impl Engine {
    /// Writes an image to `path` as `docker save` does: whole or not at all, and on the disk when this returns.
    ///
    /// # Errors
    /// When the image is not there, the disk has no room, or the engine does not answer.
    pub async fn archive(&self, image: &ImageId, path: &Path) -> Result<Archive, Error> {
        let Some(inspect) = self.image_inspect(image.as_str()).await? else {
            let said = format!("image {} is not on the engine", image.short());
            return Err(Error::new(Kind::Missing, said));
        };
        let folder = path.parent().unwrap_or(path).to_owned();
        let bytes = u64::try_from(inspect.size.unwrap_or(0)).unwrap_or(0);
        room(&folder, bytes)
            .await
            .map_err(|error| unwritable(path, &error))?;
        let part = path.with_extension("part");
        let written = self.write(image, &part).await;
        let (sha256, bytes) = match written {
            Ok(written) => written,
            Err(error) => {
                // It is written anew the next time; until then it only takes room.
                let _ = tokio::fs::remove_file(&part).await;
                return Err(error);
            }
        };
        settle(&part, path, &folder)
            .await
            .map_err(|error| unwritable(path, &error))?;
        Ok(Archive {
            path: path.display().to_string(),
            sha256,
            bytes,
        })
    }

    async fn write(&self, image: &ImageId, part: &Path) -> Result<(String, u64), Error> {
        let what = format!("save image {}", image.short());
        let id = image.to_string();
        let mut pieces = self
            .call(&what, ORDINARY, |docker| async move {
                Ok(docker.export_image(&id).boxed())
            })
            .await?;
        let failed = |error: io::Error| unwritable(part, &error);
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = File::from_std(options.open(part).map_err(failed)?);
        let (mut hash, mut bytes, began) = (Sha256::new(), 0_u64, Instant::now());
        loop {
            let left = COPY.saturating_sub(began.elapsed());
            let Ok(next) = tokio::time::timeout(STALLED.min(left), pieces.next()).await else {
                return Err(Error::timed_out(&what, began.elapsed()));
            };
            let Some(piece) = next else { break };
            let piece = piece.map_err(|error| Error::of(&what, error))?;
            hash.update(&piece);
            bytes = bytes.saturating_add(piece.len() as u64);
            file.write_all(&piece).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)?;
        Ok((hex(&hash.finalize()), bytes))
    }

    /// Pushes an image to `repository` under `tag`; what it can be pulled by from there. On the engine it has the names
    /// afterwards that it had before: with one more, a clean-up would leave ours and take the site's.
    ///
    /// # Errors
    /// When the registry does not take it, or the engine does not answer.
    pub async fn push(
        &self,
        image: &ImageId,
        repository: &str,
        tag: &str,
    ) -> Result<PullReference, Error> {
        let name = format!("{repository}:{tag}");
        if !self.names(image).await?.contains(&name) {
            let taken = self.image_id(&name).await?;
            if let Some(other) = taken.filter(|other| other != image) {
                let said = format!("{name} names another image, {}", other.short());
                return Err(Error::new(Kind::Refused, said));
            }
            let pushed = self.push_as(image, repository, tag).await;
            // Of an image without a name of the site's, it stays: the last name can not be taken away alone.
            if self.names(image).await?.iter().any(|other| *other != name) {
                self.untag(&name).await?;
            }
            return pushed;
        }
        self.push_as(image, repository, tag).await
    }

    async fn push_as(
        &self,
        image: &ImageId,
        repository: &str,
        tag: &str,
    ) -> Result<PullReference, Error> {
        let what = format!("push {repository}:{tag}");
        let (id, options) = (
            image.to_string(),
            TagImageOptions {
                repo: Some(repository.to_owned()),
                tag: Some(tag.to_owned()),
            },
        );
        self.call(&what, ORDINARY, |docker| async move {
            docker.tag_image(&id, Some(options)).await
        })
        .await?;
        let options = PushImageOptions {
            tag: Some(tag.to_owned()),
            ..PushImageOptions::default()
        };
        let to = repository.to_owned();
        let mut said = self
            .call(&what, ORDINARY, |docker| async move {
                Ok(docker.push_image(&to, Some(options), None).boxed())
            })
            .await?;
        let began = Instant::now();
        loop {
            let left = COPY.saturating_sub(began.elapsed());
            match tokio::time::timeout(STALLED.min(left), said.next()).await {
                Err(_) => return Err(Error::timed_out(&what, began.elapsed())),
                Ok(None) => break,
                Ok(Some(Err(error))) => return Err(Error::of_supply(&what, error)),
                Ok(Some(Ok(_))) => {}
            }
        }
        let prefix = format!("{repository}@");
        let Seen::Known(facts) = self.image_seen(image).await? else {
            return Err(gone(image));
        };
        let mut digests = facts.digests.into_iter();
        let pushed = digests.find(|digest| digest.as_str().starts_with(&prefix));
        pushed.ok_or_else(|| {
            let said = format!("{what}: the registry did not say by which digest it took it");
            Error::new(Kind::NotSupplied, said)
        })
    }

    async fn names(&self, image: &ImageId) -> Result<Vec<String>, Error> {
        match self.image_seen(image).await? {
            Seen::Known(facts) => Ok(facts.tags),
            Seen::Unknown(_) | Seen::Absent => Err(gone(image)),
        }
    }
}

fn gone(image: &ImageId) -> Error {
    let said = format!("image {} went while it was pushed", image.short());
    Error::new(Kind::Missing, said)
}

/// Whether an archive still is what was written; all of it is read.
///
/// # Errors
/// When it can not be read, or is not.
pub async fn verify_archive(archive: &Archive) -> Result<(), Error> {
    supply::archive_is_whole(archive).await
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    let kind = if error.kind() == io::ErrorKind::StorageFull {
        Kind::DiskFull
    } else {
        Kind::Refused
    };
    Error::new(
        kind,
        format!("{} can not be written: {error}", path.display()),
    )
}

async fn room(folder: &Path, bytes: u64) -> io::Result<()> {
    let folder = folder.to_owned();
    let look = move || {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        let disk = rustix::fs::statvfs(&folder)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < bytes.saturating_add(ROOM_LEFT) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    };
    tokio::task::spawn_blocking(look)
        .await
        .map_err(io::Error::other)?
}

/// The name appears when the content is on the disk, and is on the disk itself when this returns.
async fn settle(part: &Path, path: &Path, folder: &PathBuf) -> io::Result<()> {
    tokio::fs::rename(part, path).await?;
    File::open(folder).await?.sync_all().await
}
