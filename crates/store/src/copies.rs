//! Second copies of images outside their engine: where each is, and when it was last found right.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    application::Application,
    name::{ApplicationName, ImageId},
    supply::ImageSource,
    time::Moment,
};
use sqlx::types::Json;
use time::OffsetDateTime;

use crate::{
    applications,
    connect::{Store, timed},
    error::{Result, corrupt},
};

/// Most second copies that are read of one application: fifty releases of a few components each.
const COPIES_MAX: i64 = 2000;

/// A second copy of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageCopy {
    /// The image.
    pub image: ImageId,
    /// Where it is.
    pub source: ImageSource,
    /// When it was last found right.
    pub verified_at: Moment,
}

#[derive(sqlx::FromRow)]
struct Row {
    image: String,
    source: Json<ImageSource>,
    verified_at: OffsetDateTime,
}

impl Store {
    /// An application whose second copies are due to be looked after, ours for `lease`: one that has some, or whose
    /// definition may ask for them. Most do not, and cost nothing.
    ///
    /// # Errors
    /// As every store function.
    pub async fn copies_due(&self, lease: Duration) -> Result<Option<Application>> {
        let definition: Option<String> = timed(async {
            Ok(sqlx::query_scalar(
                "with due as (
                     select u.application from application_upkeep u
                     join application a on a.name = u.application and a.removed_at is null
                     where u.copy_at <= now()
                       and (a.definition like '%\"copy\"%'
                            or exists (select from image_copy c where c.application = u.application))
                     order by u.copy_at limit 1 for update of u skip locked
                 )
                 update application_upkeep u set copy_at = now() + make_interval(secs => $1)
                 from due join application a on a.name = due.application
                 where u.application = due.application
                 returning a.definition",
            )
            .bind(lease.as_secs_f64())
            .fetch_optional(&self.pool)
            .await?)
        })
        .await?;
        definition
            .as_deref()
            .map(applications::definition)
            .transpose()
    }

    /// They were looked after: due again after `again`.
    ///
    /// # Errors
    /// As every store function.
    pub async fn copies_done(&self, application: &ApplicationName, again: Duration) -> Result<()> {
        timed(async {
            sqlx::query(
                "update application_upkeep set copy_at = now() + make_interval(secs => $2)
                 where application = $1",
            )
            .bind(application.as_str())
            .bind(again.as_secs_f64())
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }

    /// The second copies of an application's images.
    ///
    /// # Errors
    /// As every store function.
    pub async fn copy_list(&self, application: &ApplicationName) -> Result<Vec<ImageCopy>> {
        let rows: Vec<Row> = timed(async {
            Ok(sqlx::query_as(
                "select image, source, verified_at from image_copy
                 where application = $1 order by verified_at limit $2",
            )
            .bind(application.as_str())
            .bind(COPIES_MAX)
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        rows.into_iter().map(copy).collect()
    }

    /// A second copy was made, or found right.
    ///
    /// # Errors
    /// As every store function.
    pub async fn copy_put(
        &self,
        application: &ApplicationName,
        image: &ImageId,
        source: &ImageSource,
    ) -> Result<()> {
        timed(async {
            sqlx::query(
                "insert into image_copy (application, image, source) values ($1, $2, $3)
                 on conflict on constraint image_copy_key do update set verified_at = now()",
            )
            .bind(application.as_str())
            .bind(image.as_str())
            .bind(Json(source))
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }

    /// A second copy is gone or no longer right.
    ///
    /// # Errors
    /// As every store function.
    pub async fn copy_remove(&self, application: &ApplicationName, copy: &ImageCopy) -> Result<()> {
        timed(async {
            sqlx::query(
                "delete from image_copy where application = $1 and image = $2 and source = $3",
            )
            .bind(application.as_str())
            .bind(copy.image.as_str())
            .bind(Json(&copy.source))
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }

    /// Where the images of an application can be had beside what was known of them at their deployment.
    pub(crate) async fn copies_by_image(
        &self,
        application: &ApplicationName,
    ) -> Result<BTreeMap<ImageId, Vec<ImageSource>>> {
        let mut sources: BTreeMap<ImageId, Vec<ImageSource>> = BTreeMap::new();
        for copy in self.copy_list(application).await? {
            sources.entry(copy.image).or_default().push(copy.source);
        }
        Ok(sources)
    }
}

fn copy(row: Row) -> Result<ImageCopy> {
    let image = row.image.parse();
    Ok(ImageCopy {
        image: image.map_err(|error| corrupt("image copy", error))?,
        source: row.source.0,
        verified_at: row.verified_at.into(),
    })
}
