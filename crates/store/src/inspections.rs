//! What an engine said of containers and images, not a field left out. Sealed: both hold secrets.

use domain::name::{ImageId, SpecificationDigest};
use serde_json::Value;

use crate::{
    connect::{Store, timed},
    error::{Error, Result, corrupt},
};

/// An inspection as it was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptInspection {
    /// The image that the container was created from.
    pub image: ImageId,
    /// The container, as the engine said it.
    pub inspection: Value,
}

impl Store {
    /// Keeps what a specification was worked out from: the first container of it that was seen.
    ///
    /// # Errors
    /// As every store function.
    pub async fn inspection_put(
        &self,
        specification: &SpecificationDigest,
        image: &ImageId,
        inspection: &Value,
        settings: &Value,
    ) -> Result<()> {
        let inspection = self
            .key
            .seal(specification.as_str(), inspection.to_string().as_bytes());
        let settings = self
            .key
            .seal(image.as_str(), settings.to_string().as_bytes());
        timed(async {
            // What was sealed with a key that is lost is no use to anybody.
            sqlx::query(
                "with kept as (
                     insert into inspection (specification, image, sealed) values ($1, $2, $3)
                     on conflict on constraint inspection_key do nothing
                 )
                 insert into image_settings as s (image, key_id, sealed) values ($2, $4, $5)
                 on conflict on constraint image_settings_key do update
                 set key_id = excluded.key_id, sealed = excluded.sealed where s.key_id <> excluded.key_id",
            )
            .bind(specification.as_str())
            .bind(image.as_str())
            .bind(inspection)
            .bind(self.key.key_id().to_string())
            .bind(settings)
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }

    /// The inspection that a specification was worked out from.
    ///
    /// # Errors
    /// [`Error::KeyLost`], [`Error::NotFound`], or as every store function.
    pub async fn inspection_get(
        &self,
        specification: &SpecificationDigest,
    ) -> Result<KeptInspection> {
        let row: Option<(String, Vec<u8>)> = timed(async {
            Ok(
                sqlx::query_as("select image, sealed from inspection where specification = $1")
                    .bind(specification.as_str())
                    .fetch_optional(&self.pool)
                    .await?,
            )
        })
        .await?;
        let (image, sealed) = row.ok_or(Error::NotFound("inspection"))?;
        let text = self.key.open(specification.as_str(), &sealed)?;
        Ok(KeptInspection {
            image: image.parse().map_err(|error| corrupt("image", error))?,
            inspection: parsed(&text)?,
        })
    }

    /// What an image was configured with; none when it was never seen.
    ///
    /// # Errors
    /// [`Error::KeyLost`], or as every store function.
    pub async fn image_settings(&self, image: &ImageId) -> Result<Option<Value>> {
        let row: Option<(Vec<u8>,)> = timed(async {
            Ok(
                sqlx::query_as("select sealed from image_settings where image = $1")
                    .bind(image.as_str())
                    .fetch_optional(&self.pool)
                    .await?,
            )
        })
        .await?;
        let Some((sealed,)) = row else {
            return Ok(None);
        };
        parsed(&self.key.open(image.as_str(), &sealed)?).map(Some)
    }
}

fn parsed(text: &[u8]) -> Result<Value> {
    serde_json::from_slice(text).map_err(|error| corrupt("inspection", error))
}
