//! Images built by the engine's own builder from a packed context, found again by their labels.

mod order;
mod remains;
mod told;

use std::{
    collections::{HashMap, VecDeque},
    path::Path,
    time::Duration,
};

use bollard::{
    body_try_stream,
    models::{BuildInfo, ImageSummary},
    query_parameters::{BuildImageOptions, BuilderVersion, ListImagesOptions, TagImageOptions},
};
use domain::name::ImageId;
use futures_util::{StreamExt as _, stream};
use tokio::io::AsyncReadExt as _;

pub use order::BuildOrder;
pub use remains::Remains;
use told::Teller;

use crate::{
    connect::{Engine, ORDINARY},
    effects::Claim,
    error::{Error, Kind},
    source::Context,
};

/// The label by which an image of ours says what exactly it was built of.
const KEY: &str = "sternway.build";
/// Lines of a build that its failure ends with.
const LAST_LINES: usize = 8;
/// Longest of these lines.
const LINE_CHARS_MAX: usize = 160;
/// Bytes of the context that are read at once.
const CHUNK: usize = 64 << 10;

/// Somebody who is told what a build says and makes while it goes on.
pub trait Audience: Send + Sync {
    /// A line of its log.
    fn line(&self, line: &str);
    /// It made something that is left when it is called off.
    fn made(&self, made: Made<'_>);
}

/// What a builder makes on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made<'a> {
    /// An image below the final one.
    Layer(&'a str),
    /// A container that one instruction runs in.
    Container(&'a str),
    /// The final image.
    Image(&'a ImageId),
}

impl Engine {
    /// The image that a finished build of exactly this order gave, if it still has our tag.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn built(&self, order: &BuildOrder) -> Result<Option<ImageId>, Error> {
        self.found(order, true).await
    }

    /// Builds an image and gives it our tag; one that is there already is not built again. Dropping the future calls
    /// the build off: the engine stops it when the connection is gone.
    ///
    /// # Errors
    /// [`Kind::BuildFailed`] with the last lines of the log, or as every call.
    pub async fn build(
        &self,
        order: &BuildOrder,
        context: &Context,
        committed_at: i64,
        limit: Duration,
        audience: &dyn Audience,
    ) -> Result<ImageId, Error> {
        if let Some(image) = self.found(order, false).await? {
            return Ok(image);
        }
        let options = options(order, committed_at)?;
        let run = Box::pin(self.run(order, &context.tar, options, audience));
        match tokio::time::timeout(limit, run).await {
            Ok(ended) => ended,
            Err(_) => {
                let said = format!(
                    "{}: it was not done after {} s",
                    order.what(),
                    limit.as_secs()
                );
                Err(Error::new(Kind::BuildFailed, said))
            }
        }
    }

    /// Gives an image the tag of an order, for people and against the clean-up of images without one.
    ///
    /// # Errors
    /// When the claim is over, or as every call.
    pub async fn tag_built(
        &self,
        order: &BuildOrder,
        image: &ImageId,
        claim: &dyn Claim,
    ) -> Result<(), Error> {
        if !claim.holds() {
            return Err(Error::new(
                Kind::Fenced,
                "the claim on this rollback is over",
            ));
        }
        let options = TagImageOptions {
            repo: Some(order.tag_repository()),
            tag: Some(order.tag_name()),
        };
        let image = image.to_string();
        let call = self.call(
            "tag the image that was built",
            ORDINARY,
            |docker| async move { docker.tag_image(&image, Some(options)).await },
        );
        call.await
    }

    async fn found(&self, order: &BuildOrder, tagged: bool) -> Result<Option<ImageId>, Error> {
        let filter = format!("{KEY}={}", order.key());
        let options = ListImagesOptions {
            filters: Some(HashMap::from([("label".to_owned(), vec![filter])])),
            ..ListImagesOptions::default()
        };
        let call = self.call("list what was built", ORDINARY, |docker| async move {
            docker.list_images(Some(options)).await
        });
        let tag = order.reference();
        // Images made from ours inherit the label: those with a name of their own, and more than one without a name, tell
        // nothing, and it is built again (from the engine's cache).
        let (ours, others): (Vec<_>, Vec<_>) = call
            .await?
            .into_iter()
            .partition(|image| image.repo_tags.contains(&tag));
        let newest = ours.into_iter().max_by_key(|image| image.created);
        let found = newest.or_else(|| {
            let nameless =
                |image: &ImageSummary| image.repo_tags.iter().all(|name| name == "<none>:<none>");
            let mut nameless = others.into_iter().filter(nameless);
            let only = nameless.next().filter(|_| !tagged);
            only.filter(|_| nameless.next().is_none())
        });
        found
            .map(|image| {
                image
                    .id
                    .parse()
                    .map_err(|bad| Error::new(Kind::Unreadable, format!("{bad}")))
            })
            .transpose()
    }

    async fn run(
        &self,
        order: &BuildOrder,
        tar: &Path,
        options: BuildImageOptions,
        audience: &dyn Audience,
    ) -> Result<ImageId, Error> {
        let file = tokio::fs::File::open(tar).await.map_err(|error| {
            Error::new(
                Kind::Refused,
                format!("{}: its context can not be read: {error}", order.what()),
            )
        })?;
        let chunks = stream::unfold(file, |mut file| async move {
            let mut chunk = vec![0; CHUNK];
            match file.read(&mut chunk).await {
                Ok(0) => None,
                Ok(read) => {
                    chunk.truncate(read);
                    Some((Ok(chunk.into()), file))
                }
                Err(error) => Some((Err(error), file)),
            }
        });
        let docker = self.client().await?;
        let mut news = docker.build_image(options, None, Some(body_try_stream(chunks)));
        let mut log = Log::default();
        let mut image = None;
        while let Some(told) = news.next().await {
            let told = match told {
                Ok(told) => told,
                Err(error) => return Err(log.failed(order, error)),
            };
            if let Some(id) = log.hear(&told, audience) {
                image = Some(id);
            }
            if let Some(failure) = told.error_detail {
                let why = failure.message.unwrap_or_default();
                return Err(log.ended(order, &why));
            }
        }
        let Some(image) = image else {
            return Err(log.ended(order, "the engine named no image"));
        };
        let image: ImageId = image
            .parse()
            .map_err(|bad| Error::new(Kind::Unreadable, format!("{}: {bad}", order.what())))?;
        audience.made(Made::Image(&image));
        Ok(image)
    }
}

fn options(order: &BuildOrder, committed_at: i64) -> Result<BuildImageOptions, Error> {
    let args = order.build.args.clone().into_iter().collect();
    Ok(BuildImageOptions {
        dockerfile: order.build.dockerfile.clone(),
        rm: true,
        forcerm: true,
        buildargs: Some(args),
        labels: Some(order.labels(committed_at)?),
        version: BuilderVersion::BuilderV1,
        ..BuildImageOptions::default()
    })
}

/// The end of a build's log.
#[derive(Default)]
struct Log {
    last: VecDeque<String>,
    teller: Teller,
}

impl Log {
    /// Takes one piece of news; the image's identity when it is told.
    fn hear(&mut self, told: &BuildInfo, audience: &dyn Audience) -> Option<String> {
        // Pulling a base image is told in thousands of pieces; only where it is matters.
        let text = told
            .stream
            .as_deref()
            .or(told.status.as_deref())
            .unwrap_or_default();
        for line in text
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty())
        {
            let line: String = line
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
            if let Some(made) = self.teller.made(&line) {
                audience.made(made);
            }
            audience.line(&line);
            if self.last.len() == LAST_LINES {
                self.last.pop_front();
            }
            self.last
                .push_back(line.chars().take(LINE_CHARS_MAX).collect());
        }
        told.aux.as_ref()?.id.clone()
    }

    fn ended(&self, order: &BuildOrder, why: &str) -> Error {
        let why: String = why.split_whitespace().collect::<Vec<_>>().join(" ");
        let why: String = why.chars().take(LINE_CHARS_MAX * 2).collect();
        let last: Vec<&str> = self.last.iter().map(|line| line.trim()).collect();
        let said = format!(
            "{} failed: {why}; its last lines: {}",
            order.what(),
            last.join(" | ")
        );
        Error::new(Kind::BuildFailed, said)
    }

    /// A connection that breaks says nothing of the build; everything else is its failure.
    fn failed(&self, order: &BuildOrder, error: bollard::errors::Error) -> Error {
        if let bollard::errors::Error::DockerStreamError { error } = &error {
            return self.ended(order, error);
        }
        let error = Error::of(&order.what(), error);
        if error.kind() == Kind::Refused {
            self.ended(order, &error.to_string())
        } else {
            error
        }
    }
}
