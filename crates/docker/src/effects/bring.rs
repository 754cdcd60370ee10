//! An image that the engine does not have: pulled by digest, or loaded from an archive whose checksum is right. What
//! counts in the end is that the image is there by its own identity, whatever a registry or a file called it.

use std::time::{Duration, Instant};

use bollard::query_parameters::{CreateImageOptions, ImportImageOptions};
use domain::{
    name::{ImageId, PullReference},
    supply::Archive,
};
use futures_util::{Stream, StreamExt, stream};
use tokio::{fs::File, io::AsyncReadExt as _};

use super::PerformContext;
use crate::{
    connect::Engine,
    error::{Error, Kind},
    supply::{self, CHUNK},
};

/// Longest time for one image: eight gigabytes over a line of 50 Mbit/s. The step's own limit is longer.
const BRING: Duration = Duration::from_secs(1500);
/// A registry or an engine that says nothing for so long hangs; while layers come, progress is said many times a second.
const STALLED: Duration = Duration::from_secs(90);
/// How often a long transfer is mentioned in the log: a pull says thousands of things, a person reads one in a while.
const MENTION: Duration = Duration::from_secs(15);

impl Engine {
    pub(super) async fn pull(
        &self,
        image: &ImageId,
        reference: &PullReference,
        ctx: &PerformContext<'_>,
    ) -> Result<(), Error> {
        if self.image_inspect(image.as_str()).await?.is_some() {
            return Ok(());
        }
        self.fence_check(None, ctx).await?;
        let what = format!("pull {reference}");
        let options = CreateImageOptions {
            from_image: Some(reference.to_string()),
            ..CreateImageOptions::default()
        };
        let progress = self
            .call(&what, BRING, |docker| async move {
                Ok(docker.create_image(Some(options), None, None).boxed())
            })
            .await?;
        follow(&what, progress, |info| {
            (
                info.status.unwrap_or_default(),
                info.progress_detail.and_then(|detail| detail.current),
            )
        })
        .await?;
        self.is_there(image, &format!("the registry's {reference}"))
            .await
    }

    pub(super) async fn load(
        &self,
        image: &ImageId,
        archive: &Archive,
        ctx: &PerformContext<'_>,
    ) -> Result<(), Error> {
        if self.image_inspect(image.as_str()).await?.is_some() {
            return Ok(());
        }
        self.fence_check(None, ctx).await?;
        // All of it first: half an image in the engine would be somebody's to clean up.
        supply::archive_is_whole(archive).await?;
        ctx.must_hold()?;
        let what = format!("load {}", archive.path);
        let file = File::open(&archive.path)
            .await
            .map_err(|error| supply::unreadable(archive, &error))?;
        let body = bollard::body_try_stream(pieces(file));
        let options = ImportImageOptions {
            quiet: false,
            ..ImportImageOptions::default()
        };
        let progress = self
            .call(&what, BRING, |docker| async move {
                Ok(docker.import_image(options, body, None).boxed())
            })
            .await?;
        follow(&what, progress, |info| {
            (
                info.status.unwrap_or_default(),
                info.progress_detail.and_then(|detail| detail.current),
            )
        })
        .await?;
        self.is_there(image, &format!("the archive {}", archive.path))
            .await
    }

    async fn is_there(&self, image: &ImageId, from: &str) -> Result<(), Error> {
        match self.image_inspect(image.as_str()).await? {
            Some(_) => Ok(()),
            None => Err(Error::new(
                Kind::NotSupplied,
                format!("{from} is another image than {}", image.short()),
            )),
        }
    }
}

/// Reads what is said of a transfer to its end; the first error is what came of it.
async fn follow<T>(
    what: &str,
    mut progress: impl Stream<Item = Result<T, bollard::errors::Error>> + Unpin,
    words: impl Fn(T) -> (String, Option<i64>),
) -> Result<(), Error> {
    let began = Instant::now();
    let mut mentioned = began;
    loop {
        let left = BRING.saturating_sub(began.elapsed());
        let next = tokio::time::timeout(STALLED.min(left), progress.next()).await;
        let Ok(next) = next else {
            return Err(Error::timed_out(what, began.elapsed()));
        };
        match next {
            None => return Ok(()),
            Some(Err(error)) => return Err(Error::of_supply(what, error)),
            Some(Ok(info)) if mentioned.elapsed() >= MENTION => {
                mentioned = Instant::now();
                let (status, bytes) = words(info);
                let seconds = began.elapsed().as_secs();
                tracing::info!(what, status, bytes, seconds, "an image is on its way");
            }
            Some(Ok(_)) => {}
        }
    }
}

/// A file in pieces, as a request's body takes it.
fn pieces<B: From<Vec<u8>>>(file: File) -> impl Stream<Item = Result<B, std::io::Error>> {
    stream::try_unfold(file, |mut file| async move {
        let mut piece = vec![0; CHUNK];
        let length = file.read(&mut piece).await?;
        piece.truncate(length);
        Ok((length > 0).then(|| (B::from(piece), file)))
    })
}
