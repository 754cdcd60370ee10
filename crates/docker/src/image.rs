//! Images as the engine has them. An image is named by its identity; a tag is only ever looked up.

use std::sync::Arc;

use bollard::models::ImageInspect;
use domain::{
    engine_look::ImageFacts,
    name::{ImageId, PullReference},
    seen::Seen,
};
use serde_json::Value;

use crate::{
    connect::{Engine, ORDINARY},
    error::{Error, Kind},
    specification::ImageSettings,
};

/// Configurations that are remembered; a few kilobytes each, and cheap to ask for again.
const CONFIGS_MAX: usize = 256;

/// What an engine knows that an image was pulled or pushed by; `<none>@...` names nothing that could be pulled.
fn pull_references(digests: Vec<String>) -> Vec<PullReference> {
    digests
        .into_iter()
        .filter_map(|digest| digest.parse().ok())
        .collect()
}

impl Engine {
    /// The identity of the image that a tag, a registry digest or an identity names here; nothing is pulled.
    ///
    /// # Errors
    /// When the engine does not answer, or refuses the reference.
    pub async fn image_id(&self, reference: &str) -> Result<Option<ImageId>, Error> {
        // The reference becomes part of a path: what no reference holds must not turn it into another one.
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b);
        let walks = reference
            .split('/')
            .any(|part| part.is_empty() || part == "." || part == "..");
        if !reference.bytes().all(legal) || walks || reference.len() > 512 {
            return Err(Error::new(
                Kind::Refused,
                "an image reference is `repository:tag`, `repository@sha256:...` or `sha256:...`",
            ));
        }
        let Some(image) = self.image_inspect(reference).await? else {
            return Ok(None);
        };
        let id = image.id.unwrap_or_default();
        id.parse()
            .map(Some)
            .map_err(|bad| Error::new(Kind::Unreadable, format!("image {reference}: {bad}")))
    }

    /// What the engine knows of an image.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn image_seen(&self, id: &ImageId) -> Result<Seen<ImageFacts>, Error> {
        match self.image_inspect(id.as_str()).await {
            Ok(Some(image)) => Ok(Seen::Known(ImageFacts {
                tags: image.repo_tags.unwrap_or_default(),
                digests: pull_references(image.repo_digests.unwrap_or_default()),
                bytes: u64::try_from(image.size.unwrap_or(0)).unwrap_or(0),
                architecture: image.architecture.unwrap_or_default(),
            })),
            Ok(None) => Ok(Seen::Absent),
            Err(error) if error.unreachable() => Err(error),
            Err(error) => Ok(Seen::Unknown(error.to_string())),
        }
    }

    /// The configuration of an image; none when the engine no longer has the image and nobody told us of it.
    pub(crate) async fn image_settings(
        &self,
        id: &ImageId,
    ) -> Result<Option<Arc<ImageSettings>>, Error> {
        if let Some(known) = self.image_configs().get(id) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(mut image) = self.image_raw(id.as_str()).await? else {
            return Ok(None);
        };
        let raw = image.get_mut("Config").map(Value::take).unwrap_or_default();
        Ok(Some(self.remember(id, ImageSettings::read(raw)?)))
    }

    /// Tells what an image was configured with that the engine may no longer have: an image never changes, so what
    /// was read when it was deployed is as good as what could be read now.
    ///
    /// # Errors
    /// When it is no image's configuration.
    pub fn remember_image(&self, id: &ImageId, config: Value) -> Result<(), Error> {
        self.remember(id, ImageSettings::read(config)?);
        Ok(())
    }

    fn remember(&self, id: &ImageId, settings: ImageSettings) -> Arc<ImageSettings> {
        let settings = Arc::new(settings);
        let mut configs = self.image_configs();
        if configs.len() >= CONFIGS_MAX {
            configs.clear();
        }
        configs.insert(id.clone(), Arc::clone(&settings));
        settings
    }

    pub(crate) async fn image_inspect(
        &self,
        reference: &str,
    ) -> Result<Option<ImageInspect>, Error> {
        let what = format!("inspect image {reference}");
        let name = reference.to_owned();
        match self
            .call(&what, ORDINARY, |docker| async move {
                docker.inspect_image(&name).await
            })
            .await
        {
            Ok(image) => Ok(Some(image)),
            Err(error) if error.kind() == Kind::Missing => Ok(None),
            Err(error) => Err(error),
        }
    }
}
